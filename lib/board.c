#include "lib/board.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/plan.h"

#define BOARD_MAGIC	  UINT64_C(0x647261626668)
#define BOARD_VERSION	  3
#define BOARD_SECRETS_MAX (1U << 20)
#define BEING_WRITTEN	  UINT64_MAX

const char *const board_phase_names[BOARD_PHASE_COUNT] = {
	[BOARD_BOOTING] = "booting",   [BOARD_STARTING] = "starting", [BOARD_RUNNING] = "running",
	[BOARD_DRAINING] = "draining", [BOARD_STOPPING] = "stopping", [BOARD_STOPPED] = "stopped",
};

const char *const unit_state_names[UNIT_STATE_COUNT] = {
#define X(id, name, active) [UNIT_##id] = name,
	UNIT_STATES(X)
#undef X
};

const char *const unit_active_names[UNIT_STATE_COUNT] = {
#define X(id, name, active) [UNIT_##id] = active,
	UNIT_STATES(X)
#undef X
};

const char *const unit_result_names[RESULT_COUNT] = {
#define X(id, name) [RESULT_##id] = name,
	UNIT_RESULTS(X)
#undef X
};

const char *const life_work_names[LIFE_WORK_COUNT] = {
	[LIFE_IDLE] = "idle",
	[LIFE_REFRESHING] = "refreshing",
	[LIFE_DELIVERING] = "delivering",
	[LIFE_REVOKING] = "revoking",
	[LIFE_REVOKED] = "revoked",
};

static size_t units_offset(void)
{
	return (sizeof(struct board_header) + 63) & ~(size_t)63;
}

static size_t secrets_offset(uint32_t n_units)
{
	return units_offset() + n_units * sizeof(struct board_unit_record);
}

static size_t lives_offset(uint32_t n_units, uint32_t n_secrets)
{
	return secrets_offset(n_units) + n_secrets * sizeof(struct board_secret_record);
}

static size_t slots_offset(uint32_t n_units, uint32_t n_secrets)
{
	return lives_offset(n_units, n_secrets) + n_secrets * sizeof(struct board_life_record);
}

size_t board_file_size(uint32_t n_units, uint32_t n_secrets)
{
	return slots_offset(n_units, n_secrets) + n_units * SLOT_COUNT * sizeof(int32_t);
}

static void format_unit(struct board_unit_record *record)
{
	struct board_unit *unit = &record->copies[0];

	unit->deadline_us = USEC_INFINITY;
	unit->watchdog_us = USEC_INFINITY;
	unit->since_us = clock_now_us();
	unit->since_wall_us = clock_wall_us();
}

static void format_life(struct board_life_record *record)
{
	struct board_life *life = &record->copies[0];

	life->due_us = USEC_INFINITY;
	life->deadline_us = USEC_INFINITY;
	life->apply_us = USEC_INFINITY;
	life->lease_end_us = USEC_INFINITY;
}

int board_format(int fd, uint32_t n_units, uint32_t n_secrets)
{
	size_t size = board_file_size(n_units, n_secrets);

	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	int r = fd_reserve(fd, size);
	if (r < 0)
		return r;
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	struct board_header *header = (struct board_header *)base;
	struct board_unit_record *units = (struct board_unit_record *)(base + units_offset());
	for (uint32_t i = 0; i < n_units; i++)
		format_unit(&units[i]);
	struct board_life_record *lives =
		(struct board_life_record *)(base + lives_offset(n_units, n_secrets));
	for (uint32_t i = 0; i < n_secrets; i++)
		format_life(&lives[i]);
	header->manager.copies[0].deadline_us = USEC_INFINITY;
	header->manager.copies[0].cause_unit = PLAN_NO_UNIT;
	header->version = BOARD_VERSION;
	header->n_units = n_units;
	header->n_secrets = n_secrets;
	header->size = size;
	header->magic = BOARD_MAGIC;
	(void)munmap(base, size);
	return 0;
}

