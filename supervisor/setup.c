#include "supervisor/setup.h"

#include <stddef.h>

#include "lib/cleanup.h"

const char *setup_status_name(int status)
{
	static const char *const names[] = {
		[0] = "CHDIR",
		[1] = "NICE",
		[2] = "FDS",
		[3] = "EXEC",
		[4] = "MEMORY",
		[5] = "LIMITS",
		[6] = "OOM_ADJUST",
		[7] = "SIGNAL_MASK",
		[8] = "STDIN",
		[9] = "STDOUT",
		[10] = "CHROOT",
		[16] = "GROUP",
		[17] = "USER",
		[18] = "CAPABILITIES",
		[19] = "CGROUP",
		[20] = "SETSID",
		[22] = "STDERR",
		[26] = "NAMESPACE",
		[27] = "NO_NEW_PRIVILEGES",
		[28] = "SECCOMP",
		[33] = "RUNTIME_DIRECTORY",
		[35] = "CHOWN",
		[38] = "STATE_DIRECTORY",
		[39] = "CACHE_DIRECTORY",
		[40] = "LOGS_DIRECTORY",
		[41] = "CONFIGURATION_DIRECTORY",
		[43] = "CREDENTIALS",
	};

	if (status < 200 || status >= 200 + (int)ARRAY_COUNT(names))
		return NULL;
	return names[status - 200];
}
