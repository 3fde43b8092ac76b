#include "init/boot/sysctl.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/io.h"

#define VALUE_MAX 4096
#define SPACES	  " \t\n"

/* Word by word. */
static bool is_same(const char *a, const char *b)
{
	for (;;) {
		a += strspn(a, SPACES);
		b += strspn(b, SPACES);
		size_t length = strcspn(a, SPACES);
		if (length != strcspn(b, SPACES) || memcmp(a, b, length) != 0)
			return false;
		if (length == 0)
			return true;
		a += length;
		b += length;
	}
}

int sysctl_set(int dirfd, const char *path, const char *value)
{
	char text[VALUE_MAX];

	ssize_t n = io_read_file(dirfd, path, text, sizeof(text));
	if (n >= 0 && is_same(text, value))
		return 0;
	/* Some can be written and not read. */
	if (n < 0 && n != -EACCES && n != -EPERM)
		return (int)n;
	/* A write of nothing would be none. */
	int r = io_write_file(dirfd, path, *value ? value : "\n");
	if (r < 0)
		return r;
	n = io_read_file(dirfd, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	return is_same(text, value) ? 0 : -EINVAL;
}

const char *sysctl_explain(int error)
{
	return error == -EINVAL ? "it reads as something else" : strerror(-error);
}
