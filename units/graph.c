#include "units/graph.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/load.h"
#include "lib/reference.h"

static const enum unit_relation inverses[UNIT_RELATION_COUNT] = {
	[REL_REQUIRES] = REL_REQUIRED_BY,  [REL_REQUISITE] = REL_REQUISITE_OF,
	[REL_WANTS] = REL_WANTED_BY,	   [REL_BINDS_TO] = REL_BOUND_BY,
	[REL_PART_OF] = REL_CONSISTS_OF,   [REL_CONFLICTS] = REL_CONFLICTED_BY,
	[REL_BEFORE] = REL_AFTER,	   [REL_AFTER] = REL_BEFORE,
	[REL_TRIGGERS] = REL_TRIGGERED_BY,
};

static const char *const relation_words[UNIT_RELATION_COUNT] = {
	[REL_REQUIRES] = "Requires",	[REL_REQUISITE] = "Requisite",
	[REL_WANTS] = "Wants",		[REL_BINDS_TO] = "BindsTo",
	[REL_PART_OF] = "PartOf",	[REL_CONFLICTS] = "Conflicts",
	[REL_BEFORE] = "Before",	[REL_AFTER] = "After",
	[REL_ON_FAILURE] = "OnFailure", [REL_ON_SUCCESS] = "OnSuccess",
	[REL_TRIGGERS] = "Service",
};

/* ---------------------------------------------------------------- names become units */

static bool is_absent(const struct unit *unit)
{
	return unit->is_foreign || unit->is_masked || unit->is_missing;
}

static const char *absence(const struct unit *unit)
{
	return unit->is_foreign	 ? "holdfast has no such type of unit"
	       : unit->is_masked ? "it is masked"
				 : "there is no such unit";
}

/* Without what it requires a unit could never start. */
static bool is_strong(enum unit_relation type)
{
	return type == REL_REQUIRES || type == REL_REQUISITE || type == REL_BINDS_TO ||
	       type == REL_TRIGGERS;
}

/* Mounts, devices and slices are there or not before holdfast starts a unit: nothing to wait for. */
static bool is_given(const struct unit *unit)
{
	static const char *const suffixes[] = {"mount", "device", "slice", "swap", "automount"};

	for (size_t i = 0; unit->is_foreign && i < ARRAY_COUNT(suffixes); i++) {
		if (strcmp(unit->name.suffix, suffixes[i]) == 0)
			return true;
	}
	return false;
}

static void say_absent(struct units *units, const struct relation *relation, const struct unit *to)
{
	bool is_pulling = is_strong(relation->type) || relation->type == REL_WANTS ||
			  relation->type == REL_ON_FAILURE || relation->type == REL_ON_SUCCESS;
	const char *word = relation_words[relation->type];

	if (!is_pulling)
		return;
	if (is_given(to)) {
		if (relation->type != REL_WANTS && strcmp(to->name.suffix, "slice") != 0)
			report_warning(&units->report, &relation->at, "%s=%s: taken as given: %s",
				       word, relation->name, absence(to));
	} else if (is_strong(relation->type)) {
		report_error(&units->report, &relation->at, "%s=%s: %s", word, relation->name,
			     absence(to));
	} else if (!to->is_masked) {
		report_warning(&units->report, &relation->at, "%s=%s: %s: left out", word,
			       relation->name, absence(to));
	}
}

static void link_unit(struct units *units, struct unit *unit)
{
	for (size_t i = 0; i < unit->relations.count; i++) {
		struct relation *relation = &unit->relations.items[i];
		if (load_is_final_target(relation->name)) {
			if (is_strong(relation->type))
				report_error(&units->report, &relation->at,
					     "%s=%s: that target is never reached",
					     relation_words[relation->type], relation->name);
			continue;
		}
		struct unit *to = load_find(units, relation->name);
		if (to && is_absent(to))
			say_absent(units, relation, to);
		else if (to != unit)
			relation->to = to;
		else if (relation->type != REL_PART_OF && !relation->is_implied)
			report_warning(&units->report, &relation->at, "%s=%s: the unit itself",
				       relation_words[relation->type], relation->name);
	}
}

