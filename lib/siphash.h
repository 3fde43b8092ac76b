#pragma once
/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a hash of 64 bits that nobody can compute, or find a
 * collision for, without the key.
 */
#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_SIZE 16

uint64_t siphash(const uint8_t key[SIPHASH_KEY_SIZE], const void *data, size_t length);
