/*
 * holdfast-refuse: what stands in PID 1's room under the names of shells and tools. It says one line,
 * reads nothing, and fails as a command that may not be executed does.
 */
#include <string.h>
#include <unistd.h>

#define EXIT_REFUSED 126 /* the shell's own for "found, and cannot be executed" */

int main(void)
{
	static const char line[] = "refused: this instance has no shell; use holdfastctl dump\n";

	(void)!write(STDERR_FILENO, line, strlen(line));
	return EXIT_REFUSED;
}
