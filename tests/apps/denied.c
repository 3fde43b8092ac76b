/*
 * A service that tries what its sandbox denies, and prints one line: the errno of each call (0: it
 * was let through and succeeded), and what the kernel says of the process. The arguments are such
 * that a call which is let through does nothing. With arguments: their names alone.
 *
 *   denied [NAME...]
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define NEW_USER 0x10000000L
#define NEW_TIME 0x80L
#define BAD	 (-1L) /* no fd, no pointer */

static char nothing[] = "nothing"; /* to be done: the argument of one that was executed */

static int call(const long *a)
{
	return syscall(a[0], a[1], a[2], a[3], a[4], a[5]) < 0 ? errno : 0;
}

/* In a child, for what changes the process. */
static int call_apart(const long *a)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(call(a));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 255;
	return WEXITSTATUS(status);
}

static int call_clone(const long *a)
{
	int status;
	long pid = syscall(SYS_clone, a[1] | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : waitpid((pid_t)pid, &status, 0) == pid ? 0 : 255;
}

static void *run_thread(void *argument)
{
	return argument;
}

static int make_thread(const long *a)
{
	pthread_t thread;

	(void)a;
	int error = pthread_create(&thread, NULL, run_thread, NULL);
	return error ? error : pthread_join(thread, NULL);
}

static int execute_fd(const long *a)
{
	static char name[] = "denied";
	static char *const argv[] = {name, nothing, NULL}, *const envp[] = {NULL};
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const long words[] = {SYS_execveat,	    fd,
			      (long)(intptr_t) "",  (long)(intptr_t)argv,
			      (long)(intptr_t)envp, AT_EMPTY_PATH};

	(void)a;
	if (fd < 0)
		return errno;
	int error = call_apart(words);
	(void)close(fd);
	return error;
}

/* getpid as a program of 32 bits makes it. */
static int call_by_gate(const long *a)
{
	(void)a;
#if defined(__x86_64__)
	long result = 20;
	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
	return result < 0 ? (int)-result : 0;
#else
	return ENOSYS;
#endif
}

static const struct attempt {
	const char *name;
	int (*make)(const long *a);
	long arguments[6];
} attempts[] = {
	{"tiocsti", call, {SYS_ioctl, 0, 0x100005412, BAD}},
	{"tiocsti-plain", call, {SYS_ioctl, 0, 0x5412, BAD}},
	{"tiocsctty", call, {SYS_ioctl, 0, 0x540e, 0}},
	{"tioclinux", call, {SYS_ioctl, 0, 0x541c, BAD}},
	{"tiocgwinsz", call, {SYS_ioctl, 0, 0x5413, BAD}},
	{"setsid", call_apart, {SYS_setsid}},
	{"ptrace", call_apart, {SYS_ptrace}}, /* PTRACE_TRACEME */
	{"process_vm_readv", call, {SYS_process_vm_readv, BAD}},
	{"pidfd_getfd", call, {438, BAD, BAD, 0}},
	{"kcmp", call, {SYS_kcmp, BAD, BAD, 255}},
	{"prlimit-others", call, {SYS_prlimit64, 1, 255, BAD, 0}},
	{"prlimit-own", call, {SYS_prlimit64, 0, 255, 0, 0}},
	{"unshare-user", call_apart, {SYS_unshare, NEW_USER}},
	{"unshare-time", call_apart, {SYS_unshare, NEW_TIME}},
	{"unshare-fs", call_apart, {SYS_unshare, CLONE_FS}},
	{"clone-user", call_clone, {0, NEW_USER}},
	{"clone", call_clone, {0, 0}},
	{"thread", make_thread, {0}},
	{"clone3", call, {435, 0, 0}},
	{"setns", call, {SYS_setns, BAD, 0}},
	{"mount", call, {SYS_mount, BAD, BAD, BAD, 0, 0}},
	{"umount2", call, {SYS_umount2, BAD, 0}},
	{"pivot_root", call, {SYS_pivot_root, BAD, BAD}},
	{"fsopen", call, {430, BAD, 0}},
	{"open_tree", call, {428, BAD, BAD, 0}},
	{"move_mount", call, {429, BAD, BAD, BAD, BAD, 0}},
	{"bpf", call, {SYS_bpf, BAD, BAD, BAD}},
	{"perf_event_open", call, {SYS_perf_event_open, BAD, 0, 0, 0, 0}},
	{"keyctl", call, {SYS_keyctl, BAD}},
	{"add_key", call, {SYS_add_key, BAD, BAD, BAD, 0, 0}},
	{"userfaultfd", call, {SYS_userfaultfd, BAD}},
	{"memfd_create", call, {SYS_memfd_create, (long)(intptr_t) "x", 0}},
	{"memfd_create-noexec", call, {SYS_memfd_create, (long)(intptr_t) "x", 8}},
	{"memfd_secret", call, {447, BAD}},
	{"execveat-fd", execute_fd, {0}},
	{"execveat-path", call, {SYS_execveat, BAD, (long)(intptr_t) "/none/at/all", 0, 0, 0}},
	{"io_uring_setup", call, {425, 0, BAD}},
	{"clock_settime", call, {SYS_clock_settime, 0, BAD}},
	{"init_module", call, {SYS_init_module, BAD, 0, BAD}},
	{"delete_module", call, {SYS_delete_module, BAD, 0}},
	{"reboot", call, {SYS_reboot, 0, 0, 0, 0}},
	{"kexec_load", call, {SYS_kexec_load, 0, 0, 0, BAD}},
	{"swapon", call, {SYS_swapon, BAD, 0}},
	{"acct", call, {SYS_acct, BAD}},
	{"syslog", call, {SYS_syslog, BAD, 0, 0}},
	{"sethostname", call, {SYS_sethostname, BAD, BAD}},
	{"open_by_handle_at", call, {SYS_open_by_handle_at, BAD, BAD, 0}},
	{"personality", call_apart, {SYS_personality, 0x400000}},
	{"personality-wide", call_apart, {SYS_personality, 0x100400000}},
	{"personality-asked", call, {SYS_personality, 0xffffffff}},
	{"int80", call_by_gate, {0}},
#if defined(__x86_64__)
	{"iopl", call, {SYS_iopl, 9}},
	{"x32", call, {0x40000000 | SYS_getpid}},
#endif
};

static void print_status(void)
{
	static const char *const keys[] = {"Seccomp", "Seccomp_filters", "NoNewPrivs",
					   "CapBnd",  "CapPrm",		 "CapEff"};
	char line[256];
	FILE *status = fopen("/proc/self/status", "re");

	while (status && fgets(line, sizeof(line), status)) {
		for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
			size_t length = strlen(keys[i]);
			if (strncmp(line, keys[i], length) != 0 || line[length] != ':')
				continue;
			line[strcspn(line, "\n")] = '\0';
			printf(",\"%s\":\"%s\"", keys[i],
			       line + length + 1 + strspn(line + length + 1, " \t"));
		}
	}
	if (status)
		(void)fclose(status);
}

static bool is_asked_for(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], name) == 0)
			return true;
	}
	return argc < 2;
}

int main(int argc, char **argv)
{
	const char *before = "";

	if (argc == 2 && strcmp(argv[1], nothing) == 0)
		return 0;
	printf("{\"calls\":{");
	for (size_t i = 0; i < ARRAY_COUNT(attempts); i++) {
		if (!is_asked_for(attempts[i].name, argc, argv))
			continue;
		/* What is printed is not to be printed once more by children. */
		(void)fflush(stdout);
		printf("%s\"%s\":%d", before, attempts[i].name,
		       attempts[i].make(attempts[i].arguments));
		before = ",";
	}
	printf("}");
	print_status();
	printf("}\n");
	return fflush(stdout) == 0 ? 0 : 1;
}
