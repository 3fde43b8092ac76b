/*
 * In a virtual machine, for tests/bench/boot.py: measures a boot from within, whatever init it boots.
 *
 * As /init of an initramfs it is the first program of the machine. It takes the time, leaves a child
 * behind that watches, and becomes /init.real. The child belongs to no service: it asks addresses of the
 * loopback until they answer with 200, then for a while nothing, and then says what memory is in use.
 * It sees /proc and /dev by mounts of its own, which are in no folder.
 *
 *   /watch     lines "PORT PATH": what is asked, all of them at once
 *
 * It says, in lines of the console: "bootwatch: 200 PORT MICROSECONDS" since it began, "bootwatch:
 * memory NAME KILOBYTES" for each process (its share of the pages, PSS) and for the lines of
 * /proc/meminfo, "bootwatch: processes NUMBER" (that were ever made), and "bootwatch: done".
 *
 * By any other name it is the link from where the initramfs goes to another's /sbin/init.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/mount.h>

#define TARGETS_MAX   4
#define PAUSE_US      2000
#define QUIET_SECONDS 3 /* what starts beside the services has then started */
#define ANSWER_MS     1000

struct target {
	unsigned port;
	char path[64];
	uint64_t answered_us; /* 0: not yet */
};

static uint64_t now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The root of a file system that is mounted nowhere. */
static int open_mounted(const char *type)
{
	int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);

	if (context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	int root = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	(void)close(context);
	return root;
}

static size_t read_targets(struct target targets[TARGETS_MAX])
{
	FILE *file = fopen("/watch", "re");
	size_t n = 0;

	while (file && n < TARGETS_MAX &&
	       fscanf(file, "%u %63s", &targets[n].port, targets[n].path) == 2)
		n++;
	if (file)
		(void)fclose(file);
	return n;
}

static int connect_to(unsigned port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* Whether the first bytes of the answer say 200. */
static bool answers(const struct target *target)
{
	char text[128];
	int fd = connect_to(target->port);

	if (fd < 0)
		return false;
	int length = snprintf(text, sizeof(text),
			      "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
			      target->path);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n = -1;
	if (write(fd, text, (size_t)length) == length && poll(&p, 1, ANSWER_MS) > 0)
		n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strncmp(text, "HTTP/1.1 200", 12) == 0;
}

static void ask(struct target *targets, size_t count)
{
	const struct timespec pause = {.tv_nsec = PAUSE_US * 1000};

	for (size_t left = count; left > 0; (void)nanosleep(&pause, NULL)) {
		for (size_t i = 0; i < count; i++) {
			if (targets[i].answered_us != 0 || !answers(&targets[i]))
				continue;
			targets[i].answered_us = now_us();
			left--;
		}
	}
}

/* The number behind the first "KEY" of a file below proc; -1: there is none. */
static long find_number(int proc, const char *path, const char *key)
{
	char line[256];
	long number = -1;
	int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "re");

	while (file && number < 0 && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) == 0)
			number = strtol(line + strlen(key), NULL, 10);
	}
	if (file)
		(void)fclose(file);
	return number;
}

static void read_name(int proc, const char *pid, char *name, size_t size)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%.16s/comm", pid);
	int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, name, size - 1);
	name[n > 0 ? n - 1 : 0] = '\0';
	if (fd >= 0)
		(void)close(fd);
}

static void tell_processes(int proc, int console)
{
	char path[64], name[32];
	/* Anew: what fsmount(2) gives names a folder and does not read it. */
	DIR *directory = fdopendir(openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == getpid())
			continue;
		(void)snprintf(path, sizeof(path), "%.16s/smaps_rollup", entry->d_name);
		long kb = find_number(proc, path, "Pss:");
		if (kb < 0)
			continue; /* the kernel's own */
		read_name(proc, entry->d_name, name, sizeof(name));
		(void)dprintf(console, "bootwatch: memory %s %ld\n", name, kb);
	}
	if (directory)
		(void)closedir(directory);
}

static void tell_memory(int proc, int console)
{
	static const char *const keys[] = {"MemTotal:", "MemFree:", "MemAvailable:"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		(void)dprintf(console, "bootwatch: memory %s %ld\n", keys[i],
			      find_number(proc, "meminfo", keys[i]));
	(void)dprintf(console, "bootwatch: processes %ld\n",
		      find_number(proc, "stat", "processes "));
	tell_processes(proc, console);
}

static void watch(uint64_t began_us, int dev, int proc)
{
	struct target targets[TARGETS_MAX] = {0};
	size_t count = read_targets(targets);

	(void)setsid();
	ask(targets, count);
	(void)sleep(QUIET_SECONDS);
	/* Only now: a getty hangs up whoever has it open. */
	int console = openat(dev, "console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	(void)dprintf(console, "\n");
	for (size_t i = 0; i < count; i++)
		(void)dprintf(console, "bootwatch: 200 %u %llu\n", targets[i].port,
			      (unsigned long long)(targets[i].answered_us - began_us));
	tell_memory(proc, console);
	(void)dprintf(console, "bootwatch: done\n");
	for (;;)
		(void)pause();
}

int main(int argc, char **argv)
{
	(void)argc;
	if (strcmp(argv[0], "/init") != 0) {
		char name[] = "init", *init[] = {name, NULL};
		(void)execv("/sbin/init", init);
		return 1;
	}
	uint64_t began_us = now_us();
	int dev = open_mounted("devtmpfs"), proc = open_mounted("proc");
	if (dev < 0 || proc < 0) {
		(void)dprintf(1, "bootwatch: no /dev or /proc: %s\n", strerror(errno));
		return 1;
	}
	pid_t pid = fork();
	if (pid == 0)
		watch(began_us, dev, proc);
	(void)execv("/init.real", argv);
	return 1;
}
