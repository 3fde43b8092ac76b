/*
 * holdfast-boot: a child of PID 1 that turns a machine and its files into an instance that can be
 * supervised, and is then gone. Everything that parses text, mounts, or binds happens here, once;
 * what comes of it is handed to PID 1 fd by fd (lib/proto.h), and the last packet says BOOTED, or
 * FAILED with the exit status of the instance and the reason.
 *
 * A step that fails ends the boot: there is no half-booted instance, and nothing to clean up, as
 * all that was made dies with the instance's namespaces or is replaced by the next boot.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/str.h"
#include "lib/termination.h"

#define SEND_TIMEOUT_US (5 * USEC_PER_SEC)
#define ENVIRON_MAX	8192 /* variables */

static int (*const steps[])(struct boot *boot) = {
	place_find,	     readahead_own,	 console_settle,      request_open,
	mounts_complete,     machine_identify,	 place_choose_ids,    request_load,
	modules_load,	     pstore_report,	 sysctls_set,	      watchdog_arm,
	button_open,	     network_start,	 request_complete,    readahead_units,
	beside_check,	     limits_check,	 root_prove,	      writes_report,
	scratch_mount,	     folders_make,	 directories_prepare, files_choose_directory,
	credentials_prepare, notify_open,	 listen_open,	      sockets_open,
	secrets_open,	     cgroup_prepare,	 doors_close,	      report_kernel,
	sandbox_report,	     audit_open,	 report_shells,	      report_landlock,
	execgate_open,	     root_list_writable, room_prepare,	      files_make,
};

int boot_fail(struct boot *boot, int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(boot->failure, sizeof(boot->failure), format, args);
	va_end(args);
	return status;
}

void boot_protect(struct boot *boot, const char *name, enum protection_level level,
		  const char *rung, const char *why_format, ...)
{
	va_list args;

	if (boot->n_protections == BOOT_PROTECTIONS_MAX)
		return;
	struct boot_protection_text *text = &boot->protection_texts[boot->n_protections];
	(void)str_copy(text->rung, sizeof(text->rung), rung);
	va_start(args, why_format);
	(void)vsnprintf(text->why, sizeof(text->why), why_format, args);
	va_end(args);
	boot->protections[boot->n_protections++] = (struct units_protection){
		.name = name,
		.rung = text->rung,
		.why = text->why,
		.level = level,
	};
}

/* PID 1 reads while we send, but it may be slow: the one place where boot waits, with an end. */
static int send_packet(const struct boot *boot, const struct proto_packet *packet, int fd)
{
	uint64_t deadline = clock_now_us() + SEND_TIMEOUT_US;

	for (;;) {
		int r = proto_send(boot->channel, packet, fd);
		if (r != -EAGAIN)
			return r;
		struct pollfd p = {.fd = boot->channel, .events = POLLOUT};
		if (poll(&p, 1, clock_poll_ms(deadline)) == 0)
			return -ETIMEDOUT;
	}
}

int boot_put(struct boot *boot, enum store_kind kind, uint32_t index, int fd)
{
	struct proto_packet packet = {.type = PROTO_PUT, .kind = kind, .index = index};
	int r = send_packet(boot, &packet, fd);

	if (r < 0)
		return boot_fail(boot, EX_SOFTWARE, "PID 1 does not take what boot made: %s",
				 strerror(-r));
	return 0;
}

static int send_value(const struct boot *boot, enum proto_type type, uint64_t value)
{
	struct proto_packet packet = {.type = type, .value = value};

	if (type == PROTO_FAILED)
		(void)str_copy(packet.text, sizeof(packet.text), boot->failure);
	return send_packet(boot, &packet, -EBADF);
}

/* PID 1's environment is one run of NAME=VALUE\0 in sealed memory; units wants pointers. */
static int map_environment(struct boot *boot)
{
	static const char *pointers[ENVIRON_MAX + 1];
	struct stat st;
	int fd = store_find(boot->store, STORE_ENVIRON, 0);

	boot->environment = pointers;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		return 0;
	size_t size = (size_t)st.st_size;
	const char *base = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (base == MAP_FAILED || base[size - 1] != '\0')
		return boot_fail(boot, EX_SOFTWARE,
				 "the environment that PID 1 kept cannot be read");
	size_t n = 0;
	for (const char *at = base; at < base + size; at += strlen(at) + 1) {
		if (n == ENVIRON_MAX)
			return boot_fail(boot, EX_CONFIG,
					 "the environment has more than %d variables", ENVIRON_MAX);
		if (*at)
			pointers[n++] = at;
	}
	return 0;
}

