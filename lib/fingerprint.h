#pragma once
/*
 * Fingerprints of secrets: what lets holdfast-log find a value in a line without knowing it.
 *
 * A value is cut into chunks of 8 to 32 bytes, each line of it on its own, the last chunk of a line
 * overlapping the one before. The table has of each chunk its length, 20 bits of a keyed hash of its
 * last 8 bytes (the window, by which text is searched), and a keyed 64-bit hash of all of it. The key
 * is drawn at boot and sealed. Who has both table and key can try guesses against them, and nothing
 * faster: the window gives away no more than its 20 bits.
 *
 * Added are also what a value of JSON or the like looks like without its escapes, and the base64 of a
 * short one at each of the three places that it can have in a longer text.
 *
 * Any number of helpers write at once, without a lock: an entry is claimed and published by
 * compare-and-swap. One that is killed in between leaves an entry that is no one's, nothing else.
 * Readers need no lock, and trust nothing that they read: the worst that a bad table does is that
 * something is hidden, or is not, that should be.
 *
 * Values that a refresh replaced stay, as a service may still print them. Only when the table is half
 * full are those forgotten that are older than the value before the present one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/siphash.h"

#define FINGERPRINT_MIN		8  /* bytes: what is shorter is not found */
#define FINGERPRINT_MAX		32 /* of a chunk */
#define FINGERPRINT_WINDOW_BITS 20
#define FINGERPRINT_VALUE_MAX	8192 /* bytes of a value that are looked for */
#define FINGERPRINT_BASE64_MAX	128  /* bytes: of longer values base64 is not found */

struct fingerprint_key {
	uint8_t sip[SIPHASH_KEY_SIZE];
	uint64_t multiplier; /* of the window's hash; odd */
};

struct fingerprint_owner {
	_Atomic uint64_t name; /* hash of the unit's name; 0: free */
	_Atomic uint32_t run;  /* how many of its fetches ended well */
	uint32_t reserved;
};

struct fingerprint_entry {
	_Atomic uint64_t about; /* fingerprint.c: state, length, kind, window, owner, run */
	_Atomic uint64_t hash;
};

struct fingerprint_header {
	uint64_t magic;
	uint32_t version;
	uint32_t n_entries, n_owners; /* powers of two */
	uint32_t reserved;
	_Atomic uint64_t changes; /* moves when there is something new to look for */
	_Atomic uint64_t n_used;  /* entries that are live or claimed */
	_Atomic uint64_t n_refused;
	uint64_t reserved_too;
};

/* A mapped table and its key. */
struct fingerprints {
	struct fingerprint_header *header;
	struct fingerprint_owner *owners;
	struct fingerprint_entry *entries;
	uint32_t n_entries, n_owners;
	struct fingerprint_key key;
};

/* One fetch of one unit's secrets. */
struct fingerprint_run {
	const struct fingerprints *table; /* borrowed */
	uint32_t owner, number;
};

enum fingerprint_outcome {
	FINGERPRINT_ADDED,
	FINGERPRINT_TOO_SHORT, /* the value, or each line of it */
	FINGERPRINT_CUT,  /* of what is longer than FINGERPRINT_VALUE_MAX the start was added */
	FINGERPRINT_FULL, /* of some of it the table could not take a chunk */
};

/* ---- boot */

/* Sizes, reserves and fills a table for so many secrets of so many units. 0, -ENOSPC or -errno. */
int fingerprint_format(int fd, uint32_t n_secrets, uint32_t n_units);
/* 0 or -errno. Never waits for the kernel's generator. */
int fingerprint_draw_key(struct fingerprint_key *ret_key);

/* ---- everybody */

/* Maps the table and reads its key. 0, -EBADMSG (they are none) or -errno. */
int fingerprint_map(int fd, int key_fd, bool is_writable, struct fingerprints *ret_table);

/* ---- helpers */

/*
 * A unit's fetch: begin, add each secret before it is delivered anywhere, end once all went well. No
 * call of these three makes a system call. What an unfinished fetch has added stays.
 */
void fingerprint_begin(const struct fingerprints *table, const char *unit,
		       struct fingerprint_run *ret_run);
enum fingerprint_outcome fingerprint_add(const struct fingerprint_run *run, const void *value,
					 size_t length);
void fingerprint_end(const struct fingerprint_run *run);

/* ---- who searches */

/* The hash of the 8 bytes at text, of which the upper FINGERPRINT_WINDOW_BITS are the window's. */
static inline uint64_t fingerprint_window(const struct fingerprint_key *key, const void *text)
{
	uint64_t word;

	__builtin_memcpy(&word, text, sizeof(word));
	return word * key->multiplier;
}

/* Calls visit with the window of each live entry, as fingerprint_window would have it. */
void fingerprint_each(const struct fingerprints *table,
		      void (*visit)(void *context, uint32_t window), void *context);

/* The length of the longest chunk that is the last bytes of the length bytes before end, and has
 * that window; 0: none. */
size_t fingerprint_match(const struct fingerprints *table, uint32_t window, const char *end,
			 size_t length, bool *ret_is_base64);
