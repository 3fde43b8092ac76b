/*
 * What the machine says of itself, for references: instance tags and user data, from the metadata
 * service of EC2. We parse nothing from a network. The program that fetches secrets asks, in its
 * sandbox and under its uid, as it would for a unit: its request has the variables in place of
 * secrets, and what comes back is a file of values.
 *
 * It is bounded twice: the program ends by its deadline, and is ended soon after.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/secretfile.h"
#include "lib/secretreport.h"
#include "lib/secretrequest.h"
#include "lib/signals.h"
#include "lib/str.h"
#include "lib/sys.h"

#define DEADLINE_MS   15000
#define PATIENCE_MS   3000 /* beyond it, until the program is killed */
#define VALUE_MAX     1024
#define REQUEST_BYTES 262144

/* One run of the program: the variables, and its files. */
struct asking {
	const struct units_identity *needed;
	size_t count;
	int program, request, values, report;
};

static const struct {
	int status;
	const char *why;
} outcomes[SECRET_OUTCOME_COUNT] = {
	[SECRET_OK] = {EX_SOFTWARE, "it was not answered"},
	[SECRET_NOT_FOUND] = {EX_CONFIG, "there is none"},
	[SECRET_DENIED] = {EX_UNAVAILABLE, "the metadata service refuses to answer"},
	[SECRET_MALFORMED] = {EX_CONFIG, "what stands there is no value"},
	[SECRET_TEMPORARY] = {EX_UNAVAILABLE, "the metadata service is busy or broken"},
	[SECRET_UNREACHABLE] = {EX_UNAVAILABLE, "the metadata service cannot be reached"},
	[SECRET_FAILED] = {EX_SOFTWARE, "the kernel would not"},
};

static int fail(struct boot *boot, const struct units_identity *variable, int status,
		const char *why)
{
	return boot_fail(boot, status, "%s:%u:%u: [Identity] %s=%s: %s", variable->file,
			 variable->line, variable->column, variable->name, variable->reference,
			 why);
}

static int fail_self(struct boot *boot, int error)
{
	return boot_fail(boot, EX_SOFTWARE, "the metadata service cannot be asked: %s",
			 strerror(error));
}

/* ---------------------------------------------------------------- the run */

static int write_request(const struct boot *boot, const struct units *units,
			 const struct asking *asking)
{
	static char block[REQUEST_BYTES];
	const char *const *setting = units_conf(units)->secret_settings;
	const struct secretrequest_head head = {
		.unit = "[Identity]",
		.uid = boot->uid_secrets,
		.operation = SECRETS_FETCH,
		.deadline_ms = DEADLINE_MS,
		.state_fd = -1,
		.report_fd = asking->report,
		.old_fd = -1,
		/* Nobody is between it and the stderr that we have. */
		.lines = (enum event_format)boot->log_format,
	};
	struct strbuf buf;

	strbuf_init(&buf, block, sizeof(block));
	secretrequest_begin(&buf, &head);
	for (; *setting; setting++)
		secretrequest_setting(&buf, *setting);
	for (size_t i = 0; i < asking->count; i++) {
		const struct secretrequest_item item = {
			.name = asking->needed[i].name,
			.reference = asking->needed[i].reference,
			.delivery = SECRET_ENVIRONMENT,
			.flags = SECRET_IS_CONFIG,
			.fd = -1,
		};
		secretrequest_add(&buf, &item);
	}
	int r = secretrequest_end(&buf);
	return r < 0 ? r : io_write_all(asking->request, buf.data, buf.length);
}

static _Noreturn void run_program(const struct boot *boot, const struct asking *asking)
{
	static char name[] = "holdfast-secrets-remote";
	char *argv[] = {name, NULL}, *environment[] = {NULL};

	if (setsid() < 0 || dup2(asking->request, STDIN_FILENO) < 0 ||
	    dup2(asking->values, STDOUT_FILENO) < 0 || fd_set_cloexec(asking->report, false) < 0)
		_exit(EXIT_FAILURE);
	store_expose(boot->store, ROLE_SECRETS_REMOTE);
	signals_set_mask(0, NULL);
	(void)sys_exec_fd(asking->program, argv, environment);
	_exit(EXIT_FAILURE);
}

