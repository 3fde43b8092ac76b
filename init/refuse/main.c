/*
 * holdfast-refuse: what stands in PID 1's room under the names of shells and tools. It says one line,
 * reads nothing, and fails as a command that may not be executed does.
 */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define SEEN_MS	     50
#define EXIT_REFUSED 126 /* the shell's own for "found, and cannot be executed" */

int main(void)
{
	static const char line[] = "refused: this instance has no shell; use holdfastctl dump\n";

	(void)!write(STDERR_FILENO, line, strlen(line));
	/* For holdfast-gate, which looks every millisecond now, to see that it was asked for, and as what. */
	(void)poll(NULL, 0, SEEN_MS);
	return EXIT_REFUSED;
}
