/*
 * The folders that the packages' tmpfiles.d(5) ask for on memory that is new at each boot, before
 * anything is started that would count on them. None of them is a promise of holdfast's own: a
 * service that misses one says so itself, so what cannot be made is one line.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "init/boot/tree.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"

/* Where we are one user, all folders are that user's, and good as they are. */
static int own(int fd, const struct units_folder *folder)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_uid != folder->uid || st.st_gid != folder->gid) && geteuid() == 0 &&
	    fchown(fd, folder->uid, folder->gid) < 0)
		return -errno;
	return fchmod(fd, (mode_t)folder->mode) < 0 ? -errno : 0;
}

static int make(const struct units_folder *folder)
{
	int r = tree_make(folder->path, 0755);

	if (r < 0)
		return r;
	CLEANUP(fd_closep)
	int fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : own(fd, folder);
}

int folders_make(struct boot *boot)
{
	const struct units_folder *folders;
	const char *first_path = NULL;
	size_t n_failed = 0, n = units_folders(boot->units, &folders);
	int first = 0;

	/* A subreaper's /run is somebody else's. */
	if (!boot->is_pid1)
		return 0;
	for (size_t i = 0; i < n; i++) {
		int r = make(&folders[i]);
		if (r < 0 && n_failed++ == 0) {
			first = r;
			first_path = folders[i].path;
		}
	}
	if (n_failed > 0)
		event_emit(
			EVENT_NOTICE, "folders-missing", NULL,
			"%zu of the %zu folders that tmpfiles.d asks for are missing; the first is %s: %s",
			n_failed, n, first_path, strerror(-first));
	return 0;
}
