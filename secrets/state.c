#include "secrets/state.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/hash.h"
#include "secrets/secmem.h"

#define STATE_MAGIC   UINT64_C(0x6574617473646c68)
#define STATE_VERSION 1
#define PAGE	      4096

/* At the file's start, written in one piece: which of the two copies counts, how long it is and
 * what its bytes add up to. */
struct state_head {
	uint64_t magic;
	uint32_t version;
	uint32_t copy; /* 0 or 1 */
	uint64_t size;
	uint64_t sum;
};

/* Then NAME and DATA, padded to 8 together. */
struct record_head {
	uint32_t name_length, size;
};

/* It finds what was torn, not what was forged. */
static uint64_t sum_of(const unsigned char *data, size_t size)
{
	return hash_add(HASH_BEGIN, data, size);
}

static off_t place_of(uint32_t copy)
{
	return PAGE + (off_t)copy * STATE_SIZE_MAX;
}

static size_t record_size(size_t name_length, size_t size)
{
	return sizeof(struct record_head) + ((name_length + size + 7) & ~(size_t)7);
}

static struct state_record *find(const struct state *state, const char *name)
{
	for (size_t i = 0; i < state->count; i++) {
		if (state->records[i].name && strcmp(state->records[i].name, name) == 0)
			return &state->records[i];
	}
	return NULL;
}

static void clear(struct state_record *record)
{
	secmem_free(record->name);
	secmem_free(record->data);
	*record = (struct state_record){0};
}

static size_t total_size(const struct state *state)
{
	size_t total = 0;

	for (size_t i = 0; i < state->count; i++) {
		const struct state_record *record = &state->records[i];
		if (record->name)
			total += record_size(strlen(record->name), record->size);
	}
	return total;
}

static struct state_record *add_slot(struct state *state)
{
	for (size_t i = 0; i < state->count; i++) {
		if (!state->records[i].name)
			return &state->records[i];
	}
	if (state->count == STATE_RECORDS_MAX)
		return NULL;
	if (state->count == state->room) {
		size_t room = state->room ? state->room * 2 : 16;
		void *grown = secmem_realloc(state->records, room * sizeof(*state->records));
		if (!grown)
			return NULL;
		state->records = grown;
		state->room = room;
	}
	state->records[state->count] = (struct state_record){0};
	return &state->records[state->count++];
}

static int put(struct state *state, const char *name, size_t name_length, const void *data,
	       size_t size)
{
	char *copy = secmem_alloc(name_length + 1);
	void *content = secmem_alloc(size ? size : 1);
	struct state_record *record = NULL;

	if (copy && content) {
		memcpy(copy, name, name_length);
		copy[name_length] = '\0';
		memcpy(content, data, size);
		record = find(state, copy);
		if (!record)
			record = add_slot(state);
	}
	if (!record) {
		secmem_free(copy);
		secmem_free(content);
		return -ENOMEM;
	}
	clear(record);
	*record = (struct state_record){.name = copy, .data = content, .size = size};
	return 0;
}

int state_decode(struct state *state, const void *data, size_t size)
{
	const char *at = data;
	struct record_head head;

	if (size > STATE_SIZE_MAX)
		return -ENOSPC;
	while (size > 0) {
		if (size < sizeof(head))
			return -EBADMSG;
		memcpy(&head, at, sizeof(head));
		if (head.name_length == 0 || head.name_length > STATE_NAME_MAX ||
		    head.size > STATE_SIZE_MAX)
			return -EBADMSG;
		size_t whole = record_size(head.name_length, head.size);
		if (whole > size || memchr(at + sizeof(head), '\0', head.name_length))
			return -EBADMSG;
		const char *name = at + sizeof(head);
		int r = put(state, name, head.name_length, name + head.name_length, head.size);
		if (r < 0)
			return r;
		at += whole;
		size -= whole;
	}
	return 0;
}

/* The head and the copy that it names; 0 bytes where there is none to be trusted. */
static ssize_t read_copy(int fd, void **ret_data)
{
	struct state_head head;

	*ret_data = NULL;
	ssize_t n = pread(fd, &head, sizeof(head), 0);
	if (n < 0)
		return -errno;
	if (n != sizeof(head) || head.magic != STATE_MAGIC || head.version != STATE_VERSION ||
	    head.copy > 1 || head.size == 0 || head.size > STATE_SIZE_MAX)
		return 0;
	void *data = secmem_alloc(head.size);
	if (!data)
		return -ENOMEM;
	*ret_data = data;
	n = pread(fd, data, head.size, place_of(head.copy));
	if (n < 0)
		return -errno;
	return (size_t)n == head.size && sum_of(data, head.size) == head.sum ? n : 0;
}

