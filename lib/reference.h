#pragma once
/*
 * References: where a secret comes from, as unit files write it. Checked by their form alone, when
 * they are loaded, so that a slip is an error with its place and not a failed start; and again where
 * what the machine says of itself has been filled in. Whether the thing is there, only the service
 * knows.
 */
#include <stdbool.h>
#include <stddef.h>

/* What is wrong with it: the sentence's end behind "expected ", with the byte of text where it goes
 * wrong; NULL: nothing. is_path: of SecretPath=, which names many. */
const char *reference_find_fault(const char *text, bool is_path, size_t *ret_offset);

/* Whether only holdfast-secrets-remote can get it: ssm:, asm:, vault:. */
bool reference_is_remote(const char *text);
