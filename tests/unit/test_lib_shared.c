/* TESTS: lib/board.c lib/journal.c lib/store.c lib/proto.c lib/fd.c lib/sys.c lib/clock.c lib/str.c */
/* LDFLAGS: -pthread */
/*
 * The memory that the processes share: one writer that may die at any instruction, readers that
 * never wait and never see half a record.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/board.h"
#include "lib/fd.h"
#include "lib/journal.h"
#include "lib/proto.h"
#include "lib/store.h"
#include "lib/sys.h"

#define READS 200000

static int make_file(void)
{
	int fd = sys_memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* ---- the board */

static atomic_bool is_over;

/* Every field of a record is a function of one number: a torn record is one where they disagree. */
static struct board_unit record_of(uint64_t n)
{
	return (struct board_unit){
		.applied = n,
		.since_us = n * 3,
		.deadline_us = n ^ UINT64_C(0x5555555555555555),
		.restarts = (uint32_t)n,
		.cpu_us = n * 7,
		.max_rss_kb = ~n,
	};
}

static void assert_whole(const struct board_unit *record)
{
	struct board_unit expected = record_of(record->applied);

	assert_true(record->since_us == expected.since_us);
	assert_true(record->deadline_us == expected.deadline_us);
	assert_true(record->restarts == expected.restarts);
	assert_true(record->cpu_us == expected.cpu_us);
	assert_true(record->max_rss_kb == expected.max_rss_kb);
}

static void *write_for_ever(void *data)
{
	struct board *board = data;

	for (uint64_t n = 1; !atomic_load(&is_over); n++) {
		struct board_unit next = record_of(n);
		board_write_unit(board, 1, &next);
	}
	return NULL;
}

static void readers_never_see_half_a_record(void **state)
{
	int fd = make_file();
	struct board writer, reader;
	pthread_t thread;

	(void)state;
	assert_int_equal(board_format(fd, 3, 2), 0);
	assert_int_equal(board_map(fd, true, &writer), 0);
	assert_int_equal(board_map(fd, false, &reader), 0);
	struct board_unit first = record_of(0);
	board_write_unit(&writer, 1, &first);
	atomic_store(&is_over, false);
	assert_int_equal(pthread_create(&thread, NULL, write_for_ever, &writer), 0);
	uint64_t last = 0;
	for (int i = 0; i < READS; i++) {
		struct board_unit record = board_read_unit(&reader, 1);
		assert_whole(&record);
		assert_true(record.applied >= last);
		last = record.applied;
	}
	atomic_store(&is_over, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)fd_close(fd);
}

/* A writer that is killed at a random instruction leaves the old record or the new one. */
static void a_killed_writer_leaves_a_whole_record(void **state)
{
	int fd = make_file();
	struct board board;

	(void)state;
	assert_int_equal(board_format(fd, 2, 2), 0);
	assert_int_equal(board_map(fd, true, &board), 0);
	struct board_unit first = record_of(0);
	board_write_unit(&board, 1, &first);
	for (int round = 0; round < 200; round++) {
		uint64_t before = atomic_load(&board.header->changes);
		pid_t child = fork();
		if (child == 0) {
			atomic_store(&is_over, false);
			(void)write_for_ever(&board);
			_exit(0);
		}
		assert_true(child > 0);
		while (atomic_load(&board.header->changes) < before + 50 + (uint64_t)round)
			;
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		struct board_unit record = board_read_unit(&board, 1);
		assert_whole(&record);
	}
	(void)fd_close(fd);
}

static void slots_are_found_by_pid(void **state)
{
	int fd = make_file();
	struct board board;
	uint32_t unit = 99, slot = 99;

	(void)state;
	assert_int_equal(board_format(fd, 1000, 2), 0);
	assert_int_equal(board_map(fd, true, &board), 0);
	atomic_store(&board.slots[999][SLOT_CONTROL], 4711);
	assert_true(board_find_pid(&board, 4711, &unit, &slot));
	assert_int_equal(unit, 999);
	assert_int_equal(slot, SLOT_CONTROL);
	assert_false(board_find_pid(&board, 4712, &unit, &slot));
	(void)fd_close(fd);
}

