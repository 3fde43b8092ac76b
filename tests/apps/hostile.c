/*
 * A service that does what services must not: each word is one attack, at the end of which it waits
 * for TERM like any other. "done" in NOTES says that the attack is over.
 *
 *   hostile NOTES WORD [NUMBER]
 *
 *   forks      make that many children that end at once, all alive together
 *   orphans    make that many processes whose parent is gone, half of them ending
 *   burst      send PID 1 that many signals: HUP, USR2, WINCH, RTMAX
 *   terms      send PID 1 that many TERM and INT
 *   signals    send PID 1 every signal but those that ask for a stop
 *   notify     send the notify socket that many datagrams of garbage, each with an fd
 *   linger     send the notify socket that many connections whose close waits for an hour
 *   firehose   write that many MiB to stdout as fast as it goes
 *   mute       close stdout and stderr
 *   murder     kill(-1, KILL), as whoever it is
 *   limits     leave all processes up to that number no files; notes "limited" for each
 *   cut        write over the public files, and cut them to nothing; notes "cut" for each that was
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *notes;

static void note(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	if (fd < 0 || dprintf(fd, "%s %d\n", text, (int)getpid()) < 0)
		_exit(99);
	(void)close(fd);
}

static void do_forks(long count)
{
	int gate[2];

	if (pipe(gate) < 0)
		_exit(97);
	for (long i = 0; i < count; i++) {
		char byte;
		pid_t pid = fork();
		if (pid < 0)
			break;
		if (pid == 0) {
			(void)close(gate[1]);
			_exit((int)read(gate[0], &byte, 1));
		}
	}
	(void)close(gate[1]);
	while (wait(NULL) > 0)
		;
}

static void do_orphans(long count)
{
	for (long i = 0; i < count; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (fork() == 0) {
				sigset_t none;
				(void)sigemptyset(&none);
				(void)sigprocmask(SIG_SETMASK, &none, NULL);
				if (i % 2)
					(void)pause();
				_exit(3);
			}
			_exit(0);
		}
		(void)waitpid(pid, NULL, 0);
	}
}

static void do_burst(long count)
{
	const int numbers[] = {SIGHUP, SIGUSR2, SIGWINCH, 64};

	for (long i = 0; i < count; i++)
		(void)kill(1, numbers[i % 4]);
}

static void do_terms(long count)
{
	for (long i = 0; i < count; i++)
		(void)kill(1, i % 2 ? SIGTERM : SIGINT);
}

static void do_signals(long count)
{
	(void)count;
	for (int number = 1; number <= 64; number++) {
		if (number != SIGTERM && number != SIGINT && number != SIGQUIT &&
		    number != SIGPWR && number != 37)
			(void)kill(1, number);
	}
}

static int connect_notify(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!path || strlen(path) >= sizeof(address.sun_path))
		_exit(98);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		_exit(98);
	return fd;
}

static void send_with(int notify, void *text, size_t size, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {text, size};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	(void)sendmsg(notify, &message, 0);
}

static void do_notify(long count)
{
	static char garbage[6000];
	int fd = connect_notify();

	for (long i = 0; i < count; i++) {
		for (size_t k = 0; k < 64; k++)
			garbage[(size_t)rand() % sizeof(garbage)] = (char)rand();
		send_with(fd, garbage, (size_t)rand() % sizeof(garbage), fd);
	}
	(void)close(fd);
}

/* With more to send than its peer takes, who never reads. The listener stays open. */
static int connect_for_ever(void)
{
	static const char block[1 << 16];
	const struct linger linger = {.l_onoff = 1, .l_linger = 3600};
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) < 0)
		_exit(95);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		_exit(95);
	while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0)
		;
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
		_exit(95);
	return fd;
}

static void wake(int signal)
{
	(void)signal;
}

static void do_linger(long count)
{
	const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
	char text[] = "STATUS=lingering";
	int notify = connect_notify();

	/* When it was taken at once our own close is the last, and would wait. */
	(void)signal(SIGALRM, wake);
	(void)setitimer(ITIMER_REAL, &often, NULL);
	for (long i = 0; i < count; i++) {
		int fd = connect_for_ever();
		send_with(notify, text, strlen(text), fd);
		(void)close(fd);
	}
	(void)setitimer(ITIMER_REAL, &never, NULL);
	(void)close(notify);
}

static void do_firehose(long count)
{
	static char block[1 << 16];

	memset(block, 'x', sizeof(block));
	for (size_t i = 127; i < sizeof(block); i += 128)
		block[i] = '\n';
	for (long i = 0; i < count * 16; i++) {
		if (write(STDOUT_FILENO, block, sizeof(block)) < 0 && errno != EINTR)
			_exit(96);
	}
}

static void do_mute(long count)
{
	(void)count;
	(void)close(STDOUT_FILENO);
	(void)close(STDERR_FILENO);
}

static void do_murder(long count)
{
	(void)count;
	(void)kill(-1, SIGKILL);
}

static void do_cut(long count)
{
	static const char *const files[] = {"board", "plan", "ring"};
	static char garbage[4096];

	(void)count;
	memset(garbage, 0xa5, sizeof(garbage));
	if (chdir("/run/holdfast") < 0 && chdir("/dev/shm/holdfast") < 0)
		_exit(95);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)chmod(files[i], 0666);
		int fd = open(files[i], O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && write(fd, garbage, sizeof(garbage)) > 0 && ftruncate(fd, 0) == 0)
			note(notes, "cut");
		(void)close(fd);
		(void)truncate(files[i], 0);
	}
}

static void do_limits(long count)
{
	const struct rlimit none = {0, 0};

	for (pid_t pid = 1; pid < count; pid++) {
		if (pid != getpid() && prlimit(pid, RLIMIT_NOFILE, &none, NULL) == 0)
			note(notes, "limited");
	}
}

static const struct {
	const char *word;
	void (*run)(long count);
} attacks[] = {
	{"forks", do_forks},	   {"orphans", do_orphans}, {"burst", do_burst},
	{"terms", do_terms},	   {"signals", do_signals}, {"notify", do_notify},
	{"firehose", do_firehose}, {"mute", do_mute},	    {"murder", do_murder},
	{"cut", do_cut},	   {"linger", do_linger},   {"limits", do_limits},
};

int main(int argc, char **argv)
{
	sigset_t set;
	int number;

	if (argc < 3)
		return 64;
	notes = argv[1];
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		if (strcmp(argv[2], attacks[i].word) == 0)
			attacks[i].run(argc > 3 ? strtol(argv[3], NULL, 10) : 0);
	}
	note(argv[1], "done");
	(void)sigwait(&set, &number);
	note(argv[1], "stopped");
	return 0;
}
