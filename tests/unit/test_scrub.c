/* TESTS: log/capture.c log/line.c log/split.c lib/scrub.c lib/fingerprint.c lib/siphash.c lib/unescape.c lib/scan.c lib/ring.c lib/crash.c lib/sys.c lib/json.c lib/str.c lib/clock.c lib/io.c lib/fd.c */
#include "lib/scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/scan.h"
#include "lib/store.h"
#include "lib/sys.h"
#include "log/capture.h"
#include "log/split.h"

/* A table, and log's way from a pipe to the ring, with one unit. */
struct bed {
	struct fingerprints table;
	struct fingerprint_run run;
	struct scrubber scrubber;
	struct ring ring;
	struct capture capture;
	struct board board;
	_Atomic int32_t slots[1][SLOT_COUNT];
	int table_fd, key_fd, ring_fd, capture_fd, pipe[2];
};

static void open_capture(struct bed *bed)
{
	assert_int_equal(capture_open(&bed->capture, bed->capture_fd, &bed->ring, &bed->board, 1,
				      &bed->scrubber),
			 0);
}

static struct bed *bed_new(uint32_t n_secrets)
{
	struct bed *bed = calloc(1, sizeof(*bed));
	struct fingerprint_key key;

	assert_non_null(bed);
	bed->table_fd = sys_memfd_create("table", 0);
	bed->key_fd = sys_memfd_create("key", 0);
	bed->ring_fd = sys_memfd_create("ring", 0);
	bed->capture_fd = sys_memfd_create("capture", 0);
	assert_int_equal(fingerprint_format(bed->table_fd, n_secrets, 8), 0);
	assert_int_equal(fingerprint_draw_key(&key), 0);
	assert_int_equal(write(bed->key_fd, &key, sizeof(key)), sizeof(key));
	assert_int_equal(fingerprint_map(bed->table_fd, bed->key_fd, true, &bed->table), 0);
	fingerprint_begin(&bed->table, "a.service", &bed->run);
	scrub_init(&bed->scrubber, &bed->table);
	bed->board = (struct board){.slots = bed->slots, .n_units = 1};
	assert_int_equal(ring_format(bed->ring_fd, 1 << 20), 0);
	assert_int_equal(ring_map(bed->ring_fd, true, &bed->ring), 0);
	open_capture(bed);
	assert_int_equal(pipe2(bed->pipe, O_NONBLOCK), 0);
	return bed;
}

static void bed_free(struct bed *bed)
{
	const int fds[] = {bed->table_fd,   bed->key_fd,  bed->ring_fd,
			   bed->capture_fd, bed->pipe[0], bed->pipe[1]};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	free(bed);
}

static void add(struct bed *bed, const char *value)
{
	assert_int_equal(fingerprint_add(&bed->run, value, strlen(value)), FINGERPRINT_ADDED);
}

static void feed(struct bed *bed, const void *data, size_t length)
{
	if (length == 0)
		return;
	assert_int_equal(write(bed->pipe[1], data, length), length);
	assert_int_equal(capture_take(&bed->capture, 0, bed->pipe[0]), length);
}

/* The lines after *cursor, parts put together, each with its newline. */
static size_t collect(struct bed *bed, uint64_t *cursor, char *to, size_t size)
{
	static char text[RING_LINE_MAX + 1];
	struct ring_entry entry;
	size_t length = 0;

	while (ring_read(&bed->ring, cursor, &entry, text)) {
		assert_true(length + entry.length + 1 < size);
		memcpy(to + length, text, entry.length);
		length += entry.length;
		if (!(entry.flags & RING_PART) || (entry.flags & RING_LAST))
			to[length++] = '\n';
	}
	to[length] = '\0';
	return length;
}

/* What one line becomes. */
static const char *scrubbed(struct bed *bed, const char *line)
{
	static char out[1 << 17];
	uint64_t cursor = atomic_load(&bed->ring.header->head);

	feed(bed, line, strlen(line));
	feed(bed, "\n", 1);
	size_t n = collect(bed, &cursor, out, sizeof(out));
	assert_true(n > 0);
	out[n - 1] = '\0';
	return out;
}

/* ---------------------------------------------------------------- the parts */

