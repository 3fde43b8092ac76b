#include "supervisor/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "lib/str.h"

#define RESOURCE_FILE_MAX 32
#define DEPTH_MAX	  8  /* of cgroups that a service made below its own */
#define ROUNDS_MAX	  16 /* a process that forks faster than we look */

struct process {
	int32_t pid, parent, session;
	bool is_member;
};

struct processes {
	struct process *items;
	size_t count, capacity;
};

static void processes_free(struct processes *list)
{
	free(list->items);
}

static int processes_add(struct processes *list, struct process process)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;
		struct process *items = reallocarray(list->items, capacity, sizeof(*items));
		if (!items)
			return -ENOMEM;
		list->items = items;
		list->capacity = capacity;
	}
	list->items[list->count++] = process;
	return 0;
}

/* ---- With cgroups. */

static int open_directory(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* entry: FILE=VALUE. */
static void set_resource(const struct spawner *spawner, uint32_t unit, int fd, const char *entry)
{
	char file[RESOURCE_FILE_MAX];
	const char *value = strchr(entry, '=');
	size_t length = value ? (size_t)(value - entry) : sizeof(file);

	if (length >= sizeof(file))
		return;
	memcpy(file, entry, length);
	file[length] = '\0';
	int r = io_write_file(fd, file, value + 1);
	if (r == 0)
		return;
	event_with_string("resource", file);
	event_emit(EVENT_WARNING, "resource-unlimited", plan_unit_name(spawner->plan, unit),
		   "%s cannot be set to %s: %s", file, value + 1,
		   r == -ENOENT ? "the cgroup has not that controller" : strerror(-r));
}

/* At each start, so that one that its predecessor had changed, or a supervisor had died before, is
 * set again. */
static void set_resources(const struct spawner *spawner, uint32_t unit, int fd)
{
	struct plan_list list = plan_unit(spawner->plan, unit)->resources;

	for (uint32_t i = 0; fd >= 0 && i < list.count; i++)
		set_resource(spawner, unit, fd,
			     plan_string(spawner->plan, plan_list_get(spawner->plan, list, i)));
}

int cgroup_open(const struct spawner *spawner, uint32_t unit)
{
	const char *name = plan_unit_name(spawner->plan, unit);

	if (spawner->cgroup_fd < 0)
		return -EBADF;
	int fd = open_directory(spawner->cgroup_fd, name);
	if (fd == -ENOENT) {
		if (mkdirat(spawner->cgroup_fd, name, 0755) < 0 && errno != EEXIST)
			return -errno;
		fd = open_directory(spawner->cgroup_fd, name);
	}
	set_resources(spawner, unit, fd);
	return fd;
}

bool cgroup_has_oom_kill(const struct spawner *spawner, uint32_t unit)
{
	static const char key[] = "\noom_kill ";
	char path[PATH_MAX], text[512] = "\n";

	if (spawner->cgroup_fd < 0)
		return false;
	(void)snprintf(path, sizeof(path), "%s/memory.events", plan_unit_name(spawner->plan, unit));
	if (io_read_file(spawner->cgroup_fd, path, text + 1, sizeof(text) - 1) < 0)
		return false;
	const char *at = strstr(text, key);
	return at && at[strlen(key)] != '0';
}

static DIR *list_directory(int fd)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);

	if (!dir)
		(void)fd_close(again);
	return dir;
}

static bool is_child_directory(const struct dirent *e)
{
	return e->d_type == DT_DIR && e->d_name[0] != '.';
}

static void remove_tree(int parent, const char *name, int depth)
{
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT || depth == DEPTH_MAX)
		return;
	CLEANUP(fd_closep) int fd = open_directory(parent, name);
	CLEANUP(fd_closedirp) DIR *dir = fd < 0 ? NULL : list_directory(fd);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		if (is_child_directory(e))
			remove_tree(fd, e->d_name, depth + 1);
	}
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

void cgroup_remove(const struct spawner *spawner, uint32_t unit)
{
	if (spawner->cgroup_fd >= 0)
		remove_tree(spawner->cgroup_fd, plan_unit_name(spawner->plan, unit), 0);
}

