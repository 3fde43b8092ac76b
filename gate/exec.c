/*
 * Each execution on a marked mount stops in the kernel until one word is written here; so the thread
 * that answers waits for nobody. It executes and forks nothing, what it logs goes to a pipe that does
 * not block, and the files that it opens are those of /proc, which is not marked. (A vfork in here, or a
 * line for a log that waits for an exec, would stop the machine: tried, and so it was.)
 *
 * A question is read one at a time, so a death takes at most one with it. Its file is lost with the fd
 * that came along, and the kernel knows it by nothing but that fd's number: the successor refuses every
 * number that there can have been. RLIMIT_NOFILE keeps those few.
 *
 * holdfast's own static programs are never asked about (boot marked them so): the successor of a dead
 * gate has to be executed while nobody answers.
 *
 * What this cannot see: a static program in a memory file (memfds lie on a mount of the kernel's own,
 * which takes no marks since 6.5: vm.memfd_noexec closes that), what was mapped instead of executed, and
 * a loader that was executed just after an execution of the same process failed half-way. Those are the
 * services' own sandboxes' to refuse; who comes from outside is refused before any of it.
 */
#include "gate/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gate/decide.h"
#include "gate/elf.h"
#include "gate/gate.h"
#include "gate/pending.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"
#include "lib/sys.h"

#define FDS_MAX 256 /* that may be open here: numbers of questions are below */
/* Of statx(2): as mountinfo has it; one that no other mount ever gets (6.8). */
#define MOUNT_ID	0x1000U
#define MOUNT_ID_UNIQUE 0x4000U

#define LINES_BURST   20
#define LINE_EVERY_US (USEC_PER_SEC / 2)

/* ---- the start */

static void limit_fds(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= FDS_MAX)
		return;
	limit.rlim_cur = FDS_MAX;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int answer(int group, int number, bool is_allowed)
{
	const struct fanotify_response response = {
		.fd = number,
		.response = is_allowed ? FAN_ALLOW : FAN_DENY,
	};

	return write(group, &response, sizeof(response)) < 0 ? -errno : 0;
}

static void refuse_what_was_read(int group)
{
	int64_t n = 0;

	for (int number = 0; number < FDS_MAX; number++)
		n += answer(group, number, false) == 0;
	if (n == 0)
		return;
	event_with_i64("executions", n);
	event_emit(EVENT_WARNING, "exec-refused-unseen", NULL,
		   "what holdfast-gate was asked about when it died is refused: nobody can tell "
		   "any more what it was");
}

/* Why there is none, as the kernel says it to us as it did to boot. */
static void say_none(struct gate *gate)
{
	char text[GATE_WHY_MAX];
	const char *why = text;
	CLEANUP(fd_closep)
	int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		why = "boot could not mark the root (exec-gate-failed)";
	else if (errno == EPERM)
		why = "fanotify needs CAP_SYS_ADMIN in the first user namespace";
	else
		(void)snprintf(text, sizeof(text), "fanotify: %s", strerror(errno));
	gateboard_write_rung(gate->record, GATE_EXEC, PROTECTION_NONE, "none", why);
}

static bool are_memfds_closed(const struct gate *gate)
{
	char text[16];

	return io_read_file(gate->proc_fd, "sys/vm/memfd_noexec", text, sizeof(text)) > 0 &&
	       *text == '2';
}

static void say_rung(struct exec_gate *exec)
{
	const char *why = "";

	if (exec->gate->is_lenient)
		why = "Shells=warn: what would be refused is reported, and executed";
	else if (!exec->mounts.is_root_ours)
		why = "the root's file system is not the instance's alone, so a service's own copy "
		      "of its mounts is not watched (PrivateTmp= and its like)";
	else if (!are_memfds_closed(exec->gate))
		why = "programs in memory files are not seen: vm.memfd_noexec is not 2 here";
	gateboard_write_rung(exec->gate->record, GATE_EXEC,
			     *why ? PROTECTION_REDUCED : PROTECTION_FULL, "fanotify", why);
}