static void test_siphash_is_siphash(void **state)
{
	/* The paper's appendix A, and from the authors' vectors those of 0, 1 and 8 bytes. */
	static const struct {
		size_t length;
		uint64_t hash;
	} rows[] = {
		{0, UINT64_C(0x726fdb47dd0e0e31)},
		{1, UINT64_C(0x74f839c593dc67fd)},
		{8, UINT64_C(0x93f5f5799a932462)},
		{15, UINT64_C(0xa129ca6149be45e5)},
	};
	uint8_t key[16], data[16];

	(void)state;
	for (uint8_t i = 0; i < 16; i++)
		key[i] = data[i] = i;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(siphash(key, data, rows[i].length), rows[i].hash);
}

static void test_escapes_are_undone_and_located(void **state)
{
	static const struct {
		enum unescape_kind kind;
		const char *text, *plain;
		size_t start, end; /* of the plain text */
		size_t source_start, source_end;
	} rows[] = {
		{UNESCAPE_BACKSLASH, "a\\nb", "a\nb", 1, 2, 1, 3},
		{UNESCAPE_BACKSLASH, "\\\"\\\\\\/", "\"\\/", 1, 3, 2, 6},
		{UNESCAPE_BACKSLASH, "x\\u00E9y", "x\xC3\xA9y", 2, 3, 1, 7},
		{UNESCAPE_BACKSLASH, "\\ud83d\\ude00!", "\xF0\x9F\x98\x80!", 4, 5, 12, 13},
		{UNESCAPE_BACKSLASH, "\\x41\\q", "A\\q", 0, 3, 0, 6},
		{UNESCAPE_BACKSLASH, "\\t\\u00", "\t\\u00", 1, 5, 2, 6},
		{UNESCAPE_PERCENT, "a%2fb%2", "a/b%2", 1, 4, 1, 6},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char data[64];
		struct unescape_mark marks[32];
		struct unescaped result = {.data = data, .marks = marks};
		size_t start = rows[i].start, end = rows[i].end;
		assert_true(unescape(rows[i].kind, rows[i].text, strlen(rows[i].text), &result));
		assert_int_equal(result.length, strlen(rows[i].plain));
		assert_memory_equal(data, rows[i].plain, result.length);
		unescape_locate(&result, &start, &end);
		assert_int_equal(start, rows[i].source_start);
		assert_int_equal(end, rows[i].source_end);
	}
}

static void test_what_is_too_short_is_said(void **state)
{
	struct bed *bed = bed_new(1);

	(void)state;
	assert_int_equal(fingerprint_add(&bed->run, "1234567", 7), FINGERPRINT_TOO_SHORT);
	assert_int_equal(fingerprint_add(&bed->run, "1234567\n", 8), FINGERPRINT_TOO_SHORT);
	assert_int_equal(fingerprint_add(&bed->run, "short\nlines\n", 12), FINGERPRINT_TOO_SHORT);
	assert_string_equal(scrubbed(bed, "1234567 short lines"), "1234567 short lines");
	assert_int_equal(fingerprint_add(&bed->run, "12345678", 8), FINGERPRINT_ADDED);
	assert_string_equal(scrubbed(bed, "1234567 12345678"), "1234567 [secret]");
	bed_free(bed);
}

static void test_a_long_value_is_found_in_its_first_8_kib(void **state)
{
	static char value[3 * FINGERPRINT_VALUE_MAX], line[FINGERPRINT_VALUE_MAX + 16];
	struct bed *bed = bed_new(8);

	(void)state;
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (char)('!' + (i * i + i / 256) % 90);
	assert_int_equal(fingerprint_add(&bed->run, value, sizeof(value)), FINGERPRINT_CUT);
	(void)snprintf(line, sizeof(line), "<%.*s>", FINGERPRINT_VALUE_MAX, value);
	assert_string_equal(scrubbed(bed, line), "<[secret]>");
	bed_free(bed);
}

/* ---------------------------------------------------------------- forms */

