/*
 * What else can be written: mounts that the runtime made writable and that [Scratch] does not
 * declare (a volume, Docker's /etc/hosts). They may well be meant, so they are said, not refused.
 * Runs before we mount anything of ours on the image's folders.
 */
#include "init/boot/boot.h"
#include "lib/mountinfo.h"
#include "init/boot/tree.h"
#include "lib/cleanup.h"
#include "lib/path.h"
#include "lib/str.h"

/* The kernel's own file systems, and memory that ends with the instance. */
static const char *const passed_over[] = {"/proc", "/sys", "/dev", "/run"};

static bool is_declared(const struct boot *boot, const char *point)
{
	struct plan_range range = boot->plan.header->scratch;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_scratch *scratch = plan_scratch(&boot->plan, range.first + i);
		if (path_is_within(point, plan_string(&boot->plan, scratch->path)))
			return true;
	}
	return false;
}

static bool is_undeclared(const struct boot *boot, const struct mountinfo_entry *entry)
{
	if (!entry->is_writable || str_equal(entry->point, "/"))
		return false;
	for (size_t i = 0; i < ARRAY_COUNT(passed_over); i++) {
		if (path_is_within(entry->point, passed_over[i]))
			return false;
	}
	return !is_declared(boot, entry->point);
}

int writes_report(struct boot *boot)
{
	struct mountinfo info;
	char text[240];
	struct strbuf found;

	strbuf_init(&found, text, sizeof(text));
	if (mountinfo_read(&info) < 0)
		return boot_fail(boot, EX_SOFTWARE, "cannot read /proc/self/mountinfo");
	for (size_t i = 0; i < info.count; i++) {
		if (is_undeclared(boot, &info.entries[i]))
			strbuf_addf(&found, "%s%s", found.length ? " " : "", info.entries[i].point);
	}
	mountinfo_finish(&info);
	if (found.length == 0)
		boot_protect(boot, "writes", PROTECTION_FULL, "declared scratch alone", "%s", "");
	else
		boot_protect(boot, "writes", PROTECTION_REDUCED, "and what the runtime mounted",
			     "writable and not declared in [Scratch]: %s%s", text,
			     found.is_cut ? "…" : "");
	return 0;
}
