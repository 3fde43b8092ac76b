#include "supervisor/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/proto.h"
#include "lib/secretrequest.h"
#include "lib/str.h"
#include "lib/sys.h"
#include "supervisor/manager.h"
#include "supervisor/spawn.h"

/* A file without a name on the memory that boot found not to swap, else a memfd. */
static int make_output(const struct manager *m)
{
	int directory = m->spawner.credentials_fd;

	if (directory >= 0) {
		int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0)
			return fd;
	}
	int fd = sys_memfd_create("holdfast-secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

static void freep(char **memory)
{
	free(*memory);
}

/* The request holds references, not values: an ordinary memfd will do. */
static int make_request(const struct manager *m, uint32_t unit)
{
	CLEANUP(fd_closep) int fd = sys_memfd_create("holdfast-request", MFD_CLOEXEC);
	struct strbuf buf;

	if (fd < 0)
		return -errno;
	CLEANUP(freep) char *text = malloc(SECRETREQUEST_MAX);
	if (!text)
		return -ENOMEM;
	strbuf_init(&buf, text, SECRETREQUEST_MAX);
	int r = secretrequest_encode(&buf, &m->plan, m->store, unit);
	if (r < 0)
		return r;
	r = io_write_all(fd, buf.data, buf.length);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return fd_steal(&fd);
}

int fetch_begin(struct manager *m, uint32_t unit)
{
	static char *const argv[] = {"holdfast-secrets", NULL};
	struct proto_packet put = {.type = PROTO_PUT, .kind = STORE_SECRET, .index = unit};

	CLEANUP(fd_closep) int request = make_request(m, unit);
	if (request < 0)
		return request;
	CLEANUP(fd_closep) int output = make_output(m);
	if (output < 0)
		return output;
	int r = proto_send(m->channel, &put, output);
	if (r < 0)
		return r;
	CRASH_POINT("fetch-put");
	m->runtime[unit].pidfd[SLOT_HELPER] = fd_close(m->runtime[unit].pidfd[SLOT_HELPER]);
	r = spawn_helper(&m->spawner, unit, ROLE_SECRETS, argv, request, output,
			 &m->runtime[unit].pidfd[SLOT_HELPER]);
	if (r < 0)
		return r;
	CRASH_POINT("fetch-spawned");
	(void)fd_close(m->runtime[unit].secret_fd);
	m->runtime[unit].secret_fd = fd_steal(&output);
	return 0;
}
