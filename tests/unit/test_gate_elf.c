/* TESTS: gate/elf.c lib/elf.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gate/elf.h"

/* A file in memory: header, three program headers, a dynamic section. */
struct image {
	Elf64_Ehdr head;
	Elf64_Phdr segments[3];
	Elf64_Dyn dynamic[3];
};

static struct image make_image(void)
{
	struct image image = {
		.head = {.e_type = ET_DYN,
			 .e_phoff = offsetof(struct image, segments),
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_phnum = 3},
		.segments = {{.p_type = PT_LOAD}, {.p_type = PT_LOAD}, {.p_type = PT_LOAD}},
	};

	memcpy(image.head.e_ident, ELFMAG, SELFMAG);
	image.head.e_ident[EI_CLASS] = ELFCLASS64;
	image.head.e_ident[EI_DATA] = ELFDATA2LSB;
	return image;
}

struct bytes {
	const void *data;
	size_t size;
};

static ssize_t read_bytes(void *from, void *data, size_t size, uint64_t offset)
{
	const struct bytes *bytes = from;

	if (offset >= bytes->size)
		return 0;
	if (size > bytes->size - offset)
		size = bytes->size - offset;
	memcpy(data, (const char *)bytes->data + offset, size);
	return (ssize_t)size;
}

static enum elf_kind inspect(const void *data, size_t size)
{
	struct bytes bytes = {data, size};

	return elf_inspect(read_bytes, &bytes);
}

static void give_dynamic(struct image *image, int64_t tag, uint64_t value)
{
	image->segments[2] = (Elf64_Phdr){
		.p_type = PT_DYNAMIC,
		.p_offset = offsetof(struct image, dynamic),
		.p_filesz = sizeof(image->dynamic),
	};
	image->dynamic[0].d_tag = DT_NEEDED;
	image->dynamic[1] = (Elf64_Dyn){.d_tag = tag, .d_un = {.d_val = value}};
}

static void test_programs_of_this_machine(void **state)
{
	/* glibc's loader is itself a name in every dynamic program of Debian. */
	static const struct {
		const char *path;
		enum elf_kind kind;
	} files[] = {{"/proc/self/exe", ELF_DYNAMIC},
		     {"/lib64/ld-linux-x86-64.so.2", ELF_LOADER},
		     {"/lib/ld-linux-aarch64.so.1", ELF_LOADER},
		     {"/lib/ld-musl-x86_64.so.1", ELF_LOADER},
		     {"/proc/self/maps", ELF_NONE}};
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd = open(files[i].path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		assert_int_equal(elf_inspect_fd(fd), files[i].kind);
		close(fd);
		n++;
	}
	assert_true(n >= 3);
}

static void test_kinds(void **state)
{
	struct image image = make_image();

	(void)state;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_LOADER);
	image.head.e_type = ET_EXEC;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_STATIC);
	image.head.e_type = ET_DYN;
	image.segments[1].p_type = PT_INTERP;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_DYNAMIC);
	image.head.e_type = ET_CORE;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_NONE);
}

static void test_a_static_program_that_may_lie_anywhere(void **state)
{
	struct image image = make_image();

	(void)state;
	give_dynamic(&image, DT_FLAGS_1, DF_1_NOW);
	assert_int_equal(inspect(&image, sizeof(image)), ELF_LOADER);
	give_dynamic(&image, DT_FLAGS_1, DF_1_NOW | DF_1_PIE);
	assert_int_equal(inspect(&image, sizeof(image)), ELF_STATIC);
	image.dynamic[2].d_tag = DT_SONAME;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_LOADER);
	/* What stands behind the end is nobody's word. */
	image.dynamic[2].d_tag = DT_NULL;
	image.dynamic[0].d_tag = DT_NULL;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_LOADER);
	image.dynamic[0].d_tag = DT_NEEDED;
	image.segments[2].p_filesz = sizeof(Elf64_Dyn);
	assert_int_equal(inspect(&image, sizeof(image)), ELF_LOADER);
}

static void test_32_bits(void **state)
{
	struct {
		Elf32_Ehdr head;
		Elf32_Phdr segments[2];
		Elf32_Dyn dynamic[2];
	} image = {
		.head = {.e_type = ET_DYN,
			 .e_phoff = sizeof(Elf32_Ehdr),
			 .e_phentsize = sizeof(Elf32_Phdr),
			 .e_phnum = 2},
		.segments = {{.p_type = PT_LOAD},
			     {.p_type = PT_DYNAMIC,
			      .p_offset = sizeof(Elf32_Ehdr) + 2 * sizeof(Elf32_Phdr),
			      .p_filesz = 2 * sizeof(Elf32_Dyn)}},
		.dynamic = {{.d_tag = DT_FLAGS_1, .d_un = {.d_val = DF_1_PIE}}},
	};

	(void)state;
	memcpy(image.head.e_ident, ELFMAG, SELFMAG);
	image.head.e_ident[EI_CLASS] = ELFCLASS32;
	image.head.e_ident[EI_DATA] = ELFDATA2LSB;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_STATIC);
	image.dynamic[1].d_tag = DT_SONAME;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_LOADER);
	image.segments[0].p_type = PT_INTERP;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_DYNAMIC);
}

static void test_offsets_beyond_all_bounds(void **state)
{
	struct image image = make_image();

	(void)state;
	image.head.e_phoff = UINT64_MAX - 8;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_NONE);
	image = make_image();
	give_dynamic(&image, DT_FLAGS_1, DF_1_PIE);
	image.segments[2].p_offset = UINT64_MAX - 8;
	image.segments[2].p_filesz = UINT64_MAX;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_LOADER);
	image.head.e_phnum = UINT16_MAX;
	image.head.e_phentsize = UINT16_MAX;
	assert_int_equal(inspect(&image, sizeof(image)), ELF_NONE);
}

static void test_cut_at_any_byte(void **state)
{
	struct image image = make_image();

	(void)state;
	give_dynamic(&image, DT_FLAGS_1, DF_1_PIE);
	for (size_t size = 0; size < sizeof(image); size++) {
		enum elf_kind kind = inspect(&image, size);
		if (size < sizeof(Elf64_Ehdr) + sizeof(image.segments))
			assert_int_equal(kind, ELF_NONE);
		else if (size < offsetof(struct image, dynamic) + 2 * sizeof(Elf64_Dyn))
			assert_int_equal(kind, ELF_LOADER);
		else
			assert_int_equal(kind, ELF_STATIC);
	}
	assert_int_equal(inspect("#!/bin/true\n", 12), ELF_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs_of_this_machine),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_a_static_program_that_may_lie_anywhere),
		cmocka_unit_test(test_32_bits),
		cmocka_unit_test(test_offsets_beyond_all_bounds),
		cmocka_unit_test(test_cut_at_any_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
