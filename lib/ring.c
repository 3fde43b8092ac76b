#include "lib/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/crash.h"
#include "lib/fd.h"

/*
 * A record is its entry and its text, padded to 8 bytes. Its size follows from its length, so
 * there is nothing else to keep in step.
 *
 * Order of the writer's stores, and what each protects:
 *   tail forward, release fence   a reader that saw any new byte also sees that its record is gone
 *   entry and text
 *   head forward, release         whoever sees head sees the whole record
 *   last_seq                      only a copy: ring_recover finds it again from the records
 */

#define RING_MAGIC    UINT64_C(0x676e69726668)
#define RING_VERSION  1
#define RING_SIZE_MIN (UINT64_C(64) << 10)
#define RING_SIZE_MAX (UINT64_C(1) << 30)

static uint64_t record_size(uint32_t length)
{
	return (sizeof(struct ring_entry) + length + 7) & ~UINT64_C(7);
}

static uint64_t round_up(uint64_t bytes)
{
	uint64_t size = RING_SIZE_MIN;

	while (size < bytes && size < RING_SIZE_MAX)
		size *= 2;
	return size;
}

uint64_t ring_file_size(uint64_t bytes)
{
	return (uint64_t)sysconf(_SC_PAGESIZE) + round_up(bytes);
}

/* The file is never emptied: others who fill that memory would get what is reserved for it. */
int ring_format(int fd, uint64_t bytes)
{
	uint64_t size = round_up(bytes);
	uint32_t header_size = (uint32_t)sysconf(_SC_PAGESIZE);
	struct ring_header header = {
		.version = RING_VERSION,
		.header_size = header_size,
		.size = size,
	};
	uint64_t magic = RING_MAGIC;

	/* First what takes time: a file that has a length and no magic was damaged. */
	int r = fd_reserve(fd, header_size + size);
	if (r < 0)
		return r;
	if (ftruncate(fd, (off_t)(header_size + size)) < 0)
		return -errno;
	if (pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return errno ? -errno : -EIO;
	/* Last, so that a half-formatted file is none. */
	if (pwrite(fd, &magic, sizeof(magic), offsetof(struct ring_header, magic)) !=
	    (ssize_t)sizeof(magic))
		return errno ? -errno : -EIO;
	return 0;
}

static bool header_fits(const struct ring_header *header, uint64_t file_size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return header->magic == RING_MAGIC && header->version == RING_VERSION &&
	       header->header_size >= sizeof(*header) && header->header_size % page == 0 &&
	       header->size >= RING_SIZE_MIN && header->size <= RING_SIZE_MAX &&
	       (header->size & (header->size - 1)) == 0 &&
	       file_size == header->header_size + header->size;
}

int ring_map(int fd, bool is_writable, struct ring *ret_ring)
{
	struct ring_header header;
	struct stat st;
	int protection = is_writable ? PROT_READ | PROT_WRITE : PROT_READ;

	if (fstat(fd, &st) < 0)
		return -errno;
	ssize_t n = pread(fd, &header, sizeof(header), 0);
	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(header) || !header_fits(&header, (uint64_t)st.st_size))
		return -EBADMSG;
	size_t once = (size_t)(header.header_size + header.size);
	size_t all = once + (size_t)header.size;
	unsigned char *base = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	if (mmap(base, once, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
	    mmap(base + once, (size_t)header.size, protection, MAP_SHARED | MAP_FIXED, fd,
		 (off_t)header.header_size) == MAP_FAILED) {
		int error = errno;
		(void)munmap(base, all);
		return -error;
	}
	*ret_ring = (struct ring){
		.header = (struct ring_header *)base,
		.data = base + header.header_size,
		.size = header.size,
	};
	return 0;
}

static unsigned char *at(const struct ring *ring, uint64_t position)
{
	return ring->data + (position & (ring->size - 1));
}

int ring_recover(struct ring *ring)
{
	struct ring_header *header = ring->header;
	uint64_t position = atomic_load(&header->tail), head = atomic_load(&header->head);
	uint64_t last_seq = 0;

	if (position > head || head - position > ring->size || position % 8 || head % 8)
		return -EBADMSG;
	while (position < head) {
		const struct ring_entry *entry = (const struct ring_entry *)at(ring, position);
		if (entry->length > RING_LINE_MAX || (last_seq && entry->seq != last_seq + 1) ||
		    entry->seq == 0)
			return -EBADMSG;
		last_seq = entry->seq;
		position += record_size(entry->length);
	}
	if (position != head || last_seq < atomic_load(&header->last_seq) ||
	    ring_read_emission(ring).position > head)
		return -EBADMSG;
	atomic_store(&header->last_seq, last_seq);
	return 0;
}

/* Lets go of the oldest records until so many bytes are free behind head. */
static void make_room(struct ring *ring, uint64_t head, uint64_t bytes)
{
	struct ring_header *header = ring->header;
	uint64_t tail = atomic_load_explicit(&header->tail, memory_order_relaxed);

	if (head + bytes - tail <= ring->size)
		return;
	while (head + bytes - tail > ring->size)
		tail += record_size(((const struct ring_entry *)at(ring, tail))->length);
	atomic_store_explicit(&header->tail, tail, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	CRASH_POINT("ring-tail");
}

void ring_append(struct ring *ring, struct ring_entry *entry, const char *text)
{
	struct ring_header *header = ring->header;
	uint64_t head = atomic_load_explicit(&header->head, memory_order_relaxed);
	uint64_t size = record_size(entry->length);

	make_room(ring, head, size);
	entry->seq = atomic_load_explicit(&header->last_seq, memory_order_relaxed) + 1;
	if ((entry->flags & RING_PART) && entry->part_id == 0)
		entry->part_id = entry->seq;
	unsigned char *to = at(ring, head);
	memcpy(to, entry, sizeof(*entry));
	if (entry->length > 0)
		memcpy(to + sizeof(*entry), text, entry->length);
	CRASH_POINT("ring-written");
	atomic_store_explicit(&header->head, head + size, memory_order_release);
	CRASH_POINT("ring-head");
	atomic_store_explicit(&header->last_seq, entry->seq, memory_order_release);
}

uint64_t ring_oldest(const struct ring *ring)
{
	return atomic_load_explicit(&ring->header->tail, memory_order_acquire);
}

/* Whether what was copied from the position on was still there afterwards. */
static bool was_kept(const struct ring *ring, uint64_t position)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&ring->header->tail, memory_order_relaxed) <= position;
}

