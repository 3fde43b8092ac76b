/* TESTS: health/render.c health/metrics.c health/snapshot.c health/document.c health/http.c lib/board.c lib/journal.c lib/plan.c lib/ring.c lib/json.c lib/str.c lib/clock.c lib/fd.c lib/store.c lib/sys.c lib/protection.c lib/gateboard.c */
#include "health/metrics.h"
#include "health/render.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "health/document.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/sys.h"

#define N_UNITS		40
#define N_PROTECTIONS	8
#define NAME_MAX_LENGTH 255
#define STRINGS_SIZE	65536

static char strings[STRINGS_SIZE];
static size_t strings_used = 1;
static struct {
	struct plan_header header;
	struct plan_unit units[N_UNITS];
	struct plan_protection protections[N_PROTECTIONS];
	char strings[STRINGS_SIZE];
} block;

static struct snapshot snapshot;
static struct journal *journal;
static const struct http_request plain;

static plan_str put(const char *text, size_t length)
{
	plan_str at = (plan_str)strings_used;

	assert_true(strings_used + length + 1 < STRINGS_SIZE);
	memcpy(strings + at, text, length);
	strings_used += length + 1;
	return at;
}

/* NAME_MAX_LENGTH bytes that every format has to escape; no two the same. */
static plan_str worst_name(unsigned i)
{
	char name[NAME_MAX_LENGTH];

	memset(name, i % 2 ? '"' : '\x01', sizeof(name));
	name[0] = (char)('A' + i);
	return put(name, sizeof(name));
}

static void set_section(enum plan_section section, const void *at, uint64_t count)
{
	block.header.sections[section].offset = (uint64_t)((const char *)at - (const char *)&block);
	block.header.sections[section].count = count;
}

static void make_plan(void)
{
	block.header = (struct plan_header){
		.magic = PLAN_MAGIC,
		.version = PLAN_VERSION,
		.flags = PLAN_IS_PUBLIC,
		.boot_us = 1000000,
		.boot_wall_us = UINT64_C(1700000000000000),
		.main_unit = PLAN_NO_UNIT,
		.identity_unit = PLAN_NO_UNIT,
	};
	block.header.image_id = worst_name(0);
	block.header.image_version = worst_name(1);
	for (unsigned i = 0; i < N_UNITS; i++)
		block.units[i] = (struct plan_unit){.name = worst_name(i), .flags = UNIT_WANTED};
	block.units[1].type = SERVICE_ONESHOT;
	block.units[2].flags = 0;
	for (unsigned i = 0; i < N_PROTECTIONS; i++)
		block.protections[i] = (struct plan_protection){.name = worst_name(i),
								.rung = worst_name(1),
								.why = worst_name(0),
								.level = PROTECTION_NONE};
	for (int section = 0; section < PLAN_SECTION_COUNT; section++)
		set_section(section, &block.units, 0);
	set_section(PLAN_UNITS, block.units, N_UNITS);
	set_section(PLAN_PROTECTIONS, block.protections, N_PROTECTIONS);
	memcpy(block.strings, strings, strings_used);
	set_section(PLAN_STRINGS, block.strings, strings_used);
	block.header.size = sizeof(block);
	assert_int_equal(plan_open(&block, sizeof(block), &snapshot.plan), 0);
}

static void write_unit(uint32_t unit, enum unit_state state, enum unit_result result,
		       uint32_t flags)
{
	struct board_unit next = *board_peek_unit(&snapshot.board, unit);

	next.state = state;
	next.result = result;
	next.flags = flags;
	next.started_us = UINT64_MAX / 2;
	next.restarts = UINT32_MAX;
	next.since_wall_us = clock_wall_us();
	board_write_unit(&snapshot.board, unit, &next);
}

static void write_phase(enum board_phase phase)
{
	struct board_manager next = *board_peek_manager(&snapshot.board);

	next.phase = phase;
	if (phase == BOARD_RUNNING)
		next.ready_us = UINT64_MAX / 2;
	board_write_manager(&snapshot.board, &next);
}

static void all_well(void)
{
	write_phase(BOARD_RUNNING);
	for (uint32_t i = 0; i < N_UNITS; i++)
		write_unit(i, UNIT_RUNNING, RESULT_SUCCESS, BOARD_UNIT_READY);
	write_unit(1, UNIT_INACTIVE, RESULT_SUCCESS, BOARD_UNIT_SETTLED);
}

static int make_all(void **state)
{
	int board_fd = sys_memfd_create("board", 0), journal_fd = sys_memfd_create("journal", 0);
	int ring_fd = sys_memfd_create("ring", 0);

	(void)state;
	make_plan();
	assert_int_equal(board_format(board_fd, N_UNITS, 0), 0);
	assert_int_equal(board_map(board_fd, true, &snapshot.board), 0);
	assert_int_equal(journal_format(journal_fd), 0);
	assert_int_equal(journal_map(journal_fd, true, &journal), 0);
	snapshot.journal = journal;
	snapshot.ring_fd = ring_fd;
	return 0;
}

