/*
 * sigecho [-c] [-q N]: says which signals it is sent. Prints "ready PID PGID SID" and then
 * "got NUMBER" for each, and ends with 0 at signal N. With -c a child of it does the same, and says
 * "below" and "below-got".
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void echo(const char *ready, const char *got, int quit)
{
	uint64_t all = ~UINT64_C(0);

	dprintf(1, "%s %d %d %d\n", ready, (int)getpid(), (int)getpgrp(), (int)getsid(0));
	for (;;) {
		int number = (int)syscall(SYS_rt_sigtimedwait, &all, NULL, NULL, sizeof(all));
		if (number <= 0 || (number == SIGCHLD && quit != SIGCHLD))
			continue;
		dprintf(1, "%s %d\n", got, number);
		if (number == quit)
			exit(0);
	}
}

int main(int argc, char **argv)
{
	uint64_t all = ~UINT64_C(0);
	int option, quit = 0, has_child = 0;

	while ((option = getopt(argc, argv, "cq:")) != -1) {
		if (option == 'c')
			has_child = 1;
		else if (option == 'q')
			quit = atoi(optarg);
		else
			return 64;
	}
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
	if (has_child && fork() == 0)
		echo("below", "below-got", quit);
	echo("ready", "got", quit);
}
