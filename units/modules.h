#pragma once
/*
 * What an image has to have of [Modules]: boot loads by the list that images/build made, and looks for
 * it only on a host (init/boot/modules.c). So of a tree that is looked at it is said beforehand.
 */
#include "units/unit.h"

/* An error for each module that the list has not, whose files are not there or not for one kernel, or which
 * stand before what they need; a warning where there is no list, since in containers none is needed. */
void modules_check(struct units *units);
