/*
 * A loader can be executed itself: `ld.so PROGRAM` opens PROGRAM as a mere file, so nobody who watches
 * executions hears of it. It is known by what it is, not by its name: a shared object that names no
 * loader of its own. A static program that may lie anywhere (static-pie) is one too, but linkers mark it
 * (DF_1_PIE, since 2015) and give it no name for others to link with (DT_SONAME).
 *
 * The bytes are anybody's: every offset and count is bounded before it is used.
 */
#include "gate/elf.h"

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define HEAD_SIZE    1024 /* of which most have all that is looked at */
#define SEGMENTS_MAX 64
#define DYNAMICS_MAX 256

/* What both classes have, of a program header. */
struct segment {
	uint32_t type;
	uint64_t offset, size;
};

struct source {
	elf_reader reader;
	void *from;
	unsigned char head[HEAD_SIZE];
	size_t head_length;
};

static bool read_at(const struct source *source, void *data, size_t size, uint64_t offset)
{
	if (offset > INT64_MAX - size)
		return false;
	if (offset + size <= source->head_length) {
		memcpy(data, source->head + offset, size);
		return true;
	}
	return source->reader(source->from, data, size, (off_t)offset) == (ssize_t)size;
}

/* One row a class: 32 and 64 bits differ in widths and order, and in nothing else. */
static bool read_segment(const struct source *source, bool is_64, uint64_t at,
			 struct segment *ret_segment)
{
	Elf64_Phdr wide;
	Elf32_Phdr narrow;

	if (is_64) {
		if (!read_at(source, &wide, sizeof(wide), at))
			return false;
		*ret_segment = (struct segment){wide.p_type, wide.p_offset, wide.p_filesz};
		return true;
	}
	if (!read_at(source, &narrow, sizeof(narrow), at))
		return false;
	*ret_segment = (struct segment){narrow.p_type, narrow.p_offset, narrow.p_filesz};
	return true;
}

struct dynamic {
	int64_t tag;
	uint64_t value;
};

static bool read_dynamic(const struct source *source, bool is_64, uint64_t at,
			 struct dynamic *ret_dynamic)
{
	Elf64_Dyn wide;
	Elf32_Dyn narrow;

	if (is_64) {
		if (!read_at(source, &wide, sizeof(wide), at))
			return false;
		*ret_dynamic = (struct dynamic){wide.d_tag, wide.d_un.d_val};
		return true;
	}
	if (!read_at(source, &narrow, sizeof(narrow), at))
		return false;
	*ret_dynamic = (struct dynamic){narrow.d_tag, narrow.d_un.d_val};
	return true;
}

/* A program that may lie anywhere, by its linker's word; and no library's name beside it. */
static bool is_program(const struct source *source, bool is_64, const struct segment *section)
{
	const size_t step = is_64 ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
	bool is_marked = false;

	for (uint64_t i = 0; i < DYNAMICS_MAX && (i + 1) * step <= section->size; i++) {
		struct dynamic dynamic;
		if (section->offset > INT64_MAX - i * step ||
		    !read_dynamic(source, is_64, section->offset + i * step, &dynamic) ||
		    dynamic.tag == DT_NULL)
			break;
		if (dynamic.tag == DT_SONAME)
			return false;
		is_marked = is_marked || (dynamic.tag == DT_FLAGS_1 && (dynamic.value & DF_1_PIE));
	}
	return is_marked;
}

struct header {
	bool is_64;
	uint16_t type, n_segments, segment_size;
	uint64_t segments;
};

static bool read_header(const struct source *source, struct header *ret_header)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf64_Ehdr wide;
		Elf32_Ehdr narrow;
	} head;

	if (!read_at(source, &head, sizeof(head.narrow), 0) ||
	    memcmp(head.ident, ELFMAG, SELFMAG) != 0)
		return false;
	if (head.ident[EI_CLASS] == ELFCLASS32) {
		*ret_header = (struct header){false, head.narrow.e_type, head.narrow.e_phnum,
					      head.narrow.e_phentsize, head.narrow.e_phoff};
		return true;
	}
	if (head.ident[EI_CLASS] != ELFCLASS64 || !read_at(source, &head, sizeof(head.wide), 0))
		return false;
	*ret_header = (struct header){true, head.wide.e_type, head.wide.e_phnum,
				      head.wide.e_phentsize, head.wide.e_phoff};
	return true;
}

enum elf_kind elf_inspect(elf_reader reader, void *from)
{
	struct source source = {.reader = reader, .from = from};
	struct header header;
	struct segment segment, section = {0};

	ssize_t n = reader(from, source.head, sizeof(source.head), 0);
	source.head_length = n > 0 ? (size_t)n : 0;
	if (!read_header(&source, &header) || (header.type != ET_EXEC && header.type != ET_DYN))
		return ELF_NONE;
	for (uint16_t i = 0; i < header.n_segments && i < SEGMENTS_MAX; i++) {
		uint64_t skip = (uint64_t)i * header.segment_size;
		if (header.segments > INT64_MAX - skip ||
		    !read_segment(&source, header.is_64, header.segments + skip, &segment))
			return ELF_NONE;
		if (segment.type == PT_INTERP)
			return ELF_DYNAMIC;
		if (segment.type == PT_DYNAMIC)
			section = segment;
	}
	return header.type == ET_EXEC || is_program(&source, header.is_64, &section) ? ELF_STATIC
										     : ELF_LOADER;
}

static ssize_t read_fd(void *from, void *data, size_t size, off_t offset)
{
	return pread(*(int *)from, data, size, offset);
}

enum elf_kind elf_inspect_fd(int fd)
{
	return elf_inspect(read_fd, &fd);
}