static int read_procs(int fd, struct processes *list)
{
	CLEANUP(fd_closep) int procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char buffer[4096];
	int32_t pid = 0;
	ssize_t n;

	if (procs < 0)
		return -errno;
	while ((n = read(procs, buffer, sizeof(buffer))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buffer[i] >= '0' && buffer[i] <= '9') {
				pid = pid * 10 + (buffer[i] - '0');
				continue;
			}
			int r = pid > 0 ? processes_add(list, (struct process){.pid = pid,
									       .is_member = true})
					: 0;
			if (r < 0)
				return r;
			pid = 0;
		}
	}
	return n < 0 ? -errno : 0;
}

static int gather_cgroup(int fd, struct processes *list, int depth)
{
	int r = read_procs(fd, list);

	CLEANUP(fd_closedirp) DIR *dir = r < 0 || depth == DEPTH_MAX ? NULL : list_directory(fd);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e && r == 0; e = readdir(dir)) {
		if (!is_child_directory(e))
			continue;
		CLEANUP(fd_closep) int below = open_directory(fd, e->d_name);
		if (below >= 0)
			r = gather_cgroup(below, list, depth + 1);
	}
	return r;
}

/* ---- Without: sessions. */

static int32_t slot_pid(const struct spawner *spawner, uint32_t unit, enum board_slot slot)
{
	return atomic_load(&spawner->board->slots[unit][slot]);
}

static int read_all(struct processes *list)
{
	CLEANUP(fd_closedirp) DIR *dir = opendir("/proc");

	if (!dir)
		return -errno;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		struct proc_stat stat;
		uint64_t pid;
		if (str_parse_u64(e->d_name, INT32_MAX, &pid) < 0 ||
		    proc_read_stat(dirfd(dir), (int32_t)pid, &stat) < 0 || proc_is_dead(&stat))
			continue;
		int r = processes_add(list, (struct process){.pid = stat.pid,
							     .parent = stat.parent,
							     .session = stat.session});
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_in_sessions(const struct process *process, const int32_t *sessions, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (sessions[i] > 0 &&
		    (process->session == sessions[i] || process->pid == sessions[i]))
			return true;
	}
	return false;
}

static int compare_pids(const void *a, const void *b)
{
	const struct process *left = a, *right = b;

	return (left->pid > right->pid) - (left->pid < right->pid);
}

/* The list is sorted. */
static bool has_member(const struct processes *list, int32_t pid)
{
	const struct process key = {.pid = pid};
	const struct process *found = list->count == 0 ? NULL
						       : bsearch(&key, list->items, list->count,
								 sizeof(key), compare_pids);

	return found && found->is_member;
}

/* Members' children are members, until nothing changes. */
static void add_children(struct processes *list)
{
	bool is_changed;

	do {
		is_changed = false;
		for (size_t i = 0; i < list->count; i++) {
			struct process *process = &list->items[i];
			if (process->is_member || !has_member(list, process->parent))
				continue;
			process->is_member = true;
			is_changed = true;
		}
	} while (is_changed);
}

static int gather_sessions(const struct spawner *spawner, uint32_t unit, int32_t session,
			   struct processes *list)
{
	int32_t main_pid = slot_pid(spawner, unit, SLOT_MAIN);
	const int32_t own = getsid(0);
	int32_t sessions[] = {session, main_pid, main_pid > 0 ? getsid(main_pid) : 0,
			      slot_pid(spawner, unit, SLOT_CONTROL)};

	/* A command in the terminal's foreground is in the session of holdfast itself. */
	for (size_t i = 0; i < ARRAY_COUNT(sessions); i++) {
		if (sessions[i] == own)
			sessions[i] = 0;
	}
	int r = read_all(list);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list->count; i++) {
		struct process *process = &list->items[i];
		process->is_member = is_in_sessions(process, sessions, ARRAY_COUNT(sessions)) ||
				     (main_pid > 0 && process->pid == main_pid);
	}
	if (list->count > 0)
		qsort(list->items, list->count, sizeof(*list->items), compare_pids);
	add_children(list);
	return 0;
}

