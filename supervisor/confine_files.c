#include "supervisor/confine_files.h"

/*
 * One rule set serves all units whose lists are the same, and all their starts: a child then only
 * enters it, which is a single call. A unit with directories (StateDirectory= and its like) has one
 * of its own, for as long as these are the same ones: a rule holds for the very file or directory
 * that was there when it was made. Where they are made by this start, or where the unit's processes
 * see other files than the supervisor does (private mounts, credentials), the child makes its set
 * itself, behind the steps that make these.
 *
 * A path that is not there gives no rule. Such a set is used, and not kept: the next start looks
 * again.
 *
 * Every domain keeps its processes from tracing, and from looking into /proc/PID of, who is not in
 * it. Where all share one uid, and in a strict sandbox, they cannot signal them either, from Linux
 * 6.12 on; but for commands that are there to signal the service (ExecStop= …) and probes, which
 * have domains of their own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/hash.h"
#include "lib/landlock.h"
#include "lib/raw.h"
#include "lib/str.h"
#include "supervisor/child.h"

#define SETS_MAX 512 /* kept: each is an fd, and memory of the kernel */

/* What a rule set is made of. */
struct recipe {
	struct plan_range shared, rules;
	uint32_t denied; /* RULE_… */
	uint32_t is_scoped;
	/* Of a unit with directories of its own: which unit, and which directories they are. */
	uint32_t owner, reserved;
	uint64_t directories;
};
#define NO_OWNER UINT32_MAX

struct kept_set {
	struct recipe recipe;
	int fd;
};

struct rulesets {
	int version; /* of Landlock; 0 or less: there is none */
	struct kept_set sets[SETS_MAX];
	size_t count;
};

static const uint64_t writing = LANDLOCK_WRITE_FILE | LANDLOCK_REMOVE_DIR | LANDLOCK_REMOVE_FILE |
				LANDLOCK_MAKE_DIR | LANDLOCK_MAKE_REG | LANDLOCK_MAKE_SOCK |
				LANDLOCK_MAKE_FIFO | LANDLOCK_MAKE_SYM | LANDLOCK_REFER |
				LANDLOCK_TRUNCATE | LANDLOCK_IOCTL_DEV;

/* What is denied, or allowed, by the plan's words. Nobody is allowed to make devices. */
static uint64_t rights_of(uint32_t rules, bool is_denied)
{
	uint64_t rights = 0;

	if (rules & RULE_EXECUTE)
		rights |= LANDLOCK_EXECUTE;
	if (rules & RULE_READ)
		rights |= LANDLOCK_READ_FILE;
	if (rules & RULE_LIST)
		rights |= LANDLOCK_READ_DIR;
	if (rules & RULE_WRITE)
		rights |= writing;
	if ((rules & RULE_WRITE) && is_denied)
		rights |= LANDLOCK_MAKE_CHAR | LANDLOCK_MAKE_BLOCK;
	if (rules & RULE_DEVICE)
		rights |= LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE | LANDLOCK_TRUNCATE |
			  LANDLOCK_IOCTL_DEV;
	return rights;
}

/* ---- Making one: in the supervisor, or in a child that it waits for. */

struct making {
	const struct spawner *spawner;
	const struct plan_unit *unit;
	const char *name;
	int ruleset;
	uint64_t denied;
	bool is_complete; /* all that was to be allowed was there */
};

/* What is missing, or may not even be looked at, needs no rule. */
static int judge(struct making *m, int error)
{
	if (error != -ENOENT && error != -ENOTDIR && error != -EACCES && error != -ELOOP)
		return error;
	m->is_complete = false;
	return 0;
}

static int allow(struct making *m, const char *path, uint64_t rights)
{
	rights &= m->denied;
	return rights == 0 ? 0 : judge(m, landlock_allow(m->ruleset, path, rights));
}

static int allow_entry(struct making *m, int dir_fd, const char *name, uint64_t rights)
{
	struct stat st;

	CLEANUP(fd_closep) int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return judge(m, -errno);
	return S_ISLNK(st.st_mode) ? 0 : landlock_allow_fd(m->ruleset, fd, rights);
}

