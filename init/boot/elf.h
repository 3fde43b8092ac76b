#pragma once
/*
 * What a program needs to run, read from its file (elf(5)): how much of it is mapped, which program
 * loads it, and which libraries that will look for.
 * The file is believed in nothing: what does not fit in it ends the reading.
 */
#include <stdint.h>

#define ELF_NAME_MAX   256
#define ELF_NEEDED_MAX 32

struct elf_program {
	uint64_t mapped_bytes;			   /* from the file's begin */
	char interpreter[ELF_NAME_MAX];		   /* PT_INTERP; empty: none */
	char needed[ELF_NEEDED_MAX][ELF_NAME_MAX]; /* DT_NEEDED, in order */
	unsigned n_needed;
};

/* fd (borrowed) by pread(2). 0, -ENOEXEC for what is no such program or is damaged, or -errno. */
int elf_read_program(int fd, struct elf_program *ret_program);
