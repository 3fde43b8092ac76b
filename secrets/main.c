/*
 * holdfast-secrets: fetches the secrets of one unit, once, and is gone.
 *
 *	stdin	the request (lib/secretrequest.h)
 *	stdout	memory to be filled (lib/secretfile.h), opened read-write, in PID 1's store
 *	stderr	events
 *
 * What keeps a value from leaking: the process is non-dumpable from its first instruction on and
 * writes no core; its pages are locked where that is allowed; it holds one value at a time, in one
 * buffer that is wiped before the next; it knows no system call by which a value could leave but
 * writing to fds that it already had; and nothing that it prints is made from a value, but for its
 * length. On any failure the memory is emptied: a unit gets all of its secrets or none.
 *
 * Sources are opened first, as whoever we were started, and read last, as nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/sandbox.h"
#include "lib/secretfile.h"
#include "lib/secretrequest.h"
#include "lib/store.h"
#include "secrets/source.h"

#include "gen/secrets/filter.h"

#define EXIT_USAGE    64
#define EXIT_INTERNAL 70
#define TOTAL_MAX     (8U << 20) /* all values of a unit: it is memory that cannot swap */

static const struct {
	int status;
	const char *event;
} outcomes[SOURCE_OUTCOME_COUNT] = {
	[SOURCE_OK] = {0, "secret-read"},
	[SOURCE_NOT_FOUND] = {66, "secret-not-found"},
	[SOURCE_DENIED] = {77, "secret-denied"},
	[SOURCE_MALFORMED] = {78, "secret-malformed"},
	[SOURCE_FAILED] = {EXIT_INTERNAL, "secret-failed"},
};

struct run {
	struct secretrequest request;
	struct source sources[SECRETREQUEST_ITEMS_MAX];
	char *buffer; /* of one value, SECRETFILE_VALUE_MAX + 1 bytes */
	size_t total;
	uint32_t n_delivered;
	int status; /* of the first failure */
};

static char request_block[SECRETREQUEST_MAX + 1] __attribute__((aligned(8)));

static int fail(const char *what, int error)
{
	event_emit(EVENT_ERROR, "secrets-failed", NULL, "%s: %s", what, strerror(error));
	return EXIT_INTERNAL;
}

static void harden(void)
{
	const struct rlimit none = {0, 0};

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

static int read_request(struct secretrequest *ret_request)
{
	/* A memfd that its maker has written stands at its end; a pipe cannot seek. */
	(void)lseek(STDIN_FILENO, 0, SEEK_SET);
	ssize_t n = io_read_full(STDIN_FILENO, request_block, sizeof(request_block));
	return n < 0 ? (int)n : secretrequest_open(request_block, (size_t)n, ret_request);
}

static struct source_environ map_environ(const struct store_table *store)
{
	struct source_environ none = {"", 0};
	struct stat st;
	int fd = store_find(store, STORE_ENVIRON, 0);

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0)
		return none;
	const char *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return none;
	return (struct source_environ){data, (size_t)st.st_size};
}

static void report(struct run *run, const struct secretrequest_item *item,
		   enum source_outcome outcome, const char *why)
{
	bool is_absent = outcome == SOURCE_NOT_FOUND && (item->flags & SECRET_OPTIONAL);

	event_with_string("name", item->name);
	event_with_string("reference", item->reference);
	if (is_absent) {
		event_emit(EVENT_INFO, "secret-absent", run->request.unit,
			   "optional secret %s (%s) is left out: %s", item->name, item->reference,
			   why);
		return;
	}
	event_emit(EVENT_ERROR, outcomes[outcome].event, run->request.unit, "secret %s (%s): %s",
		   item->name, item->reference, why);
	if (run->status == 0)
		run->status = outcomes[outcome].status;
}

/* Files and variables of a unit are told apart by where they go; a record has but the name. */
static bool collides(const struct secretrequest *request, const struct secretrequest_item *item,
		     uint32_t before)
{
	struct secretrequest_item other;
	size_t cursor = 0;

	for (uint32_t i = 0; i < before && secretrequest_next(request, &cursor, &other); i++) {
		if (str_equal(other.name, item->name))
			return true;
	}
	return false;
}

static void open_sources(struct run *run, const struct source_environ *environment)
{
	struct secretrequest_item item;
	size_t cursor = 0;

	for (uint32_t i = 0; secretrequest_next(&run->request, &cursor, &item); i++) {
		char text[512];
		struct strbuf why;
		strbuf_init(&why, text, sizeof(text));
		run->sources[i].fd = -EBADF;
		enum source_outcome outcome = SOURCE_MALFORMED;
		if (collides(&run->request, &item, i))
			strbuf_adds(&why, "the unit has two secrets of that name");
		else
			outcome = source_open(environment, &item, &run->sources[i], &why);
		if (outcome != SOURCE_OK)
			report(run, &item, outcome, text);
	}
}

