/* The keys of spawnbed: KEY=VALUE that change the first unit of the plan, the store or the request. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tests/support/spawnbed.h"

struct plan_unit *bed_unit(void)
{
	return (struct plan_unit *)(void *)bed.build.records[PLAN_UNITS];
}

uint64_t bed_number(const char *text)
{
	return strtoull(text, NULL, 0);
}

/* The next field of a:b:c, or "". */
static const char *field(char **rest)
{
	const char *found = strsep(rest, ":");

	return found ? found : "";
}

static void key_flags(char *v)
{
	bed_unit()->flags |= (uint32_t)bed_number(v);
}

static void key_no_flags(char *v)
{
	bed_unit()->flags &= ~(uint32_t)bed_number(v);
}

static void key_denied(char *v)
{
	bed_unit()->denied_calls = (uint32_t)bed_number(v) & CALLS_ALL;
}

static void key_clean_up(char *v)
{
	bed.cleans_up = bed_number(v);
}

static void key_environment(char *v)
{
	bed.environment[bed.n_environment++] = v;
}

static void key_group(char *v)
{
	bed.groups[bed.n_groups++] = v;
}

static void key_exec_flags(char *v)
{
	bed.exec_flags = (uint32_t)bed_number(v);
}

static void key_phase(char *v)
{
	bed.request.phase = (enum exec_phase)bed_number(v);
}

static void key_first(char *v)
{
	bed.request.is_first = bed_number(v);
}

static void key_run(char *v)
{
	bed.request.run = bed_number(v);
}

static void key_main_pid(char *v)
{
	bed.request.main_pid = (int32_t)bed_number(v);
}

static void key_result(char *v)
{
	bed.request.result = v;
}

static void key_exit_code(char *v)
{
	bed.request.exit_code = v;
}

static void key_exit_status(char *v)
{
	bed.request.exit_status = v;
}

static void key_as(char *v)
{
	bed.as_uid = bed_number(v);
}

static void key_fly(char *v)
{
	bed.request.may_fly = bed_number(v) != 0;
}

static void key_hold(char *v)
{
	bed.holds = bed_number(v);
}

static void key_mask(char *v)
{
	bed.store->inherited.mask = bed_number(v);
}

static void key_ignored(char *v)
{
	bed.store->inherited.ignored = bed_number(v);
}

static void key_kill(char *v)
{
	bed.kill_who = (int)bed_number(field(&v));
	bed.kill_signal = (int)bed_number(field(&v));
}

static void key_oom(char *v)
{
	bed_unit()->flags |= UNIT_OOM_SCORE;
	bed_unit()->oom_score_adjust = atoi(v);
}

static void key_nice(char *v)
{
	bed_unit()->flags |= UNIT_NICE;
	bed_unit()->nice = atoi(v);
}

static void key_ambient(char *v)
{
	bed_unit()->flags |= UNIT_AMBIENT;
	bed_unit()->ambient_capabilities = bed_number(v);
}

static void key_bounding(char *v)
{
	bed_unit()->flags |= UNIT_BOUNDING;
	bed_unit()->bounding_capabilities = bed_number(v);
}

static void key_capabilities(char *v)
{
	bed.is_limited = true;
	bed.as_capabilities = bed_number(v);
}

static void key_nofile(char *v)
{
	bed.store->inherited.nofile_soft = bed_number(field(&v));
	bed.store->inherited.nofile_hard = bed_number(field(&v));
}

/* Ranges grow by one: all records of one kind belong to the one unit. */
static void *add_record(enum plan_section section, size_t range_offset)
{
	uint32_t index;
	void *record = planbuild_record(&bed.build, section, &index);
	struct plan_range *range = (void *)((char *)bed_unit() + range_offset);

	if (range->count++ == 0)
		range->first = index;
	return record;
}

static void key_limit(char *v)
{
	struct plan_limit *limit = add_record(PLAN_LIMITS, offsetof(struct plan_unit, limits));

	limit->resource = (uint32_t)bed_number(field(&v));
	limit->soft = bed_number(field(&v));
	limit->hard = bed_number(field(&v));
}

static void key_directory(char *v)
{
	uint32_t type = (uint32_t)bed_number(field(&v)), mode = (uint32_t)bed_number(field(&v));
	uint32_t keep = (uint32_t)bed_number(field(&v));
	plan_str path = planbuild_text(&bed.build, v);
	struct plan_directory *d =
		add_record(PLAN_DIRECTORIES, offsetof(struct plan_unit, directories));

	*d = (struct plan_directory){.type = type, .mode = mode, .keep = keep, .path = path};
}

static void key_tmpfs(char *v)
{
	uint64_t size = bed_number(field(&v));
	uint32_t mode = (uint32_t)bed_number(field(&v)), flags = (uint32_t)bed_number(field(&v));
	plan_str path = planbuild_text(&bed.build, v);
	struct plan_scratch *s = add_record(PLAN_SCRATCH, offsetof(struct plan_unit, scratch));

	*s = (struct plan_scratch){.size_bytes = size, .mode = mode, .flags = flags, .path = path};
}

