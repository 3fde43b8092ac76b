#pragma once
/*
 * System calls that musl 1.2.3 does not wrap, each returning -1 with errno as a libc function
 * would. Whoever calls one that a kernel, gVisor or a seccomp profile may lack treats ENOSYS and
 * EPERM alike: container runtimes answer either for what they do not allow.
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2U
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4U
#endif
int sys_close_range(unsigned first, unsigned last, unsigned flags);
int sys_pidfd_open(pid_t pid, unsigned flags);
int sys_pidfd_send_signal(int pidfd, int signal, siginfo_t *info, unsigned flags);
int sys_memfd_create(const char *name, unsigned flags);
/* execveat(2) of an fd that was opened before; where that is missing, by way of /proc. */
int sys_exec_fd(int fd, char *const argv[], char *const envp[]);
int sys_pivot_root(const char *new_root, const char *put_old);

/* Sets of this process as masks, bit n for capability n (capabilities(7)). */
struct sys_capabilities {
	uint64_t effective, permitted, inheritable;
};
int sys_capget(struct sys_capabilities *ret_sets);
int sys_capset(const struct sys_capabilities *sets);
/* The bounding set, which limits what any exec can give. */
uint64_t sys_bounding_set(void);

/* Whether seccomp(2) is there, with filters, and nobody keeps us from it. */
bool sys_has_filters(void);

/* Inodes of the first namespaces, in /proc/PID/ns (include/linux/proc_ns.h of the kernel). */
#define SYS_FIRST_PID_NAMESPACE	   0xEFFFFFFCU
#define SYS_FIRST_CGROUP_NAMESPACE 0xEFFFFFFBU

/* ENOSYS, or the EPERM of a profile that hides the call. */
#define SYS_IS_MISSING(error) ((error) == ENOSYS || (error) == EPERM)

/* CMSG_NXTHDR (cmsg(3)): musl's macro does not pass -Wsign-conversion. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
static inline struct cmsghdr *sys_cmsg_next(struct msghdr *message, struct cmsghdr *at)
{
	return CMSG_NXTHDR(message, at);
}
#pragma GCC diagnostic pop