static void assert_copied(const struct board *board, int fd)
{
	struct board copy;

	assert_int_equal(board_map(fd, false, &copy), 0);
	for (uint32_t i = 0; i < board->n_units; i++) {
		assert_memory_equal(board_peek_unit(&copy, i), board_peek_unit(board, i),
				    sizeof(struct board_unit));
		assert_memory_equal(copy.slots[i], board->slots[i], sizeof(copy.slots[i]));
		assert_string_equal(copy.units[i].text, board->units[i].text);
	}
	for (uint32_t i = 0; i < board->n_secrets; i++) {
		assert_memory_equal(board_peek_secret(&copy, i), board_peek_secret(board, i),
				    sizeof(struct board_secret));
		assert_memory_equal(board_peek_life(&copy, i), board_peek_life(board, i),
				    sizeof(struct board_life));
	}
	assert_memory_equal(board_peek_manager(&copy), board_peek_manager(board),
			    sizeof(struct board_manager));
	assert_string_equal(copy.header->failure.text, board->header->failure.text);
	assert_int_equal(copy.header->supervisor_pid, board->header->supervisor_pid);
	(void)munmap(copy.header, copy.header->size);
}

static struct board_unit read_copied(int fd)
{
	struct board copy;

	assert_int_equal(board_map(fd, false, &copy), 0);
	struct board_unit unit = board_read_unit(&copy, 0);
	(void)munmap(copy.header, copy.header->size);
	return unit;
}

static void write_everything(struct board *board, uint64_t n)
{
	struct board_unit unit = record_of(n);
	struct board_manager manager = {.phase = BOARD_RUNNING, .cursor = n, .stop_us = n};
	struct board_secret secret = {.fetched_us = n};
	struct board_life life = {.fetches = (uint32_t)n};

	for (uint32_t i = 0; i < board->n_units; i++) {
		board_write_unit(board, i, &unit);
		board_write_text(board, i, n % 2 ? "odd" : "even");
		board->slots[i][SLOT_MAIN] = (int32_t)n;
		board_copy_slots(board, i);
	}
	for (uint32_t i = 0; i < board->n_secrets; i++) {
		board_write_secret(board, i, &secret);
		board_write_life(board, i, &life);
	}
	board_write_failure(board, 0, n % 2 ? "an odd one" : "an even one");
	board_write_manager(board, &manager);
}

static void a_copy_of_the_board_follows_it(void **state)
{
	struct board board;
	int fd = sys_memfd_create("board", 0), copy = sys_memfd_create("copy", 0);

	(void)state;
	assert_int_equal(board_format(fd, 3, 2), 0);
	assert_int_equal(board_map(fd, true, &board), 0);
	write_everything(&board, 1);
	board.header->supervisor_pid = 4711;
	board_copy_to(&board, copy);
	/* The text of each unit and all else that stood there before. */
	assert_int_equal(ftruncate(copy, (off_t)board.header->size), 0);
	assert_copied(&board, copy);
	for (uint64_t n = 2; n < 6; n++) {
		write_everything(&board, n);
		board_publish(&board);
		assert_copied(&board, copy);
	}
	/* However often they flipped meanwhile, and so whichever side holds. */
	for (uint64_t n = 6; n < 12; n++) {
		for (uint64_t flip = 0; flip < n; flip++)
			write_everything(&board, n + flip);
		assert_int_not_equal(read_copied(copy).generation,
				     board_peek_unit(&board, 0)->generation);
		board_publish(&board);
		assert_copied(&board, copy);
	}
	/* Cut, which is no concern of the board's. */
	assert_int_equal(ftruncate(copy, 0), 0);
	write_everything(&board, 6);
	board_publish(&board);
	assert_int_equal(board_peek_manager(&board)->cursor, 6);
	board_copy_to(&board, copy);
	assert_int_equal(ftruncate(copy, (off_t)board.header->size), 0);
	assert_copied(&board, copy);
	board_copy_to(&board, -1);
	(void)close(fd);
	(void)close(copy);
}

