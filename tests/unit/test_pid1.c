/*
 * TESTS: init/pid1/keeper.c init/pid1/channel.c init/pid1/child.c init/pid1/shutdown.c init/pid1/pack.c init/pid1/command_rest.c lib/proc.c init/pid1/panic.c init/pid1/host.c init/pid1/watchdog.c init/pid1/detach.c init/pid1/room.c lib/machine.c lib/room.c lib/termination.c lib/fd.c lib/io.c lib/str.c lib/clock.c lib/json.c lib/event.c lib/sys.c lib/signals.c lib/store.c lib/plan.c lib/board.c lib/journal.c lib/proto.c
 *
 * The parts of managed mode that need no instance: when a death is followed by a start, what a
 * packet may be, and the last line of a process that crashes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/pid1/channel.h"
#include "init/pid1/detach.h"
#include "init/pid1/host.h"
#include "init/pid1/keeper.h"
#include "init/pid1/panic.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/proto.h"
#include "lib/sys.h"

#define MS USEC_PER_MSEC
#define S  USEC_PER_SEC

/* ---- deaths */

/* Dies `lived` after its start; the time until it is started again. */
static uint64_t die(struct child *child, uint64_t *now, uint64_t lived, bool *ret_is_hopeless)
{
	child->started_us = *now;
	*now += lived;
	*ret_is_hopeless = keeper_count_death(child, *now);
	uint64_t delay = child->respawn_us - *now;
	*now = child->respawn_us;
	return delay;
}

static void test_first_start_is_at_once_then_it_doubles(void **state)
{
	static const uint64_t wanted[] = {0,	     100 * MS,	200 * MS, 400 * MS, 800 * MS,
					  1600 * MS, 3200 * MS, 5 * S,	  5 * S,    5 * S};
	struct child child = {0};
	uint64_t now = 1000 * S;
	bool is_hopeless;

	(void)state;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_int_equal(die(&child, &now, 0, &is_hopeless), wanted[i]);
}

static void test_who_lived_a_minute_starts_afresh(void **state)
{
	struct child child = {0};
	uint64_t now = 1000 * S;
	bool is_hopeless;

	(void)state;
	for (int i = 0; i < 4; i++)
		(void)die(&child, &now, 0, &is_hopeless);
	assert_int_equal(die(&child, &now, 60 * S, &is_hopeless), 0);
	assert_false(is_hopeless);
	assert_int_equal(die(&child, &now, 60 * S - 1, &is_hopeless), 100 * MS);
}

static void test_five_deaths_in_ten_seconds(void **state)
{
	struct child child = {0};
	uint64_t now = 1000 * S;
	bool is_hopeless;

	(void)state;
	for (int i = 1; i <= 5; i++) {
		(void)die(&child, &now, 2 * S, &is_hopeless);
		assert_int_equal(is_hopeless, i == 5);
	}
	/* The window moves on: 5 within more than 10 s are not too many. */
	child = (struct child){0};
	for (int i = 0; i < 20; i++) {
		(void)die(&child, &now, 3 * S, &is_hopeless);
		assert_false(is_hopeless);
	}
	for (int i = 0; i < 5; i++) {
		child.started_us = now;
		is_hopeless = keeper_count_death(&child, now + (uint64_t)i);
	}
	assert_true(is_hopeless);
}

/* ---- packets */

static struct proto_packet packet(uint32_t type, uint32_t kind, uint32_t index, uint64_t value)
{
	return (struct proto_packet){.type = type, .kind = kind, .index = index, .value = value};
}

