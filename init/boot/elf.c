#include "init/boot/elf.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/str.h"

#define HEADERS_MAX 32
#define DYNAMIC_MAX 128

struct file {
	int fd;
	Elf64_Phdr headers[HEADERS_MAX];
	unsigned n_headers;
};

/* All of it or nothing: a file that ends before is damaged. */
static int read_at(int fd, void *data, size_t size, uint64_t offset)
{
	if (offset > INT64_MAX - size)
		return -ENOEXEC;
	ssize_t n = pread(fd, data, size, (off_t)offset);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -ENOEXEC;
}

static int read_headers(struct file *file)
{
	static const unsigned char byte_order =
		__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	Elf64_Ehdr header;
	int r = read_at(file->fd, &header, sizeof(header), 0);

	if (r < 0)
		return r;
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != byte_order ||
	    header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > HEADERS_MAX)
		return -ENOEXEC;
	file->n_headers = header.e_phnum;
	return read_at(file->fd, file->headers, file->n_headers * sizeof(Elf64_Phdr),
		       header.e_phoff);
}

static const Elf64_Phdr *find_header(const struct file *file, uint32_t type)
{
	for (unsigned i = 0; i < file->n_headers; i++) {
		if (file->headers[i].p_type == type)
			return &file->headers[i];
	}
	return NULL;
}

/* A name of at most ELF_NAME_MAX - 1 bytes at the offset, which may be near the end of the file. */
static int read_name(const struct file *file, uint64_t offset, char *ret_name)
{
	if (offset > INT64_MAX)
		return -ENOEXEC;
	ssize_t n = pread(file->fd, ret_name, ELF_NAME_MAX, (off_t)offset);
	if (n < 0)
		return -errno;
	return memchr(ret_name, '\0', (size_t)n) ? 0 : -ENOEXEC;
}

/* Addresses are where it is loaded, and PT_LOAD says where that is in the file. */
static int find_offset(const struct file *file, uint64_t address, uint64_t *ret_offset)
{
	for (unsigned i = 0; i < file->n_headers; i++) {
		const Elf64_Phdr *h = &file->headers[i];
		if (h->p_type == PT_LOAD && address >= h->p_vaddr &&
		    address - h->p_vaddr < h->p_filesz && h->p_offset <= INT64_MAX &&
		    address - h->p_vaddr <= INT64_MAX - h->p_offset) {
			*ret_offset = h->p_offset + (address - h->p_vaddr);
			return 0;
		}
	}
	return -ENOEXEC;
}

static int add_needed(const struct file *file, uint64_t strings, const Elf64_Dyn *entry,
		      struct elf_program *program)
{
	if (entry->d_tag != DT_NEEDED || program->n_needed == ELF_NEEDED_MAX)
		return 0;
	if (entry->d_un.d_val > INT64_MAX - strings)
		return -ENOEXEC;
	int r = read_name(file, strings + entry->d_un.d_val, program->needed[program->n_needed]);
	if (r == 0)
		program->n_needed++;
	return r;
}

static int read_needed(const struct file *file, struct elf_program *program)
{
	Elf64_Dyn entries[DYNAMIC_MAX];
	const Elf64_Phdr *h = find_header(file, PT_DYNAMIC);
	uint64_t strings = 0;
	int r = -ENOEXEC;

	if (!h)
		return 0;
	size_t count = h->p_filesz / sizeof(Elf64_Dyn);
	count = count < DYNAMIC_MAX ? count : DYNAMIC_MAX;
	if (read_at(file->fd, entries, count * sizeof(Elf64_Dyn), h->p_offset) < 0)
		return -ENOEXEC;
	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++) {
		if (entries[i].d_tag == DT_STRTAB)
			r = find_offset(file, entries[i].d_un.d_ptr, &strings);
	}
	for (size_t i = 0; r == 0 && i < count && entries[i].d_tag != DT_NULL; i++)
		r = add_needed(file, strings, &entries[i], program);
	return r;
}

static uint64_t count_mapped(const struct file *file)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < file->n_headers; i++) {
		const Elf64_Phdr *h = &file->headers[i];
		if (h->p_type == PT_LOAD && h->p_offset <= INT64_MAX &&
		    h->p_filesz <= INT64_MAX - h->p_offset && h->p_offset + h->p_filesz > bytes)
			bytes = h->p_offset + h->p_filesz;
	}
	return bytes;
}

int elf_read(int fd, struct elf_program *ret_program)
{
	struct file file = {.fd = fd};
	int r = read_headers(&file);

	if (r < 0)
		return r;
	ret_program->mapped_bytes = count_mapped(&file);
	ret_program->interpreter[0] = '\0';
	ret_program->n_needed = 0;
	const Elf64_Phdr *h = find_header(&file, PT_INTERP);
	if (h)
		r = read_name(&file, h->p_offset, ret_program->interpreter);
	return r == 0 ? read_needed(&file, ret_program) : r;
}