/* All that is in the directory but what is called left_out, of length bytes. */
static int allow_entries(struct making *m, int dir_fd, const char *left_out, size_t length,
			 uint64_t rights)
{
	char buffer[2048] __attribute__((aligned(8)));
	long n;

	while ((n = syscall(SYS_getdents64, dir_fd, buffer, sizeof(buffer))) > 0) {
		const struct dirent *entry;
		for (long at = 0; at < n; at += entry->d_reclen) {
			entry = (const struct dirent *)(const void *)(buffer + at);
			const char *name = entry->d_name;
			bool is_left_out = strncmp(name, left_out, length) == 0 && !name[length];
			if (is_left_out || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
				continue;
			int r = allow_entry(m, dir_fd, name, rights);
			if (r < 0)
				return r;
		}
	}
	return n < 0 ? -errno : 0;
}

/* Everything at and below path, which ends where rest begins, but what rest leads to. */
static int allow_beside(struct making *m, const char *path, const char *rest, uint64_t rights)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = fd < 0 ? judge(m, -errno) : 0;

	while (fd >= 0) {
		rest += strspn(rest, "/");
		size_t length = strcspn(rest, "/");
		char name[NAME_MAX + 1];
		if (length == 0 || length > NAME_MAX)
			break;
		memcpy(name, rest, length);
		name[length] = '\0';
		r = allow_entries(m, fd, rest, length, rights);
		int next = r < 0 ? -1 : openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fd_close(fd);
		fd = next;
		rest += length;
		if (!rest[strspn(rest, "/")])
			break;
	}
	fd_closep(&fd);
	return r;
}

/* Of what lies at and below path, where the credentials of others lie, too, those are left out:
 * where users are shared it is nothing but this that keeps them. */
static int allow_rule(struct making *m, const struct plan_rule *rule)
{
	const struct plan *plan = m->spawner->plan;
	const char *path = plan_string(plan, rule->path);
	const char *credentials = plan_string(plan, plan->header->credentials_directory);
	size_t length = strcmp(path, "/") == 0 ? 0 : strlen(path);
	uint64_t rights = rights_of(rule->rights, false);
	bool is_above = strncmp(credentials, path, length) == 0 && credentials[length] == '/';

	if (rule->rights == RULE_READ && is_above)
		return allow_beside(m, path, credentials + length, rights & m->denied);
	return allow(m, path, rights);
}

static int allow_rules(struct making *m, struct plan_range range)
{
	int r = 0;

	for (uint32_t i = 0; i < range.count && r == 0; i++)
		r = allow_rule(m, plan_rule(m->spawner->plan, range.first + i));
	return r;
}

static int allow_scratch(struct making *m, struct plan_range range, const char *root)
{
	const struct plan *plan = m->spawner->plan;
	char path[CHILD_PATH_MAX];
	struct strbuf buf;
	int r = 0;

	for (uint32_t i = 0; i < range.count && r == 0; i++) {
		const struct plan_scratch *scratch = plan_scratch(plan, range.first + i);
		uint32_t rights = RULE_READ | RULE_LIST;
		if (!(scratch->flags & SCRATCH_READ_ONLY))
			rights |= RULE_WRITE;
		if (scratch->flags & SCRATCH_EXEC)
			rights |= RULE_EXECUTE;
		strbuf_init(&buf, path, sizeof(path));
		strbuf_addf(&buf, "%s%s", root, plan_string(plan, scratch->path));
		r = allow(m, path, rights_of(rights, false));
	}
	return r;
}

/* What the unit declares as its own. */
static int allow_own(struct making *m)
{
	const uint64_t rights = rights_of(RULE_READ | RULE_LIST | RULE_WRITE, false);
	const struct plan *plan = m->spawner->plan;
	struct plan_range directories = m->unit->directories;
	int r = allow_scratch(m, m->unit->scratch, plan_string(plan, m->unit->root_directory));

	for (uint32_t i = 0; i < directories.count && r == 0; i++) {
		const struct plan_directory *directory =
			plan_directory(plan, directories.first + i);
		r = allow(m, plan_string(plan, directory->path), rights);
	}
	if (r == 0 && (m->unit->flags & UNIT_PRIVATE_TMP))
		r = allow(m, "/tmp", rights);
	if (r == 0 && (m->unit->flags & UNIT_PRIVATE_TMP))
		r = allow(m, "/var/tmp", rights);
	return r;
}

static bool has_credentials(const struct plan_unit *unit)
{
	return unit->secrets.count > 0 || unit->templates.count > 0;
}

static int allow_credentials(struct making *m)
{
	const struct plan *plan = m->spawner->plan;
	const char *parent = plan_string(plan, plan->header->credentials_directory);
	char path[CHILD_PATH_MAX];
	struct strbuf buf;

	if (!has_credentials(m->unit) || !*parent)
		return 0;
	strbuf_init(&buf, path, sizeof(path));
	strbuf_addf(&buf, "%s/%s", parent, m->name);
	return allow(m, path, rights_of(RULE_READ | RULE_LIST, false));
}