/* The one truth that the channel's table is compared with, for every type and kind. */
static bool is_expected(enum role sender, uint32_t type, uint32_t kind, bool has_fd)
{
	static const enum store_kind of_boot[] = {
		STORE_PLAN,
		STORE_PLAN_PUBLIC,
		STORE_BOARD,
		STORE_BOARD_PUBLIC,
		STORE_BOARD_FILE,
		STORE_RING,
		STORE_RING_PUBLIC,
		STORE_CAPTURE,
		STORE_NOTIFY,
		STORE_LISTEN,
		STORE_SOCKET,
		STORE_SECRET_FILE,
		STORE_CREDENTIALS,
		STORE_WATCHDOG,
		STORE_BUTTON,
		STORE_GATE,
		STORE_GATE_PUBLIC,
		STORE_EXEC_GATE,
		STORE_AUDIT,
		STORE_CGROUP,
		STORE_FINGERPRINTS,
		STORE_FINGERPRINTS_READ,
		STORE_FINGERPRINT_KEY,
		STORE_ROOM,
	};
	bool is_of_supervisor = kind == STORE_SECRET || kind == STORE_SECRET_OTHER ||
				kind == STORE_SECRET_STATE || kind == STORE_SECRET_REPORT;
	bool is_boots = false;

	for (size_t i = 0; i < sizeof(of_boot) / sizeof(of_boot[0]); i++)
		is_boots = is_boots || of_boot[i] == kind;
	if (type == PROTO_PUT)
		return has_fd && (sender == ROLE_BOOT ? is_boots : is_of_supervisor);
	if (type == PROTO_DROP)
		return !has_fd && sender == ROLE_SUPERVISOR && is_of_supervisor;
	if (type == PROTO_BOOTED || type == PROTO_FORMAT || type == PROTO_UNITS ||
	    type == PROTO_FAILED || type == PROTO_FAILED_BOOT || type == PROTO_WATCHDOG)
		return !has_fd && sender == ROLE_BOOT && kind == 0;
	return false; /* a second HELLO, and what has no name */
}

static void test_packets_by_type_and_kind(void **state)
{
	static const enum role senders[] = {ROLE_BOOT, ROLE_SUPERVISOR};

	(void)state;
	for (int i = 0; i < 2 * 16 * 64 * 2; i++) {
		struct channel channel = {.sender = senders[i & 1], .has_greeted = true};
		bool has_fd = i >> 1 & 1;
		uint32_t type = (uint32_t)(i >> 2 & 15), kind = (uint32_t)(i >> 6);
		struct proto_packet p = packet(type, kind, 0, 0);
		assert_int_equal(channel_allows(&channel, &p, has_fd),
				 is_expected(channel.sender, type, kind, has_fd));
		/* Nothing but HELLO comes first. */
		channel.has_greeted = false;
		assert_int_equal(channel_allows(&channel, &p, has_fd),
				 type == PROTO_HELLO && kind == 0 && !has_fd);
	}
}

static void test_packets_have_bounds(void **state)
{
	struct channel boot = {.sender = ROLE_BOOT, .has_greeted = true};
	struct proto_packet p = packet(PROTO_PUT, STORE_LISTEN, 65535, 0);

	(void)state;
	assert_true(channel_allows(&boot, &p, true));
	p.index = 65536;
	assert_false(channel_allows(&boot, &p, true));
	p = packet(PROTO_PUT, STORE_LISTEN, 0, 1);
	assert_false(channel_allows(&boot, &p, true));
	p = packet(PROTO_FAILED, 0, 0, 255);
	assert_true(channel_allows(&boot, &p, false));
	p.value = 256;
	assert_false(channel_allows(&boot, &p, false));
	p = packet(PROTO_FORMAT, 0, 0, LOG_RAW);
	assert_true(channel_allows(&boot, &p, false));
	p.value = LOG_FORMAT_COUNT;
	assert_false(channel_allows(&boot, &p, false));
	p = packet(PROTO_UNITS, 0, 0, PLAN_UNITS_MAX);
	assert_true(channel_allows(&boot, &p, false));
	p.value++;
	assert_false(channel_allows(&boot, &p, false));
	p = packet(PROTO_PUT, UINT32_MAX, 0, 0);
	assert_false(channel_allows(&boot, &p, true));
	/* After the last word nothing more is heard. */
	p = packet(PROTO_PUT, STORE_RING, 0, 0);
	boot.is_booted = true;
	assert_false(channel_allows(&boot, &p, true));
	boot = (struct channel){.sender = ROLE_BOOT, .has_greeted = true, .failed_status = 78};
	assert_false(channel_allows(&boot, &p, true));
}

/* ---- crashes */

static void touch_forbidden(void)
{
	volatile char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	page[16] = 1;
}

static void overflow_stack(void)
{
	volatile char big[4096];

	big[0] = 1;
	if (big[0])
		overflow_stack();
	big[1] = 1;
}

static void read_beyond_the_file(void)
{
	int fd = sys_memfd_create("empty", 0);
	volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	_exit(page[0]);
}

/* Ignored; then it ends in order. */
static void survive_what_others_send(void)
{
	pid_t self = getpid(), other = fork();

	if (other == 0) {
		for (int i = 0; i < 100; i++) {
			(void)kill(self, SIGSEGV);
			(void)kill(self, SIGABRT);
			(void)kill(self, SIGSYS);
		}
		_exit(0);
	}
	(void)waitpid(other, NULL, 0);
	_exit(42);
}