/* What each state of one unit means for readiness, in phase RUNNING. */
static void test_unit_states(void **state)
{
	static const struct {
		uint32_t unit; /* 0: wanted; 1: wanted oneshot; 2: not wanted */
		enum unit_state state;
		enum unit_result result;
		uint32_t flags;
		bool is_ready;
		enum health_status status;
	} cases[] = {
		{0, UNIT_RUNNING, RESULT_SUCCESS, BOARD_UNIT_READY, true, HEALTH_PASS},
		{0, UNIT_EXITED, RESULT_SUCCESS, BOARD_UNIT_READY, true, HEALTH_PASS},
		{0, UNIT_RUNNING, RESULT_SUCCESS, 0, false, HEALTH_FAIL},
		{0, UNIT_DRAIN, RESULT_SUCCESS, BOARD_UNIT_READY, false, HEALTH_FAIL},
		{0, UNIT_START, RESULT_SUCCESS, 0, false, HEALTH_FAIL},
		{0, UNIT_AUTO_RESTART, RESULT_SIGNAL, 0, false, HEALTH_FAIL},
		{0, UNIT_FAILED, RESULT_EXIT_CODE, 0, false, HEALTH_FAIL},
		{0, UNIT_INACTIVE, RESULT_SUCCESS, BOARD_UNIT_SETTLED, false, HEALTH_FAIL},
		{0, UNIT_INACTIVE, RESULT_SUCCESS, BOARD_UNIT_CONDITION_UNMET, true, HEALTH_PASS},
		{1, UNIT_INACTIVE, RESULT_SUCCESS, BOARD_UNIT_SETTLED, true, HEALTH_PASS},
		{1, UNIT_INACTIVE, RESULT_SUCCESS, 0, false, HEALTH_FAIL},
		{1, UNIT_INACTIVE, RESULT_DEPENDENCY, BOARD_UNIT_SETTLED, false, HEALTH_FAIL},
		{1, UNIT_FAILED, RESULT_EXIT_CODE, BOARD_UNIT_SETTLED, false, HEALTH_FAIL},
		{2, UNIT_INACTIVE, RESULT_SUCCESS, 0, true, HEALTH_PASS},
		{2, UNIT_FAILED, RESULT_SIGNAL, 0, true, HEALTH_WARN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		all_well();
		write_unit(cases[i].unit, cases[i].state, cases[i].result, cases[i].flags);
		struct board_manager manager = board_read_manager(&snapshot.board);
		struct board_unit unit = board_read_unit(&snapshot.board, cases[i].unit);
		enum health_status status =
			snapshot_judge(&manager, plan_unit(&snapshot.plan, cases[i].unit), &unit);
		if (snapshot_is_ready(&snapshot) != cases[i].is_ready || status != cases[i].status)
			fail_msg("case %zu: ready %d, status %s", i, snapshot_is_ready(&snapshot),
				 health_status_names[status]);
		assert_int_equal(render_readyz(&snapshot, &plain, true, NULL), cases[i].is_ready);
	}
}

static void test_phases(void **state)
{
	static const struct {
		enum board_phase phase;
		bool is_ready, is_started;
	} cases[] = {
		{BOARD_BOOTING, false, false}, {BOARD_STARTING, false, false},
		{BOARD_RUNNING, true, true},   {BOARD_DRAINING, false, true},
		{BOARD_STOPPING, false, true}, {BOARD_STOPPED, false, true},
	};
	struct board_manager none = {0};

	(void)state;
	all_well();
	board_write_manager(&snapshot.board, &none);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		write_phase(cases[i].phase);
		assert_int_equal(snapshot_is_ready(&snapshot), cases[i].is_ready);
		assert_int_equal(render_startupz(&snapshot, &plain, NULL), cases[i].is_started);
		assert_int_equal(snapshot_verdict(&snapshot)->status == HEALTH_FAIL,
				 !cases[i].is_ready);
	}
	/* A stop that came before startup was complete: it never was. */
	board_write_manager(&snapshot.board, &none);
	write_phase(BOARD_DRAINING);
	assert_false(render_startupz(&snapshot, &plain, NULL));
}

/* A unit on its way up for the first time is a warning by itself. */
static void test_starting(void **state)
{
	(void)state;
	all_well();
	write_phase(BOARD_STARTING);
	write_unit(0, UNIT_START, RESULT_SUCCESS, 0);
	struct board_manager manager = board_read_manager(&snapshot.board);
	struct board_unit unit = board_read_unit(&snapshot.board, 0);
	assert_int_equal(snapshot_judge(&manager, plan_unit(&snapshot.plan, 0), &unit),
			 HEALTH_WARN);
}

