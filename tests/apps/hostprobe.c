/*
 * On a machine: tries what a service must not be able to do, and tells what came of it, line by line.
 *
 *   hostprobe report           mounts, kernel parameters, doors, devices, memory; from then on the
 *                              kernel is silent on the console
 *   hostprobe eat MIB          touches that much memory, then "ate MIB"
 *   hostprobe fork N           "forked COUNT REASON": how many children it could have
 *   hostprobe spin             uses a processor for a while, then "throttled TIMES"
 *   hostprobe folder PATH      "folder PATH COUNT": how many entries it has
 *   hostprobe fill PATH TEXT   a file full of that text, on the disk
 *   hostprobe show FILE...     "FILE: its first line"
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SPIN_SECONDS  1.0
#define CONSOLE_LEVEL 8 /* syslog(2) */

static char text[65536];

static const char *outcome(long result)
{
	return result < 0 ? strerror(errno) : "done";
}

static bool read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		(void)fclose(file);
	text[size] = '\0';
	return file != NULL;
}

static void show(const char *path)
{
	if (!read_file(path)) {
		(void)printf("show %s: %s\n", path, outcome(-1));
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	(void)printf("show %s: %s\n", path, text);
}

static void tell_mounts(void)
{
	if (!read_file("/proc/self/mountinfo"))
		return;
	for (char *save, *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		(void)printf("mountinfo %s\n", line);
}

static void try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	(void)printf("open %s %s\n", path, outcome(fd));
	if (fd >= 0)
		(void)close(fd);
}

static void try_write(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	(void)printf("write %s %s\n", path, outcome(fd < 0 ? fd : write(fd, value, strlen(value))));
	if (fd >= 0)
		(void)close(fd);
}

/* One that opens, takes what is written, and still has the old content: what the kernel says. */
static void try_device(const char *path)
{
	unsigned char block[512];
	int fd = open(path, O_RDWR | O_CLOEXEC);
	long r = fd;

	if (fd >= 0) {
		r = pread(fd, block, sizeof(block), 0);
		if (r > 0)
			r = pwrite(fd, block, sizeof(block), 0);
	}
	(void)printf("device %s %s\n", path, outcome(r));
}

static void tell_console(void)
{
	struct termios termios;
	int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC), waiting = -1;

	if (fd < 0 || tcgetattr(fd, &termios) < 0)
		return;
	(void)ioctl(fd, FIONREAD, &waiting);
	(void)printf("console receives %d echoes %d signals %d waiting %d\n",
		     !!(termios.c_cflag & CREAD), !!(termios.c_lflag & ECHO),
		     !!(termios.c_lflag & ISIG), waiting);
}

static void tell_links(void)
{
	static const char *const paths[] = {"/proc/1/fd/0", "/proc/self/fd/0"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		ssize_t n = readlink(paths[i], text, sizeof(text) - 1);
		text[n < 0 ? 0 : n] = '\0';
		(void)printf("link %s %s\n", paths[i], text);
	}
}

static void tell_memory(void)
{
	static const char *const keys[] = {"MemTotal:", "MemFree:", "Shmem:"};

	if (!read_file("/proc/meminfo"))
		return;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *at = strstr(text, keys[i]);
		(void)printf("memory %s %ld\n", keys[i], at ? atol(at + strlen(keys[i])) : -1L);
	}
}

static void tell_init(void)
{
	static const char *const keys[] = {"VmSize:", "VmLck:", "RssFile:", "RssAnon:"};

	(void)read_file("/proc/1/status");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *at = strstr(text, keys[i]);
		(void)printf("init %s %ld\n", keys[i], at ? atol(at + strlen(keys[i])) : -1L);
	}
}

