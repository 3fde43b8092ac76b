/*
 * TESTS: init/initramfs/verity.c init/initramfs/modules.c lib/device.c init/initramfs/switch.c init/initramfs/early.c lib/str.c lib/fd.c lib/io.c lib/clock.c lib/event.c lib/json.c lib/sys.c
 *
 * What the initramfs makes of what lies on disks and in its own list, and what it leaves behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sched.h>
#include <unistd.h>

#include "init/initramfs/modules.h"
#include "init/initramfs/switch.h"
#include "init/initramfs/verity.h"
#include "lib/device.h"
#include "lib/cleanup.h"

/* ---- verity */

/* As `veritysetup format --salt=aa55` writes it over 1000 blocks. */
static void make_superblock(unsigned char block[VERITY_SUPERBLOCK_BYTES])
{
	memset(block, 0, VERITY_SUPERBLOCK_BYTES);
	memcpy(block, "verity\0", 8);
	block[8] = 1;
	block[12] = 1;
	memcpy(block + 32, "sha256", 6);
	block[65] = 0x10;
	block[69] = 0x10;
	block[72] = 0xe8;
	block[73] = 3;
	block[80] = 2;
	block[88] = 0xaa;
	block[89] = 0x55;
}

static void test_a_superblock_becomes_a_table(void **state)
{
	unsigned char block[VERITY_SUPERBLOCK_BYTES];
	struct cmdline line = {.root_hash = "00ff", .corruption = CORRUPTION_RESTART};
	struct verity verity;
	const char *wrong;
	char text[VERITY_TABLE_MAX];
	struct strbuf buf;

	(void)state;
	make_superblock(block);
	assert_int_equal(verity_parse_superblock(block, 1000 * 4096, &verity, &wrong), 0);
	strbuf_init(&buf, text, sizeof(text));
	assert_int_equal(verity_parameters(&verity, &line, "254:0", "254:1", &buf), 0);
	assert_string_equal(text, "1 254:0 254:1 4096 4096 1000 1001 sha256 00ff aa55 "
				  "1 restart_on_corruption");
	/* 1000 digests are 8 blocks, whose digests are one. */
	assert_int_equal(verity_tree_blocks(&verity), 9);
}

static void test_a_superblock_is_bounded(void **state)
{
	static const struct {
		size_t at;
		unsigned char value;
		const char *says;
	} rows[] = {
		{0, 'V', "no verity superblock"},
		{8, 2, "version"},
		{12, 0, "hash type"},
		{32, 'S', "algorithm"},
		{38, '2', "algorithm"},
		{65, 0x30, "block size"},
		{65, 0x20, "block size"},
		{65, 0, "block size"},
		{69, 1, "block size"},
		{78, 1, "absurd"},
		{81, 2, "salt"},
	};
	unsigned char block[VERITY_SUPERBLOCK_BYTES];
	struct verity verity = {.data_blocks = 42};
	const char *wrong;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		make_superblock(block);
		block[rows[i].at] = rows[i].value;
		int r = verity_parse_superblock(block, 0, &verity, &wrong);
		assert_int_equal(r, -EINVAL);
		assert_non_null(strstr(wrong, rows[i].says));
		assert_int_equal(verity.data_blocks, 42);
	}
	make_superblock(block);
	block[72] = block[73] = 0;
	assert_int_equal(verity_parse_superblock(block, 0, &verity, &wrong), -EINVAL);
}

static void test_the_longest_salt_fits(void **state)
{
	unsigned char block[VERITY_SUPERBLOCK_BYTES];
	struct cmdline line = {.corruption = CORRUPTION_PANIC};
	struct verity verity;
	const char *wrong;
	char text[VERITY_TABLE_MAX];
	struct strbuf buf;

	(void)state;
	make_superblock(block);
	block[80] = 0;
	block[81] = 1;
	memset(block + 88, 0xab, 256);
	memset(line.root_hash, 'f', CMDLINE_HASH_HEX);
	assert_int_equal(verity_parse_superblock(block, 0, &verity, &wrong), 0);
	assert_int_equal(strlen(verity.salt), 512);
	strbuf_init(&buf, text, sizeof(text));
	assert_int_equal(
		verity_parameters(&verity, &line, "1048575:1048575", "1048575:1048575", &buf), 0);
	block[80] = block[81] = 0;
	assert_int_equal(verity_parse_superblock(block, 0, &verity, &wrong), 0);
	assert_string_equal(verity.salt, "-");
}

static void test_data_and_tree_lie_within_their_devices(void **state)
{
	struct verity verity = {.data_blocks = 1000,
				.hash_start = 1001,
				.data_block_size = 4096,
				.hash_block_size = 4096};
	const uint64_t end = 1010 * 4096;
	const char *wrong;

	(void)state;
	assert_int_equal(verity_check_sizes(&verity, end, end, true, &wrong), 0);
	assert_int_equal(verity_check_sizes(&verity, end, end - 1, true, &wrong), -EINVAL);
	assert_non_null(strstr(wrong, "does not fit"));
	assert_int_equal(verity_check_sizes(&verity, 1000 * 4096 - 1, end, false, &wrong), -EINVAL);
	assert_non_null(strstr(wrong, "smaller"));
	verity.hash_start = 999;
	assert_int_equal(verity_check_sizes(&verity, end, end, false, &wrong), 0);
	assert_int_equal(verity_check_sizes(&verity, end, end, true, &wrong), -EINVAL);
	assert_non_null(strstr(wrong, "within the data"));
	/* The largest numbers that a superblock may hold do not wrap around. */
	verity.data_blocks = UINT64_C(1) << 40;
	assert_int_equal(verity_check_sizes(&verity, end, end, true, &wrong), -EINVAL);
}

