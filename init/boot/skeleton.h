#pragma once
/*
 * The folders of the image below a path that memory is mounted on.
 */
#include <sys/types.h>

/*
 * Gives to the mode and owner of from, and makes in it all folders that lie below from, with
 * theirs; no files. Both are open directories. What is mounted below from, and what is a link, is
 * left out. 0, or -errno: -ENOSPC when to takes no more, -E2BIG beyond 4096 folders or 32 levels.
 */
int skeleton_copy(int from, int to);
