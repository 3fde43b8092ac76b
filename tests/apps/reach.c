/*
 * What a service can reach: tries each word of its command line, and prints one JSON object on one
 * line, {"argv":…, "reach": {WORD: "ok" or the error's name}}. A word is WHAT:PATH[:PATH]:
 *
 *   read list write create remove mkdir socket fifo device truncate rename:A:B link:A:B stdout kill:PID
 *   trace:PID mount:PATH
 *   exec:PATH      runs it with "-c", "echo ESCAPED"
 *   ld:LOADER:PATH by the loader
 *   copy:FROM:TO   copies a program, and runs the copy
 *   system, popen  libc's
 *
 * What was started says ESCAPED if it runs and is a shell. With --hold it waits for a signal then.
 */
/* TESTS: lib/json.c lib/str.c lib/io.c lib/clock.c lib/fd.c lib/sys.c */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/json.h"
#include "lib/str.h"

static char text[1 << 16];

static int result(long r)
{
	return r < 0 ? -errno : 0;
}

static int try_open(const char *path, int flags)
{
	char byte;

	CLEANUP(fd_closep) int fd = open(path, flags | O_CLOEXEC, 0755);
	if (fd < 0)
		return -errno;
	return (flags & O_ACCMODE) == O_RDONLY ? result(read(fd, &byte, 1)) : 0;
}

static int try_read(const char *path, const char *other)
{
	(void)other;
	return try_open(path, O_RDONLY);
}

static int try_list(const char *path, const char *other)
{
	DIR *dir = opendir(path);

	(void)other;
	if (!dir)
		return -errno;
	(void)closedir(dir);
	return 0;
}

static int try_write(const char *path, const char *other)
{
	(void)other;
	return try_open(path, O_WRONLY);
}

static int try_create(const char *path, const char *other)
{
	(void)other;
	return try_open(path, O_WRONLY | O_CREAT | O_EXCL);
}

static int try_remove(const char *path, const char *other)
{
	(void)other;
	return result(unlink(path));
}

static int try_mkdir(const char *path, const char *other)
{
	(void)other;
	return result(mkdir(path, 0755));
}

static int try_socket(const char *path, const char *other)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)other;
	if (!str_copy(address.sun_path, sizeof(address.sun_path), path))
		return -ENAMETOOLONG;
	return result(bind(fd, (const struct sockaddr *)&address, sizeof(address)));
}

static int try_fifo(const char *path, const char *other)
{
	(void)other;
	return result(mkfifo(path, 0600));
}

static int try_device(const char *path, const char *other)
{
	(void)other;
	return result(mknod(path, S_IFBLK | 0600, makedev(7, 0)));
}

static int try_truncate(const char *path, const char *other)
{
	(void)other;
	return result(truncate(path, 0));
}

static int try_rename(const char *path, const char *other)
{
	return result(rename(path, other));
}

static int try_link(const char *path, const char *other)
{
	return result(link(path, other));
}

static int try_stdout(const char *path, const char *other)
{
	(void)path;
	(void)other;
	return try_open("/dev/stdout", O_WRONLY | O_APPEND);
}

static int try_kill(const char *path, const char *other)
{
	(void)other;
	return result(kill(atoi(path), 0));
}

static int try_trace(const char *path, const char *other)
{
	(void)other;
	return result(ptrace(PTRACE_SEIZE, atoi(path), NULL, NULL));
}

static int try_mount(const char *path, const char *other)
{
	(void)other;
	return result(mount("x", path, "tmpfs", 0, NULL));
}

/* The error of the exec comes through a pipe that a successful one closes. */
static int run(const char *path, char *const argv[])
{
	int pipe_fds[2], error = 0;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		execv(path, argv);
		error = errno;
		(void)!write(pipe_fds[1], &error, sizeof(error));
		_exit(127);
	}
	fd_close(pipe_fds[1]);
	ssize_t n = read(pipe_fds[0], &error, sizeof(error));
	fd_close(pipe_fds[0]);
	(void)waitpid(pid, NULL, 0);
	return n == (ssize_t)sizeof(error) ? -error : 0;
}

