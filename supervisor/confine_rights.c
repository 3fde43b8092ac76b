/*
 * Who a unit's process is and what it may do: ids, capabilities, no_new_privs, and the filter of its
 * system calls.
 *
 * By system call: libc's versions of set*id take locks for threads that we do not have, and a child
 * that was killed in one would leave it locked in the supervisor.
 *
 * A filter can be installed by who has no_new_privs, and then it is the last thing before the
 * program; or with CAP_SYS_ADMIN, and then before the ids go. What is done after that is nothing that
 * any filter denies.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/seccomp.h>

#include "lib/cleanup.h"
#include "lib/raw.h"
#include "lib/sys.h"
#include "supervisor/child.h"
#include "supervisor/filter.h"

#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT	     47
#define PR_CAP_AMBIENT_RAISE 2
#endif
#define GROUPS_MAX 256
#define BIT(n)	   (UINT64_C(1) << (n))

static bool has_capability(const struct child *child, unsigned capability)
{
	return child->spawner->capabilities & BIT(capability);
}

static bool keeps_uid(const struct child *child)
{
	return child->unit->uid == PLAN_NO_ID || child->unit->uid == child->spawner->uid;
}

static bool keeps_gid(const struct child *child)
{
	return child->unit->gid == PLAN_NO_ID || child->unit->gid == child->spawner->gid;
}

/* A command that its unit's sandbox does not hold. */
static bool has_free_commands(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_EXECS); i++) {
		if (plan_exec(plan, i)->flags & EXEC_FULL_RIGHTS)
			return true;
	}
	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		if (plan_unit(plan, i)->flags & UNIT_PERMISSIONS_START_ONLY)
			return true;
	}
	return false;
}

/* What some child may come to have. Helpers are root's programs, and limit themselves. */
static uint64_t bounding_of_all(const struct plan *plan)
{
	uint64_t set = 0;

	if (plan_section_count(plan, PLAN_SECRETS) > 0 || has_free_commands(plan))
		return UINT64_MAX;
	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		const struct plan_unit *unit = plan_unit(plan, i);
		if (unit->kind == UNIT_SERVICE)
			set |= unit->flags & UNIT_BOUNDING ? unit->bounding_capabilities
							   : UINT64_MAX;
	}
	return set;
}

