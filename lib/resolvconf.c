#include "lib/resolvconf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"

#define TEXT_MAX     4096
#define DOMAIN_SIGNS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"

bool resolvconf_is_server(const char *text)
{
	char address[INET6_ADDRSTRLEN];
	unsigned char bytes[sizeof(struct in6_addr)];
	size_t length = strcspn(text, "%");
	const char *interface = text[length] ? text + length + 1 : NULL;

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (!interface)
		return inet_pton(strchr(text, ':') ? AF_INET6 : AF_INET, address, bytes) == 1;
	return inet_pton(AF_INET6, address, bytes) == 1 &&
	       IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)(const void *)bytes) && *interface &&
	       strlen(interface) < IF_NAMESIZE && !interface[strspn(interface, DOMAIN_SIGNS)];
}

bool resolvconf_is_domain(const char *text)
{
	return *text && strlen(text) < RESOLVCONF_DOMAIN_MAX && !text[strspn(text, DOMAIN_SIGNS)];
}

static bool add(char *rows, size_t count, size_t size, const char *text)
{
	for (size_t i = 0; i < count; i++) {
		char *row = rows + i * size;
		if (str_equal(row, text))
			return true;
		if (!*row)
			return str_copy(row, size, text);
	}
	return false;
}

bool resolvconf_add_server(struct resolvconf *conf, const char *text)
{
	return resolvconf_is_server(text) &&
	       add(conf->servers[0], RESOLVCONF_SERVERS_MAX, RESOLVCONF_SERVER_MAX, text);
}

bool resolvconf_add_domain(struct resolvconf *conf, const char *text)
{
	return resolvconf_is_domain(text) &&
	       add(conf->search[0], RESOLVCONF_SEARCH_MAX, RESOLVCONF_DOMAIN_MAX, text);
}

void resolvconf_merge(struct resolvconf *conf, const struct resolvconf *other)
{
	for (size_t i = 0; i < RESOLVCONF_SERVERS_MAX && other->servers[i][0]; i++)
		(void)resolvconf_add_server(conf, other->servers[i]);
	for (size_t i = 0; i < RESOLVCONF_SEARCH_MAX && other->search[i][0]; i++)
		(void)resolvconf_add_domain(conf, other->search[i]);
}

static bool are_sound(const char *rows, size_t count, size_t size, bool (*is_good)(const char *))
{
	bool was_empty = false;

	for (size_t i = 0; i < count; i++) {
		const char *row = rows + i * size;
		if (!memchr(row, '\0', size) || (*row && (was_empty || !is_good(row))))
			return false;
		was_empty = !*row;
	}
	return true;
}

bool resolvconf_is_sound(const struct resolvconf *conf)
{
	return are_sound(conf->servers[0], RESOLVCONF_SERVERS_MAX, RESOLVCONF_SERVER_MAX,
			 resolvconf_is_server) &&
	       are_sound(conf->search[0], RESOLVCONF_SEARCH_MAX, RESOLVCONF_DOMAIN_MAX,
			 resolvconf_is_domain);
}

static void render(struct strbuf *buf, const struct resolvconf *conf)
{
	for (size_t i = 0; i < RESOLVCONF_SEARCH_MAX && conf->search[i][0]; i++)
		strbuf_addf(buf, "%s%s", i == 0 ? "search " : " ", conf->search[i]);
	if (conf->search[0][0])
		strbuf_addc(buf, '\n');
	for (size_t i = 0; i < RESOLVCONF_SERVERS_MAX && conf->servers[i][0]; i++)
		strbuf_addf(buf, "nameserver %s\n", conf->servers[i]);
}

int resolvconf_write(const char *path, const struct resolvconf *conf)
{
	char text[TEXT_MAX], new_path[PATH_MAX];
	struct strbuf buf;

	if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path))
		return -ENAMETOOLONG;
	strbuf_init(&buf, text, sizeof(text));
	render(&buf, conf);
	(void)unlink(new_path);
	CLEANUP(fd_closep)
	int fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (fd < 0)
		return -errno;
	int r = io_write_all(fd, text, buf.length);
	if (r == 0 && (fchmod(fd, 0444) < 0 || rename(new_path, path) < 0))
		r = -errno;
	return r;
}
