#include "init/boot/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

#define PORT_MAX 65535

static void set_wildcard(uint16_t port, struct address *ret_address)
{
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};

	*ret_address = (struct address){.size = sizeof(in6), .is_wildcard = true};
	memcpy(&ret_address->storage, &in6, sizeof(in6));
}

static int parse_unix(const char *text, struct address *ret_address)
{
	struct address address = {.un = {.sun_family = AF_UNIX}};

	if (!text[1] || !str_copy(address.un.sun_path, sizeof(address.un.sun_path), text))
		return -EINVAL;
	address.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(text));
	if (text[0] == '@')
		address.un.sun_path[0] = '\0';
	else
		address.size++;
	*ret_address = address;
	return 0;
}

static int parse_host(const char *host, uint16_t port, struct address *ret_address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct address address = {0};

	if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
		memcpy(&address.storage, &in, sizeof(in));
		address.size = sizeof(in);
	} else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
		memcpy(&address.storage, &in6, sizeof(in6));
		address.size = sizeof(in6);
	} else {
		return -EINVAL;
	}
	*ret_address = address;
	return 0;
}

int address_parse(const char *text, struct address *ret_address)
{
	char host[INET6_ADDRSTRLEN];
	const char *colon = strrchr(text, ':');
	const char *from = text, *to = colon;
	uint64_t port;

	if (text[0] == '/' || text[0] == '@')
		return parse_unix(text, ret_address);
	if (str_parse_u64(colon ? colon + 1 : text, PORT_MAX, &port) < 0 || port == 0)
		return -EINVAL;
	if (!colon || colon == text) {
		set_wildcard((uint16_t)port, ret_address);
		return 0;
	}
	if (*from == '[') {
		from++;
		if (*--to != ']')
			return -EINVAL;
	} else if (memchr(from, ':', (size_t)(to - from))) {
		return -EINVAL; /* IPv6 without brackets: which colon is the port's? */
	}
	if (to < from || (size_t)(to - from) >= sizeof(host))
		return -EINVAL;
	memcpy(host, from, (size_t)(to - from));
	host[to - from] = '\0';
	return parse_host(host, (uint16_t)port, ret_address);
}

uint32_t address_loopback_port(const struct address *address)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (address->any.sa_family == AF_INET) {
		memcpy(&in, &address->storage, sizeof(in));
		uint32_t host = ntohl(in.sin_addr.s_addr);
		return host == INADDR_ANY || host >> 24 == IN_LOOPBACKNET ? ntohs(in.sin_port) : 0;
	}
	if (address->any.sa_family != AF_INET6)
		return 0;
	memcpy(&in6, &address->storage, sizeof(in6));
	return memcmp(&in6.sin6_addr, &in6addr_any, sizeof(in6addr_any)) == 0 ||
			       memcmp(&in6.sin6_addr, &in6addr_loopback, sizeof(in6addr_any)) == 0
		       ? ntohs(in6.sin6_port)
		       : 0;
}

/* Only a socket is replaced: a path that was mistyped must not cost a file. */
static int remove_old(const struct address *address)
{
	const char *path = address->un.sun_path;
	struct stat st;

	if (address->any.sa_family != AF_UNIX || path[0] == '\0' || lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	return unlink(path) < 0 ? -errno : 0;
}

static int bind_one(const struct address *address, int type)
{
	CLEANUP(fd_closep) int fd = socket(address->any.sa_family, type | SOCK_CLOEXEC, 0);
	const int on = 1, off = 0;

	if (fd < 0)
		return -errno;
	if (address->any.sa_family != AF_UNIX)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->is_wildcard && address->any.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	int r = remove_old(address);
	if (r < 0)
		return r;
	if (bind(fd, &address->any, address->size) < 0)
		return -errno;
	return fd_steal(&fd);
}

int address_bind(const struct address *address, int type)
{
	int fd = bind_one(address, type);

	if (fd >= 0 || !address->is_wildcard || (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL))
		return fd;
	struct sockaddr_in6 in6;
	memcpy(&in6, &address->storage, sizeof(in6));
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = in6.sin6_port};
	struct address v4 = {.size = sizeof(in)};
	memcpy(&v4.storage, &in, sizeof(in));
	return bind_one(&v4, type);
}