/* Without pidfds its own deadline has to do. */
static int wait_for(pid_t pid)
{
	CLEANUP(fd_closep) int pidfd = sys_pidfd_open(pid, 0);
	uint64_t deadline = clock_now_us() + (DEADLINE_MS + PATIENCE_MS) * USEC_PER_MSEC;
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int status = 0, n = 0;

	if (pidfd >= 0) {
		while ((n = poll(&p, 1, clock_poll_ms(deadline))) < 0 && errno == EINTR)
			;
		if (n <= 0)
			(void)kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_UNAVAILABLE;
}

/* Its exit status, or -errno. */
static int ask(const struct boot *boot, const struct units *units, const struct asking *asking)
{
	int r = write_request(boot, units, asking);

	if (r < 0)
		return r;
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_program(boot, asking);
	return wait_for(pid);
}

/* ---------------------------------------------------------------- what came of it */

/* The first variable that could not be had is the cause; the program has said all of them. */
static int explain(struct boot *boot, const struct asking *asking, int status)
{
	static struct secretreport report;

	if (secretreport_read(asking->report, (uint32_t)asking->count, &report) == 0) {
		for (size_t i = 0; i < asking->count; i++) {
			uint32_t outcome = report.items[i].outcome;
			if (outcome != SECRET_OK)
				return fail(boot, &asking->needed[i], outcomes[outcome].status,
					    outcomes[outcome].why);
		}
	}
	return fail(boot, &asking->needed[0], EX_UNAVAILABLE,
		    status == EX_UNAVAILABLE ? "there was no answer in time"
					     : "the program that asks for it has failed");
}

static bool is_line(const struct secretfile_record *record)
{
	if (record->value_length == 0 || record->value_length > VALUE_MAX)
		return false;
	for (uint32_t i = 0; i < record->value_length; i++) {
		unsigned char c = (unsigned char)record->value[i];
		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

static int take_values(struct boot *boot, const struct asking *asking, const char **assignments)
{
	struct stat st;

	if (fstat(asking->values, &st) < 0)
		return fail_self(boot, errno);
	size_t size = (size_t)st.st_size;
	/* Kept for the life of the process: the assignments point into it. */
	const char *data = size == 0 ? MAP_FAILED
				     : mmap(NULL, size, PROT_READ, MAP_PRIVATE, asking->values, 0);
	if (data == MAP_FAILED)
		return fail_self(boot, size == 0 ? EBADMSG : errno);
	for (size_t i = 0; i < asking->count; i++) {
		struct secretfile_record record;
		if (secretfile_find(data, size, asking->needed[i].name, &record) != 1)
			return fail(boot, &asking->needed[i], EX_SOFTWARE, "it was not answered");
		if (!is_line(&record))
			return fail(boot, &asking->needed[i], EX_CONFIG,
				    "expected one line of text, of at most 1024 bytes");
		assignments[i] = record.assignment;
	}
	return 0;
}

static int open_files(struct asking *asking)
{
	asking->request = sys_memfd_create("holdfast-request", MFD_CLOEXEC);
	asking->values = sys_memfd_create("holdfast-identity", MFD_CLOEXEC);
	asking->report = sys_memfd_create("holdfast-report", MFD_CLOEXEC);
	return asking->request < 0 || asking->values < 0 || asking->report < 0 ? -errno : 0;
}

static void close_files(struct asking *asking)
{
	(void)fd_close(asking->request);
	(void)fd_close(asking->values);
	(void)fd_close(asking->report);
}

static int run(struct boot *boot, const struct units *units, struct asking *asking,
	       const char **assignments)
{
	int status = open_files(asking);

	if (status == 0)
		status = ask(boot, units, asking);
	if (status < 0)
		return fail_self(boot, -status);
	return status == 0 ? take_values(boot, asking, assignments) : explain(boot, asking, status);
}

int identity_fetch(struct boot *boot, const struct units *units, const char *const **ret_values)
{
	struct asking asking = {.request = -EBADF, .values = -EBADF, .report = -EBADF};

	asking.count = units_needed(units, &asking.needed);
	asking.program = store_find(boot->store, STORE_EXEC, ROLE_SECRETS_REMOTE);
	if (asking.program < 0)
		return fail(boot, &asking.needed[0], EX_CONFIG,
			    "this needs the program holdfast-secrets-remote, which is not "
			    "installed beside holdfast");
	const char **assignments = calloc(asking.count + 1, sizeof(*assignments));
	if (!assignments)
		return fail_self(boot, ENOMEM);
	int status = run(boot, units, &asking, assignments);
	close_files(&asking);
	if (status == 0)
		*ret_values = assignments;
	else
		free(assignments);
	return status;
}
