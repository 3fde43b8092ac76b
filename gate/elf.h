#pragma once
/*
 * What kind of program a file is, as far as the exec gate has to know: whether the kernel will open a
 * loader for it, and whether it is one itself.
 *
 * A loader can be executed itself: `ld.so PROGRAM` opens PROGRAM as a mere file, so nobody who watches
 * executions hears of it. It is known by what it is, not by its name: a shared object that names no
 * loader of its own. A static program that may lie anywhere (static-pie) is one too, but linkers mark it
 * (DF_1_PIE, since 2015) and give it no name for others to link with (DT_SONAME).
 */
#include "lib/elf.h"

enum elf_kind {
	ELF_NONE,    /* a script, or nothing that this machine executes by itself */
	ELF_STATIC,  /* runs by itself */
	ELF_DYNAMIC, /* names a loader (PT_INTERP), which the kernel opens next */
	ELF_LOADER,  /* such a loader, or another shared object without an own one */
};

/* Never fails: what has another shape than elf(5) says is ELF_NONE. Reads at most 64 KiB. */
enum elf_kind elf_inspect(elf_reader *reader, void *from);
/* The same of an open file; its offset stays. */
enum elf_kind elf_inspect_fd(int fd);
