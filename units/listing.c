#include "units/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LISTING_MAX (16U << 20)

static int make_room(struct listing *listing, size_t more)
{
	size_t capacity = listing->capacity ? listing->capacity : 4096;

	while (capacity - listing->size < more)
		capacity *= 2;
	if (capacity > LISTING_MAX)
		return -E2BIG;
	if (capacity == listing->capacity)
		return 0;
	char *data = realloc(listing->data, capacity);
	if (!data)
		return -ENOMEM;
	listing->data = data;
	listing->capacity = capacity;
	return 0;
}

/* Not every file system says it with the name. */
static enum listing_kind kind_of(int fd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type == DT_UNKNOWN &&
	    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode)   ? LISTING_DIRECTORY
		       : S_ISREG(st.st_mode) ? LISTING_FILE
					     : LISTING_OTHER;
	return entry->d_type == DT_DIR	 ? LISTING_DIRECTORY
	       : entry->d_type == DT_REG ? LISTING_FILE
					 : LISTING_OTHER;
}

static int add(struct listing *listing, int fd, const struct dirent *entry)
{
	size_t length = strlen(entry->d_name) + 1;

	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
		return 0;
	int r = make_room(listing, length + 1);
	if (r < 0)
		return r;
	listing->data[listing->size] = (char)kind_of(fd, entry);
	memcpy(listing->data + listing->size + 1, entry->d_name, length);
	listing->size += length + 1;
	return 0;
}

int listing_read(struct listing *listing, int fd)
{
	char buffer[16384] __attribute__((aligned(8)));
	long n;

	*listing = (struct listing){0};
	while ((n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		const struct dirent *entry;
		for (long at = 0; at < n; at += entry->d_reclen) {
			entry = (const struct dirent *)(const void *)(buffer + at);
			int r = add(listing, fd, entry);
			if (r < 0)
				return r;
		}
	}
	return n < 0 ? -errno : 0;
}

void listing_finish(struct listing *listing)
{
	free(listing->data);
	*listing = (struct listing){0};
}

const char *listing_next(const struct listing *listing, size_t *at, enum listing_kind *ret_kind)
{
	if (*at >= listing->size)
		return NULL;
	const char *name = listing->data + *at + 1;
	*ret_kind = (enum listing_kind)listing->data[*at];
	*at += strlen(name) + 2;
	return name;
}
