/* TESTS: init/initramfs/cmdline.c lib/str.c */
#include "init/initramfs/cmdline.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/str.h"

#define HASH "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define GOOD "holdfast.root=/dev/vda holdfast.roothash=" HASH " holdfast.hashoffset=4096"

static char message[CMDLINE_MESSAGE_MAX];

/* Both sources, built in first as the initramfs does; NULL: none. */
static int parse(const char *built_in, const char *kernel, struct cmdline *ret_line)
{
	cmdline_init(ret_line);
	message[0] = '\0';
	int r = built_in ? cmdline_add(ret_line, built_in, CMDLINE_BUILT_IN, message) : 0;
	if (r == 0)
		r = cmdline_add(ret_line, kernel, CMDLINE_KERNEL, message);
	return r < 0 ? r : cmdline_check(ret_line, message);
}

static void test_everything_that_can_be_said(void **state)
{
	struct cmdline line;

	(void)state;
	assert_int_equal(parse("holdfast.allow=eio,unverified",
			       "quiet holdfast.root=PARTLABEL=root-a\tholdfast.roothash=" HASH
			       " holdfast.hash=/dev/nvme0n1p3 holdfast.hashoffset=1024 "
			       "holdfast.salt=AA55 holdfast.datablocks=7 holdfast.corruption=eio "
			       "holdfast.rootfs=squashfs holdfast.failedboot=reboot "
			       "holdfast.timeout=600\n",
			       &line),
			 0);
	assert_string_equal(line.root, "PARTLABEL=root-a");
	assert_string_equal(line.hash_device, "/dev/nvme0n1p3");
	/* In lower case, as the kernel compares it. */
	assert_string_equal(line.root_hash,
			    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	assert_string_equal(line.salt, "aa55");
	assert_int_equal(line.hash_offset, 1024);
	assert_int_equal(line.data_blocks, 7);
	assert_int_equal(line.corruption, CORRUPTION_EIO);
	assert_int_equal(line.rootfs, ROOTFS_SQUASHFS);
	assert_int_equal(line.failed_boot, MACHINE_RESTART);
	assert_int_equal(line.timeout_s, 600);
}

static void test_what_holds_when_nothing_is_said(void **state)
{
	struct cmdline line;

	(void)state;
	assert_int_equal(parse(NULL, GOOD, &line), 0);
	assert_int_equal(line.corruption, CORRUPTION_PANIC);
	assert_int_equal(line.rootfs, ROOTFS_EROFS);
	assert_int_equal(line.failed_boot, MACHINE_POWER_OFF);
	assert_int_equal(line.timeout_s, 30);
	assert_string_equal(line.hash_device, "");
	assert_true(cmdline_is_verified(&line));
}

static void test_what_is_not_ours_means_nothing(void **state)
{
	static const char *const words[] = {
		"single",
		"rescue",
		"emergency",
		"debug",
		"init=/bin/sh",
		"LD_PRELOAD=/evil.so",
		"-s",
		"--",
		"root=/dev/sda root=/dev/sdb",
		"Holdfast.root=/dev/vdb",
		"holdfast_root=/dev/vdb",
		"holdfast",
		"xholdfast.root=/dev/vdb",
		"=",
		"\"",
		"\"\"",
		"a=\"b c",
		"rd.break rd.shell",
		"x=\"holdfast.root=/dev/vdb\"",
		"\"x holdfast.root=/dev/vdb\"",
		"\xff\xfe",
	};
	struct cmdline plain, line;
	char text[512];

	(void)state;
	assert_int_equal(parse(NULL, GOOD, &plain), 0);
	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		struct strbuf buf;
		strbuf_init(&buf, text, sizeof(text));
		strbuf_addf(&buf, "%s %s", GOOD, words[i]);
		assert_int_equal(parse(NULL, text, &line), 0);
		assert_memory_equal(&line, &plain, sizeof(line));
	}
}

static void test_quotes_are_the_kernels(void **state)
{
	static const struct {
		const char *text, *root;
	} rows[] = {
		{"holdfast.root=\"/dev/vda\"", "/dev/vda"},
		{"\"holdfast.root=/dev/vda\"", "/dev/vda"},
		{"x=\"a b\" holdfast.root=/dev/vda", "/dev/vda"},
		{"\"x y\"holdfast.root=/dev/vda holdfast.root=/dev/vdb", "/dev/vdb"},
		{"holdfast.root=\"/dev/vda", "/dev/vda"},
		{"holdfast.root=/dev/v\"d\"a", NULL},
		{"holdfast.root=\"/dev/vda b\"", NULL},
		{"holdfast.root=\"\"", NULL},
		{"holdfast.root=\"", NULL},
		{"holdfast.root=", NULL},
		{"holdfast.root", NULL},
	};
	struct cmdline line;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		int r = parse("holdfast.allow=unverified", rows[i].text, &line);
		assert_int_equal(r, rows[i].root ? 0 : -EINVAL);
		if (rows[i].root)
			assert_string_equal(line.root, rows[i].root);
	}
}

