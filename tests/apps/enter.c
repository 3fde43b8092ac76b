/*
 * enter PID PROGRAM [ARGUMENT...]: executes it beside that process as a container's runtime does for
 * `exec`: in its namespaces, by its user, with its capabilities; whoever executes it has never executed
 * anything there before. Exits as it does.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_MAX 4096

static char status[STATUS_MAX];

static _Noreturn void fail(const char *what)
{
	(void)fprintf(stderr, "enter: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void read_status(const char *pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%s/status", pid);
	int fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, status, sizeof(status) - 1) <= 0)
		fail(path);
	(void)close(fd);
}

static unsigned long long number(const char *key, int base)
{
	const char *line = strstr(status, key);

	if (!line)
		fail(key);
	return strtoull(line + strlen(key), NULL, base);
}

/* PID 1's own user namespace last: before, we may still join the others. */
static void join(const char *pid)
{
	static const char *const kinds[] = {"pid", "net", "ipc", "uts", "mnt"};
	int fds[5];
	char path[64];

	for (int i = 0; i < 5; i++) {
		(void)snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, kinds[i]);
		fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			fail(path);
	}
	for (int i = 0; i < 5; i++) {
		if (setns(fds[i], 0) < 0)
			fail(kinds[i]);
	}
}

static _Noreturn void execute(char **argv)
{
	unsigned long long bounding = number("\nCapBnd:", 16);
	gid_t gid = (gid_t)number("\nGid:", 10);
	uid_t uid = (uid_t)number("\nUid:", 10);

	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
		if (!(bounding >> i & 1) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0)
			fail("dropping a capability");
	}
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		fail("becoming its user");
	if (number("\nNoNewPrivs:", 10) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail("no_new_privs");
	(void)setsid();
	(void)execv(argv[0], argv);
	fail(argv[0]);
}

int main(int argc, char **argv)
{
	int ended;

	if (argc < 3)
		return 125;
	read_status(argv[1]);
	join(argv[1]);
	pid_t pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0)
		execute(argv + 2);
	if (waitpid(pid, &ended, 0) < 0)
		fail("waitpid");
	return WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
}
