/*
 * What the last kernel of this machine left behind when it panicked (pstore: memory that survives a
 * restart, variables of the firmware): said once, in the log of this boot, and deleted, since room for
 * it is small. PID 1's own last line is in there when it was PID 1 that crashed (pid1/panic.c).
 *
 * A record is text that a dying kernel wrote: bounded, and worth two lines of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"

#define FOLDER	     "/sys/fs/pstore"
#define RECORD_BYTES (256 << 10)
#define LINE_MAX_OUT 512

/* The line of text that has the words in it, from them on, into line. */
static bool find_line(const char *text, const char *words, char line[LINE_MAX_OUT])
{
	const char *found = strstr(text, words);

	if (!found)
		return false;
	size_t length = MIN(strcspn(found, "\n"), (size_t)LINE_MAX_OUT - 1);
	memcpy(line, found, length);
	line[length] = '\0';
	return true;
}

static void say_record(const char *name, const char *text)
{
	static const char *const words[] = {"Kernel panic - not syncing", "PID 1 crashed by "};
	char line[LINE_MAX_OUT];

	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		if (!find_line(text, words[i], line))
			continue;
		event_with_string("record", name);
		event_emit(EVENT_ERROR, "previous-panic", NULL,
			   "the last boot of this machine ended by a panic: %s", line);
	}
}

static void take_record(int dirfd, const char *name)
{
	CLEANUP(fd_closep) int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char *text = fd < 0 ? NULL : malloc(RECORD_BYTES);

	if (!text)
		return;
	ssize_t n = io_read_full(fd, text, RECORD_BYTES - 1);
	text[n < 0 ? 0 : n] = '\0';
	say_record(name, text);
	free(text);
	(void)unlinkat(dirfd, name, 0);
}

int pstore_report(struct boot *boot)
{
	if (!boot->is_host || access(FOLDER, F_OK) < 0)
		return 0;
	if (mount("pstore", FOLDER, "pstore", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 &&
	    errno != EBUSY)
		return 0;
	CLEANUP(fd_closedirp) DIR *dir = opendir(FOLDER);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (str_starts(entry->d_name, "dmesg-"))
			take_record(dirfd(dir), entry->d_name);
	}
	return 0;
}
