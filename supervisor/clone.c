#include "supervisor/clone.h"

/*
 * Two shapes. The cheap one shares our memory (CLONE_VM) and so needs a stack of its own, which no C
 * can ask for: hence the few lines of assembly. We stand still meanwhile (CLONE_VFORK), or the child
 * flies: it keeps to what child_can_fly promises, and the kernel says when it has left our memory
 * (CLONE_CHILD_CLEARTID, which execve(2) honours as well as an end). The other shape copies our
 * memory, as fork does.
 *
 * Where clone3 is missing (Docker's default profile answers ENOSYS, as it cannot look into the
 * structure; older ones EPERM) the old clone does the same but for two things: it refuses
 * CLONE_PIDFD together with CLONE_PARENT_SETTID, since both want the same argument, and it knows no
 * cgroup. The slot is the one that must not be given up, so the pidfd is opened afterwards.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/types.h>

#include "lib/crash.h"
#include "lib/event.h"
#include "lib/signals.h"
#include "lib/sys.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#define INTO_CGROUP UINT64_C(0x200000000)

/* struct clone_args of <linux/sched.h>, which cannot be included beside <sched.h>; clone(2). */
struct clone_arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size, cgroup;
};
#define SIZE_WITHOUT_CGROUP 64

#if CLONE_CAN_SHARE
/* clone3(arguments, size) whose child calls run(argument) on the stack that the arguments name and
 * exits with what it returns. The pid or -errno. */
long clone3_on_stack(const struct clone_arguments *arguments, size_t size, int (*run)(void *),
		     void *argument);

#if defined(__x86_64__)
__asm__(".text\n"
	".globl clone3_on_stack\n"
	".type clone3_on_stack,@function\n"
	"clone3_on_stack:\n"
	"	mov %rcx, %r8\n" /* the kernel keeps all registers but rax, rcx and r11 */
	"	mov $435, %eax\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jnz 1f\n"
	"	xor %ebp, %ebp\n"
	"	mov %r8, %rdi\n"
	"	call *%rdx\n"
	"	mov %eax, %edi\n"
	"	mov $231, %eax\n"
	"	syscall\n"
	"	hlt\n"
	"1:	ret\n"
	".size clone3_on_stack, . - clone3_on_stack\n");
#else
__asm__(".text\n"
	".globl clone3_on_stack\n"
	".type clone3_on_stack,%function\n"
	"clone3_on_stack:\n"
	"	mov x8, #435\n"
	"	svc #0\n"
	"	cbz x0, 1f\n"
	"	ret\n"
	"1:	mov x29, #0\n"
	"	mov x0, x3\n"
	"	blr x2\n"
	"	mov x8, #94\n"
	"	svc #0\n"
	"	brk #1\n"
	".size clone3_on_stack, . - clone3_on_stack\n");
#endif
#endif

static long start_shared(struct clone_arguments *arguments, size_t size,
			 const struct clone_request *request)
{
#if CLONE_CAN_SHARE
	arguments->flags |= CLONE_VM;
	arguments->stack = (uint64_t)(uintptr_t)request->stack;
	arguments->stack_size = CLONE_STACK_SIZE;
	return clone3_on_stack(arguments, size, request->run, request->argument);
#else
	(void)arguments;
	(void)size;
	(void)request;
	return -ENOTSUP;
#endif
}

/* The copy has no board, where our lines wait (MADV_DONTFORK). */
static int run_copy(void *argument)
{
	const struct clone_request *request = argument;

	event_hold(NULL);
	return request->run(request->argument);
}

static long start_copy(const struct clone_arguments *arguments, size_t size,
		       const struct clone_request *request)
{
	long pid = syscall(SYS_clone3, arguments, size);

	if (pid == 0)
		_exit(run_copy((void *)(uintptr_t)request));
	return pid < 0 ? -errno : pid;
}

static long start_new(const struct clone_request *request, bool with_cgroup, int *ret_pidfd)
{
	int pidfd = -EBADF;
	struct clone_arguments arguments = {
		.flags = CLONE_PARENT | CLONE_VFORK | CLONE_PIDFD | CLONE_PARENT_SETTID,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.parent_tid = (uint64_t)(uintptr_t)request->slot,
	};
	size_t size = SIZE_WITHOUT_CGROUP;

	if (request->is_aloft) {
		arguments.flags &= ~(uint64_t)CLONE_VFORK;
		arguments.flags |= CLONE_CHILD_CLEARTID;
		arguments.child_tid = (uint64_t)(uintptr_t)request->is_aloft;
		atomic_store(request->is_aloft, 1);
	}
	if (request->shares_files)
		arguments.flags |= CLONE_FILES;
	if (with_cgroup) {
		arguments.flags |= INTO_CGROUP;
		arguments.cgroup = (uint64_t)request->cgroup_fd;
		size = sizeof(arguments);
	}
	*request->is_in_cgroup = with_cgroup;
	long pid = CLONE_CAN_SHARE && !request->is_copy ? start_shared(&arguments, size, request)
							: start_copy(&arguments, size, request);
	if (pid > 0)
		*ret_pidfd = pidfd;
	else if (request->is_aloft)
		atomic_store(request->is_aloft, 0);
	return pid;
}

/* Without a cgroup, or to enter it by itself, which takes libc's calls: that is waited for. */
static long start_outside(const struct clone_request *request, int *ret_pidfd)
{
	struct clone_request waited = *request;

	if (request->cgroup_fd >= 0)
		waited.is_aloft = NULL;
	return start_new(&waited, false, ret_pidfd);
}

/* libc's clone starts the child on the stack that it is given in both shapes. */
static long start_old(const struct clone_request *request, int *ret_pidfd)
{
	int flags = CLONE_PARENT | CLONE_VFORK | CLONE_PARENT_SETTID;

	bool is_shared = CLONE_CAN_SHARE && !request->is_copy;
	if (is_shared)
		flags |= CLONE_VM;
	if (request->shares_files)
		flags |= CLONE_FILES;
	*request->is_in_cgroup = false;
	int pid = clone(is_shared ? request->run : run_copy, request->stack + CLONE_STACK_SIZE,
			flags, is_shared ? request->argument : (void *)(uintptr_t)request,
			(int32_t *)request->slot, NULL, NULL);
	if (pid < 0)
		return -errno;
	/* It may have ended and been reaped: PID 1 does not wait for us. Then there is none. */
	int pidfd = sys_pidfd_open(pid, 0);
	*ret_pidfd = pidfd < 0 ? -EBADF : pidfd;
	return pid;
}

int clone_sibling(const struct clone_request *request, int *ret_pidfd)
{
	uint64_t before;
	int pidfd = -EBADF;
	long pid = -EINVAL;

	/* A handler must not run in a child that shares our memory. */
	signals_set_mask(~UINT64_C(0), &before);
	CRASH_POINT("spawn-clone");
	if (request->cgroup_fd >= 0)
		pid = start_new(request, true, &pidfd);
	if (pid < 0 && !SYS_IS_MISSING(-pid) && pid != -EAGAIN && pid != -ENOMEM)
		pid = start_outside(request, &pidfd);
	if (pid < 0 && SYS_IS_MISSING(-pid))
		pid = start_old(request, &pidfd);
	CRASH_POINT("spawn-cloned");
	signals_set_mask(before, NULL);
	if (pid < 0)
		return (int)pid;
	*ret_pidfd = pidfd;
	return 0;
}
