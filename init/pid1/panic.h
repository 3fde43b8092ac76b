#pragma once

/*
 * From here on a crash of this process (a fault, an abort, a smashed stack) writes one last line to
 * stderr and then dies of its signal, as it would have without us.
 */
void panic_install(void);