static int allow_all(struct making *m, const struct recipe *recipe)
{
	const struct plan *plan = m->spawner->plan;
	int r = allow_rules(m, recipe->shared);

	if (r == 0)
		r = allow_rules(m, recipe->rules);
	if (r == 0)
		r = allow_own(m);
	if (r == 0)
		r = allow_credentials(m);
	if (r == 0 && m->unit->sandbox == UNIT_SANDBOX_STRICT)
		r = allow_scratch(m, plan->header->scratch, "");
	/* Linking and renaming between directories is denied by any rule set that does not say
	 * otherwise: who may write as before, may do that, too. */
	if (r == 0 && !(recipe->denied & RULE_WRITE))
		r = allow(m, "/", LANDLOCK_REFER);
	return r;
}

/* The fd of a new rule set, or -errno. */
static int make(const struct child *child, const struct recipe *recipe, bool *ret_is_complete)
{
	const struct rulesets *rulesets = child->spawner->rulesets;
	struct making m = {
		.spawner = child->spawner,
		.unit = child->unit,
		.name = child->name,
		.denied = (rights_of(recipe->denied, true) | LANDLOCK_REFER) &
			  landlock_rights(rulesets->version),
		.is_complete = true,
	};

	CLEANUP(fd_closep)
	int fd = landlock_create(rulesets->version, m.denied,
				 recipe->is_scoped ? LANDLOCK_NO_SIGNALS : 0);
	if (fd < 0)
		return fd;
	m.ruleset = fd;
	int r = allow_all(&m, recipe);
	if (r < 0)
		return r;
	*ret_is_complete = m.is_complete;
	return fd_steal(&fd);
}

/* ---- Which one. */

/* By the privileges at hand: the kernel asks for one of the two. */
static bool can_enter(const struct child *child)
{
	const struct spawner *spawner = child->spawner;

	return spawner->rulesets->version > 0 &&
	       (confine_has_no_new_privileges(child) ||
		(spawner->capabilities & (UINT64_C(1) << CAP_SYS_ADMIN)));
}

/* Nobody but root can give a unit another than our own. */
static bool is_one_uid(const struct child *child)
{
	return child->spawner->uid != 0;
}

static bool is_service_itself(const struct spawn_request *request)
{
	return request->phase == EXEC_START &&
	       (request->slot == SLOT_MAIN || request->slot == SLOT_CONTROL);
}

/* Which ones they are, or 0 where one is not there yet. */
static uint64_t identify_directories(const struct child *child)
{
	const struct plan *plan = child->spawner->plan;
	struct plan_range range = child->unit->directories;
	uint64_t identity = HASH_BEGIN;
	struct stat st;

	for (uint32_t i = 0; i < range.count; i++) {
		if (stat(plan_string(plan, plan_directory(plan, range.first + i)->path), &st) < 0)
			return 0;
		identity = hash_add(identity, &st.st_dev, sizeof(st.st_dev));
		identity = hash_add(identity, &st.st_ino, sizeof(st.st_ino));
	}
	return identity;
}

static struct recipe recipe_of(const struct child *child)
{
	const struct plan_unit *unit = child->unit;
	bool is_strict = unit->sandbox == UNIT_SANDBOX_STRICT;
	bool is_held = is_strict || (unit->sandbox == UNIT_SANDBOX_UNIT && is_one_uid(child));

	return (struct recipe){
		.shared = unit->shared_rules,
		.rules = unit->rules,
		.denied = unit->denied_rights,
		.is_scoped = is_held && is_service_itself(child->request),
		.owner = unit->directories.count > 0 ? child->request->unit : NO_OWNER,
		.directories = identify_directories(child),
	};
}

/* The second domain, which denies writing to the root alone: what both allow is allowed. */
static struct recipe recipe_of_content(const struct child *child)
{
	struct recipe recipe = recipe_of(child);

	recipe.shared = child->spawner->plan->header->writable;
	recipe.rules = (struct plan_range){0};
	recipe.denied = RULE_WRITE;
	recipe.is_scoped = 0;
	return recipe;
}

static bool wants_content(const struct child *child)
{
	return child->spawner->plan->header->writable.count > 0 && child->drops_rights &&
	       child->unit->sandbox != UNIT_SANDBOX_NONE && can_enter(child);
}