int board_map(int fd, bool is_writable, struct board *ret_board)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	size_t size = (size_t)st.st_size;
	if (size < sizeof(struct board_header))
		return -EBADMSG;
	char *base = mmap(NULL, size, is_writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
			  fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	struct board_header *header = (struct board_header *)base;
	if (header->magic != BOARD_MAGIC || header->version != BOARD_VERSION ||
	    header->n_units > PLAN_UNITS_MAX || header->n_secrets > BOARD_SECRETS_MAX ||
	    board_file_size(header->n_units, header->n_secrets) != size) {
		(void)munmap(base, size);
		return -EBADMSG;
	}
	*ret_board = (struct board){
		.header = header,
		.units = (struct board_unit_record *)(base + units_offset()),
		.secrets = (struct board_secret_record *)(base + secrets_offset(header->n_units)),
		.lives = (struct board_life_record *)(base + lives_offset(header->n_units,
									  header->n_secrets)),
		.slots = (_Atomic int32_t(*)[SLOT_COUNT])(
			base + slots_offset(header->n_units, header->n_secrets)),
		.n_units = header->n_units,
		.n_secrets = header->n_secrets,
	};
	return 0;
}

/* ---- the copy */

/*
 * A unit's record flips nearly ten times while it starts, and as often when it stops; who looks at the
 * file needs the last one. So what was written is noted here and copied when the supervisor is about to
 * wait. Which of a record's two copies the file's readers look at is therefore the file's own affair:
 * it is always the other one that is written.
 */
struct board_copy {
	int fd;
	bool is_manager_changed;
	uint8_t manager_side; /* of the file: its index */
	uint32_t n_changed;
	uint32_t *changed; /* units */
	struct {
		uint8_t side;
		bool is_changed;
	} units[];
};

static void copy_to(const struct board *board, const void *place, const void *data, size_t size)
{
	off_t offset = (const char *)place - (const char *)board->header;

	if (board->copy)
		(void)!pwrite(board->copy->fd, data, size, offset);
}

static void copy_bytes(const struct board *board, const void *data, size_t size)
{
	copy_to(board, data, data, size);
}

/* As WRITE_RECORD has it; the generation is what a record's copy begins with. */
#define COPY_RECORD(board, record, ret_side)                                                \
	do {                                                                                \
		static const uint64_t being_written = BEING_WRITTEN;                        \
		uint32_t held =                                                             \
			atomic_load_explicit(&(record)->current, memory_order_relaxed) & 1; \
		uint32_t side = 1 - (*(ret_side)&1U);                                       \
		__typeof__((record)->copies[0]) *whole = &(record)->copies[held],           \
						*place = &(record)->copies[side];           \
		_Static_assert(offsetof(__typeof__(*whole), generation) == 0, "the first"); \
		copy_to(board, place, &being_written, sizeof(being_written));               \
		copy_to(board, (const char *)place + sizeof(whole->generation),             \
			(const char *)whole + sizeof(whole->generation),                    \
			sizeof(*whole) - sizeof(whole->generation));                        \
		copy_to(board, place, &whole->generation, sizeof(whole->generation));       \
		copy_to(board, &(record)->current, &side, sizeof(side));                    \
		*(ret_side) = (uint8_t)side;                                                \
	} while (0)

/* Secrets and lives change so seldom that the file's index goes by the board's. */
#define COPY_RECORD_NOW(board, record)                                                         \
	do {                                                                                   \
		uint8_t other =                                                                \
			!(atomic_load_explicit(&(record)->current, memory_order_relaxed) & 1); \
		COPY_RECORD(board, record, &other);                                            \
	} while (0)

static void note_unit(const struct board *board, uint32_t unit)
{
	struct board_copy *copy = board->copy;

	if (!copy || copy->units[unit].is_changed)
		return;
	copy->units[unit].is_changed = true;
	copy->changed[copy->n_changed++] = unit;
}

void board_copy_slots(const struct board *board, uint32_t unit)
{
	note_unit(board, unit);
}

/* How far the journal was read is nobody's affair who looks at the file; and each exit is told by it. */
static void note_manager(const struct board *board, const struct board_manager *next)
{
	const struct board_manager *now = board_peek_manager(board);
	struct board_manager told = *next;

	told.generation = now->generation;
	told.cursor = now->cursor;
	if (board->copy && memcmp(&told, now, sizeof(told)) != 0)
		board->copy->is_manager_changed = true;
}

static void copy_unit(const struct board *board, uint32_t unit)
{
	COPY_RECORD(board, &board->units[unit], &board->copy->units[unit].side);
	copy_bytes(board, &board->slots[unit], sizeof(board->slots[unit]));
}

/* With what stands before it: counters, and whose board it is. Not the lines that stand behind. */
static void copy_manager(const struct board *board)
{
	copy_bytes(board, board->header, offsetof(struct board_header, manager));
	COPY_RECORD(board, &board->header->manager, &board->copy->manager_side);
}

