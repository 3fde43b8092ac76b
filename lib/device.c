#include "lib/device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <linux/netlink.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/io.h"

#define UEVENT_GROUP_KERNEL 1 /* 2 is udev's */

static bool find_line(const char *text, const char *key, char *ret_value, size_t size)
{
	size_t key_length = strlen(key);

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncmp(line, key, key_length) != 0 || line[key_length] != '=')
			continue;
		const char *value = line + key_length + 1;
		size_t length = strcspn(value, "\n");
		if (length >= size)
			return false;
		memcpy(ret_value, value, length);
		ret_value[length] = '\0';
		return true;
	}
	return false;
}

bool device_match(const char *uevent, const char *key, const char *value, char *ret_name,
		  size_t size)
{
	char found[DEVICE_UEVENT_BYTES];

	return find_line(uevent, key, found, sizeof(found)) && str_equal(found, value) &&
	       find_line(uevent, "DEVNAME", ret_name, size) && ret_name[0] &&
	       !strchr(ret_name, '/');
}

/* An fd of /dev/NAME, which must be a block device. */
static int open_name(const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/dev/%s", name);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return -ENOTBLK;
	return fd_steal(&fd);
}

static int open_partition(const char *key, const char *value)
{
	CLEANUP(fd_closedirp) DIR *dir = opendir("/sys/class/block");
	char path[NAME_MAX + 8], text[DEVICE_UEVENT_BYTES], name[NAME_MAX + 1];

	if (!dir)
		return -errno;
	for (struct dirent *entry; (entry = readdir(dir));) {
		(void)snprintf(path, sizeof(path), "%s/uevent", entry->d_name);
		if (entry->d_name[0] == '.' ||
		    io_read_file(dirfd(dir), path, text, sizeof(text)) < 0)
			continue;
		if (device_match(text, key, value, name, sizeof(name)))
			return open_name(name);
	}
	return -ENOENT;
}

static int try_open(const char *spec)
{
	const char *equals = strchr(spec, '=');

	if (!equals)
		return open_name(spec + strlen("/dev/"));
	/* The kernel's names in a uevent: PARTNAME always, PARTUUID from 6.12 on. */
	return open_partition(str_starts(spec, "PARTLABEL") ? "PARTNAME" : "PARTUUID", equals + 1);
}

static int open_uevents(void)
{
	const struct sockaddr_nl address = {.nl_family = AF_NETLINK,
					    .nl_groups = UEVENT_GROUP_KERNEL};
	CLEANUP(fd_closep)
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return fd_steal(&fd);
}

/* What they say does not matter, nor whether some were lost: something has changed. */
static void drain(int fd)
{
	char message[2048];

	while (recv(fd, message, sizeof(message), 0) >= 0 || errno == ENOBUFS)
		;
}

/* ENXIO and ENOMEDIUM: the node is there before its driver is. */
static bool is_worth_waiting(int error)
{
	return error == -ENOENT || error == -ENXIO || error == -ENOMEDIUM;
}

int device_wait(const char *spec, uint64_t deadline_us)
{
	/* First, so that nothing can appear between a look and the wait. */
	CLEANUP(fd_closep) int events = open_uevents();

	if (events < 0)
		return events;
	for (;;) {
		int fd = try_open(spec);
		if (!is_worth_waiting(fd))
			return fd;
		struct pollfd p = {.fd = events, .events = POLLIN};
		int r = poll(&p, 1, clock_poll_ms(deadline_us));
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		drain(events);
	}
}

int device_describe(int fd, uint64_t *ret_bytes, char ret_number[24])
{
	struct stat st;
	off_t end = lseek(fd, 0, SEEK_END);

	if (end < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret_bytes = (uint64_t)end;
	(void)snprintf(ret_number, 24, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	return 0;
}
