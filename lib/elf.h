#pragma once
/*
 * The parts of an ELF file that say how it is started (elf(5)), for both classes alike: 32 and 64 bits
 * differ in widths and order, and in nothing else. Files of another byte order than this machine's are
 * none that it starts. The bytes are anybody's: every offset is bounded before it is used, and how many
 * segments and entries are worth a look is for the caller to say.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads size bytes at offset as pread(2) does: how many, fewer at the end, or -errno. */
typedef ssize_t elf_reader(void *from, void *data, size_t size, uint64_t offset);

struct elf {
	elf_reader *reader;
	void *from;
	/* What was read last: first the head, of which most have all that is looked at. */
	unsigned char window[1024];
	uint64_t window_at;
	size_t window_length;
	bool is_64;
	uint16_t type; /* ET_EXEC, ET_DYN … */
	uint16_t n_segments;
	uint64_t segments; /* where they begin */
};

struct elf_segment {
	uint32_t type;			/* PT_LOAD … */
	uint64_t offset, address, size; /* in the file, in memory, in the file */
};

struct elf_dynamic {
	int64_t tag; /* DT_NEEDED … */
	uint64_t value;
};

/* Reads the header; from is borrowed while the record is used. 0, -ENOEXEC for what is no ELF file of
 * this machine's byte order or is damaged, or what the reader said. So say all of these. */
int elf_open(struct elf *elf, elf_reader *reader, void *from);

/* All of size bytes at offset, at most 1024, or an error. */
int elf_read_at(struct elf *elf, void *data, size_t size, uint64_t offset);

/* index: from 0, below elf->n_segments. */
int elf_segment(struct elf *elf, unsigned index, struct elf_segment *ret_segment);

/* Of a segment of type PT_DYNAMIC; -ENOENT at its end, which DT_NULL is too. */
int elf_dynamic(struct elf *elf, const struct elf_segment *segment, unsigned index,
		struct elf_dynamic *ret_dynamic);

/* A reader of the file behind from, a pointer to its fd, whose offset stays. */
ssize_t elf_read_fd(void *from, void *data, size_t size, uint64_t offset);