/* The words of every process that has any; those of the kernel have none. */
static void tell_words(const char *pid, const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
	FILE *file = fopen(path, "re");
	size_t size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	if (file)
		(void)fclose(file);
	if (size == 0)
		return;
	for (size_t i = 0; i < size; i++) {
		if ((unsigned char)text[i] <= ' ')
			text[i] = ' ';
	}
	text[size] = '\0';
	(void)printf("%s %s %s\n", name, pid, text);
}

static void tell_processes(void)
{
	DIR *dir = opendir("/proc");

	for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9') {
			tell_words(e->d_name, "cmdline");
			tell_words(e->d_name, "environ");
		}
	}
}

static int report(void)
{
	(void)klogctl(CONSOLE_LEVEL, NULL, 1);
	tell_mounts();
	(void)printf("remount %s\n", outcome(mount(NULL, "/", NULL, MS_REMOUNT, NULL)));
	(void)printf("module %s\n", outcome(syscall(SYS_finit_module, STDIN_FILENO, "", 0)));
	(void)printf("kexec %s\n", outcome(syscall(SYS_kexec_load, 0, 0, NULL, 0)));
	(void)printf("write / %s\n", outcome(mkdir("/new", 0755)));
	try_write("/proc/sys/kernel/core_pattern", "core");
	try_write("/proc/sys/vm/overcommit_memory", "1");
	try_write("/proc/sys/net/ipv4/ip_forward", "0");
	try_write("/sys/power/state", "disk");
	try_device("/dev/vda");
	try_device("/dev/dm-0");
	try_open("/dev/mem", O_RDONLY);
	try_open("/dev/ptmx", O_RDWR);
	try_open("/dev/pts/ptmx", O_RDWR);
	tell_console();
	tell_links();
	tell_memory();
	tell_init();
	tell_processes();
	return 0;
}

static int eat(size_t mib)
{
	char *memory =
		mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return 1;
	memset(memory, 1, mib << 20);
	(void)printf("ate %zu\n", mib);
	return 0;
}

static int fork_many(int count)
{
	int n = 0;
	pid_t pid;

	while (n < count && (pid = fork()) > 0)
		n++;
	int error = errno;
	if (n < count && pid == 0) {
		(void)pause();
		_exit(0);
	}
	(void)printf("forked %d %s\n", n, n < count ? strerror(error) : "all");
	(void)fflush(stdout);
	/* Those are killed with it. */
	return 0;
}

static int spin(void)
{
	struct timespec now;

	do
		(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	while ((double)now.tv_sec + (double)now.tv_nsec / 1e9 < SPIN_SECONDS);
	(void)read_file("/proc/self/cgroup");
	char *path = strchr(text, '/'), name[512];
	path[strcspn(path, "\n")] = '\0';
	(void)snprintf(name, sizeof(name), "/sys/fs/cgroup%s/cpu.stat", path);
	(void)read_file(name);
	char *at = strstr(text, "nr_throttled ");
	(void)printf("throttled %ld\n", at ? atol(at + strlen("nr_throttled ")) : -1L);
	return 0;
}

static int tell_folder(const char *path)
{
	DIR *dir = opendir(path);
	int count = 0;

	for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
		count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	(void)printf("folder %s %d\n", path, dir ? count : -1);
	return 0;
}

static int fill(const char *folder, const char *content)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/file", folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	for (int i = 0; fd >= 0 && i < 1000; i++) {
		if (write(fd, content, strlen(content)) < 0)
			return 1;
	}
	return fd < 0 || fsync(fd) < 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "report") == 0)
		return report();
	if (strcmp(what, "eat") == 0)
		return eat((size_t)atol(argv[2]));
	if (strcmp(what, "fork") == 0)
		return fork_many(atoi(argv[2]));
	if (strcmp(what, "spin") == 0)
		return spin();
	if (strcmp(what, "folder") == 0)
		return tell_folder(argv[2]);
	if (strcmp(what, "fill") == 0)
		return fill(argv[2], argv[3]);
	for (int i = 2; i < argc; i++)
		show(argv[i]);
	return 0;
}
