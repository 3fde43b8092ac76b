#pragma once
/* Scratch on a disk that is made anew (disk.c). */
#include "init/boot/boot.h"

/* The disk of scratch, empty, is mounted at its path. 0, or an exit status after boot_fail. */
int disk_mount(struct boot *boot, const struct plan_scratch *scratch, bool *ret_is_encrypted);