void boot_set_format(struct boot *boot, enum log_format format)
{
	_Static_assert((int)LOG_JSON == (int)EVENT_JSON && (int)LOG_PLAIN == (int)EVENT_PLAIN &&
			       (int)LOG_RAW == (int)EVENT_RAW,
		       "they have one order");
	boot->log_format = format;
	event_init("holdfast-boot", (enum event_format)format);
	(void)send_value(boot, PROTO_FORMAT, format);
}

void boot_tell_failed_boot(struct boot *boot, enum failed_boot failed_boot)
{
	(void)send_value(boot, PROTO_FAILED_BOOT, failed_boot);
}

void boot_tell_watchdog(struct boot *boot, uint32_t end_s)
{
	(void)send_value(boot, PROTO_WATCHDOG, end_s);
}

void boot_tell_units(struct boot *boot, size_t count)
{
	(void)send_value(boot, PROTO_UNITS, count);
}

static const enum event_level protection_events[PROTECTION_COUNT] = {
	[PROTECTION_FULL] = EVENT_INFO,
	[PROTECTION_REDUCED] = EVENT_NOTICE,
	[PROTECTION_NONE] = EVENT_WARNING,
};

static void say_protections(const struct boot *boot)
{
	for (size_t i = 0; i < boot->n_protections; i++) {
		const struct units_protection *p = &boot->protections[i];
		event_with_string("name", p->name);
		event_with_string("level", protection_level_names[p->level]);
		event_emit(protection_events[p->level], "protection", NULL, "%s: %s%s%s", p->name,
			   p->rung, p->why[0] ? "; " : "", p->why);
	}
}

static int run_steps(struct boot *boot)
{
	int status = map_environment(boot);

	for (size_t i = 0; i < ARRAY_COUNT(steps) && status == 0; i++)
		status = steps[i](boot);
	return status;
}

static void say_booted(const struct boot *boot)
{
	event_with_i64("ms", (int64_t)((clock_now_us() - boot->boot_us) / USEC_PER_MSEC));
	event_emit(EVENT_INFO, "booted", NULL, "boot is complete: %u units",
		   plan_unit_count(&boot->plan));
}

static int finish(struct boot *boot, int status)
{
	/* PID 1 says it in the log. */
	if (status != 0) {
		termination_write(boot->failure);
		return send_value(boot, PROTO_FAILED, (uint64_t)status) < 0 ? EX_SOFTWARE : status;
	}
	say_protections(boot);
	say_booted(boot);
	return send_value(boot, PROTO_BOOTED, boot->plan.header->stop_timeout_us) < 0 ? EX_SOFTWARE
										      : 0;
}
int main(int argc, char **argv)
{
	static struct boot boot;

	event_init("holdfast-boot", EVENT_JSON);
	/* It maps the environment that PID 1 was given, secrets of env: and all. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	boot = (struct boot){
		.argc = argc,
		.argv = argv,
		.boot_us = clock_now_us(),
		.boot_wall_us = clock_wall_us(),
	};
	int r = store_attach(ROLE_BOOT, &boot.store);
	if (r == -ESTALE) {
		event_emit(EVENT_ERROR, "other-build", NULL, "holdfast-boot: %s",
			   store_strerror(r));
		return EX_CONFIG;
	}
	if (r == 0)
		boot.channel = store_find(boot.store, STORE_CHANNEL, 0);
	if (r < 0 || boot.channel < 0) {
		event_emit(EVENT_ERROR, "usage", NULL,
			   "holdfast-boot is started by holdfast (PID 1), not by hand");
		return EX_USAGE;
	}
	if (send_value(&boot, PROTO_HELLO, PROTO_VERSION) < 0)
		return EX_SOFTWARE;
	return finish(&boot, run_steps(&boot));
}
