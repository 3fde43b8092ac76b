#pragma once
/*
 * The clone itself, in the shape that suits: a process that is our sibling (CLONE_PARENT), whose
 * pid the kernel writes where we say before the process can run, and which we wait for until it
 * executes a program or ends (CLONE_VFORK), unless it flies.
 */
#include <stdbool.h>
#include <stdint.h>

#define CLONE_STACK_SIZE (64 * 1024)

/* Whether children can share our memory here at all; if not, all of them are copies. */
#if !defined(__SANITIZE_ADDRESS__) && (defined(__x86_64__) || defined(__aarch64__))
#define CLONE_CAN_SHARE 1
#else
#define CLONE_CAN_SHARE 0 /* no assembly; or a sanitizer that believes to know where stacks are */
#endif

struct clone_request {
	/* What the child does; it must not return. It runs with all signals blocked. */
	int (*run)(void *argument);
	void *argument;
	/* Its memory is a copy of ours, so that nothing it reads can stay behind here. */
	bool is_copy;
	bool shares_files;     /* its fds are ours until it makes them its own */
	int cgroup_fd;	       /* the cgroup to be born in; -EBADF: ours */
	bool *is_in_cgroup;    /* set before the child runs: false when it must go there itself */
	_Atomic int32_t *slot; /* where the kernel writes the pid */
	char *stack;	       /* CLONE_STACK_SIZE bytes, for one child at a time */
	/* NULL: wait. Else 1 from before the child runs until it has left our memory, when the
	 * kernel stores 0 and wakes a futex there; where that cannot be, it is waited for. */
	_Atomic int32_t *is_aloft;
};

/* 0 and *ret_pidfd owned by the caller (or -EBADF), or -errno. */
int clone_sibling(const struct clone_request *request, int *ret_pidfd);
