/*
 * holdfast-lease: what dhcpcd runs in place of its shell script, once for each thing that happens to an
 * interface. It notes who resolves names, writes resolv.conf anew, and tells holdfast when there is an
 * address: that is what network-online.target waits for.
 *
 * Its environment is what a server on the network said, put into words by dhcpcd. So before it looks at
 * any of it it gives up what dhcpcd has (the right to change the network) and what it needs no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gen/network/filter.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/sandbox.h"
#include "lib/str.h"
#include "network/lease.h"
#include "network/leases.h"

/* RuntimeDirectory= of units/dist/dhcpcd.service; boot has /run/resolv.conf point there. */
#define LEASES_FILE	   "/run/network/leases"
#define RESOLV_CONF	   "/run/network/resolv.conf"
#define BARRIER_TIMEOUT_MS 5000

extern char **environ;

static int fail(const char *what, int error)
{
	event_emit(EVENT_ERROR, "lease-failed", NULL, "%s: %s", what, strerror(error));
	return EXIT_FAILURE;
}

/* ---- notifications */

/* One datagram, with fd when there is one. 0 or -errno. */
static int send_text(int socket, const struct sockaddr_un *address, socklen_t size,
		     const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
	struct msghdr message = {.msg_name = (void *)(uintptr_t)address,
				 .msg_namelen = size,
				 .msg_iov = &iov,
				 .msg_iovlen = 1};

	if (fd >= 0) {
		control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
						  .cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.space);
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static bool parse_address(const char *text, struct sockaddr_un *ret_address, socklen_t *ret_size)
{
	size_t length = text ? strlen(text) : 0;

	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (length < 2 || length >= sizeof(ret_address->sun_path) || (*text != '/' && *text != '@'))
		return false;
	memcpy(ret_address->sun_path, text, length);
	if (*text == '@')
		ret_address->sun_path[0] = '\0';
	*ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return true;
}

/* Whoever is told has to find us alive to know whose word it is: so we wait until it was read
 * (BARRIER=1 of sd_notify(3)). */
static int notify(const char *text)
{
	struct sockaddr_un address;
	socklen_t size;
	int ends[2];

	if (!parse_address(getenv("NOTIFY_SOCKET"), &address, &size))
		return 0;
	CLEANUP(fd_closep) int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_fd < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	int r = send_text(socket_fd, &address, size, text, -EBADF);
	if (r == 0)
		r = send_text(socket_fd, &address, size, "BARRIER=1", ends[1]);
	(void)close(ends[1]);
	struct pollfd end = {.fd = ends[0]};
	if (r == 0 && poll(&end, 1, BARRIER_TIMEOUT_MS) == 0)
		r = -ETIMEDOUT;
	(void)close(ends[0]);
	return r;
}

static int tell(const struct lease_news *news, const struct leases *leases)
{
	char text[256];
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	if (leases_satisfy(leases, news->wait))
		strbuf_adds(&buf, "READY=1\n");
	if (news->change == LEASE_LOST)
		strbuf_addf(&buf, "STATUS=%s: what it had by %s is gone", news->lease.interface,
			    news->lease.protocol);
	else if (news->address[0])
		strbuf_addf(&buf, "STATUS=%s: %s by %s", news->lease.interface, news->address,
			    news->lease.protocol);
	return buf.length > 0 ? notify(text) : 0;
}

/* ---- the change */

static void say(const struct lease_news *news)
{
	event_with_string("interface", news->lease.interface);
	event_with_string("protocol", news->lease.protocol);
	if (news->change == LEASE_LOST) {
		event_emit(EVENT_WARNING, "lease-lost", NULL, "%s has nothing more by %s",
			   news->lease.interface, news->lease.protocol);
		return;
	}
	event_with_string("address", news->address);
	event_emit(EVENT_INFO, "lease", NULL, "%s by %s: %s", news->lease.interface,
		   news->lease.protocol, news->address[0] ? news->address : "no address");
	if (news->n_refused > 0)
		event_emit(EVENT_WARNING, "lease-refused", NULL,
			   "%s by %s: %u of the name servers and domains are none, or too many",
			   news->lease.interface, news->lease.protocol, news->n_refused);
}

static int apply(const struct lease_news *news)
{
	struct leases leases;
	struct resolvconf conf;

	int r = leases_load(LEASES_FILE, &leases);
	if (r == 0)
		r = leases_apply(&leases, news);
	if (r == 0)
		r = leases_store(LEASES_FILE, &leases);
	if (r < 0)
		return fail(LEASES_FILE, -r);
	leases_merge(&leases, &conf);
	r = resolvconf_write(RESOLV_CONF, &conf);
	if (r < 0)
		return fail(RESOLV_CONF, -r);
	say(news);
	r = tell(news, &leases);
	return r < 0 ? fail("holdfast cannot be told", -r) : 0;
}

int main(void)
{
	const struct sandbox sandbox = {
		.uid = UINT32_MAX,
		SANDBOX_FILTER(network_filter),
	};
	struct lease_news news;

	event_init("holdfast-lease", EVENT_FOR_LOG);
	(void)sandbox_enter(&sandbox);
	if (lease_read(environ, &news) < 0) {
		event_emit(
			EVENT_ERROR, "usage", NULL,
			"holdfast-lease is run by dhcpcd (its option --script), with the reason, "
			"interface and protocol in its environment, and network_wait= as ipv4, "
			"ipv6, any or all");
		return 64;
	}
	return news.change == LEASE_NONE ? 0 : apply(&news);
}
