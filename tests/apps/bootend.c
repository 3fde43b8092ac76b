/*
 * A service on a virtual machine whose end is looked at. Words are done one after the other:
 *
 *   signal NUMBER     to PID 1
 *   exit STATUS       of this process
 *   wait              for ever
 *   say WORD
 *   sleep SECONDS
 *   stop-supervisor   it hangs
 *   freeze-init       PID 1 hangs, in a cgroup that is frozen
 *   deaf              to TERM, from here on
 *   crash-init        PID 1's journal loses its pages, which is a fault once it writes there; in the crash
 *                     flavour, for in others it is sealed
 *   stack             ext4 on a mapped device on a loop device on a file in memory; a file of that on
 *                     a loop device, with another ext4: what only goes from the top
 *   freeze            the mapped device takes nothing any more, while much is still to be written
 *   swap              a swap file on the lower of these file systems
 *   drop              the kernel's copies of files, but those of pages that processes have mapped
 *   unbind-root       says "stuck" once the root's disk answers no more, and takes it from its driver: this
 *                     hangs, and so does who asks the driver afterwards
 *   freeze-init-late  a process that outlives this one does freeze-init at its own TERM
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>
#include <linux/dm-ioctl.h>
#include <linux/loop.h>

#define IMAGE	    "/usr/share/lower.img" /* holds upper.img */
#define LOWER	    "/run/lower"
#define UPPER	    "/run/upper"
#define MAPPED	    "stacked"
#define SWAP	    LOWER "/swap"
#define SWAP_PAGES  64
#define STUCK_LOOKS 300
#define FROZEN	    "/sys/fs/cgroup/frozen"

static void check(const char *what, int result)
{
	if (result >= 0)
		return;
	(void)printf("failed %s: %s\n", what, strerror(errno));
	_exit(9);
}

static void copy(const char *to)
{
	struct stat st;
	int in = open(IMAGE, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);

	check("open", in < 0 ? in : out);
	check("stat", fstat(in, &st));
	for (off_t at = 0; at < st.st_size;)
		check("copy", (int)sendfile(out, in, &at, (size_t)(st.st_size - at)));
	(void)close(in);
	(void)close(out);
}

static void attach(const char *device, const char *file)
{
	int loop = open(device, O_RDWR), fd = open(file, O_RDWR);

	check(device, loop < 0 ? loop : fd);
	check("LOOP_SET_FD", ioctl(loop, (int)LOOP_SET_FD, fd));
	(void)close(loop);
	(void)close(fd);
}

struct request {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char parameters[64];
};

static void ask_mapper(const char *what, unsigned long command, struct request *request,
		       uint32_t flags)
{
	int control = open("/dev/mapper/control", O_RDWR);

	check("control", control);
	request->head = (struct dm_ioctl){
		.version = {4, 0, 0},
		.data_size = sizeof(*request),
		.data_start = offsetof(struct request, target),
		.flags = flags,
		.target_count = command == DM_TABLE_LOAD,
	};
	(void)snprintf(request->head.name, sizeof(request->head.name), MAPPED);
	check(what, ioctl(control, (int)command, request));
	(void)close(control);
}

/* A table of one line: all of the device below, as it is. */
static unsigned map(const char *device, uint64_t sectors)
{
	struct request request = {0};

	ask_mapper("DM_DEV_CREATE", DM_DEV_CREATE, &request, 0);
	unsigned number = (unsigned)request.head.dev & 0xff;
	request.target = (struct dm_target_spec){.length = sectors, .target_type = "linear"};
	(void)snprintf(request.parameters, sizeof(request.parameters), "%s 0", device);
	ask_mapper("DM_TABLE_LOAD", DM_TABLE_LOAD, &request, 0);
	ask_mapper("resume", DM_DEV_SUSPEND, &request, 0);
	return number;
}

static void stack(void)
{
	struct stat st;
	char mapped[32];

	check(IMAGE, stat(IMAGE, &st));
	copy("/run/image");
	attach("/dev/loop0", "/run/image");
	(void)snprintf(mapped, sizeof(mapped), "/dev/dm-%u",
		       map("/dev/loop0", (uint64_t)st.st_size / 512));
	check("mkdir lower", mkdir(LOWER, 0755));
	check("mkdir upper", mkdir(UPPER, 0755));
	check("mount lower", mount(mapped, LOWER, "ext4", 0, NULL));
	attach("/dev/loop1", LOWER "/upper.img");
	check("mount upper", mount("/dev/loop1", UPPER, "ext4", 0, NULL));
}

static void freeze(void)
{
	static const char bytes[65536];
	struct request request = {0};
	int fd = open(LOWER "/unwritten", O_WRONLY | O_CREAT, 0600);

	check("unwritten", fd);
	check("write", (int)write(fd, bytes, sizeof(bytes)));
	(void)close(fd);
	ask_mapper("suspend", DM_DEV_SUSPEND, &request,
		   DM_SUSPEND_FLAG | DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG);
}

static void stop_supervisor(void)
{
	char path[64], name[32] = "";

	for (int pid = 2; pid < 4096; pid++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		FILE *file = fopen(path, "re");
		size_t n = file ? fread(name, 1, sizeof(name) - 1, file) : 0;
		if (file)
			(void)fclose(file);
		name[n] = '\0';
		if (strncmp(name, "holdfast-superv", 15) == 0)
			check("stop", kill(pid, SIGSTOP));
	}
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	check(path, fd);
	check(text, (int)write(fd, text, strlen(text)));
	(void)close(fd);
}

