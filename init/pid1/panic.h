#pragma once

/*
 * From here on a crash of this process (a fault, an abort, a smashed stack) writes one last line to
 * fd and then dies of its signal, as it would have without us. fd, which is borrowed for good, is the
 * stderr that we were given: once log takes ours, its lines end with us.
 */
void panic_install(int fd);

/* On a machine: where the line goes as well is opened now, for when no path leads there. */
void panic_keep_log(void);
