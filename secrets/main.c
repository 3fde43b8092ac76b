/*
 * holdfast-secrets and holdfast-secrets-remote: fetch the secrets of one unit, once, and are gone.
 * Which of the two this is, secrets_program says (local.c, remote.c).
 *
 *	stdin	the request (lib/secretrequest.h)
 *	stdout	memory to be filled (lib/secretfile.h), opened read-write, in PID 1's store
 *	stderr	events
 *	others	by number in the request: state, report, the values of before
 *
 * What keeps a value from leaking: the process is non-dumpable from its first instruction on and
 * writes no core; its pages are locked where that is allowed; what holds a value is wiped when it
 * is done with; it knows no system call that it does not need; and nothing that it prints is made
 * from a value, but for its length. On any failure the memory is emptied: a unit gets all of its
 * secrets or none.
 *
 * References are taken apart and files are opened first, as whoever we were started; values are
 * fetched and read last, as nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/sandbox.h"
#include "lib/store.h"
#include "secrets/hide.h"
#include "secrets/provider.h"
#include "secrets/run.h"

#define EXIT_USAGE	 64
#define EXIT_UNREACHABLE 69
#define EXIT_INTERNAL	 70
/* Past its deadline a run that waits in a library (a resolver that nobody answers) is ended. */
#define GRACE_MS 500

static struct run run;
static char request_block[SECRETREQUEST_MAX + 1] __attribute__((aligned(8)));

static int fail(const char *what, int error)
{
	event_emit(EVENT_ERROR, "secrets-failed", NULL, "%s: %s", what, strerror(error));
	return EXIT_INTERNAL;
}

static int refuse_start(int error)
{
	event_emit(EVENT_ERROR, "secrets-failed", NULL, "%s", store_strerror(error));
	return EXIT_INTERNAL;
}

static void harden(void)
{
	const struct rlimit none = {0, 0};

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

static int read_request(void)
{
	/* A memfd that its maker has written stands at its end; a pipe cannot seek. */
	(void)lseek(STDIN_FILENO, 0, SEEK_SET);
	ssize_t n = io_read_full(STDIN_FILENO, request_block, sizeof(request_block));
	return n < 0 ? (int)n : secretrequest_open(request_block, (size_t)n, &run.request);
}

static const char *map_file(int fd, size_t *ret_size)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0)
		return NULL;
	const char *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return NULL;
	*ret_size = (size_t)st.st_size;
	return data;
}

/* Nobody waits for us longer than was said: what a library does not end, this does. */
static void out_of_time(int signal)
{
	(void)signal;
	(void)ftruncate(STDOUT_FILENO, 0);
	/* Whatever it interrupts is over; it neither allocates nor waits. */
	event_discard();
	event_emit(EVENT_ERROR, "secrets-failed", NULL,
		   "the deadline has passed while it waited for an answer");
	_exit(EXIT_UNREACHABLE);
}

static void set_deadline(void)
{
	uint64_t ms = run.request.head.deadline_ms;
	const struct sigaction action = {.sa_handler = out_of_time};
	struct itimerval timer = {0};

	run.deadline_us = USEC_INFINITY;
	if (ms == 0)
		return;
	run.deadline_us = clock_now_us() + ms * USEC_PER_MSEC;
	timer.it_value.tv_sec = (time_t)((ms + GRACE_MS) / 1000);
	timer.it_value.tv_usec = (suseconds_t)((ms + GRACE_MS) % 1000 * 1000);
	(void)sigaction(SIGALRM, &action, NULL);
	(void)setitimer(ITIMER_REAL, &timer, NULL);
}

/* Files and variables of a unit are told apart by where they go; a record has but the name. */
static bool collides(uint32_t index)
{
	const struct secretrequest_item *item = &run.secrets[index].item;

	for (uint32_t i = 0; i < index && !(item->flags & SECRET_IS_PATH); i++) {
		const struct secretrequest_item *other = &run.secrets[i].item;
		if (!(other->flags & SECRET_IS_PATH) && str_equal(other->name, item->name))
			return true;
	}
	return false;
}