static void say_empty_roots(struct units *units)
{
	for (size_t i = 0; i < units->count; i++) {
		const struct unit *unit = units->items[i];
		if (unit->is_named && is_absent(unit))
			report_error(&units->report, &unit->at, "%s: %s", unit->name.full,
				     absence(unit));
		else if (unit->is_named && unit->is_builtin && unit->relations.count == 0)
			report_error(
				&units->report, &unit->at,
				"%s holds no units here: expected the units themselves, or its file "
				"or %s.wants/ in one of holdfast's own folders",
				unit->name.full, unit->name.full);
	}
}

/* ---------------------------------------------------------------- implied order */

static void imply_order(struct units *units, struct unit *unit, enum unit_relation type,
			struct unit *to)
{
	if (!to || to == unit || is_absent(to))
		return;
	*LIST_ADD(&units->arena, &unit->relations) = (struct relation){
		.type = type,
		.name = to->name.full,
		.at = {.file = unit->file},
		.is_implied = true,
		.to = to,
	};
}

static bool is_ordered(const struct unit *unit, const struct unit *other)
{
	for (size_t i = 0; i < unit->relations.count; i++) {
		const struct relation *r = &unit->relations.items[i];
		if (r->to == other && (r->type == REL_BEFORE || r->type == REL_AFTER))
			return true;
	}
	return false;
}

/* A target comes after what it pulls in, unless one of the two says otherwise. */
static void imply_target_order(struct units *units, struct unit *target)
{
	size_t count = target->relations.count;

	for (size_t i = 0; i < count; i++) {
		struct relation relation = target->relations.items[i];
		bool is_pulling = relation.type == REL_WANTS || relation.type == REL_REQUIRES ||
				  relation.type == REL_BINDS_TO;
		if (is_pulling && relation.to && relation.to->default_dependencies != ANSWER_NO &&
		    !is_ordered(target, relation.to) && !is_ordered(relation.to, target))
			imply_order(units, target, REL_AFTER, relation.to);
	}
}

/* How the standard targets follow each other, where both are there. */
static const struct {
	const char *name, *after;
} standard_order[] = {
	{"network.target", "network-pre.target"},   {"network-online.target", "network.target"},
	{"local-fs.target", "local-fs-pre.target"}, {"remote-fs.target", "remote-fs-pre.target"},
	{"sysinit.target", "local-fs.target"},	    {"sysinit.target", "swap.target"},
	{"sysinit.target", "cryptsetup.target"},    {"basic.target", "sysinit.target"},
	{"basic.target", "sockets.target"},	    {"multi-user.target", "basic.target"},
	{"graphical.target", "multi-user.target"},  {"default.target", "multi-user.target"},
	{"time-sync.target", "time-set.target"},
};

static void imply_unit_order(struct units *units, struct unit *unit)
{
	if (is_absent(unit) || unit->default_dependencies == ANSWER_NO)
		return;
	if (unit->name.kind == UNIT_TARGET)
		imply_target_order(units, unit);
	if (unit->name.kind != UNIT_TARGET)
		imply_order(units, unit, REL_AFTER, load_find_exact(units, "sysinit.target"));
	if (unit->name.kind == UNIT_SERVICE)
		imply_order(units, unit, REL_AFTER, load_find_exact(units, "basic.target"));
	if (unit->name.kind == UNIT_SOCKET)
		imply_order(units, unit, REL_BEFORE, load_find_exact(units, "sockets.target"));
}

static void imply_all_order(struct units *units)
{
	for (size_t i = 0; i < units->count; i++)
		imply_unit_order(units, units->items[i]);
	for (size_t i = 0; i < ARRAY_COUNT(standard_order); i++) {
		struct unit *unit = load_find_exact(units, standard_order[i].name);
		if (unit && unit->is_builtin)
			imply_order(units, unit, REL_AFTER,
				    load_find_exact(units, standard_order[i].after));
	}
}