int state_load(struct state *state, int fd)
{
	CLEANUP(secmem_freep) void *data = NULL;

	*state = (struct state){.fd = fd};
	if (fd < 0)
		return 0;
	ssize_t n = read_copy(fd, &data);
	if (n <= 0 || !data)
		return (int)n;
	int r = state_decode(state, data, (size_t)n);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		state_finish(state);
		state->fd = fd;
	}
	return 0;
}

void state_finish(struct state *state)
{
	for (size_t i = 0; i < state->count; i++)
		clear(&state->records[i]);
	secmem_free(state->records);
	*state = (struct state){.fd = -1};
}

const void *state_get(const struct state *state, const char *name, size_t *ret_size)
{
	const struct state_record *record = find(state, name);

	if (!record)
		return NULL;
	*ret_size = record->size;
	return record->data;
}

bool state_get_exactly(const struct state *state, const char *name, void *ret_data, size_t size)
{
	const struct state_record *record = find(state, name);

	if (!record || record->size != size)
		return false;
	memcpy(ret_data, record->data, size);
	return true;
}

int state_set(struct state *state, const char *name, const void *data, size_t size)
{
	size_t length = strlen(name), had = 0;
	const void *old = state_get(state, name, &had);

	if (length == 0 || length > STATE_NAME_MAX)
		return -EINVAL;
	if (old && had == size && memcmp(old, data, size) == 0)
		return 0;
	size_t freed = old ? record_size(length, had) : 0;
	if (size > STATE_SIZE_MAX ||
	    total_size(state) - freed + record_size(length, size) > STATE_SIZE_MAX)
		return -ENOSPC;
	int r = put(state, name, length, data, size);
	if (r == 0)
		state->is_changed = true;
	return r;
}

void state_drop(struct state *state, const char *name)
{
	struct state_record *record = find(state, name);

	if (!record)
		return;
	clear(record);
	state->is_changed = true;
}

const char *state_next(const struct state *state, const char *prefix, size_t *cursor)
{
	while (*cursor < state->count) {
		const struct state_record *record = &state->records[(*cursor)++];
		if (record->name && strncmp(record->name, prefix, strlen(prefix)) == 0)
			return record->name;
	}
	return NULL;
}

static void encode(const struct state *state, char *to)
{
	for (size_t i = 0; i < state->count; i++) {
		const struct state_record *record = &state->records[i];
		if (!record->name)
			continue;
		struct record_head head = {(uint32_t)strlen(record->name), (uint32_t)record->size};
		memcpy(to, &head, sizeof(head));
		memcpy(to + sizeof(head), record->name, head.name_length);
		memcpy(to + sizeof(head) + head.name_length, record->data, record->size);
		to += record_size(head.name_length, head.size);
	}
}

static int write_at(int fd, const void *data, size_t size, off_t place)
{
	const char *at = data;

	while (size > 0) {
		struct iovec part = {(void *)(uintptr_t)at, size};
		ssize_t n = pwritev(fd, &part, 1, place);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		at += n;
		place += n;
		size -= (size_t)n;
	}
	return 0;
}

static int wipe(int fd, uint32_t copy, size_t size)
{
	static const char zeros[PAGE];
	int r = 0;

	for (size_t done = 0; r == 0 && done < size; done += PAGE)
		r = write_at(fd, zeros, MIN(size - done, (size_t)PAGE),
			     place_of(copy) + (off_t)done);
	return r;
}

int state_save(struct state *state)
{
	struct state_head old, head = {.magic = STATE_MAGIC, .version = STATE_VERSION};

	if (!state->is_changed || state->fd < 0)
		return 0;
	head.size = total_size(state);
	CLEANUP(secmem_freep) char *data = secmem_zalloc(1, head.size + 1);
	if (!data)
		return -ENOMEM;
	encode(state, data);
	head.sum = sum_of((unsigned char *)data, head.size);
	bool has_old = pread(state->fd, &old, sizeof(old), 0) == sizeof(old) && old.copy <= 1;
	head.copy = has_old ? !old.copy : 0;
	int r = write_at(state->fd, data, head.size, place_of(head.copy));
	if (r == 0)
		r = write_at(state->fd, &head, sizeof(head), 0);
	if (r < 0)
		return r;
	state->is_changed = false;
	return has_old ? wipe(state->fd, old.copy, MIN(old.size, (uint64_t)STATE_SIZE_MAX)) : 0;
}
