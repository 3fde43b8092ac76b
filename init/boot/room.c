/*
 * Whoever executes something in a running container is put where its PID 1 is: so PID 1 moves out, into
 * a room in which nothing is that could be executed. All others stay.
 *
 * Room= says what the room has to be good for, and the rights what can be had: the rungs are tried from
 * strong to weak. One counts when it was made *and* visited as PID 1 will (its stub refuses, the way
 * back leads to our root); then PID 1 gets its fds and enters when we are gone.
 *
 * A user namespace of its own needs no rights, but all of the instance has to live in it, as nobody gets
 * back from there; so it is for units that lose nothing by it, and only when it is asked for: in a
 * container of the usual kind `podman exec c holdfastctl probe` has to go on working.
 */
#include "init/boot/room_build.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"

#define EXIT_REFUSED 126
#define BIT(n)	     (UINT64_C(1) << (n))

/* Of these root keeps all in a user namespace that has all of its ids: the files and processes that they
 * are about belong to them. */
#define KEPT                                                                                      \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) |    \
	 BIT(CAP_FSETID) | BIT(CAP_KILL) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETPCAP) | \
	 BIT(CAP_SYS_CHROOT) | BIT(CAP_SETFCAP))

/* ---- what a user namespace would take from the units */

/* A port below this needs CAP_NET_BIND_SERVICE of who owns the network (ip(7)). */
static bool are_all_ports_free(void)
{
	char text[16];

	return io_read_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", text,
			    sizeof(text)) > 0 &&
	       text[0] == '0';
}

static uint64_t capabilities_of(const struct boot *boot, const struct plan_unit *unit)
{
	bool is_root = unit->uid == 0 || (unit->uid == PLAN_NO_ID && geteuid() == 0);
	uint64_t bounding = unit->flags & UNIT_BOUNDING ? unit->bounding_capabilities : UINT64_MAX;

	if (is_root)
		return boot->capabilities & bounding;
	return unit->flags & UNIT_AMBIENT ? boot->capabilities & unit->ambient_capabilities : 0;
}

static const char *name_loser(const struct boot *boot)
{
	uint64_t lost = ~(KEPT | (are_all_ports_free() ? BIT(CAP_NET_BIND_SERVICE) : 0));

	for (uint32_t i = 0; i < plan_unit_count(&boot->plan); i++) {
		const struct plan_unit *unit = plan_unit(&boot->plan, i);
		if (unit->kind == UNIT_SERVICE && (capabilities_of(boot, unit) & lost))
			return plan_unit_name(&boot->plan, i);
	}
	return NULL;
}

/* What exec gives a program that is not root is kept for who entered a user namespace with none. */
static bool is_ambient_empty(void)
{
	for (unsigned long i = 0; i < 64; i++) {
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
			return false;
	}
	return true;
}

/* NULL, or why not. */
static const char *refuse_own_user(const struct boot *boot, char *text, size_t size)
{
	const char *loser = name_loser(boot);

	if (!is_ambient_empty() || prctl(PR_GET_SECUREBITS) != 0)
		return "ambient capabilities or securebits would be lost";
	if (!loser)
		return NULL;
	(void)snprintf(
		text, size,
		"%s runs with capabilities that end at a user namespace: give it a User=, or "
		"a CapabilityBoundingSet= of what it needs",
		loser);
	return text;
}

/* ---- a look at what was made */

static int wait_for_visitor(pid_t pid, int expected)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == expected ? 0 : -EPROTO;
}

static bool is_same_root(const struct stat *root)
{
	struct stat st;

	return stat("/", &st) == 0 && st.st_dev == root->st_dev && st.st_ino == root->st_ino &&
	       access("/proc/self", F_OK) == 0;
}

/* As PID 1's children do. */
static int visit_and_leave(const struct room *made, const struct stat *root)
{
	struct room room = *made;
	pid_t pid = fork();

	if (pid == 0)
		_exit(room_enter(&room) == 0 && room_leave(&room) == 0 && is_same_root(root) ? 0
											     : 1);
	return wait_for_visitor(pid, 0);
}

/* As those do who enter. Without /dev/null to be opened in there. */
static _Noreturn void try_shell(int null)
{
	char name[] = "sh";
	char *argv[] = {name, NULL}, *none[] = {NULL};

	(void)dup2(null, STDERR_FILENO);
	(void)execve("/bin/sh", argv, none);
	_exit(errno == ENOENT ? EXIT_REFUSED : 1);
}

static int visit_as_intruder(const struct room *made, unsigned parts)
{
	CLEANUP(fd_closep) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct room room = *made;
	pid_t pid = fork();

	if (pid == 0) {
		if (room_enter(&room) < 0)
			_exit(1);
		if (parts & ROOM_PART_EMPTY)
			try_shell(null);
		_exit(access("/proc/self", F_OK) < 0 ? EXIT_REFUSED : 1);
	}
	return wait_for_visitor(pid, EXIT_REFUSED);
}