static void a_damaged_board_is_refused(void **state)
{
	int fd = make_file();
	struct board board;

	(void)state;
	assert_int_equal(board_map(fd, false, &board), -EBADMSG);
	assert_int_equal(board_format(fd, 10, 2), 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(board_map(fd, false, &board), -EBADMSG);
	assert_int_equal(board_format(fd, 10, 2), 0);
	uint32_t n_units = UINT32_MAX;
	assert_int_equal(
		pwrite(fd, &n_units, sizeof(n_units), offsetof(struct board_header, n_units)),
		sizeof(n_units));
	assert_int_equal(board_map(fd, false, &board), -EBADMSG);
	(void)fd_close(fd);
}

/* ---- the journal */

static void the_journal_keeps_order_and_bounds(void **state)
{
	int fd = make_file();
	struct journal *journal;
	struct journal_entry entry;
	uint64_t cursor = 0;

	(void)state;
	assert_int_equal(journal_format(fd), 0);
	assert_int_equal(journal_map(fd, true, &journal), 0);
	assert_false(journal_read(journal, 1, &entry));
	for (int i = 0; i < JOURNAL_CAPACITY; i++) {
		assert_true(journal_has_room(journal, cursor));
		entry = (struct journal_entry){.kind = JOURNAL_EXIT, .pid = i};
		journal_append(journal, &entry);
	}
	/* Full: nothing that was not applied may be overwritten. */
	assert_false(journal_has_room(journal, cursor));
	for (int i = 0; i < JOURNAL_CAPACITY; i++) {
		assert_true(journal_read(journal, cursor + 1, &entry));
		assert_int_equal(entry.pid, i);
		cursor = entry.seq;
	}
	assert_true(journal_has_room(journal, cursor));
	assert_false(journal_read(journal, cursor + 1, &entry));
	(void)fd_close(fd);
}

/* ---- the store */

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* In a child: what a started program of that role would find. */
static int attach_as(enum role role, const int *granted, const int *kept)
{
	const struct store_table *table;

	if (store_attach(role, &table) != 0)
		return 1;
	if (!is_open(*granted) || !(fcntl(*granted, F_GETFD) & FD_CLOEXEC))
		return 2;
	return is_open(*kept) ? 3 : 0;
}

static void a_role_gets_what_it_is_granted_and_nothing_else(void **state)
{
	struct store_table *table;

	(void)state;
	pid_t child = fork();
	if (child == 0) {
		/* fd 3 is the store's, whatever the test runner has there. */
		if (store_create(16, &table) != 0)
			_exit(10);
		int board = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 200);
		int secret = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 210);
		(void)store_put(table, STORE_BOARD_PUBLIC, 0, board);
		(void)store_put(table, STORE_SECRET, 5, secret);
		store_expose(table, ROLE_HEALTH);
		/* What exec would do. */
		for (int fd = 3; fd < 256; fd++) {
			int flags = fcntl(fd, F_GETFD);
			if (flags >= 0 && (flags & FD_CLOEXEC))
				(void)close(fd);
		}
		_exit(attach_as(ROLE_HEALTH, &board, &secret));
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void of_programs_a_role_gets_what_it_starts(void **state)
{
	struct store_table *table;

	(void)state;
	pid_t child = fork();
	if (child == 0) {
		if (store_create(16, &table) != 0)
			_exit(10);
		for (uint32_t i = 0; i <= STORE_EXEC_STUB; i++)
			(void)store_put(table, STORE_EXEC, i,
					fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 200));
		store_expose(table, ROLE_SUPERVISOR);
		for (uint32_t i = 0; i <= STORE_EXEC_STUB; i++) {
			bool is_handed =
				!(fcntl(store_find(table, STORE_EXEC, i), F_GETFD) & FD_CLOEXEC);
			if (is_handed != (i == ROLE_SECRETS || i == ROLE_SECRETS_REMOTE))
				_exit(20 + (int)i);
		}
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void puts_replace_and_drops_forget(void **state)
{
	struct store_table *table = calloc(1, sizeof(*table) + 2 * sizeof(struct store_entry));
	int a = dup(0), b = dup(0), c = dup(0), d = dup(0);

	(void)state;
	assert_non_null(table);
	table->capacity = 2;
	assert_int_equal(store_put(table, STORE_SECRET, 1, a), 0);
	assert_int_equal(store_put(table, STORE_SECRET, 1, b), 0);
	assert_false(is_open(a));
	assert_int_equal(store_find(table, STORE_SECRET, 1), b);
	assert_int_equal(store_put(table, STORE_SECRET, 2, c), 0);
	assert_int_equal(store_put(table, STORE_SECRET, 3, d), -ENOSPC);
	assert_false(is_open(d));
	store_drop(table, STORE_SECRET, 1);
	assert_false(is_open(b));
	assert_int_equal(store_find(table, STORE_SECRET, 1), -EBADF);
	assert_int_equal(store_put(table, STORE_SECRET, 4, dup(0)), 0);
	store_drop(table, STORE_SECRET, 4);
	store_drop(table, STORE_SECRET, 2);
	free(table);
}

/* No role may be handed what only PID 1 or one other may write. */
static void grants_keep_single_writers_single(void **state)
{
	static const enum store_kind single[] = {STORE_BOARD, STORE_RING, STORE_CAPTURE,
						 STORE_OUTPUT, STORE_NOTIFY};

	(void)state;
	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
		int holders = 0;
		for (int role = 0; role < ROLE_COUNT; role++)
			holders += !!(store_grants[role] & (UINT64_C(1) << single[i]));
		assert_int_equal(holders, 1);
	}
	for (int role = 0; role < ROLE_COUNT; role++)
		assert_false(store_grants[role] & (UINT64_C(1) << STORE_JOURNAL));
}

/* ---- packets */

static void packets_carry_one_fd(void **state)
{
	int ends[2], fd = -1;
	struct proto_packet sent = {.type = PROTO_PUT, .kind = STORE_SECRET, .index = 7}, got;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(proto_receive(ends[1], &got, &fd), -EAGAIN);
	assert_int_equal(proto_send(ends[0], &sent, STDIN_FILENO), 0);
	assert_int_equal(proto_receive(ends[1], &got, &fd), 1);
	assert_int_equal(got.index, 7);
	assert_true(is_open(fd) && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	(void)fd_close(fd);
	assert_int_equal(proto_send(ends[0], &sent, -EBADF), 0);
	assert_int_equal(proto_receive(ends[1], &got, &fd), 1);
	assert_int_equal(fd, -EBADF);
	(void)fd_close(ends[0]);
	assert_int_equal(proto_receive(ends[1], &got, &fd), 0);
	(void)fd_close(ends[1]);
}

static void send_raw(int socket, const void *data, size_t size, const int *fds, size_t n_fds)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > 0) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	assert_true(sendmsg(socket, &message, 0) >= 0);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += is_open(fd);
	return n;
}

