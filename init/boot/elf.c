#include "init/boot/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "lib/elf.h"

#define SEGMENTS_MAX 32
#define DYNAMIC_MAX  128

struct file {
	struct elf elf;
	struct elf_segment segments[SEGMENTS_MAX];
};

static int read_segments(struct file *file)
{
	int r = file->elf.n_segments <= SEGMENTS_MAX ? 0 : -ENOEXEC;

	for (unsigned i = 0; r == 0 && i < file->elf.n_segments; i++)
		r = elf_segment(&file->elf, i, &file->segments[i]);
	return r;
}

static const struct elf_segment *find_segment(const struct file *file, uint32_t type)
{
	for (unsigned i = 0; i < file->elf.n_segments; i++) {
		if (file->segments[i].type == type)
			return &file->segments[i];
	}
	return NULL;
}

/* A name of at most ELF_NAME_MAX - 1 bytes at the offset, which may be near the end of the file. */
static int read_name(const struct file *file, uint64_t offset, char *ret_name)
{
	if (offset > INT64_MAX)
		return -ENOEXEC;
	ssize_t n = file->elf.reader(file->elf.from, ret_name, ELF_NAME_MAX, offset);
	if (n < 0)
		return (int)n;
	return memchr(ret_name, '\0', (size_t)n) ? 0 : -ENOEXEC;
}

/* Addresses are where it is loaded, and PT_LOAD says where that is in the file. */
static int find_offset(const struct file *file, uint64_t address, uint64_t *ret_offset)
{
	for (unsigned i = 0; i < file->elf.n_segments; i++) {
		const struct elf_segment *s = &file->segments[i];
		if (s->type == PT_LOAD && address >= s->address && address - s->address < s->size &&
		    s->offset <= INT64_MAX && address - s->address <= INT64_MAX - s->offset) {
			*ret_offset = s->offset + (address - s->address);
			return 0;
		}
	}
	return -ENOEXEC;
}

static int add_needed(const struct file *file, uint64_t strings, uint64_t name,
		      struct elf_program *program)
{
	if (program->n_needed == ELF_NEEDED_MAX)
		return 0;
	if (name > INT64_MAX - strings)
		return -ENOEXEC;
	int r = read_name(file, strings + name, program->needed[program->n_needed]);
	if (r == 0)
		program->n_needed++;
	return r;
}

/* The entries name their strings by where these begin, which another entry says. */
static int read_needed(struct file *file, struct elf_program *program)
{
	struct elf_dynamic entry;
	uint64_t names[DYNAMIC_MAX], strings = 0;
	unsigned n_names = 0;
	const struct elf_segment *segment = find_segment(file, PT_DYNAMIC);
	int r, found = -ENOEXEC;

	if (!segment)
		return 0;
	for (unsigned i = 0; i < DYNAMIC_MAX; i++) {
		r = elf_dynamic(&file->elf, segment, i, &entry);
		if (r == -ENOENT)
			break;
		if (r < 0)
			return r;
		if (entry.tag == DT_STRTAB)
			found = find_offset(file, entry.value, &strings);
		else if (entry.tag == DT_NEEDED)
			names[n_names++] = entry.value;
	}
	for (unsigned i = 0; found == 0 && i < n_names; i++)
		found = add_needed(file, strings, names[i], program);
	return found;
}

static uint64_t count_mapped(const struct file *file)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < file->elf.n_segments; i++) {
		const struct elf_segment *s = &file->segments[i];
		if (s->type == PT_LOAD && s->offset <= INT64_MAX &&
		    s->size <= INT64_MAX - s->offset && s->offset + s->size > bytes)
			bytes = s->offset + s->size;
	}
	return bytes;
}

int elf_read_program(int fd, struct elf_program *ret_program)
{
	struct file file;
	int r = elf_open(&file.elf, elf_read_fd, &fd);

	if (r < 0)
		return r;
	r = read_segments(&file);
	if (r < 0)
		return r;
	ret_program->mapped_bytes = count_mapped(&file);
	ret_program->interpreter[0] = '\0';
	ret_program->n_needed = 0;
	const struct elf_segment *segment = find_segment(&file, PT_INTERP);
	if (segment)
		r = read_name(&file, segment->offset, ret_program->interpreter);
	return r == 0 ? read_needed(&file, ret_program) : r;
}
