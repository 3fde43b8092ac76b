/*
 * What is made last: the directory of the public files, and the memory that the processes share.
 *
 * Board, ring, public plan and the gate's record are 0444 files where there is a directory for them, so
 * that holdfastctl and the dump need no process of ours to answer; else that is said. A service that is
 * root may do with a file what it likes, so nothing that PID 1 lives by is one: board and plan are
 * sealed memory, of which the files are copies. Whatever lies there from an instance before is unlinked, never written to: somebody may
 * have it mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "init/boot/tree.h"
#include "lib/board.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/fingerprint.h"
#include "lib/gateboard.h"
#include "lib/io.h"
#include "lib/ring.h"
#include "lib/str.h"
#include "lib/sys.h"

/* Linux 6.3; older kernels answer EINVAL. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define PLAN_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
/* Written for ever, but never cut under who has it mapped. */
#define TABLE_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)
/* A SecretPath= stands for as many secrets as it finds. */
#define SECRETS_OF_A_PATH 64

static const char *const parents[] = {"/run", "/dev/shm"};

/* Board, ring, public plan and the gate's record, and a page for what each is rounded up by. */
static uint64_t space_needed(const struct boot *boot)
{
	const struct plan_header *header = boot->plan.header;

	return ring_file_size(header->ring_bytes) +
	       board_file_size(plan_unit_count(&boot->plan),
			       plan_section_count(&boot->plan, PLAN_SECRETS)) +
	       header->size + sizeof(struct gateboard) + 4 * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A tmpfs without a bound has 0 blocks (tmpfs(5)). */
static int check_space(const struct boot *boot, const char *path)
{
	struct statvfs st;

	if (statvfs(path, &st) < 0)
		return -errno;
	uint64_t available = (uint64_t)st.f_bavail * st.f_frsize;
	return st.f_blocks == 0 || available >= space_needed(boot) ? 0 : -ENOSPC;
}

static int prepare_directory(const struct boot *boot)
{
	int r = tree_own(boot->run_directory, 0755);

	if (r == 0)
		r = check_space(boot, boot->run_directory);
	if (r == -ENOSPC)
		(void)rmdir(boot->run_directory);
	return r;
}

int files_choose_directory(struct boot *boot)
{
	char suffix[16] = "", text[200];
	struct strbuf why, path;

	strbuf_init(&why, text, sizeof(text));

	if (!boot->is_pid1)
		(void)snprintf(suffix, sizeof(suffix), ".%d", getppid());
	for (size_t i = 0; i < ARRAY_COUNT(parents); i++) {
		strbuf_init(&path, boot->run_directory, sizeof(boot->run_directory));
		strbuf_addf(&path, "%s/holdfast%s", parents[i], suffix);
		int r = prepare_directory(boot);
		if (r == 0) {
			boot_protect(boot, "public-files",
				     i == 0 ? PROTECTION_FULL : PROTECTION_REDUCED,
				     boot->run_directory, "%s", text);
			return 0;
		}
		strbuf_addf(&why, "%s%s: %s", why.length ? ", " : "", boot->run_directory,
			    strerror(-r));
	}
	boot->run_directory[0] = '\0';
	boot_protect(boot, "public-files", PROTECTION_NONE, "none",
		     "holdfastctl has nothing to read here: %s", text);
	return 0;
}

static int open_memory(const char *name, unsigned flags)
{
	int fd = sys_memfd_create(name, flags | MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = sys_memfd_create(name, flags | MFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A new file in the run directory, or memory where there is none. */
static int create(const struct boot *boot, const char *name)
{
	char path[BOOT_PATH_MAX + 16];

	if (!boot->run_directory[0])
		return open_memory(name, 0);
	(void)snprintf(path, sizeof(path), "%s/%s", boot->run_directory, name);
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0444) < 0) {
		(void)fd_close(fd);
		return -errno;
	}
	return fd;
}

static int fail(struct boot *boot, const char *what, int error)
{
	return boot_fail(boot, EX_SOFTWARE, "cannot make the %s: %s", what, strerror(-error));
}

/* Nobody opens it anew by /proc to write: memory comes with rights for all. */
static int seal_size(int fd)
{
	return fcntl(fd, F_ADD_SEALS, TABLE_SEALS) < 0 || fchmod(fd, 0400) < 0 ? -errno : 0;
}

static int copy_file(int from, int to, size_t size)
{
	void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, from, 0);

	if (data == MAP_FAILED)
		return -errno;
	int r = io_write_all(to, data, size);
	(void)munmap(data, size);
	return r;
}

/* Puts fd under kind, and, unless that is STORE_NONE, a read-only view of it under kind_public. */
static int put_both(struct boot *boot, enum store_kind kind, enum store_kind kind_public, int fd)
{
	CLEANUP(fd_closep) int again = fd_reopen(fd, O_RDONLY);

	if (again < 0)
		return fail(boot, "read-only view of shared memory", again);
	int status = kind == STORE_NONE ? 0 : boot_put(boot, kind, 0, fd);
	return status == 0 ? boot_put(boot, kind_public, 0, again) : status;
}

/* For others to look at; what is in it so far, and who goes on with it. */
static int make_board_file(struct boot *boot, int board_fd)
{
	struct stat st;

	if (!boot->run_directory[0])
		return 0;
	CLEANUP(fd_closep) int fd = create(boot, "board");
	int r = fd < 0 ? fd : fstat(board_fd, &st) < 0 ? -errno : 0;
	if (r == 0)
		r = fd_reserve(fd, (uint64_t)st.st_size);
	if (r == 0)
		r = copy_file(board_fd, fd, (size_t)st.st_size);
	return r < 0 ? fail(boot, "board's file", r) : boot_put(boot, STORE_BOARD_FILE, 0, fd);
}

static int make_board(struct boot *boot)
{
	CLEANUP(fd_closep) int fd = open_memory("holdfast-board", MFD_ALLOW_SEALING);
	int r = fd < 0 ? fd
		       : board_format(fd, plan_unit_count(&boot->plan),
				      plan_section_count(&boot->plan, PLAN_SECRETS));

	if (r == 0)
		r = seal_size(fd);
	if (r < 0)
		return fail(boot, "board", r);
	int status = put_both(boot, STORE_BOARD, STORE_BOARD_PUBLIC, fd);
	return status == 0 ? make_board_file(boot, fd) : status;
}

/* Comes empty; holdfast-log formats it. */
static int make_ring(struct boot *boot)
{
	CLEANUP(fd_closep) int fd = create(boot, "ring");
	int r = fd < 0 ? fd : fd_reserve(fd, ring_file_size(boot->plan.header->ring_bytes));

	return r < 0 ? fail(boot, "ring", r) : put_both(boot, STORE_RING, STORE_RING_PUBLIC, fd);
}

/* What it says until the gate itself has spoken; holdfast starts none where it is no init. */
static int make_gate(struct boot *boot)
{
	CLEANUP(fd_closep) int fd = create(boot, "gate");
	int r = fd < 0 ? fd
		       : gateboard_format(fd, boot->is_pid1
						      ? "holdfast-gate has not started"
						      : "holdfast is not the first process of "
							"its PID namespace");

	return r < 0 ? fail(boot, "record of the gate", r)
		     : put_both(boot, STORE_GATE, STORE_GATE_PUBLIC, fd);
}

static int make_capture(struct boot *boot)
{
	CLEANUP(fd_closep) int fd = open_memory("holdfast-capture", 0);

	return fd < 0 ? fail(boot, "capture memory", fd) : boot_put(boot, STORE_CAPTURE, 0, fd);
}

/* Those that are to be hidden, which Config= values are not. */
static uint32_t count_secrets(const struct boot *boot)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < plan_section_count(&boot->plan, PLAN_SECRETS); i++) {
		uint32_t flags = plan_secret(&boot->plan, i)->flags;
		if (!(flags & SECRET_IS_CONFIG))
			n++;
	}
	return n;
}

