/* TESTS: gate/judge.c lib/proc.c lib/store.c lib/board.c lib/journal.c lib/plan.c lib/io.c lib/fd.c lib/sys.c lib/str.c lib/clock.c */
/*
 * Who is that process? In a /proc made of files, where each test says who there is.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/judge.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/store.h"
#include "lib/sys.h"

#define FORKED	   0x40	    /* PF_FORKNOEXEC */
#define OF_KERNEL  0x200000 /* PF_KTHREAD */
#define SUPERVISOR 6
#define MAIN	   20 /* of the one unit */

struct someone {
	int pid, parent, session;
	unsigned flags;
	int filters;	  /* -1: the kernel does not say */
	const char *exe;  /* NULL: none to be seen */
	const char *name; /* NULL: "x" */
	char state;	  /* 0: S */
	int threads;	  /* 0: 1 */
};

static char folder[64];
static struct board board;
static struct journal *journal;
static struct judge judge;

static void put_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void put_stat(const struct someone *who)
{
	char path[128], text[512];

	(void)snprintf(path, sizeof(path), "%s/%d/stat", folder, who->pid);
	(void)snprintf(text, sizeof(text),
		       "%d (%s) %c %d %d %d 0 -1 %u 0 0 0 0 0 0 0 0 20 0 %d 0 77 0 0 0\n", who->pid,
		       who->name ? who->name : "x", who->state ? who->state : 'S', who->parent,
		       who->session, who->session, who->flags, who->threads ? who->threads : 1);
	put_text(path, text);
}

static void put_status(const struct someone *who)
{
	char path[128], text[512], filters[64] = "";

	(void)snprintf(path, sizeof(path), "%s/%d/status", folder, who->pid);
	if (who->filters >= 0)
		(void)snprintf(filters, sizeof(filters), "Seccomp_filters:\t%d\n", who->filters);
	(void)snprintf(text, sizeof(text),
		       "Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t\n"
		       "CapPrm:\t00000000a80425fb\nSeccomp:\t2\n%s",
		       filters);
	put_text(path, text);
}

static void enter(struct someone who)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%d", folder, who.pid);
	assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
	put_stat(&who);
	put_status(&who);
	(void)snprintf(path, sizeof(path), "%s/%d/exe", folder, who.pid);
	(void)unlink(path);
	if (who.exe)
		assert_int_equal(symlink(who.exe, path), 0);
}

static void leave(int pid)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -r %s/%d", folder, pid);
	assert_int_equal(system(command), 0);
}

static enum judge_verdict ask(int pid)
{
	struct judge_result result;

	return judge_process(&judge, pid, &result);
}