static const struct provider *find_provider(const char *reference, const char **ret_rest)
{
	for (const struct provider *const *p = secrets_program.providers; *p; p++) {
		for (const char *const *scheme = (*p)->schemes; *scheme; scheme++) {
			if (!str_starts(reference, *scheme))
				continue;
			*ret_rest = reference + strlen(*scheme);
			return *p;
		}
	}
	return NULL;
}

static enum secret_outcome open_secret(struct secret *secret, struct strbuf *why)
{
	const struct secretrequest_item *item = &secret->item;
	const char *rest;

	if (!(item->flags & SECRET_IS_PATH) && !run_name_fits(item)) {
		strbuf_adds(why, item->delivery == SECRET_FILE
					 ? "its name must be a file name without / and ="
					 : "its name must be a variable's: letters, digits and _");
		return SECRET_MALFORMED;
	}
	if (collides(secret->index)) {
		strbuf_adds(why, "the unit has two secrets of that name");
		return SECRET_MALFORMED;
	}
	const struct provider *provider = find_provider(item->reference, &rest);
	if (!provider) {
		strbuf_addf(why, "a reference starts with %s", secrets_program.schemes);
		return SECRET_MALFORMED;
	}
	enum secret_outcome outcome = provider->open(&run, secret, rest, why);
	if (outcome == SECRET_OK)
		secret->provider = provider;
	return outcome;
}

static void open_secrets(void)
{
	struct secretrequest_item item;
	size_t cursor = 0;

	for (uint32_t i = 0; secretrequest_next(&run.request, &cursor, &item); i++) {
		char text[RUN_WHY_MAX];
		struct strbuf why;
		struct secret *secret = &run.secrets[i];
		*secret = (struct secret){.item = item, .index = i, .report = &run.report.items[i]};
		if (item.flags & SECRET_IS_CONFIG)
			secret->report->flags |= SECRETREPORT_ITEM_CONFIG;
		strbuf_init(&why, text, sizeof(text));
		enum secret_outcome outcome = open_secret(secret, &why);
		if (outcome != SECRET_OK)
			run_fail(&run, secret, outcome, "%s", text);
	}
}

static void each_provider(void (*work)(const struct provider *provider))
{
	for (const struct provider *const *p = secrets_program.providers; *p; p++) {
		uint32_t cursor = 0;
		if (run.request.head.operation == SECRETS_REVOKE || run_next(&run, *p, &cursor))
			work(*p);
	}
}

static void prepare(const struct provider *provider)
{
	if (provider->prepare)
		provider->prepare(&run);
}

/* From provider on, those that have something to do. */
static unsigned count_left(const struct provider *provider)
{
	bool has_come = false;
	unsigned n = 0;

	for (const struct provider *const *p = secrets_program.providers; *p; p++) {
		uint32_t cursor = 0;
		has_come |= *p == provider;
		n += has_come && run_next(&run, *p, &cursor);
	}
	return MAX(n, 1U);
}

/* Beside a running unit a service that does not answer leaves each of the others its share of the
 * time: a lease has to be renewed whatever becomes of the rest. */
static void refresh(const struct provider *provider)
{
	uint64_t deadline_us = run.deadline_us, now_us = clock_now_us();

	if (deadline_us != USEC_INFINITY && deadline_us > now_us)
		run.deadline_us = now_us + (deadline_us - now_us) / count_left(provider);
	provider->fetch(&run);
	run.deadline_us = deadline_us;
}

/* A unit gets all of its secrets or none: while some cannot be had for now nobody is asked for the
 * others, which may be lent, and would be for nothing. */
static void fetch(const struct provider *provider)
{
	if (run.outcome == SECRET_TEMPORARY || run.outcome == SECRET_UNREACHABLE)
		run_fail_all(&run, provider, run.outcome,
			     "its service was not asked, since another one did not answer");
	else
		provider->fetch(&run);
}

