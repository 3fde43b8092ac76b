/* TESTS: lib/gateboard.c lib/protection.c lib/plan.c lib/fd.c lib/sys.c lib/str.c */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/fd.h"
#include "lib/gateboard.h"
#include "lib/sys.h"

static int make(struct gateboard **ret_board)
{
	int fd = sys_memfd_create("gate", 0);

	assert_true(fd >= 0);
	assert_int_equal(gateboard_format(fd, "not started"), 0);
	assert_int_equal(gateboard_map(fd, true, ret_board), 0);
	return fd;
}

static void test_begins_without_means(void **state)
{
	struct gateboard *board;
	int fd = make(&board);

	(void)state;
	for (enum gate_half half = 0; half < GATE_HALF_COUNT; half++) {
		struct gate_rung rung = gateboard_read_rung(board, half);
		assert_int_equal(rung.level, PROTECTION_NONE);
		assert_string_equal(rung.why, "not started");
	}
	assert_int_equal(gateboard_read_refusal(board).wall_us, 0);
	(void)close(fd);
}

static void test_what_was_written_last_is_read(void **state)
{
	static char long_text[1000];
	struct gateboard *board;
	int fd = make(&board);

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	for (int i = 0; i < 5; i++) {
		uint64_t before = gateboard_changes(board);
		gateboard_write_rung(board, GATE_INTRUDERS,
				     i % 2 ? PROTECTION_FULL : PROTECTION_REDUCED,
				     i % 2 ? "odd" : "even", long_text);
		struct gate_rung rung = gateboard_read_rung(board, GATE_INTRUDERS);
		assert_string_equal(rung.rung, i % 2 ? "odd" : "even");
		assert_int_equal(strlen(rung.why), GATE_WHY_MAX - 1);
		assert_true(gateboard_changes(board) > before);
	}
	assert_string_equal(gateboard_read_rung(board, GATE_EXEC).rung, "none");
	for (uint32_t i = 1; i <= 3; i++)
		gateboard_write_refusal(board, &(struct gate_refusal){.wall_us = i,
								      .counter = GATE_KILLED,
								      .pid = (int32_t)i,
								      .exe = "/bin/sh"});
	assert_int_equal(gateboard_read_refusal(board).pid, 3);
	assert_string_equal(gateboard_read_refusal(board).exe, "/bin/sh");
	assert_int_equal(gateboard_count(board, GATE_KILLED), 3);
	assert_int_equal(gateboard_count(board, GATE_DENIED), 0);
	(void)close(fd);
}

static void test_refused_calls(void **state)
{
	struct gateboard *board;
	struct gate_call call = {.unit = 1, .name = "ptrace", .allow = "ptrace"}, read;
	int fd = make(&board);

	(void)state;
	assert_false(gateboard_read_call(board, 0, &read));
	uint64_t before = gateboard_changes(board);
	assert_int_equal(gateboard_note_call(board, &call), 1);
	assert_int_equal(gateboard_note_call(board, &call), 2);
	assert_true(gateboard_changes(board) > before);
	call.is_deadly = 1;
	assert_int_equal(gateboard_note_call(board, &call), 1);
	assert_true(gateboard_read_call(board, 0, &read));
	assert_int_equal(read.count, 2);
	assert_string_equal(read.name, "ptrace");
	assert_true(gateboard_read_call(board, 1, &read));
	assert_false(gateboard_read_call(board, 2, &read));
	for (uint32_t unit = 2; unit <= GATE_CALLS_MAX; unit++) {
		call.unit = unit;
		assert_int_equal(gateboard_note_call(board, &call), unit == GATE_CALLS_MAX ? 0 : 1);
	}
	assert_int_equal(gateboard_calls_beyond(board), 1);
	/* Whatever stands there. */
	memset((char *)board + 16, 0xff, sizeof(*board) - 16);
	assert_true(gateboard_read_call(board, GATE_CALLS_MAX - 1, &read));
	assert_int_equal(strlen(read.name), GATE_CALL_NAME - 1);
	assert_false(gateboard_read_call(board, GATE_CALLS_MAX, &read));
	assert_int_equal(gateboard_note_call(board, &call), 0);
	(void)close(fd);
}

/* A service that is root may have written there: whatever it is, it ends and is in range. */
static void test_damage(void **state)
{
	struct gateboard *board, *other;
	int fd = make(&board);

	(void)state;
	gateboard_write_refusal(board, &(struct gate_refusal){.wall_us = 1});
	memset((char *)board + 16, 0xff, sizeof(*board) - 16);
	struct gate_rung rung = gateboard_read_rung(board, GATE_EXEC);
	assert_int_equal(rung.level, PROTECTION_NONE);
	assert_int_equal(strlen(rung.rung), GATE_RUNG_MAX - 1);
	assert_int_equal(gateboard_read_refusal(board).wall_us, 0);
	board->magic++;
	assert_int_equal(gateboard_map(fd, false, &other), -EBADMSG);
	assert_int_equal(ftruncate(fd, 10), 0);
	assert_int_equal(gateboard_map(fd, false, &other), -EBADMSG);
	/* And the gate begins anew. */
	assert_int_equal(gateboard_format(fd, "again"), 0);
	assert_int_equal(gateboard_map(fd, false, &other), 0);
	assert_string_equal(gateboard_read_rung(other, GATE_EXEC).why, "again");
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_without_means),
		cmocka_unit_test(test_what_was_written_last_is_read),
		cmocka_unit_test(test_refused_calls),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
