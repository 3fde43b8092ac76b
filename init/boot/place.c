/*
 * Where we are: PID 1 of a host, of a container, or a subreaper below somebody else's PID 1; and
 * what we may do there.
 *
 * Mounting is only thought of in a mount namespace that belongs to this instance. A subreaper
 * shares its namespace with whoever started it. A PID 1 has its own when /proc in it shows its own
 * PID namespace (or nothing yet); `unshare --pid` alone leaves the machine's /proc, and its root,
 * in view, and then nothing may be mounted over what is the machine's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <linux/capability.h>

#include "init/boot/boot.h"
#include "lib/mountinfo.h"
#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "lib/sys.h"

/* The users that log, health and secrets run as: above what distributions give to services (999),
 * to people (60000) and to systemd's dynamic users (65519), below nobody (65534). */
#define UID_LOG	    64901
#define UID_HEALTH  64902
#define UID_SECRETS 64903

static bool has_capability(const struct boot *boot, unsigned capability)
{
	return boot->capabilities & (UINT64_C(1) << capability);
}

/* In a user namespace only the ids of its map exist (user_namespaces(7)): lines of first id inside,
 * first id outside, count. */
static bool is_id_mapped(const char *map_path, uint32_t id)
{
	char text[4096], *save = NULL;

	if (io_read_file(AT_FDCWD, map_path, text, sizeof(text)) < 0)
		return false;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *at = line;
		uint64_t inside = strtoull(at, &at, 10);
		(void)strtoull(at, &at, 10);
		uint64_t count = strtoull(at, &at, 10);
		if (id >= inside && id - inside < count)
			return true;
	}
	return false;
}

static bool are_ids_mapped(void)
{
	for (uint32_t id = UID_LOG; id <= UID_SECRETS; id++) {
		if (!is_id_mapped("/proc/self/uid_map", id) ||
		    !is_id_mapped("/proc/self/gid_map", id))
			return false;
	}
	return true;
}

/* Our mounts stay ours: no runtime wants to see them, and a host must not get them. */
static void stop_propagation(void)
{
	struct mountinfo info;

	if (mountinfo_read(&info) < 0)
		return;
	const struct mountinfo_entry *root = mountinfo_find(&info, "/");
	if (root && root->is_shared)
		(void)mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
	mountinfo_finish(&info);
}

int place_find(struct boot *boot)
{
	struct sys_capabilities sets;

	if (sys_capget(&sets) < 0)
		return boot_fail(boot, EX_OSERR, "capget: %s", strerror(errno));
	boot->capabilities = sets.effective;
	boot->bounding = sys_bounding_set();
	boot->has_no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	boot->has_filters = sys_has_filters();
	boot->is_pid1 = getppid() == 1;
	boot->is_contained = proc_is_first_namespace(AT_FDCWD) <= 0;
	boot->is_host = boot->is_pid1 && !boot->is_contained;
	boot->can_mount =
		boot->is_pid1 && proc_is_ours(AT_FDCWD) != 0 && has_capability(boot, CAP_SYS_ADMIN);
	if (boot->can_mount && !boot->is_host)
		stop_propagation();
	return 0;
}

int place_choose_ids(struct boot *boot)
{
	bool may_set = has_capability(boot, CAP_SETUID) && has_capability(boot, CAP_SETGID);
	bool can_set = may_set && are_ids_mapped();

	boot->uid_log = can_set ? UID_LOG : PLAN_NO_ID;
	boot->uid_health = can_set ? UID_HEALTH : PLAN_NO_ID;
	boot->uid_secrets = can_set ? UID_SECRETS : PLAN_NO_ID;
	if (can_set)
		boot_protect(boot, "ids", PROTECTION_FULL, "own uid each", "%s", "");
	else
		boot_protect(boot, "ids", PROTECTION_REDUCED, "one uid for all",
			     "log, health and secrets share uid %u with the services: %s",
			     geteuid(),
			     may_set ? "this user namespace does not map their ids"
				     : "there is no CAP_SETUID and CAP_SETGID");
	return 0;
}