static int make_key(struct boot *boot)
{
	CLEANUP(fd_closep) int fd = open_memory("holdfast-fingerprint-key", MFD_ALLOW_SEALING);
	struct fingerprint_key key;
	int r = fd < 0 ? fd : fingerprint_draw_key(&key);

	if (r == 0)
		r = io_write_all(fd, &key, sizeof(key));
	if (r == 0 && fcntl(fd, F_ADD_SEALS, PLAN_SEALS) < 0)
		r = -errno;
	explicit_bzero(&key, sizeof(key));
	return r < 0 ? fail(boot, "key of the fingerprints", r)
		     : boot_put(boot, STORE_FINGERPRINT_KEY, 0, fd);
}

/* What log finds the values of secrets by. Where there are no secrets there is none. */
static int make_fingerprints(struct boot *boot)
{
	uint32_t n = count_secrets(boot);

	if (n == 0) {
		boot_protect(boot, "log-scrubbing", PROTECTION_FULL, "no secrets declared", "%s",
			     "");
		return 0;
	}
	CLEANUP(fd_closep) int fd = open_memory("holdfast-fingerprints", MFD_ALLOW_SEALING);
	int r = fd < 0 ? fd : fingerprint_format(fd, n, plan_unit_count(&boot->plan));
	if (r == 0 && fcntl(fd, F_ADD_SEALS, TABLE_SEALS) < 0)
		r = -errno;
	if (r < 0)
		return fail(boot, "table of fingerprints", r);
	boot_protect(boot, "log-scrubbing", PROTECTION_FULL, "keyed fingerprints", "%s", "");
	int status = make_key(boot);
	return status == 0 ? put_both(boot, STORE_FINGERPRINTS, STORE_FINGERPRINTS_READ, fd)
			   : status;
}

