/*
 * A process of the instance as status and the dump show it: what it uses, and the
 * cgroup that it is in. The pid came from the board a moment ago, so the process may be gone, or,
 * where pids wrap, be another one: what is read is for people to see, and nothing is decided by it.
 */
#include "ctl/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"

int process_read(int32_t pid, struct process *ret_process)
{
	CLEANUP(fd_closep) int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct process process = {0};

	if (proc < 0)
		return -errno;
	int r = proc_read_stat(proc, pid, &process.stat);
	if (r == 0)
		r = proc_read_uid(proc, pid, &process.uid);
	if (r < 0)
		return r;
	process.cpu_us = (process.stat.user_ticks + process.stat.system_ticks) *
			 (USEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
	process.resident = process.stat.resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
	*ret_process = process;
	return 0;
}

/* Where cgroup2 is mounted in our view. */
static const char *cgroup_root(void)
{
	static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		char path[64];
		(void)snprintf(path, sizeof(path), "%s/cgroup.procs", roots[i]);
		if (access(path, F_OK) == 0)
			return roots[i];
	}
	return NULL;
}

int process_cgroup(int32_t pid, char *path, size_t size)
{
	char file[48], text[4096];
	const char *root = cgroup_root();

	(void)snprintf(file, sizeof(file), "/proc/%" PRId32 "/cgroup", pid);
	ssize_t n = io_read_file(AT_FDCWD, file, text, sizeof(text));
	if (n < 0)
		return (int)n;
	/* cgroup2's line has the number 0 and no controllers (cgroups(7)). */
	char *at = str_starts(text, "0::") ? text : strstr(text, "\n0::");
	if (!at || !root)
		return -ENOENT;
	at = strstr(at, "0::") + 3;
	at[strcspn(at, "\n")] = '\0';
	struct strbuf buf;
	strbuf_init(&buf, path, size);
	strbuf_addf(&buf, "%s%s", root, at);
	return buf.is_cut ? -ENAMETOOLONG : 0;
}

int cgroup_number(const char *path, const char *file, uint64_t *ret_value)
{
	char name[1024], text[64];

	(void)snprintf(name, sizeof(name), "%s/%s", path, file);
	ssize_t n = io_read_file(AT_FDCWD, name, text, sizeof(text));
	if (n < 0)
		return (int)n;
	text[strcspn(text, "\n")] = '\0';
	if (str_equal(text, "max")) {
		*ret_value = UINT64_MAX;
		return 0;
	}
	return str_parse_u64(text, UINT64_MAX, ret_value);
}
