#pragma once
/*
 * A rendered body that many connections send from: rendered when what it shows has changed, and
 * then sent as it is. There are two buffers, so that a client that reads slowly goes on getting
 * the text that its Content-Length was for while the next one is rendered.
 *
 * The memory is mapped at start, for the largest text that this plan can make, and only touched as
 * far as it is used.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "health/snapshot.h"
#include "lib/str.h"

struct rendering {
	struct strbuf buf;
	uint32_t users; /* connections that still send from it */
};

struct document {
	struct rendering renderings[2];
	unsigned current;
	bool is_valid;
	struct snapshot_key key;
};

/* Room for bound bytes of text. 0 or -errno. */
int document_init(struct document *document, size_t bound);

/* The rendering in force when it was made for key; else NULL, and one has to be begun. */
struct rendering *document_current(struct document *document, const struct snapshot_key *key);

/* The buffer for the next rendering, emptied. Its users, if any, must have been sent away. */
struct rendering *document_spare(struct document *document);
/* It is in force. key NULL: for this one request alone. */
void document_publish(struct document *document, const struct snapshot_key *key);
