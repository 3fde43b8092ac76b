#pragma once
/*
 * What kind of program a file is, as far as the exec gate has to know: whether the kernel will open a
 * loader for it, and whether it is one itself (elf(5)).
 */
#include <stddef.h>
#include <sys/types.h>

enum elf_kind {
	ELF_NONE,    /* a script, or nothing that this machine executes by itself */
	ELF_STATIC,  /* runs by itself */
	ELF_DYNAMIC, /* names a loader (PT_INTERP), which the kernel opens next */
	ELF_LOADER,  /* such a loader, or another shared object without an own one */
};

/* Reads size bytes at offset as pread(2) does. */
typedef ssize_t (*elf_reader)(void *from, void *data, size_t size, off_t offset);

/* Never fails: what has another shape than elf(5) says is ELF_NONE. Reads at most 64 KiB. */
enum elf_kind elf_inspect(elf_reader reader, void *from);
/* The same of an open file; its offset stays. */
enum elf_kind elf_inspect_fd(int fd);
