/*
 * The child shares our table of fds (CLONE_FILES) and nothing else: what it opens in its namespaces is
 * ours when it is gone, and they live as long as the fds. Each step is one row, and the first that fails
 * is the answer: what was made until then goes with the child.
 *
 * What the room shows of the image are mounts of single files, not copies: they stay behind the image's
 * proof, and whoever knows them by their inode (/proc/PID/exe, fanotify) knows them here too.
 */
#include "init/boot/room_build.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/magic.h>

#include "lib/mountinfo.h"
#include "init/boot/tree.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/path.h"
#include "lib/str.h"

/* It is there in every container and on every machine, and the room needs nothing of it. */
#define BASE	 "/sys"
#define CTL	 "holdfastctl"
#define CHILD_MS 5000 /* of one that neither asks nor ends */
#define FIXED	 (MS_NOSUID | MS_NODEV)
#define CGROUPS	 "/sys/fs/cgroup"

/* The names that people and runtimes try, in each of the folders. */
static const char *const bin_folders[] = {
	"/usr/bin", "/bin", "/sbin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin",
};
static const char *const stub_names[] = {
	"sh",	 "bash", "ash", "dash", "zsh", "ksh", "busybox", "su",	  "sudo",
	"login", "env",	 "id",	"cat",	"ls",  "ps",  "top",	 "sleep",
};

static const struct tmpfs room_tmpfs = {
	.size_bytes = 1 << 20, .nr_inodes = 512, .mode = 0755, .flags = MS_NODEV};

/* Shared with the child. */
struct build {
	const struct boot *boot;
	unsigned parts;
	char programs[BOOT_PATH_MAX]; /* the folder that holdfast's own lie in */
	char folder[BOOT_PATH_MAX];   /* that we were started in */
	bool has_stub;
	int proc;	   /* of the real root */
	int cgroups;	   /* /sys/fs/cgroup, where it is cgroup2 */
	int ready, mapped; /* eventfds: the user namespace is there; its ids are mapped */
	int fds[ROOM_FD_COUNT];
	struct room_failure failure;
};

/* ---- the namespaces */

static int keep(struct build *b, enum room_fd which, int dir, const char *path, int flags)
{
	b->fds[which] = openat(dir, path, flags | O_CLOEXEC);
	return b->fds[which] < 0 ? -errno : 0;
}

static int wait_for_maps(const struct build *b)
{
	eventfd_t count;

	/* Else /proc has our files as root's, and nobody else may write them. */
	(void)prctl(PR_SET_DUMPABLE, 1);
	bool is_told = eventfd_write(b->ready, 1) == 0 && eventfd_read(b->mapped, &count) == 0;
	(void)prctl(PR_SET_DUMPABLE, 0);
	return !is_told ? -errno : count == 1 ? 0 : -EPERM;
}

/* All others live in a copy of the real one, which this user namespace owns: there is no way back from
 * it to the first. */
static int make_own_user(struct build *b)
{
	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	int r = wait_for_maps(b);
	if (r == 0 && unshare(CLONE_NEWNS) < 0)
		r = -errno;
	return r == 0 ? keep(b, ROOM_FD_USER, b->proc, "self/ns/user", O_RDONLY) : r;
}

static int keep_real(struct build *b)
{
	int r = keep(b, ROOM_FD_REAL, b->proc, "self/ns/mnt", O_RDONLY);

	if (r == 0)
		r = keep(b, ROOM_FD_ROOT, AT_FDCWD, "/", O_PATH | O_DIRECTORY);
	return r < 0 ? r : keep(b, ROOM_FD_FOLDER, AT_FDCWD, ".", O_PATH | O_DIRECTORY);
}

