/*
 * On a host all programs come from a disk, block by block through dm-verity, as they touch their pages.
 * So the kernel is told early which will run, and reads them in large pieces while boot has other
 * things to do: holdfast's own first, and once the units are known, their programs, what loads these
 * (PT_INTERP) and the libraries that lie beside that (DT_NEEDED), where distributions have them. What
 * is not found so is read when it is used, as ever.
 *
 * Nothing here is a promise, so nothing here fails, waits for more than a header, or keeps anything:
 * what is read is page cache, which the kernel gives away when it needs memory. It is little beside
 * what the machine has, all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "init/boot/boot.h"
#include "init/boot/elf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

#define FILES_MAX     64
#define BUDGET_MAX    (64U << 20)
#define BUDGET_SHARE  8		   /* of the memory that is free */
#define REQUEST_BYTES (128U << 10) /* of one the kernel takes no more than its own window */

/* Which of holdfast's programs run at each boot, in their order. */
static const enum role own[] = {ROLE_BOOT, ROLE_LOG, ROLE_HEALTH, ROLE_SUPERVISOR};

struct readahead {
	char paths[FILES_MAX][BOOT_PATH_MAX];
	size_t n_paths;
	uint64_t budget;
};

static uint64_t free_bytes(void)
{
	struct sysinfo info;

	return sysinfo(&info) < 0 ? 0 : (uint64_t)info.freeram * info.mem_unit;
}

static void ask_for(int fd, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += REQUEST_BYTES) {
		if (posix_fadvise(fd, (off_t)at, REQUEST_BYTES, POSIX_FADV_WILLNEED) != 0)
			return;
	}
}

int readahead_own(struct boot *boot)
{
	if (!boot->is_host)
		return 0;
	for (size_t i = 0; i < ARRAY_COUNT(own); i++) {
		struct stat st;
		CLEANUP(fd_closep)
		int fd = fd_reopen(store_find(boot->store, STORE_EXEC, own[i]), O_RDONLY);
		if (fd >= 0 && fstat(fd, &st) == 0)
			ask_for(fd, (uint64_t)st.st_size);
	}
	return 0;
}

static void add_path(struct readahead *work, const char *path)
{
	for (size_t i = 0; i < work->n_paths; i++) {
		if (str_equal(work->paths[i], path))
			return;
	}
	if (work->n_paths < FILES_MAX &&
	    str_copy(work->paths[work->n_paths], sizeof(work->paths[0]), path))
		work->n_paths++;
}

/* Where what loads a program really lies, with a slash at the end. */
static bool find_libraries(const char *interpreter, char folder[PATH_MAX])
{
	char *path = realpath(interpreter, folder);
	char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash)
		return false;
	slash[1] = '\0';
	return true;
}

static void add_libraries(struct readahead *work, const struct elf_program *program,
			  const char *folder)
{
	for (unsigned i = 0; i < program->n_needed; i++) {
		char path[PATH_MAX];
		if (!strchr(program->needed[i], '/') &&
		    snprintf(path, sizeof(path), "%s%s", folder, program->needed[i]) <
			    (int)sizeof(path))
			add_path(work, path);
	}
}

static void read_one(struct readahead *work, const char *path, char libraries[PATH_MAX])
{
	static struct elf_program program;
	struct stat st;

	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    elf_read_program(fd, &program) < 0)
		return;
	uint64_t size = (uint64_t)st.st_size;
	uint64_t bytes = program.mapped_bytes < size ? program.mapped_bytes : size;
	bytes = bytes < work->budget ? bytes : work->budget;
	work->budget -= bytes;
	ask_for(fd, bytes);
	if (program.interpreter[0] == '/' && find_libraries(program.interpreter, libraries))
		add_path(work, program.interpreter);
	if (libraries[0])
		add_libraries(work, &program, libraries);
}

static void add_programs(struct readahead *work, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_EXECS); i++)
		add_path(work, plan_string(plan, plan_exec(plan, i)->path));
}

int readahead_units(struct boot *boot)
{
	static struct readahead work;
	char libraries[PATH_MAX] = "";

	if (!boot->is_host)
		return 0;
	work.budget = free_bytes() / BUDGET_SHARE;
	work.budget = work.budget < BUDGET_MAX ? work.budget : BUDGET_MAX;
	add_programs(&work, &boot->plan);
	for (size_t i = 0; i < work.n_paths && work.budget > 0; i++)
		read_one(&work, work.paths[i], libraries);
	return 0;
}
