#include "supervisor/spawn.h"

/*
 * The supervisor's side of a spawn: all that can be looked up or put together before the clone, is,
 * so that the child makes only the system calls that its unit asks for, and none needs memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/futex.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/signals.h"
#include "lib/sys.h"
#include "supervisor/cgroup.h"
#include "supervisor/child.h"
#include "supervisor/clone.h"
#include "supervisor/confine_files.h"
#include "supervisor/filter.h"

enum low_fd {
	LOW_OUTPUT,
	LOW_ERROR,
	LOW_RULESET,
	LOW_CONTENT,
	LOW_NULL,
	LOW_EVENT,
	LOW_SECRET,
	LOW_CREDENTIALS,
	LOW_ENVIRON,
	LOW_COUNT
};

/* Above what LISTEN_FDS can need, so that handing sockets over never closes them. */
#define KEPT_FD_MIN (3 + CHILD_SOCKETS_MAX)

/* So many children that nobody waits for: enough to keep a few processors busy. */
#define FLIGHTS 4

struct flight {
	_Atomic int32_t is_aloft; /* the kernel's: see struct clone_request */
	int low[LOW_COUNT];	  /* the spawner's but for the first ones, to LOW_CONTENT */
	char *arena, *stack;
	struct child child;
	struct spawn_request request;
};

static int *find_all(const struct store_table *store, enum store_kind kind, uint32_t count)
{
	int *fds = malloc((count + 1) * sizeof(int));
	uint32_t cursor = 0;

	if (!fds)
		return NULL;
	for (uint32_t i = 0; i < count; i++)
		fds[i] = -EBADF;
	for (const struct store_entry *e = store_next(store, kind, &cursor); e;
	     e = store_next(store, kind, &cursor)) {
		if (e->index < count)
			fds[e->index] = e->fd;
	}
	return fds;
}

static void read_capabilities(struct spawner *spawner)
{
	struct sys_capabilities sets = {0};

	(void)sys_capget(&sets);
	spawner->capabilities = sets.permitted;
	spawner->inheritable = sets.inheritable;
	spawner->bounding = sys_bounding_set();
	confine_all_bounding(spawner);
}

static void read_ourselves(struct spawner *spawner)
{
	struct sigaction action;
	struct rlimit limit;
	struct stat st;
	char path[2];

	for (int number = 1; number <= SIGNALS_MAX; number++) {
		if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			spawner->ignored |= SIGNALS_BIT(number);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		spawner->nofile_soft = limit.rlim_cur;
		spawner->nofile_hard = limit.rlim_max;
	}
	spawner->uid = geteuid();
	spawner->gid = getegid();
	spawner->umask = umask(0);
	(void)umask((mode_t)spawner->umask);
	spawner->is_at_root = getcwd(path, sizeof(path)) != NULL && strcmp(path, "/") == 0;
	spawner->is_stdin_null =
		fstat(STDIN_FILENO, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
	spawner->has_no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	spawner->has_filters = sys_has_filters();
	/* It is the gate's, and not ours to have. */
	spawner->are_refusals_heard = store_find(spawner->store, STORE_AUDIT, 0) >= 0;
	read_capabilities(spawner);
}

/* A service that opens /dev/stdout anew needs its own pipe to be its own. Once is enough: the pipes
 * live as long as PID 1. Not being allowed to is no failure, only that reopening then fails. */
static void own_pipes(const struct spawner *spawner)
{
	for (uint32_t i = 0; i < plan_unit_count(spawner->plan); i++) {
		const struct plan_unit *unit = plan_unit(spawner->plan, i);
		if (unit->kind != UNIT_SERVICE || unit->uid == PLAN_NO_ID ||
		    unit->uid == spawner->uid)
			continue;
		for (uint32_t which = STREAM_STDOUT; which <= STREAM_STDERR; which++) {
			int fd = spawner->pipe_write[stream_of_unit(i, which)];
			if (fd >= 0)
				(void)fchown(fd, unit->uid, (gid_t)-1);
		}
	}
}

static int open_kept(struct spawner *spawner)
{
	CLEANUP(fd_closep) int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return -errno;
	spawner->null_fd = fcntl(null, F_DUPFD_CLOEXEC, KEPT_FD_MIN);
	spawner->event_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, KEPT_FD_MIN);
	if (spawner->null_fd < 0 || spawner->event_fd < 0)
		return -errno;
	for (size_t i = 0; i < LOW_COUNT; i++) {
		int from = i == LOW_EVENT ? spawner->event_fd : spawner->null_fd;
		spawner->low[i] = fcntl(from, F_DUPFD_CLOEXEC, 3);
		if (spawner->low[i] < 0)
			return -errno;
		spawner->low_end = MAX(spawner->low_end, spawner->low[i] + 1);
	}
	/* Nothing is open there, and our files are our own: this does nothing, if it is known. */
	spawner->has_close_range = sys_close_range(INT_MAX, INT_MAX, CLOSE_RANGE_UNSHARE) == 0;
	return 0;
}

