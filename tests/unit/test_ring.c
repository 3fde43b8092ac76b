/* TESTS: lib/ring.c lib/crash.c lib/fd.c lib/sys.c */
#include "lib/ring.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/fd.h"
#include "lib/sys.h"

static int new_ring(uint64_t bytes, struct ring *ret_ring)
{
	int fd = sys_memfd_create("ring", 0);

	assert_true(fd >= 0);
	assert_int_equal(ring_format(fd, bytes), 0);
	assert_int_equal(ring_map(fd, true, ret_ring), 0);
	return fd;
}

static void append(struct ring *ring, const char *text, uint32_t length)
{
	struct ring_entry entry = {.unit = 7, .length = length};

	ring_append(ring, &entry, text);
}

static void test_lines_come_back_in_order(void **state)
{
	struct ring ring;
	char text[RING_LINE_MAX + 1];
	struct ring_entry entry;
	int fd = new_ring(1, &ring);

	(void)state;
	append(&ring, "one", 3);
	append(&ring, "", 0);
	append(&ring, "t\0o", 3);
	uint64_t cursor = ring_oldest(&ring);
	assert_true(ring_read(&ring, &cursor, &entry, text));
	assert_string_equal(text, "one");
	assert_int_equal(entry.seq, 1);
	assert_int_equal(entry.unit, 7);
	assert_true(ring_read(&ring, &cursor, &entry, text));
	assert_int_equal(entry.length, 0);
	assert_true(ring_read(&ring, &cursor, &entry, text));
	assert_memory_equal(text, "t\0o", 4);
	assert_int_equal(entry.seq, 3);
	assert_false(ring_read(&ring, &cursor, &entry, text));
	append(&ring, "more", 4);
	assert_true(ring_read(&ring, &cursor, &entry, text));
	assert_string_equal(text, "more");
	close(fd);
}

static void test_the_newest_survive_a_wrap(void **state)
{
	struct ring ring;
	char text[RING_LINE_MAX + 1], line[RING_LINE_MAX];
	struct ring_entry entry;
	uint64_t n = 0, cursor = 0, last = 0;
	int fd = new_ring(1, &ring);

	(void)state;
	assert_int_equal(ring.size, 65536);
	for (int i = 0; i < 5000; i++) {
		uint32_t length = (uint32_t)(i * 37 % RING_LINE_MAX) + 1;
		memset(line, 'a' + i % 26, length);
		append(&ring, line, length);
	}
	/* A cursor that was overtaken goes on at the oldest; from there nothing is missing. */
	while (ring_read(&ring, &cursor, &entry, text)) {
		int i = (int)entry.seq - 1;
		assert_true(last == 0 || entry.seq == last + 1);
		assert_int_equal(entry.length, i * 37 % RING_LINE_MAX + 1);
		assert_int_equal(text[0], 'a' + i % 26);
		assert_int_equal(text[entry.length - 1], 'a' + i % 26);
		last = entry.seq;
		n++;
	}
	assert_int_equal(last, 5000);
	assert_true(n >= 4 && n < 5000);
	close(fd);
}