/* Files of other units, which every helper inherits: not ours to hold. */
static void close_foreign_files(const struct run *run, const struct store_table *store)
{
	const struct store_entry *entry;
	uint32_t at = 0;

	while ((entry = store_next(store, STORE_SECRET_FILE, &at))) {
		struct secretrequest_item item;
		size_t cursor = 0;
		bool is_ours = false;
		while (secretrequest_next(&run->request, &cursor, &item))
			is_ours |= item.fd == entry->fd;
		if (!is_ours)
			(void)close(entry->fd);
	}
}

static enum source_outcome deliver(struct run *run, const struct secretrequest_item *item,
				   struct source *source, struct strbuf *why)
{
	const char *value;
	size_t length;

	enum source_outcome outcome = source_read(source, item, run->buffer, &value, &length, why);
	if (outcome != SOURCE_OK)
		return outcome;
	if (length > TOTAL_MAX - run->total) {
		strbuf_adds(why, "the secrets of the unit are larger than 8 MiB together");
		return SOURCE_MALFORMED;
	}
	int r = secretfile_append(STDOUT_FILENO, item->name, value, length);
	if (r < 0) {
		strbuf_addf(why, "its memory cannot be written: %s", strerror(-r));
		return SOURCE_FAILED;
	}
	run->total += length;
	run->n_delivered++;
	return SOURCE_OK;
}

static void read_sources(struct run *run)
{
	struct secretrequest_item item;
	size_t cursor = 0;

	for (uint32_t i = 0; secretrequest_next(&run->request, &cursor, &item); i++) {
		char text[512];
		struct strbuf why;
		struct source *source = &run->sources[i];
		if (source->fd < 0 && !source->text)
			continue;
		strbuf_init(&why, text, sizeof(text));
		enum source_outcome outcome = deliver(run, &item, source, &why);
		explicit_bzero(run->buffer, source->n_buffered);
		source_close(source);
		if (outcome != SOURCE_OK)
			report(run, &item, outcome, text);
	}
}

/* After this the process cannot open, start or reach anything. */
static int lock_in(const struct run *run)
{
	const struct sandbox sandbox = {
		.uid = run->request.uid,
		.filter = secrets_filter,
		.filter_count = sizeof(secrets_filter) / sizeof(secrets_filter[0]),
	};

	/* Best effort: without CAP_IPC_LOCK the limit may be 64 KiB. Pages are locked as they are
	 * touched, since the buffers are large and values small. */
	if (mlockall(MCL_CURRENT | MCL_ONFAULT) < 0)
		(void)mlockall(MCL_CURRENT);
	int had = sandbox_enter(&sandbox);
	if (had >= 0 && !(had & SANDBOX_SECCOMP))
		event_emit(EVENT_WARNING, "sandbox-reduced", run->request.unit,
			   "the kernel or the runtime refuses seccomp filters: secrets are read "
			   "without one");
	return had;
}

static int finish(const struct run *run)
{
	if (run->status != 0) {
		(void)ftruncate(STDOUT_FILENO, 0);
		return run->status;
	}
	/* Only a memfd made for it can be sealed; files on ramfs and tmpfs refuse. */
	(void)fcntl(STDOUT_FILENO, F_ADD_SEALS,
		    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	event_with_i64("count", run->n_delivered);
	event_with_i64("bytes", (int64_t)run->total);
	event_emit(EVENT_INFO, "secrets-read", run->request.unit, "%u of %u secrets are ready",
		   run->n_delivered, run->request.count);
	return 0;
}

int main(int argc, char **argv)
{
	static struct run run;
	const struct store_table *store;

	harden();
	event_init("holdfast-secrets", 0);
	if (argc != 1) {
		event_emit(EVENT_ERROR, "usage", NULL, "%s takes no arguments; holdfast starts it",
			   argv[0]);
		return EXIT_USAGE;
	}
	int r = store_attach(ROLE_SECRETS, &store);
	if (r < 0)
		return fail("it was not started by holdfast", -r);
	r = read_request(&run.request);
	if (r < 0)
		return fail("the request on stdin cannot be used", -r);
	if (ftruncate(STDOUT_FILENO, 0) < 0)
		return fail("stdout is no memory that can be filled", errno);
	run.buffer = mmap(NULL, SECRETFILE_VALUE_MAX + 1, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (run.buffer == MAP_FAILED)
		return fail("no memory for a value", errno);

	struct source_environ environment = map_environ(store);
	open_sources(&run, &environment);
	close_foreign_files(&run, store);
	r = lock_in(&run);
	if (r < 0)
		return fail("its own user id cannot be taken", -r);
	read_sources(&run);
	return finish(&run);
}
