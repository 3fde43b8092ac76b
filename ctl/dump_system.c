/*
 * The dump's view of the machine: mounts, processes, cgroups, scratch, pressure, kernel log.
 *
 * Everything here is text of the kernel's that holds text of others: a path, a process's name, an
 * option of a mount. It is taken field by field, escaped, and shown only where it is on a list of
 * what may be; what it does not understand it leaves out, since a dump of half a machine is worth
 * more than none. Nothing is kept between two lines, and every list has an end (…_MAX): a machine
 * that is sick has the most mounts and processes.
 *
 * What is looked at is what this caller may see: another user's processes tell less, a unit's own
 * scratch is seen through the root of its main process, and a kernel log that may not be read is
 * left out.
 */
#include "ctl/dump.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ctl/output.h"
#include "ctl/process.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/json.h"
#include "lib/room.h"
#include "lib/str.h"

#define MOUNTS_MAX	4096
#define PROCESSES_MAX	4096
#define KERNEL_LINES	64
#define KERNEL_LINE_MAX 1024

/* ---- mounts */

/* Options of a file system that say how large or how safe it is; others may name hosts and users.
 */
static bool is_shown_option(const char *option, size_t length)
{
	static const char *const shown[] = {
		"ro",	  "rw",	   "size",   "nr_inodes", "mode",     "noswap",
		"nosuid", "nodev", "noexec", "huge",	  "relatime", "noatime",
	};

	for (size_t i = 0; i < ARRAY_COUNT(shown); i++) {
		size_t n = strlen(shown[i]);
		if (n <= length && memcmp(option, shown[i], n) == 0 &&
		    (n == length || option[n] == '='))
			return true;
	}
	return false;
}

static void add_options(struct strbuf *line, const char *key, const char *text, size_t length)
{
	json_key(line, key);
	json_array_begin(line);
	while (length > 0) {
		size_t n = strcspn(text, ", \n");
		n = MIN(n, length);
		if (is_shown_option(text, n)) {
			json_comma(line);
			json_bytes(line, text, n);
		}
		text += MIN(n + 1, length);
		length -= MIN(n + 1, length);
	}
	json_array_end(line);
}

/* mountinfo's fields stand between single spaces (proc(5)); the optional ones end with "-". */
static const char *field(const char *text, int number, size_t *ret_length)
{
	for (; number > 0; number--) {
		text += strcspn(text, " \n");
		text += *text == ' ';
	}
	*ret_length = strcspn(text, " \n");
	return text;
}

static void dump_mount(const char *text)
{
	const char *dash = strstr(text, " - ");
	size_t length;

	if (!dash)
		return;
	struct strbuf *line = dump_begin("mount");
	const char *path = field(text, 4, &length);
	json_key(line, "path");
	json_bytes(line, path, length);
	const char *kind = field(dash + 3, 0, &length);
	json_key(line, "fstype");
	json_bytes(line, kind, length);
	const char *options = field(text, 5, &length);
	add_options(line, "flags", options, length);
	options = field(dash + 3, 2, &length);
	add_options(line, "options", options, length);
	dump_end(line);
}

/* Those that the services see: who was executed in PID 1's room has others itself. */
static FILE *open_mountinfo(const struct instance *instance)
{
	int32_t supervisor = atomic_load(&instance->board.header->supervisor_pid);
	FILE *file = NULL;
	char path[48];

	(void)snprintf(path, sizeof(path), "/proc/%" PRId32 "/mountinfo", supervisor);
	if (supervisor > 0)
		file = fopen(path, "re");
	return file ? file : fopen("/proc/self/mountinfo", "re");
}

void dump_mounts(const struct instance *instance)
{
	char text[8192];
	FILE *file = open_mountinfo(instance);

	if (!file)
		return;
	for (int i = 0; i < MOUNTS_MAX && fgets(text, sizeof(text), file); i++)
		dump_mount(text);
	(void)fclose(file);
}

/* ---- processes */

static void dump_process(const struct instance *instance, int32_t pid)
{
	struct process process;
	uint32_t unit, slot;

	if (process_read(pid, &process) < 0 || process.stat.is_kernel)
		return;
	char state[2] = {process.stat.state, '\0'};
	struct strbuf *line = dump_begin("process");
	json_add_i64(line, "pid", process.stat.pid);
	json_add_i64(line, "ppid", process.stat.parent);
	json_add_string(line, "name", process.stat.name);
	json_add_string(line, "state", state);
	json_add_u64(line, "uid", process.uid);
	json_add_u64(line, "threads", process.stat.threads);
	json_add_u64(line, "rss_bytes", process.resident);
	json_add_u64(line, "cpu_us", process.cpu_us);
	if (board_find_pid(&instance->board, pid, &unit, &slot))
		json_add_string(line, "unit", plan_unit_name(&instance->plan, unit));
	dump_end(line);
}