static void freeze_init(void)
{
	check("mkdir", mkdir(FROZEN, 0755));
	write_text(FROZEN "/cgroup.procs", "1");
	write_text(FROZEN "/cgroup.freeze", "1");
}

static void until_term(void)
{
	sigset_t term;
	int signal;

	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	(void)sigwait(&term, &signal);
}

/* By PID 1, to whatever is left: its end has begun. */
static void freeze_init_late(void)
{
	pid_t pid = fork();

	check("fork", pid);
	if (pid > 0)
		return;
	until_term();
	freeze_init();
	_exit(0);
}

/* A head as mkswap(8) writes it; the blocks must be there. */
static void swap_on(void)
{
	static _Alignas(8) char page[4096];
	const uint32_t version = 1, last_page = SWAP_PAGES - 1;
	int fd = open(SWAP, O_WRONLY | O_CREAT | O_EXCL, 0600);

	check(SWAP, fd);
	for (int i = SWAP_PAGES - 1; i > 0; i--)
		check("write", (int)pwrite(fd, page, sizeof(page), i * (off_t)sizeof(page)));
	memcpy(page + 1024, &version, sizeof(version));
	memcpy(page + 1028, &last_page, sizeof(last_page));
	memcpy(page + sizeof(page) - 10, "SWAPSPACE2", 10);
	check("head", (int)pwrite(fd, page, sizeof(page), 0));
	check("fsync", fsync(fd));
	(void)close(fd);
	check("swapon", swapon(SWAP, 0));
}

static void drop_caches(void)
{
	/* The one at /proc takes no writes. */
	check("mkdir", mkdir("/run/proc", 0755));
	check("mount proc", mount("proc", "/run/proc", "proc", 0, NULL));
	write_text("/run/proc/sys/vm/drop_caches", "3");
}

static bool is_in_kernel(pid_t pid)
{
	char path[64], text[256] = "";

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	if (file && !fgets(text, sizeof(text), file))
		text[0] = '\0';
	if (file)
		(void)fclose(file);
	const char *behind = strrchr(text, ')');
	return behind && behind[1] == ' ' && behind[2] == 'D';
}

static void unbind_root(void)
{
	static _Alignas(4096) char block[4096];
	pid_t pid = fork();

	check("fork", pid);
	if (pid == 0) {
		int fd = open("/dev/vda", O_RDONLY | O_DIRECT);
		/* Some of them it still gives. */
		while (fd >= 0 && read(fd, block, sizeof(block)) > 0)
			;
		_exit(1);
	}
	/* One that is answered is there for a moment only. */
	for (int looks = 0; looks < STUCK_LOOKS; looks++) {
		if (!is_in_kernel(pid))
			looks = 0;
		(void)poll(NULL, 0, 1);
	}
	(void)puts("stuck");
	check("mkdir", mkdir("/run/sys", 0755));
	check("mount sysfs", mount("sysfs", "/run/sys", "sysfs", 0, NULL));
	write_text("/run/sys/bus/virtio/drivers/virtio_blk/unbind", "virtio0");
}

static void crash_init(void)
{
	char path[64], link[64];

	for (int fd = 0; fd < 256; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/1/fd/%d", fd);
		ssize_t n = readlink(path, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = '\0';
		if (strncmp(link, "/memfd:holdfast-journal", 23) == 0) {
			check("truncate", truncate(path, 0));
			check("kill", kill(1, SIGTERM));
			return;
		}
	}
	errno = ENOENT;
	check("journal", -1);
}

static void be_deaf(void)
{
	(void)signal(SIGTERM, SIG_IGN);
}

static void wait_for_ever(void)
{
	for (;;)
		(void)pause();
}

static void send(const char *number)
{
	check("kill", kill(1, atoi(number)));
}

static void leave(const char *status)
{
	_exit(atoi(status));
}

static void doze(const char *seconds)
{
	(void)sleep((unsigned)atoi(seconds));
}

static void say(const char *word)
{
	(void)puts(word);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *word;
		void (*run)(void);
		void (*run_with)(const char *);
	} words[] = {
		{"stack", stack, NULL},
		{"freeze", freeze, NULL},
		{"swap", swap_on, NULL},
		{"drop", drop_caches, NULL},
		{"unbind-root", unbind_root, NULL},
		{"freeze-init-late", freeze_init_late, NULL},
		{"wait", wait_for_ever, NULL},
		{"stop-supervisor", stop_supervisor, NULL},
		{"freeze-init", freeze_init, NULL},
		{"crash-init", crash_init, NULL},
		{"deaf", be_deaf, NULL},
		{"signal", NULL, send},
		{"exit", NULL, leave},
		{"say", NULL, say},
		{"sleep", NULL, doze},
	};

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		size_t n = 0;
		while (n < sizeof(words) / sizeof(words[0]) && strcmp(words[n].word, argv[i]) != 0)
			n++;
		if (n == sizeof(words) / sizeof(words[0]) || (words[n].run_with && i + 1 == argc))
			return 64;
		if (words[n].run)
			words[n].run();
		else
			words[n].run_with(argv[++i]);
	}
}
