#include "network/leases.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"

static bool is_text(const char *text, size_t size)
{
	return memchr(text, '\0', size) && *text;
}

static bool is_sound(const struct lease *lease)
{
	return is_text(lease->interface, sizeof(lease->interface)) &&
	       is_text(lease->protocol, sizeof(lease->protocol)) &&
	       resolvconf_is_sound(&lease->dns);
}

int leases_load(const char *path, struct leases *ret_leases)
{
	struct leases leases = {0};

	*ret_leases = leases;
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	ssize_t n = io_read_full(fd, leases.items, sizeof(leases.items));
	if (n < 0)
		return (int)n;
	if ((size_t)n % sizeof(leases.items[0]) != 0)
		return 0;
	leases.count = (size_t)n / sizeof(leases.items[0]);
	for (size_t i = 0; i < leases.count; i++) {
		if (!is_sound(&leases.items[i]))
			return 0;
	}
	*ret_leases = leases;
	return 0;
}

int leases_store(const char *path, const struct leases *leases)
{
	char new_path[PATH_MAX];

	if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path))
		return -ENAMETOOLONG;
	(void)unlink(new_path);
	CLEANUP(fd_closep)
	int fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return -errno;
	int r = io_write_all(fd, leases->items, leases->count * sizeof(leases->items[0]));
	return r == 0 && rename(new_path, path) < 0 ? -errno : r;
}

static int compare(const struct lease *a, const struct lease *b)
{
	int order = strcmp(a->interface, b->interface);

	return order != 0 ? order : strcmp(a->protocol, b->protocol);
}

static void take_out(struct leases *leases, size_t at)
{
	leases->count--;
	memmove(&leases->items[at], &leases->items[at + 1],
		(leases->count - at) * sizeof(leases->items[0]));
}

static int put_in(struct leases *leases, size_t at, const struct lease *lease)
{
	if (leases->count == LEASES_MAX)
		return -ENOSPC;
	memmove(&leases->items[at + 1], &leases->items[at],
		(leases->count - at) * sizeof(leases->items[0]));
	leases->items[at] = *lease;
	leases->count++;
	return 0;
}

int leases_apply(struct leases *leases, const struct lease_news *news)
{
	size_t at = 0;

	while (at < leases->count && compare(&leases->items[at], &news->lease) < 0)
		at++;
	bool is_there = at < leases->count && compare(&leases->items[at], &news->lease) == 0;
	if (news->change == LEASE_NONE)
		return 0;
	if (is_there)
		take_out(leases, at);
	return news->change == LEASE_HAD ? put_in(leases, at, &news->lease) : 0;
}

void leases_merge(const struct leases *leases, struct resolvconf *ret_conf)
{
	*ret_conf = (struct resolvconf){0};
	for (size_t i = 0; i < leases->count; i++)
		resolvconf_merge(ret_conf, &leases->items[i].dns);
}

bool leases_satisfy(const struct leases *leases, enum lease_wait wait)
{
	bool has_ipv4 = false, has_ipv6 = false;

	for (size_t i = 0; i < leases->count; i++) {
		has_ipv4 |= leases->items[i].has_ipv4;
		has_ipv6 |= leases->items[i].has_ipv6;
	}
	switch (wait) {
	case LEASE_WAIT_IPV4: return has_ipv4;
	case LEASE_WAIT_IPV6: return has_ipv6;
	case LEASE_WAIT_ALL: return has_ipv4 && has_ipv6;
	default: return has_ipv4 || has_ipv6;
	}
}