void dump_processes(const struct instance *instance)
{
	DIR *dir = opendir("/proc");
	int count = 0;

	if (!dir)
		return;
	for (struct dirent *e = readdir(dir); e && count < PROCESSES_MAX; e = readdir(dir)) {
		uint64_t pid;
		if (str_parse_u64(e->d_name, INT32_MAX, &pid) < 0)
			continue;
		dump_process(instance, (int32_t)pid);
		count++;
	}
	(void)closedir(dir);
}

/* ---- cgroups */

/* The file's lines "name number", as members. */
static void add_counters(struct strbuf *line, const char *path, const char *file)
{
	char name[1200], text[4096], *rest, *key, *value;

	(void)snprintf(name, sizeof(name), "%s/%s", path, file);
	if (io_read_file(AT_FDCWD, name, text, sizeof(text)) < 0)
		return;
	json_key(line, file);
	json_object_begin(line);
	for (char *at = strtok_r(text, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest)) {
		uint64_t number;
		key = strtok_r(at, " ", &value);
		if (key && value && str_parse_u64(value, UINT64_MAX, &number) == 0)
			json_add_u64(line, key, number);
	}
	json_object_end(line);
}

static void dump_cgroup(const char *path, const char *of)
{
	static const char *const numbers[] = {
		"memory.current",      "memory.max",   "memory.peak",
		"memory.swap.current", "pids.current", "pids.max",
	};
	struct strbuf *line = dump_begin("cgroup");

	json_add_string(line, "path", path);
	json_add_string(line, "of", of);
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		uint64_t value;
		if (cgroup_number(path, numbers[i], &value) < 0)
			continue;
		json_key(line, numbers[i]);
		if (value == UINT64_MAX)
			strbuf_adds(line, "null");
		else
			strbuf_addf(line, "%" PRIu64, value);
	}
	add_counters(line, path, "memory.events");
	add_counters(line, path, "cpu.stat");
	dump_end(line);
}

void dump_cgroups(const struct instance *instance)
{
	char first[1024] = "", path[1024];
	int32_t supervisor = atomic_load(&instance->board.header->supervisor_pid);

	if (process_cgroup(supervisor > 0 ? supervisor : 1, first, sizeof(first)) == 0)
		dump_cgroup(first, "holdfast");
	for (uint32_t i = 0; i < instance->board.n_units; i++) {
		int32_t pid = atomic_load(&instance->board.slots[i][SLOT_MAIN]);
		if (pid > 0 && process_cgroup(pid, path, sizeof(path)) == 0 &&
		    !str_equal(path, first))
			dump_cgroup(path, plan_unit_name(&instance->plan, i));
	}
}

/* ---- scratch */

/* Executed in PID 1's room, where its file stands for each. */
static int stat_scratch(const char *scratch, int32_t pid, struct statvfs *ret_st)
{
	char path[PATH_MAX];

	if (pid > 0)
		(void)snprintf(path, sizeof(path), "/proc/%" PRId32 "/root%s", pid, scratch);
	else if (access(ROOM_MACHINE, F_OK) == 0)
		(void)snprintf(path, sizeof(path), ROOM_MACHINE "/scratch%s/" ROOM_SCRATCH_USE,
			       scratch);
	else
		(void)str_copy(path, sizeof(path), scratch);
	return statvfs(path, ret_st);
}

