#include "lib/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/io.h"
#include "lib/str.h"

#define TEXT_MAX (4U << 20)

/* "\040" becomes a blank, in place: the kernel escapes blank, tab, newline, backslash and #. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *at = text; *at; to++) {
		if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' &&
		    at[3] >= '0' && at[3] <= '7') {
			*to = (char)(((at[1] - '0') << 6) | ((at[2] - '0') << 3) | (at[3] - '0'));
			at += 4;
		} else {
			*to = *at++;
		}
	}
	*to = '\0';
}

static bool has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
			return true;
	}
	return false;
}

/* "98:0" */
static bool parse_device(const char *word, struct mountinfo_entry *entry)
{
	char *end;
	unsigned long major = strtoul(word, &end, 10);

	if (end == word || *end != ':')
		return false;
	word = end + 1;
	unsigned long minor = strtoul(word, &end, 10);
	entry->major = (uint32_t)major;
	entry->minor = (uint32_t)minor;
	return end != word && *end == '\0' && major <= UINT32_MAX && minor <= UINT32_MAX;
}

/*
 * 36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 - ext4 /dev/root rw,errors=continue
 * (proc_pid_mountinfo(5)); a line that is not of that shape is passed over.
 */
static bool parse_line(char *line, struct mountinfo_entry *ret_entry)
{
	char *words[6], *save = NULL;
	struct mountinfo_entry entry = {0};

	for (size_t i = 0; i < 6; i++) {
		words[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (!words[i])
			return false;
	}
	for (;;) {
		const char *optional = strtok_r(NULL, " ", &save);
		if (!optional)
			return false;
		if (str_equal(optional, "-"))
			break;
		if (str_starts(optional, "shared:"))
			entry.is_shared = true;
	}
	entry.type = strtok_r(NULL, " ", &save);
	const char *source = strtok_r(NULL, " ", &save);
	const char *super = strtok_r(NULL, " ", &save);
	if (!entry.type || !source)
		return false;
	if (str_parse_u64(words[0], UINT64_MAX, &entry.id) < 0 || !parse_device(words[2], &entry))
		return false;
	unescape(words[3]);
	unescape(words[4]);
	entry.root = words[3];
	entry.point = words[4];
	entry.options = words[5];
	/* An empty source shifts the columns: then what looks like it holds the options. */
	entry.is_writable =
		!has_word(entry.options, "ro") && !has_word(super ? super : source, "ro");
	*ret_entry = entry;
	return true;
}

static int read_text(int dirfd, const char *path, char **ret_text)
{
	for (size_t size = 1U << 16; size <= TEXT_MAX; size <<= 2) {
		char *text = malloc(size);
		if (!text)
			return -ENOMEM;
		ssize_t n = io_read_file(dirfd, path, text, size);
		if (n >= 0) {
			*ret_text = text;
			return 0;
		}
		free(text);
		if (n != -EFBIG)
			return (int)n;
	}
	return -E2BIG;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (const char *at = text; *at; at++)
		n += *at == '\n';
	return n;
}

int mountinfo_parse(char *text, struct mountinfo *ret_info)
{
	struct mountinfo info = {.text = text};
	char *save = NULL;

	info.entries = calloc(count_lines(text) + 1, sizeof(*info.entries));
	if (!info.entries) {
		free(text);
		return -ENOMEM;
	}
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		info.count += parse_line(line, &info.entries[info.count]);
	*ret_info = info;
	return 0;
}

int mountinfo_read_at(int dirfd, const char *path, struct mountinfo *ret_info)
{
	char *text = NULL;
	int r = read_text(dirfd, path, &text);

	return r < 0 ? r : mountinfo_parse(text, ret_info);
}

int mountinfo_read(struct mountinfo *ret_info)
{
	return mountinfo_read_at(AT_FDCWD, "/proc/self/mountinfo", ret_info);
}

void mountinfo_finish(struct mountinfo *info)
{
	free(info->entries);
	free(info->text);
	*info = (struct mountinfo){0};
}

const struct mountinfo_entry *mountinfo_find(const struct mountinfo *info, const char *point)
{
	for (size_t i = info->count; i-- > 0;) {
		if (str_equal(info->entries[i].point, point))
			return &info->entries[i];
	}
	return NULL;
}

bool mountinfo_has_option(const struct mountinfo_entry *entry, const char *option)
{
	return has_word(entry->options, option);
}

bool mountinfo_is_own_overlay(const struct mountinfo_entry *entry)
{
	return str_equal(entry->type, "overlay") && str_equal(entry->root, "/") &&
	       str_equal(entry->point, "/");
}
