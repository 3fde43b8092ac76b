#include "lib/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "lib/sys.h"

/* include/linux/sched.h */
#define PF_FORKNOEXEC 0x00000040
#define PF_KTHREAD    0x00200000

int proc_parse_stat(const char *text, struct proc_stat *ret_stat)
{
	struct proc_stat stat = {0};
	uint32_t flags;
	/* The name may hold anything, a parenthesis too: it ends at the last one. */
	const char *open = strchr(text, '('), *close = strrchr(text, ')');

	if (!open || !close || close < open || sscanf(text, "%" SCNd32, &stat.pid) != 1)
		return -EBADMSG;
	memcpy(stat.name, open + 1, MIN((size_t)(close - open - 1), sizeof(stat.name) - 1));
	if (sscanf(close + 1,
		   " %c %" SCNd32 " %*d %" SCNd32 " %*d %*d %" SCNu32 " %*u %*u %*u %*u %" SCNu64
		   " %" SCNu64 " %*d %*d %*d %*d %" SCNu32 " %*d %" SCNu64 " %*u %" SCNu64,
		   &stat.state, &stat.parent, &stat.session, &flags, &stat.user_ticks,
		   &stat.system_ticks, &stat.threads, &stat.start_ticks, &stat.resident_pages) != 9)
		return -EBADMSG;
	stat.is_kernel = (flags & PF_KTHREAD) != 0;
	stat.has_executed = (flags & PF_FORKNOEXEC) == 0;
	*ret_stat = stat;
	return 0;
}

/* In one read, which gives all of such a file that fits: the kernel writes it whole for the first. What is
 * longer is cut. The length, or -errno. */
static ssize_t read_file(int proc_fd, int32_t pid, const char *name, char *text, size_t size)
{
	char path[32];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%" PRId32 "/%s", pid, name);
	CLEANUP(fd_closep) int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	do
		n = read(fd, text, size - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return n;
}

int proc_read_stat(int proc_fd, int32_t pid, struct proc_stat *ret_stat)
{
	char text[1024];
	ssize_t n = read_file(proc_fd, pid, "stat", text, sizeof(text));

	return n < 0 ? (int)n : proc_parse_stat(text, ret_stat);
}

int proc_read_uid(int proc_fd, int32_t pid, uint32_t *ret_uid)
{
	char text[4096]; /* what follows may be long (Groups:) */
	ssize_t n = read_file(proc_fd, pid, "status", text, sizeof(text));

	if (n < 0)
		return (int)n;
	/* A newline in a process's name is escaped there. */
	const char *line = strstr(text, "\nUid:");
	return line && sscanf(line, "\nUid: %" SCNu32, ret_uid) == 1 ? 0 : -EBADMSG;
}

int proc_is_ours(int proc_fd)
{
	char link[24];
	uint64_t pid;
	ssize_t n = readlinkat(proc_fd, proc_fd == AT_FDCWD ? "/proc/self" : "self", link,
			       sizeof(link) - 1);

	if (n < 0)
		return -errno;
	link[n] = '\0';
	return str_parse_u64(link, INT32_MAX, &pid) == 0 && pid == (uint64_t)getpid();
}

int proc_is_first_namespace(int proc_fd)
{
	struct stat st;

	if (fstatat(proc_fd, proc_fd == AT_FDCWD ? "/proc/self/ns/pid" : "self/ns/pid", &st, 0) < 0)
		return -errno;
	return st.st_ino == SYS_FIRST_PID_NAMESPACE;
}

bool proc_is_dead(const struct proc_stat *stat)
{
	return stat->state == 'Z' || stat->state == 'X';
}
