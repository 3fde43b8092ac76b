#pragma once
/*
 * What the kernel opens as well when it starts a program: the interpreter of a script (#!), and the
 * loader of an ELF file (PT_INTERP). execve(2), elf(5).
 */
#include "units/source.h"

struct interpreter {
	const char *path;     /* as it stands in the file; NULL: there is none */
	const char *argument; /* of a script: what stands behind it, or NULL */
};

/* Reads the program's head. What is neither a script nor an ELF file of this machine has no
 * interpreter. 0, or -errno when it cannot be read. */
int interpreter_find(struct source *source, const char *path, struct interpreter *ret_interpreter);
