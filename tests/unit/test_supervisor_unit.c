/* TESTS: supervisor/unit.c supervisor/outcome.c lib/board.c lib/fd.c lib/sys.c lib/plan.c lib/clock.c lib/str.c */
/*
 * The table of a unit's life: every cell is walked, the properties that the rest relies on are
 * checked over all of it, and docs/unit-states.md is what the table prints (HOLDFAST_WRITE=1
 * writes it).
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "lib/str.h"
#include "supervisor/outcome.h"
#include "supervisor/unit.h"

#define DOCUMENT "docs/unit-states.md"

static void every_cell_leads_to_a_state(void **state)
{
	int legal = 0;

	(void)state;
	for (int s = 0; s < UNIT_STATE_COUNT; s++) {
		for (int e = 0; e < UNIT_EVENT_COUNT; e++) {
			int next = unit_next((enum unit_state)s, (enum unit_event)e);
			assert_true(next >= -1 && next < UNIT_STATE_COUNT);
			legal += next >= 0;
		}
	}
	assert_in_range(legal, 80, UNIT_STATE_COUNT * UNIT_EVENT_COUNT);
}

/* A stop is never refused, and following stops, timeouts and emptiness always ends it. */
static void every_state_can_be_stopped(void **state)
{
	(void)state;
	for (int s = 0; s < UNIT_STATE_COUNT; s++) {
		int at = s;
		if (unit_is_down((enum unit_state)s))
			continue;
		assert_true(unit_next((enum unit_state)s, EVENT_UNIT_STOP) >= 0);
		at = unit_next((enum unit_state)s, EVENT_UNIT_STOP);
		for (int steps = 0; !unit_is_down((enum unit_state)at); steps++) {
			assert_in_range(steps, 0, 10);
			int next = unit_next((enum unit_state)at, EVENT_UNIT_TIMEOUT);
			if (next < 0)
				next = unit_next((enum unit_state)at, EVENT_UNIT_END_FAILED);
			assert_true(next >= 0);
			at = next;
		}
	}
}

static bool has_process(int s)
{
	return !unit_is_down((enum unit_state)s) && s != UNIT_AUTO_RESTART && s != UNIT_FETCHING &&
	       s != UNIT_EXITED;
}

/* The main process can end in any state that has processes: there is a cell for it. */
static void every_state_with_processes_survives_an_exit(void **state)
{
	(void)state;
	for (int s = UNIT_START; s < UNIT_STATE_COUNT; s++) {
		if (!has_process(s))
			continue;
		assert_true(unit_next((enum unit_state)s, EVENT_UNIT_MAIN_FAIL) >= 0);
		assert_true(unit_next((enum unit_state)s, EVENT_UNIT_MAIN_OK) >= 0);
	}
}

/* A state with a limit has an answer to its end; one that runs commands to their ends. */
static void entries_match_the_table(void **state)
{
	(void)state;
	for (int s = 0; s < UNIT_STATE_COUNT; s++) {
		const struct unit_entry *entry = &unit_entries[s];
		bool ends_itself = s == UNIT_FINAL_SIGKILL || s == UNIT_AUTO_RESTART;
		if (entry->limit != LIMIT_NONE && !ends_itself)
			assert_true(unit_next((enum unit_state)s, EVENT_UNIT_TIMEOUT) >= 0);
		if (entry->phase < 0)
			continue;
		assert_int_equal(unit_next((enum unit_state)s, EVENT_UNIT_NEXT), s);
		assert_true(unit_next((enum unit_state)s, EVENT_UNIT_DONE) >= 0);
		assert_true(unit_next((enum unit_state)s, EVENT_UNIT_FAIL) >= 0);
	}
}

static void every_state_is_of_one_kind(void **state)
{
	(void)state;
	for (int s = 0; s < UNIT_STATE_COUNT; s++) {
		enum unit_state at = (enum unit_state)s;
		assert_int_equal(unit_is_up(at) + unit_is_down(at) + unit_is_coming(at) +
					 unit_is_going(at),
				 1);
	}
}

static void print_table(FILE *out)
{
	(void)fprintf(
		out,
		"# The states of a unit\n\nPrinted from the table in supervisor/unit.c by its "
		"test; a cell that is not here is illegal.\n\n| state | event | next |\n|---|---|---|\n");
	for (int s = 0; s < UNIT_STATE_COUNT; s++) {
		for (int e = 0; e < UNIT_EVENT_COUNT; e++) {
			int next = unit_next((enum unit_state)s, (enum unit_event)e);
			if (next >= 0)
				(void)fprintf(out, "| %s | %s | %s |\n", unit_state_names[s],
					      unit_event_names[e], unit_state_names[next]);
		}
	}
}