static int set_up(void **state)
{
	CLEANUP(fd_closep) int board_fd = sys_memfd_create("board", 0);
	CLEANUP(fd_closep) int journal_fd = sys_memfd_create("journal", 0);
	struct stat st;
	char path[128];

	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/test-gate-judge-XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(board_format(board_fd, 1, 0), 0);
	assert_int_equal(board_map(board_fd, true, &board), 0);
	assert_int_equal(journal_format(journal_fd), 0);
	assert_int_equal(journal_map(journal_fd, true, &journal), 0);
	board.slots[0][SLOT_MAIN] = MAIN;
	journal->pids[ROLE_SUPERVISOR] = SUPERVISOR;
	(void)snprintf(path, sizeof(path), "%s/holdfastctl", folder);
	put_text(path, "it");
	assert_int_equal(stat(path, &st), 0);
	judge = (struct judge){
		.proc_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.board = &board,
		.journal = journal,
		.visitor_dev = st.st_dev,
		.visitor_ino = st.st_ino,
		.capabilities = UINT64_MAX,
		.are_orphans_marked = true,
	};
	enter((struct someone){.pid = 1, .filters = 1});
	enter((struct someone){.pid = SUPERVISOR, .parent = 1, .session = 6, .filters = 1});
	enter((struct someone){.pid = MAIN, .parent = 1, .session = MAIN, .filters = 2});
	assert_int_equal(judge_prepare(&judge), 0);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	(void)close(judge.proc_fd);
	(void)snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static void test_ours(void **state)
{
	(void)state;
	enter((struct someone){.pid = 21, .parent = MAIN, .session = MAIN, .filters = 2});
	enter((struct someone){.pid = 22, .parent = 21, .session = 22, .filters = 0});
	enter((struct someone){.pid = 7, .parent = SUPERVISOR, .session = 6, .filters = 1});
	enter((struct someone){.pid = 2, .parent = 0, .flags = OF_KERNEL});
	enter((struct someone){.pid = 3, .parent = 2, .flags = OF_KERNEL});
	enter((struct someone){.pid = 4, .parent = 3, .filters = 0});
	for (const int *pid = (const int[]){1, SUPERVISOR, MAIN, 21, 22, 7, 2, 3, 4, 0}; *pid;
	     pid++)
		assert_int_equal(ask(*pid), JUDGE_OURS);
}

/* Of a thousand starts each is asked about twice: the board alone answers. */
static void test_who_is_known_is_not_looked_at(void **state)
{
	struct judge_result result;

	(void)state;
	leave(MAIN);
	leave(SUPERVISOR);
	assert_int_equal(judge_process(&judge, MAIN, &result), JUDGE_OURS);
	assert_int_equal(result.stat.pid, MAIN);
	assert_int_equal(ask(SUPERVISOR), JUDGE_OURS);
	board.slots[0][SLOT_MAIN] = 0;
	assert_int_equal(ask(MAIN), JUDGE_GONE);
}

static void test_from_outside(void **state)
{
	struct judge_result result;

	(void)state;
	enter((struct someone){.pid = 30, .filters = 1, .exe = "/bin/true"});
	enter((struct someone){.pid = 31, .parent = 30, .session = 30, .filters = 1});
	/* A filter of its own is no mark where there is no parent. */
	enter((struct someone){.pid = 32, .filters = 7, .exe = "/bin/true"});
	for (int pid = 30; pid <= 32; pid++)
		assert_int_equal(ask(pid), JUDGE_INTRUDER);
	(void)judge_process(&judge, 31, &result);
	assert_int_equal(result.top, 30);
	assert_int_equal(result.stat.parent, 30);
}

static void test_visitor(void **state)
{
	ino_t ino = judge.visitor_ino;

	(void)state;
	enter((struct someone){.pid = 40, .filters = 1, .exe = "../holdfastctl"});
	enter((struct someone){.pid = 41, .parent = 40, .filters = 1, .exe = "../holdfastctl"});
	enter((struct someone){.pid = 42, .filters = 1, .exe = "/bin/true", .name = "holdfastctl"});
	assert_int_equal(ask(40), JUDGE_VISITOR);
	assert_int_equal(ask(41), JUDGE_INTRUDER);
	assert_int_equal(ask(42), JUDGE_INTRUDER);
	judge.visitor_ino = 0;
	assert_int_equal(ask(40), JUDGE_INTRUDER);
	judge.stub_dev = judge.visitor_dev;
	judge.stub_ino = ino;
	assert_int_equal(ask(40), JUDGE_VISITOR);
	assert_int_equal(ask(42), JUDGE_INTRUDER);
}

static void test_young(void **state)
{
	struct judge_result result;

	(void)state;
	enter((struct someone){.pid = 50, .flags = FORKED, .filters = 1, .exe = "/bin/true"});
	enter((struct someone){.pid = 51, .parent = 50, .flags = FORKED, .filters = 1});
	enter((struct someone){.pid = 52, .parent = 50, .filters = 1});
	enter((struct someone){
		.pid = 53, .parent = 1, .flags = FORKED, .session = 53, .filters = 1});
	assert_int_equal(judge_process(&judge, 50, &result), JUDGE_YOUNG);
	assert_int_equal(result.grace_us, 1000000);
	assert_int_equal(result.top, 50);
	assert_int_equal(ask(51), JUDGE_YOUNG);
	assert_int_equal(ask(52), JUDGE_INTRUDER);
	assert_int_equal(judge_process(&judge, 53, &result), JUDGE_YOUNG);
	assert_int_equal(result.grace_us, 100000);
}

/* Of who forks and ends, over and over, the next one is always young. */
static void test_pursuit(void **state)
{
	struct judge_result result;

	(void)state;
	enter((struct someone){.pid = 50, .flags = FORKED, .filters = 1});
	enter((struct someone){
		.pid = 53, .parent = 1, .flags = FORKED, .session = 53, .filters = 1});
	enter((struct someone){
		.pid = 54, .parent = 53, .flags = FORKED, .session = 53, .filters = 1});
	enter((struct someone){
		.pid = 55, .parent = 1, .flags = FORKED, .session = 55, .filters = 2});
	judge.is_pursuing = true;
	assert_int_equal(judge_process(&judge, 53, &result), JUDGE_INTRUDER);
	assert_true(result.is_orphan);
	assert_int_equal(ask(54), JUDGE_INTRUDER);
	assert_int_equal(ask(55), JUDGE_OURS);
	assert_int_equal(judge_process(&judge, 50, &result), JUDGE_YOUNG);
	assert_false(result.is_orphan);
}

static void test_orphans(void **state)
{
	(void)state;
	enter((struct someone){.pid = 60, .parent = 1, .session = 60, .filters = 2});
	enter((struct someone){
		.pid = 61, .parent = 1, .session = 61, .filters = 1, .exe = "/bin/true"});
	enter((struct someone){.pid = 62, .parent = 61, .session = 61, .filters = 0});
	enter((struct someone){
		.pid = 63, .parent = 1, .session = 0, .filters = 9, .exe = "/bin/true"});
	enter((struct someone){
		.pid = 64, .parent = 1, .session = 64, .filters = -1, .exe = "/bin/true"});
	assert_int_equal(ask(60), JUDGE_OURS);
	for (int pid = 61; pid <= 64; pid++)
		assert_int_equal(ask(pid), JUDGE_INTRUDER);
	judge.are_orphans_marked = false;
	assert_int_equal(ask(61), JUDGE_OURS);
	assert_int_equal(ask(63), JUDGE_INTRUDER);
	/* What an intruder left in its session. */
	judge_condemn(&judge, 61);
	assert_int_equal(ask(61), JUDGE_INTRUDER);
	assert_int_equal(ask(62), JUDGE_INTRUDER);
	/* Not for ever: the number is a pid, which somebody else may have one day. */
	judge.sessions[0].until_us = 1;
	assert_int_equal(ask(62), JUDGE_OURS);
	judge_condemn(&judge, 61);
	assert_int_equal(ask(62), JUDGE_INTRUDER);
	assert_int_equal(judge.n_sessions, 1);
	/* Sessions that nobody can be told by. */
	judge_condemn(&judge, 1);
	judge_condemn(&judge, 0);
	enter((struct someone){.pid = 65, .parent = 1, .session = 1, .filters = 1});
	assert_int_equal(ask(65), JUDGE_OURS);
}

static void test_a_kernel_that_does_not_count(void **state)
{
	(void)state;
	enter((struct someone){.pid = 1, .filters = -1});
	enter((struct someone){.pid = 61, .parent = 1, .session = 61, .filters = -1});
	assert_int_equal(judge_prepare(&judge), 0);
	assert_false(judge.has_counts);
	assert_int_equal(ask(61), JUDGE_OURS);
}

static void test_a_ring_of_sessions(void **state)
{
	(void)state;
	judge.are_orphans_marked = false;
	for (int session = 100; session < 100 + 3 * JUDGE_SESSIONS; session++)
		judge_condemn(&judge, session);
	enter((struct someone){.pid = 70,
			       .parent = 1,
			       .session = 99 + 3 * JUDGE_SESSIONS,
			       .filters = 1,
			       .exe = "/bin/true"});
	enter((struct someone){.pid = 71, .parent = 1, .session = 100, .filters = 1});
	assert_int_equal(ask(70), JUDGE_INTRUDER);
	assert_int_equal(ask(71), JUDGE_OURS);
}

static void test_gone(void **state)
{
	struct judge_result result;

	(void)state;
	assert_int_equal(ask(80), JUDGE_GONE);
	enter((struct someone){.pid = 81, .filters = 1, .state = 'Z'});
	assert_int_equal(ask(81), JUDGE_GONE);
	/* Its first thread has ended, and the others go on. */
	enter((struct someone){.pid = 82, .filters = 1, .state = 'Z', .threads = 2});
	assert_int_equal(ask(82), JUDGE_INTRUDER);
	/* On its way out it has no program any more. */
	enter((struct someone){.pid = 83, .filters = 1});
	assert_int_equal(ask(83), JUDGE_GONE);
	/* Its parent ended between two looks, for ever. */
	enter((struct someone){.pid = 84, .parent = 99, .filters = 1});
	assert_int_equal(judge_process(&judge, 84, &result), JUDGE_YOUNG);
	assert_int_equal(result.top, 0);
}

/* Pids that were used again may look like a circle: nobody climbs for ever. */
static void test_a_circle(void **state)
{
	(void)state;
	enter((struct someone){.pid = 90, .parent = 91, .filters = 1});
	enter((struct someone){.pid = 91, .parent = 90, .filters = 1});
	assert_int_equal(ask(90), JUDGE_YOUNG);
	leave(91);
	assert_int_equal(ask(90), JUDGE_YOUNG);
}

static void test_names_lie(void **state)
{
	static const char *const names[] = {
		"x) S 1 1 1 0 -1 0", ") Z 6 6", "(", ")", "a b\tc", "6 (x) S 6",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		enter((struct someone){
			.pid = 30, .filters = 1, .exe = "/bin/true", .name = names[i]});
		assert_int_equal(ask(30), JUDGE_INTRUDER);
	}
}

static void test_describe(void **state)
{
	struct judge_result result;
	char text[64];

	(void)state;
	enter((struct someone){.pid = 30, .filters = 1, .exe = "/bin/true"});
	(void)judge_process(&judge, 30, &result);
	judge_describe(&judge, &result.stat, text, sizeof(text));
	assert_string_equal(text, "/bin/true");
	enter((struct someone){.pid = 30, .filters = 1, .name = "evil] name"});
	(void)judge_process(&judge, 30, &result);
	judge_describe(&judge, &result.stat, text, sizeof(text));
	assert_string_equal(text, "[evil] name]");
}

static void test_status_texts(void **state)
{
	static char long_text[64 * 1024] = "Name:\tx\nUid:\t5 6 7 8\nGid:\t9\nGroups:\t";
	struct judge_status status;

	(void)state;
	assert_int_equal(judge_parse_status("Name:\tx\nUid:\t5\t6\t7\t8\nGid:\t9\t1\t1\t1\n"
					    "CapPrm:\t00000000a80425fb\nSeccomp_filters:\t3\n",
					    &status),
			 0);
	assert_int_equal(status.uid, 5);
	assert_int_equal(status.gid, 9);
	assert_int_equal(status.capabilities, 0xa80425fb);
	assert_true(status.has_filters);
	assert_int_equal(status.filters, 3);
	/* Only at the start of a line; without the line, more than anybody has. */
	assert_int_equal(judge_parse_status("Name:\tSeccomp_filters:\t9\nUid:\t1\nGid:\t1\n"
					    " Seccomp_filters:\t9\n",
					    &status),
			 0);
	assert_false(status.has_filters);
	assert_true(status.capabilities == UINT64_MAX);
	for (const char *const *bad = (const char *const[]){"", "\n\n", "Uid:\t1\n", "Gid:\t1\n",
							    "Uid:\tx\nGid:\t1\n", NULL};
	     *bad; bad++)
		assert_int_equal(judge_parse_status(*bad, &status), -EBADMSG);
	/* Cut within its groups. */
	memset(long_text + strlen(long_text), '1', sizeof(long_text) - strlen(long_text) - 1);
	assert_int_equal(judge_parse_status(long_text, &status), 0);
	assert_false(status.has_filters);
}

/* So many groups that the count of filters is beyond what is read: that is no mark. */
static void test_a_count_out_of_sight(void **state)
{
	static char text[64 * 1024] = "Name:\tx\nUid:\t0\nGid:\t0\nGroups:\t";
	char path[128];
	size_t length = strlen(text);

	(void)state;
	enter((struct someone){
		.pid = 61, .parent = 1, .session = 61, .filters = 5, .exe = "/bin/true"});
	assert_int_equal(ask(61), JUDGE_OURS);
	memset(text + length, '7', 40000);
	(void)snprintf(text + length + 40000, 64, "\nSeccomp_filters:\t5\n");
	(void)snprintf(path, sizeof(path), "%s/61/status", folder);
	put_text(path, text);
	assert_int_equal(ask(61), JUDGE_INTRUDER);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(test_ours),
		ROW(test_who_is_known_is_not_looked_at),
		ROW(test_from_outside),
		ROW(test_visitor),
		ROW(test_young),
		ROW(test_pursuit),
		ROW(test_orphans),
		ROW(test_a_kernel_that_does_not_count),
		ROW(test_a_ring_of_sessions),
		ROW(test_gone),
		ROW(test_a_circle),
		ROW(test_names_lie),
		ROW(test_describe),
		ROW(test_status_texts),
		ROW(test_a_count_out_of_sight),
	};
#undef ROW
	return cmocka_run_group_tests(tests, NULL, NULL);
}