/* A page that is mapped and cannot be had is a SIGBUS, and others may fill the same memory. */
static void test_its_memory_is_reserved(void **state)
{
	int fd = sys_memfd_create("ring", 0);
	struct stat st;

	(void)state;
	assert_int_equal(fd_reserve(fd, ring_file_size(100000)), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(ring_format(fd, 100000), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, ring_file_size(100000));
	assert_true(st.st_blocks * 512 >= st.st_size);
	close(fd);
}

static void test_what_is_no_ring_is_refused(void **state)
{
	struct ring ring;
	int fd = sys_memfd_create("ring", 0);
	uint64_t zero = 0;

	(void)state;
	assert_int_equal(ring_map(fd, true, &ring), -EBADMSG);
	assert_int_equal(ring_format(fd, 1 << 20), 0);
	assert_int_equal(ftruncate(fd, 1 << 19), 0);
	assert_int_equal(ring_map(fd, true, &ring), -EBADMSG);
	assert_int_equal(ring_format(fd, 1 << 20), 0);
	assert_int_equal(pwrite(fd, &zero, sizeof(zero), 0), sizeof(zero));
	assert_int_equal(ring_map(fd, true, &ring), -EBADMSG);
	close(fd);
}

/* A writer that died after head and before last_seq: the next one goes on without a double seq. */
static void test_recovery_finds_the_last_seq(void **state)
{
	struct ring ring;
	int fd = new_ring(1, &ring);

	(void)state;
	for (int i = 0; i < 10000; i++)
		append(&ring, "0123456789", 10);
	atomic_store(&ring.header->last_seq, 9999);
	assert_int_equal(ring_recover(&ring), 0);
	assert_int_equal(atomic_load(&ring.header->last_seq), 10000);
	atomic_fetch_add(&ring.header->tail, 8);
	assert_int_equal(ring_recover(&ring), -EBADMSG);
	close(fd);
}

static void test_emission_is_read_whole(void **state)
{
	struct ring ring;
	int fd = new_ring(1, &ring);

	(void)state;
	for (uint64_t i = 1; i < 5; i++) {
		ring_write_emission(&ring, &(struct ring_emission){i, i * 2, i * 3, i * 4});
		struct ring_emission e = ring_read_emission(&ring);
		assert_int_equal(e.position, i);
		assert_int_equal(e.seq, i * 2);
		assert_int_equal(e.n_dropped, i * 3);
		assert_int_equal(e.open_id, i * 4);
	}
	close(fd);
}

static void test_dropped_counts_what_was_overwritten(void **state)
{
	struct ring ring;
	struct ring_entry entry;
	char text[RING_LINE_MAX + 1];
	int fd = new_ring(1, &ring);

	(void)state;
	append(&ring, "x", 1);
	assert_int_equal(ring_dropped(&ring), 0);
	for (int i = 1; i < 10000; i++)
		append(&ring, "x", 1);
	uint64_t cursor = 0;
	assert_true(ring_read(&ring, &cursor, &entry, text));
	assert_int_equal(ring_dropped(&ring), entry.seq - 1);
	/* What is on its way out is not lost. */
	atomic_store(&ring.header->in_flight, 100);
	assert_int_equal(ring_dropped(&ring), entry.seq - 1 - 100);
	close(fd);
}

static _Atomic int writer_is_done;

/* Every byte of a line follows from its seq, so that a torn one shows. */
static void *write_lines(void *argument)
{
	struct ring *ring = argument;
	char line[RING_LINE_MAX];

	for (uint64_t seq = 1; seq <= 200000; seq++) {
		uint32_t length = (uint32_t)(seq * 7919 % 300) + 1;
		if (seq % 1000 == 0)
			length = RING_LINE_MAX;
		memset(line, (int)(seq % 251), length);
		struct ring_entry entry = {.length = length, .pid = (int32_t)seq};
		ring_append(ring, &entry, line);
	}
	atomic_store(&writer_is_done, 1);
	return NULL;
}

static void *read_lines(void *argument)
{
	const struct ring *ring = argument;
	static _Thread_local char text[RING_LINE_MAX + 1];
	struct ring_entry entry = {0};
	uint64_t cursor = ring_oldest(ring), last = 0, n = 0;

	for (;;) {
		int was_done = atomic_load(&writer_is_done);
		if (!ring_read(ring, &cursor, &entry, text)) {
			if (was_done)
				break;
			continue;
		}
		if (entry.seq <= last || entry.pid != (int32_t)entry.seq)
			abort();
		for (uint32_t i = 0; i < entry.length; i++) {
			if ((unsigned char)text[i] != entry.seq % 251)
				abort();
		}
		last = entry.seq;
		n++;
	}
	if (last != 200000 || n == 0)
		abort();
	return NULL;
}

static void test_readers_never_see_a_torn_line(void **state)
{
	struct ring ring, mapped[2];
	pthread_t writer, readers[2];
	int fd = new_ring(1, &ring);

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ring_map(fd, false, &mapped[i]), 0);
		assert_int_equal(pthread_create(&readers[i], NULL, read_lines, &mapped[i]), 0);
	}
	assert_int_equal(pthread_create(&writer, NULL, write_lines, &ring), 0);
	assert_int_equal(pthread_join(writer, NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(readers[i], NULL), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_come_back_in_order),
		cmocka_unit_test(test_the_newest_survive_a_wrap),
		cmocka_unit_test(test_its_memory_is_reserved),
		cmocka_unit_test(test_what_is_no_ring_is_refused),
		cmocka_unit_test(test_recovery_finds_the_last_seq),
		cmocka_unit_test(test_emission_is_read_whole),
		cmocka_unit_test(test_dropped_counts_what_was_overwritten),
		cmocka_unit_test(test_readers_never_see_a_torn_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
