/*
 * The list is compiled where holdfast is built (supervisor/service-filter.list, tools/mkfilter.c),
 * with all groups denied; a return there names its group. Making the filter of a unit is copying that
 * and settling the returns: the unit's error where the group is denied, else to allow. A set that
 * denies nothing needs one instruction, and that filter is a mark as good as any.
 */
#include "supervisor/filter.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <linux/seccomp.h>

#include "gen/supervisor/service-filter.h"
#include "lib/cleanup.h"

_Static_assert(ARRAY_COUNT(supervisor_service_groups) == CALL_GROUP_COUNT,
	       "lib/plan.h and the list have the same groups");

struct filter {
	uint32_t denied_calls;
	struct sock_fprog program;
};

struct filters {
	struct filter *items; /* the first denies nothing */
	size_t count;
	uint32_t *of_unit; /* by unit: its index */
};

/*
 * C libraries try clone3 for each thread, and go on with clone: no refusal that anybody should hear of.
 * Of two filters that return the same action the one that was installed last counts, and whether it is
 * told of. Its number is the same for all architectures.
 */
static struct sock_filter quiet[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static const struct sock_fprog quiet_program = {ARRAY_COUNT(quiet), quiet};

static struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

static uint32_t settle(uint32_t returned, uint32_t denied_calls)
{
	uint32_t code = returned & SECCOMP_RET_DATA;

	if ((returned & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO)
		return returned;
	if (!(denied_calls & (UINT32_C(1) << (code / 2 - 1))))
		return SECCOMP_RET_ALLOW;
	return SECCOMP_RET_ERRNO | (code % 2 ? ENOSYS : EPERM);
}

static int make(struct filter *filter, uint32_t denied_calls)
{
	bool is_native = denied_calls & (UINT32_C(1) << CALLS_FOREIGN);
	const struct sock_filter *list =
		is_native ? supervisor_service_filter : supervisor_service_foreign_filter;
	size_t count = is_native ? ARRAY_COUNT(supervisor_service_filter)
				 : ARRAY_COUNT(supervisor_service_foreign_filter);

	*filter = (struct filter){denied_calls, {ARRAY_COUNT(allow), allow}};
	if (denied_calls == 0)
		return 0;
	struct sock_filter *code = malloc(count * sizeof(*code));
	if (!code)
		return -ENOMEM;
	memcpy(code, list, count * sizeof(*code));
	for (size_t i = 0; i < count; i++) {
		if (code[i].code == (BPF_RET | BPF_K))
			code[i].k = settle(code[i].k, denied_calls);
	}
	filter->program = (struct sock_fprog){(unsigned short)count, code};
	return 0;
}

/* The index of the filter for that set, which is made where there was none, or -errno. */
static int find_or_make(struct filters *filters, uint32_t denied_calls)
{
	for (size_t i = 0; i < filters->count; i++) {
		if (filters->items[i].denied_calls == denied_calls)
			return (int)i;
	}
	void *items = realloc(filters->items, (filters->count + 1) * sizeof(*filters->items));
	if (!items)
		return -ENOMEM;
	filters->items = items;
	int r = make(&filters->items[filters->count], denied_calls);
	return r < 0 ? r : (int)filters->count++;
}

static int make_all(struct filters *filters, const struct plan *plan)
{
	uint32_t n_units = plan_unit_count(plan);

	filters->of_unit = calloc(n_units + 1, sizeof(*filters->of_unit));
	if (!filters->of_unit)
		return -ENOMEM;
	int r = find_or_make(filters, 0);
	for (uint32_t i = 0; r >= 0 && i < n_units; i++) {
		r = find_or_make(filters, plan_unit(plan, i)->denied_calls);
		filters->of_unit[i] = (uint32_t)r;
	}
	return r < 0 ? r : 0;
}

int filter_init(const struct plan *plan, struct filters **ret_filters)
{
	struct filters *filters = calloc(1, sizeof(*filters));

	if (!filters)
		return -ENOMEM;
	int r = make_all(filters, plan);
	if (r == 0) {
		*ret_filters = filters;
		return 0;
	}
	/* The supervisor cannot go on without: what is left of it goes with the process. */
	free(filters->of_unit);
	free(filters->items);
	free(filters);
	return r;
}

const struct sock_fprog *filter_of(const struct filters *filters, uint32_t unit, bool is_held)
{
	return is_held ? &filters->items[filters->of_unit[unit]].program : filter_mark(filters);
}

const struct sock_fprog *filter_mark(const struct filters *filters)
{
	return &filters->items[0].program;
}

const struct sock_fprog *filter_of_quiet(const struct filters *filters, uint32_t unit, bool is_held)
{
	uint32_t denied = filters->items[is_held ? filters->of_unit[unit] : 0].denied_calls;

	return denied & (UINT32_C(1) << CALLS_NAMESPACES) ? &quiet_program : NULL;
}