/* ---------------------------------------------------------------- numbers and inverses */

static void number_units(struct units *units)
{
	size_t kept = 0;

	for (size_t i = 0; i < units->count; i++) {
		if (is_absent(units->items[i]))
			continue;
		units->items[i]->index = (uint32_t)kept;
		units->items[kept++] = units->items[i];
	}
	units->count = kept;
}

static void relate(struct units *units, struct unit *from, enum unit_relation type,
		   const struct unit *to)
{
	struct indices *list = &from->related[type];

	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i] == to->index)
			return;
	}
	*LIST_ADD(&units->arena, list) = to->index;
}

static void relate_all(struct units *units)
{
	for (size_t i = 0; i < units->count; i++) {
		struct unit *unit = units->items[i];
		for (size_t j = 0; j < unit->relations.count; j++) {
			const struct relation *r = &unit->relations.items[j];
			if (!r->to)
				continue;
			relate(units, unit, r->type, r->to);
			/* 0 is REL_REQUIRES, which inverts nothing: OnFailure= and OnSuccess=
			 * have no inverse. */
			if (inverses[r->type] != 0)
				relate(units, r->to, inverses[r->type], unit);
		}
		/* Sockets=: what a service may be handed, beside the sockets that name it. */
		for (size_t j = 0; j < unit->sockets.count; j++) {
			struct unit *socket = load_find(units, unit->sockets.items[j].text);
			if (!socket || is_absent(socket) || socket->name.kind != UNIT_SOCKET)
				continue;
			relate(units, socket, REL_TRIGGERS, unit);
			relate(units, unit, REL_TRIGGERED_BY, socket);
		}
	}
}

/* ---------------------------------------------------------------- the network */

static bool comes_after(const struct units *units, uint32_t later, uint32_t first, uint8_t *seen)
{
	const struct indices *after = &units->items[later]->related[REL_AFTER];

	if (later == first)
		return true;
	seen[later] = 1;
	for (size_t i = 0; i < after->count; i++) {
		if (!seen[after->items[i]] && comes_after(units, after->items[i], first, seen))
			return true;
	}
	return false;
}

static bool has_remote_secret(const struct unit *unit)
{
	for (size_t i = 0; i < unit->secrets.count; i++) {
		const struct secret *secret = &unit->secrets.items[i];
		if ((secret->flags & SECRET_IS_REMOTE) || reference_is_remote(secret->reference))
			return true;
	}
	return false;
}

/*
 * What has to ask a service over the network comes after the network, though its file may not say so:
 * but for what brings the network up. And the network is not there as long as what brings it up only
 * keeps being started.
 */
static void follow_network(struct units *units)
{
	struct unit *online = load_find_exact(units, "network-online.target");

	if (!online || is_absent(online))
		return;
	online->plan.flags |= UNIT_PATIENT;
	for (size_t i = 0; i < units->count; i++) {
		struct unit *unit = units->items[i];
		uint8_t *seen = arena_alloc(&units->arena, units->count);
		if (!has_remote_secret(unit) ||
		    comes_after(units, online->index, unit->index, seen))
			continue;
		relate(units, unit, REL_AFTER, online);
		relate(units, online, REL_BEFORE, unit);
	}
}

/* ---------------------------------------------------------------- what is wanted */

static void want(struct units *units, struct unit *unit)
{
	static const enum unit_relation pulling[] = {REL_REQUIRES, REL_WANTS, REL_BINDS_TO};

	if (unit->plan.flags & UNIT_WANTED)
		return;
	unit->plan.flags |= UNIT_WANTED;
	for (size_t i = 0; i < ARRAY_COUNT(pulling); i++) {
		const struct indices *list = &unit->related[pulling[i]];
		for (size_t j = 0; j < list->count; j++)
			want(units, units->items[list->items[j]]);
	}
}

