/*
 * In the handler only what signal-safety(7) allows: the line is put together by hand. Afterwards the
 * disposition is the default again and the handler returns: the fault happens once more, and even
 * the init of a PID namespace dies of it, which no kill() of its own could bring about.
 *
 * As init nobody inside can kill us by SEGV as long as there is no handler. With one, such a signal
 * would get through: what another process sent is not a crash, and is ignored.
 */
#include "init/pid1/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "init/pid1/host.h"
#include "lib/cleanup.h"

static const struct {
	int number;
	const char *name;
} faults[] = {
	{SIGSEGV, "SEGV"}, {SIGBUS, "BUS"},   {SIGILL, "ILL"}, {SIGFPE, "FPE"},
	{SIGABRT, "ABRT"}, {SIGTRAP, "TRAP"}, {SIGSYS, "SYS"},
};

/* A stack that has overflowed cannot hold the handler's frame, which is up to 11 KiB of registers. */
static _Alignas(16) unsigned char stack[32768];

static int last_words = STDERR_FILENO;

static void add(char **at, const char *text)
{
	size_t length = strlen(text);

	memcpy(*at, text, length);
	*at += length;
}

static void add_hex(char **at, uintptr_t value)
{
	for (int shift = (int)sizeof(value) * 8 - 4; shift >= 0; shift -= 4)
		*(*at)++ = "0123456789abcdef"[value >> shift & 0xf];
}

static const char *fault_name(int signal)
{
	for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
		if (faults[i].number == signal)
			return faults[i].name;
	}
	return "?";
}

/*
 * On a machine the kernel panics next, and what its log has is what pstore keeps over the restart: so
 * the line goes there as well, behind words that boot/pstore.c looks for, at the priority that no
 * console shows, as ours has it already. /dev/pmsg0 is pstore's own door, where a kernel has it.
 */
static int kept[] = {-EBADF, -EBADF};

void panic_keep_log(void)
{
	static const char *const paths[ARRAY_COUNT(kept)] = {"/dev/kmsg", "/dev/pmsg0"};

	for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
		if (kept[i] < 0)
			kept[i] = open(paths[i], O_WRONLY | O_CLOEXEC);
	}
}

static void keep(int signal, const char *line, size_t size)
{
	char record[512], *at = record;

	add(&at, "<31>holdfast: PID 1 crashed by ");
	add(&at, fault_name(signal));
	add(&at, ": ");
	memcpy(at, line, size);
	at += size;
	panic_keep_log();
	for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
		if (kept[i] >= 0)
			(void)!write(kept[i], record, (size_t)(at - record));
	}
}

static void write_line(int signal, uintptr_t address)
{
	char line[256], *at = line;

	add(&at, "{\"level\":\"error\",\"event\":\"panic\",\"by\":\"holdfast\",\"signal\":\"");
	add(&at, fault_name(signal));
	add(&at, "\",\"address\":\"0x");
	add_hex(&at, address);
	add(&at, "\",\"msg\":\"PID 1 crashed: the instance ends\"}\n");
	if (host_is_first_init())
		keep(signal, line, (size_t)(at - line));
	(void)!write(last_words, line, (size_t)(at - line));
}

static void reset(void)
{
	const struct sigaction standard = {.sa_handler = SIG_DFL};

	for (size_t i = 0; i < ARRAY_COUNT(faults); i++)
		(void)sigaction(faults[i].number, &standard, NULL);
}

static void handle(int signal, siginfo_t *info, void *context)
{
	(void)context;
	bool is_ours = info->si_code > 0 || info->si_pid == getpid();
	if (!is_ours)
		return;
	reset();
	write_line(signal, info->si_code > 0 ? (uintptr_t)info->si_addr : 0);
}

void panic_install(int fd)
{
	const stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	last_words = fd;
	(void)sigaltstack(&own, NULL);
	/* One at a time: frames upon frames of signals that others send would overflow it. */
	(void)sigfillset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_COUNT(faults); i++)
		(void)sigaction(faults[i].number, &action, NULL);
}