static int compile(struct boot *boot, bool is_public, void **ret_block, size_t *ret_size)
{
	const struct units_facts facts = {
		.is_pid1 = boot->is_pid1,
		.root_is_proven = boot->is_root_proven,
		.boot_us = boot->boot_us,
		.boot_wall_us = boot->boot_wall_us,
		.run_directory = boot->run_directory,
		.credentials_directory = boot->credentials_directory,
		.notify_address = boot->notify_address,
		.uid_log = boot->uid_log,
		.uid_health = boot->uid_health,
		.uid_secrets = boot->uid_secrets,
		.n_listen = boot->n_listen,
		.health_port = boot->health_port,
		.uid = geteuid(),
		.capabilities = boot->capabilities,
		.bounding = boot->bounding,
		.has_no_new_privs = boot->has_no_new_privs,
		.has_filters = boot->has_filters,
		.writable_mounts = (const char *const *)boot->writable_mounts,
		.protections = boot->protections,
		.n_protections = boot->n_protections,
	};

	return units_compile(boot->units, &facts, is_public, ret_block, ret_size);
}

/* The plan with what is known now; the steps read it in place of the units. */
int files_preview(struct boot *boot)
{
	void *block;
	size_t size;
	int r = compile(boot, false, &block, &size);

	if (r == 0)
		r = plan_open(block, size, &boot->plan);
	return r < 0 ? fail(boot, "plan", r) : 0;
}

static int make_sealed(const char *name, const void *data, size_t size)
{
	CLEANUP(fd_closep) int fd = open_memory(name, MFD_ALLOW_SEALING);

	if (fd < 0)
		return fd;
	int r = io_write_all(fd, data, size);
	if (r < 0)
		return r;
	return fcntl(fd, F_ADD_SEALS, PLAN_SEALS) < 0 ? -errno : fd_steal(&fd);
}

static int make_plan(struct boot *boot)
{
	void *block;
	size_t size;
	int r = compile(boot, false, &block, &size);

	if (r < 0)
		return fail(boot, "plan", r);
	CLEANUP(fd_closep) int fd = make_sealed("holdfast-plan", block, size);
	free(block);
	return fd < 0 ? fail(boot, "plan", fd) : boot_put(boot, STORE_PLAN, 0, fd);
}

static int make_public_plan(struct boot *boot)
{
	void *block;
	size_t size;
	int r = compile(boot, true, &block, &size);

	if (r < 0)
		return fail(boot, "public plan", r);
	CLEANUP(fd_closep) int fd = make_sealed("holdfast-plan-public", block, size);
	r = fd < 0 ? fd : 0;
	if (r == 0 && boot->run_directory[0]) {
		CLEANUP(fd_closep) int file = create(boot, "plan");
		r = file < 0 ? file : io_write_all(file, block, size);
	}
	free(block);
	return r < 0 ? fail(boot, "public plan", r)
		     : put_both(boot, STORE_NONE, STORE_PLAN_PUBLIC, fd);
}

/*
 * Root among the services could open what belongs to root for writing, or cut it: not through a
 * read-only mount. What was opened before goes on writing. Without mounts the ring can be damaged so;
 * log then makes it anew.
 */
static void close_files(const struct boot *boot)
{
	static const char *const names[] = {"plan", "board", "ring", "gate"};
	char path[BOOT_PATH_MAX + 16];

	if (!boot->can_mount || !boot->run_directory[0])
		return;
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", boot->run_directory, names[i]);
		if (mount(path, path, NULL, MS_BIND, NULL) == 0)
			(void)mount(NULL, path, NULL,
				    MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV |
					    MS_NOEXEC,
				    NULL);
	}
}

int files_make(struct boot *boot)
{
	static int (*const makers[])(struct boot *) = {
		make_board,	   make_ring, make_gate,       make_capture,
		make_fingerprints, make_plan, make_public_plan};
	int status = 0;

	for (size_t i = 0; i < ARRAY_COUNT(makers) && status == 0; i++)
		status = makers[i](boot);
	if (status == 0)
		close_files(boot);
	return status;
}
