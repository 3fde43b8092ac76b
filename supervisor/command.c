#include "supervisor/child.h"

/*
 * Arguments and environment of a command. The plan's strings are used where they lie; what is known
 * only now is written into the spawner's arena. The environment is, from weak to strong: what PID 1
 * was given (where the unit wants it), what the service manager tells (systemd.exec(5),
 * "Environment Variables Set or Propagated by the Service Manager"), the unit's own, its secrets.
 * Each name appears once: some programs take the first, some the last.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/hash.h"
#include "lib/secretfile.h"
#include "lib/str.h"

#define RUNTIME_MAX 64 /* variables of ours, at most */
#define PID_DIGITS  "0000000000"

static void *arena_take(struct child *child, size_t size)
{
	size_t start = (child->arena_used + 7) & ~(size_t)7;

	if (start > CHILD_ARENA_SIZE || size > CHILD_ARENA_SIZE - start) {
		child->is_arena_full = true;
		return NULL;
	}
	child->arena_used = start + size;
	return child->arena + start;
}

/* Text whose end is not known yet: the rest of the arena, taken by arena_end. */
static void arena_begin(struct child *child, struct strbuf *buf)
{
	strbuf_init(buf, child->arena + child->arena_used, CHILD_ARENA_SIZE - child->arena_used);
}

static char *arena_end(struct child *child, const struct strbuf *buf)
{
	if (buf->is_cut) {
		child->is_arena_full = true;
		return NULL;
	}
	child->arena_used += buf->length + 1;
	return buf->data;
}

static bool has_name(const struct child *child, const char *name, size_t length)
{
	for (size_t i = 0; i < child->n_env; i++) {
		if (strncmp(child->envp[i], name, length) == 0 && child->envp[i][length] == '=')
			return true;
	}
	return false;
}

