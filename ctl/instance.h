#pragma once
/*
 * The instance as its public files show it: public plan, board and ring, mapped read-only. Nobody
 * is asked, so all of it works while every process of holdfast is stuck, stopped or dead.
 */
#include <stdbool.h>

#include "lib/board.h"
#include "lib/gateboard.h"
#include "lib/plan.h"
#include "lib/ring.h"

struct instance {
	struct plan plan;
	struct board board;
	struct ring ring;	      /* header NULL: there is no log to be read here */
	const struct gateboard *gate; /* NULL: no record of the gate is to be read here */
	char directory[256];	      /* where the files lie; empty: PID 1 handed them over */
};

/*
 * Finds and maps it: below directory, or when that is NULL what PID 1 handed over, then
 * /run/holdfast, then /dev/shm/holdfast, each also with .PID behind it where there is just one
 * such. 0, or -errno with a sentence in why (size bytes): -ENOENT when there is no instance.
 */
int instance_open(const char *directory, struct instance *ret_instance, char *why, size_t size);

/* The gate's record, borrowed; nothing changes where it cannot be mapped. */
void instance_map_gate(int gate_fd, struct instance *instance);

/* The three files, borrowed; ring_fd may be negative. Board and plan must be of the same units. 0,
 * -EBADMSG or -errno. */
int instance_map(int plan_fd, int board_fd, int ring_fd, struct instance *instance);
