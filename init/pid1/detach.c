/*
 * Each step that a disk, or a server behind it, can keep for ever (umount, swapoff, the removal of a
 * device, sync) is a process of its own with a deadline, so that one that hangs does not cost the
 * others their chance. Which ones did is remembered, and they are not tried again.
 *
 * There is no order to be computed: what lies on another cannot go before it (EBUSY), so a round takes
 * what goes now, and a round in which nothing went was the last.
 */
#include "init/pid1/detach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/dm-ioctl.h>
#include <linux/loop.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"
#include "lib/sys.h"

#define NAME_MAX_SIZE 512
#define HUNG_MAX      64
#define ROUNDS	      32
#define STEP_US	      (5 * USEC_PER_SEC)
#define SYNC_LOOK_US  (1 * USEC_PER_SEC)
#define SYNC_IDLE_US  (10 * USEC_PER_SEC) /* without any page written */

/* ---- one step, in a process of its own */

struct step {
	const char *what; /* has to be done with name */
	int (*run)(const char *name);
};

static char hung[HUNG_MAX][NAME_MAX_SIZE];
static size_t n_hung;

static bool is_hung(const char *name)
{
	for (size_t i = 0; i < n_hung; i++) {
		if (str_equal(hung[i], name))
			return true;
	}
	return n_hung == HUNG_MAX;
}

static pid_t start(int (*run)(const char *), const char *name)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(run(name) == 0 ? 0 : 1);
	return pid;
}