static void work(const struct provider *provider)
{
	static void (*const works[])(const struct provider *provider) = {
		[SECRETS_FETCH] = fetch,
		[SECRETS_REFRESH] = refresh,
	};

	if (run.request.head.operation != SECRETS_REVOKE) {
		works[run.request.head.operation](provider);
		run_fail_all(&run, provider, SECRET_FAILED, "nothing became of it (a bug)");
	} else if (provider->revoke) {
		provider->revoke(&run);
	}
}

static void close_secrets(void)
{
	for (uint32_t i = 0; i < run.request.count; i++) {
		struct secret *secret = &run.secrets[i];
		if (secret->provider && secret->provider->close)
			secret->provider->close(secret);
	}
}

/* Files of other units, which every helper inherits: not ours to hold. */
static void close_foreign_files(void)
{
	const struct store_entry *entry;
	uint32_t at = 0;

	while ((entry = store_next(run.store, STORE_SECRET_FILE, &at))) {
		bool is_ours = false;
		for (uint32_t i = 0; i < run.request.count; i++)
			is_ours |= run.secrets[i].item.fd == entry->fd;
		if (!is_ours)
			(void)close(entry->fd);
	}
}

/*
 * Best effort: without CAP_IPC_LOCK the limit may be 64 KiB. Pages are locked as they are touched,
 * since the buffers are large and values small. What is mapped later is locked too where no limit
 * stands in its way: past one, mmap(2) would fail.
 */
static void lock_memory(void)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	int later = setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0 ? MCL_FUTURE : 0;

	if (mlockall(MCL_CURRENT | MCL_ONFAULT | later) < 0)
		(void)mlockall(MCL_CURRENT);
}

/* After this the process can do what its table says and no more. */
static int lock_in(void)
{
	const struct sandbox sandbox = {
		.uid = run.request.head.uid,
		.has_no_files = secrets_program.role == ROLE_SECRETS, /* TLS reads its CAs late */
		.filter = secrets_program.filter,
		.filter_count = secrets_program.filter_count,
	};

	lock_memory();
	int had = sandbox_enter(&sandbox);
	if (had >= 0 && sandbox.filter_count > 0 && !(had & SANDBOX_SECCOMP))
		event_emit(EVENT_WARNING, "sandbox-reduced", run.request.head.unit,
			   "the kernel or the runtime refuses seccomp filters: secrets are read "
			   "without one");
	return had;
}

static int start_run(void)
{
	size_t size = 0;

	set_deadline();
	secretreport_init(&run.report, run.request.count);
	run.environment.data = map_file(store_find(run.store, STORE_ENVIRON, 0), &size);
	run.environment.size = size;
	run.old = map_file(run.request.head.old_fd, &run.old_size);
	return collect_init(&run.values);
}

static int do_run(void)
{
	if (secrets_program.begin && secrets_program.begin(&run) < 0)
		return EXIT_INTERNAL;
	open_secrets();
	each_provider(prepare);
	close_foreign_files();
	int r = secrets_program.prepare ? secrets_program.prepare(&run) : 0;
	if (r < 0)
		return EXIT_INTERNAL;
	r = lock_in();
	if (r < 0)
		return fail("its own user id cannot be taken", -r);
	each_provider(work);
	close_secrets();
	if (secrets_program.finish)
		secrets_program.finish(&run);
	return run_finish(&run);
}

int main(int argc, char **argv)
{
	harden();
	event_init(secrets_program.name, EVENT_FOR_LOG);
	if (argc != 1) {
		event_emit(EVENT_ERROR, "usage", NULL, "%s takes no arguments; holdfast starts it",
			   argv[0]);
		return EXIT_USAGE;
	}
	int r = store_attach(secrets_program.role, &run.store);
	if (r < 0)
		return refuse_start(r);
	r = read_request();
	if (r < 0)
		return fail("the request on stdin cannot be used", -r);
	event_init(secrets_program.name, run.request.head.lines);
	if (ftruncate(STDOUT_FILENO, 0) < 0)
		return fail("stdout is no memory that can be filled", errno);
	r = hide_open(run.store);
	if (r < 0)
		return fail("what log hides values by cannot be written", -r);
	r = start_run();
	if (r < 0)
		return fail("no memory for values", -r);
	return do_run();
}
