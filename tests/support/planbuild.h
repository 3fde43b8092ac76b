#pragma once
/*
 * Plans for tests, put together by hand: records are changed in place, text and lists are added.
 * Everything that is too much aborts.
 */
#include <stddef.h>
#include <stdint.h>

#include "lib/plan.h"

struct planbuild {
	struct plan_header header;
	unsigned char *records[PLAN_SECTION_COUNT];
	uint32_t counts[PLAN_SECTION_COUNT];
};

void planbuild_init(struct planbuild *build);
/* The offset of a copy of text. */
plan_str planbuild_text(struct planbuild *build, const char *text);
/* A list of numbers, or of the offsets of strings. */
struct plan_list planbuild_list(struct planbuild *build, const uint32_t *values, uint32_t count);
struct plan_list planbuild_texts(struct planbuild *build, const char *const *texts);
/* Adds a zeroed record; valid until the next of the same section. *ret_index may be NULL. */
void *planbuild_record(struct planbuild *build, enum plan_section section, uint32_t *ret_index);
/* A unit with what the compiler would fill in when its file says nothing. */
struct plan_unit *planbuild_unit(struct planbuild *build, const char *name, uint32_t *ret_index);
/* Adds one command; all commands of a phase must follow each other. */
void planbuild_exec(struct planbuild *build, uint32_t unit, enum exec_phase phase,
		    const char *const *argv, uint32_t flags);
/* The block; *ret_plan points into it. */
void planbuild_finish(struct planbuild *build, void **ret_block, size_t *ret_size,
		      struct plan *ret_plan);
