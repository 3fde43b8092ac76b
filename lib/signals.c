#include "lib/signals.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/str.h"

/* The first name of a number is the one that is shown. */
static const struct name {
	char text[8];
	int number;
} names[] = {
	{"HUP", SIGHUP},       {"INT", SIGINT},		 {"QUIT", SIGQUIT},
	{"ILL", SIGILL},       {"TRAP", SIGTRAP},	 {"ABRT", SIGABRT},
	{"IOT", SIGABRT},      {"BUS", SIGBUS},		 {"FPE", SIGFPE},
	{"KILL", SIGKILL},     {"USR1", SIGUSR1},	 {"SEGV", SIGSEGV},
	{"USR2", SIGUSR2},     {"PIPE", SIGPIPE},	 {"ALRM", SIGALRM},
	{"TERM", SIGTERM},     {"STKFLT", SIGSTKFLT},	 {"CHLD", SIGCHLD},
	{"CLD", SIGCHLD},      {"CONT", SIGCONT},	 {"STOP", SIGSTOP},
	{"TSTP", SIGTSTP},     {"TTIN", SIGTTIN},	 {"TTOU", SIGTTOU},
	{"URG", SIGURG},       {"XCPU", SIGXCPU},	 {"XFSZ", SIGXFSZ},
	{"VTALRM", SIGVTALRM}, {"PROF", SIGPROF},	 {"WINCH", SIGWINCH},
	{"IO", SIGIO},	       {"POLL", SIGIO},		 {"PWR", SIGPWR},
	{"SYS", SIGSYS},       {"RTMIN", SIGNALS_RTMIN}, {"RTMAX", SIGNALS_RTMAX},
};

static int parse_number(const char *text)
{
	uint64_t number;

	if (str_parse_u64(text, SIGNALS_MAX, &number) < 0 || number == 0)
		return -EINVAL;
	return (int)number;
}

/* What follows RTMIN or RTMAX: +n, -n. */
static int parse_offset(const char *text, int base, char sign)
{
	uint64_t offset;

	if (text[0] != sign || str_parse_u64(text + 1, SIGNALS_RTMAX - SIGNALS_RTMIN, &offset) < 0)
		return -EINVAL;
	return sign == '+' ? base + (int)offset : base - (int)offset;
}

/* strncmp or strncasecmp */
typedef int compare_fn(const char *a, const char *b, size_t length);

static int parse(const char *text, compare_fn *compare)
{
	if (text[0] >= '0' && text[0] <= '9')
		return parse_number(text);
	if (compare(text, "SIG", 3) == 0)
		text += 3;
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (compare(text, names[i].text, sizeof(names[i].text)) == 0)
			return names[i].number;
	}
	if (compare(text, "RTMIN", 5) == 0)
		return parse_offset(text + 5, SIGNALS_RTMIN, '+');
	if (compare(text, "RTMAX", 5) == 0)
		return parse_offset(text + 5, SIGNALS_RTMAX, '-');
	return -EINVAL;
}

int signals_parse(const char *text)
{
	return parse(text, strncasecmp);
}

int signals_parse_exact(const char *text)
{
	return parse(text, strncmp);
}

void signals_name(int number, char ret_name[SIGNALS_NAME_SIZE])
{
	struct strbuf buf;

	strbuf_init(&buf, ret_name, SIGNALS_NAME_SIZE);
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (names[i].number == number) {
			strbuf_adds(&buf, names[i].text);
			return;
		}
	}
	if (number > SIGNALS_RTMIN && number < SIGNALS_RTMAX)
		strbuf_addf(&buf, "RTMIN+%d", number - SIGNALS_RTMIN);
	else
		strbuf_addf(&buf, "%d", number);
}

bool signals_is_forwarded(int number)
{
	uint64_t never =
		SIGNALS_FAULTS | SIGNALS_BIT(SIGKILL) | SIGNALS_BIT(SIGSTOP) | SIGNALS_BIT(SIGCHLD);

	return number >= 1 && number <= SIGNALS_MAX && !(never & SIGNALS_BIT(number));
}

void signals_set_mask(uint64_t mask, uint64_t *ret_old)
{
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, ret_old, sizeof(mask));
}

void signals_ignore(int number, bool is_ignored)
{
	/* The layout of the kernel's struct sigaction differs by machine, but the handler stands
	 * first and zeros are what SIG_DFL and SIG_IGN need behind it. */
	const unsigned long action[8] = {is_ignored ? (unsigned long)SIG_IGN : 0};

	(void)syscall(SYS_rt_sigaction, number, action, NULL, sizeof(uint64_t));
}

int signals_wait(uint64_t mask, uint64_t timeout_us)
{
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_us / USEC_PER_SEC),
		.tv_nsec = (long)(timeout_us % USEC_PER_SEC) * 1000,
	};
	const struct timespec *limit = timeout_us == USEC_INFINITY ? NULL : &timeout;
	long number = syscall(SYS_rt_sigtimedwait, &mask, NULL, limit, sizeof(mask));

	return number < 0 ? -errno : (int)number;
}

int signals_ask_at_parents_death(int number)
{
	if (number == 0)
		return 0;
	pid_t parent = getppid();
	if (prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) < 0)
		return -errno;
	if (getppid() != parent)
		(void)kill(getpid(), number);
	return 0;
}