/* ---- the list of modules */

static void test_a_line_of_the_list(void **state)
{
	static const struct {
		const char *text;
		int result;
		const char *file, *directory, *parameters;
	} rows[] = {
		{"dm-verity.ko", 0, "dm-verity.ko", "dm_verity", ""},
		{"a.ko x=1 y=2", 0, "a.ko", "a", "x=1 y=2"},
		{"", 1, NULL, NULL, NULL},
		{".ko", -EINVAL, NULL, NULL, NULL},
		{"../a.ko", -EINVAL, NULL, NULL, NULL},
		{"a/b.ko", -EINVAL, NULL, NULL, NULL},
		{"a.b.ko", -EINVAL, NULL, NULL, NULL},
		{"a", -EINVAL, NULL, NULL, NULL},
		{" a.ko", -EINVAL, NULL, NULL, NULL},
		{"a0123456789012345678901234567890123456789012345678901234567890.ko", -EINVAL, NULL,
		 NULL, NULL},
	};
	struct modules_line line;
	char text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		assert_true(str_copy(text, sizeof(text), rows[i].text));
		assert_int_equal(modules_parse_line(text, &line), rows[i].result);
		if (rows[i].result != 0)
			continue;
		assert_string_equal(line.file, rows[i].file);
		assert_string_equal(line.directory, rows[i].directory);
		assert_string_equal(line.parameters, rows[i].parameters);
	}
}

/* ---- devices */

static void test_what_the_kernel_says_of_a_partition(void **state)
{
	char name[16];

	(void)state;
	assert_true(device_match("MAJOR=254\nDEVNAME=vda1\nPARTN=1\nPARTNAME=root-a\n", "PARTNAME",
				 "root-a", name, sizeof(name)));
	assert_string_equal(name, "vda1");
	assert_false(device_match("DEVNAME=vda1\nPARTNAME=root-ab\n", "PARTNAME", "root-a", name,
				  sizeof(name)));
	assert_false(device_match("DEVNAME=vda1\nXPARTNAME=root-a\n", "PARTNAME", "root-a", name,
				  sizeof(name)));
	assert_false(device_match("PARTNAME=root-a\n", "PARTNAME", "root-a", name, sizeof(name)));
	assert_false(device_match("DEVNAME=a/b\nPARTNAME=root-a\n", "PARTNAME", "root-a", name,
				  sizeof(name)));
	assert_false(device_match("DEVNAME=0123456789012345\nPARTNAME=root-a\n", "PARTNAME",
				  "root-a", name, sizeof(name)));
	assert_false(device_match("", "PARTNAME", "root-a", name, sizeof(name)));
}

static void test_a_device_that_does_not_come_is_not_waited_for_forever(void **state)
{
	(void)state;
	assert_int_equal(device_wait("/dev/holdfast-none", 0), -ETIMEDOUT);
	assert_int_equal(device_wait("PARTLABEL=holdfast-none", 0), -ETIMEDOUT);
	assert_int_equal(device_wait("/dev/null", 0), -ENOTBLK);
}

/* ---- what is left behind */

static void make_file(const char *folder, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	assert_true(fd >= 0);
	(void)close(fd);
}

static int delete_beside_a_mount(const char *folder)
{
	char path[256], kept[256];

	(void)snprintf(path, sizeof(path), "%s/mounted", folder);
	(void)snprintf(kept, sizeof(kept), "%s/mounted/kept", folder);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", path, "tmpfs", 0, NULL) < 0 || mkdir(kept, 0755) < 0)
		return 2;
	switch_delete(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return access(kept, F_OK) == 0 ? 0 : 1;
}

static void test_everything_goes_but_what_is_mounted(void **state)
{
	char folder[] = "/tmp/holdfast-test-XXXXXX", path[256];
	int status;

	(void)state;
	assert_non_null(mkdtemp(folder));
	make_file(folder, "init");
	for (const char *const *name = (const char *const[]){"a", "a/b", "mounted", NULL}; *name;
	     name++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, *name);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	make_file(folder, "a/b/c");
	(void)snprintf(path, sizeof(path), "%s/link", folder);
	assert_int_equal(symlink("/etc", path), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(delete_beside_a_mount(folder));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* Only the mount point is left, and the link's target was not followed. */
	(void)snprintf(path, sizeof(path), "%s/mounted", folder);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_superblock_becomes_a_table),
		cmocka_unit_test(test_a_superblock_is_bounded),
		cmocka_unit_test(test_the_longest_salt_fits),
		cmocka_unit_test(test_data_and_tree_lie_within_their_devices),
		cmocka_unit_test(test_a_line_of_the_list),
		cmocka_unit_test(test_what_the_kernel_says_of_a_partition),
		cmocka_unit_test(test_a_device_that_does_not_come_is_not_waited_for_forever),
		cmocka_unit_test(test_everything_goes_but_what_is_mounted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
