/*
 * What the system call filters of services refuse is told to the service, by an error, and to the
 * kernel's audit, which writes a record for each where the filter asks for it. Records go to whoever
 * listens on a multicast group (audit(7) is about their reader of old, which there is one of, and this
 * is not), whether auditing is on or not, and to the kernel's log, which drops all but a few.
 *
 * The records name processes as the first PID namespace does, so it is on a host alone that somebody can
 * tell whose they are. The socket lets one kind of record through, locked; holdfast-gate reads it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

#define NAME	     "refusals"
#define BUFFER_BYTES (1 << 20) /* some thousand records */

/* Numbers of netlink's head are the machine's own, and filters load them as the network's. */
static int let_refusals_through(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)htons(AUDIT_SECCOMP), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {ARRAY_COUNT(code), code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &(int){1}, sizeof(int)) < 0)
		return -errno;
	return 0;
}

static int listen_to_audit(int fd)
{
	const struct sockaddr_nl group = {
		.nl_family = AF_NETLINK,
		.nl_groups = 1U << (AUDIT_NLGRP_READLOG - 1),
	};
	int r = let_refusals_through(fd);

	if (r < 0)
		return r;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){BUFFER_BYTES}, sizeof(int));
	return bind(fd, (const struct sockaddr *)&group, sizeof(group)) < 0 ? -errno : 0;
}

int audit_open(struct boot *boot)
{
	if (!boot->is_host) {
		boot_protect(boot, NAME, PROTECTION_REDUCED, "told to the service alone",
			     "the kernel tells of refused system calls and files in the machine's "
			     "own terms, which a container cannot read");
		return 0;
	}
	CLEANUP(fd_closep)
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_AUDIT);
	int r = fd < 0 ? -errno : listen_to_audit(fd);
	if (r < 0) {
		boot_protect(boot, NAME, PROTECTION_REDUCED, "told to the service alone",
			     "the kernel's audit cannot be listened to: %s", strerror(-r));
		return 0;
	}
	boot_protect(boot, NAME, PROTECTION_REDUCED, "refused system calls are events",
		     "what Landlock refuses is told to the service alone");
	return boot_put(boot, STORE_AUDIT, 0, fd);
}