/* True once it has ended, with its status. */
static bool wait_until(pid_t pid, uint64_t deadline_us, int *ret_status)
{
	CLEANUP(fd_closep) int pidfd = sys_pidfd_open(pid, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	(void)poll(&p, 1, clock_poll_ms(deadline_us));
	return waitpid(pid, ret_status, WNOHANG) == pid;
}

static bool do_step(const struct step *step, const char *name)
{
	int status;

	if (is_hung(name))
		return false;
	pid_t pid = start(step->run, name);
	if (pid < 0)
		return false;
	if (wait_until(pid, clock_now_us() + STEP_US, &status))
		return WIFEXITED(status) && WEXITSTATUS(status) == 0;
	(void)kill(pid, SIGKILL);
	(void)str_copy(hung[n_hung++], NAME_MAX_SIZE, name);
	event_with_string("name", name);
	event_emit(EVENT_WARNING, "detach-hangs", NULL, "%s: %s hangs: it is left alone", name,
		   step->what);
	return false;
}

/* ---- sync, for as long as it gets anywhere */

static int run_sync(const char *name)
{
	(void)name;
	sync();
	return 0;
}

/* What /proc/meminfo says is still to be written, in kB. */
static uint64_t count_dirty(void)
{
	static const char *const keys[] = {"\nDirty:", "\nWriteback:", "\nNFS_Unstable:"};
	static char text[16384];
	uint64_t sum = 0;

	if (io_read_file(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		const char *at = strstr(text, keys[i]);
		if (at)
			sum += strtoull(at + strlen(keys[i]), NULL, 10);
	}
	return sum;
}

/* False when it hangs. */
static bool sync_while_it_moves(void)
{
	pid_t pid = start(run_sync, "");
	uint64_t least = UINT64_MAX, give_up_us = clock_now_us() + SYNC_IDLE_US;
	int status;

	while (pid > 0 && !wait_until(pid, clock_now_us() + SYNC_LOOK_US, &status)) {
		uint64_t dirty = count_dirty(), now = clock_now_us();
		if (dirty < least)
			give_up_us = now + SYNC_IDLE_US;
		least = MIN(least, dirty);
		if (now < give_up_us)
			continue;
		event_with_i64("kilobytes", (int64_t)dirty);
		event_emit(EVENT_ERROR, "sync-hangs", NULL,
			   "a disk takes nothing any more: %llu kB are lost with it",
			   (unsigned long long)dirty);
		return false;
	}
	return pid > 0;
}

/* ---- mounts */

struct mounts {
	struct mount {
		char *path;
		bool is_memory, is_read_only;
	} * items;
	size_t count, capacity;
};

static void add_mount(struct mounts *mounts, const struct mntent *entry)
{
	static const char *const memory[] = {"tmpfs", "ramfs"};

	if (mounts->count == mounts->capacity) {
		size_t capacity = mounts->capacity ? 2 * mounts->capacity : 64;
		struct mount *items = reallocarray(mounts->items, capacity, sizeof(*items));
		if (!items)
			return;
		mounts->items = items;
		mounts->capacity = capacity;
	}
	mounts->items[mounts->count++] = (struct mount){
		.path = strdup(entry->mnt_dir),
		.is_memory = str_is_one_of(entry->mnt_type, memory, ARRAY_COUNT(memory)),
		.is_read_only = hasmntopt(entry, "ro"),
	};
}

/* The kernel's own file systems hold nothing that could be lost, and we need some of them. */
static void list_mounts(struct mounts *ret_mounts)
{
	static const char *const kept[] = {"proc",	 "sysfs",   "devtmpfs", "cgroup2", "devpts",
					   "securityfs", "tracefs", "debugfs",	"bpf",	   "pstore",
					   "mqueue",	 "fusectl", "configfs", "efivarfs"};
	FILE *file = setmntent("/proc/self/mounts", "re");

	*ret_mounts = (struct mounts){0};
	if (!file)
		return;
	for (struct mntent *entry; (entry = getmntent(file));) {
		if (!str_is_one_of(entry->mnt_type, kept, ARRAY_COUNT(kept)))
			add_mount(ret_mounts, entry);
	}
	(void)endmntent(file);
}

static void mounts_finish(struct mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++)
		free(mounts->items[i].path);
	free(mounts->items);
}

static int run_unmount(const char *path)
{
	return umount2(path, UMOUNT_NOFOLLOW);
}

static int run_make_read_only(const char *path)
{
	return mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

/* In reverse order: what was mounted later may lie on what was mounted before. */
static size_t unmount_round(void)
{
	static const struct step step = {"unmounting it", run_unmount};
	CLEANUP(mounts_finish) struct mounts mounts;
	size_t count = 0;

	list_mounts(&mounts);
	for (size_t i = mounts.count; i > 0; i--) {
		const char *path = mounts.items[i - 1].path;
		if (path && !str_equal(path, "/"))
			count += do_step(&step, path);
	}
	return count;
}

/* What lies in memory is gone with the machine: nobody needs to know. */
static void make_rest_read_only(void)
{
	static const struct step step = {"making it read-only", run_make_read_only};
	CLEANUP(mounts_finish) struct mounts mounts;

	list_mounts(&mounts);
	for (size_t i = mounts.count; i > 0; i--) {
		const struct mount *mount = &mounts.items[i - 1];
		if (!mount->path || mount->is_read_only)
			continue;
		bool is_safe = do_step(&step, mount->path);
		if (mount->is_memory)
			continue;
		event_with_string("name", mount->path);
		event_emit(is_safe ? EVENT_NOTICE : EVENT_WARNING, "mount-left", NULL,
			   "%s could not be unmounted%s", mount->path,
			   is_safe ? ", and was made read-only" : " nor made read-only");
	}
}

/* ---- swap */

/* /proc/swaps (proc(5)): a head, then a name and what does not matter, a line. */
static size_t swap_round(void)
{
	static const struct step step = {"turning its swap off", swapoff};
	static char text[65536];
	char *save = NULL;
	size_t count = 0;

	if (io_read_file(AT_FDCWD, "/proc/swaps", text, sizeof(text)) < 0)
		return 0;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line[strcspn(line, " \t")] = '\0';
		if (line[0] == '/')
			count += do_step(&step, line);
	}
	return count;
}

/* ---- loop devices */

static bool has_file(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	return access(path, F_OK) == 0;
}

static int clear(const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/dev/%s", name);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	(void)fsync(fd);
	return (int)syscall(SYS_ioctl, fd, LOOP_CLR_FD, 0UL);
}

/* The kernel also says yes of one that is in use, and means later (LO_FLAGS_AUTOCLEAR). */
static int run_clear_loop(const char *name)
{
	return clear(name) == 0 && !has_file(name) ? 0 : -1;
}

/* Calls visit with the name of each that has a file. How often it said yes. */
static size_t each_loop(bool (*visit)(const char *name))
{
	CLEANUP(fd_closedirp) DIR *dir = opendir("/sys/block");
	size_t count = 0;

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (str_starts(entry->d_name, "loop") && strlen(entry->d_name) < 16 &&
		    has_file(entry->d_name))
			count += visit(entry->d_name);
	}
	return count;
}

