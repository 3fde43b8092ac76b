#include "ctl/visitor.h"

#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <linux/capability.h>

#include "ctl/instance.h"
#include "ctl/verbs.h"
#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/sys.h"

#define BIT(n) (UINT64_C(1) << (n))

/* What PID 1 is, and so the gate, which keeps its rights to look. */
struct host {
	uint32_t uid, gid;
	uint64_t capabilities;
};

static bool read_number(const char *text, const char *key, int base, uint64_t *ret_number)
{
	const char *at = strstr(text, key);

	if (!at)
		return false;
	*ret_number = strtoull(at + strlen(key), NULL, base);
	return true;
}

/* The first line, in which PID 1 has its own name, has no newline of its own. */
static bool read_host(struct host *ret_host)
{
	static char text[16384];
	uint64_t uid, gid, capabilities;

	if (io_read_file(AT_FDCWD, "/proc/1/status", text, sizeof(text)) < 0 ||
	    !read_number(text, "\nUid:\t", 10, &uid) || !read_number(text, "\nGid:\t", 10, &gid) ||
	    !read_number(text, "\nCapPrm:\t", 16, &capabilities))
		return false;
	*ret_host = (struct host){(uint32_t)uid, (uint32_t)gid, capabilities};
	return true;
}

static bool is_gate_here(const char *directory)
{
	struct instance instance;
	char why[256];

	return instance_open(directory, &instance, why, sizeof(why)) == 0 && instance.gate &&
	       !(instance.plan.header->flags & PLAN_SHELLS_WARN) &&
	       gateboard_read_rung(instance.gate, GATE_INTRUDERS).level != PROTECTION_NONE;
}

/* Who can become anybody, as far as files go, sees everybody who has no more rights. */
static bool is_of_another(const struct host *host)
{
	const uint64_t becomes = BIT(CAP_SETUID) | BIT(CAP_SETGID);

	return (getuid() != host->uid || getgid() != host->gid) &&
	       (host->capabilities & becomes) != becomes;
}

/* What is lost by it are rights alone, so what cannot be given up is no error of its own. */
static void give_up(const struct host *host)
{
	struct sys_capabilities own;

	if (is_of_another(host) && setgroups(0, NULL) == 0 &&
	    setresgid(host->gid, host->gid, host->gid) == 0)
		(void)setresuid(host->uid, host->uid, host->uid);
	if (sys_capget(&own) == 0) {
		own.effective &= host->capabilities;
		own.permitted &= host->capabilities;
		own.inheritable &= host->capabilities;
		(void)sys_capset(&own);
	}
	/* Who has changed its ids is out of its own user's sight. */
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static bool has_more(const struct host *host)
{
	struct sys_capabilities own;

	return sys_capget(&own) == 0 && (own.permitted & ~host->capabilities);
}

int visitor_settle(const char *directory)
{
	struct host host;

	if (!read_host(&host) || (host.capabilities & BIT(CAP_SYS_PTRACE)) ||
	    (!is_of_another(&host) && !has_more(&host)) || !is_gate_here(directory))
		return CTL_OK;
	give_up(&host);
	if (!is_of_another(&host) && !has_more(&host))
		return CTL_OK;
	return ctl_fail(
		CTL_NOT_SEEN,
		"refused: holdfast runs as uid %" PRIu32 " here and cannot see what uid %u "
		"executes; execute holdfastctl as the container's own user (without --user)",
		host.uid, (unsigned)getuid());
}
