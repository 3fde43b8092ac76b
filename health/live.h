#pragma once
/*
 * Liveness is asked for, not kept: a question goes to PID 1 and to the supervisor by one eventfd
 * each, and their answers are counters in shared memory that move. So nobody has to wake up to say
 * that all is well, and a process that is stuck cannot be taken for alive because of a heartbeat
 * that another thread still writes.
 *
 * Each request has a question of its own, with the whole time to be answered in: one that joined an
 * older question would inherit its lost poke (the supervisor died after it had read it) and what
 * was left of its time. Many at once are one wake-up all the same, as an eventfd adds them up.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/board.h"
#include "lib/journal.h"

#define LIVE_TIMEOUT_US UINT64_C(500000) /* the kubelet gives a probe one second */

struct live {
	int ask_init_fd, ask_supervisor_fd, answer_fd; /* borrowed */
	const struct journal *journal;
	const struct board *board;
};

struct live_question {
	uint64_t init_before, supervisor_before; /* the counters when it was asked */
	uint64_t deadline_us;
	bool init_answered, supervisor_answered; /* hold once live_look said so */
};

void live_ask(const struct live *live, struct live_question *ret_question);
/* Takes what answer_fd says; without blocking, as it is only called when it can be read. */
void live_drain(const struct live *live);
/* True once the question is settled: both answered, or its time is up. */
bool live_look(const struct live *live, struct live_question *question, uint64_t now_us);