static int prove(const struct room *room, unsigned parts, struct room_failure *ret_failure)
{
	struct stat root;
	int r = stat("/", &root) < 0 ? -errno : visit_and_leave(room, &root);

	ret_failure->step = "the way back out of it";
	if (r == 0) {
		r = visit_as_intruder(room, parts);
		ret_failure->step = "a visit to it";
	}
	ret_failure->error = r;
	return r;
}

/* ---- the ladder */

#define CLOSED                                                                                   \
	"nothing can be executed in this container from outside, holdfastctl neither: probe by " \
	"HTTP, or say Room=ctl"

static const struct rung {
	const char *name;
	unsigned parts, for_rooms; /* which of Room= it is for */
	bool needs_gate, needs_mounts;
	enum protection_level level;
	const char *why;
} rungs[] = {
	{"ctl room", ROOM_PART_EMPTY | ROOM_PART_CTL, BIT(ROOM_YES) | BIT(ROOM_CTL), true, true,
	 PROTECTION_FULL, ""},
	{"ctl room", ROOM_PART_EMPTY | ROOM_PART_CTL, BIT(ROOM_CTL), false, true,
	 PROTECTION_REDUCED,
	 "without the gate who may look into a service (/proc/PID/root) can execute what its root "
	 "has"},
	{"empty room", ROOM_PART_EMPTY, BIT(ROOM_YES) | BIT(ROOM_EMPTY), false, true,
	 PROTECTION_FULL, CLOSED},
	{"stripped room", 0, BIT(ROOM_YES) | BIT(ROOM_EMPTY), false, true, PROTECTION_REDUCED,
	 "mount(2) is refused, so the programs of the image stay in view, without /proc and /dev: "
	 "runtimes execute nothing there, nsenter does"},
	{"user-namespace room", ROOM_PART_EMPTY | ROOM_PART_OWN_USER, BIT(ROOM_EMPTY), false, false,
	 PROTECTION_FULL, CLOSED},
};

static bool is_open_to_us(const struct boot *boot, const struct rung *rung)
{
	if (!(rung->for_rooms & BIT(units_conf(boot->units)->room)) ||
	    (rung->needs_gate && !boot->has_exec_gate))
		return false;
	return rung->needs_mounts == boot->can_mount;
}

static int put_room(struct boot *boot, const struct room *room)
{
	int status = 0;

	for (uint32_t i = 0; i < ROOM_FD_COUNT && status == 0; i++) {
		if (room->fds[i] >= 0)
			status = boot_put(boot, STORE_ROOM, i, room->fds[i]);
	}
	return status;
}

static void close_room(struct room *room)
{
	for (size_t i = 0; i < ROOM_FD_COUNT; i++)
		room->fds[i] = fd_close(room->fds[i]);
}

/* 1: that is it; 0: the next one is to be tried; or a negative exit status. */
static int try_rung(struct boot *boot, const struct rung *rung, struct strbuf *why)
{
	CLEANUP(close_room) struct room room = ROOM_NONE;
	struct room_failure failure;
	char text[256];
	const char *no =
		rung->parts & ROOM_PART_OWN_USER ? refuse_own_user(boot, text, sizeof(text)) : NULL;

	if (no) {
		strbuf_addf(why, "%s%s", why->length ? "; " : "", no);
		return 0;
	}
	if (room_build(boot, rung->parts, &room, &failure) < 0 ||
	    prove(&room, rung->parts, &failure) < 0) {
		strbuf_addf(why, "%s%s: %s: %s", why->length ? "; " : "", rung->name, failure.step,
			    strerror(-failure.error));
		return 0;
	}
	int status = put_room(boot, &room);
	if (status != 0)
		return -status;
	if (why->length && *rung->why)
		strbuf_adds(why, "; ");
	strbuf_adds(why, rung->why);
	boot_protect(boot, "room", rung->level, rung->name, "%s", why->data);
	return 1;
}

/* Where rights that nobody asks for would be needed it is no promise that was broken. */
static void report_none(struct boot *boot, const char *why)
{
	enum protection_level level = PROTECTION_NONE;

	if (units_conf(boot->units)->room == ROOM_NO) {
		why = "Room=no";
	} else if (!boot->is_pid1) {
		why = "who enters does not come by a process that is not PID 1";
		level = PROTECTION_REDUCED;
	} else if (!*why) {
		why = "there is no CAP_SYS_ADMIN in a mount namespace of our own; Room=empty would "
		      "try a user namespace";
		level = PROTECTION_REDUCED;
	}
	boot_protect(boot, "room", level, "none", "%s", why);
}

int room_prepare(struct boot *boot)
{
	char text[300] = "";
	struct strbuf why;
	int r = 0;

	/* Who took holdfast for tini was not promised any. */
	if ((boot->plan.header->flags & PLAN_MAIN_COMMAND) &&
	    units_conf(boot->units)->room == ROOM_NO)
		return 0;
	strbuf_init(&why, text, sizeof(text));
	for (size_t i = 0; i < ARRAY_COUNT(rungs) && r == 0 && boot->is_pid1; i++) {
		if (is_open_to_us(boot, &rungs[i]))
			r = try_rung(boot, &rungs[i], &why);
	}
	if (r != 0)
		return r < 0 ? -r : 0;
	report_none(boot, text);
	return 0;
}
