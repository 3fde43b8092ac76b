/* TESTS: log/capture.c log/line.c lib/scrub.c lib/fingerprint.c lib/siphash.c lib/unescape.c lib/scan.c log/split.c lib/ring.c lib/crash.c lib/sys.c lib/json.c lib/str.c lib/clock.c lib/io.c lib/fd.c */
#include "log/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/store.h"
#include "lib/sys.h"

#define N_UNITS 3

struct bed {
	struct ring ring;
	struct capture capture;
	struct scrubber scrubber; /* without a table */
	struct board board;
	_Atomic int32_t slots[N_UNITS][SLOT_COUNT];
	int ring_fd, capture_fd;
	int pipes[N_UNITS][2];
};

static void bed_init(struct bed *bed)
{
	memset(bed, 0, sizeof(*bed));
	scrub_init(&bed->scrubber, NULL);
	bed->ring_fd = sys_memfd_create("ring", 0);
	bed->capture_fd = sys_memfd_create("capture", 0);
	bed->board = (struct board){.slots = bed->slots, .n_units = N_UNITS};
	assert_int_equal(ring_format(bed->ring_fd, 16 << 20), 0);
	assert_int_equal(ring_map(bed->ring_fd, true, &bed->ring), 0);
	assert_int_equal(capture_open(&bed->capture, bed->capture_fd, &bed->ring, &bed->board,
				      N_UNITS, &bed->scrubber),
			 0);
	for (int i = 0; i < N_UNITS; i++)
		assert_int_equal(pipe2(bed->pipes[i], O_NONBLOCK), 0);
}

static void bed_finish(struct bed *bed)
{
	for (int i = 0; i < N_UNITS; i++) {
		close(bed->pipes[i][0]);
		close(bed->pipes[i][1]);
	}
	close(bed->ring_fd);
	close(bed->capture_fd);
}

static void feed(struct bed *bed, int unit, const void *data, size_t length)
{
	assert_int_equal(write(bed->pipes[unit][1], data, length), length);
	assert_int_equal(capture_take(&bed->capture, stream_of_unit((uint32_t)unit, STREAM_STDOUT),
				      bed->pipes[unit][0]),
			 length);
}

/* All of the unit's lines, parts put together, each with its newline, as a stream. */
static size_t collect(const struct bed *bed, uint32_t unit, char *to, size_t size)
{
	static char text[RING_LINE_MAX + 1];
	struct ring_entry entry;
	uint64_t cursor = ring_oldest(&bed->ring), open_id = 0;
	uint32_t part = 0;
	size_t length = 0;

	while (ring_read(&bed->ring, &cursor, &entry, text)) {
		if (entry.unit != unit)
			continue;
		if (entry.flags & RING_PART) {
			assert_int_equal(entry.part, part + 1);
			assert_int_equal(entry.part_id, part == 0 ? entry.seq : open_id);
			open_id = entry.part_id;
			part = entry.flags & RING_LAST ? 0 : entry.part;
		} else {
			assert_int_equal(part, 0);
		}
		assert_true(length + entry.length + 1 <= size);
		memcpy(to + length, text, entry.length);
		length += entry.length;
		if (!(entry.flags & RING_PART) || (entry.flags & RING_LAST))
			to[length++] = '\n';
	}
	return length;
}

static void test_bytes_arrive_whatever_the_pieces(void **state)
{
	static const char *const alphabets[N_UNITS] = {"a\n{\"", "\x01\xE2\x82\xAC\xF0\x9F\\",
						       "{}x"};
	static char data[N_UNITS][1 << 20], got[1 << 20];
	size_t fed[N_UNITS] = {0};
	struct bed *bed = calloc(1, sizeof(*bed));

	(void)state;
	assert_non_null(bed);
	bed_init(bed);
	srand(1);
	for (int i = 0; i < N_UNITS; i++) {
		size_t n = strlen(alphabets[i]);
		for (size_t k = 0; k < sizeof(data[i]); k++)
			data[i][k] = rand() % 20000 == 0 ? '\n' : alphabets[i][(size_t)rand() % n];
		data[i][sizeof(data[i]) - 1] = '\n';
	}
	for (int unit = 0, done = 0; done < N_UNITS; unit = rand() % N_UNITS) {
		size_t left = sizeof(data[unit]) - fed[unit];
		size_t size = (size_t)rand() % (rand() % 8 == 0 ? 65536 : 3000) + 1;
		if (left == 0)
			continue;
		if (size > left)
			size = left;
		feed(bed, unit, data[unit] + fed[unit], size);
		fed[unit] += size;
		done += fed[unit] == sizeof(data[unit]);
		/* A successor, now and then, takes over in the middle. */
		if (rand() % 50 == 0)
			assert_int_equal(capture_open(&bed->capture, bed->capture_fd, &bed->ring,
						      &bed->board, N_UNITS, &bed->scrubber),
					 0);
	}
	for (uint32_t unit = 0; unit < N_UNITS; unit++) {
		assert_int_equal(collect(bed, unit, got, sizeof(got)), sizeof(data[unit]));
		assert_memory_equal(got, data[unit], sizeof(got));
	}
	bed_finish(bed);
	free(bed);
}