static void test_refusals_say_why(void **state)
{
	static const struct {
		const char *built_in, *kernel, *says;
	} rows[] = {
		{NULL, "quiet", "holdfast.root= is missing"},
		{NULL, "holdfast.root=/dev/vda", "allow=unverified is not built"},
		{NULL, GOOD " holdfast.root=/dev/vda",
		 "kernel command line: holdfast.root: given twice"},
		{GOOD, "holdfast.roothash=" HASH,
		 "kernel command line: holdfast.roothash: given twice"},
		{GOOD, "holdfast.timeout=1 \"holdfast.timeout=1\"", "given twice"},
		{GOOD " holdfast.rootfs=erofs holdfast.rootfs=erofs", "",
		 "/cmdline of the initramfs"},
		{NULL, GOOD " holdfast.allow=unverified", "only the initramfs itself"},
		{NULL, GOOD " holdfast.allow", "only the initramfs itself"},
		{"holdfast.allow=", GOOD, "a list of unverified and eio"},
		{"holdfast.allow=eio,,", GOOD, "a list of unverified and eio"},
		{"holdfast.allow=shell", GOOD, "a list of unverified and eio"},
		{NULL, GOOD " holdfast.rothash=x", "holdfast.rothash: no such word"},
		{NULL, GOOD " holdfast.", "no such word"},
		{NULL, GOOD " holdfast.corruption=eio", "allow=eio is not built"},
		{NULL, GOOD " holdfast.corruption=ignore", "panic, restart or eio"},
		{NULL, GOOD " holdfast.rootfs=vfat", "erofs, squashfs or ext4"},
		{NULL, GOOD " holdfast.failedboot=shell", "poweroff or reboot"},
		{NULL, GOOD " holdfast.timeout=0", "1 to 600"},
		{NULL, GOOD " holdfast.timeout=601", "1 to 600"},
		{NULL, GOOD " holdfast.timeout=-1", "1 to 600"},
		{NULL, GOOD " holdfast.salt=aa55", "belong together"},
		{NULL, GOOD " holdfast.datablocks=5", "belong together"},
		{NULL, GOOD " holdfast.datablocks=0", "number of blocks"},
		{NULL, GOOD " holdfast.datablocks=1099511627777", "number of blocks"},
		{NULL, GOOD " holdfast.salt=a", "an even number"},
		{NULL, GOOD " holdfast.salt=xx", "an even number"},
		{NULL, "holdfast.root=/dev/vda holdfast.roothash=" HASH, "where is the hash tree"},
		{NULL, "holdfast.roothash=" HASH "0", "64 hexadecimal digits"},
		{NULL, "holdfast.hashoffset=513", "multiple of 512"},
		{NULL, "holdfast.hashoffset=18446744073709551616", "multiple of 512"},
		{NULL, "holdfast.root=/dev/../etc/passwd", "/dev/NAME"},
		{NULL, "holdfast.root=/dev/..", "/dev/NAME"},
		{NULL, "holdfast.root=/dev/mapper/x", "/dev/NAME"},
		{NULL, "holdfast.root=/dev/", "/dev/NAME"},
		{NULL, "holdfast.root=UUID=1", "/dev/NAME"},
		{NULL, "holdfast.root=PARTLABEL=0123456789012345678901234567890123456",
		 "/dev/NAME"},
		{"holdfast.allow=unverified", "holdfast.root=/dev/vda holdfast.hashoffset=4096",
		 "needs holdfast.roothash="},
	};
	struct cmdline line;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		assert_int_equal(parse(rows[i].built_in, rows[i].kernel, &line), -EINVAL);
		if (!strstr(message, rows[i].says))
			fail_msg("%s: \"%s\" is not in \"%s\"", rows[i].kernel, rows[i].says,
				 message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_that_can_be_said),
		cmocka_unit_test(test_what_holds_when_nothing_is_said),
		cmocka_unit_test(test_what_is_not_ours_means_nothing),
		cmocka_unit_test(test_quotes_are_the_kernels),
		cmocka_unit_test(test_refusals_say_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