static void the_document_is_the_table(void **state)
{
	char *text = NULL;
	size_t size = 0;
	static char found[1 << 16];

	(void)state;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	print_table(out);
	assert_int_equal(fclose(out), 0);
	FILE *file = fopen(DOCUMENT, getenv("HOLDFAST_WRITE") ? "w+" : "r");
	assert_non_null(file);
	if (getenv("HOLDFAST_WRITE")) {
		assert_int_equal(fwrite(text, 1, size, file), size);
		rewind(file);
	}
	size_t n = fread(found, 1, sizeof(found) - 1, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(n, size);
	assert_memory_equal(found, text, size);
	free(text);
}

/* ---- outcome */

static void clean_and_unclean_exits(void **state)
{
	struct plan_unit unit = {.type = SERVICE_SIMPLE};
	struct plan_unit oneshot = {.type = SERVICE_ONESHOT};
	struct plan_statuses statuses = {0};

	(void)state;
	statuses.success.statuses[143 / 32] |= 1U << (143 % 32);
	statuses.success.signals |= UINT64_C(1) << (SIGUSR1 - 1);
	assert_int_equal(outcome_of_exit(&unit, &statuses, CLD_EXITED, 0), RESULT_SUCCESS);
	assert_int_equal(outcome_of_exit(&unit, &statuses, CLD_EXITED, 1), RESULT_EXIT_CODE);
	assert_int_equal(outcome_of_exit(&unit, &statuses, CLD_EXITED, 143), RESULT_SUCCESS);
	assert_int_equal(outcome_of_exit(&unit, &statuses, CLD_KILLED, SIGTERM), RESULT_SUCCESS);
	assert_int_equal(outcome_of_exit(&unit, &statuses, CLD_KILLED, SIGUSR1), RESULT_SUCCESS);
	assert_int_equal(outcome_of_exit(&unit, &statuses, CLD_KILLED, SIGKILL), RESULT_SIGNAL);
	assert_int_equal(outcome_of_exit(&unit, &statuses, CLD_DUMPED, SIGSEGV), RESULT_CORE_DUMP);
	assert_int_equal(outcome_of_exit(&oneshot, &statuses, CLD_KILLED, SIGTERM), RESULT_SIGNAL);
	assert_int_equal(outcome_of_command(CLD_KILLED, SIGTERM), RESULT_SIGNAL);
}

static void restart_policies(void **state)
{
	static const enum unit_result ends[] = {RESULT_SUCCESS, RESULT_EXIT_CODE, RESULT_SIGNAL,
						RESULT_TIMEOUT, RESULT_WATCHDOG};
	/* systemd.service(5), the table at Restart=: a row a policy, a column an end. */
	static const char *const expected[RESTART_COUNT] = {
		[RESTART_NO] = "-----",		 [RESTART_ON_SUCCESS] = "x----",
		[RESTART_ON_FAILURE] = "-xxxx",	 [RESTART_ON_ABNORMAL] = "--xxx",
		[RESTART_ON_WATCHDOG] = "----x", [RESTART_ON_ABORT] = "--x--",
		[RESTART_ALWAYS] = "xxxxx",
	};
	const struct plan_statuses statuses = {0};

	(void)state;
	for (uint32_t policy = 0; policy < RESTART_COUNT; policy++) {
		for (size_t end = 0; end < sizeof(ends) / sizeof(ends[0]); end++) {
			struct plan_unit unit = {.restart = policy};
			struct board_unit record = {.result = ends[end]};
			assert_int_equal(outcome_wants_restart(&unit, &statuses, &record),
					 expected[policy][end] == 'x');
		}
	}
}

static void prevented_and_forced_restarts(void **state)
{
	struct plan_unit unit = {.restart = RESTART_ALWAYS};
	struct plan_statuses statuses = {0};
	struct board_unit record = {.result = RESULT_EXIT_CODE,
				    .flags = BOARD_UNIT_MAIN_EXITED,
				    .exit_code = CLD_EXITED,
				    .exit_status = 64};

	(void)state;
	statuses.restart_prevent.statuses[2] |= 1U;
	assert_false(outcome_wants_restart(&unit, &statuses, &record));
	unit.restart = RESTART_NO;
	record.exit_status = 65;
	statuses.restart_force.statuses[2] |= 2U;
	assert_true(outcome_wants_restart(&unit, &statuses, &record));
	record.result = RESULT_DEPENDENCY;
	assert_false(outcome_wants_restart(&unit, &statuses, &record));
}

static void restart_delays_double_up_to_a_limit(void **state)
{
	struct plan_unit fixed = {.restart_us = 100, .restart_max_us = 0};
	struct plan_unit growing = {.restart_us = 100, .restart_max_us = 1000};

	(void)state;
	assert_int_equal(outcome_restart_delay(&fixed, 30), 100);
	assert_int_equal(outcome_restart_delay(&growing, 0), 100);
	assert_int_equal(outcome_restart_delay(&growing, 2), 400);
	assert_int_equal(outcome_restart_delay(&growing, 40), 1000);
}

static void start_limit_counts_in_its_interval(void **state)
{
	struct plan_unit unit = {.start_limit_burst = 2, .start_limit_interval_us = 1000};
	struct board_unit record = {0};

	(void)state;
	assert_true(outcome_start_allowed(&unit, &record, 10000));
	assert_true(outcome_start_allowed(&unit, &record, 10500));
	assert_false(outcome_start_allowed(&unit, &record, 11000));
	assert_true(outcome_start_allowed(&unit, &record, 11001));
	unit.start_limit_burst = 0;
	for (int i = 0; i < 100; i++)
		assert_true(outcome_start_allowed(&unit, &record, 11001));
}

static void instance_statuses(void **state)
{
	const struct plan_header header = {0};
	struct plan_unit unit = {.failure_status = 256, .success_status = 256};
	struct board_unit record = {.flags = BOARD_UNIT_MAIN_EXITED, .exit_code = CLD_EXITED};

	(void)state;
	assert_int_equal(outcome_instance_status(&header, &unit, &record), 0);
	record.exit_status = 3;
	record.result = RESULT_EXIT_CODE;
	assert_int_equal(outcome_instance_status(&header, &unit, &record), 3);
	record.exit_code = CLD_KILLED;
	record.exit_status = SIGKILL;
	record.result = RESULT_SIGNAL;
	assert_int_equal(outcome_instance_status(&header, &unit, &record), 137);
	unit.failure_status = 12;
	assert_int_equal(outcome_instance_status(&header, &unit, &record), 12);
	/* A failure without an exit (a time limit) never looks like success. */
	unit.failure_status = 256;
	record = (struct board_unit){.result = RESULT_TIMEOUT};
	assert_int_equal(outcome_instance_status(&header, &unit, &record), 1);
	record = (struct board_unit){.result = RESULT_SECRETS, .exec_error = 66};
	assert_int_equal(outcome_instance_status(&header, &unit, &record), 66);
}

static void the_main_command_has_its_own_statuses(void **state)
{
	struct plan_header header = {0};
	struct plan_unit unit = {
		.failure_status = 256, .success_status = 256, .flags = UNIT_IS_MAIN};
	struct board_unit record = {.flags = BOARD_UNIT_MAIN_EXITED,
				    .exit_code = CLD_EXITED,
				    .exit_status = 203,
				    .exec_error = 203,
				    .result = RESULT_EXIT_CODE};

	(void)state;
	for (int i = 0; i < 256; i++)
		header.remap[i] = (uint8_t)i;
	header.remap[143] = 0;
	assert_int_equal(outcome_instance_status(&header, &unit, &record), 127);
	record = (struct board_unit){
		.flags = BOARD_UNIT_MAIN_EXITED, .exit_code = CLD_KILLED, .exit_status = SIGTERM};
	assert_int_equal(outcome_instance_status(&header, &unit, &record), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_leads_to_a_state),
		cmocka_unit_test(every_state_can_be_stopped),
		cmocka_unit_test(every_state_with_processes_survives_an_exit),
		cmocka_unit_test(entries_match_the_table),
		cmocka_unit_test(every_state_is_of_one_kind),
		cmocka_unit_test(the_document_is_the_table),
		cmocka_unit_test(clean_and_unclean_exits),
		cmocka_unit_test(restart_policies),
		cmocka_unit_test(prevented_and_forced_restarts),
		cmocka_unit_test(restart_delays_double_up_to_a_limit),
		cmocka_unit_test(start_limit_counts_in_its_interval),
		cmocka_unit_test(instance_statuses),
		cmocka_unit_test(the_main_command_has_its_own_statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