static struct ring_entry last_entry(const struct bed *bed, char *text)
{
	struct ring_entry entry = {0};
	uint64_t cursor = ring_oldest(&bed->ring);

	while (ring_read(&bed->ring, &cursor, &entry, text))
		;
	return entry;
}

static void test_flags_say_what_a_line_is(void **state)
{
	static const struct {
		const char *line;
		uint32_t flags;
	} cases[] = {
		{"x\n", 0},
		{"{}\n", RING_IS_JSON},
		{" {\"a\":1} \n", RING_IS_JSON},
		{"{\"holdfast\":1}\n", RING_IS_JSON | RING_HAS_KEY},
		{"{\"_holdfast\":1}\n", RING_IS_JSON},
		{"{\"_holdfast\":1,\"holdfast\":2}\n", 0},
		{"{\"a\":{\"holdfast\":1}}\n", RING_IS_JSON},
		{"[1]\n", 0},
		{"{\"a\":\n", 0},
	};
	static char text[RING_LINE_MAX + 1];
	struct bed bed;

	(void)state;
	bed_init(&bed);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		feed(&bed, 0, cases[i].line, strlen(cases[i].line));
		assert_int_equal(last_entry(&bed, text).flags, cases[i].flags);
		assert_int_equal(strlen(text), strlen(cases[i].line) - 1);
	}
	bed_finish(&bed);
}

static void test_an_end_that_never_comes(void **state)
{
	static char text[RING_LINE_MAX + 1], big[20000];
	struct bed bed;

	(void)state;
	bed_init(&bed);
	capture_finish(&bed.capture, 0);
	assert_int_equal(last_entry(&bed, text).seq, 0);
	feed(&bed, 0, "half", 4);
	assert_int_equal(last_entry(&bed, text).seq, 0);
	capture_finish(&bed.capture, 0);
	assert_int_equal(last_entry(&bed, text).flags, RING_NO_END);
	assert_string_equal(text, "half");
	memset(big, 'b', sizeof(big));
	feed(&bed, 0, big, sizeof(big));
	capture_finish(&bed.capture, 0);
	struct ring_entry entry = last_entry(&bed, text);
	assert_int_equal(entry.flags, RING_PART | RING_LAST | RING_NO_END);
	assert_int_equal(entry.part, 2);
	capture_finish(&bed.capture, 0);
	assert_int_equal(last_entry(&bed, text).seq, entry.seq);
	bed_finish(&bed);
}

/* A slot that had grown gives its memory back. */
static void test_slots_are_let_go(void **state)
{
	static char big[12000];
	struct stat before, during, after;
	struct bed bed;

	(void)state;
	bed_init(&bed);
	memset(big, 'b', sizeof(big));
	feed(&bed, 0, "warm\n", 5);
	assert_int_equal(fstat(bed.capture_fd, &before), 0);
	feed(&bed, 0, big, sizeof(big));
	assert_int_equal(fstat(bed.capture_fd, &during), 0);
	feed(&bed, 0, "\n", 1);
	assert_int_equal(fstat(bed.capture_fd, &after), 0);
	assert_true(during.st_blocks >= before.st_blocks + 3 * 8);
	/* The landing keeps what the big write took. */
	assert_true(after.st_blocks <= during.st_blocks - 3 * 8);
	bed_finish(&bed);
}

static void test_nothing_there_and_the_end(void **state)
{
	struct bed bed;

	(void)state;
	bed_init(&bed);
	assert_int_equal(capture_take(&bed.capture, 0, bed.pipes[0][0]), -EAGAIN);
	close(bed.pipes[0][1]);
	assert_int_equal(capture_take(&bed.capture, 0, bed.pipes[0][0]), 0);
	bed.pipes[0][1] = dup(bed.pipes[0][0]);
	bed_finish(&bed);
}

static void test_another_shape_is_made_anew(void **state)
{
	struct bed bed;

	(void)state;
	bed_init(&bed);
	feed(&bed, 0, "half", 4);
	assert_int_equal(
		capture_open(&bed.capture, bed.capture_fd, &bed.ring, &bed.board, 2, &bed.scrubber),
		1);
	assert_int_equal(
		capture_open(&bed.capture, bed.capture_fd, &bed.ring, &bed.board, 2, &bed.scrubber),
		0);
	bed_finish(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_arrive_whatever_the_pieces),
		cmocka_unit_test(test_flags_say_what_a_line_is),
		cmocka_unit_test(test_an_end_that_never_comes),
		cmocka_unit_test(test_slots_are_let_go),
		cmocka_unit_test(test_nothing_there_and_the_end),
		cmocka_unit_test(test_another_shape_is_made_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
