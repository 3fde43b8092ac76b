#include "lib/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/landlock.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

/* All rights of the first version, which is what each later one has too. */
#define RIGHTS_FIRST ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

/* struct landlock_ruleset_attr with what came after the first version (landlock(7)). The kernel takes
 * a longer one than it knows if the rest is 0. */
struct attributes {
	uint64_t files, network, scoped;
};

/* By version: how many rights there are of each kind. */
static const struct {
	int files, network, scoped;
} known[] = {
	{0, 0, 0},  {13, 0, 0}, {14, 0, 0}, /* REFER */
	{15, 0, 0},			    /* TRUNCATE */
	{15, 2, 0},			    /* BIND_TCP, CONNECT_TCP */
	{16, 2, 0},			    /* IOCTL_DEV */
	{16, 2, 2},			    /* ABSTRACT_UNIX_SOCKET, SIGNAL */
};

static int create(const void *attributes, size_t size, uint32_t flags)
{
	long r = syscall(SYS_landlock_create_ruleset, attributes, size, flags);

	if (r >= 0)
		return (int)r;
	return errno == ENOSYS || errno == EOPNOTSUPP ? -EOPNOTSUPP : -errno;
}

static int allow(int ruleset, const char *path)
{
	CLEANUP(fd_closep) int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
	struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
		.parent_fd = fd,
	};
	if (S_ISDIR(st.st_mode))
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
		       ? -errno
		       : 0;
}

int landlock_read_only(const char *const *paths, size_t n)
{
	int version = create(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (version < 0)
		return version;
	/* The second version has one right more (REFER), the third TRUNCATE: the next bits. */
	struct landlock_ruleset_attr attributes = {.handled_access_fs = RIGHTS_FIRST};
	for (int i = 2; i <= version && i <= 3; i++)
		attributes.handled_access_fs = attributes.handled_access_fs << 1 | 1;
	CLEANUP(fd_closep)
	int ruleset = create(&attributes, sizeof(attributes.handled_access_fs), 0);
	if (ruleset < 0)
		return ruleset;
	for (size_t i = 0; i < n; i++) {
		int r = allow(ruleset, paths[i]);
		if (r < 0)
			return r;
	}
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}

static uint64_t first_bits(int n)
{
	return (UINT64_C(1) << n) - 1;
}

int landlock_nothing(void)
{
	int version = create(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (version < 0)
		return version;
	version = MIN(version, (int)ARRAY_COUNT(known) - 1);
	const struct attributes all = {
		.files = first_bits(known[version].files),
		.network = first_bits(known[version].network),
		.scoped = first_bits(known[version].scoped),
	};
	CLEANUP(fd_closep) int ruleset = create(&all, sizeof(all), 0);
	if (ruleset < 0)
		return ruleset;
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
