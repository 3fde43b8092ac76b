#pragma once
/*
 * One kernel parameter: written, and read back. What the kernel took is what counts, not that the
 * write was accepted (Documentation/admin-guide/sysctl).
 */

/*
 * path is below dirfd, an open /proc/sys. Numbers of a list may be parted by any white space. 0 once
 * it reads as value (it is not written when it does so before); -ENOENT where this kernel has no such
 * parameter, -EINVAL when it reads as something else afterwards, or -errno.
 */
int sysctl_set(int dirfd, const char *path, const char *value);
/* Why sysctl_set() failed, for people. */
const char *sysctl_explain(int error);
