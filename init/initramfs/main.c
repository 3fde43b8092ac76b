/*
 * holdfast-initramfs: /init of the initramfs, and the first program of the machine. It has one thing
 * to do, to bring up the root that it was told to and to prove it, and becomes holdfast in it.
 *
 * Everything from outside is hostile: the command line (a table of words, cmdline.h) and what lies on
 * disks (bounded, and worth nothing without the root hash). Nobody can answer a question here, so
 * nothing is asked, and the console is made deaf: a step that fails says one line there, and the
 * machine ends (end.h).
 * No shell, no second attempt, no wait without an end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include "init/initramfs/cmdline.h"
#include "init/initramfs/early.h"
#include "init/initramfs/end.h"
#include "init/initramfs/modules.h"
#include "init/initramfs/root.h"
#include "init/initramfs/switch.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"
#include "lib/tty.h"

#define BUILT_IN   "/cmdline"
#define EXIT_USAGE 64
/* What a device that came at the last moment may take, until the watcher ends it all. */
#define WATCH_SLACK_US (10 * USEC_PER_SEC)

struct boot {
	struct cmdline line;
	uint64_t deadline_us;
	int n_missing; /* modules */
	pid_t watcher;
	char message[ROOT_MESSAGE_MAX];
};

_Static_assert(CMDLINE_MESSAGE_MAX <= ROOT_MESSAGE_MAX, "one message serves both");

/* "WHAT NAME: why". */
static int fail(struct boot *boot, int error, const char *what, const char *name)
{
	(void)snprintf(boot->message, sizeof(boot->message), "%s %s: %s", what, name,
		       strerror(-error));
	return error;
}

/* ---- the steps */

static int mount_early(struct boot *boot)
{
	const char *path;
	int r = early_mount(&path);

	if (r < 0)
		return fail(boot, r, "cannot mount", path);
	early_settle();
	return 0;
}

static int add_words(struct boot *boot, const char *path, enum cmdline_source source)
{
	static char text[CMDLINE_BYTES + 1];

	ssize_t n = io_read_file(AT_FDCWD, path, text, sizeof(text));
	if (n == -ENOENT && source == CMDLINE_BUILT_IN)
		return 0;
	if (n >= 0 && strlen(text) != (size_t)n)
		n = -EBADMSG;
	if (n < 0)
		return fail(boot, (int)n, "cannot read", path);
	return cmdline_add(&boot->line, text, source, boot->message);
}

static int read_words(struct boot *boot)
{
	int r = add_words(boot, BUILT_IN, CMDLINE_BUILT_IN);

	if (r == 0)
		r = add_words(boot, "/proc/cmdline", CMDLINE_KERNEL);
	return r < 0 ? r : cmdline_check(&boot->line, boot->message);
}

static int start_watcher(struct boot *boot)
{
	boot->deadline_us = clock_now_us() + boot->line.timeout_s * USEC_PER_SEC;
	boot->watcher = end_watch(boot->deadline_us + WATCH_SLACK_US, boot->line.failed_boot);
	if (boot->watcher < 0)
		return fail(boot, boot->watcher, "cannot start", "the watcher");
	return 0;
}

static int load_modules(struct boot *boot)
{
	int r = modules_load();

	if (r < 0)
		return fail(boot, r, "cannot read", "/modules");
	boot->n_missing = r;
	return 0;
}

static int mount_root(struct boot *boot)
{
	int r = root_mount(&boot->line, boot->deadline_us, boot->message);

	return r < 0 ? r : switch_check(boot->message);
}

/* Who comes after us may write to the console. */
static void close_input(void)
{
	CLEANUP(fd_closep) int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		(void)dup2(fd, STDIN_FILENO);
}

static int leave(struct boot *boot)
{
	event_with_string("root", boot->line.root);
	event_with_string("roothash", boot->line.root_hash);
	event_emit(cmdline_is_verified(&boot->line) ? EVENT_INFO : EVENT_WARNING, "root-mounted",
		   NULL, "the root is %s, %s", boot->line.root,
		   cmdline_is_verified(&boot->line) ? "read-only and proven by its root hash"
						    : "read-only and proven by nothing");
	end_unwatch(boot->watcher);
	close_input();
	return switch_root(boot->message);
}

static const struct {
	const char *event;
	int (*run)(struct boot *boot);
} steps[] = {
	{"early-mounts-failed", mount_early}, {"command-line-refused", read_words},
	{"watcher-failed", start_watcher},    {"modules-failed", load_modules},
	{"root-failed", mount_root},	      {"switch-failed", leave},
};

/* ---- all of them */

/* The initramfs is a tmpfs or ramfs with us in it: anything else would be somebody's files that we
 * are about to delete. */
static bool is_initramfs(void)
{
	struct statfs st;

	return getpid() == 1 && statfs("/", &st) == 0 &&
	       (st.f_type == RAMFS_MAGIC || st.f_type == TMPFS_MAGIC) && access("/init", F_OK) == 0;
}

/* An initramfs without /dev/console leaves us without any file. It is there to be written to, by
 * people read, and in structure the lines are in the kernel's log. */
static void ensure_console(void)
{
	if (fcntl(STDERR_FILENO, F_GETFD) < 0) {
		for (int fd;
		     (fd = open("/dev/console", O_RDWR | O_NOCTTY)) >= 0 && fd < STDERR_FILENO;)
			;
	}
	(void)tty_deafen(STDERR_FILENO);
	event_copy_to_kernel_log(open("/dev/kmsg", O_WRONLY | O_CLOEXEC));
}

static _Noreturn void give_up(const struct boot *boot, const char *event)
{
	if (boot->n_missing > 0)
		event_with_i64("modules_missing", boot->n_missing);
	event_emit(EVENT_ERROR, event, NULL, "%s: the machine %s", boot->message,
		   machine_end_texts[boot->line.failed_boot]);
	end_boot(boot->line.failed_boot);
}

int main(void)
{
	static struct boot boot;

	event_init("holdfast-initramfs", EVENT_PLAIN);
	if (!is_initramfs()) {
		event_emit(EVENT_ERROR, "usage", NULL,
			   "holdfast-initramfs is /init of an initramfs, not to be run by hand");
		return EXIT_USAGE;
	}
	cmdline_init(&boot.line);
	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		int r = steps[i].run(&boot);
		if (i == 0)
			ensure_console();
		if (r < 0)
			give_up(&boot, steps[i].event);
	}
}