int exec_start(struct exec_gate *exec, struct gate *gate, const struct judge *judge)
{
	*exec = (struct exec_gate){
		.gate = gate,
		.group = store_find(gate->store, STORE_EXEC_GATE, 0),
		.mounts_fd = -EBADF,
		.judge = judge,
		.mounts = {.plan = &gate->plan,
			   .is_host = proc_is_first_namespace(gate->proc_fd) > 0},
		.tokens = LINES_BURST,
		.token_us = clock_now_us(),
	};
	if (exec->group < 0) {
		say_none(gate);
		return 0;
	}
	if (!judge && !exec->mounts.is_host)
		return -ENODATA;
	limit_fds();
	refuse_what_was_read(exec->group);
	exec->mounts_fd = openat(gate->proc_fd, "self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (exec->mounts_fd < 0)
		return -errno;
	int r = mounts_refresh(&exec->mounts, exec->group);
	if (r == 0)
		say_rung(exec);
	return r;
}

void exec_take_mounts(struct exec_gate *exec)
{
	int r = mounts_refresh(&exec->mounts, exec->group);

	if (r == 0)
		return;
	event_with_i64("errno", -r);
	event_emit(EVENT_ERROR, "exec-gate-mount", NULL,
		   "new mounts cannot be watched: %s; what is executed there is not looked at",
		   strerror(-r));
}

/* ---- where the file lies */

/* By the bare call, as musl's structure has no place for it. 0: not to be had. */
static uint64_t statx_mount(int fd, uint32_t what)
{
	enum { MASK = 0, MNT_ID = 0x90 };
	_Alignas(uint64_t) unsigned char statx[256] = {0};
	uint32_t mask;
	uint64_t id;

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, what, statx) < 0)
		return 0;
	memcpy(&mask, statx + MASK, sizeof(mask));
	memcpy(&id, statx + MNT_ID, sizeof(id));
	return mask & what ? id : 0;
}

/* proc_pid_fdinfo(5), before Linux 5.8. 0: not to be had. */
static uint64_t fdinfo_mount(int proc_fd, int fd)
{
	char path[48], text[512];
	uint64_t id = 0;

	(void)snprintf(path, sizeof(path), "self/fdinfo/%d", fd);
	if (io_read_file(proc_fd, path, text, sizeof(text)) <= 0)
		return 0;
	char *at = strstr(text, "mnt_id:");
	char *end = at ? strchr(at, '\n') : NULL;
	if (!end)
		return 0;
	*end = '\0';
	at += strlen("mnt_id:");
	at += strspn(at, " \t");
	return str_parse_u64(at, UINT64_MAX, &id) == 0 ? id : 0;
}

static uint64_t mount_of(int proc_fd, int fd)
{
	uint64_t id = statx_mount(fd, MOUNT_ID);

	return id != 0 ? id : fdinfo_mount(proc_fd, fd);
}

static void path_of(int proc_fd, const char *link, char *path, size_t size)
{
	ssize_t n = readlinkat(proc_fd, link, path, size - 1);

	path[n < 0 ? 0 : n] = '\0';
}

/* A mount of another namespace is named as that one has it; the copy of ours that most of them are has
 * the same file at the same place. */
static struct mounts_spot spot_of_copy(const struct exec_gate *exec, int fd)
{
	char link[32], path[4096];
	struct stat there, here;

	(void)snprintf(link, sizeof(link), "self/fd/%d", fd);
	path_of(exec->gate->proc_fd, link, path, sizeof(path));
	CLEANUP(fd_closep) int ours = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (ours < 0 || fstat(fd, &there) < 0 || fstat(ours, &here) < 0 ||
	    there.st_dev != here.st_dev || there.st_ino != here.st_ino)
		return (struct mounts_spot){.place = MOUNT_UNKNOWN};
	return mounts_find(&exec->mounts, mount_of(exec->gate->proc_fd, ours));
}

static struct mounts_spot visit(struct exec_gate *exec,
				const struct fanotify_event_metadata *question, uint64_t id)
{
	uint64_t unique = statx_mount(question->fd, MOUNT_ID_UNIQUE);
	struct mounts_spot spot = {.place = MOUNT_UNKNOWN};

	for (uint32_t i = 0; unique != 0 && i < ARRAY_COUNT(exec->visited); i++) {
		if (exec->visited[i].id == unique)
			return exec->visited[i].spot;
	}
	if (question->pid > 0)
		spot = mounts_visit(&exec->mounts, exec->gate->proc_fd, question->pid, id,
				    exec->group);
	/* A service with a root of its own has a table of what lies below that alone. */
	if (spot.place == MOUNT_UNKNOWN)
		spot = spot_of_copy(exec, question->fd);
	uint32_t next = exec->n_visited++ % ARRAY_COUNT(exec->visited);
	exec->visited[next].id = unique;
	exec->visited[next].spot = spot;
	return spot;
}

static enum mount_place find_place(struct exec_gate *exec,
				   const struct fanotify_event_metadata *question)
{
	char link[32], path[4096];
	uint64_t id = mount_of(exec->gate->proc_fd, question->fd);
	struct mounts_spot spot = mounts_find(&exec->mounts, id);

	if (spot.place == MOUNT_UNKNOWN)
		spot = visit(exec, question, id);
	if (spot.place != MOUNT_OTHER)
		return spot.place;
	(void)snprintf(link, sizeof(link), "self/fd/%d", question->fd);
	path_of(exec->gate->proc_fd, link, path, sizeof(path));
	return mounts_is_named(&exec->mounts, path, spot.point_length) ? MOUNT_DECLARED
								       : MOUNT_OTHER;
}

/* ---- what is said about it */

