/*
 * secretuser NOTES WORD: a service that notes what it was given, one line each time: WORD, "start",
 * "hup" or "stop", then $A and the file "key" of its credentials where there are such, and its pid.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t read_key(char *to, size_t size)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	char path[4096];

	if (!folder)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/key", folder);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, to, size);
	(void)close(fd);
	return n < 0 ? 0 : (size_t)n;
}

static void note(char **argv, const char *what)
{
	const char *a = getenv("A");
	char key[512], line[2048];
	size_t length = read_key(key, sizeof(key) - 1);

	key[length] = '\0';
	int n = snprintf(line, sizeof(line), "%s %s%s%s%s%s %d\n", argv[2], what, a ? " " : "",
			 a ? a : "", length ? " " : "", key, (int)getpid());
	int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		_exit(99);
	(void)close(fd);
}

int main(int argc, char **argv)
{
	sigset_t set;
	int number;

	if (argc != 3)
		return 64;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	note(argv, "start");
	while (sigwait(&set, &number) == 0 && number == SIGHUP)
		note(argv, "hup");
	note(argv, "stop");
	return 0;
}
