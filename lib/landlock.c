#include "lib/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/raw.h"
#include "lib/sys.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule	    445
#define SYS_landlock_restrict_self  446
#endif
#define CREATE_VERSION	  1 /* LANDLOCK_CREATE_RULESET_VERSION */
#define RULE_PATH_BENEATH 1
#define TCP_BIND_CONNECT  3 /* LANDLOCK_ACCESS_NET_…, since version 4 */

/* struct landlock_ruleset_attr and struct landlock_path_beneath_attr. */
struct attributes {
	uint64_t rights, net, scopes;
};
struct rule {
	uint64_t rights;
	int32_t fd;
} __attribute__((packed));

static int create(const struct attributes *attributes, size_t size, uint32_t flags)
{
	long r = syscall(SYS_landlock_create_ruleset, attributes, size, flags);

	if (r >= 0)
		return (int)r;
	return SYS_IS_MISSING(errno) || errno == EOPNOTSUPP ? -EOPNOTSUPP : -errno;
}

int landlock_version(void)
{
	return create(NULL, 0, CREATE_VERSION);
}

uint64_t landlock_rights(int version)
{
	static const struct {
		int version;
		uint64_t newest;
	} steps[] = {{5, LANDLOCK_IOCTL_DEV}, {3, LANDLOCK_TRUNCATE}, {2, LANDLOCK_REFER}};

	if (version < 1)
		return 0;
	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		if (version >= steps[i].version)
			return steps[i].newest | (steps[i].newest - 1);
	}
	return LANDLOCK_REFER - 1;
}

int landlock_create(int version, uint64_t rights, uint64_t scopes)
{
	struct attributes attributes = {.rights = rights & landlock_rights(version)};

	if (version >= 6)
		attributes.scopes = scopes;
	/* An older kernel takes a longer structure only if what it does not know is zero. */
	return create(&attributes, sizeof(attributes), 0);
}

int landlock_allow_fd(int ruleset, int fd, uint64_t rights)
{
	struct rule rule = {.rights = rights, .fd = fd};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		rule.rights &= LANDLOCK_OF_FILES;
	if (rule.rights == 0)
		return 0;
	return RAW4(landlock_add_rule, ruleset, RULE_PATH_BENEATH, RAW_POINTER(&rule), 0);
}

static int open_plain(const char *path)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd < 0 && SYS_IS_MISSING(errno))
		fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

int landlock_allow(int ruleset, const char *path, uint64_t rights)
{
	CLEANUP(fd_closep) int fd = open_plain(path);

	return fd < 0 ? fd : landlock_allow_fd(ruleset, fd, rights);
}

int landlock_enter(int ruleset)
{
	return RAW2(landlock_restrict_self, ruleset, 0);
}

/* Of what can be read: -ENOENT and the like are no failure. */
static int allow_reading(int ruleset, const char *path)
{
	CLEANUP(fd_closep) int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
	return landlock_allow_fd(ruleset, fd, LANDLOCK_READ_FILE | LANDLOCK_READ_DIR);
}

int landlock_read_only(const char *const *paths, size_t n)
{
	int version = landlock_version();

	if (version < 0)
		return version;
	CLEANUP(fd_closep) int ruleset = landlock_create(version, landlock_rights(version), 0);
	if (ruleset < 0)
		return ruleset;
	for (size_t i = 0; i < n; i++) {
		int r = allow_reading(ruleset, paths[i]);
		if (r < 0)
			return r;
	}
	return landlock_enter(ruleset);
}

int landlock_nothing(void)
{
	int version = landlock_version();

	if (version < 0)
		return version;
	const struct attributes all = {
		.rights = landlock_rights(version),
		.net = version >= 4 ? TCP_BIND_CONNECT : 0,
		.scopes = version >= 6 ? LANDLOCK_NO_ABSTRACT_SOCKETS | LANDLOCK_NO_SIGNALS : 0,
	};
	CLEANUP(fd_closep) int ruleset = create(&all, sizeof(all), 0);
	return ruleset < 0 ? ruleset : landlock_enter(ruleset);
}