/* The text is what fills the bound: at most bytes, cut nowhere, nothing behind its end. */
static void check_fits(size_t bound, void (*render)(struct strbuf *buf))
{
	char *data = malloc(bound);
	struct strbuf buf;

	strbuf_init(&buf, data, bound);
	render(&buf);
	assert_false(buf.is_cut);
	assert_int_equal(strlen(data), buf.length);
	assert_int_equal(data[buf.length - 1], '\n');
	free(data);
}

static void do_health(struct strbuf *buf)
{
	render_health(&snapshot, buf);
}

static void do_metrics(struct strbuf *buf)
{
	metrics_render(&snapshot, buf);
}

static void do_readyz(struct strbuf *buf)
{
	struct http_request all = {.query = "exclude=units", .query_length = 13};

	(void)render_readyz(&snapshot, &all, true, buf);
}

static void test_bounds(void **state)
{
	char text[BOARD_TEXT_MAX];

	(void)state;
	memset(text, '\x01', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	all_well();
	for (uint32_t i = 0; i < N_UNITS; i++) {
		board_write_text(&snapshot.board, i, text);
		write_unit(i, UNIT_AUTO_RESTART, RESULT_START_LIMIT, 0);
	}
	for (size_t i = 0; i < ARRAY_COUNT(journal->deaths); i++)
		journal->deaths[i] = UINT64_MAX;
	check_fits(render_health_bound(&snapshot), do_health);
	check_fits(metrics_bound(&snapshot), do_metrics);
	check_fits(render_checks_bound(&snapshot), do_readyz);
}

static void test_excluding(void **state)
{
	struct http_request request = {.query = "exclude=units", .query_length = 13};
	char data[65536];
	struct strbuf buf;

	(void)state;
	all_well();
	write_unit(0, UNIT_FAILED, RESULT_SIGNAL, 0);
	strbuf_init(&buf, data, sizeof(data));
	assert_false(render_readyz(&snapshot, &plain, false, &buf));
	assert_string_equal(data, "[+]startup ok\n[+]shutdown ok\n[-]units failed\n"
				  "readyz check failed\n");
	strbuf_reset(&buf);
	assert_true(render_readyz(&snapshot, &request, false, &buf));
	assert_string_equal(data, "[+]startup ok\n[+]shutdown ok\n[+]units excluded: ok\n"
				  "readyz check passed\n");
	request.query = "exclude=supervisor";
	request.query_length = strlen(request.query);
	assert_true(render_livez(true, false, &request, NULL));
	assert_false(render_livez(false, true, &request, NULL));
	assert_false(render_livez(true, false, &plain, NULL));
}

static void test_ring_comes_later(void **state)
{
	struct ring writer;
	struct ring_entry entry = {.length = 2};
	struct snapshot_key before = snapshot_key(&snapshot);

	(void)state;
	assert_null(snapshot_ring(&snapshot));
	assert_int_equal(ring_format(snapshot.ring_fd, 65536), 0);
	assert_int_equal(ring_map(snapshot.ring_fd, true, &writer), 0);
	assert_non_null(snapshot_ring(&snapshot));
	ring_append(&writer, &entry, "hi");
	struct snapshot_key after = snapshot_key(&snapshot);
	assert_memory_not_equal(&before, &after, sizeof(before));
	assert_int_equal(after.log_seq, 1);
}

static void test_documents(void **state)
{
	struct document document;
	struct snapshot_key key = {.changes = 1}, other = {.changes = 2};

	(void)state;
	assert_int_equal(document_init(&document, 4096), 0);
	assert_null(document_current(&document, &key));
	struct rendering *first = document_spare(&document);
	strbuf_adds(&first->buf, "one");
	document_publish(&document, &key);
	assert_ptr_equal(document_current(&document, &key), first);
	assert_null(document_current(&document, &other));

	/* Somebody still sends the first: the second is written beside it. */
	first->users = 1;
	struct rendering *second = document_spare(&document);
	assert_ptr_not_equal(second, first);
	assert_null(document_current(&document, &key));
	document_publish(&document, &other);
	assert_ptr_equal(document_current(&document, &other), second);
	assert_string_equal(first->buf.data, "one");

	/* Nobody sends the second: it is written again, the first is left alone. */
	assert_ptr_equal(document_spare(&document), second);
	document_publish(&document, NULL);
	assert_null(document_current(&document, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unit_states),	 cmocka_unit_test(test_phases),
		cmocka_unit_test(test_starting),	 cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_excluding),	 cmocka_unit_test(test_documents),
		cmocka_unit_test(test_ring_comes_later),
	};

	return cmocka_run_group_tests(tests, make_all, NULL);
}