static const struct form {
	const char *value, *line, *hidden;
} forms[] = {
	{"hunter2hunter2", "password=hunter2hunter2;", "password=[secret];"},
	{"hunter2hunter2", "hunter2hunter2hunter2hunter2", "[secret]"},
	{"hunter2hunter2", "hunter2hunter", "hunter2hunter"},
	{"hunter2hunter2\n", "got hunter2hunter2", "got [secret]"},
	/* JSON */
	{"hunter2hunter2", "{\"p\":\"hunter2hunter2\",\"q\":1}", "{\"p\":\"[secret]\",\"q\":1}"},
	{"say \"hi\" \\ now", "{\"p\":\"say \\\"hi\\\" \\\\ now\"}", "{\"p\":\"[secret]\"}"},
	{"a/b/c/d/e/f", "{\"p\":\"x a\\/b\\/c\\/d\\/e\\/f y\"}", "{\"p\":\"x [secret] y\"}"},
	{"p<ss&word>1", "{\"p\":\"p\\u003css\\u0026word\\u003E1\"}", "{\"p\":\"[secret]\"}"},
	{"caf\xC3\xA9-caf\xC3\xA9", "{\"p\":\"caf\\u00e9-caf\\u00C9 caf\\u00E9-caf\\u00e9\"}",
	 "{\"p\":\"caf\\u00e9-caf\\u00C9 [secret]\"}"},
	{"smile\xF0\x9F\x98\x80smile", "{\"p\":\"smile\\ud83D\\ude00smile\"}",
	 "{\"p\":\"[secret]\"}"},
	{"tab\tand\ttab", "{\"p\":\"tab\\tand\\u0009tab\"}", "{\"p\":\"[secret]\"}"},
	/* JSON in a string of JSON, and once more */
	{"say \"hi\" now", "{\"b\":\"{\\\"p\\\":\\\"say \\\\\\\"hi\\\\\\\" now\\\"}\"}",
	 "{\"b\":\"{\\\"p\\\":\\\"[secret]\\\"}\"}"},
	{"a\"b\"c\"d\"e",
	 "\"\\\"\\\\\\\"a\\\\\\\\\\\\\\\"b\\\\\\\\\\\\\\\"c\\\\\\\\\\\\\\\"d"
	 "\\\\\\\\\\\\\\\"e\\\\\\\"\\\"\"",
	 "\"\\\"\\\\\\\"[secret]\\\\\\\"\\\"\""},
	/* what must stay valid, does: numbers, escapes, keys */
	{"12345678", "{\"n\":12345678,\"m\":-123456789.5e3,\"s\":\"12345678\"}",
	 "{\"n\":\"secret\",\"m\":\"secret\",\"s\":\"[secret]\"}"},
	{"nabcdefgh", "{\"p\":\"\\nabcdefgh\"}", "{\"p\":\"[secret]\"}"},
	{"longkey-longkey", "{\"longkey-longkey\":{\"a\":[1]}}", "{\"[secret]\":{\"a\":[1]}}"},
	{"{\"a\":\"b\",\"c\":1}", "{\"a\":\"b\",\"c\":1}", "[secret]"},
	/* other texts */
	{"p@ss/word+1", "url=https://u:p%40ss%2Fword%2b1@h/", "url=https://u:[secret]@h/"},
	{"p'ss\\word", "repr 'p\\'ss\\\\word'", "repr '[secret]'"},
	/* base64: alone, behind one, two and three bytes, and in the alphabet of URLs */
	{"hunter2hunter2", "Basic aHVudGVyMmh1bnRlcjI=", "Basic [secret]"},
	{"hunter2hunter2", "Basic YTpodW50ZXIyaHVudGVyMg==", "Basic Y[secret]"},
	{"hunter2hunter2", "Basic YWI6aHVudGVyMmh1bnRlcjI=", "Basic Y[secret]"},
	{"hunter2hunter2", "Basic YWJjOmh1bnRlcjJodW50ZXIy", "Basic YWJjO[secret]"},
	{"\xFB\xFF\xFE?!?!>>>>", "token -__-PyE_IT4-Pj4", "token [secret]"},
	/* lines of their own */
	{"-----BEGIN KEY-----\r\nMIIabcdefgh\r\n  indented-line\r\n-----END KEY-----\r\n",
	 "{\"k\":\"-----BEGIN KEY-----\\nMIIabcdefgh\\nindented-line\\n-----END KEY-----\\n\"}",
	 "{\"k\":\"-----BEGIN KEY-----\\n[secret]\\n[secret]\\n-----END KEY-----\\n\"}"},
	{"{\"key\":\"-----BEGIN KEY-----\\nMIIabcdefgh\\n\"}", "MIIabcdefgh", "[secret]"},
	{"--------", "--------", "--------"},
	{"----------------\nthe-value", "---------------- the-value", "---------------- [secret]"},
};