static void malformed_packets_leave_no_fd_behind(void **state)
{
	static const int fds[6] = {0, 0, 0, 0, 0, 0};
	int ends[2], fd = -1;
	struct proto_packet packet = {.type = PROTO_PUT}, got;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	int before = count_fds();
	for (size_t n = 2; n <= 6; n++) {
		send_raw(ends[0], &packet, sizeof(packet), fds, n);
		assert_int_equal(proto_receive(ends[1], &got, &fd), -EBADMSG);
		assert_int_equal(count_fds(), before);
	}
	send_raw(ends[0], &packet, sizeof(packet) - 1, fds, 1);
	assert_int_equal(proto_receive(ends[1], &got, &fd), -EBADMSG);
	char large[sizeof(packet) + 1] = {0};
	send_raw(ends[0], large, sizeof(large), fds, 1);
	assert_int_equal(proto_receive(ends[1], &got, &fd), -EBADMSG);
	memset(packet.text, 'x', sizeof(packet.text));
	send_raw(ends[0], &packet, sizeof(packet), NULL, 0);
	assert_int_equal(proto_receive(ends[1], &got, &fd), -EBADMSG);
	assert_int_equal(count_fds(), before);
	(void)fd_close(ends[0]);
	(void)fd_close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_never_see_half_a_record),
		cmocka_unit_test(a_killed_writer_leaves_a_whole_record),
		cmocka_unit_test(slots_are_found_by_pid),
		cmocka_unit_test(a_copy_of_the_board_follows_it),
		cmocka_unit_test(a_damaged_board_is_refused),
		cmocka_unit_test(the_journal_keeps_order_and_bounds),
		cmocka_unit_test(a_role_gets_what_it_is_granted_and_nothing_else),
		cmocka_unit_test(of_programs_a_role_gets_what_it_starts),
		cmocka_unit_test(puts_replace_and_drops_forget),
		cmocka_unit_test(grants_keep_single_writers_single),
		cmocka_unit_test(packets_carry_one_fd),
		cmocka_unit_test(malformed_packets_leave_no_fd_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
