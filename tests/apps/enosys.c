/*
 * enosys [-e] [CALL...] -- PROGRAM [ARGUMENT...]: runs PROGRAM where the named system calls answer
 * ENOSYS (with -e: EPERM), as an old kernel, gVisor or a container runtime's profile would. Without
 * names: all that are newer than what holdfast can rely on. A CALL may be a number.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "lib/cleanup.h"

#define CALLS_MAX   64
#define EXIT_BROKEN 125

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "no audit architecture is named for this machine"
#endif

/* By number: musl's headers are older than some. From 424 on they are the same everywhere. */
static const struct call {
	const char *name;
	uint32_t number;
	int is_default;
} calls[] = {
	{"pidfd_send_signal", 424, 1}, {"open_tree", 428, 0},
	{"move_mount", 429, 0},	       {"fsopen", 430, 0},
	{"fsconfig", 431, 0},	       {"fsmount", 432, 0},
	{"pidfd_open", 434, 1},	       {"clone3", 435, 1},
	{"close_range", 436, 1},       {"openat2", 437, 1},
	{"pidfd_getfd", 438, 1},       {"faccessat2", 439, 0},
	{"mount_setattr", 442, 0},     {"landlock_create_ruleset", 444, 1},
	{"landlock_add_rule", 445, 1}, {"landlock_restrict_self", 446, 1},
	{"memfd_secret", 447, 1},      {"memfd_create", SYS_memfd_create, 0},
	{"execveat", SYS_execveat, 0}, {"fanotify_init", SYS_fanotify_init, 0},
	{"statx", SYS_statx, 0},       {"seccomp", SYS_seccomp, 0},
	{"splice", SYS_splice, 0},     {"prctl", SYS_prctl, 0},
	{"kill", SYS_kill, 0},	       {"setpgid", SYS_setpgid, 0},
	{"setsid", SYS_setsid, 0},     {"mount", SYS_mount, 0},
	{"bpf", SYS_bpf, 0},	       {"pivot_root", SYS_pivot_root, 0},
	{"unshare", SYS_unshare, 0},
};

static struct sock_filter filter[2 * CALLS_MAX + 8];
static unsigned short n_filter;

static void emit(uint16_t code, uint32_t k, uint8_t jump_true, uint8_t jump_false)
{
	filter[n_filter++] = (struct sock_filter){code, jump_true, jump_false, k};
}

static void deny(uint32_t number, uint32_t error)
{
	if (n_filter + 3U > ARRAY_COUNT(filter)) {
		(void)fprintf(stderr, "enosys: more than %d calls\n", CALLS_MAX);
		exit(EXIT_BROKEN);
	}
	emit(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
	emit(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error, 0, 0);
}

static void deny_named(const char *name, uint32_t error)
{
	char *end;
	unsigned long number = strtoul(name, &end, 10);

	if (*name && !*end) {
		deny((uint32_t)number, error);
		return;
	}
	for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
		if (strcmp(calls[i].name, name) == 0) {
			deny(calls[i].number, error);
			return;
		}
	}
	(void)fprintf(stderr, "enosys: %s: not in the table; give its number\n", name);
	exit(EXIT_BROKEN);
}

static void deny_default(uint32_t error)
{
	for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
		if (calls[i].is_default)
			deny(calls[i].number, error);
	}
}

/* no_new_privs only where there is no CAP_SYS_ADMIN: it would change what is tested. */
static int install(void)
{
	struct sock_fprog program = {.len = n_filter, .filter = filter};

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
		return 0;
	if (errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
	uint32_t error = ENOSYS;
	int at = 1;

	emit(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
	emit(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	emit(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
	if (at < argc && strcmp(argv[at], "-e") == 0) {
		error = EPERM;
		at++;
	}
	if (at < argc && strcmp(argv[at], "--") == 0)
		deny_default(error);
	for (; at < argc && strcmp(argv[at], "--") != 0; at++)
		deny_named(argv[at], error);
	emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	if (at + 1 >= argc) {
		(void)fprintf(stderr, "usage: enosys [-e] [CALL...] -- PROGRAM [ARGUMENT...]\n");
		return EXIT_BROKEN;
	}
	if (install() < 0) {
		perror("enosys: seccomp");
		return EXIT_BROKEN;
	}
	execvp(argv[at + 1], argv + at + 1);
	perror("enosys: exec");
	return EXIT_BROKEN;
}
