/*
 * Why a watch on a namespace's file hears of whoever joins from outside: the inode is one for all who open
 * it, by whichever /proc; and it lives only as long as somebody has it open, which we have.
 */
#include "gate/trigger.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/fd.h"

/* Runtimes open the one and the other namespace together. */
#define ALONE_US      (500 * USEC_PER_MSEC)
#define SAID_APART_US (60 * USEC_PER_SEC)

/*
 * Where the exec gate is, no program is watched here, for whoever asks it for an execution is looked at
 * then. And it must not be: such a question pins what is watched about its file, so that a gate that
 * dies could not end before somebody answers, and its successor is started when it has ended.
 */
#define TERMINALS 2
static const char *const entries[] = {"/proc/self/ns/pid", "/proc/self/ns/mnt"};
static const char *const programs[] = {
	"/dev/ptmx",
	"/dev/pts",
	"/bin",
	"/sbin",
	"/usr/bin",
	"/usr/sbin",
	"/usr/local/bin",
	"/usr/local/sbin",
	"/lib64/ld-linux-x86-64.so.2",
	"/lib/ld-linux-aarch64.so.1",
	"/lib/ld-musl-x86_64.so.1",
	"/lib/ld-musl-aarch64.so.1",
};

/* ret_last: the watch on the last of them. */
static int watch(const char *const *paths, size_t count, int *ret_last)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), n = 0;

	for (size_t i = 0; fd >= 0 && i < count; i++) {
		*ret_last = inotify_add_watch(fd, paths[i], IN_OPEN);
		n += *ret_last >= 0;
	}
	return n > 0 ? fd : fd_close(fd);
}

void trigger_open(struct triggers *triggers, bool is_gated)
{
	size_t n_programs = is_gated ? TERMINALS : ARRAY_COUNT(programs);
	int ignored;

	*triggers = (struct triggers){.mounts_watch = -1};
	/* Kept open for ever. */
	for (size_t i = 0; i < ARRAY_COUNT(entries); i++)
		(void)!open(entries[i], O_RDONLY | O_CLOEXEC);
	triggers->fds[TRIGGER_ENTRY] =
		watch(entries, ARRAY_COUNT(entries), &triggers->mounts_watch);
	triggers->fds[TRIGGER_PROGRAM] = watch(programs, n_programs, &ignored);
}

static void note_entry(struct triggers *triggers, const struct inotify_event *event,
		       uint64_t now_us)
{
	*(event->wd == triggers->mounts_watch ? &triggers->mounts_us : &triggers->pids_us) = now_us;
}

bool trigger_take(struct triggers *triggers, enum trigger trigger, uint64_t now_us)
{
	_Alignas(struct inotify_event) char buffer[4096];
	int fd = triggers->fds[trigger];
	bool has_fired = false;
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buffer, sizeof(buffer))) > 0) {
		has_fired = true;
		for (ssize_t at = 0; trigger == TRIGGER_ENTRY && at < n;) {
			const struct inotify_event *event =
				(const struct inotify_event *)(buffer + at);
			note_entry(triggers, event, now_us);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	return has_fired;
}

uint64_t trigger_note_mounts(struct triggers *triggers, uint64_t now_us)
{
	if (triggers->mounts_us == 0)
		return 0;
	if (now_us - triggers->mounts_us < ALONE_US)
		return triggers->mounts_us + ALONE_US;
	bool is_alone =
		triggers->pids_us == 0 || triggers->pids_us + ALONE_US < triggers->mounts_us;
	triggers->mounts_us = 0;
	if (!is_alone || (triggers->said_us != 0 && now_us - triggers->said_us < SAID_APART_US))
		return 0;
	triggers->said_us = now_us;
	event_emit(EVENT_WARNING, "mounts-opened", NULL,
		   "somebody opened this instance's mount namespace and not its PID namespace: who "
		   "joins that alone cannot be seen, and may read and write files here");
	return 0;
}
