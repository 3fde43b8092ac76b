#include "lib/gateboard.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

#define GATEBOARD_MAGIC	  UINT64_C(0x65746167666868)
#define GATEBOARD_VERSION 3

const char *const gate_half_names[GATE_HALF_COUNT] = {
	[GATE_EXEC] = "exec-gate",
	[GATE_INTRUDERS] = "intruders",
};

const char *const gate_counter_names[GATE_COUNTER_COUNT] = {
	[GATE_DENIED] = "denied",	    [GATE_KILLED] = "killed",
	[GATE_REPORTED] = "reported",	    [GATE_UNKILLABLE] = "unkillable",
	[GATE_TURNED_AWAY] = "turned_away",
};

/*
 * The copy that the next write goes to, and nobody reads. The count is seen before any of it changes,
 * so a reader that took bytes of this write finds that it was overtaken.
 */
static uint32_t free_copy(const _Atomic uint64_t *n_writes)
{
	atomic_thread_fence(memory_order_seq_cst);
	return (atomic_load_explicit(n_writes, memory_order_relaxed) + 1) & 1;
}

static void publish(_Atomic uint64_t *n_writes)
{
	atomic_fetch_add_explicit(n_writes, 1, memory_order_release);
}

#define READ_TRIES 1000
#define READ_RECORD(record, result)                                                               \
	do {                                                                                      \
		for (int tries = 0; tries < READ_TRIES; tries++) {                                \
			uint64_t n =                                                              \
				atomic_load_explicit(&(record)->n_writes, memory_order_acquire);  \
			(result) = (record)->copies[n & 1];                                       \
			atomic_thread_fence(memory_order_acquire);                                \
			if (atomic_load_explicit(&(record)->n_writes, memory_order_relaxed) == n) \
				break;                                                            \
		}                                                                                 \
	} while (0)

void gateboard_write_rung(struct gateboard *board, enum gate_half half, enum protection_level level,
			  const char *rung, const char *why)
{
	struct gate_rung *next =
		&board->rungs[half].copies[free_copy(&board->rungs[half].n_writes)];

	*next = (struct gate_rung){.level = level};
	(void)str_copy(next->rung, sizeof(next->rung), rung);
	(void)str_copy(next->why, sizeof(next->why), why);
	publish(&board->rungs[half].n_writes);
}

void gateboard_write_refusal(struct gateboard *board, const struct gate_refusal *refusal)
{
	board->last.copies[free_copy(&board->last.n_writes)] = *refusal;
	publish(&board->last.n_writes);
	if (refusal->counter < GATE_COUNTER_COUNT)
		atomic_fetch_add(&board->counters[refusal->counter], 1);
}

static bool is_same_call(const struct gate_call *a, const struct gate_call *b)
{
	return a->unit == b->unit && a->is_deadly == b->is_deadly && str_equal(a->name, b->name);
}

/* An entry never changes once it is counted among those that hold. */
uint64_t gateboard_note_call(struct gateboard *board, const struct gate_call *call)
{
	uint64_t n = atomic_load(&board->n_calls), at = 0;

	while (at < MIN(n, (uint64_t)GATE_CALLS_MAX) && !is_same_call(&board->calls[at], call))
		at++;
	if (at == GATE_CALLS_MAX) {
		atomic_fetch_add(&board->calls_beyond, 1);
		return 0;
	}
	if (at == n) {
		board->calls[at] = *call;
		atomic_store(&board->n_calls, n + 1);
	}
	return atomic_fetch_add(&board->call_counts[at], 1) + 1;
}

void gateboard_note_lost_calls(struct gateboard *board, uint64_t count)
{
	atomic_fetch_add(&board->calls_beyond, count);
}

bool gateboard_read_call(const struct gateboard *board, uint32_t i, struct gate_call *ret_call)
{
	if (i >= GATE_CALLS_MAX || i >= atomic_load(&board->n_calls))
		return false;
	*ret_call = board->calls[i];
	ret_call->name[sizeof(ret_call->name) - 1] = '\0';
	ret_call->allow[sizeof(ret_call->allow) - 1] = '\0';
	ret_call->program[sizeof(ret_call->program) - 1] = '\0';
	ret_call->count = atomic_load_explicit(&board->call_counts[i], memory_order_relaxed);
	return true;
}

uint64_t gateboard_calls_beyond(const struct gateboard *board)
{
	return atomic_load_explicit(&board->calls_beyond, memory_order_relaxed);
}

struct gate_rung gateboard_read_rung(const struct gateboard *board, enum gate_half half)
{
	struct gate_rung rung;

	READ_RECORD(&board->rungs[half], rung);
	rung.rung[sizeof(rung.rung) - 1] = '\0';
	rung.why[sizeof(rung.why) - 1] = '\0';
	if (rung.level >= PROTECTION_COUNT)
		rung.level = PROTECTION_NONE;
	return rung;
}

struct gate_refusal gateboard_read_refusal(const struct gateboard *board)
{
	struct gate_refusal refusal;

	READ_RECORD(&board->last, refusal);
	refusal.exe[sizeof(refusal.exe) - 1] = '\0';
	if (refusal.counter >= GATE_COUNTER_COUNT)
		refusal.wall_us = 0;
	return refusal;
}

int gateboard_format(int fd, const char *why)
{
	int r = ftruncate(fd, sizeof(struct gateboard)) < 0 ? -errno : 0;

	if (r == 0)
		r = fd_reserve(fd, sizeof(struct gateboard));
	if (r < 0)
		return r;
	struct gateboard *board =
		mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (board == MAP_FAILED)
		return -errno;
	for (enum gate_half half = 0; half < GATE_HALF_COUNT; half++)
		gateboard_write_rung(board, half, PROTECTION_NONE, "none", why);
	board->version = GATEBOARD_VERSION;
	board->magic = GATEBOARD_MAGIC;
	(void)munmap(board, sizeof(*board));
	return 0;
}

int gateboard_map(int fd, bool is_writable, struct gateboard **ret_board)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size < sizeof(struct gateboard))
		return -EBADMSG;
	struct gateboard *board =
		mmap(NULL, sizeof(*board), is_writable ? PROT_READ | PROT_WRITE : PROT_READ,
		     MAP_SHARED, fd, 0);
	if (board == MAP_FAILED)
		return -errno;
	if (board->magic != GATEBOARD_MAGIC || board->version != GATEBOARD_VERSION) {
		(void)munmap(board, sizeof(*board));
		return -EBADMSG;
	}
	*ret_board = board;
	return 0;
}

uint64_t gateboard_count(const struct gateboard *board, enum gate_counter counter)
{
	return atomic_load_explicit(&board->counters[counter], memory_order_relaxed);
}

uint64_t gateboard_changes(const struct gateboard *board)
{
	uint64_t sum = atomic_load_explicit(&board->last.n_writes, memory_order_relaxed);

	for (enum gate_half half = 0; half < GATE_HALF_COUNT; half++)
		sum += atomic_load_explicit(&board->rungs[half].n_writes, memory_order_relaxed);
	for (uint32_t i = 0; i < GATE_CALLS_MAX; i++)
		sum += atomic_load_explicit(&board->call_counts[i], memory_order_relaxed);
	return sum + gateboard_calls_beyond(board);
}
