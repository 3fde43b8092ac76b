/*
 * The directories that units ask for (RuntimeDirectory=, StateDirectory=, …) on a root that cannot
 * be written. Whoever spawns a unit makes them; here it is only seen to that they can be made:
 * where nothing writable lies there, a small tmpfs is mounted on the directory itself, or on the
 * one that its kind lives in, if the image left that empty. To hide files of the image would be a
 * surprise, so otherwise the instance refuses and says what to declare.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "init/boot/scratch.h"
#include "init/boot/tree.h"
#include "lib/event.h"
#include "lib/str.h"

#define SIZE_BYTES (UINT64_C(64) << 20)
#define NR_INODES  16384

static const struct tmpfs small_tmpfs = {
	.size_bytes = SIZE_BYTES,
	.nr_inodes = NR_INODES,
	.mode = 0755,
	.flags = MS_NODEV | MS_NOEXEC,
};

/* Where each kind lives (systemd.exec(5)), and what its setting is called. Configuration is read
 * from the image. */
static const struct {
	const char *base, *setting;
} kinds[DIRECTORY_TYPE_COUNT] = {
	[DIRECTORY_RUNTIME] = {"/run", "RuntimeDirectory="},
	[DIRECTORY_STATE] = {"/var/lib", "StateDirectory="},
	[DIRECTORY_CACHE] = {"/var/cache", "CacheDirectory="},
	[DIRECTORY_LOGS] = {"/var/log", "LogsDirectory="},
};

static int mount_on(const char *path)
{
	return tree_is_directory(path) && tree_is_empty(path) ? tree_mount_tmpfs(path, &small_tmpfs)
							      : -ENOTEMPTY;
}

static int refuse(struct boot *boot, const char *unit, const struct plan_directory *directory,
		  int error)
{
	const char *path = plan_string(&boot->plan, directory->path);
	char text[PROTO_TEXT_MAX];
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	strbuf_addf(&buf, "%s: %s %s cannot be made: %s; ", unit, kinds[directory->type].setting,
		    path, error == -EROFS ? "the root is read-only there" : strerror(-error));
	if (boot->can_mount) {
		strbuf_addf(
			&buf,
			"declare it as memory in holdfast.conf ([Scratch] %s=size=64M,mode=%04o) "
			"and have that directory in the image",
			path, directory->mode);
	} else {
		strbuf_adds(&buf, "the runtime must mount memory there. ");
		scratch_explain(&buf, path, SIZE_BYTES, directory->mode);
	}
	return boot_fail(boot, EX_OSERR, "%s", text);
}

static int provide(struct boot *boot, const char *unit, const struct plan_directory *directory)
{
	const char *path = plan_string(&boot->plan, directory->path);
	const char *base = kinds[directory->type].base;

	int error = base ? tree_check_writable(path) : 0;

	if (error == 0)
		return 0;
	int r = boot->can_mount ? mount_on(path) : -EPERM;
	const char *mounted = path;
	if (r < 0 && boot->can_mount) {
		r = mount_on(base);
		mounted = base;
	}
	if (r < 0)
		return refuse(boot, unit, directory, error);
	event_emit(EVENT_INFO, "scratch-implied", unit,
		   "%s mounted at %s: %" PRIu64 " MiB of memory, as [Scratch] names none",
		   kinds[directory->type].setting, mounted, SIZE_BYTES >> 20);
	error = tree_check_writable(path);
	return error < 0 ? refuse(boot, unit, directory, error) : 0;
}

int directories_prepare(struct boot *boot)
{
	for (uint32_t u = 0; u < plan_unit_count(&boot->plan); u++) {
		if (plan_unit(&boot->plan, u)->flags & UNIT_IS_SKIPPED)
			continue;
		struct plan_range range = plan_unit(&boot->plan, u)->directories;
		for (uint32_t i = 0; i < range.count; i++) {
			int status = provide(boot, plan_unit_name(&boot->plan, u),
					     plan_directory(&boot->plan, range.first + i));
			if (status != 0)
				return status;
		}
	}
	return 0;
}
