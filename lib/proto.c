#include "lib/proto.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/fd.h"
#include "lib/sys.h"

#define CONTROL_FDS 4 /* more than are ever sent, so that a surplus is seen and closed */

int proto_send(int channel, const struct proto_packet *packet, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)packet, .iov_len = sizeof(*packet)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	ssize_t n;
	do {
		n = sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Takes the fds of a message: the first is handed out, any further one is closed and counted. */
static int take_fds(struct msghdr *message, int *ret_fd)
{
	int count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = sys_cmsg_next(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (count++ == 0)
				*ret_fd = fd;
			else
				(void)fd_close(fd);
		}
	}
	return count;
}

int proto_receive(int channel, struct proto_packet *ret_packet, int *ret_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = ret_packet, .iov_len = sizeof(*ret_packet)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd = -EBADF;

	ssize_t n = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	int count = take_fds(&message, &fd);
	if (n == 0 && count == 0)
		return 0;
	if (n != sizeof(*ret_packet) || count > 1 ||
	    (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    ret_packet->text[PROTO_TEXT_MAX - 1] != '\0') {
		(void)fd_close(fd);
		return -EBADMSG;
	}
	*ret_fd = fd;
	return 1;
}
