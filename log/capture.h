#pragma once
/*
 * From pipes to the ring, so that no death of this process loses or doubles a byte.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/board.h"
#include "lib/ring.h"
#include "lib/scrub.h"

struct capture_area;

struct capture {
	int fd;			   /* STORE_CAPTURE, borrowed */
	struct capture_area *area; /* all of it, mapped */
	char *landing;
	char *slots;
	struct ring *ring;	   /* borrowed */
	const struct board *board; /* borrowed */
	struct scrubber *scrubber; /* borrowed */
	uint32_t n_units;
	uint32_t n_streams;
	uint64_t wall_us; /* when the bytes of this turn were taken: the time of all its lines */
	bool has_splice;  /* without it a kill may lose what one read(2) had taken */
};

/*
 * Maps the area in fd, made anew when it is empty or of another shape, and finishes what the last
 * process had begun: what it took out of a pipe and had not put into the ring is put there now.
 * board and ring are borrowed for good. 0; 1 when there was something that made no sense and is
 * lost; or -errno.
 */
int capture_open(struct capture *capture, int fd, struct ring *ring, const struct board *board,
		 uint32_t n_units, struct scrubber *scrubber);

/* Takes what one pipe holds, at most 64 KiB, and puts its lines into the ring. The number of bytes,
 * 0 at the end of file, or -errno (-EAGAIN: nothing there). */
ssize_t capture_take(struct capture *capture, uint32_t stream, int pipe_fd);

/* The stream's unfinished line, if it has one, is put into the ring as it is: no more will come. */
void capture_finish(struct capture *capture, uint32_t stream);