/* ---- Either. */

static int gather(const struct spawner *spawner, uint32_t unit, int32_t session,
		  struct processes *list)
{
	if (spawner->cgroup_fd < 0)
		return gather_sessions(spawner, unit, session, list);
	CLEANUP(fd_closep)
	int fd = open_directory(spawner->cgroup_fd, plan_unit_name(spawner->plan, unit));
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return gather_cgroup(fd, list, 0);
}

static int signal_one(int32_t pid, int number)
{
	if (pid <= 0)
		return 0;
	if (kill(pid, number) == 0)
		return 1;
	return errno == ESRCH ? 0 : -errno;
}

static bool is_wanted(const struct spawner *spawner, uint32_t unit, enum kill_who who, int32_t pid)
{
	return who == KILL_WHO_ALL || (pid != slot_pid(spawner, unit, SLOT_MAIN) &&
				       pid != slot_pid(spawner, unit, SLOT_CONTROL));
}

/* How many were signalled this time. */
static int signal_round(const struct spawner *spawner, uint32_t unit, int32_t session,
			enum kill_who who, int number)
{
	CLEANUP(processes_free) struct processes list = {0};
	int count = 0, failed = 0;

	int r = gather(spawner, unit, session, &list);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.count; i++) {
		const struct process *process = &list.items[i];
		if (!process->is_member || process->pid == 1 || process->pid == getpid() ||
		    !is_wanted(spawner, unit, who, process->pid))
			continue;
		r = signal_one(process->pid, number);
		if (r > 0)
			count++;
		else if (r < 0)
			failed = r;
	}
	return count > 0 ? count : failed;
}

/* Everything in the cgroup at once, where the kernel knows how (5.14). */
static int kill_cgroup(const struct spawner *spawner, uint32_t unit)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/cgroup.kill", plan_unit_name(spawner->plan, unit));
	return io_write_file(spawner->cgroup_fd, path, "1");
}

static int kill_all(const struct spawner *spawner, uint32_t unit, int32_t session,
		    enum kill_who who, int number)
{
	int total = 0;

	if (number == SIGKILL && who == KILL_WHO_ALL && spawner->cgroup_fd >= 0) {
		int count = unit_count_processes(spawner, unit, session);
		if (count <= 0 || kill_cgroup(spawner, unit) == 0)
			return count;
	}
	/* Only a KILL may be sent twice: until a look finds nobody who was forked meanwhile. */
	for (int round = 0; round < ROUNDS_MAX; round++) {
		int count = signal_round(spawner, unit, session, who, number);
		if (count < 0)
			return total > 0 ? total : count;
		total = MAX(total, count);
		if (count == 0 || number != SIGKILL)
			break;
	}
	return total;
}

int unit_kill(const struct spawner *spawner, uint32_t unit, int32_t session, enum kill_who who,
	      int signal)
{
	int32_t main_pid = slot_pid(spawner, unit, SLOT_MAIN);
	int32_t control_pid = slot_pid(spawner, unit, SLOT_CONTROL);
	bool is_group = plan_unit(spawner->plan, unit)->flags & UNIT_KILL_GROUP;

	switch (who) {
	case KILL_WHO_MAIN:
		if (is_group && main_pid > 0 && getpgid(main_pid) == main_pid)
			return kill(-main_pid, signal) < 0 ? -errno : 1;
		return signal_one(main_pid, signal);
	case KILL_WHO_CONTROL:
		if (control_pid > 0 && kill(-control_pid, signal) == 0)
			return 1;
		return signal_one(control_pid, signal);
	case KILL_WHO_ALL:
	case KILL_WHO_REST: return kill_all(spawner, unit, session, who, signal);
	}
	return -EINVAL;
}

int unit_count_processes(const struct spawner *spawner, uint32_t unit, int32_t session)
{
	CLEANUP(processes_free) struct processes list = {0};
	int count = 0;

	int r = gather(spawner, unit, session, &list);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.count; i++)
		count += list.items[i].is_member;
	return count;
}