static void test_each_form_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct bed *bed = bed_new(1);
		add(bed, forms[i].value);
		const char *found = scrubbed(bed, forms[i].line);
		if (strcmp(found, forms[i].hidden) != 0)
			fail_msg("row %zu: %s became %s", i, forms[i].line, found);
		bed_free(bed);
	}
}

static void test_a_json_line_stays_one(void **state)
{
	struct ring_entry entry;
	static char text[RING_LINE_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct bed *bed = bed_new(1);
		struct scan_span object;
		uint64_t cursor = atomic_load(&bed->ring.header->head);
		add(bed, forms[i].value);
		(void)scrubbed(bed, forms[i].line);
		assert_true(ring_read(&bed->ring, &cursor, &entry, text));
		assert_int_equal(!!(entry.flags & RING_IS_JSON),
				 scan_object(text, entry.length, NULL, NULL, &object));
		assert_int_equal(!!(entry.flags & RING_IS_JSON), forms[i].hidden[0] == '{');
		bed_free(bed);
	}
}

static void test_prefixes_and_overlaps(void **state)
{
	struct bed *bed = bed_new(4);

	(void)state;
	add(bed, "abcdefgh");
	add(bed, "abcdefghijklmnop");
	add(bed, "ghijklmnopqrstuv");
	assert_string_equal(scrubbed(bed, "<abcdefgh> <abcdefghi> <abcdefghijklmnop>"),
			    "<[secret]> <[secret]i> <[secret]>");
	assert_string_equal(scrubbed(bed, "<abcdefghijklmnopqrstuv> <ghijklmnopqrstuv>"),
			    "<[secret]> <[secret]>");
	/* 40 bytes are two chunks that overlap; one of them alone is hidden too. */
	add(bed, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ!?#$");
	assert_string_equal(scrubbed(bed, "<0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ!?#$>"),
			    "<[secret]>");
	assert_string_equal(scrubbed(bed, "<0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ!?#"),
			    "<[secret]WXYZ!?#");
	bed_free(bed);
}

/* ---------------------------------------------------------------- pieces and cuts */

static void test_every_split_over_two_writes(void **state)
{
	static const char line[] = "{\"a\":\"x\",\"p\":\"say \\\"hunter2\\\" \\u00e9\",\"z\":1}\n";
	static char out[256];

	(void)state;
	struct bed *bed = bed_new(1);
	add(bed, "say \"hunter2\" \xC3\xA9");
	for (size_t i = 0; i <= strlen(line); i++) {
		uint64_t cursor = atomic_load(&bed->ring.header->head);
		feed(bed, line, i);
		/* A successor takes over in the middle. */
		open_capture(bed);
		feed(bed, line + i, strlen(line) - i);
		collect(bed, &cursor, out, sizeof(out));
		assert_string_equal(out, "{\"a\":\"x\",\"p\":\"[secret]\",\"z\":1}\n");
	}
	bed_free(bed);
}

/* `value` at each place around the first cut of a long line, which comes in writes of `step`. */
static void slide(const char *value, const char *written, size_t step)
{
	static char line[24000], out[1 << 16], wanted[24000];
	struct bed *bed = bed_new(1);
	size_t length = strlen(written);

	add(bed, value);
	for (size_t at = SPLIT_TEXT_MAX - 2 * length - 8; at < SPLIT_TEXT_MAX + 8; at++) {
		uint64_t cursor = atomic_load(&bed->ring.header->head);
		memset(line, '.', sizeof(line));
		memcpy(line + at, written, length);
		line[sizeof(line) - 1] = '\n';
		for (size_t done = 0; done < sizeof(line); done += step)
			feed(bed, line + done,
			     step < sizeof(line) - done ? step : sizeof(line) - done);
		size_t n = collect(bed, &cursor, out, sizeof(out));
		memset(wanted, '.', sizeof(wanted));
		memcpy(wanted + at, SCRUB_MARK, 8);
		size_t rest = sizeof(line) - at - length;
		memcpy(wanted + at + 8, line + at + length, rest);
		assert_int_equal(n, at + 8 + rest);
		assert_memory_equal(out, wanted, n);
	}
	bed_free(bed);
}

static void test_every_place_around_a_cut(void **state)
{
	(void)state;
	slide("hunter2!", "hunter2!", 24000);
	slide("hunter2!", "hunter2!", 1000);
	slide("hunter2hunter2hunter2hunter2hunter2 and more",
	      "hunter2hunter2hunter2hunter2hunter2 and more", 15361);
	slide("say \"hi\" \\ now", "say \\\"hi\\\" \\\\ now", 24000);
	slide("p<ss&word>1", "p\\u003css\\u0026word\\u003e1", 7000);
}

/* ---------------------------------------------------------------- against a naive search */

static size_t n_values;
static char values[6][48];

static void draw_values(const char *alphabet)
{
	n_values = 1 + (size_t)rand() % 6;
	for (size_t i = 0; i < n_values; i++) {
		size_t length = FINGERPRINT_MIN + (size_t)rand() % 36;
		for (size_t k = 0; k < length; k++)
			values[i][k] = alphabet[(size_t)rand() % strlen(alphabet)];
		values[i][length] = '\0';
	}
}

/* Marks what whoever knows the values would hide: each chunk wherever it stands. */
static void cover_naively(const char *line, size_t length, char *covered)
{
	memset(covered, 0, length);
	for (size_t i = 0; i < n_values; i++) {
		size_t n = strlen(values[i]);
		for (size_t c = 0; c < n; c += FINGERPRINT_MAX) {
			size_t size = n < FINGERPRINT_MAX ? n : FINGERPRINT_MAX;
			size_t start = c + size > n ? n - size : c;
			for (size_t at = 0; at + size <= length; at++) {
				if (memcmp(line + at, values[i] + start, size) == 0)
					memset(covered + at, 1, size);
			}
		}
	}
}

static size_t replace_naively(const char *line, size_t length, char *out)
{
	static char covered[1 << 16];
	size_t n = 0;

	cover_naively(line, length, covered);
	for (size_t at = 0; at < length; at++) {
		if (!covered[at]) {
			out[n++] = line[at];
		} else if (at == 0 || !covered[at - 1]) {
			memcpy(out + n, SCRUB_MARK, 8);
			n += 8;
		}
	}
	return n;
}

static size_t draw_line(const char *alphabet, char *line)
{
	size_t length = 0, wanted = (size_t)rand() % (rand() % 4 == 0 ? 40000 : 200);

	while (length < wanted) {
		if (rand() % 3 == 0) {
			const char *value = values[(size_t)rand() % n_values];
			size_t n = strlen(value), from = rand() % 4 == 0 ? (size_t)rand() % n : 0;
			memcpy(line + length, value + from, n - from);
			length += n - from;
		}
		size_t run = (size_t)rand() % (rand() % 8 == 0 ? 4000 : 12);
		for (size_t i = 0; i < run; i++)
			line[length++] = alphabet[(size_t)rand() % strlen(alphabet)];
	}
	return length;
}

static void test_as_a_naive_search_would(void **state)
{
	static const char *const alphabets[] = {"ab", "abcdefghijklmnopqrstuvwxyz!;#", "{}:,x",
						"abcdefghij {}"};
	static char line[1 << 16], wanted[1 << 16], out[1 << 17];

	(void)state;
	srand(7);
	for (int round = 0; round < 400; round++) {
		const char *alphabet = alphabets[round % 4];
		struct bed *bed = bed_new(8);
		draw_values(alphabet);
		for (size_t i = 0; i < n_values; i++)
			add(bed, values[i]);
		size_t length = draw_line(alphabet, line);
		size_t n = replace_naively(line, length, wanted);
		wanted[n++] = '\n';
		line[length] = '\n';
		uint64_t cursor = atomic_load(&bed->ring.header->head);
		for (size_t done = 0; done <= length;) {
			size_t left = length + 1 - done, piece = 1 + (size_t)rand() % 9000;
			piece = piece < left ? piece : left;
			feed(bed, line + done, piece);
			done += piece;
			if (rand() % 8 == 0)
				open_capture(bed);
		}
		assert_int_equal(collect(bed, &cursor, out, sizeof(out)), n);
		assert_memory_equal(out, wanted, n);
		bed_free(bed);
	}
}

/* ---------------------------------------------------------------- the table */

static void test_old_values_stay_until_room_is_needed(void **state)
{
	char value[32];
	struct bed *bed = bed_new(1);

	(void)state;
	for (int i = 0; i < 20; i++) {
		fingerprint_begin(&bed->table, "a.service", &bed->run);
		(void)snprintf(value, sizeof(value), "generation-%d", i);
		add(bed, value);
		add(bed, "always the same");
		fingerprint_end(&bed->run);
	}
	assert_string_equal(scrubbed(bed, "generation-0 generation-19"), "[secret] [secret]");
	/* Another unit's fetches go on and on. */
	for (int i = 0; i < 3000; i++) {
		struct fingerprint_run run;
		fingerprint_begin(&bed->table, "b.service", &run);
		(void)snprintf(value, sizeof(value), "another-%d", i);
		assert_int_equal(fingerprint_add(&run, value, strlen(value)), FINGERPRINT_ADDED);
		fingerprint_end(&run);
	}
	assert_string_equal(
		scrubbed(bed,
			 "generation-0 generation-18 generation-19 always the same another-2999"),
		"generation-0 [secret] [secret] [secret] [secret]");
	bed_free(bed);
}

static void test_a_full_table_says_so(void **state)
{
	char value[32];
	struct bed *bed = bed_new(1);
	int n = 0;

	(void)state;
	for (;; n++) {
		(void)snprintf(value, sizeof(value), "value-number-%d", n);
		if (fingerprint_add(&bed->run, value, strlen(value)) == FINGERPRINT_FULL)
			break;
	}
	assert_true(n > 400);
	assert_true(atomic_load(&bed->table.header->n_refused) > 0);
	assert_string_equal(scrubbed(bed, "value-number-0"), "[secret]");
	bed_free(bed);
}

/* Helpers beside each other, killed at any moment and begun again: what the last run of each has
 * added is found. */
static void test_helpers_at_once_and_killed(void **state)
{
	enum { HELPERS = 4, EACH = 60 };
	struct bed *bed = bed_new(HELPERS * EACH);
	char value[64];

	(void)state;
	for (int round = 0; round < 20; round++) {
		pid_t pids[HELPERS];
		for (int h = 0; h < HELPERS; h++) {
			pids[h] = fork();
			assert_true(pids[h] >= 0);
			if (pids[h] > 0)
				continue;
			struct fingerprint_run run;
			(void)snprintf(value, sizeof(value), "unit-%d", h);
			fingerprint_begin(&bed->table, value, &run);
			for (int i = 0; i < EACH; i++) {
				(void)snprintf(value, sizeof(value), "the value %d of helper %d", i,
					       h);
				if (fingerprint_add(&run, value, strlen(value)) !=
				    FINGERPRINT_ADDED)
					_exit(1);
			}
			fingerprint_end(&run);
			_exit(0);
		}
		for (int h = 0; h < HELPERS; h++) {
			int status;
			if (round < 19 && h % 2 == 0)
				(void)kill(pids[h], SIGKILL);
			assert_int_equal(waitpid(pids[h], &status, 0), pids[h]);
			assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
		}
	}
	for (int h = 0; h < HELPERS; h++) {
		for (int i = 0; i < EACH; i++) {
			(void)snprintf(value, sizeof(value), "the value %d of helper %d", i, h);
			assert_string_equal(scrubbed(bed, value), SCRUB_MARK);
		}
	}
	bed_free(bed);
}

static void test_a_table_that_is_none_is_refused(void **state)
{
	struct bed *bed = bed_new(1);
	struct fingerprints table;

	(void)state;
	assert_int_equal(fingerprint_map(bed->key_fd, bed->key_fd, false, &table), -EBADMSG);
	assert_int_equal(fingerprint_map(bed->table_fd, bed->ring_fd, false, &table), -EBADMSG);
	bed->table.header->n_entries = 3;
	assert_int_equal(fingerprint_map(bed->table_fd, bed->key_fd, false, &table), -EBADMSG);
	bed_free(bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash_is_siphash),
		cmocka_unit_test(test_escapes_are_undone_and_located),
		cmocka_unit_test(test_what_is_too_short_is_said),
		cmocka_unit_test(test_a_long_value_is_found_in_its_first_8_kib),
		cmocka_unit_test(test_each_form_is_found),
		cmocka_unit_test(test_a_json_line_stays_one),
		cmocka_unit_test(test_prefixes_and_overlaps),
		cmocka_unit_test(test_every_split_over_two_writes),
		cmocka_unit_test(test_every_place_around_a_cut),
		cmocka_unit_test(test_as_a_naive_search_would),
		cmocka_unit_test(test_old_values_stay_until_room_is_needed),
		cmocka_unit_test(test_a_full_table_says_so),
		cmocka_unit_test(test_helpers_at_once_and_killed),
		cmocka_unit_test(test_a_table_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