static bool clear_loop(const char *name)
{
	static const struct step step = {"detaching its file", run_clear_loop};

	return do_step(&step, name);
}

static bool is_counted(const char *name)
{
	(void)name;
	return true;
}

/* ---- mapped devices */

#define DM_CONTROL    "/dev/mapper/control"
#define DM_LIST_BYTES 65536

static void begin_dm(struct dm_ioctl *head, uint32_t size)
{
	*head = (struct dm_ioctl){
		.version = {4, 0, 0}, .data_size = size, .data_start = sizeof(*head)};
}

static int run_remove_mapped(const char *name)
{
	struct dm_ioctl head;
	CLEANUP(fd_closep) int control = open(DM_CONTROL, O_RDWR | O_CLOEXEC);

	begin_dm(&head, sizeof(head));
	(void)str_copy(head.name, sizeof(head.name), name);
	return control < 0 ? -1 : (int)syscall(SYS_ioctl, control, DM_DEV_REMOVE, &head);
}

static bool is_under_root(uint64_t device)
{
	struct stat st;

	return stat("/", &st) == 0 && major(st.st_dev) == major(device) &&
	       minor(st.st_dev) == minor(device);
}

/* Calls visit with the name of each but the root's own. */
static size_t each_mapped(bool (*visit)(const char *name))
{
	static _Alignas(8) char list[DM_LIST_BYTES];
	struct dm_ioctl *head = (void *)list;
	CLEANUP(fd_closep) int control = open(DM_CONTROL, O_RDWR | O_CLOEXEC);
	size_t count = 0;

	begin_dm(head, sizeof(list));
	/* What does not fit (DM_BUFFER_FULL_FLAG) is there in the next round. */
	if (control < 0 || syscall(SYS_ioctl, control, DM_LIST_DEVICES, head) < 0)
		return 0;
	const struct dm_name_list *entry = (const void *)(list + head->data_start);
	while (head->data_size > head->data_start && entry->dev != 0) {
		if (!is_under_root(entry->dev))
			count += visit(entry->name);
		if (entry->next == 0)
			break;
		entry = (const void *)((const char *)entry + entry->next);
	}
	return count;
}

static bool remove_mapped(const char *name)
{
	static const struct step step = {"removing it", run_remove_mapped};

	return do_step(&step, name);
}

static bool say_mapped(const char *name)
{
	event_with_string("name", name);
	event_emit(EVENT_NOTICE, "device-left", NULL, "the mapped device %s is in use to the end",
		   name);
	return true;
}

/* ---- all of it */

static size_t detach_round(size_t *mounts, size_t *swaps, size_t *mapped)
{
	size_t n_mounts = unmount_round(), n_swaps = swap_round(), n_loops = each_loop(clear_loop),
	       n_mapped = each_mapped(remove_mapped);

	*mounts += n_mounts;
	*swaps += n_swaps;
	*mapped += n_mapped;
	return n_mounts + n_swaps + n_loops + n_mapped;
}

void detach_all(void)
{
	/* Of these some go by themselves, once what used them has gone. */
	size_t loops = each_loop(is_counted);
	size_t mounts = 0, swaps = 0, mapped = 0;

	bool can_sync = sync_while_it_moves();
	for (int i = 0; i < ROUNDS && detach_round(&mounts, &swaps, &mapped) > 0; i++)
		;
	make_rest_read_only();
	(void)each_mapped(say_mapped);
	/* It takes one file system after the other, and would wait for the same one. */
	if (can_sync)
		(void)sync_while_it_moves();
	loops -= MIN(loops, each_loop(is_counted));
	event_with_i64("mounts", (int64_t)mounts);
	event_with_i64("swaps", (int64_t)swaps);
	event_with_i64("loops", (int64_t)loops);
	event_with_i64("mapped", (int64_t)mapped);
	event_emit(EVENT_INFO, "detached", NULL,
		   "let go of %zu mounts, %zu swaps, %zu loop devices, %zu mapped devices", mounts,
		   swaps, loops, mapped);
}
