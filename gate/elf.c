#include "gate/elf.h"

#include <elf.h>

#define SEGMENTS_MAX 128 /* as many as the kernel reads of one with pages of 4 KiB */
#define DYNAMICS_MAX 256

/* A program that may lie anywhere, by its linker's word; and no library's name beside it. */
static bool is_program(struct elf *elf, const struct elf_segment *section)
{
	struct elf_dynamic dynamic;
	bool is_marked = false;

	for (unsigned i = 0; i < DYNAMICS_MAX && elf_dynamic(elf, section, i, &dynamic) == 0; i++) {
		if (dynamic.tag == DT_SONAME)
			return false;
		is_marked = is_marked || (dynamic.tag == DT_FLAGS_1 && (dynamic.value & DF_1_PIE));
	}
	return is_marked;
}

enum elf_kind elf_inspect(elf_reader *reader, void *from)
{
	struct elf elf;
	struct elf_segment segment, section = {0};

	if (elf_open(&elf, reader, from) < 0 || (elf.type != ET_EXEC && elf.type != ET_DYN))
		return ELF_NONE;
	for (unsigned i = 0; i < elf.n_segments && i < SEGMENTS_MAX; i++) {
		if (elf_segment(&elf, i, &segment) < 0)
			return ELF_NONE;
		if (segment.type == PT_INTERP)
			return ELF_DYNAMIC;
		if (segment.type == PT_DYNAMIC)
			section = segment;
	}
	return elf.type == ET_EXEC || is_program(&elf, &section) ? ELF_STATIC : ELF_LOADER;
}

enum elf_kind elf_inspect_fd(int fd)
{
	return elf_inspect(elf_read_fd, &fd);
}
