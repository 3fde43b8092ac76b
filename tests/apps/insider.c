/*
 * A service that was taken over and wants a shell: it tries every way to one, and each shell that it
 * gets says "42-" and the way's name. Its own line for each way is its name, and how it ended.
 *
 *   insider SCRATCH    a folder that it may write to
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOADER	"/lib64/ld-linux-x86-64.so.2"
#define BUSYBOX "/bin/busybox"

static const char *scratch;
static char say[64]; /* for a shell */
static char *const no_environment[] = {NULL};

static int by_system(void)
{
	return system(say) == 0 ? 0 : EACCES;
}

static int by_popen(void)
{
	char line[64];
	FILE *shell = popen(say, "r");

	if (!shell)
		return errno;
	while (fgets(line, sizeof(line), shell))
		(void)fputs(line, stdout);
	return pclose(shell) == 0 ? 0 : EACCES;
}

static int by_exec(void)
{
	return execl("/bin/sh", "sh", "-c", say, (char *)NULL);
}

static int by_script(void)
{
	return execl("/usr/bin/script", "script", say + strlen("echo "), (char *)NULL);
}

static int by_loader(void)
{
	return execl(LOADER, LOADER, "/bin/bash", "-c", say, (char *)NULL);
}

static int by_proc(void)
{
	return execl("/proc/self/root" BUSYBOX, "sh", "-c", say, (char *)NULL);
}

static int copy_to(int to)
{
	struct stat st;
	int from = open(BUSYBOX, O_RDONLY | O_CLOEXEC);

	if (from < 0 || to < 0 || fstat(from, &st) < 0)
		return -1;
	for (off_t at = 0; at < st.st_size;) {
		if (sendfile(to, from, &at, (size_t)(st.st_size - at)) <= 0)
			return -1;
	}
	return 0;
}

static int by_copy(void)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/copy", scratch);
	int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (copy_to(to) < 0)
		return -1;
	(void)close(to);
	return execl(path, "sh", "-c", say, (char *)NULL);
}

static int by_link(void)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/link", scratch);
	(void)unlink(path);
	if (symlink(BUSYBOX, path) < 0)
		return -1;
	return execl(path, "sh", "-c", say, (char *)NULL);
}

static int memory(void)
{
	int fd = memfd_create("copy", 0);

	return fd < 0 || copy_to(fd) < 0 ? -1 : fd;
}

static int by_memory(void)
{
	char name[] = "sh", option[] = "-c";
	char *const argv[] = {name, option, say, NULL};
	int fd = memory();

	if (fd < 0)
		return -1;
	return (int)syscall(SYS_execveat, fd, "", argv, no_environment, AT_EMPTY_PATH);
}

static int by_memory_in_proc(void)
{
	char path[64];
	int fd = memory();

	if (fd < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return execl(path, "sh", "-c", say, (char *)NULL);
}

static int by_open_file(void)
{
	char name[] = "sh", option[] = "-c";
	char *const argv[] = {name, option, say, NULL};
	int fd = open(BUSYBOX, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return (int)syscall(SYS_execveat, fd, "", argv, no_environment, AT_EMPTY_PATH);
}

static const struct {
	const char *name;
	int (*try)(void);
} ways[] = {
	{"system", by_system},	     {"popen", by_popen},
	{"exec", by_exec},	     {"script", by_script},
	{"loader", by_loader},	     {"proc", by_proc},
	{"copy", by_copy},	     {"link", by_link},
	{"memory", by_memory},	     {"memory-in-proc", by_memory_in_proc},
	{"open-file", by_open_file},
};

int main(int argc, char **argv)
{
	scratch = argc > 1 ? argv[1] : "/tmp";
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int status = 0;
		(void)snprintf(say, sizeof(say), "echo $((21*2))-%s", ways[i].name);
		(void)fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			int r = ways[i].try();
			(void)fflush(stdout);
			_exit(r < 0 ? errno : r);
		}
		(void)waitpid(pid, &status, 0);
		(void)printf("%s: %s %d\n", ways[i].name, WIFEXITED(status) ? "exit" : "signal",
			     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	}
	(void)puts("all tried");
	(void)fflush(stdout);
	return pause();
}
