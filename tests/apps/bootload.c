/*
 * In a virtual machine, before the initramfs' own /init: waits on the console for what this boot is
 * to be, so that one machine that was snapshotted here can become any of them.
 *
 * It says "bootload: ready", and takes lines, some with bytes behind them:
 *
 *   file PATH SIZE     that many bytes become the file
 *   entropy SIZE       that many bytes seed the kernel's random numbers: two machines made of one
 *                      snapshot would have the same
 *   clock SECONDS      the time that has passed since
 *   go                 /init.real takes over, with what argv and environment the kernel gave
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <linux/random.h>

#define BYTES_MAX     65536
#define CONSOLE_LEVEL 8 /* syslog(2) */

static unsigned char bytes[BYTES_MAX];

static _Noreturn void stop(const char *what)
{
	(void)dprintf(1, "bootload: %s: %s\n", what, strerror(errno));
	for (;;)
		(void)pause();
}

static void take(void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(0, (char *)data + done, size - done);
		if (n <= 0)
			stop("read");
		done += (size_t)n;
	}
}

static void take_line(char *line, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		take(line + i, 1);
		if (line[i] == '\n') {
			line[i] = '\0';
			return;
		}
	}
	stop("line");
}

static void write_file(const char *path, size_t size)
{
	if (size > sizeof(bytes))
		stop("size");
	take(bytes, size);
	(void)unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0755);
	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		stop(path);
	(void)close(fd);
}

/* struct rand_pool_info of linux/random.h, with room behind it. */
static void seed(size_t size)
{
	struct {
		int entropy_bits, size;
		unsigned char data[256];
	} pool = {.entropy_bits = (int)size * 8, .size = (int)size};
	int fd = open("/urandom", O_RDWR);

	if (size > sizeof(pool.data))
		stop("size");
	take(pool.data, size);
	if (fd < 0 || ioctl(fd, (int)RNDADDENTROPY, &pool) < 0 || ioctl(fd, (int)RNDRESEEDCRNG) < 0)
		stop("entropy");
	(void)close(fd);
}

static void set_raw(void)
{
	struct termios raw;

	if (tcgetattr(0, &raw) < 0)
		stop("console");
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST | ONLCR;
	(void)tcsetattr(0, TCSANOW, &raw);
}

int main(int argc, char **argv, char **envp)
{
	struct termios before;
	char line[256], path[128];
	size_t size;

	(void)argc;
	(void)mknod("/urandom", S_IFCHR | 0600, makedev(1, 9));
	(void)tcgetattr(0, &before);
	set_raw();
	(void)dprintf(1, "bootload: ready\n");
	for (;;) {
		take_line(line, sizeof(line));
		if (sscanf(line, "file %127s %zu", path, &size) == 2)
			write_file(path, size);
		else if (sscanf(line, "entropy %zu", &size) == 1)
			seed(size);
		else if (strncmp(line, "clock ", 6) == 0)
			(void)clock_settime(CLOCK_REALTIME,
					    &(struct timespec){.tv_sec = atol(line + 6)});
		else if (strcmp(line, "go") == 0)
			break;
		else
			stop(line);
	}
	(void)tcsetattr(0, TCSANOW, &before);
	(void)unlink("/urandom");
	/* The console shows every line of the kernel's log, holdfast's structured ones among them. */
	(void)klogctl(CONSOLE_LEVEL, NULL, 8);
	(void)execve("/init.real", argv, envp);
	stop("/init.real");
}
