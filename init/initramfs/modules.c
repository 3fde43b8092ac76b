#include "init/initramfs/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"

#define LIST	   "/modules"
#define FOLDER	   "/lib/modules/"
#define LIST_BYTES 16384

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

int modules_parse_line(char *line, struct modules_line *ret_line)
{
	char *space = strchr(line, ' ');

	if (!line[0])
		return 1;
	*ret_line = (struct modules_line){.parameters = space ? space + 1 : ""};
	if (space)
		*space = '\0';
	if (!str_ends(line, ".ko") || strlen(line) <= 3 ||
	    !str_copy(ret_line->file, sizeof(ret_line->file), line))
		return -EINVAL;
	size_t length = strlen(line) - 3;
	for (size_t i = 0; i < length; i++) {
		if (!is_name_character(line[i]))
			return -EINVAL;
		ret_line->directory[i] = (char)(line[i] == '-' ? '_' : line[i]);
	}
	return 0;
}

/* Loaded before, or a part of this kernel. */
static bool is_there(const struct modules_line *line)
{
	char path[sizeof("/sys/module/") + MODULES_NAME_MAX];

	(void)snprintf(path, sizeof(path), "/sys/module/%s", line->directory);
	return access(path, F_OK) == 0;
}

static int load(const struct modules_line *line)
{
	char path[sizeof(FOLDER) + MODULES_NAME_MAX];

	(void)snprintf(path, sizeof(path), "%s%s", FOLDER, line->file);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return is_there(line) ? 0 : -errno;
	if (syscall(SYS_finit_module, fd, line->parameters, 0) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

/* A driver that finds nothing to drive says ENODEV: a list serves more than one kind of machine. */
static bool load_and_say(const struct modules_line *line)
{
	int r = load(line);

	if (r == 0)
		return true;
	event_with_string("module", line->file);
	event_emit(r == -ENODEV ? EVENT_NOTICE : EVENT_WARNING, "module-not-loaded", NULL,
		   "kernel module %s: %s", line->file, strerror(-r));
	return r == -ENODEV;
}

int modules_load(void)
{
	static char text[LIST_BYTES];
	struct modules_line line;
	char *rest = text;
	int n_missing = 0;

	ssize_t size = io_read_file(AT_FDCWD, LIST, text, sizeof(text));
	if (size < 0)
		return size == -ENOENT ? 0 : (int)size;
	for (char *word; (word = strsep(&rest, "\n"));) {
		int r = modules_parse_line(word, &line);
		if (r < 0)
			event_emit(EVENT_WARNING, "module-not-loaded", NULL,
				   LIST ": %s: expected NAME.ko [PARAMETERS]", word);
		n_missing += r < 0 || (r == 0 && !load_and_say(&line));
	}
	return n_missing;
}