/* The kernel makes new credentials for each that is dropped: 40 of them are a tenth of a start. */
void confine_all_bounding(struct spawner *spawner)
{
	uint64_t drop = spawner->bounding & ~bounding_of_all(spawner->plan);

	if (!(spawner->capabilities & BIT(CAP_SETPCAP)))
		return;
	for (unsigned long i = 0; i < 64; i++) {
		if (drop & BIT(i))
			(void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	}
	spawner->bounding = sys_bounding_set();
}

int confine_bounding(struct child *child)
{
	uint64_t drop = child->spawner->bounding & ~child->unit->bounding_capabilities;

	if (!child->drops_rights || !(child->unit->flags & UNIT_BOUNDING) || drop == 0)
		return 0;
	/* What the set would keep away, set-id files and capabilities of files, this does too. */
	if (!has_capability(child, CAP_SETPCAP))
		return RAW2(prctl, PR_SET_NO_NEW_PRIVS, 1);
	int r = 0;
	for (unsigned long i = 0; r == 0 && i < 64; i++) {
		if (drop & BIT(i))
			r = RAW2(prctl, PR_CAPBSET_DROP, i);
	}
	return r;
}

static int set_groups(const struct child *child)
{
	struct plan_list list = child->unit->groups;
	uint32_t groups[GROUPS_MAX];

	if (list.count > GROUPS_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < list.count; i++)
		groups[i] = plan_list_get(child->spawner->plan, list, i);
	return RAW2(setgroups, list.count, RAW_POINTER(groups));
}

int confine_groups(struct child *child)
{
	uint32_t gid = child->unit->gid;
	bool is_asked = child->unit->uid != PLAN_NO_ID || gid != PLAN_NO_ID ||
			child->unit->groups.count > 0;

	if (!child->drops_rights || !is_asked)
		return 0;
	/* Already who it should be, and unable to be anyone else. */
	if (keeps_uid(child) && keeps_gid(child) && !has_capability(child, CAP_SETGID))
		return 0;
	int r = set_groups(child);
	if (r == -EPERM)
		child->detail = "this needs CAP_SETGID";
	if (r < 0 || gid == PLAN_NO_ID)
		return r;
	return RAW3(setresgid, gid, gid, gid);
}

static bool wants_ambient(const struct child *child)
{
	return child->drops_rights && (child->unit->flags & UNIT_AMBIENT) &&
	       child->unit->ambient_capabilities != 0;
}

int confine_user(struct child *child)
{
	uint32_t uid = child->unit->uid;

	if (!child->drops_rights || keeps_uid(child))
		return 0;
	int r = wants_ambient(child) ? RAW2(prctl, PR_SET_KEEPCAPS, 1) : 0;
	if (r == 0)
		r = RAW3(setresuid, uid, uid, uid);
	if (r == -EPERM) {
		(void)snprintf(child->text, sizeof(child->text),
			       "uid %u (without CAP_SETUID only our own, %u, can be had: run the "
			       "container as the unit's user)",
			       uid, child->spawner->uid);
		child->detail = child->text;
	}
	return r;
}

static int set_capabilities(uint64_t permitted, uint64_t inheritable)
{
	const struct sys_capabilities sets = {
		.effective = permitted,
		.permitted = permitted,
		.inheritable = inheritable,
	};

	return sys_capset(&sets) < 0 ? -errno : 0;
}

int confine_capabilities(struct child *child)
{
	uint64_t ambient = child->unit->ambient_capabilities;
	uint64_t permitted = child->spawner->capabilities;
	uint64_t inheritable = child->spawner->inheritable;

	if (!child->drops_rights)
		return 0;
	if (!wants_ambient(child)) {
		/* root's inheritable set is added to what the bounding set leaves: capabilities(7) */
		if (!(child->unit->flags & UNIT_BOUNDING) || !keeps_uid(child) ||
		    !(inheritable & ~child->unit->bounding_capabilities))
			return 0;
		return set_capabilities(permitted,
					inheritable & child->unit->bounding_capabilities);
	}
	if (ambient & ~permitted) {
		(void)snprintf(child->text, sizeof(child->text),
			       "AmbientCapabilities= asks for %#llx, of which we lack %#llx",
			       (unsigned long long)ambient,
			       (unsigned long long)(ambient & ~permitted));
		child->detail = child->text;
		return -EPERM;
	}
	int r = set_capabilities(keeps_uid(child) ? permitted : ambient, ambient);
	for (unsigned long i = 0; r == 0 && i < 64; i++) {
		if (ambient & BIT(i))
			r = RAW3(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i);
	}
	return r;
}

int confine_no_new_privileges(struct child *child)
{
	if (!child->drops_rights || !(child->unit->flags & UNIT_NO_NEW_PRIVILEGES))
		return 0;
	return RAW2(prctl, PR_SET_NO_NEW_PRIVS, 1);
}

/* ---- The filter. */

bool confine_has_no_new_privileges(const struct child *child)
{
	return child->spawner->has_no_new_privs ||
	       (child->drops_rights && (child->unit->flags & UNIT_NO_NEW_PRIVILEGES));
}

static int install(const struct sock_fprog *program, unsigned told)
{
	/* Without the flag kernels before 5.16 slow all of the service down for the sake of a
	 * sandbox that runs foreign code within one process, which this is not. */
	const unsigned flags[] = {SECCOMP_FILTER_FLAG_SPEC_ALLOW | told, told, 0};
	int r = -EINVAL;

	for (size_t i = 0; r == -EINVAL && i < ARRAY_COUNT(flags); i++)
		r = RAW3(seccomp, SECCOMP_SET_MODE_FILTER, flags[i], RAW_POINTER(program));
	return r;
}

static bool needs_mark_alone(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		const struct plan_unit *unit = plan_unit(plan, i);
		if (unit->kind == UNIT_SERVICE && unit->denied_calls == 0)
			return true;
	}
	return has_free_commands(plan);
}

void confine_mark(struct spawner *spawner)
{
	bool may = spawner->has_no_new_privs || (spawner->capabilities & BIT(CAP_SYS_ADMIN));

	spawner->is_marked = spawner->has_filters && may && needs_mark_alone(spawner->plan) &&
			     install(filter_mark(spawner->filters), 0) == 0;
}

static int install_filter(const struct child *child)
{
	const struct filters *filters = child->spawner->filters;
	uint32_t unit = child->request->unit;
	bool is_heard = child->spawner->are_refusals_heard;
	const struct sock_fprog *quiet = filter_of_quiet(filters, unit, child->drops_rights);
	const struct sock_fprog *program = filter_of(filters, unit, child->drops_rights);

	if (child->spawner->is_marked && program == filter_mark(filters))
		return 0;
	int r = install(program, is_heard ? SECCOMP_FILTER_FLAG_LOG : 0);
	/* Without it there is more to hear than there should be. */
	if (r == 0 && is_heard && quiet)
		(void)install(quiet, 0);
	return r;
}

int confine_filter_early(struct child *child)
{
	if (!child->spawner->has_filters || confine_has_no_new_privileges(child) ||
	    !has_capability(child, CAP_SYS_ADMIN))
		return 0;
	return install_filter(child);
}

int confine_filter(struct child *child)
{
	if (!child->spawner->has_filters || !confine_has_no_new_privileges(child))
		return 0;
	return install_filter(child);
}