enum copied { COPIED, OVERTAKEN, AT_END };

static enum copied copy_record(const struct ring *ring, uint64_t position,
			       struct ring_entry *ret_entry, char *text)
{
	uint64_t head = atomic_load_explicit(&ring->header->head, memory_order_acquire);

	if (!was_kept(ring, position))
		return OVERTAKEN;
	if (position % 8 || position >= head || head - position < sizeof(*ret_entry))
		return AT_END;
	memcpy(ret_entry, at(ring, position), sizeof(*ret_entry));
	if (!was_kept(ring, position))
		return OVERTAKEN;
	if (ret_entry->length > RING_LINE_MAX || record_size(ret_entry->length) > head - position)
		return AT_END;
	memcpy(text, at(ring, position) + sizeof(*ret_entry), ret_entry->length);
	if (!was_kept(ring, position))
		return OVERTAKEN;
	text[ret_entry->length] = '\0';
	return COPIED;
}

bool ring_read(const struct ring *ring, uint64_t *cursor, struct ring_entry *ret_entry, char *text)
{
	struct ring_entry entry;

	for (;;) {
		switch (copy_record(ring, *cursor, &entry, text)) {
		case COPIED:
			*ret_entry = entry;
			*cursor += record_size(entry.length);
			return true;
		case AT_END: return false;
		case OVERTAKEN: *cursor = ring_oldest(ring);
		}
	}
}

/* As the board's records: overtaken by two flips in the middle of a copy of 32 bytes, a reader
 * could see a mixture; so it copies until the index stands still. A dead writer cannot hold it. */
struct ring_emission ring_read_emission(const struct ring *ring)
{
	const struct ring_header *header = ring->header;
	struct ring_emission result;

	for (int tries = 0; tries < 100; tries++) {
		uint32_t i = atomic_load_explicit(&header->emission, memory_order_acquire);
		result = header->emissions[i & 1];
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&header->emission, memory_order_relaxed) == i)
			break;
	}
	return result;
}

void ring_write_emission(struct ring *ring, const struct ring_emission *next)
{
	struct ring_header *header = ring->header;
	/* The index counts on, so that a reader notices two flips as well as one. */
	uint32_t i = atomic_load_explicit(&header->emission, memory_order_relaxed) + 1;

	header->emissions[i & 1] = *next;
	atomic_store_explicit(&header->emission, i, memory_order_release);
}

uint64_t ring_dropped(const struct ring *ring)
{
	struct ring_emission emission = ring_read_emission(ring);
	uint64_t in_flight = atomic_load_explicit(&ring->header->in_flight, memory_order_acquire);
	uint64_t reached = in_flight > emission.seq ? in_flight : emission.seq;
	uint64_t cursor = ring_oldest(ring);
	struct ring_entry oldest;

	memcpy(&oldest, at(ring, cursor), sizeof(oldest));
	if (!was_kept(ring, cursor) || oldest.seq <= reached)
		return emission.n_dropped;
	return emission.n_dropped + (oldest.seq - 1 - reached);
}