/* A unit's own scratch is in its own mount namespace: seen through its main process. */
static void dump_scratch_at(const struct plan *plan, uint32_t i, const char *of, int32_t pid)
{
	const struct plan_scratch *scratch = plan_scratch(plan, i);
	struct statvfs st;

	struct strbuf *line = dump_begin("scratch");
	json_add_string(line, "path", plan_string(plan, scratch->path));
	json_add_string(line, "of", of);
	json_add_u64(line, "declared_bytes", scratch->size_bytes);
	if (stat_scratch(plan_string(plan, scratch->path), pid, &st) == 0) {
		json_add_u64(line, "size_bytes", (uint64_t)st.f_blocks * st.f_frsize);
		json_add_u64(line, "used_bytes",
			     (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize);
		json_add_u64(line, "inodes", st.f_files);
		json_add_u64(line, "inodes_used", st.f_files - st.f_ffree);
	}
	dump_end(line);
}

void dump_scratch(const struct instance *instance)
{
	const struct plan *plan = &instance->plan;
	struct plan_range range = plan->header->scratch;

	for (uint32_t i = range.first; i < range.first + range.count; i++)
		dump_scratch_at(plan, i, "instance", 0);
	for (uint32_t unit = 0; unit < plan_unit_count(plan); unit++) {
		int32_t pid = atomic_load(&instance->board.slots[unit][SLOT_MAIN]);
		range = plan_unit(plan, unit)->scratch;
		for (uint32_t i = range.first; i < range.first + range.count; i++)
			dump_scratch_at(plan, i, plan_unit_name(plan, unit), pid);
	}
}

/* ---- pressure */

static void dump_pressure_of(const char *name)
{
	char path[32], text[512];
	double some[3] = {0}, full[3] = {0};

	(void)snprintf(path, sizeof(path), "/proc/pressure/%s", name);
	if (io_read_file(AT_FDCWD, path, text, sizeof(text)) < 0) {
		(void)snprintf(path, sizeof(path), ROOM_MACHINE "/pressure/%s", name);
		if (io_read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
			return;
	}
	if (sscanf(text, "some avg10=%lf avg60=%lf avg300=%lf", &some[0], &some[1], &some[2]) != 3)
		return;
	const char *at = strstr(text, "full ");
	struct strbuf *line = dump_begin("pressure");
	json_add_string(line, "of", name);
	strbuf_addf(line, ",\"some\":[%.2f,%.2f,%.2f]", some[0], some[1], some[2]);
	if (at &&
	    sscanf(at, "full avg10=%lf avg60=%lf avg300=%lf", &full[0], &full[1], &full[2]) == 3)
		strbuf_addf(line, ",\"full\":[%.2f,%.2f,%.2f]", full[0], full[1], full[2]);
	dump_end(line);
}

void dump_pressure(void)
{
	dump_pressure_of("cpu");
	dump_pressure_of("memory");
	dump_pressure_of("io");
}

/* ---- the kernel's log */

/* A record is "priority,seq,µs,flags;text\n" and key=value lines
 * (Documentation/ABI/testing/dev-kmsg). */
static void dump_kernel_line(char *text)
{
	unsigned priority;
	uint64_t seq, us;
	char *message = strchr(text, ';');

	if (!message || sscanf(text, "%u,%" SCNu64 ",%" SCNu64, &priority, &seq, &us) != 3)
		return;
	message++;
	struct strbuf *line = dump_begin("kernel");
	json_add_u64(line, "seq", seq);
	json_add_u64(line, "priority", priority & 7);
	json_add_u64(line, "uptime_us", us);
	json_key(line, "msg");
	json_bytes(line, message, strcspn(message, "\n"));
	dump_end(line);
}

/* What its line will take, about. */
static uint64_t cost_of(const char *record)
{
	return 100 + strlen(record) * 5 / 4;
}

/* What the initramfs and holdfast-boot said while nobody kept a ring (event_copy_to_kernel_log). */
static bool is_of_our_boot(const char *record)
{
	const char *message = strchr(record, ';');

	return message && strncmp(message + 1, "holdfast-", strlen("holdfast-")) == 0;
}

struct kernel_log {
	char boot[KERNEL_LINES][KERNEL_LINE_MAX]; /* the first of ours */
	char tail[KERNEL_LINES][KERNEL_LINE_MAX]; /* the last of all others, a ring */
	uint64_t n_boot, n_tail;
};

static void keep_record(struct kernel_log *log, const char *record, bool has_boot)
{
	bool is_boot = has_boot && log->n_boot < KERNEL_LINES && is_of_our_boot(record);

	(void)str_copy(is_boot ? log->boot[log->n_boot++] : log->tail[log->n_tail++ % KERNEL_LINES],
		       KERNEL_LINE_MAX, record);
}

/* EPIPE: a record was overwritten meanwhile, the next read goes on behind it. The bound is for a
 * kernel that writes faster than we read. */
static void read_kernel_log(struct kernel_log *log, bool has_boot)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	char record[8192];
	CLEANUP(fd_closep) int fd = open("/dev/kmsg", flags);

	if (fd < 0)
		fd = open(ROOM_MACHINE "/kmsg", flags);
	for (int reads = 0; fd >= 0 && reads < 1 << 17; reads++) {
		ssize_t n = read(fd, record, sizeof(record) - 1);
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n <= 0)
			break;
		record[n] = '\0';
		keep_record(log, record, has_boot);
	}
}

void dump_kernel(uint64_t bytes)
{
	static struct kernel_log log;

	/* Where there is little room the last lines count, whosever they are. */
	read_kernel_log(&log, bytes == UINT64_MAX);
	uint64_t count = log.n_tail, first = count;
	while (first > 0 && count - first < KERNEL_LINES &&
	       cost_of(log.tail[(first - 1) % KERNEL_LINES]) <= bytes)
		bytes -= cost_of(log.tail[--first % KERNEL_LINES]);
	for (uint64_t i = 0; i < log.n_boot; i++)
		dump_kernel_line(log.boot[i]);
	for (uint64_t i = first; i < count; i++)
		dump_kernel_line(log.tail[i % KERNEL_LINES]);
}