void board_publish(const struct board *board)
{
	struct board_copy *copy = board->copy;

	if (!copy)
		return;
	for (uint32_t i = 0; i < copy->n_changed; i++) {
		copy->units[copy->changed[i]].is_changed = false;
		copy_unit(board, copy->changed[i]);
	}
	copy->n_changed = 0;
	if (copy->is_manager_changed)
		copy_manager(board);
	copy->is_manager_changed = false;
}

static struct board_copy *make_copy(uint32_t n_units, int fd)
{
	struct board_copy *copy = calloc(1, sizeof(*copy) + n_units * sizeof(copy->units[0]));
	uint32_t *changed = calloc(n_units + 1, sizeof(*changed));

	if (!copy || !changed) {
		free(copy);
		free(changed);
		return NULL;
	}
	copy->fd = fd;
	copy->changed = changed;
	return copy;
}

static void forget_copy(struct board *board)
{
	if (board->copy)
		free(board->copy->changed);
	free(board->copy);
	board->copy = NULL;
}

void board_copy_to(struct board *board, int fd)
{
	forget_copy(board);
	board->copy = fd < 0 ? NULL : make_copy(board->n_units, fd);
	if (!board->copy)
		return;
	copy_manager(board);
	copy_bytes(board, &board->header->failure, sizeof(board->header->failure));
	for (uint32_t i = 0; i < board->n_units; i++) {
		copy_unit(board, i);
		copy_bytes(board, board->units[i].text, BOARD_TEXT_MAX);
	}
	for (uint32_t i = 0; i < board->n_secrets; i++) {
		COPY_RECORD_NOW(board, &board->secrets[i]);
		COPY_RECORD_NOW(board, &board->lives[i]);
	}
}

/* ---- the records */

/*
 * A reader may be overtaken: between its load of the index and the end of its copy the writer can
 * flip twice and so write into the copy being read. So a copy says by its generation that it is being
 * written before anything else of it changes, and which one it is after all has: it was whole if that
 * was a generation before the reader's copy and is the same one after it.
 */
#define READ_TRIES 1000
#define READ_RECORD(record, result)                                                              \
	do {                                                                                     \
		for (int tries = 0; tries < READ_TRIES; tries++) {                               \
			uint32_t i =                                                             \
				atomic_load_explicit(&(record)->current, memory_order_acquire) & \
				1;                                                               \
			uint64_t generation = generation_of(&(record)->copies[i].generation);    \
			if (generation == BEING_WRITTEN)                                         \
				continue;                                                        \
			(result) = (record)->copies[i];                                          \
			atomic_thread_fence(memory_order_acquire);                               \
			if (generation_of(&(record)->copies[i].generation) == generation)        \
				break;                                                           \
		}                                                                                \
	} while (0)

static uint64_t generation_of(const uint64_t *generation)
{
	return __atomic_load_n(generation, __ATOMIC_ACQUIRE);
}

struct board_unit board_read_unit(const struct board *board, uint32_t unit)
{
	struct board_unit result;

	READ_RECORD(&board->units[unit], result);
	return result;
}

struct board_manager board_read_manager(const struct board *board)
{
	struct board_manager result;

	READ_RECORD(&board->header->manager, result);
	return result;
}

struct board_secret board_read_secret(const struct board *board, uint32_t secret)
{
	struct board_secret result = {0};

	READ_RECORD(&board->secrets[secret], result);
	return result;
}

struct board_life board_read_life(const struct board *board, uint32_t first_secret)
{
	struct board_life result = {0};

	READ_RECORD(&board->lives[first_secret], result);
	return result;
}

const struct board_secret *board_peek_secret(const struct board *board, uint32_t secret)
{
	struct board_secret_record *record = &board->secrets[secret];

	return &record->copies[atomic_load_explicit(&record->current, memory_order_relaxed) & 1];
}

const struct board_life *board_peek_life(const struct board *board, uint32_t first_secret)
{
	struct board_life_record *record = &board->lives[first_secret];

	return &record->copies[atomic_load_explicit(&record->current, memory_order_relaxed) & 1];
}

const struct board_unit *board_peek_unit(const struct board *board, uint32_t unit)
{
	struct board_unit_record *record = &board->units[unit];

	return &record->copies[atomic_load_explicit(&record->current, memory_order_relaxed) & 1];
}

