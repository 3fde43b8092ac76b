#pragma once
/*
 * FNV-1a with 64 bits (draft-eastlake-fnv): tells what is alike from what is not, where nobody gains by
 * making two things look alike. It is no proof against forgery, and no secret.
 */
#include <stddef.h>
#include <stdint.h>

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

/* Of what was hashed so far (first HASH_BEGIN) and size more bytes. Async-signal-safe. */
static inline uint64_t hash_add(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.*): it loses words that are read as bytes. */
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}
