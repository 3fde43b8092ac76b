#pragma once
/*
 * May this be executed? Pure: the facts are exec.c's to find.
 */
#include <stdbool.h>

#include "gate/elf.h"
#include "gate/judge.h"
#include "gate/mounts.h"

struct exec_facts {
	enum judge_verdict who;
	enum mount_place place; /* of the file */
	enum elf_kind kind;	/* of the file */
	bool is_loader_expected; /* the process was allowed a program that names one, and this is next */
};

enum exec_reason {
	EXEC_ALLOWED,
	EXEC_OUTSIDE, /* nobody here started the process */
	EXEC_LOADER,  /* a loader by itself, to run what nobody sees */
	EXEC_BROUGHT, /* on a mount that is neither the image nor scratch for programs */
	EXEC_FOREIGN, /* on a mount of no namespace that the process is in */
	EXEC_REASON_COUNT
};
/* As words of an event, and as the sentence's end. */
extern const char *const exec_reason_names[EXEC_REASON_COUNT];
extern const char *const exec_reason_texts[EXEC_REASON_COUNT];

enum exec_reason exec_decide(const struct exec_facts *facts);
