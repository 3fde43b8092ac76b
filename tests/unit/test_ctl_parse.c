/* TESTS: ctl/time.c ctl/url.c ctl/process.c lib/proc.c ctl/view.c lib/plan.c lib/board.c lib/str.c lib/json.c lib/clock.c lib/io.c lib/fd.c lib/sys.c lib/protection.c lib/gateboard.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/process.h"
#include "ctl/time.h"
#include "ctl/url.h"
#include "ctl/view.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t us; /* negative: refused */
	} cases[] = {
		{"5", 5000000},
		{"0", 0},
		{"1.5", 1500000},
		{"500ms", 500000},
		{"0.5ms", 500},
		{"2min", 120000000},
		{"2m", 120000000},
		{"1h", 3600000000},
		{"1d", 86400000000},
		{"5s", 5000000},
		{"5sec", 5000000},
		{"0.0000019", 1},
		{"", -1},
		{"s", -1},
		{"5 s", -1},
		{"-5", -1},
		{"+5", -1},
		{"5.", -1},
		{".5", -1},
		{"5x", -1},
		{"5ss", -1},
		{"99999999999", -1},
		{"1000000000d", -1},
		{"0x5", -1},
		{"1e3", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t us = 77;
		int r = ctl_parse_duration(cases[i].text, &us);
		assert_int_equal(r, cases[i].us < 0 ? -EINVAL : 0);
		assert_int_equal(us, cases[i].us < 0 ? 77 : cases[i].us);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01T00:00:01.5Z", 1500000},
		{"2000-02-29T12:00:00Z", 951825600000000},
		{"2026-01-02T03:04:05.000006Z", 1767323045000006},
		{"2026-01-02t03:04:05z", 1767323045000000},
		{"2026-01-02 03:04:05Z", 1767323045000000},
		{"2026-01-02T08:34:05+05:30", 1767323045000000},
		{"2026-01-01T22:04:05-05:00", 1767323045000000},
		{"2026-01-02T03:04:05.123456789Z", 1767323045123456},
		{"1970-01-01T00:00:00+01:00", 0},
		{"", -1},
		{"2026-01-02", -1},
		{"2026-01-02T03:04:05", -1},
		{"2026-01-02T03:04:05Zx", -1},
		{"2026-1-2T03:04:05Z", -1},
		{"2026-13-02T03:04:05Z", -1},
		{"2026-00-02T03:04:05Z", -1},
		{"2026-01-32T03:04:05Z", -1},
		{"2026-01-02T24:04:05Z", -1},
		{"2026-01-02T03:60:05Z", -1},
		{"2026-01-02T03:04:05.Z", -1},
		{"2026-01-02T03:04:05+0530", -1},
		{"1969-01-02T03:04:05Z", -1},
		{"+026-01-02T03:04:05Z", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t us = 77;
		int r = ctl_parse_time(cases[i].text, &us);
		assert_int_equal(r, cases[i].us < 0 ? -EINVAL : 0);
		assert_int_equal(us, cases[i].us < 0 ? 77 : cases[i].us);
	}
}

/* What holdfast writes it reads: every day of some centuries, against the C library's calendar. */
static void test_times_come_back(void **state)
{
	(void)state;
	for (uint64_t day = 0; day < 200000; day += 13) {
		char text[64];
		struct strbuf buf;
		uint64_t wall = (day * 86400 + day % 86400) * USEC_PER_SEC + day, us;
		strbuf_init(&buf, text, sizeof(text));
		clock_format(&buf, wall);
		assert_int_equal(ctl_parse_time(text, &us), 0);
		assert_int_equal(us, wall);
	}
}

static void test_urls(void **state)
{
	static const struct {
		const char *text, *host, *port, *target; /* host NULL: refused */
	} cases[] = {
		{"http://localhost", "localhost", "80", "/"},
		{"http://a.b/", "a.b", "80", "/"},
		{"http://a:8080/x?y=z#f", "a", "8080", "/x?y=z"},
		{"http://a?y", "a", "80", "/?y"},
		{"http://[::1]:80/x", "::1", "80", "/x"},
		{"http://[::1]", "::1", "80", "/"},
		{"http://127.0.0.1:65535/", "127.0.0.1", "65535", "/"},
		{"http://a:65536/", NULL, NULL, NULL},
		{"http://a:0/", NULL, NULL, NULL},
		{"http://a:/", NULL, NULL, NULL},
		{"http://a:8x/", NULL, NULL, NULL},
		{"http:///x", NULL, NULL, NULL},
		{"http://[::1/", NULL, NULL, NULL},
		{"http://[]/", NULL, NULL, NULL},
		{"https://a/", NULL, NULL, NULL},
		{"a/", NULL, NULL, NULL},
		{"http://a/b c", NULL, NULL, NULL},
		{"http://a/b\r\nX: y", NULL, NULL, NULL},
		{"", NULL, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct url url;
		int r = url_parse(cases[i].text, &url);
		assert_int_equal(r, cases[i].host ? 0 : -EINVAL);
		if (!cases[i].host)
			continue;
		assert_string_equal(url.host, cases[i].host);
		assert_string_equal(url.port, cases[i].port);
		assert_string_equal(url.target, cases[i].target);
	}
}

static void test_answers(void **state)
{
	(void)state;
	assert_int_equal(url_answer_status("HTTP/1.1 200 OK", 15), 200);
	assert_int_equal(url_answer_status("HTTP/1.0 503", 12), 503);
	assert_int_equal(url_answer_status("HTTP/1.1 20", 11), -EBADMSG);
	assert_int_equal(url_answer_status("HTTP/2.0 200", 12), -EBADMSG);
	assert_int_equal(url_answer_status("HTTP/1.1 2x0", 12), -EBADMSG);
	assert_int_equal(url_answer_status("HTTP/1.1 099", 12), -EBADMSG);
	assert_int_equal(url_answer_status("", 0), -EBADMSG);
}

static void test_stat_with_a_hostile_name(void **state)
{
	static const char text[] =
		"42 (a) S 9 (b) R 7 42 41 0 -1 4194560 1 2 3 4 100 50 0 0 20 0 3 0 "
		"1000 4096 25 18446744073709551615\n";
	struct process process;
	struct proc_stat stat;

	(void)state;
	assert_int_equal(proc_parse_stat(text, &stat), 0);
	assert_int_equal(stat.pid, 42);
	assert_string_equal(stat.name, "a) S 9 (b");
	assert_int_equal(stat.state, 'R');
	assert_int_equal(stat.parent, 7);
	assert_int_equal(stat.session, 41);
	assert_int_equal(stat.threads, 3);
	assert_int_equal(stat.user_ticks, 100);
	assert_int_equal(stat.system_ticks, 50);
	assert_int_equal(stat.start_ticks, 1000);
	assert_int_equal(stat.resident_pages, 25);
	assert_false(stat.is_kernel);
	assert_true(stat.has_executed);
	assert_int_equal(proc_parse_stat("", &stat), -EBADMSG);
	assert_int_equal(proc_parse_stat("1 (x", &stat), -EBADMSG);
	assert_int_equal(proc_parse_stat("1 )x(", &stat), -EBADMSG);
	assert_int_equal(proc_parse_stat("1 (x) S 1 2", &stat), -EBADMSG);
	assert_int_equal(process_read(getpid(), &process), 0);
	assert_int_equal(process.stat.parent, getppid());
	assert_int_equal(process.uid, getuid());
	assert_true(process.resident > 0);
}

static void check_text(void (*write)(struct strbuf *, uint64_t), uint64_t value,
		       const char *expected)
{
	char text[64];
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	write(&buf, value);
	assert_string_equal(text, expected);
}

static void test_numbers_for_people(void **state)
{
	(void)state;
	check_text(view_bytes, 0, "0");
	check_text(view_bytes, 1023, "1023");
	check_text(view_bytes, 1024, "1.0K");
	check_text(view_bytes, 1536, "1.5K");
	check_text(view_bytes, (1 << 20) - 1, "1023.9K");
	check_text(view_bytes, 20 << 20, "20.0M");
	check_text(view_bytes, UINT64_MAX, "15.9E");
	check_text(view_duration, 0, "0ms");
	check_text(view_duration, 850999, "850ms");
	check_text(view_duration, 59999999, "59s");
	check_text(view_duration, 184000000, "3min 4s");
	check_text(view_duration, 3600000000, "1h");
	check_text(view_duration, UINT64_C(97200000000), "1d 3h");
}

static void test_text_for_terminals(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{"plain", "plain"},
		{"\x1b[2J\x07\x7f\t\n", "?[2J????"},
		{"\xC3\xA9\xE2\x82\xAC", "\xC3\xA9\xE2\x82\xAC"},
		{"\xC2\x9B"
		 "31m\xC2\xA0",
		 "?31m\xC2\xA0"},
		{"\xC3", "?"},
		{"\x9B\xFFx", "??x"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char text[64];
		struct strbuf buf;
		strbuf_init(&buf, text, sizeof(text));
		json_printable(&buf, cases[i].text, strlen(cases[i].text));
		assert_string_equal(text, cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_times_come_back),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_stat_with_a_hostile_name),
		cmocka_unit_test(test_numbers_for_people),
		cmocka_unit_test(test_text_for_terminals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
