#include "lib/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gen/lib/build.h"
#include "lib/fd.h"
#include "lib/sys.h"

#define STORE_MAGIC UINT64_C(0x65726f7473666868)

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* <linux/fcntl.h> */
#endif

const char *const role_programs[ROLE_COUNT] = {
	[ROLE_INIT] = "holdfast",
	[ROLE_BOOT] = "holdfast-boot",
	[ROLE_SUPERVISOR] = "holdfast-supervisor",
	[ROLE_LOG] = "holdfast-log",
	[ROLE_HEALTH] = "holdfast-health",
	[ROLE_GATE] = "holdfast-gate",
	[ROLE_SECRETS] = "holdfast-secrets",
	[ROLE_SECRETS_REMOTE] = "holdfast-secrets-remote",
	[ROLE_CTL] = "holdfastctl",
};

#define BIT(kind) (UINT64_C(1) << (kind))
#define SECRETS_GRANTS                                                           \
	(BIT(STORE_ENVIRON) | BIT(STORE_SECRET_FILE) | BIT(STORE_FINGERPRINTS) | \
	 BIT(STORE_FINGERPRINT_KEY))

/*
 * The supervisor does nothing with the exec gate's group: it holds it. When the last one that does is
 * gone the kernel lets those pass that wait for an answer, and PID 1, killed while the gate is dead,
 * closes its files before it takes its namespace with it.
 */
const uint64_t store_grants[ROLE_COUNT] = {
	[ROLE_BOOT] = BIT(STORE_EXEC) | BIT(STORE_ENVIRON) | BIT(STORE_CHANNEL),
	[ROLE_SUPERVISOR] =
		BIT(STORE_EXEC) | BIT(STORE_PLAN) | BIT(STORE_BOARD) | BIT(STORE_BOARD_FILE) |
		BIT(STORE_JOURNAL_READ) | BIT(STORE_ENVIRON) | BIT(STORE_PIPE_WRITE) |
		BIT(STORE_NOTIFY) | BIT(STORE_SOCKET) | BIT(STORE_SECRET) |
		BIT(STORE_SECRET_OTHER) | BIT(STORE_SECRET_STATE) | BIT(STORE_SECRET_REPORT) |
		BIT(STORE_FINGERPRINTS) | BIT(STORE_FINGERPRINT_KEY) | BIT(STORE_SECRET_FILE) |
		BIT(STORE_CREDENTIALS) | BIT(STORE_CGROUP) | BIT(STORE_CHANNEL) |
		BIT(STORE_EVENT_JOURNAL) | BIT(STORE_EVENT_PHASE) |
		BIT(STORE_EVENT_ASK_SUPERVISOR) | BIT(STORE_EVENT_ANSWER) | BIT(STORE_EXEC_GATE),
	[ROLE_LOG] = BIT(STORE_PLAN_PUBLIC) | BIT(STORE_BOARD_PUBLIC) | BIT(STORE_RING) |
		     BIT(STORE_CAPTURE) | BIT(STORE_OUTPUT) | BIT(STORE_PIPE_READ) |
		     BIT(STORE_FINGERPRINTS_READ) | BIT(STORE_FINGERPRINT_KEY),
	[ROLE_HEALTH] = BIT(STORE_PLAN_PUBLIC) | BIT(STORE_BOARD_PUBLIC) | BIT(STORE_RING_PUBLIC) |
			BIT(STORE_JOURNAL_READ) | BIT(STORE_LISTEN) | BIT(STORE_EVENT_ASK_INIT) |
			BIT(STORE_EVENT_ASK_SUPERVISOR) | BIT(STORE_EVENT_ANSWER) |
			BIT(STORE_GATE_PUBLIC),
	/* STORE_EXEC: by which file our own programs are known. */
	[ROLE_GATE] = BIT(STORE_EXEC) | BIT(STORE_PLAN_PUBLIC) | BIT(STORE_BOARD_PUBLIC) |
		      BIT(STORE_JOURNAL_READ) | BIT(STORE_GATE) | BIT(STORE_EXEC_GATE) |
		      BIT(STORE_AUDIT),
	/* What belongs to one unit (values, state, report) is passed to its helper by number, as
	 * these kinds would be every unit's. */
	[ROLE_SECRETS] = SECRETS_GRANTS,
	[ROLE_SECRETS_REMOTE] = SECRETS_GRANTS,
	[ROLE_CTL] = BIT(STORE_PLAN_PUBLIC) | BIT(STORE_BOARD_PUBLIC) | BIT(STORE_RING_PUBLIC) |
		     BIT(STORE_GATE_PUBLIC),
};

static size_t table_size(uint32_t capacity)
{
	return sizeof(struct store_table) + capacity * sizeof(struct store_entry);
}

/* Every process of ours holds this fd, and PID 1 believes what stands behind it: from now on our
 * mapping is the only way to write there. Before Linux 5.1 its size alone can be kept. */
static void seal(void)
{
	const int size = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;

	if (fcntl(STORE_FD, F_ADD_SEALS, size | F_SEAL_FUTURE_WRITE) < 0)
		(void)fcntl(STORE_FD, F_ADD_SEALS, size);
}