static void want_all(struct units *units)
{
	for (size_t i = 0; i < units->count; i++) {
		struct unit *unit = units->items[i];
		if (unit->is_named || unit->is_builtin || unit->plan.flags & UNIT_IS_MAIN)
			want(units, unit);
	}
}

/* Both would stop each other for ever. */
static void find_conflicts(struct units *units)
{
	for (size_t i = 0; i < units->count; i++) {
		const struct unit *unit = units->items[i];
		for (size_t j = 0; j < unit->relations.count; j++) {
			const struct relation *r = &unit->relations.items[j];
			if (r->type == REL_CONFLICTS && r->to &&
			    unit->plan.flags & r->to->plan.flags & UNIT_WANTED)
				report_error(
					&units->report, &r->at,
					"Conflicts=%s: %s and %s exclude each other, and both are "
					"wanted",
					r->name, unit->name.full, r->to->name.full);
		}
	}
}

/* ---------------------------------------------------------------- cycles */

enum color { COLOR_NEW, COLOR_OPEN, COLOR_DONE };

struct search {
	struct units *units;
	uint8_t *colors;
	uint32_t *stack;
	size_t depth;
};

/* Where it was said that from comes after to. */
static const struct relation *find_order(const struct unit *from, const struct unit *to)
{
	const struct {
		const struct unit *unit, *other;
		enum unit_relation type;
	} sides[] = {{from, to, REL_AFTER}, {to, from, REL_BEFORE}};

	for (size_t s = 0; s < ARRAY_COUNT(sides); s++) {
		const struct relations *list = &sides[s].unit->relations;
		for (size_t i = 0; i < list->count; i++) {
			const struct relation *r = &list->items[i];
			if (r->to == sides[s].other && r->type == sides[s].type)
				return r;
		}
	}
	return NULL;
}

static void say_cycle(struct search *search, uint32_t again)
{
	struct units *units = search->units;
	struct text text = {.arena = &units->arena};
	size_t first = search->depth;

	while (search->stack[--first] != again)
		;
	const struct unit *start = units->items[again];
	const struct relation *order = NULL;
	for (size_t i = first; i < search->depth; i++) {
		const struct unit *unit = units->items[search->stack[i]];
		const struct unit *next =
			i + 1 < search->depth ? units->items[search->stack[i + 1]] : start;
		const struct relation *r = find_order(unit, next);
		if (r && (!order || order->is_implied))
			order = r;
		text_adds(&text, unit->name.full);
		text_adds(&text, " after ");
	}
	text_adds(&text, start->name.full);
	struct where at = order ? order->at : (struct where){.file = start->file};
	report_error(&units->report, &at, "the order has a cycle: %s", text_end(&text));
}

/* As deep as there are units at most (PLAN_UNITS_MAX). */
static void visit(struct search *search, uint32_t index)
{
	const struct indices *after = &search->units->items[index]->related[REL_AFTER];

	search->colors[index] = COLOR_OPEN;
	search->stack[search->depth++] = index;
	for (size_t i = 0; i < after->count; i++) {
		uint32_t next = after->items[i];
		if (search->colors[next] == COLOR_OPEN)
			say_cycle(search, next);
		else if (search->colors[next] == COLOR_NEW)
			visit(search, next);
	}
	search->depth--;
	search->colors[index] = COLOR_DONE;
}

static void find_cycles(struct units *units)
{
	struct search search = {
		.units = units,
		.colors = arena_alloc(&units->arena, units->count + 1),
		.stack = arena_alloc(&units->arena, (units->count + 1) * sizeof(uint32_t)),
	};

	for (uint32_t i = 0; i < units->count; i++) {
		if (search.colors[i] == COLOR_NEW)
			visit(&search, i);
	}
}

void graph_build(struct units *units)
{
	for (size_t i = 0; i < units->count; i++) {
		if (!is_absent(units->items[i]))
			link_unit(units, units->items[i]);
	}
	say_empty_roots(units);
	imply_all_order(units);
	number_units(units);
	relate_all(units);
	follow_network(units);
	want_all(units);
	find_conflicts(units);
	find_cycles(units);
}