static void key_secret(char *v)
{
	uint32_t delivery = (uint32_t)bed_number(field(&v)), mode = (uint32_t)bed_number(field(&v));
	uint32_t flags = (uint32_t)bed_number(field(&v));
	plan_str name = planbuild_text(&bed.build, v);
	struct plan_secret *s = add_record(PLAN_SECRETS, offsetof(struct plan_unit, secrets));

	*s = (struct plan_secret){.delivery = delivery, .mode = mode, .flags = flags, .name = name};
}

static int open_must(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	bed_must(fd >= 0, path);
	return fd;
}

static void key_helper(char *v)
{
	(void)store_put(bed.store, STORE_EXEC, ROLE_SECRETS, open_must(v, O_PATH));
	bed.is_helper = true;
	bed.request.slot = SLOT_HELPER;
}

static void key_secrets(char *v)
{
	bed.request.secret_fd = open_must(v, O_RDONLY);
}

static void key_environ(char *v)
{
	(void)store_put(bed.store, STORE_ENVIRON, 0, open_must(v, O_RDONLY));
}

static void key_cgroup(char *v)
{
	(void)store_put(bed.store, STORE_CGROUP, 0, open_must(v, O_RDONLY | O_DIRECTORY));
}

static void key_credentials(char *v)
{
	bed.build.header.credentials_directory = planbuild_text(&bed.build, v);
	(void)store_put(bed.store, STORE_CREDENTIALS, 0, open_must(v, O_RDONLY | O_DIRECTORY));
}

static void key_notify(char *v)
{
	bed.build.header.notify_address = planbuild_text(&bed.build, v);
}

/* A listening socket with that fd name, on an address of the kernel's choice. */
static void key_socket(char *v)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	uint32_t index;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	bed_must(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0 &&
			 listen(fd, 8) == 0,
		 "socket");
	plan_str name = planbuild_text(&bed.build, v);
	struct plan_socket *s = planbuild_record(&bed.build, PLAN_SOCKETS, &index);
	*s = (struct plan_socket){.unit = 1, .fd_name = name};
	(void)store_put(bed.store, STORE_SOCKET, index, fd);
	bed.n_sockets++;
}

/* Fields of the unit that are numbers, and those that are text. */
static const struct {
	const char *name;
	size_t offset, size;
} fields[] = {
#define NUMBER(name, member)                                                                      \
	{                                                                                         \
		name, offsetof(struct plan_unit, member), sizeof(((struct plan_unit *)0)->member) \
	}
#define TEXT(name, member)                                  \
	{                                                   \
		name, offsetof(struct plan_unit, member), 0 \
	}
	NUMBER("uid", uid),
	NUMBER("gid", gid),
	NUMBER("umask", umask),
	NUMBER("type", type),
	NUMBER("pdeath", pdeath_signal),
	NUMBER("access", notify_access),
	NUMBER("watchdog", watchdog_us),
	NUMBER("cwd-optional", working_directory_optional),
	TEXT("name", name),
	TEXT("home", home),
	TEXT("user", user_name),
	TEXT("cwd", working_directory),
	TEXT("root", root_directory),
#undef NUMBER
#undef TEXT
};

static bool apply_field(const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
		if (strcmp(fields[i].name, name) != 0)
			continue;
		uint64_t wide =
			fields[i].size ? bed_number(value) : planbuild_text(&bed.build, value);
		uint32_t narrow = (uint32_t)wide;
		if (fields[i].size == sizeof(wide))
			memcpy((char *)bed_unit() + fields[i].offset, &wide, sizeof(wide));
		else
			memcpy((char *)bed_unit() + fields[i].offset, &narrow, sizeof(narrow));
		return true;
	}
	return false;
}

static const struct {
	const char *name;
	void (*apply)(char *value);
} keys[] = {
	{"group", key_group},
	{"flags", key_flags},
	{"no-flags", key_no_flags},
	{"denied", key_denied},
	{"env", key_environment},
	{"exec-flags", key_exec_flags},
	{"phase", key_phase},
	{"first", key_first},
	{"run", key_run},
	{"main-pid", key_main_pid},
	{"result", key_result},
	{"exit-code", key_exit_code},
	{"exit-status", key_exit_status},
	{"as", key_as},
	{"hold", key_hold},
	{"fly", key_fly},
	{"mask", key_mask},
	{"ignored", key_ignored},
	{"oom", key_oom},
	{"nice", key_nice},
	{"ambient", key_ambient},
	{"bounding", key_bounding},
	{"capabilities", key_capabilities},
	{"nofile", key_nofile},
	{"limit", key_limit},
	{"directory", key_directory}, /* type:mode:keep:path */
	{"tmpfs", key_tmpfs},	      /* size:mode:flags:path */
	{"secret", key_secret},	      /* delivery:mode:flags:name */
	{"secrets", key_secrets},
	{"environ", key_environ},
	{"cgroup", key_cgroup},
	{"credentials", key_credentials},
	{"notify", key_notify},
	{"socket", key_socket},
	{"kill", key_kill},	    /* who:signal, after the spawn */
	{"clean-up", key_clean_up}, /* after the end of the process */
	{"helper", key_helper},	    /* the program of ROLE_SECRETS, spawned instead */
};

void bed_apply_key(char *argument)
{
	char *value = strchr(argument, '=');

	bed_must(value != NULL, argument);
	*value++ = '\0';
	if (apply_field(argument, value))
		return;
	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		if (strcmp(keys[i].name, argument) == 0) {
			keys[i].apply(value);
			return;
		}
	}
	bed_die(argument);
}