/*
 * A unit that says nothing gets a domain for the sake of its neighbours where all have one uid. The
 * first version of Landlock would take links and renames between directories away from it.
 */
static bool wants_files(const struct child *child)
{
	const struct plan_unit *unit = child->unit;
	int version = child->spawner->rulesets->version;

	if (!child->drops_rights || unit->sandbox == UNIT_SANDBOX_NONE || !can_enter(child))
		return false;
	if (unit->sandbox == UNIT_SANDBOX_STRICT)
		return true;
	return version >= 2 && (unit->denied_rights != 0 || is_one_uid(child));
}

static bool is_made_by_child(const struct plan_unit *unit)
{
	return unit->scratch.count > 0 || (unit->flags & UNIT_PRIVATE_TMP) || has_credentials(unit);
}

static int find_kept(const struct rulesets *rulesets, const struct recipe *recipe)
{
	for (size_t i = 0; i < rulesets->count; i++) {
		if (memcmp(&rulesets->sets[i].recipe, recipe, sizeof(*recipe)) == 0)
			return rulesets->sets[i].fd;
	}
	return -EBADF;
}

/* Where to keep it: in the place of the owner's, whose directories were others, or in a new one. NULL
 * when there is none. */
static struct kept_set *find_place(struct rulesets *rulesets, const struct recipe *recipe)
{
	for (size_t i = 0; i < rulesets->count && recipe->owner != NO_OWNER; i++) {
		struct kept_set *set = &rulesets->sets[i];
		if (set->recipe.owner != recipe->owner ||
		    set->recipe.is_scoped != recipe->is_scoped ||
		    set->recipe.shared.first != recipe->shared.first)
			continue;
		fd_close(set->fd);
		return set;
	}
	return rulesets->count < SETS_MAX ? &rulesets->sets[rulesets->count++] : NULL;
}

static int make_kept(struct child *child, const struct recipe *recipe,
		     struct child_ruleset *ruleset)
{
	struct rulesets *rulesets = child->spawner->rulesets;
	bool is_complete;
	int fd = make(child, recipe, &is_complete);

	if (fd < 0)
		return fd;
	struct kept_set *place = is_complete ? find_place(rulesets, recipe) : NULL;
	ruleset->fd = fd;
	ruleset->is_owned = !place;
	if (place)
		*place = (struct kept_set){*recipe, fd};
	return 0;
}

typedef struct recipe recipe_maker(const struct child *child);

static int choose(struct child *child, recipe_maker *make_recipe, bool is_wanted,
		  struct child_ruleset *ret_ruleset)
{
	*ret_ruleset = (struct child_ruleset){.is_wanted = is_wanted, .fd = -EBADF};
	if (!is_wanted || is_made_by_child(child->unit))
		return 0;
	const struct recipe recipe = make_recipe(child);
	if (recipe.directories == 0)
		return 0;
	ret_ruleset->fd = find_kept(child->spawner->rulesets, &recipe);
	return ret_ruleset->fd >= 0 ? 0 : make_kept(child, &recipe, ret_ruleset);
}

int confine_files_choose(struct child *child)
{
	child->content = (struct child_ruleset){.fd = -EBADF};
	int r = choose(child, recipe_of, wants_files(child), &child->files);
	return r < 0 ? r : choose(child, recipe_of_content, wants_content(child), &child->content);
}

/* What it has is close-on-exec. */
static int enter(const struct child *child, recipe_maker *make_recipe,
		 const struct child_ruleset *ruleset)
{
	bool is_complete;

	if (!ruleset->is_wanted)
		return 0;
	if (ruleset->fd >= 0)
		return landlock_enter(ruleset->fd);
	const struct recipe recipe = make_recipe(child);
	int fd = make(child, &recipe, &is_complete);
	return fd < 0 ? fd : landlock_enter(fd);
}

int confine_files(struct child *child)
{
	int r = 0;

	if (!child->files.is_wanted && !child->content.is_wanted)
		return 0;
	if (child->unit->flags & UNIT_NO_NEW_PRIVILEGES)
		r = RAW2(prctl, PR_SET_NO_NEW_PRIVS, 1);
	if (r == 0)
		r = enter(child, recipe_of_content, &child->content);
	return r < 0 ? r : enter(child, recipe_of, &child->files);
}

int confine_files_init(struct spawner *spawner)
{
	spawner->rulesets = calloc(1, sizeof(*spawner->rulesets));
	if (!spawner->rulesets)
		return -ENOMEM;
	spawner->rulesets->version = landlock_version();
	return 0;
}