static char *map_one(void)
{
	char *memory = mmap(NULL, CHILD_ARENA_SIZE + CLONE_STACK_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int make_flight(struct spawner *spawner, struct flight *flight)
{
	flight->arena = map_one();
	if (!flight->arena)
		return -ENOMEM;
	flight->stack = flight->arena + CHILD_ARENA_SIZE;
	memcpy(flight->low, spawner->low, sizeof(flight->low));
	for (enum low_fd which = LOW_OUTPUT; which <= LOW_CONTENT; which++) {
		flight->low[which] = fcntl(spawner->null_fd, F_DUPFD_CLOEXEC, 3);
		if (flight->low[which] < 0)
			return -errno;
		spawner->low_end = MAX(spawner->low_end, flight->low[which] + 1);
	}
	return 0;
}

static int map_memory(struct spawner *spawner)
{
	int r = 0;

	spawner->failure = mmap(NULL, BOARD_FAILURE_MAX, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (spawner->failure == MAP_FAILED)
		return -errno;
	spawner->arena = map_one();
	spawner->flights = calloc(FLIGHTS, sizeof(*spawner->flights));
	if (!spawner->arena || !spawner->flights)
		return -ENOMEM;
	spawner->stack = spawner->arena + CHILD_ARENA_SIZE;
	for (size_t i = 0; i < FLIGHTS && r == 0; i++)
		r = make_flight(spawner, &spawner->flights[i]);
	return r;
}

int spawn_init(struct spawner *spawner, const struct plan *plan, const struct store_table *store,
	       struct board *board)
{
	*spawner = (struct spawner){
		.plan = plan,
		.store = store,
		.board = board,
		.n_streams = stream_count(plan_unit_count(plan)),
		.n_sockets = plan_section_count(plan, PLAN_SOCKETS),
		.credentials_fd = store_find(store, STORE_CREDENTIALS, 0),
		.cgroup_fd = store_find(store, STORE_CGROUP, 0),
		.environ_fd = store_find(store, STORE_ENVIRON, 0),
	};
	spawner->pipe_write = find_all(store, STORE_PIPE_WRITE, spawner->n_streams);
	spawner->socket_fds = find_all(store, STORE_SOCKET, spawner->n_sockets);
	if (!spawner->pipe_write || !spawner->socket_fds)
		return -ENOMEM;
	read_ourselves(spawner);
	own_pipes(spawner);
	int r = filter_init(plan, &spawner->filters);
	if (r < 0)
		return r;
	confine_mark(spawner);
	r = open_kept(spawner);
	if (r == 0)
		r = map_memory(spawner);
	return r < 0 ? r : confine_files_init(spawner);
}

static bool drops_rights(const struct plan_unit *unit, const struct spawn_request *request)
{
	if (request->exec->flags & EXEC_FULL_RIGHTS)
		return false;
	return request->phase == EXEC_START || !(unit->flags & UNIT_PERMISSIONS_START_ONLY);
}

static int stream_fd(const struct child *child, uint32_t which, uint32_t null_flag)
{
	int fd = child->spawner->pipe_write[stream_of_unit(child->request->unit, which)];

	return fd < 0 || (child->unit->flags & null_flag) ? child->spawner->null_fd : fd;
}

/* Puts *fd, where there is one, at its low number. */
static int lower(const struct child *child, enum low_fd which, int *fd)
{
	if (*fd < 0)
		return 0;
	if (dup3(*fd, child->low[which], O_CLOEXEC) < 0)
		return -errno;
	*fd = child->low[which];
	return 0;
}

static void close_ruleset(struct child_ruleset *ruleset)
{
	if (ruleset->is_owned)
		fd_close(ruleset->fd);
	ruleset->is_owned = false;
}

static int lower_ruleset(const struct child *child, enum low_fd which,
			 struct child_ruleset *ruleset)
{
	int fd = ruleset->fd;
	int r = lower(child, which, &ruleset->fd);

	if (ruleset->is_owned)
		fd_close(fd);
	ruleset->is_owned = false;
	return r;
}

/* What the child uses, at numbers that survive child_own_files; but for LISTEN_FDS, of which there
 * may be many. */
static int choose_files(struct child *child)
{
	const struct spawner *spawner = child->spawner;
	bool has_secrets = child->unit->secrets.count > 0 || child->unit->templates.count > 0;
	int r;

	child->null_fd = spawner->null_fd;
	child->event_fd = spawner->event_fd;
	child->output_fd = stream_fd(child, STREAM_STDOUT, UNIT_OUTPUT_NULL);
	child->error_fd = stream_fd(child, STREAM_STDERR, UNIT_ERROR_NULL);
	child->secret_fd = child->request->secret_fd;
	child->credentials_fd = has_secrets ? spawner->credentials_fd : -EBADF;
	child->environ_fd =
		child->unit->flags & UNIT_INHERIT_ENVIRONMENT ? spawner->environ_fd : -EBADF;
	if (!spawner->has_close_range || child->n_sockets > 0)
		return 0;
	if ((r = lower(child, LOW_OUTPUT, &child->output_fd)) < 0 ||
	    (r = lower(child, LOW_ERROR, &child->error_fd)) < 0 ||
	    (r = lower_ruleset(child, LOW_RULESET, &child->files)) < 0 ||
	    (r = lower_ruleset(child, LOW_CONTENT, &child->content)) < 0 ||
	    (r = lower(child, LOW_SECRET, &child->secret_fd)) < 0 ||
	    (r = lower(child, LOW_CREDENTIALS, &child->credentials_fd)) < 0 ||
	    (r = lower(child, LOW_ENVIRON, &child->environ_fd)) < 0)
		return r;
	child->null_fd = child->low[LOW_NULL];
	child->event_fd = child->low[LOW_EVENT];
	child->shares_files = true;
	return 0;
}

/* What the child said goes to the board, where it outlives us. */
static void keep_failure(const struct spawner *spawner, uint32_t unit)
{
	if (!spawner->failure[0])
		return;
	board_write_failure(spawner->board, unit, spawner->failure);
	spawner->failure[0] = '\0';
}

static int start(struct child *child, char *stack, _Atomic int32_t *is_aloft, int *ret_pidfd)
{
	const struct spawn_request *request = child->request;
	int r = command_prepare(child);

	if (r == 0)
		r = confine_files_choose(child);
	if (r == 0)
		r = choose_files(child);
	if (r < 0)
		return r;
	r = clone_sibling(
		&(struct clone_request){
			.run = child_run,
			.argument = child,
			.is_copy = child_needs_copy(child->spawner, child->unit, request),
			.shares_files = child->shares_files,
			.cgroup_fd = child->cgroup_fd,
			.is_in_cgroup = &child->is_in_cgroup,
			.slot = &child->spawner->board->slots[request->unit][request->slot],
			.stack = stack,
			.is_aloft = is_aloft,
		},
		ret_pidfd);
	close_ruleset(&child->files);
	close_ruleset(&child->content);
	board_copy_slots(child->spawner->board, request->unit);
	return r;
}

/* A child that was killed with a failure still to be told has none. */
static void land(const struct spawner *spawner, struct flight *flight)
{
	while (atomic_load(&flight->is_aloft))
		(void)syscall(SYS_futex, &flight->is_aloft, FUTEX_WAIT, 1, NULL, NULL, 0);
	if (!flight->child.failed)
		return;
	child_tell(&flight->child);
	keep_failure(spawner, flight->request.unit);
	flight->child.failed = NULL;
}

void spawn_land(const struct spawner *spawner)
{
	for (size_t i = 0; i < FLIGHTS; i++)
		land(spawner, &spawner->flights[i]);
}

/* The one that was taken the longest ago. */
static struct flight *take_flight(const struct spawner *spawner)
{
	static size_t next;
	struct flight *flight = &spawner->flights[next++ % FLIGHTS];

	land(spawner, flight);
	return flight;
}

static struct child make_child(const struct spawner *spawner, const struct spawn_request *request,
			       int cgroup_fd)
{
	const struct plan_unit *unit = plan_unit(spawner->plan, request->unit);

	return (struct child){
		.spawner = spawner,
		.request = request,
		.unit = unit,
		.name = plan_string(spawner->plan, unit->name),
		.arena = spawner->arena,
		.low = spawner->low,
		.cgroup_fd = cgroup_fd,
		.drops_rights = drops_rights(unit, request),
	};
}

static int spawn_flying(const struct spawner *spawner, const struct spawn_request *request,
			int cgroup_fd, int *ret_pidfd)
{
	struct flight *flight = take_flight(spawner);

	flight->request = *request;
	flight->child = make_child(spawner, &flight->request, cgroup_fd);
	flight->child.arena = flight->arena;
	flight->child.low = flight->low;
	flight->child.is_flying = true;
	return start(&flight->child, flight->stack, &flight->is_aloft, ret_pidfd);
}

static int spawn_waited_for(const struct spawner *spawner, const struct spawn_request *request,
			    int cgroup_fd, int *ret_pidfd)
{
	struct child child = make_child(spawner, request, cgroup_fd);
	int r = start(&child, spawner->stack, NULL, ret_pidfd);

	keep_failure(spawner, request->unit);
	/* A child that shared our memory and was killed while it told what failed. */
	event_discard();
	/* Nothing of ours keeps a secret's file alive but who asked for this. */
	if (child.shares_files && child.secret_fd >= 0)
		(void)dup3(spawner->null_fd, child.secret_fd, O_CLOEXEC);
	return r;
}

int spawn_process(const struct spawner *spawner, const struct spawn_request *request,
		  int *ret_pidfd)
{
	const struct plan_unit *unit = plan_unit(spawner->plan, request->unit);
	CLEANUP(fd_closep) int cgroup_fd = cgroup_open(spawner, request->unit);
	/* Outside of its cgroup nobody would find what it leaves behind. */
	if (cgroup_fd < 0 && cgroup_fd != -EBADF)
		return cgroup_fd;

	/* A copy has its own memory: the kernel could not say there that it has landed. */
	bool can_fly = CLONE_CAN_SHARE && request->may_fly && child_can_fly(spawner, unit, request);
	return can_fly ? spawn_flying(spawner, request, cgroup_fd, ret_pidfd)
		       : spawn_waited_for(spawner, request, cgroup_fd, ret_pidfd);
}

struct helper {
	const struct spawner *spawner;
	const struct spawn_help *help;
	int program, input_fd, output_fd, error_fd;
};

static int run_helper(void *argument)
{
	static char *const no_environment[] = {NULL};
	const struct helper *helper = argument;
	const struct spawn_help *help = helper->help;
	char *const name[] = {(char *)(uintptr_t)role_programs[help->role], NULL};

	/* To its place only after all were moved out of the way of each other. */
	int input = fcntl(helper->input_fd, F_DUPFD_CLOEXEC, 3);
	int output = fcntl(helper->output_fd, F_DUPFD_CLOEXEC, 3);
	if (setsid() < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
	    (helper->error_fd >= 0 && dup2(helper->error_fd, STDERR_FILENO) < 0))
		_exit(EXIT_FAILURE);
	store_expose(helper->spawner->store, help->role);
	for (uint32_t i = 0; i < help->n_passed; i++)
		(void)fcntl(help->passed[i], F_SETFD, 0);
	signals_set_mask(0, NULL);
	(void)sys_exec_fd(helper->program, help->argv ? help->argv : name, no_environment);
	_exit(203);
}

int spawn_helper(const struct spawner *spawner, const struct spawn_help *help, int *ret_pidfd)
{
	bool is_in_cgroup;
	uint32_t stream = stream_of_role(plan_unit_count(spawner->plan), help->role);
	struct helper helper = {
		.spawner = spawner,
		.help = help,
		.program = store_find(spawner->store, STORE_EXEC, help->role),
		.input_fd = help->input_fd < 0 ? spawner->null_fd : help->input_fd,
		.output_fd = help->output_fd < 0 ? spawner->null_fd : help->output_fd,
		.error_fd = spawner->pipe_write[stream],
	};

	if (helper.program < 0)
		return -ENOENT;
	int r = clone_sibling(
		&(struct clone_request){.run = run_helper,
					.argument = &helper,
					.cgroup_fd = -EBADF,
					.is_in_cgroup = &is_in_cgroup,
					.slot = &spawner->board->slots[help->unit][help->slot],
					.stack = spawner->stack},
		ret_pidfd);
	board_copy_slots(spawner->board, help->unit);
	return r;
}

int spawn_delivery(const struct spawner *spawner, uint32_t unit, int secret_fd, int *ret_pidfd)
{
	struct child child = {
		.spawner = spawner,
		.unit = plan_unit(spawner->plan, unit),
		.name = plan_unit_name(spawner->plan, unit),
		.secret_fd = secret_fd,
		.credentials_fd = spawner->credentials_fd,
	};

	int r = clone_sibling(
		&(struct clone_request){.run = credentials_deliver,
					.argument = &child,
					.is_copy = true,
					.cgroup_fd = -EBADF,
					.is_in_cgroup = &child.is_in_cgroup,
					.slot = &spawner->board->slots[unit][SLOT_REFRESH],
					.stack = spawner->stack},
		ret_pidfd);
	board_copy_slots(spawner->board, unit);
	return r;
}

void spawn_clean_up(const struct spawner *spawner, uint32_t unit)
{
	struct plan_range range = plan_unit(spawner->plan, unit)->directories;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_directory *d = plan_directory(spawner->plan, range.first + i);
		if (d->type == DIRECTORY_RUNTIME && !d->keep)
			(void)directory_remove(AT_FDCWD, plan_string(spawner->plan, d->path),
					       false);
	}
	confine_remove_private(spawner, unit);
	credentials_remove(spawner, unit);
	cgroup_remove(spawner, unit);
}
