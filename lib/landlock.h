#pragma once
/*
 * Landlock: from here on this process does with files what rules allow at or below some paths, and
 * nothing else of what the rule set handles. It needs Linux 5.13 and is not in every kernel; what
 * each version brought is asked for by number, since the build's headers may be older than the
 * kernel that runs. landlock(7); Documentation/userspace-api/landlock.rst of the kernel.
 *
 * Two facts decide how rules are made. A rule holds for a file when the file's own way up to the
 * root, through mounts, passes the rule's: so what is mounted on a path hides a rule that was made
 * for what lay there before. And rules only add: what lies below an allowed path cannot be taken
 * away again, only its siblings named one by one.
 */
#include <stddef.h>
#include <stdint.h>

/* Rights, as <linux/landlock.h> numbers them; in brackets the version that brought one. */
#define LANDLOCK_EXECUTE     (UINT64_C(1) << 0)
#define LANDLOCK_WRITE_FILE  (UINT64_C(1) << 1)
#define LANDLOCK_READ_FILE   (UINT64_C(1) << 2)
#define LANDLOCK_READ_DIR    (UINT64_C(1) << 3)
#define LANDLOCK_REMOVE_DIR  (UINT64_C(1) << 4)
#define LANDLOCK_REMOVE_FILE (UINT64_C(1) << 5)
#define LANDLOCK_MAKE_CHAR   (UINT64_C(1) << 6)
#define LANDLOCK_MAKE_DIR    (UINT64_C(1) << 7)
#define LANDLOCK_MAKE_REG    (UINT64_C(1) << 8)
#define LANDLOCK_MAKE_SOCK   (UINT64_C(1) << 9)
#define LANDLOCK_MAKE_FIFO   (UINT64_C(1) << 10)
#define LANDLOCK_MAKE_BLOCK  (UINT64_C(1) << 11)
#define LANDLOCK_MAKE_SYM    (UINT64_C(1) << 12)
#define LANDLOCK_REFER	     (UINT64_C(1) << 13) /* [2] link and rename between directories */
#define LANDLOCK_TRUNCATE    (UINT64_C(1) << 14) /* [3] */
#define LANDLOCK_IOCTL_DEV   (UINT64_C(1) << 15) /* [5] of a device */
/* What a rule for a file, not a directory, may have. */
#define LANDLOCK_OF_FILES                                                                  \
	(LANDLOCK_EXECUTE | LANDLOCK_WRITE_FILE | LANDLOCK_READ_FILE | LANDLOCK_TRUNCATE | \
	 LANDLOCK_IOCTL_DEV)

/* Scopes [6]: who is outside of the process's own domain cannot be reached. */
#define LANDLOCK_NO_ABSTRACT_SOCKETS (UINT64_C(1) << 0)
#define LANDLOCK_NO_SIGNALS	     (UINT64_C(1) << 1)

/* 1 and more, -EOPNOTSUPP where the kernel has none of it, or -errno. */
int landlock_version(void);

/* The rights that a kernel of that version knows. */
uint64_t landlock_rights(int version);

/*
 * An fd of a new rule set that denies the rights (those that the version has) and what the scopes
 * say (from version 6 on; before, none). -ENOMSG when nothing is left to deny, or -errno.
 */
int landlock_create(int version, uint64_t rights, uint64_t scopes);

/*
 * Allows rights, of which the rule set must handle at least one of those that fit, at and below
 * what fd is open on (O_PATH will do); of a file those that files have. Or at path, which must have
 * no symbolic link in it: who may write on the way cannot lead us elsewhere. 0, or -errno: -ENOENT,
 * -ELOOP.
 */
int landlock_allow_fd(int ruleset, int fd, uint64_t rights);
int landlock_allow(int ruleset, const char *path, uint64_t rights);

/* Enters it for good, with all children. Needs no_new_privs or CAP_SYS_ADMIN. Leaves errno alone.
 * 0 or -errno. */
int landlock_enter(int ruleset);

/* All at once: reads at and below paths, and opens nothing else. Paths that do not exist are left
 * out; a symbolic link stands for what it leads to. 0, -EOPNOTSUPP where the kernel has none of it,
 * or -errno. */
int landlock_read_only(const char *const *paths, size_t n);

/* Opens nothing, makes nothing, executes nothing, whatever the path. Where the kernel can (6.7,
 * 6.12): makes and takes no TCP connection of its own, and neither signals who is outside nor
 * speaks to their abstract sockets. What is open already stays as it is. Needs and returns what
 * landlock_read_only does. */
int landlock_nothing(void);
