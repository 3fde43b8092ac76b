#include "lib/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static int fill_window(struct elf *elf, uint64_t offset)
{
	ssize_t n = elf->reader(elf->from, elf->window, sizeof(elf->window), offset);

	elf->window_at = offset;
	elf->window_length = n > 0 ? (size_t)n : 0;
	return n < 0 ? (int)n : 0;
}

static bool is_in_window(const struct elf *elf, size_t size, uint64_t offset)
{
	return offset >= elf->window_at && size <= elf->window_length &&
	       offset - elf->window_at <= elf->window_length - size;
}

int elf_read_at(struct elf *elf, void *data, size_t size, uint64_t offset)
{
	if (size > sizeof(elf->window) || offset > INT64_MAX - size)
		return -ENOEXEC;
	if (!is_in_window(elf, size, offset)) {
		int r = fill_window(elf, offset);
		if (r < 0)
			return r;
		if (size > elf->window_length)
			return -ENOEXEC;
	}
	memcpy(data, elf->window + (offset - elf->window_at), size);
	return 0;
}

/* The index-th of the records that begin at offset. */
static int read_record(struct elf *elf, uint64_t offset, unsigned index, void *data, size_t size)
{
	uint64_t skip = (uint64_t)index * size;

	return offset > INT64_MAX - skip ? -ENOEXEC : elf_read_at(elf, data, size, offset + skip);
}

int elf_open(struct elf *elf, elf_reader *reader, void *from)
{
	static const unsigned char byte_order =
		__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	union {
		unsigned char ident[EI_NIDENT];
		Elf64_Ehdr wide;
		Elf32_Ehdr narrow;
	} header;
	uint16_t segment_size;

	*elf = (struct elf){.reader = reader, .from = from};
	int r = fill_window(elf, 0);
	if (r < 0)
		return r;
	if (elf_read_at(elf, &header, sizeof(header.narrow), 0) < 0 ||
	    memcmp(header.ident, ELFMAG, SELFMAG) != 0 || header.ident[EI_DATA] != byte_order)
		return -ENOEXEC;
	elf->is_64 = header.ident[EI_CLASS] == ELFCLASS64;
	if (elf->is_64) {
		if (elf_read_at(elf, &header, sizeof(header.wide), 0) < 0)
			return -ENOEXEC;
		elf->type = header.wide.e_type;
		elf->n_segments = header.wide.e_phnum;
		elf->segments = header.wide.e_phoff;
		segment_size = header.wide.e_phentsize;
	} else {
		if (header.ident[EI_CLASS] != ELFCLASS32)
			return -ENOEXEC;
		elf->type = header.narrow.e_type;
		elf->n_segments = header.narrow.e_phnum;
		elf->segments = header.narrow.e_phoff;
		segment_size = header.narrow.e_phentsize;
	}
	return segment_size == (elf->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ? 0
										      : -ENOEXEC;
}

int elf_segment(struct elf *elf, unsigned index, struct elf_segment *ret_segment)
{
	union {
		Elf64_Phdr wide;
		Elf32_Phdr narrow;
	} header;
	int r;

	if (elf->is_64) {
		r = read_record(elf, elf->segments, index, &header, sizeof(header.wide));
		if (r == 0)
			*ret_segment =
				(struct elf_segment){header.wide.p_type, header.wide.p_offset,
						     header.wide.p_vaddr, header.wide.p_filesz};
		return r;
	}
	r = read_record(elf, elf->segments, index, &header, sizeof(header.narrow));
	if (r == 0)
		*ret_segment = (struct elf_segment){header.narrow.p_type, header.narrow.p_offset,
						    header.narrow.p_vaddr, header.narrow.p_filesz};
	return r;
}

int elf_dynamic(struct elf *elf, const struct elf_segment *segment, unsigned index,
		struct elf_dynamic *ret_dynamic)
{
	const size_t size = elf->is_64 ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
	union {
		Elf64_Dyn wide;
		Elf32_Dyn narrow;
	} entry;

	if (index >= segment->size / size)
		return -ENOENT;
	int r = read_record(elf, segment->offset, index, &entry, size);
	if (r < 0)
		return r;
	*ret_dynamic = elf->is_64
			       ? (struct elf_dynamic){entry.wide.d_tag, entry.wide.d_un.d_val}
			       : (struct elf_dynamic){entry.narrow.d_tag, entry.narrow.d_un.d_val};
	return ret_dynamic->tag == DT_NULL ? -ENOENT : 0;
}

ssize_t elf_read_fd(void *from, void *data, size_t size, uint64_t offset)
{
	ssize_t n = pread(*(const int *)from, data, size, (off_t)offset);

	return n < 0 ? -errno : n;
}
