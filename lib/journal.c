#include "lib/journal.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_MAGIC	UINT64_C(0x6c6e726a73666868)
#define JOURNAL_VERSION 2

int journal_format(int fd)
{
	struct journal *journal;

	if (ftruncate(fd, sizeof(*journal)) < 0)
		return -errno;
	journal = mmap(NULL, sizeof(*journal), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (journal == MAP_FAILED)
		return -errno;
	journal->magic = JOURNAL_MAGIC;
	journal->version = JOURNAL_VERSION;
	(void)munmap(journal, sizeof(*journal));
	return 0;
}

int journal_map(int fd, bool is_writable, struct journal **ret_journal)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size < sizeof(struct journal))
		return -EBADMSG;
	struct journal *journal =
		mmap(NULL, sizeof(*journal), is_writable ? PROT_READ | PROT_WRITE : PROT_READ,
		     MAP_SHARED, fd, 0);
	if (journal == MAP_FAILED)
		return -errno;
	if (journal->magic != JOURNAL_MAGIC || journal->version != JOURNAL_VERSION) {
		(void)munmap(journal, sizeof(*journal));
		return -EBADMSG;
	}
	*ret_journal = journal;
	return 0;
}

bool journal_has_room(const struct journal *journal, uint64_t cursor)
{
	return atomic_load_explicit(&journal->head, memory_order_relaxed) - cursor <
	       JOURNAL_CAPACITY;
}

void journal_append(struct journal *journal, struct journal_entry *entry)
{
	uint64_t seq = atomic_load_explicit(&journal->head, memory_order_relaxed) + 1;

	entry->seq = seq;
	journal->entries[seq % JOURNAL_CAPACITY] = *entry;
	atomic_store_explicit(&journal->head, seq, memory_order_release);
}

bool journal_read(const struct journal *journal, uint64_t seq, struct journal_entry *ret_entry)
{
	uint64_t head = atomic_load_explicit(&journal->head, memory_order_acquire);

	if (seq == 0 || seq > head || head - seq >= JOURNAL_CAPACITY)
		return false;
	*ret_entry = journal->entries[seq % JOURNAL_CAPACITY];
	return ret_entry->seq == seq;
}
