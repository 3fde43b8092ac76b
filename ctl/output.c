#include "ctl/output.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char line_data[OUTPUT_LINE_MAX];
static struct strbuf line;
static char collected[2 * OUTPUT_LINE_MAX];
static size_t n_collected;
static uint64_t n_lines, n_left_out, limit = UINT64_MAX;
static int failure;

struct strbuf *output_line(void)
{
	strbuf_init(&line, line_data, sizeof(line_data));
	return &line;
}

void output_end(void)
{
	if (line.is_cut)
		return;
	if (line.length + 1 > limit) {
		n_left_out++;
		return;
	}
	if (limit != UINT64_MAX)
		limit -= line.length + 1;
	if (n_collected + line.length + 1 > sizeof(collected))
		(void)output_flush();
	memcpy(collected + n_collected, line.data, line.length);
	n_collected += line.length;
	collected[n_collected++] = '\n';
	n_lines++;
}

/* Whoever gave us stdout may have made it non-blocking, and shares it: so that is waited for. */
static int write_all(const char *data, size_t length)
{
	struct pollfd writable = {.fd = STDOUT_FILENO, .events = POLLOUT};

	while (length > 0) {
		ssize_t n = write(STDOUT_FILENO, data, length);
		if (n < 0 && errno == EAGAIN) {
			(void)poll(&writable, 1, -1);
			continue;
		}
		if (n < 0 && errno != EINTR)
			return -errno;
		data += n > 0 ? n : 0;
		length -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* How many of the bytes end with a line and fit into one atomic write; else the first line. */
static size_t whole_lines(const char *data, size_t length)
{
	size_t part = length < PIPE_BUF ? length : PIPE_BUF;
	const char *end = memrchr(data, '\n', part);

	if (!end)
		end = memchr(data, '\n', length);
	return end ? (size_t)(end - data) + 1 : length;
}

/* The dump of a running instance goes to the pipe that log writes to as well: up to PIPE_BUF bytes
 * of a write stay together there (pipe(7)). */
static int write_pipe(const char *data, size_t length)
{
	int r = 0;

	while (length > 0 && r == 0) {
		size_t n = whole_lines(data, length);
		r = write_all(data, n);
		data += n;
		length -= n;
	}
	return r;
}

int output_flush(void)
{
	struct stat st;
	bool is_pipe = fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode);

	if (failure == 0)
		failure = is_pipe ? write_pipe(collected, n_collected)
				  : write_all(collected, n_collected);
	n_collected = 0;
	return failure;
}

void output_limit(uint64_t bytes)
{
	limit = bytes;
}

uint64_t output_left_out(void)
{
	return n_left_out;
}

uint64_t output_count(void)
{
	return n_lines;
}