static int try_exec(const char *path, const char *other)
{
	char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
			(char *)(uintptr_t) "echo ESCAPED", NULL};

	(void)other;
	return run(path, argv);
}

static int try_loader(const char *path, const char *other)
{
	char *argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t)other, (char *)(uintptr_t) "-c",
			(char *)(uintptr_t) "echo ESCAPED", NULL};

	return run(path, argv);
}

static int copy(const char *from, const char *to)
{
	char buffer[4096];
	ssize_t n;

	CLEANUP(fd_closep) int in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return -errno;
	CLEANUP(fd_closep) int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	if (out < 0)
		return -errno;
	while ((n = read(in, buffer, sizeof(buffer))) > 0) {
		if (write(out, buffer, (size_t)n) != n)
			return -EIO;
	}
	return result(n);
}

static int try_copy(const char *path, const char *other)
{
	int r = copy(path, other);

	return r < 0 ? r : try_exec(other, NULL);
}

static int try_system(const char *path, const char *other)
{
	(void)path;
	(void)other;
	return system("echo ESCAPED") == 0 ? 0 : -EACCES;
}

static int try_popen(const char *path, const char *other)
{
	char line[64] = "";
	FILE *file = popen("echo ESCAPED", "r");

	(void)path;
	(void)other;
	if (!file)
		return -errno;
	bool has_line = fgets(line, sizeof(line), file) != NULL;
	(void)pclose(file);
	return has_line ? 0 : -EACCES;
}

static const struct {
	const char *name;
	int (*act)(const char *path, const char *other);
} attempts[] = {
	{"read", try_read},	    {"list", try_list},	    {"write", try_write},
	{"create", try_create},	    {"remove", try_remove}, {"mkdir", try_mkdir},
	{"socket", try_socket},	    {"fifo", try_fifo},	    {"device", try_device},
	{"truncate", try_truncate}, {"rename", try_rename}, {"link", try_link},
	{"stdout", try_stdout},	    {"kill", try_kill},	    {"trace", try_trace},
	{"mount", try_mount},	    {"exec", try_exec},	    {"ld", try_loader},
	{"copy", try_copy},	    {"system", try_system}, {"popen", try_popen},
};

static const char *attempt(const char *word)
{
	static const char *const known[] = {
		[EACCES] = "EACCES", [EPERM] = "EPERM",	    [ENOENT] = "ENOENT",
		[EROFS] = "EROFS",   [EXDEV] = "EXDEV",	    [ENOTDIR] = "ENOTDIR",
		[EEXIST] = "EEXIST", [ENOEXEC] = "ENOEXEC", [ESRCH] = "ESRCH",
	};
	char copy_of[1024], *path, *other;

	if (!str_copy(copy_of, sizeof(copy_of), word))
		return "too long";
	path = strchr(copy_of, ':');
	if (path)
		*path++ = '\0';
	other = path ? strchr(path, ':') : NULL;
	if (other)
		*other++ = '\0';
	for (size_t i = 0; i < ARRAY_COUNT(attempts); i++) {
		if (strcmp(attempts[i].name, copy_of) != 0)
			continue;
		int r = attempts[i].act(path ? path : "", other ? other : "");
		if (r == 0)
			return "ok";
		return -r < (int)ARRAY_COUNT(known) && known[-r] ? known[-r] : strerror(-r);
	}
	return "unknown word";
}

int main(int argc, char **argv)
{
	bool is_held = argc > 1 && strcmp(argv[1], "--hold") == 0;
	struct strbuf out;

	(void)signal(SIGPIPE, SIG_IGN);
	strbuf_init(&out, text, sizeof(text));
	json_object_begin(&out);
	json_add_string(&out, "argv", argv[0]);
	json_key(&out, "reach");
	json_object_begin(&out);
	for (int i = 1 + is_held; i < argc; i++)
		json_add_string(&out, argv[i], attempt(argv[i]));
	json_object_end(&out);
	json_object_end(&out);
	strbuf_addc(&out, '\n');
	(void)io_write_all(STDOUT_FILENO, text, out.length);
	while (is_held)
		(void)pause();
	return 0;
}
