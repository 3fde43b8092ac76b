#include "gate/pending.h"

#include <stddef.h>

#define NEAR 16 /* places that a pid may stand in */

_Static_assert((GATE_PENDING_MAX & (GATE_PENDING_MAX - 1)) == 0, "it is a mask");

/* An entry is the pid and, above it, the turn in which it was set; 0: free. */
static int32_t pid_of(uint64_t entry)
{
	return (int32_t)(entry & UINT32_MAX);
}

static _Atomic uint64_t *place(struct gateboard *record, int32_t pid, uint32_t i)
{
	return &record->pending[((uint32_t)pid + i) & (GATE_PENDING_MAX - 1)];
}

void pending_set(struct gateboard *record, int32_t pid)
{
	_Atomic uint64_t *oldest = place(record, pid, 0);

	for (uint32_t i = 0; i < NEAR; i++) {
		_Atomic uint64_t *at = place(record, pid, i);
		if (pid_of(*at) == pid) {
			oldest = at;
			break;
		}
		if (*at < *oldest)
			oldest = at;
	}
	/* The turn grows: what is free, or was set longest ago, is the least number. */
	*oldest = (uint64_t)(++record->pending_turn) << 32 | (uint32_t)pid;
}

bool pending_take(struct gateboard *record, int32_t pid)
{
	for (uint32_t i = 0; i < NEAR; i++) {
		_Atomic uint64_t *at = place(record, pid, i);
		if (pid_of(*at) == pid && *at != 0) {
			*at = 0;
			return true;
		}
	}
	return false;
}
