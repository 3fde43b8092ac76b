#include "lib/secretfile.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEAD_SIZE (2 * sizeof(uint32_t))

static size_t padded(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

static bool name_fits(const char *name, size_t length)
{
	return length > 0 && length <= SECRETFILE_NAME_MAX && !memchr(name, '=', length) &&
	       !memchr(name, '\0', length);
}

int secretfile_append(int fd, const char *name, const void *value, size_t length)
{
	size_t name_length = strlen(name);

	if (!name_fits(name, name_length))
		return -EINVAL;
	if (length > SECRETFILE_VALUE_MAX)
		return -E2BIG;
	uint32_t head[2] = {(uint32_t)name_length, (uint32_t)length};
	size_t body = name_length + 1 + length + 1;
	const struct iovec parts[] = {
		{head, sizeof(head)},
		{(void *)(uintptr_t)name, name_length},
		{(void *)(uintptr_t) "=", 1},
		{(void *)(uintptr_t)value, length},
		{(void *)(uintptr_t) "\0\0\0", 1 + padded(body) - body},
	};
	off_t end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return -errno;
	ssize_t n = pwritev(fd, parts, sizeof(parts) / sizeof(parts[0]), end);
	if (n < 0)
		return -errno;
	return (size_t)n == HEAD_SIZE + padded(body) ? 0 : -ENOSPC;
}

int secretfile_next(const void *data, size_t size, size_t *cursor,
		    struct secretfile_record *ret_record)
{
	const char *at = (const char *)data + *cursor;
	uint32_t head[2];

	if (*cursor == size)
		return 0;
	if (*cursor > size || size - *cursor < HEAD_SIZE)
		return -EBADMSG;
	memcpy(head, at, HEAD_SIZE);
	if (head[0] > SECRETFILE_NAME_MAX || head[1] > SECRETFILE_VALUE_MAX)
		return -EBADMSG;
	size_t body = (size_t)head[0] + 1 + head[1] + 1;
	if (padded(body) > size - *cursor - HEAD_SIZE)
		return -EBADMSG;
	at += HEAD_SIZE;
	if (!name_fits(at, head[0]) || at[head[0]] != '=' || at[body - 1] != '\0')
		return -EBADMSG;
	*ret_record = (struct secretfile_record){
		.assignment = at,
		.name = at,
		.value = at + head[0] + 1,
		.name_length = head[0],
		.value_length = head[1],
	};
	*cursor += HEAD_SIZE + padded(body);
	return 1;
}

int secretfile_find(const void *data, size_t size, const char *name,
		    struct secretfile_record *ret_record)
{
	size_t cursor = 0, length = strlen(name);
	struct secretfile_record record;

	for (;;) {
		int r = secretfile_next(data, size, &cursor, &record);
		if (r <= 0)
			return r;
		if (record.name_length != length || memcmp(record.name, name, length) != 0)
			continue;
		*ret_record = record;
		return 1;
	}
}

bool secretfile_is_text(const struct secretfile_record *record)
{
	return !memchr(record->value, '\0', record->value_length);
}
