/*
 * Prints what a started process finds itself to be, as one JSON object on one line:
 * argv, env, fds (number → target), cwd, ids, capabilities, limits, mounts, …
 *
 *   selfie [--to FD] [--hold] [--read PATH]... [--fd-of NAME] [--exit STATUS]
 *
 * --hold then waits for a signal that ends it; --read adds a file's content under "files";
 * --fd-of adds the content of the file descriptor whose number stands in $NAME.
 */
/* TESTS: lib/json.c lib/str.c lib/io.c lib/clock.c lib/fd.c lib/sys.c */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/io.h"
#include "lib/json.h"

extern char **environ;

static char text[1 << 20];
static char buffer[1 << 18];

static void add_strings(struct strbuf *out, const char *key, char *const *strings)
{
	json_key(out, key);
	json_array_begin(out);
	for (size_t i = 0; strings[i]; i++) {
		json_comma(out);
		json_string(out, strings[i]);
	}
	json_array_end(out);
}

/* First of all, so that nothing that we open stands in it. */
static void add_fds(struct strbuf *out)
{
	DIR *dir = opendir("/proc/self/fd");
	char target[4096];

	json_key(out, "fds");
	json_object_begin(out);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		if (e->d_name[0] == '.' || atoi(e->d_name) == dirfd(dir))
			continue;
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		json_add_string(out, e->d_name, target);
	}
	json_object_end(out);
	if (dir)
		(void)closedir(dir);
}

static void add_ids(struct strbuf *out)
{
	uid_t ids[3];
	gid_t gids[3], groups[256];

	(void)getresuid(&ids[0], &ids[1], &ids[2]);
	(void)getresgid(&gids[0], &gids[1], &gids[2]);
	json_key(out, "uids");
	strbuf_addf(out, "[%u,%u,%u]", ids[0], ids[1], ids[2]);
	json_key(out, "gids");
	strbuf_addf(out, "[%u,%u,%u]", gids[0], gids[1], gids[2]);
	int n = getgroups(256, groups);
	json_key(out, "groups");
	json_array_begin(out);
	for (int i = 0; i < n; i++) {
		json_comma(out);
		strbuf_addf(out, "%u", groups[i]);
	}
	json_array_end(out);
}

/* Lines "Name:\tvalue" of /proc/self/status that are wanted, as strings. */
static void add_status(struct strbuf *out)
{
	static const char *const wanted[] = {"CapInh",	   "CapPrm",  "CapEff", "CapBnd", "CapAmb",
					     "NoNewPrivs", "Seccomp", "SigBlk", "SigIgn", "Umask"};
	ssize_t n = io_read_file(AT_FDCWD, "/proc/self/status", buffer, sizeof(buffer));
	char *rest = NULL;

	for (char *line = n < 0 ? NULL : strtok_r(buffer, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *colon = strchr(line, ':');
		if (!colon)
			continue;
		*colon = '\0';
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
			if (strcmp(line, wanted[i]) == 0)
				json_add_string(out, line, colon + 1 + strspn(colon + 1, "\t "));
		}
	}
}

static void add_limits(struct strbuf *out)
{
	json_key(out, "limits");
	json_array_begin(out);
	for (int i = 0; i < 16; i++) {
		struct rlimit limit = {0};
		(void)getrlimit(i, &limit);
		json_comma(out);
		strbuf_addf(out, "[%lld,%lld]", (long long)limit.rlim_cur,
			    (long long)limit.rlim_max);
	}
	json_array_end(out);
}

static void add_file(struct strbuf *out, const char *key, const char *path)
{
	ssize_t n = io_read_file(AT_FDCWD, path, buffer, sizeof(buffer));

	if (n < 0)
		return;
	while (n > 0 && buffer[n - 1] == '\n')
		n--;
	json_key(out, key);
	json_bytes(out, buffer, (size_t)n);
}

static void add_scalars(struct strbuf *out)
{
	int number = 0;

	json_add_i64(out, "pid", getpid());
	json_add_i64(out, "ppid", getppid());
	json_add_i64(out, "sid", getsid(0));
	json_add_i64(out, "pgid", getpgrp());
	json_add_i64(out, "nice", getpriority(PRIO_PROCESS, 0));
	json_add_i64(out, "dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	if (isatty(STDIN_FILENO))
		json_add_i64(out, "foreground", tcgetpgrp(STDIN_FILENO));
	if (prctl(PR_GET_PDEATHSIG, &number, 0, 0, 0) == 0)
		json_add_i64(out, "pdeathsig", number);
	if (getcwd(buffer, sizeof(buffer)))
		json_add_string(out, "cwd", buffer);
	add_file(out, "oom_score_adj", "/proc/self/oom_score_adj");
	add_file(out, "cgroup", "/proc/self/cgroup");
	add_file(out, "mountinfo", "/proc/self/mountinfo");
}

static void add_fd_of(struct strbuf *out, const char *name)
{
	const char *value = getenv(name);
	int fd = value ? atoi(value) : -1;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	ssize_t n = io_read_full(fd, buffer, sizeof(buffer));
	json_key(out, name);
	json_object_begin(out);
	json_add_i64(out, "uid", st.st_uid);
	json_add_i64(out, "mode", st.st_mode & 07777);
	json_add_i64(out, "flags", fcntl(fd, F_GETFL) & O_ACCMODE);
	json_key(out, "content");
	json_bytes(out, buffer, n < 0 ? 0 : (size_t)n);
	json_object_end(out);
}

static void add_read(struct strbuf *out, const char *path)
{
	struct stat st;

	json_key(out, path);
	json_object_begin(out);
	if (lstat(path, &st) == 0) {
		json_add_i64(out, "uid", st.st_uid);
		json_add_i64(out, "gid", st.st_gid);
		json_add_i64(out, "mode", st.st_mode & 07777);
		add_file(out, "content", path);
	}
	json_object_end(out);
}

int main(int argc, char **argv)
{
	int to = STDOUT_FILENO, status = 0;
	bool holds = false;
	struct strbuf out;

	strbuf_init(&out, text, sizeof(text));
	json_object_begin(&out);
	add_fds(&out);
	add_strings(&out, "argv", argv);
	add_strings(&out, "env", environ);
	add_ids(&out);
	add_status(&out);
	add_limits(&out);
	add_scalars(&out);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--hold") == 0)
			holds = true;
		else if (i + 1 == argc)
			break;
		else if (strcmp(argv[i], "--to") == 0)
			to = atoi(argv[++i]);
		else if (strcmp(argv[i], "--exit") == 0)
			status = atoi(argv[++i]);
		else if (strcmp(argv[i], "--read") == 0)
			add_read(&out, argv[++i]);
		else if (strcmp(argv[i], "--fd-of") == 0)
			add_fd_of(&out, argv[++i]);
	}
	json_object_end(&out);
	strbuf_addc(&out, '\n');
	if (io_write_all(to, out.data, out.length) < 0)
		return 1;
	while (holds)
		(void)pause();
	return status;
}