/* The status; what it wrote is in text. */
static int crash(void (*how)(void), char *text, size_t size)
{
	int ends[2], status;

	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)dup2(ends[1], STDERR_FILENO);
		panic_install(STDERR_FILENO);
		how();
		_exit(0);
	}
	(void)close(ends[1]);
	ssize_t n = io_read_full(ends[0], text, size - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_crashes_write_one_line_and_die_of_it(void **state)
{
	static const struct {
		void (*how)(void);
		int signal;
		const char *name;
	} cases[] = {
		{touch_forbidden, SIGSEGV, "\"signal\":\"SEGV\""},
		{overflow_stack, SIGSEGV, "\"signal\":\"SEGV\""},
		{read_beyond_the_file, SIGBUS, "\"signal\":\"BUS\""},
		{abort, SIGABRT, "\"signal\":\"ABRT\""},
	};
	char text[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = crash(cases[i].how, text, sizeof(text));
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), cases[i].signal);
		assert_non_null(strstr(text, "\"event\":\"panic\""));
		assert_non_null(strstr(text, cases[i].name));
		assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	}
}

static void test_a_sent_fault_is_no_crash(void **state)
{
	char text[4096];

	(void)state;
	int status = crash(survive_what_others_send, text, sizeof(text));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	assert_string_equal(text, "");
}

/* ---- the end of a machine, in a PID and mount namespace, where reboot(2) ends its init */

static void check_zero(int r)
{
	if (r != 0)
		_exit(99);
}

/* A root of our own with nothing of the machine's in it: a file system that detach_all made
 * read-only would be read-only for everybody. */
static void enter_own_root(void)
{
	static const char *const folders[] = {"proc", "old", "below", "below/on", "busy"};

	check_zero(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	check_zero(mount("root", "/mnt", "tmpfs", 0, NULL));
	check_zero(chdir("/mnt"));
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		check_zero(mkdir(folders[i], 0755));
	check_zero(sys_pivot_root(".", "old"));
	check_zero(umount2("/old", MNT_DETACH));
	check_zero(chdir("/"));
	check_zero(mount("proc", "/proc", "proc", 0, NULL));
}

static void check_mounts(const char *wanted)
{
	char text[4096];
	int fd = open("/proc/self/mounts", O_RDONLY);
	ssize_t n = io_read_full(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	(void)close(fd);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		size_t length = strcspn(line, " ");
		if (strncmp(line, wanted, length) != 0 || wanted[length] != ' ')
			_exit(95);
		wanted += length + 1;
	}
	check_zero(*wanted);
}

static int end_machine(void *is_restart)
{
	enter_own_root();
	check_mounts("root proc ");
	check_zero(mount("below", "/below", "tmpfs", 0, NULL));
	check_zero(mkdir("/below/on", 0755));
	check_zero(mount("above", "/below/on", "tmpfs", 0, NULL));
	check_zero(mount("busy", "/busy", "tmpfs", 0, NULL));
	check_zero(chdir("/busy"));
	if (host_is_first_init())
		_exit(98);
	detach_all();
	check_mounts("root proc busy ");
	if (open("file", O_CREAT | O_WRONLY, 0600) >= 0 || errno != EROFS)
		_exit(97);
	const struct instance in = {.end = is_restart ? MACHINE_RESTART : MACHINE_POWER_OFF};
	host_end(&in);
}

static void test_the_end_of_a_machine(void **state)
{
	static char stack[65536];
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	for (int is_restart = 0; is_restart < 2; is_restart++) {
		pid_t pid = clone(end_machine, stack + sizeof(stack),
				  CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, is_restart ? stack : NULL);
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		/* reboot(2): the parent sees HUP for a restart, INT for a power-off. */
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), is_restart ? SIGHUP : SIGINT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_start_is_at_once_then_it_doubles),
		cmocka_unit_test(test_who_lived_a_minute_starts_afresh),
		cmocka_unit_test(test_five_deaths_in_ten_seconds),
		cmocka_unit_test(test_packets_by_type_and_kind),
		cmocka_unit_test(test_packets_have_bounds),
		cmocka_unit_test(test_crashes_write_one_line_and_die_of_it),
		cmocka_unit_test(test_a_sent_fault_is_no_crash),
		cmocka_unit_test(test_the_end_of_a_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
