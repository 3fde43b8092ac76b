/*
 * A service for the tests. It notes in a file what happens to it, one line each ("start PID",
 * "stop PID"), so that a test can count: nothing else tells a second start from the first.
 *
 *   service [-f FILE] [-n] [-r] [-d PIDFILE] [-e STATUS] [-t] [-c] [-l LINES] [-w] [-p MS] [-k SIGNAL]
 *           [-x FILE] [-m FILE] [WORD]
 *
 *   -f FILE     where to note; WORD stands in each line ("service" otherwise)
 *   -n          say READY=1 to $NOTIFY_SOCKET
 *   -r          say READY=1 when USR1 comes
 *   -d PIDFILE  be a daemon: fork, write the child's pid there, the first process exits 0
 *   -e STATUS   exit at once with that status (a command, not a daemon)
 *   -t          ignore TERM
 *   -c          keep a child that ignores TERM and lives in the same session
 *   -l LINES    write that many numbered lines to stdout first
 *   -w          send WATCHDOG=1 once and never again
 *   -p MS       send WATCHDOG=1 every MS milliseconds
 *   -k SIGNAL   end by that signal at once
 *   -x FILE     first fill the file system with FILE until no byte fits
 *   -m FILE     send what stands in that file to $NOTIFY_SOCKET when USR1 comes
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char *note_path, *message_path, *word = "service";

static void note(const char *what)
{
	char line[256];

	if (!note_path)
		return;
	int fd = open(note_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	int n = snprintf(line, sizeof(line), "%s %s %d\n", word, what, (int)getpid());
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		_exit(99);
	(void)close(fd);
}

static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!path || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path));
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	else
		length++;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, length) < 0)
		_exit(98);
	(void)close(fd);
}

static void become_daemon(const char *pid_file)
{
	int pipe_ends[2];
	char byte;

	if (pipe(pipe_ends) < 0)
		_exit(97);
	pid_t child = fork();
	if (child < 0)
		_exit(97);
	if (child > 0) {
		/* Only once the daemon has written its pid: as a well-made daemon does it. */
		(void)close(pipe_ends[1]);
		_exit(read(pipe_ends[0], &byte, 1) == 1 ? 0 : 97);
	}
	(void)setsid();
	FILE *file = fopen(pid_file, "w");
	if (!file || fprintf(file, "%d\n", (int)getpid()) < 0 || fclose(file) != 0)
		_exit(97);
	if (write(pipe_ends[1], "x", 1) != 1)
		_exit(97);
	(void)close(pipe_ends[0]);
	(void)close(pipe_ends[1]);
}

static void fill(const char *path)
{
	static char block[65536];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	/* Ever less, so that the last page is taken, too. */
	for (size_t size = sizeof(block); size > 0;) {
		if (write(fd, block, size) < 0)
			size /= 2;
	}
	if (errno != ENOSPC)
		_exit(96);
}

static void keep_child(void)
{
	pid_t child = fork();

	if (child == 0) {
		(void)signal(SIGTERM, SIG_IGN);
		note("child");
		for (;;)
			(void)pause();
	}
}

static void write_lines(long count)
{
	for (long i = 1; i <= count; i++)
		(void)printf("%s line %ld\n", word, i);
	(void)fflush(stdout);
}

/* From the first instruction on: a signal that comes early waits. */
static sigset_t block_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return set;
}

static void notify_from(const char *path)
{
	char text[256] = "";
	FILE *file = fopen(path, "r");

	if (!file || !fgets(text, sizeof(text), file) || fclose(file) != 0)
		_exit(96);
	notify(text);
}

static void wait_for_stop(sigset_t set, bool ignores_term, bool is_ready_later, long ping_ms)
{
	struct timespec time = {.tv_sec = ping_ms / 1000, .tv_nsec = ping_ms % 1000 * 1000000};

	for (;;) {
		int number = sigtimedwait(&set, NULL, ping_ms > 0 ? &time : NULL);
		if (number < 0) {
			if (errno == EAGAIN)
				notify("WATCHDOG=1");
			continue;
		}
		if (number == SIGUSR1 && message_path)
			notify_from(message_path);
		if (number == SIGUSR1 && is_ready_later)
			notify("READY=1");
		if (number == SIGUSR1)
			note("usr1");
		else if (!ignores_term)
			return;
		else
			note("ignored");
	}
}

int main(int argc, char **argv)
{
	const char *pid_file = NULL;
	bool is_notify = false, ignores_term = false, has_child = false, has_watchdog = false;
	bool is_ready_later = false;
	sigset_t set = block_signals();
	long lines = 0, status = -1, ping_ms = 0;
	int option, end_signal = 0;

	while ((option = getopt(argc, argv, "f:nrd:e:tcl:wp:k:x:m:")) != -1) {
		switch (option) {
		case 'f': note_path = optarg; break;
		case 'n': is_notify = true; break;
		case 'r': is_ready_later = true; break;
		case 'd': pid_file = optarg; break;
		case 'e': status = strtol(optarg, NULL, 10); break;
		case 't': ignores_term = true; break;
		case 'c': has_child = true; break;
		case 'l': lines = strtol(optarg, NULL, 10); break;
		case 'w': has_watchdog = true; break;
		case 'p': ping_ms = strtol(optarg, NULL, 10); break;
		case 'x': fill(optarg); break;
		case 'm': message_path = optarg; break;
		case 'k': end_signal = (int)strtol(optarg, NULL, 10); break;
		default: return 64;
		}
	}
	if (optind < argc)
		word = argv[optind];
	if (pid_file)
		become_daemon(pid_file);
	note(status >= 0 ? "run" : "start");
	write_lines(lines);
	if (status >= 0)
		return (int)status;
	if (end_signal)
		(void)raise(end_signal);
	if (has_child)
		keep_child();
	if (has_watchdog)
		notify("WATCHDOG=1");
	if (is_notify)
		notify("READY=1\nSTATUS=at your service");
	wait_for_stop(set, ignores_term, is_ready_later, ping_ms);
	note("stop");
	return 0;
}