static int make_own_mounts(struct build *b)
{
	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	/* Where mount(2) is refused nothing may reach others all the same. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 && (b->parts & ROOM_PART_EMPTY))
		return -errno;
	if (access(CGROUPS "/cgroup.procs", F_OK) == 0)
		b->cgroups = open(CGROUPS, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

static int keep_room(struct build *b)
{
	return keep(b, ROOM_FD_ROOM, b->proc, "self/ns/mnt", O_RDONLY);
}

/* ---- a root of its own; the paths are relative to it from here on */

static int make_base(struct build *b)
{
	(void)b;
	int r = tree_mount_tmpfs(BASE, &room_tmpfs);
	if (r == 0 && chdir(BASE) < 0)
		r = -errno;
	return r;
}

/* "/a/b" as "a/b"; "/" as ".". */
static const char *inside(const char *path)
{
	return path[1] ? path + 1 : ".";
}

/* source at path, which is a folder or else a file. */
static int show(const char *source, const char *path, bool is_folder, unsigned long flags)
{
	const char *place = inside(path);
	int r = is_folder ? tree_make(place, 0755) : tree_make_parent(place);

	if (r < 0)
		return r;
	if (!is_folder) {
		CLEANUP(fd_closep) int fd = open(place, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
		if (fd < 0)
			return -errno;
	}
	if (mount(source, place, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, place, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
		return -errno;
	return 0;
}

static int bind_program(const struct build *b, const char *name)
{
	char path[BOOT_PATH_MAX + 32];

	(void)snprintf(path, sizeof(path), "%s/%s", str_equal(b->programs, "/") ? "" : b->programs,
		       name);
	return show(path, path, false, FIXED);
}

static int give_stub(struct build *b)
{
	int r = bind_program(b, ROOM_STUB);

	b->has_stub = r == 0;
	return r == -ENOENT ? 0 : r;
}

static int give_ctl(struct build *b)
{
	return bind_program(b, CTL);
}

static int link_one(const struct build *b, const char *folder, const char *name,
		    const char *program)
{
	char path[64], target[BOOT_PATH_MAX + 32];

	(void)snprintf(path, sizeof(path), "%s/%s", inside(folder), name);
	(void)snprintf(target, sizeof(target), "%s/%s",
		       str_equal(b->programs, "/") ? "" : b->programs, program);
	/* EEXIST: holdfast's own programs lie there. */
	return symlink(target, path) < 0 && errno != EEXIST ? -errno : 0;
}

static int give_names(struct build *b)
{
	int r = 0;

	for (size_t f = 0; f < ARRAY_COUNT(bin_folders) && r == 0; f++) {
		r = tree_make(inside(bin_folders[f]), 0755);
		if (r == 0 && (b->parts & ROOM_PART_CTL))
			r = link_one(b, bin_folders[f], CTL, CTL);
		for (size_t i = 0; i < ARRAY_COUNT(stub_names) && r == 0 && b->has_stub; i++)
			r = link_one(b, bin_folders[f], stub_names[i], ROOM_STUB);
	}
	return r;
}

static int give_public_files(struct build *b)
{
	const char *path = b->boot->run_directory;

	return *path ? show(path, path, true, FIXED | MS_NOEXEC) : 0;
}

/* The counters of memory and processes, for the dump. Our memory hides where they are mounted. */
static int give_counters(struct build *b)
{
	char path[32];

	if (b->cgroups < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", b->cgroups);
	return show(path, CGROUPS, true, FIXED | MS_NOEXEC);
}

static int give_null(struct build *b)
{
	(void)b;
	return show("/dev/null", "/dev/null", false, MS_NOSUID | MS_NOEXEC);
}

/* What cannot be shown is a line less in a dump. */
static void show_if_there(const char *source, const char *path, unsigned long flags)
{
	if (show(source, path, false, flags) < 0)
		(void)unlink(inside(path));
}

/* The file has a name as long as it takes to mount it. */
static void show_use_of(const char *scratch)
{
	char source[BOOT_PATH_MAX + 32], path[BOOT_PATH_MAX + 64];
	struct statfs st;

	(void)snprintf(source, sizeof(source), "%s/.holdfast-use", scratch);
	(void)snprintf(path, sizeof(path), ROOM_MACHINE "/scratch%s/" ROOM_SCRATCH_USE, scratch);
	/* Of a disk's file system nothing is kept, which has to be let go at the end. */
	if (statfs(scratch, &st) < 0 || st.f_type != TMPFS_MAGIC)
		return;
	CLEANUP(fd_closep) int fd = open(source, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	show_if_there(source, path, FIXED | MS_NOEXEC);
	(void)unlink(source);
}

static int give_machine(struct build *b)
{
	static const char *const pressures[] = {"cpu", "memory", "io"};
	const struct plan *plan = &b->boot->plan;
	struct plan_range range = plan->header->scratch;
	char source[64], path[64];

	for (size_t i = 0; i < ARRAY_COUNT(pressures); i++) {
		(void)snprintf(source, sizeof(source), "/proc/pressure/%s", pressures[i]);
		(void)snprintf(path, sizeof(path), ROOM_MACHINE "/pressure/%s", pressures[i]);
		if (access(source, F_OK) == 0)
			show_if_there(source, path, FIXED | MS_NOEXEC);
	}
	if (access("/dev/kmsg", F_OK) == 0)
		show_if_there("/dev/kmsg", ROOM_MACHINE "/kmsg", MS_NOSUID | MS_NOEXEC);
	for (uint32_t i = range.first; i < range.first + range.count; i++)
		show_use_of(plan_string(plan, plan_scratch(plan, i)->path));
	return 0;
}

/* Where runtimes start what they execute, unless they are told another. */
static int give_folder(struct build *b)
{
	return *b->folder ? tree_make(inside(b->folder), 0755) : 0;
}

static int give_proc(struct build *b)
{
	(void)b;
	int r = tree_make("proc", 0555);
	if (r == 0 && mount("proc", "proc", "proc", FIXED | MS_NOEXEC, "subset=pid") < 0)
		r = -errno;
	return r;
}

/* ---- away with the rest */

static int seal(struct build *b)
{
	(void)b;
	return mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | FIXED, NULL) < 0 ? -errno
											  : 0;
}

/* Docker's list of calls has mount(2) and not pivot_root(2): what lies on the root is unmounted then, and
 * the root itself stays below the room, where no path leads. */
static int move_root(void)
{
	struct mountinfo info;
	int r = mountinfo_read(&info);

	if (r < 0)
		return r;
	for (size_t i = info.count; i > 0; i--) {
		const char *path = info.entries[i - 1].point;
		if (!str_equal(path, "/") && !path_is_within(path, BASE))
			(void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
	}
	mountinfo_finish(&info);
	if (chdir(BASE) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		return -errno;
	return 0;
}

static int change_root(struct build *b)
{
	(void)b;
	if (sys_pivot_root(".", ".") < 0)
		return SYS_IS_MISSING(errno) ? move_root() : -errno;
	/* The old root lies on the new one now. */
	return umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ? -errno : 0;
}

/* Without mount(2): nothing but what can be taken away. Runtimes refuse to execute anything where there
 * is no /proc. */
static int strip(struct build *b)
{
	static const char *const points[] = {"/proc", "/sys", "/dev"};
	struct mountinfo info;
	int r = mountinfo_read(&info);

	(void)b;
	for (size_t i = 0; i < info.count && r == 0; i++) {
		/* What we could not make private would go from all who share it. */
		if (info.entries[i].is_shared)
			r = -EBUSY;
	}
	mountinfo_finish(&info);
	for (size_t i = 0; i < ARRAY_COUNT(points) && r == 0; i++) {
		while (umount2(points[i], MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			;
	}
	return r == 0 && access("/proc/self", F_OK) == 0 ? -EBUSY : r;
}

/* ---- all of it */

static const struct step {
	const char *name;
	unsigned with, without; /* ROOM_PART_… */
	int (*run)(struct build *b);
} steps[] = {
	{"a user namespace", ROOM_PART_OWN_USER, 0, make_own_user},
	{"the way back", 0, 0, keep_real},
	{"a mount namespace", 0, 0, make_own_mounts},
	{"memory for its root", ROOM_PART_EMPTY, 0, make_base},
	{ROOM_STUB, ROOM_PART_EMPTY, 0, give_stub},
	{CTL, ROOM_PART_CTL, 0, give_ctl},
	{"the names of shells", ROOM_PART_EMPTY, 0, give_names},
	{"the public files", ROOM_PART_CTL, 0, give_public_files},
	{"the counters", ROOM_PART_CTL, 0, give_counters},
	{"/dev/null", ROOM_PART_CTL, 0, give_null},
	{"what the machine tells", ROOM_PART_CTL, 0, give_machine},
	{"the working directory", ROOM_PART_CTL, 0, give_folder},
	{"/proc", ROOM_PART_CTL, 0, give_proc},
	{"a read-only root", ROOM_PART_EMPTY, 0, seal},
	{"its root", ROOM_PART_EMPTY, 0, change_root},
	{"taking /proc away", 0, ROOM_PART_EMPTY, strip},
	{"the namespace", 0, 0, keep_room},
};

static _Noreturn void run_child(struct build *b)
{
	for (size_t i = 0; i < ARRAY_COUNT(steps) && b->failure.error == 0; i++) {
		const struct step *step = &steps[i];
		if ((b->parts & step->with) != step->with || (b->parts & step->without))
			continue;
		b->failure.step = step->name;
		b->failure.error = step->run(b);
	}
	_exit(0);
}

/* The lines of a map of ids, each to itself. */
static void map_all(const char *path, char *text, size_t size)
{
	char map[1024], *save = NULL;
	struct strbuf lines;

	strbuf_init(&lines, text, size);
	if (io_read_file(AT_FDCWD, path, map, sizeof(map)) < 0)
		return;
	for (char *line = strtok_r(map, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned first, ignored, count;
		if (sscanf(line, "%u %u %u", &first, &ignored, &count) == 3)
			strbuf_addf(&lines, "%u %u %u\n", first, first, count);
	}
}

/* user_namespaces(7): who may set ids may map all that there are, everybody their own. */
static int write_maps(pid_t pid, uint64_t capabilities)
{
	const uint64_t needed = UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID;
	char folder[32], uids[1024], gids[1024];

	(void)snprintf(folder, sizeof(folder), "/proc/%d", (int)pid);
	CLEANUP(fd_closep) int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if ((capabilities & needed) == needed) {
		map_all("/proc/self/uid_map", uids, sizeof(uids));
		map_all("/proc/self/gid_map", gids, sizeof(gids));
	} else {
		(void)snprintf(uids, sizeof(uids), "%u %u 1\n", geteuid(), geteuid());
		(void)snprintf(gids, sizeof(gids), "%u %u 1\n", getegid(), getegid());
		(void)io_write_file(dir, "setgroups", "deny");
	}
	int r = io_write_file(dir, "uid_map", uids);
	return r < 0 ? r : io_write_file(dir, "gid_map", gids);
}

static void answer_user(struct build *b, pid_t pid)
{
	CLEANUP(fd_closep) int pidfd = sys_pidfd_open(pid, 0);
	struct pollfd fds[] = {{.fd = b->ready, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};

	if (poll(fds, ARRAY_COUNT(fds), CHILD_MS) <= 0 || !fds[0].revents)
		return;
	(void)eventfd_write(b->mapped, write_maps(pid, b->boot->capabilities) == 0 ? 1 : 2);
}

static int find_folders(struct build *b)
{
	char link[32];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d",
		       store_find(b->boot->store, STORE_EXEC, ROLE_BOOT));
	ssize_t n = readlink(link, b->programs, sizeof(b->programs) - 1);
	if (n < 0)
		return -errno;
	b->programs[n] = '\0';
	char *slash = strrchr(b->programs, '/');
	if (b->programs[0] != '/')
		return -ENOENT;
	slash[slash == b->programs ? 1 : 0] = '\0';
	if (!getcwd(b->folder, sizeof(b->folder)) || b->folder[0] != '/')
		b->folder[0] = '\0';
	return 0;
}

static int run(struct build *b)
{
	int status;
	int r = find_folders(b);

	if (r < 0)
		return r;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_child(b);
	if (b->parts & ROOM_PART_OWN_USER)
		answer_user(b, pid);
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return status != 0 ? -ECHILD : b->failure.error;
}

static void finish(struct build *b, bool is_made)
{
	int *const ours[] = {&b->proc, &b->cgroups, &b->ready, &b->mapped};

	for (size_t i = 0; i < ARRAY_COUNT(ours); i++)
		*ours[i] = fd_close(*ours[i]);
	for (size_t i = 0; i < ROOM_FD_COUNT && !is_made; i++)
		b->fds[i] = fd_close(b->fds[i]);
	(void)munmap(b, sizeof(*b));
}

int room_build(const struct boot *boot, unsigned parts, struct room *ret_room,
	       struct room_failure *ret_failure)
{
	struct build *b =
		mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (b == MAP_FAILED)
		return -errno;
	*b = (struct build){
		.boot = boot,
		.parts = parts,
		.proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.cgroups = -EBADF,
		.ready = eventfd(0, EFD_CLOEXEC),
		.mapped = eventfd(0, EFD_CLOEXEC),
		.fds = {-EBADF, -EBADF, -EBADF, -EBADF, -EBADF},
		.failure = {.step = "its first process"},
	};
	int r = run(b);
	if (r == 0)
		memcpy(ret_room->fds, b->fds, sizeof(b->fds));
	else
		*ret_failure = (struct room_failure){.error = r, .step = b->failure.step};
	finish(b, r == 0);
	return r;
}
