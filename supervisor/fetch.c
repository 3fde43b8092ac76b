#include "supervisor/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/proto.h"
#include "lib/secretrequest.h"
#include "lib/str.h"
#include "lib/sys.h"
#include "supervisor/identity.h"
#include "supervisor/manager.h"
#include "supervisor/spawn.h"

static const enum store_kind sides[2] = {STORE_SECRET, STORE_SECRET_OTHER};

/* A file without a name on the memory that boot found not to swap, else a memfd. */
static int make_memory(const struct manager *m)
{
	int directory = m->spawner.credentials_fd;

	if (directory >= 0) {
		int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0)
			return fd;
	}
	int fd = sys_memfd_create("holdfast-secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

/* Into PID 1's store first; then it is ours, too. */
static int keep(struct manager *m, enum store_kind kind, uint32_t unit, int fd, int *kept)
{
	struct proto_packet put = {.type = PROTO_PUT, .kind = kind, .index = unit};
	int r = fd < 0 ? fd : proto_send(m->channel, &put, fd);

	if (r < 0) {
		(void)fd_close(fd);
		return r;
	}
	(void)fd_close(*kept);
	*kept = fd;
	return 0;
}

enum role fetch_role(const struct plan *plan, uint32_t unit)
{
	struct plan_range range = plan_unit(plan, unit)->secrets;

	for (uint32_t i = range.first; i < range.first + range.count; i++) {
		if (plan_secret(plan, i)->flags & SECRET_IS_REMOTE)
			return ROLE_SECRETS_REMOTE;
	}
	return ROLE_SECRETS;
}

static int make_report(void)
{
	int fd = sys_memfd_create("holdfast-report", MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* A new file for the values; the other two are made once and live as long as the unit does. The
 * last run's report must not pass for this one's. */
static int make_files(struct manager *m, const struct fetch *fetch)
{
	struct unit_runtime *runtime = &m->runtime[fetch->unit];

	int r = keep(m, sides[fetch->side], fetch->unit, make_memory(m),
		     &runtime->secret_fds[fetch->side]);
	if (r == 0 && runtime->report_fd < 0)
		r = keep(m, STORE_SECRET_REPORT, fetch->unit, make_report(), &runtime->report_fd);
	if (r == 0 && runtime->state_fd < 0 &&
	    fetch_role(&m->plan, fetch->unit) == ROLE_SECRETS_REMOTE)
		r = keep(m, STORE_SECRET_STATE, fetch->unit, make_memory(m), &runtime->state_fd);
	if (r == 0 && ftruncate(runtime->report_fd, 0) < 0)
		r = -errno;
	return r;
}

/* Kubernetes replaces a mounted secret by another file: what boot opened stays the old one. */
static int open_source(const char *reference)
{
	CLEANUP(fd_closep)
	int fd = open(reference + strlen("file:"), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EBADF;
	return fd_steal(&fd);
}

/* What the helper inherits beside its role's grants, by number. */
struct passed {
	int fds[SECRETREQUEST_ITEMS_MAX + 3];
	uint32_t count, n_kept; /* the first n_kept stay open here */
};

static int pass(struct passed *passed, int fd)
{
	if (fd >= 0)
		passed->fds[passed->count++] = fd;
	return fd < 0 ? -1 : fd;
}

static bool add_item(struct strbuf *buf, const struct manager *m, const struct fetch *fetch,
		     uint32_t index, struct passed *passed)
{
	const struct plan_secret *secret = plan_secret(&m->plan, index);
	bool is_filled = secret->flags & SECRET_NEEDS_IDENTITY;
	char text[SECRETREQUEST_REFERENCE_MAX], why[1];
	struct strbuf out, ignored;

	strbuf_init(&out, text, sizeof(text));
	strbuf_init(&ignored, why, sizeof(why));
	const char *reference = identity_fill(m, index, &out, &ignored);
	/* It was checked before the first fetch, and does not change. */
	if (!reference)
		return false;
	int fd = store_find(m->store, STORE_SECRET_FILE, index);
	/* Boot opens what is there at its time, and lets it be missing where a condition does. */
	if ((is_filled || fd < 0 || fetch->operation == SECRETS_REFRESH) &&
	    str_starts(reference, "file:"))
		fd = pass(passed, open_source(reference));
	secretrequest_add(buf, &(struct secretrequest_item){
				       .name = plan_string(&m->plan, secret->name),
				       .reference = reference,
				       .delivery = secret->delivery,
				       .flags = secret->flags & ~SECRET_NEEDS_IDENTITY,
				       .mode = secret->mode,
				       .fd = fd < 0 ? -1 : fd,
			       });
	return true;
}

static int encode(struct strbuf *buf, const struct manager *m, const struct fetch *fetch,
		  struct passed *passed)
{
	const struct unit_runtime *runtime = &m->runtime[fetch->unit];
	struct plan_list settings = m->plan.header->secret_settings;
	struct plan_range secrets = plan_unit(&m->plan, fetch->unit)->secrets;
	const struct secretrequest_head head = {
		.unit = plan_unit_name(&m->plan, fetch->unit),
		.uid = m->plan.header->uid_secrets,
		.operation = fetch->operation,
		.deadline_ms = fetch->deadline_ms,
		.state_fd = pass(passed, runtime->state_fd),
		.report_fd = pass(passed, runtime->report_fd),
		.old_fd = pass(passed, runtime->secret_fds[1 - fetch->side]),
		.lines = EVENT_FOR_LOG,
	};

	passed->n_kept = passed->count;
	if (secrets.count > SECRETREQUEST_ITEMS_MAX)
		return -E2BIG;
	secretrequest_begin(buf, &head);
	for (uint32_t i = 0; i < settings.count; i++)
		secretrequest_setting(buf,
				      plan_string(&m->plan, plan_list_get(&m->plan, settings, i)));
	for (uint32_t i = secrets.first; i < secrets.first + secrets.count; i++)
		if (!add_item(buf, m, fetch, i, passed))
			return -ENOKEY;
	return secretrequest_end(buf);
}

static void freep(char **memory)
{
	free(*memory);
}

/* The request holds references, not values: an ordinary memfd will do. */
static int make_request(const struct manager *m, const struct fetch *fetch, struct passed *passed)
{
	CLEANUP(fd_closep) int fd = sys_memfd_create("holdfast-request", MFD_CLOEXEC);
	struct strbuf buf;

	if (fd < 0)
		return -errno;
	CLEANUP(freep) char *text = malloc(SECRETREQUEST_MAX);
	if (!text)
		return -ENOMEM;
	strbuf_init(&buf, text, SECRETREQUEST_MAX);
	int r = encode(&buf, m, fetch, passed);
	if (r < 0)
		return r;
	r = io_write_all(fd, buf.data, buf.length);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return fd_steal(&fd);
}

static int start(struct manager *m, const struct fetch *fetch, struct passed *passed)
{
	struct unit_runtime *runtime = &m->runtime[fetch->unit];
	enum role role = fetch_role(&m->plan, fetch->unit);

	CLEANUP(fd_closep) int request = make_request(m, fetch, passed);
	if (request < 0)
		return request;
	runtime->pidfd[fetch->slot] = fd_close(runtime->pidfd[fetch->slot]);
	return spawn_helper(&m->spawner,
			    &(struct spawn_help){
				    .unit = fetch->unit,
				    .slot = fetch->slot,
				    .role = role,
				    .input_fd = request,
				    .output_fd = runtime->secret_fds[fetch->side],
				    .passed = passed->fds,
				    .n_passed = passed->count,
			    },
			    &runtime->pidfd[fetch->slot]);
}

int fetch_begin(struct manager *m, const struct fetch *fetch)
{
	struct passed passed = {0};

	int r = make_files(m, fetch);
	if (r < 0)
		return r;
	CRASH_POINT("fetch-put");
	r = start(m, fetch, &passed);
	CRASH_POINT("fetch-spawned");
	for (uint32_t i = passed.n_kept; i < passed.count; i++)
		(void)fd_close(passed.fds[i]);
	return r;
}

void fetch_drop(struct manager *m, uint32_t unit, uint32_t side)
{
	struct proto_packet drop = {.type = PROTO_DROP, .kind = sides[side], .index = unit};

	(void)proto_send(m->channel, &drop, -EBADF);
	m->runtime[unit].secret_fds[side] = fd_close(m->runtime[unit].secret_fds[side]);
}
