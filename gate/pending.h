#pragma once
/*
 * Who is in the middle of an execution: processes that were allowed to execute a program which names a
 * loader, and for whom the kernel opens that loader next. The table lies in the gate's record, so that
 * a successor knows it too.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/gateboard.h"

/* An execution that failed after its program was opened leaves its entry behind: the oldest of a
 * neighbourhood gives way. */
void pending_set(struct gateboard *record, int32_t pid);
/* Was it set? It is not any more. */
bool pending_take(struct gateboard *record, int32_t pid);
