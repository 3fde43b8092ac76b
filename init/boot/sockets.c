/*
 * What is listened on before anything runs: the health endpoint's addresses, and the sockets of
 * [Socket] units. They live in PID 1's store, so a connection that comes while a service restarts
 * waits in the backlog.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/boot/address.h"
#include "init/boot/boot.h"
#include "init/boot/tree.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

/* The kernel gives a connection to health only once a request (or this many seconds) came with it:
 * whoever only connects keeps nobody busy (tcp(7)). */
#define DEFER_ACCEPT_S 3
/* The kernel cuts it to net.core.somaxconn; musl's SOMAXCONN is the 128 of long ago. */
#define BACKLOG 4096

static int fail_bind(struct boot *boot, const char *who, const char *address, int error)
{
	const char *hint = error == -EADDRINUSE ? "; another program listens there"
			   : error == -EACCES	? "; a port below 1024 needs CAP_NET_BIND_SERVICE"
			   : error == -EADDRNOTAVAIL ? "; no interface here has that address"
						     : "";

	return boot_fail(boot, EX_UNAVAILABLE, "%s: cannot listen on %s: %s%s", who, address,
			 strerror(-error), hint);
}

static int open_health(struct boot *boot, const char *text)
{
	const int seconds = DEFER_ACCEPT_S;
	struct address address;

	if (address_parse(text, &address) < 0 || address.any.sa_family == AF_UNIX)
		return boot_fail(boot, EX_CONFIG,
				 "[Health] Listen=%s: expected PORT, ADDRESS:PORT or [IPV6]:PORT",
				 text);
	CLEANUP(fd_closep) int fd = address_bind(&address, SOCK_STREAM | SOCK_NONBLOCK);
	int r = fd < 0 ? fd : listen(fd, BACKLOG) < 0 ? -errno : 0;
	if (r < 0)
		return fail_bind(boot, "[Health]", text, r);
	if (boot->health_port == 0)
		boot->health_port = address_loopback_port(&address);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
	return boot_put(boot, STORE_LISTEN, boot->n_listen++, fd);
}

int listen_open(struct boot *boot)
{
	const char *const *listen_on = units_conf(boot->units)->listen;
	int status = 0;

	for (; listen_on && *listen_on && status == 0; listen_on++)
		status = open_health(boot, *listen_on);
	return status;
}

static int set_owner(const struct plan_socket *socket, const struct address *address)
{
	const char *path = address->un.sun_path;
	uid_t uid = socket->uid == PLAN_NO_ID ? (uid_t)-1 : socket->uid;
	gid_t gid = socket->gid == PLAN_NO_ID ? (gid_t)-1 : socket->gid;

	if (address->any.sa_family != AF_UNIX || path[0] == '\0')
		return 0;
	if (chmod(path, socket->mode) < 0)
		return -errno;
	if (uid == (uid_t)-1 && gid == (gid_t)-1)
		return 0;
	return chown(path, uid, gid) < 0 ? -errno : 0;
}

static int open_socket(struct boot *boot, uint32_t index)
{
	const struct plan_socket *wanted = plan_socket(&boot->plan, index);
	const char *unit = plan_unit_name(&boot->plan, wanted->unit);
	const char *text = plan_string(&boot->plan, wanted->address);
	struct address address;

	if (plan_unit(&boot->plan, wanted->unit)->flags & UNIT_IS_SKIPPED)
		return 0;
	if (address_parse(text, &address) < 0)
		return boot_fail(boot, EX_CONFIG, "%s: %s is no address to listen on", unit, text);
	/* The directories above a path, as systemd.socket(5) has it; a failure shows when binding.
	 */
	if (text[0] == '/')
		(void)tree_make_parent(text);
	CLEANUP(fd_closep) int fd = address_bind(&address, (int)wanted->type);
	int r = fd < 0 ? fd : set_owner(wanted, &address);
	if (r == 0 && wanted->type != SOCK_DGRAM && listen(fd, BACKLOG) < 0)
		r = -errno;
	return r < 0 ? fail_bind(boot, unit, text, r) : boot_put(boot, STORE_SOCKET, index, fd);
}

int sockets_open(struct boot *boot)
{
	int status = 0;

	for (uint32_t i = 0; i < plan_section_count(&boot->plan, PLAN_SOCKETS) && status == 0; i++)
		status = open_socket(boot, i);
	return status;
}
