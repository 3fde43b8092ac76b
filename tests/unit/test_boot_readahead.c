/* TESTS: init/boot/elf.c lib/elf.c lib/str.c */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "init/boot/elf.h"

/* A program of a distribution's as small as can be: headers, a table, strings. */
struct sample {
	Elf64_Ehdr header;
	Elf64_Phdr parts[3];
	Elf64_Dyn dynamic[4];
	char interpreter[16];
	char strings[32];
};

#define BASE 0x400000

static struct sample make_sample(void)
{
	struct sample s = {
		.header = {.e_phoff = offsetof(struct sample, parts),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 3},
		.parts = {{.p_type = PT_LOAD, .p_vaddr = BASE, .p_filesz = sizeof(s)},
			  {.p_type = PT_INTERP, .p_offset = offsetof(struct sample, interpreter)},
			  {.p_type = PT_DYNAMIC,
			   .p_offset = offsetof(struct sample, dynamic),
			   .p_filesz = sizeof(s.dynamic)}},
		.dynamic = {{.d_tag = DT_NEEDED, .d_un.d_val = 1},
			    {.d_tag = DT_STRTAB,
			     .d_un.d_ptr = BASE + offsetof(struct sample, strings)},
			    {.d_tag = DT_NEEDED, .d_un.d_val = 11},
			    {.d_tag = DT_NULL}},
		.interpreter = "/lib/ld.so.1",
		.strings = "\0libc.so.6\0libm.so.6",
	};

	memcpy(s.header.e_ident, ELFMAG, SELFMAG);
	s.header.e_ident[EI_CLASS] = ELFCLASS64;
	s.header.e_ident[EI_DATA] = ELFDATA2LSB;
	return s;
}

static int read_bytes(const void *data, size_t size, struct elf_program *ret_program)
{
	int fd = memfd_create("sample", MFD_CLOEXEC);

	assert_int_equal(write(fd, data, size), size);
	int r = elf_read_program(fd, ret_program);
	assert_int_equal(close(fd), 0);
	return r;
}

static void what_it_needs_is_found(void **state)
{
	struct sample s = make_sample();
	struct elf_program program;

	(void)state;
	assert_int_equal(read_bytes(&s, sizeof(s), &program), 0);
	assert_string_equal(program.interpreter, "/lib/ld.so.1");
	assert_int_equal(program.n_needed, 2);
	assert_string_equal(program.needed[0], "libc.so.6");
	assert_string_equal(program.needed[1], "libm.so.6");
	assert_int_equal(program.mapped_bytes, sizeof(s));
}

static void a_real_program_is_read(void **state)
{
	struct elf_program program;
	struct stat st;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool has_libc = false;

	(void)state;
	assert_int_equal(elf_read_program(fd, &program), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(program.interpreter[0], '/');
	assert_in_range(program.mapped_bytes, 1, (uintmax_t)st.st_size);
	for (unsigned i = 0; i < program.n_needed; i++)
		has_libc = has_libc || strncmp(program.needed[i], "libc.", 5) == 0;
	assert_true(has_libc);
}

static void others_are_refused(void **state)
{
	struct elf_program program;
	struct sample s = make_sample();

	(void)state;
	assert_int_equal(read_bytes("", 0, &program), -ENOEXEC);
	assert_int_equal(read_bytes("#!/bin/sh\n", 10, &program), -ENOEXEC);
	s.header.e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(read_bytes(&s, sizeof(s), &program), -ENOEXEC);
	s = make_sample();
	s.header.e_phnum = 60000;
	assert_int_equal(read_bytes(&s, sizeof(s), &program), -ENOEXEC);
	s = make_sample();
	s.dynamic[1].d_un.d_ptr = BASE + sizeof(s);
	assert_int_equal(read_bytes(&s, sizeof(s), &program), -ENOEXEC);
	s = make_sample();
	s.dynamic[0].d_un.d_val = UINT64_MAX;
	assert_int_equal(read_bytes(&s, sizeof(s), &program), -ENOEXEC);
	s = make_sample();
	memset(s.interpreter, 'x', sizeof(s.interpreter) + sizeof(s.strings));
	assert_int_equal(read_bytes(&s, sizeof(s), &program), -ENOEXEC);
}

/* Whatever the bytes are it ends, within its own memory (the sanitizers look). */
static void damage_is_survived(void **state)
{
	(void)state;
	srand(4711);
	for (int i = 0; i < 20000; i++) {
		struct sample s = make_sample();
		struct elf_program program;
		unsigned char *bytes = (unsigned char *)&s;
		for (int k = rand() % 8; k >= 0; k--)
			bytes[(size_t)rand() % sizeof(s)] = (unsigned char)rand();
		int r = read_bytes(&s, (size_t)rand() % (sizeof(s) + 1), &program);
		assert_true(r == 0 || r == -ENOEXEC);
		if (r == 0)
			assert_in_range(program.n_needed, 0, ELF_NEEDED_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_needs_is_found),
		cmocka_unit_test(a_real_program_is_read),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(damage_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
