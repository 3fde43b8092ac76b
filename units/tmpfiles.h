#pragma once
/*
 * The folders that tmpfiles.d(5) asks for where memory is new at each boot: below /run and below
 * what [Scratch] names. Everything else in those files is done when an image is built, or not at all.
 */
#include "units/unit.h"

/* Once holdfast.conf is read. Fills units->folders. */
void tmpfiles_load(struct units *units);
