#pragma once
/*
 * What a machine does with its file systems before it ends.
 */

/*
 * Writes everything to the disks; then unmounts, turns swap off, and lets go of loop and mapped devices,
 * again and again until nothing more goes, since each may lie on another; makes read-only what is left,
 * and says so. Whatever hangs is left alone after five seconds. For a child that can be given up:
 * allocates, forks, and may take as long as the disks make progress.
 */
void detach_all(void);
