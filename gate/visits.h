#pragma once
/*
 * Who came from outside and met PID 1's room: the stub under the name of a shell, or nothing that could
 * be executed at all. Nobody has to be killed for that; but it is a refusal, so it is told and counted.
 */
#include <stdbool.h>
#include <stdint.h>

#include "gate/gate.h"
#include "gate/judge.h"

struct visits {
	struct gate *gate;
	bool is_room_bare;   /* it has nothing that a runtime could execute */
	uint64_t seen_us;    /* when somebody was last seen who had come; 0: never */
	uint64_t settled_us; /* until when each who came is accounted for */
};

void visits_open(struct visits *visits, struct gate *gate);
/* One that the judge calls a visitor. */
void visits_note(struct visits *visits, const struct judge_result *result);
/* Somebody was found who is told of by others. */
void visits_note_intruder(struct visits *visits, uint64_t now_us);
/* The PID namespace was entered at entered_us (0: never). When to ask again; 0: there is no need to. */
uint64_t visits_settle(struct visits *visits, uint64_t entered_us, uint64_t now_us);
