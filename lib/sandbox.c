#include "lib/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/seccomp.h>
#include <linux/securebits.h>

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/landlock.h"
#include "lib/sys.h"

static int drop_ids(uint32_t uid)
{
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

/* What an exec could give back, and the way there. It needs CAP_SETPCAP, which the change of ids
 * takes; without it no_new_privs stands alone. */
static void forget_capabilities(void)
{
	for (int i = 0; prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0; i++)
		;
	(void)prctl(PR_SET_SECUREBITS,
		    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
			    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
			    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		    0, 0, 0);
}

/* With the inheritable set the ambient one goes (capabilities(7)). */
static int drop_capabilities(uint64_t kept)
{
	struct sys_capabilities has = {0};

	if (kept && sys_capget(&has) < 0)
		return -1;
	return sys_capset(&(const struct sys_capabilities){.effective = has.effective & kept,
							   .permitted = has.permitted & kept});
}

/*
 * The best means first. With LOG, a refused call leaves a line in the kernel's log (4.14); without
 * the call seccomp(2) there is prctl(2), which has neither that nor TSYNC (we have one thread).
 */
static bool enter_filter(const struct sock_filter *filter, uint16_t count)
{
	static const unsigned flags[] = {
		SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG,
		SECCOMP_FILTER_FLAG_TSYNC,
	};
	struct sock_fprog program = {
		.len = count,
		.filter = (struct sock_filter *)(uintptr_t)filter,
	};

	for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags[i], &program) == 0)
			return true;
	}
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

int sandbox_enter(const struct sandbox *sandbox)
{
	int had = 0;

	forget_capabilities();
	if (sandbox->uid != UINT32_MAX) {
		int r = drop_ids(sandbox->uid);
		/* EPERM: no CAP_SETUID here, root or not; EINVAL: the uid is not mapped into our
		 * user namespace. Both are where we are, and no failure of ours. */
		if (r < 0 && r != -EPERM && r != -EINVAL)
			return r;
		if (r == 0)
			had |= SANDBOX_IDS;
	}
	if (drop_capabilities(sandbox->capabilities) == 0)
		had |= SANDBOX_NO_CAPS;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
		had |= SANDBOX_NO_DUMP;
	/* After the ids: a change of them clears it (prctl(2)). */
	if (sandbox->death_signal)
		(void)prctl(PR_SET_PDEATHSIG, sandbox->death_signal, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		had |= SANDBOX_NO_NEW_PRIVS;
	if (sandbox->has_no_files && !CRASH_IS_WANTED() && landlock_nothing() == 0)
		had |= SANDBOX_NO_FILES;
	if (sandbox->filter_count > 0 && enter_filter(sandbox->filter, sandbox->filter_count))
		had |= SANDBOX_SECCOMP;
	return had;
}

static const struct {
	int bit;
	const char *text;
} means[] = {
	{SANDBOX_IDS, "own uid"},
	{SANDBOX_NO_CAPS, "capabilities dropped"},
	{SANDBOX_NO_NEW_PRIVS, "no_new_privs"},
	{SANDBOX_NO_DUMP, "not dumpable"},
	{SANDBOX_SECCOMP, "seccomp"},
	{SANDBOX_NO_FILES, "no files"},
};

static void list_means(struct strbuf *buf, int bits, const char *before)
{
	for (size_t i = 0; i < ARRAY_COUNT(means); i++) {
		if (!(bits & means[i].bit))
			continue;
		strbuf_addf(buf, "%s%s", before, means[i].text);
		before = ", ";
	}
}

void sandbox_describe(struct strbuf *buf, int had, int wanted)
{
	list_means(buf, had, "");
	list_means(buf, wanted & ~had, had ? "; missing: " : "missing: ");
}
