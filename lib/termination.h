#pragma once
/*
 * The cause, for whoever looks from outside: Kubernetes shows the end of /dev/termination-log in
 * `kubectl describe pod` (at most 4096 bytes are kept).
 */

/* Writes the text there if that file exists and is a regular file. Its last call wins. */
void termination_write(const char *text);

/* Opens it now, for when no path leads there. */
void termination_keep(void);
