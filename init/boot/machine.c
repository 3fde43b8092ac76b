/*
 * What makes one machine of many that boot the same image: its id, its name, its time, its randomness.
 * On a host alone; a container has all four from its runtime.
 *
 * The id is the firmware's (DMI), so that it is the same after a reboot; where there is none it is
 * drawn. It lies in memory, /run/machine-id, where the image's /etc/machine-id is to point: in the
 * image it would be the same on every machine. Nothing here waits: a clock that is wrong and a kernel
 * that has not gathered enough randomness yet are said, and what needs them fails by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/rtc.h>

#include "init/boot/boot.h"
#include "init/boot/machineid.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"

#define ID_PATH	 "/run/machine-id"
#define DMI_UUID "/sys/class/dmi/id/product_uuid"
/* 2026-01-01: no image of this version is older. */
#define CLOCK_FLOOR_US (UINT64_C(1767225600) * USEC_PER_SEC)
#define NAME_MAX_SIZE  65

static const char *find_id(char ret_id[MACHINE_ID_SIZE])
{
	unsigned char bytes[16];
	char text[128];

	if (io_read_file(AT_FDCWD, DMI_UUID, text, sizeof(text)) >= 0 &&
	    machineid_from_uuid(text, ret_id))
		return "of the firmware";
	if (getrandom(bytes, sizeof(bytes), GRND_INSECURE) != (ssize_t)sizeof(bytes))
		memset(bytes, 0xa5, sizeof(bytes));
	machineid_from_random(bytes, ret_id);
	return "drawn for this boot: the firmware has none";
}

static int write_id(struct boot *boot, const char *id)
{
	char line[MACHINE_ID_SIZE + 1];

	CLEANUP(fd_closep)
	int fd = open(ID_PATH, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	int length = snprintf(line, sizeof(line), "%s\n", id);
	int r = fd < 0 ? -errno : io_write_all(fd, line, (size_t)length);
	return r < 0 ? boot_fail(boot, EX_OSERR, "cannot write %s: %s", ID_PATH, strerror(-r)) : 0;
}

/* The image's, if it has one; else one that tells machines of the same image apart. */
static int set_name(struct boot *boot, const char *id)
{
	char name[NAME_MAX_SIZE], text[256];

	(void)snprintf(name, sizeof(name), "host-%.12s", id);
	if (io_read_file(AT_FDCWD, "/etc/hostname", text, sizeof(text)) > 0) {
		text[strcspn(text, " \t\r\n#")] = '\0';
		if (*text && !str_copy(name, sizeof(name), text))
			return boot_fail(boot, EX_CONFIG, "/etc/hostname: longer than %u bytes",
					 NAME_MAX_SIZE - 1);
	}
	if (sethostname(name, strlen(name)) < 0)
		return boot_fail(boot, EX_OSERR, "cannot set the host's name: %s", strerror(errno));
	return 0;
}

/* A clock that is before it was never set: no image is older than this version, and none than its own
 * files, which all have the time for which it was built (SOURCE_DATE_EPOCH). */
static uint64_t image_us(void)
{
	static const char *const files[] = {"/usr/lib/clock-epoch", "/usr/lib/os-release",
					    "/etc/os-release"};
	uint64_t latest_us = CLOCK_FLOOR_US;
	struct stat st;

	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		if (stat(files[i], &st) == 0 && st.st_mtime > 0)
			latest_us = MAX(latest_us, (uint64_t)st.st_mtime * USEC_PER_SEC);
	}
	return latest_us;
}

/* Most kernels have done it by themselves (CONFIG_RTC_HCTOSYS), unless the driver came later. */
static void take_rtc(void)
{
	struct rtc_time rtc;

	CLEANUP(fd_closep) int fd = open("/dev/rtc0", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && syscall(SYS_ioctl, fd, RTC_RD_TIME, &rtc) == 0)
		(void)clock_set_wall(rtc.tm_year + 1900, rtc.tm_mon + 1, rtc.tm_mday, rtc.tm_hour,
				     rtc.tm_min, rtc.tm_sec);
}

static void set_clock(struct boot *boot)
{
	uint64_t least_us = image_us();

	if (clock_wall_us() < least_us)
		take_rtc();
	if (clock_wall_us() >= least_us) {
		boot_protect(boot, "clock", PROTECTION_FULL, "set at boot", "%s", "");
		return;
	}
	bool is_set = clock_set_wall_us(least_us) == 0;
	boot_protect(boot, "clock", PROTECTION_REDUCED, is_set ? "the image's time" : "not set",
		     "there is no real-time clock, or it is before the image: certificates are "
		     "checked by the wrong time until somebody sets it");
}

static void check_random(struct boot *boot)
{
	unsigned char byte;

	if (getrandom(&byte, 1, GRND_NONBLOCK) == 1)
		boot_protect(boot, "random", PROTECTION_FULL, "seeded", "%s", "");
	else
		boot_protect(
			boot, "random", PROTECTION_REDUCED, "not seeded yet",
			"whoever asks for keys now waits: give the machine a source (virtio-rng)");
}

int machine_identify(struct boot *boot)
{
	char id[MACHINE_ID_SIZE];

	if (!boot->is_host)
		return 0;
	const char *source = find_id(id);
	int status = write_id(boot, id);
	if (status == 0)
		status = set_name(boot, id);
	if (status != 0)
		return status;
	event_with_string("id", id);
	event_emit(EVENT_INFO, "machine-id", NULL, "the machine's id is %s, %s", id, source);
	set_clock(boot);
	check_random(boot);
	return 0;
}