const struct board_manager *board_peek_manager(const struct board *board)
{
	struct board_manager_record *record = &board->header->manager;

	return &record->copies[atomic_load_explicit(&record->current, memory_order_relaxed) & 1];
}

#define WRITE_RECORD(board, record, next)                                                          \
	do {                                                                                       \
		uint32_t old = atomic_load_explicit(&(record)->current, memory_order_relaxed) & 1; \
		uint64_t generation = (record)->copies[old].generation + 1;                        \
		__typeof__((record)->copies[0]) *copy = &(record)->copies[1 - old],                \
						whole = *(next);                                   \
		whole.generation = BEING_WRITTEN;                                                  \
		__atomic_store_n(&copy->generation, BEING_WRITTEN, __ATOMIC_RELAXED);              \
		atomic_thread_fence(memory_order_release);                                         \
		*copy = whole;                                                                     \
		__atomic_store_n(&copy->generation, generation, __ATOMIC_RELEASE);                 \
		atomic_store_explicit(&(record)->current, 1 - old, memory_order_release);          \
		atomic_fetch_add_explicit(&(board)->header->changes, 1, memory_order_release);     \
	} while (0)

void board_write_unit(struct board *board, uint32_t unit, const struct board_unit *next)
{
	WRITE_RECORD(board, &board->units[unit], next);
	note_unit(board, unit);
}

void board_write_manager(struct board *board, const struct board_manager *next)
{
	note_manager(board, next);
	WRITE_RECORD(board, &board->header->manager, next);
}

void board_write_secret(struct board *board, uint32_t secret, const struct board_secret *next)
{
	WRITE_RECORD(board, &board->secrets[secret], next);
	COPY_RECORD_NOW(board, &board->secrets[secret]);
}

void board_write_life(struct board *board, uint32_t first_secret, const struct board_life *next)
{
	WRITE_RECORD(board, &board->lives[first_secret], next);
	COPY_RECORD_NOW(board, &board->lives[first_secret]);
}

static void copy_text(char *to, size_t size, const char *text)
{
	size_t length = strnlen(text, size - 1);

	memcpy(to, text, length);
	memset(to + length, 0, size - length);
}

void board_write_text(struct board *board, uint32_t unit, const char *text)
{
	copy_text(board->units[unit].text, BOARD_TEXT_MAX, text);
	atomic_fetch_add_explicit(&board->header->changes, 1, memory_order_release);
	copy_bytes(board, board->units[unit].text, BOARD_TEXT_MAX);
}

void board_write_failure(struct board *board, uint32_t unit, const char *text)
{
	struct board_failure *failure = &board->header->failure;

	failure->unit = unit;
	copy_text(failure->text, BOARD_FAILURE_MAX, text);
	copy_bytes(board, failure, sizeof(*failure));
}

void board_read_failure(const struct board *board, uint32_t unit, char ret_text[BOARD_FAILURE_MAX])
{
	const struct board_failure *failure = &board->header->failure;

	copy_text(ret_text, BOARD_FAILURE_MAX, failure->unit == unit ? failure->text : "");
}

static bool has_pid(const struct board *board, uint32_t unit, int32_t pid, uint32_t *ret_slot)
{
	for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
		if (atomic_load_explicit(&board->slots[unit][slot], memory_order_relaxed) == pid) {
			*ret_slot = slot;
			return true;
		}
	}
	return false;
}

/* Where many end they do so in an order: what is searched stands behind what was found last. */
bool board_find_pid(const struct board *board, int32_t pid, uint32_t *ret_unit, uint32_t *ret_slot)
{
	static _Atomic uint32_t next;
	uint32_t first = atomic_load_explicit(&next, memory_order_relaxed);

	for (uint32_t i = 0; i < board->n_units; i++) {
		uint32_t unit = (first + i) % board->n_units;
		if (!has_pid(board, unit, pid, ret_slot))
			continue;
		*ret_unit = unit;
		atomic_store_explicit(&next, unit, memory_order_relaxed);
		return true;
	}
	return false;
}

const char *board_secret_word(const struct board_secret *secret, const struct board_life *life)
{
	if (secret->flags & BOARD_SECRET_ABSENT)
		return "absent";
	if (secret->fetched_us == 0)
		return secret->outcome ? "failed" : "waiting";
	if ((secret->flags & BOARD_SECRET_KEPT) || (life->flags & LIFE_KEPT))
		return "kept";
	return life->flags & LIFE_STALE ? "stale" : "fresh";
}
