#pragma once
/*
 * stdout, in whole lines: what is collected is written when there might be no room for the next
 * line, so a reader that sees the pipe break sees no half line before it.
 */
#include <stdint.h>

#include "lib/str.h"

/* The longest line: a log line of which each byte is escaped, and what stands around it. */
#define OUTPUT_LINE_MAX (128 * 1024)

/* An empty line to be filled in; the same memory each time. */
struct strbuf *output_line(void);
/* Ends it with a newline and takes it; a line that was cut is dropped whole and not counted. */
void output_end(void);
/* Writes what was collected. 0, or -errno of this or an earlier write. */
int output_flush(void);
/* From here on a line that would make it more than so many bytes is dropped; UINT64_MAX: none is. */
void output_limit(uint64_t bytes);
/* Lines that were dropped for that. */
uint64_t output_left_out(void);
/* Lines taken so far. */
uint64_t output_count(void);
