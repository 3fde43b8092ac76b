#pragma once
/*
 * machine-id(5): 32 lower-case hexadecimal digits, never all zero.
 */
#include <stdbool.h>

#define MACHINE_ID_SIZE 33 /* with its NUL */

/* From what the firmware calls product_uuid (dashes, either case, a newline at the end). False for
 * what is none, or is one that vendors put into every machine. */
bool machineid_from_uuid(const char *uuid, char ret_id[MACHINE_ID_SIZE]);

/* From 16 random bytes, marked as such (RFC 9562, version 4). */
void machineid_from_random(const unsigned char bytes[16], char ret_id[MACHINE_ID_SIZE]);
