#pragma once
/*
 * From the initramfs to the root: its mounts move, its files are deleted (they are memory, and
 * nothing of them may be found by anybody later), and holdfast takes over the pid.
 */
#include "init/initramfs/root.h"

#define SWITCH_PROGRAM "/usr/lib/holdfast/holdfast"

/* Pure but for the files: deletes what lies below the folder fd on its own file system, at most 16
 * levels deep; what is mounted there stays. Takes fd. */
void switch_delete(int fd);

/* Whether the root at ROOT_MOUNT has what is needed. 0, or -errno with a sentence. */
int switch_check(char ret_message[ROOT_MESSAGE_MAX]);

/*
 * Never returns when it succeeds. argv is {"holdfast"} and the environment empty, whatever the
 * kernel's command line says. -errno with a sentence; after that there is nothing to go back to.
 */
int switch_root(char ret_message[ROOT_MESSAGE_MAX]);
