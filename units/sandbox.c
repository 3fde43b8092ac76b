/*
 * A unit of ours is strict unless it says otherwise. One that a distribution wrote for systemd, and
 * the command of `holdfast [OPTIONS] -- CMD`, get what they say and what cannot break them: the
 * measure is the list of calls that Docker denies by default, under which the same packages run
 * everywhere, with its rule that a capability that may be had frees the calls that it is for.
 *
 * no_new_privs takes away what set-id files and files with capabilities give. Whether a service
 * needs those cannot be known before it runs: its program may start any other (a web server's mail
 * command is set-gid). So a distribution's unit gets it where it says so, or says what implies it
 * (systemd.exec(5)), and is else left without. Then a filter can only be installed by who holds
 * CAP_SYS_ADMIN; where nobody does, the unit has neither filter nor mark, and that is told.
 */
#include "units/sandbox.h"

#include <linux/capability.h>

#define BIT(n) (UINT64_C(1) << (n))

/* What masters that drop to a user need, and nothing that reaches beyond the service's own files and
 * processes. Docker gives these, and MKNOD, NET_RAW, SETFCAP and AUDIT_WRITE as well. */
const uint64_t sandbox_root_capabilities = BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) |
					   BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_KILL) |
					   BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETPCAP) |
					   BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT);

static const struct {
	uint64_t capabilities; /* each of them frees the calls */
	bool is_strict;	       /* denied in a strict sandbox alone */
} groups[CALL_GROUP_COUNT] = {
	[CALLS_TTY] = {0, false},
	[CALLS_PTRACE] = {BIT(CAP_SYS_PTRACE), true},
	[CALLS_NAMESPACES] = {BIT(CAP_SYS_ADMIN), false},
	[CALLS_MOUNT] = {BIT(CAP_SYS_ADMIN), false},
	[CALLS_BPF] = {BIT(CAP_SYS_ADMIN) | BIT(CAP_BPF) | BIT(CAP_PERFMON), false},
	[CALLS_KEYRING] = {BIT(CAP_SYS_ADMIN), false},
	[CALLS_USERFAULTFD] = {BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_PTRACE), false},
	[CALLS_MEMFD] = {0, true},
	[CALLS_FEXECVE] = {0, true},
	[CALLS_IO_URING] = {0, true},
	[CALLS_CLOCK] = {BIT(CAP_SYS_TIME), false},
	[CALLS_MODULES] = {BIT(CAP_SYS_MODULE), false},
	[CALLS_REBOOT] = {BIT(CAP_SYS_BOOT), false},
	[CALLS_RAW_IO] = {BIT(CAP_SYS_RAWIO), false},
	[CALLS_ADMIN] = {BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_PACCT) | BIT(CAP_SYSLOG), false},
	[CALLS_HANDLES] = {BIT(CAP_DAC_READ_SEARCH), false},
	[CALLS_PERSONALITY] = {0, false},
	[CALLS_FOREIGN] = {0, true},
};

static bool is_root(const struct plan_unit *plan, uint32_t own_uid)
{
	return plan->uid == 0 || (plan->uid == PLAN_NO_ID && own_uid == 0);
}

static uint64_t ambient(const struct plan_unit *plan)
{
	return plan->flags & UNIT_AMBIENT ? plan->ambient_capabilities : 0;
}

/* systemd sets it with a filter, for who has no CAP_SYS_ADMIN then. */
static bool implies_no_new_privileges(const struct unit *unit)
{
	const struct plan_unit *plan = &unit->plan;

	return (unit->has_sandbox_words || unit->has_dynamic_user) && !is_root(plan, 0) &&
	       !(ambient(plan) & BIT(CAP_SYS_ADMIN));
}

static uint32_t default_level(const struct unit *unit)
{
	return unit->is_distributions || unit->is_command ? UNIT_SANDBOX_UNIT : UNIT_SANDBOX_STRICT;
}

void sandbox_settle(struct unit *unit)
{
	struct plan_unit *plan = &unit->plan;

	plan->sandbox = unit->sandbox == UNIT_SANDBOX_COUNT ? default_level(unit) : unit->sandbox;
	if (unit->name.kind != UNIT_SERVICE || plan->sandbox == UNIT_SANDBOX_NONE)
		return;
	/* A command has no file in which it could ask for it. */
	if (plan->sandbox == UNIT_SANDBOX_STRICT || unit->is_command ||
	    implies_no_new_privileges(unit))
		plan->flags |= UNIT_NO_NEW_PRIVILEGES;
	if (plan->sandbox != UNIT_SANDBOX_STRICT || (plan->flags & UNIT_BOUNDING))
		return;
	plan->flags |= UNIT_BOUNDING;
	plan->bounding_capabilities =
		ambient(plan) | (is_root(plan, 0) ? sandbox_root_capabilities : 0);
}

/* The capabilities that some process of the unit may come to have. */
static uint64_t reachable(const struct units_facts *facts, const struct plan_unit *plan)
{
	bool is_confined = facts->has_no_new_privs || (plan->flags & UNIT_NO_NEW_PRIVILEGES);
	uint64_t set = facts->bounding;

	if (plan->flags & UNIT_BOUNDING)
		set &= plan->bounding_capabilities;
	if (is_confined && !is_root(plan, facts->uid))
		set &= plan->uid == PLAN_NO_ID ? facts->capabilities | ambient(plan)
					       : ambient(plan);
	return set;
}

static uint32_t denied_calls(const struct units_facts *facts, const struct plan_unit *plan)
{
	uint64_t set = reachable(facts, plan);
	uint32_t denied = 0;

	for (uint32_t i = 0; i < CALL_GROUP_COUNT; i++) {
		bool is_for = plan->sandbox == UNIT_SANDBOX_STRICT || !groups[i].is_strict;
		if (is_for && !(groups[i].capabilities & set))
			denied |= UINT32_C(1) << i;
	}
	return plan->sandbox == UNIT_SANDBOX_NONE ? 0 : denied & ~plan->allowed_calls;
}

static bool has_full_rights(const struct exec_lines *lines)
{
	for (size_t i = 0; i < lines->count; i++) {
		if (lines->items[i].flags & EXEC_FULL_RIGHTS)
			return true;
	}
	return false;
}

/* Whether one of its commands runs without what the unit says of no_new_privs. */
static bool has_free_commands(const struct unit *unit)
{
	bool is_start_only = unit->plan.flags & UNIT_PERMISSIONS_START_ONLY;

	for (int phase = 0; phase < EXEC_PHASE_COUNT; phase++) {
		const struct exec_lines *lines = &unit->exec[phase];
		if (has_full_rights(lines) ||
		    (is_start_only && phase != EXEC_START && lines->count > 0))
			return true;
	}
	for (int kind = 0; kind < PROBE_KIND_COUNT; kind++) {
		if (has_full_rights(&unit->probes[kind].exec))
			return true;
	}
	return false;
}

void sandbox_complete(const struct units_facts *facts, const struct unit *unit,
		      struct plan_unit *plan)
{
	if (unit->name.kind != UNIT_SERVICE)
		return;
	bool always = facts->has_no_new_privs || (facts->capabilities & BIT(CAP_SYS_ADMIN));
	bool by_itself = (plan->flags & UNIT_NO_NEW_PRIVILEGES) && !has_free_commands(unit);

	plan->denied_calls = denied_calls(facts, plan);
	if (facts->has_filters && (always || by_itself))
		plan->flags |= UNIT_IS_MARKED;
}