/* Adds NAME=…, unless the name is set. The text, or NULL. */
static char *add(struct child *child, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static char *add(struct child *child, const char *format, ...)
{
	struct strbuf buf;
	va_list args;

	arena_begin(child, &buf);
	va_start(args, format);
	strbuf_vaddf(&buf, format, args);
	va_end(args);
	if (!buf.is_cut && has_name(child, buf.data, strcspn(buf.data, "=")))
		return NULL;
	char *text = arena_end(child, &buf);
	if (text && child->n_env < child->env_capacity)
		child->envp[child->n_env++] = text;
	return text;
}

static const char *marker_text(const struct child *child, char marker, char number[16])
{
	const struct spawn_request *request = child->request;
	const char *text = NULL;

	if (marker == PLAN_ARG_RESULT)
		text = request->result;
	else if (marker == PLAN_ARG_EXIT_CODE)
		text = request->exit_code;
	else if (marker == PLAN_ARG_EXIT_STATUS)
		text = request->exit_status;
	else if (request->main_pid > 0) {
		(void)snprintf(number, 16, "%d", request->main_pid);
		text = number;
	}
	return text ? text : "";
}

static char *expand(struct child *child, const char *argument)
{
	static const char markers[] = {PLAN_ARG_MAINPID, PLAN_ARG_RESULT, PLAN_ARG_EXIT_CODE,
				       PLAN_ARG_EXIT_STATUS, '\0'};
	struct strbuf buf;
	char number[16];

	if (argument[strcspn(argument, markers)] == '\0')
		return (char *)(uintptr_t)argument;
	arena_begin(child, &buf);
	for (const char *at = argument; *at; at++) {
		if (strchr(markers, *at))
			strbuf_adds(&buf, marker_text(child, *at, number));
		else
			strbuf_addc(&buf, *at);
	}
	return arena_end(child, &buf);
}

static void prepare_arguments(struct child *child)
{
	const struct plan *plan = child->spawner->plan;
	struct plan_list list = child->request->exec->argv;

	child->argv = arena_take(child, (list.count + 1) * sizeof(char *));
	if (!child->argv)
		return;
	for (uint32_t i = 0; i < list.count; i++)
		child->argv[i] = expand(child, plan_string(plan, plan_list_get(plan, list, i)));
	child->argv[list.count] = NULL;
	child->n_argv = list.count;
}

static void add_user(struct child *child)
{
	const struct plan *plan = child->spawner->plan;
	const char *user = plan_string(plan, child->unit->user_name);

	if (*user == '\0')
		return;
	(void)add(child, "USER=%s", user);
	(void)add(child, "LOGNAME=%s", user);
	if (child->unit->home)
		(void)add(child, "HOME=%s", plan_string(plan, child->unit->home));
	if (child->unit->shell)
		(void)add(child, "SHELL=%s", plan_string(plan, child->unit->shell));
}

static void add_directories(struct child *child)
{
	static const char *const names[DIRECTORY_TYPE_COUNT] = {
		[DIRECTORY_RUNTIME] = "RUNTIME_DIRECTORY",
		[DIRECTORY_STATE] = "STATE_DIRECTORY",
		[DIRECTORY_CACHE] = "CACHE_DIRECTORY",
		[DIRECTORY_LOGS] = "LOGS_DIRECTORY",
		[DIRECTORY_CONFIGURATION] = "CONFIGURATION_DIRECTORY",
	};
	const struct plan *plan = child->spawner->plan;
	struct plan_range range = child->unit->directories;

	for (uint32_t type = 0; range.count > 0 && type < DIRECTORY_TYPE_COUNT; type++) {
		char text[CHILD_PATH_MAX] = "";
		struct strbuf buf;
		strbuf_init(&buf, text, sizeof(text));
		for (uint32_t i = 0; i < range.count; i++) {
			const struct plan_directory *d = plan_directory(plan, range.first + i);
			if (d->type == type)
				strbuf_addf(&buf, "%s%s", buf.length ? ":" : "",
					    plan_string(plan, d->path));
		}
		if (buf.length > 0)
			(void)add(child, "%s=%s", names[type], text);
	}
}

static void add_notify(struct child *child)
{
	const struct plan *plan = child->spawner->plan;
	const char *address = plan_string(plan, plan->header->notify_address);
	uint32_t access = child->unit->notify_access;

	if (child->unit->type == SERVICE_NOTIFY && access == NOTIFY_NONE)
		access = NOTIFY_MAIN;
	if (*address && access != NOTIFY_NONE &&
	    (access != NOTIFY_MAIN || child->request->phase == EXEC_START))
		(void)add(child, "NOTIFY_SOCKET=%s", address);
}

static char *after_equals(char *assignment)
{
	return assignment ? strchr(assignment, '=') + 1 : NULL;
}

static void add_watchdog(struct child *child)
{
	uint64_t timeout = child->unit->watchdog_us;

	if (timeout == 0 || timeout == PLAN_INFINITY_US || child->request->phase != EXEC_START)
		return;
	(void)add(child, "WATCHDOG_USEC=%llu", (unsigned long long)timeout);
	child->watchdog_pid = after_equals(add(child, "WATCHDOG_PID=" PID_DIGITS));
}

static void find_sockets(struct child *child, struct strbuf *names)
{
	const struct plan *plan = child->spawner->plan;
	struct plan_list triggers = child->unit->relations[REL_TRIGGERED_BY];

	for (uint32_t t = 0; t < triggers.count; t++) {
		uint32_t unit = plan_list_get(plan, triggers, t);
		for (uint32_t i = 0; i < child->spawner->n_sockets; i++) {
			const struct plan_socket *s = plan_socket(plan, i);
			if (s->unit != unit || child->spawner->socket_fds[i] < 0 ||
			    child->n_sockets == CHILD_SOCKETS_MAX)
				continue;
			const char *name = plan_string(plan, s->fd_name);
			strbuf_addf(names, "%s%s", child->n_sockets ? ":" : "",
				    *name ? name : plan_unit_name(plan, unit));
			child->sockets[child->n_sockets++] = child->spawner->socket_fds[i];
		}
	}
}

static void add_sockets(struct child *child)
{
	char text[CHILD_PATH_MAX] = "";
	struct strbuf names;

	if (child->request->phase != EXEC_START)
		return;
	strbuf_init(&names, text, sizeof(text));
	find_sockets(child, &names);
	if (child->n_sockets == 0)
		return;
	(void)add(child, "LISTEN_FDS=%u", child->n_sockets);
	(void)add(child, "LISTEN_FDNAMES=%s", text);
	child->listen_pid = after_equals(add(child, "LISTEN_PID=" PID_DIGITS));
}

/* An identifier, not a secret: a hash (finished as splitmix64 does) of what no other
 * activation of any unit of any instance has. It survives the supervisor without being stored. */
static uint64_t hash(uint64_t seed, const void *data, size_t size)
{
	uint64_t h = hash_add(seed ^ HASH_BEGIN, data, size);

	h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
	return h ^ (h >> 31);
}

static void add_invocation(struct child *child)
{
	const struct plan_header *header = child->spawner->plan->header;
	const char *host = plan_string(child->spawner->plan, header->hostname);
	const uint64_t numbers[] = {header->boot_wall_us, header->boot_us, child->request->run};
	uint64_t half[2];

	for (uint64_t i = 0; i < 2; i++) {
		half[i] = hash(i + 1, numbers, sizeof(numbers));
		half[i] = hash(half[i], host, strlen(host));
		half[i] = hash(half[i], child->name, strlen(child->name));
	}
	(void)add(child, "INVOCATION_ID=%016llx%016llx", (unsigned long long)half[0],
		  (unsigned long long)half[1]);
}

static void add_outcome(struct child *child)
{
	const struct spawn_request *request = child->request;

	if (request->main_pid > 0)
		(void)add(child, "MAINPID=%d", request->main_pid);
	if (request->result)
		(void)add(child, "SERVICE_RESULT=%s", request->result);
	if (request->exit_code)
		(void)add(child, "EXIT_CODE=%s", request->exit_code);
	if (request->exit_status)
		(void)add(child, "EXIT_STATUS=%s", request->exit_status);
}

static void add_credentials(struct child *child)
{
	const struct plan *plan = child->spawner->plan;
	struct plan_range range = child->unit->secrets;
	bool has_files = child->unit->templates.count > 0;

	for (uint32_t i = 0; i < range.count && !has_files; i++)
		has_files = plan_secret(plan, range.first + i)->delivery == SECRET_FILE;
	if (has_files)
		(void)add(child, "CREDENTIALS_DIRECTORY=%s/%s",
			  plan_string(plan, plan->header->credentials_directory), child->name);
}

static void prepare_environment(struct child *child)
{
	const struct plan *plan = child->spawner->plan;
	struct plan_list own = child->unit->environment;

	child->env_capacity = own.count + RUNTIME_MAX + child->unit->secrets.count;
	child->envp = arena_take(child, (child->env_capacity + 1) * sizeof(char *));
	if (!child->envp)
		return;
	for (uint32_t i = 0; i < own.count; i++)
		child->envp[child->n_env++] =
			(char *)(uintptr_t)plan_string(plan, plan_list_get(plan, own, i));
	add_outcome(child);
	add_invocation(child);
	add_user(child);
	add_directories(child);
	add_notify(child);
	add_watchdog(child);
	add_sockets(child);
	add_credentials(child);
	/* Where PID 1's environment lies below, its PATH comes from there. */
	if (!(child->unit->flags & UNIT_INHERIT_ENVIRONMENT))
		(void)add(child,
			  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	child->envp[child->n_env] = NULL;
}

int command_prepare(struct child *child)
{
	prepare_arguments(child);
	prepare_environment(child);
	return child->is_arena_full ? -E2BIG : 0;
}

int command_add_fd(struct child *child, const char *name, int fd)
{
	(void)add(child, "%s=%d", name, fd);
	child->envp[child->n_env] = NULL;
	return child->is_arena_full ? -E2BIG : 0;
}

/* ---- In the child. */

/* Records for the environment are those that the plan delivers there, and those that it does not
 * name at all: they came by a path. */
static bool is_for_environment(const struct child *child, const struct secretfile_record *record,
			       bool *ret_is_named)
{
	const struct plan *plan = child->spawner->plan;
	struct plan_range range = child->unit->secrets;

	*ret_is_named = false;
	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_secret *secret = plan_secret(plan, range.first + i);
		const char *name = plan_string(plan, secret->name);
		if (strlen(name) != record->name_length ||
		    memcmp(name, record->name, record->name_length) != 0)
			continue;
		*ret_is_named = true;
		if (secret->delivery == SECRET_ENVIRONMENT)
			return true;
	}
	return !*ret_is_named;
}

/* What a path brings nobody has written down: it replaces nothing that somebody has. */
static int refuse_replacing(struct child *child, const struct secretfile_record *record)
{
	(void)snprintf(
		child->text, sizeof(child->text),
		"a SecretPath= brings %.*s, which Environment= or holdfast itself sets: name "
		"that one with Secret=, or call one of them otherwise",
		(int)record->name_length, record->name);
	child->detail = child->text;
	child->status = STATUS_CREDENTIALS;
	return -EEXIST;
}

static int put(struct child *child, const struct secretfile_record *record, bool is_named)
{
	for (size_t i = 0; i < child->n_env; i++) {
		if (strncmp(child->envp[i], record->assignment, record->name_length + 1) != 0)
			continue;
		if (!is_named)
			return refuse_replacing(child, record);
		child->envp[i] = (char *)(uintptr_t)record->assignment;
		return 0;
	}
	child->envp[child->n_env++] = (char *)(uintptr_t)record->assignment;
	return 0;
}

static int add_secrets(struct child *child)
{
	struct secretfile_record record;
	size_t cursor = 0;

	for (;;) {
		int r = secretfile_next(child->secrets, child->secrets_size, &cursor, &record);
		if (r <= 0)
			return r;
		bool is_named;
		if (!is_for_environment(child, &record, &is_named))
			continue;
		if (!secretfile_is_text(&record)) {
			child->detail = "a value has a zero byte in it, and so cannot stand there";
			return -EINVAL;
		}
		r = put(child, &record, is_named);
		if (r < 0)
			return r;
	}
}

static int map_environ(const struct child *child, const char **ret_data, size_t *ret_size)
{
	struct stat st;

	*ret_size = 0;
	if (!(child->unit->flags & UNIT_INHERIT_ENVIRONMENT) || child->environ_fd < 0)
		return 0;
	if (fstat(child->environ_fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, child->environ_fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	*ret_data = data;
	*ret_size = (size_t)st.st_size;
	return ((const char *)data)[st.st_size - 1] == '\0' ? 0 : -EBADMSG;
}

/* What holdfast itself logs in to Vault with is not the command's to have. */
static bool is_login(const struct child *child, const char *assignment)
{
	const struct plan *plan = child->spawner->plan;
	struct plan_range range = child->unit->secrets;

	if (!str_starts(assignment, "VAULT_TOKEN="))
		return false;
	for (uint32_t i = range.first; i < range.first + range.count; i++) {
		if (str_starts(plan_string(plan, plan_secret(plan, i)->reference), "vault:"))
			return true;
	}
	return false;
}

static void add_inherited(struct child *child, const char *data, size_t size)
{
	for (const char *at = data; at < data + size; at += strlen(at) + 1) {
		size_t length = strcspn(at, "=");
		if (at[length] != '=' || length == 0 || str_starts(at, "HOLDFAST_") ||
		    has_name(child, at, length) || is_login(child, at))
			continue;
		child->envp[child->n_env++] = (char *)(uintptr_t)at;
	}
}

/* A larger array, in the child alone. Every entry takes at least two bytes of its source. */
static int grow(struct child *child, size_t inherited_size)
{
	size_t most = child->n_env + child->secrets_size / 2 + inherited_size / 2 + 2;
	char **envp = mmap(NULL, most * sizeof(char *), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (envp == MAP_FAILED)
		return -errno;
	memcpy(envp, child->envp, child->n_env * sizeof(char *));
	child->envp = envp;
	return 0;
}

static void write_pid(char *to)
{
	if (to)
		(void)snprintf(to, sizeof(PID_DIGITS), "%d", getpid());
}

int command_complete(struct child *child)
{
	const char *inherited = NULL;
	size_t inherited_size;

	write_pid(child->listen_pid);
	write_pid(child->watchdog_pid);
	int r = map_environ(child, &inherited, &inherited_size);
	if (r < 0)
		return r;
	if (child->secrets_size == 0 && inherited_size == 0)
		return 0;
	r = grow(child, inherited_size);
	if (r < 0)
		return r;
	r = add_secrets(child);
	if (r < 0)
		return r;
	add_inherited(child, inherited, inherited_size);
	child->envp[child->n_env] = NULL;
	return 0;
}
