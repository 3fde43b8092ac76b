#include "init/boot/machineid.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

static bool is_one_digit(const char *id)
{
	return id[strspn(id, (const char[]){id[0], '\0'})] == '\0';
}

bool machineid_from_uuid(const char *uuid, char ret_id[MACHINE_ID_SIZE])
{
	/* "Not settable" and its like: what boards report that were never given one (dmidecode(8)). */
	static const char *const bad[] = {"03000200040005000006000700080009"};
	size_t length = 0;

	for (; *uuid && *uuid != '\n'; uuid++) {
		if (*uuid == '-')
			continue;
		if (!isxdigit((unsigned char)*uuid) || length == MACHINE_ID_SIZE - 1)
			return false;
		ret_id[length++] = (char)tolower((unsigned char)*uuid);
	}
	ret_id[length] = '\0';
	if (length != MACHINE_ID_SIZE - 1 || is_one_digit(ret_id))
		return false;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (strcmp(ret_id, bad[i]) == 0)
			return false;
	}
	return true;
}

void machineid_from_random(const unsigned char bytes[16], char ret_id[MACHINE_ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < 16; i++) {
		ret_id[2 * i] = digits[bytes[i] >> 4];
		ret_id[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret_id[12] = '4';
	ret_id[16] = digits[8 | (bytes[8] >> 4 & 3)];
	ret_id[MACHINE_ID_SIZE - 1] = '\0';
}