static bool may_say(struct exec_gate *exec)
{
	uint64_t now_us = clock_now_us();
	uint64_t due = (now_us - exec->token_us) / LINE_EVERY_US;

	if (due > 0) {
		exec->tokens = (uint32_t)MIN(LINES_BURST, exec->tokens + due);
		exec->token_us = now_us;
	}
	if (exec->tokens == 0) {
		exec->unsaid++;
		return false;
	}
	exec->tokens--;
	return true;
}

struct refusal {
	enum exec_reason reason;
	int32_t pid;
	char path[GATE_EXE_MAX];
	char program[GATE_EXE_MAX]; /* that the process still is */
	struct proc_stat stat;
	uint32_t uid;
};

/* Before the answer, after which the process may be gone. */
static void describe(const struct gate *gate, const struct fanotify_event_metadata *question,
		     enum exec_reason reason, struct refusal *ret_refusal)
{
	*ret_refusal = (struct refusal){.reason = reason, .pid = question->pid};
	char link[32];

	(void)snprintf(link, sizeof(link), "self/fd/%d", question->fd);
	path_of(gate->proc_fd, link, ret_refusal->path, sizeof(ret_refusal->path));
	if (question->pid <= 0 ||
	    proc_read_stat(gate->proc_fd, question->pid, &ret_refusal->stat) < 0)
		return;
	(void)snprintf(link, sizeof(link), "%d/exe", question->pid);
	path_of(gate->proc_fd, link, ret_refusal->program, sizeof(ret_refusal->program));
	(void)proc_read_uid(gate->proc_fd, question->pid, &ret_refusal->uid);
}

static void say_refusal(struct exec_gate *exec, const struct refusal *refusal)
{
	static const char *const events[] = {"exec-refused", "exec-would-be-refused"};
	static const char *const verbs[] = {"was not executed", "would not be executed"};
	struct gate_refusal record = {
		.wall_us = clock_wall_us(),
		.counter = exec->gate->is_lenient ? GATE_REPORTED : GATE_DENIED,
		.pid = refusal->pid,
		.uid = refusal->uid,
	};

	(void)str_copy(record.exe, sizeof(record.exe), refusal->path);
	gateboard_write_refusal(exec->gate->record, &record);
	if (!may_say(exec))
		return;
	event_with_string("reason", exec_reason_names[refusal->reason]);
	event_with_string("exe", refusal->path);
	event_with_i64("pid", refusal->pid);
	event_with_i64("uid", refusal->uid);
	event_with_string("asker", refusal->program);
	event_with_i64("parent", refusal->stat.parent);
	if (exec->unsaid > 0)
		event_with_i64("unsaid", exec->unsaid);
	exec->unsaid = 0;
	event_emit(EVENT_WARNING, events[exec->gate->is_lenient], NULL, "%s %s: %s", refusal->path,
		   verbs[exec->gate->is_lenient], exec_reason_texts[refusal->reason]);
}

/* ---- a question */

static enum judge_verdict who_asks(const struct judge *judge, int32_t pid)
{
	struct judge_result result;

	/* 0: of another PID namespace, above ours. */
	if (pid <= 0)
		return JUDGE_INTRUDER;
	return judge ? judge_process(judge, pid, &result) : JUDGE_OURS;
}

static enum exec_reason judge_question(struct exec_gate *exec,
				       const struct fanotify_event_metadata *question)
{
	struct exec_facts facts = {
		.who = JUDGE_OURS,
		.kind = elf_inspect_fd(question->fd),
		.is_loader_expected = pending_take(exec->gate->record, question->pid),
		.place = find_place(exec, question),
	};

	/* Whose program was just allowed is not looked at again for its loader. */
	if (facts.kind != ELF_LOADER || !facts.is_loader_expected)
		facts.who = who_asks(exec->judge, question->pid);
	enum exec_reason reason = exec_decide(&facts);
	if (facts.kind == ELF_DYNAMIC && (reason == EXEC_ALLOWED || exec->gate->is_lenient))
		pending_set(exec->gate->record, question->pid);
	return reason;
}

bool exec_take_question(struct exec_gate *exec)
{
	struct fanotify_event_metadata question;
	struct refusal refusal;

	CRASH_POINT("gate-before-read");
	ssize_t n = read(exec->group, &question, sizeof(question));
	if (n < (ssize_t)sizeof(question) || question.vers != FANOTIFY_METADATA_VERSION ||
	    question.fd < 0)
		return false;
	CRASH_POINT("gate-after-read");
	enum exec_reason reason = judge_question(exec, &question);
	bool is_refused = reason != EXEC_ALLOWED;
	if (is_refused)
		describe(exec->gate, &question, reason, &refusal);
	CRASH_POINT("gate-before-answer");
	/* ENOENT: it was killed meanwhile. */
	(void)answer(exec->group, question.fd, !is_refused || exec->gate->is_lenient);
	(void)close(question.fd);
	CRASH_POINT("gate-after-answer");
	if (is_refused)
		say_refusal(exec, &refusal);
	return reason == EXEC_OUTSIDE;
}
