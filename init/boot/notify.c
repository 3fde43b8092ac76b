/*
 * The socket behind $NOTIFY_SOCKET (sd_notify(3)). A path where there is a run directory: an
 * abstract name belongs to the network namespace, which others may share.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

static int choose_address(struct boot *boot)
{
	uint64_t random;

	if (boot->run_directory[0]) {
		(void)snprintf(boot->notify_address, sizeof(boot->notify_address), "%.200s/notify",
			       boot->run_directory);
		return 0;
	}
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return -errno;
	(void)snprintf(boot->notify_address, sizeof(boot->notify_address),
		       "@holdfast-notify-%016" PRIx64, random);
	return 0;
}

static int bind_to(int fd, const char *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(text));

	if (!str_copy(address.sun_path, sizeof(address.sun_path), text))
		return -ENAMETOOLONG;
	if (text[0] == '@') {
		address.sun_path[0] = '\0';
	} else {
		size++;
		if (unlink(text) < 0 && errno != ENOENT)
			return -errno;
	}
	if (bind(fd, (struct sockaddr *)&address, size) < 0)
		return -errno;
	/* Services of any uid write to it; whom to believe is decided by their credentials. */
	return text[0] != '@' && chmod(text, 0666) < 0 ? -errno : 0;
}

int notify_open(struct boot *boot)
{
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	int r = fd < 0 ? -errno : choose_address(boot);

	if (r == 0)
		r = bind_to(fd, boot->notify_address);
	if (r == 0 && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		r = -errno;
	if (r < 0)
		return boot_fail(boot, EX_OSERR, "cannot make the notify socket %s: %s",
				 boot->notify_address, strerror(-r));
	return boot_put(boot, STORE_NOTIFY, 0, fd);
}