int store_create(uint32_t capacity, struct store_table **ret_table)
{
	int fd = sys_memfd_create("holdfast-store", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (fd != STORE_FD) {
		if (dup3(fd, STORE_FD, O_CLOEXEC) < 0)
			return -errno;
		(void)fd_close(fd);
	}
	if (ftruncate(STORE_FD, (off_t)table_size(capacity)) < 0)
		return -errno;
	struct store_table *table =
		mmap(NULL, table_size(capacity), PROT_READ | PROT_WRITE, MAP_SHARED, STORE_FD, 0);
	if (table == MAP_FAILED)
		return -errno;
	seal();
	table->magic = STORE_MAGIC;
	table->build = BUILD_ID;
	table->capacity = capacity;
	*ret_table = table;
	return 0;
}

static struct store_entry *find_entry(struct store_table *table, uint32_t kind, uint32_t index)
{
	for (uint32_t i = 0; i < table->count; i++) {
		if (table->entries[i].kind == kind && table->entries[i].index == index)
			return &table->entries[i];
	}
	return NULL;
}

static struct store_entry *free_entry(struct store_table *table)
{
	/* Dropped entries are rare; the search is worth it only when the table is full. */
	if (table->count < table->capacity)
		return &table->entries[table->count++];
	for (uint32_t i = 0; i < table->count; i++) {
		if (table->entries[i].kind == STORE_NONE)
			return &table->entries[i];
	}
	return NULL;
}

/* Pipes come by the thousand, once, and are never replaced: no search for an older one, and whoever
 * made them has said O_CLOEXEC. */
static bool is_put_once(enum store_kind kind)
{
	return kind == STORE_PIPE_READ || kind == STORE_PIPE_WRITE;
}

int store_put(struct store_table *table, enum store_kind kind, uint32_t index, int fd)
{
	struct store_entry *entry = is_put_once(kind) ? NULL : find_entry(table, kind, index);

	if (!is_put_once(kind))
		(void)fd_set_cloexec(fd, true);
	if (entry) {
		(void)fd_close(entry->fd);
		entry->fd = fd;
		return 0;
	}
	entry = free_entry(table);
	if (!entry) {
		(void)fd_close(fd);
		return -ENOSPC;
	}
	entry->fd = fd;
	entry->index = index;
	entry->kind = kind;
	return 0;
}

void store_drop(struct store_table *table, enum store_kind kind, uint32_t index)
{
	struct store_entry *entry = find_entry(table, kind, index);

	if (!entry)
		return;
	entry->kind = STORE_NONE;
	entry->fd = fd_close(entry->fd);
}

/* Of the kind STORE_EXEC, which programs: those that it starts, or knows by their files. */
static const uint64_t program_grants[ROLE_COUNT] = {
	[ROLE_BOOT] = UINT64_MAX,
	[ROLE_SUPERVISOR] = BIT(ROLE_SECRETS) | BIT(ROLE_SECRETS_REMOTE),
	[ROLE_GATE] = BIT(ROLE_CTL) | BIT(STORE_EXEC_STUB),
};

static bool is_granted(const struct store_entry *entry, enum role role)
{
	if (entry->kind >= STORE_KIND_COUNT || !(store_grants[role] & BIT(entry->kind)))
		return false;
	return entry->kind != STORE_EXEC ||
	       (entry->index <= STORE_EXEC_STUB && (program_grants[role] & BIT(entry->index)));
}

void store_expose(const struct store_table *table, enum role role)
{
	(void)fcntl(STORE_FD, F_SETFD, 0);
	for (uint32_t i = 0; i < table->count; i++) {
		if (is_granted(&table->entries[i], role))
			(void)fcntl(table->entries[i].fd, F_SETFD, 0);
	}
}

/* What store_expose undid. In one call where the kernel can (5.11): all that we were given stands
 * from STORE_FD on. */
static void conceal(const struct store_table *table, enum role role)
{
	if (sys_close_range(STORE_FD, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return;
	(void)fcntl(STORE_FD, F_SETFD, FD_CLOEXEC);
	for (uint32_t i = 0; i < table->count; i++) {
		if (is_granted(&table->entries[i], role))
			(void)fcntl(table->entries[i].fd, F_SETFD, FD_CLOEXEC);
	}
}

static int check(const struct store_table *table, size_t size)
{
	if (table->magic != STORE_MAGIC)
		return -EBADF;
	if (table->build != BUILD_ID)
		return -ESTALE;
	return table_size(table->capacity) > size || table->count > table->capacity ? -EBADF : 0;
}

const char *store_strerror(int error)
{
	return error == -ESTALE
		       ? "it is of another build than the holdfast that started it: expected "
			 "all programs of an image to be of one build"
		       : "holdfast starts this program";
}

int store_attach(enum role role, const struct store_table **ret_table)
{
	struct stat st;

	if (fstat(STORE_FD, &st) < 0)
		return -errno;
	if ((size_t)st.st_size < sizeof(struct store_table))
		return -EBADF;
	const struct store_table *table =
		mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, STORE_FD, 0);
	if (table == MAP_FAILED)
		return -EBADF;
	int r = check(table, (size_t)st.st_size);
	if (r < 0) {
		(void)munmap((void *)table, (size_t)st.st_size);
		return r;
	}
	/* Before Linux 6.14 whoever is executed from an fd is named after its number. */
	(void)prctl(PR_SET_NAME, role_programs[role]);
	conceal(table, role);
	*ret_table = table;
	return 0;
}

int store_find(const struct store_table *table, enum store_kind kind, uint32_t index)
{
	for (uint32_t i = 0; i < table->count; i++) {
		if (table->entries[i].kind == kind && table->entries[i].index == index)
			return table->entries[i].fd;
	}
	return -EBADF;
}

const struct store_entry *store_next(const struct store_table *table, enum store_kind kind,
				     uint32_t *cursor)
{
	while (*cursor < table->count) {
		const struct store_entry *entry = &table->entries[(*cursor)++];
		if (entry->kind == kind)
			return entry;
	}
	return NULL;
}
