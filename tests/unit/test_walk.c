/* TESTS: lib/walk.c lib/trust.c lib/fd.c lib/str.c lib/sys.c */
/* LDFLAGS: -Wl,--wrap=fstatvfs -Wl,--wrap=geteuid */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/trust.h"
#include "lib/walk.h"

static char root[] = "/tmp/holdfast-test-XXXXXX";
static int root_fd;
static bool is_read_only;
static uid_t euid;

/* Whose process this is, and whether the tree lies on a mount that nobody writes to. */
uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
	return euid;
}

int __real_fstatvfs(int fd, struct statvfs *fs);
int __wrap_fstatvfs(int fd, struct statvfs *fs);
int __wrap_fstatvfs(int fd, struct statvfs *fs)
{
	int r = __real_fstatvfs(fd, fs);

	fs->f_flag &= ~(unsigned long)ST_RDONLY;
	if (is_read_only)
		fs->f_flag |= ST_RDONLY;
	return r;
}

static void make_file(const char *path, mode_t mode)
{
	int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, path, strlen(path)), (ssize_t)strlen(path));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void make_folder(const char *path, mode_t mode)
{
	assert_int_equal(mkdirat(root_fd, path, 0700), 0);
	assert_int_equal(fchmodat(root_fd, path, mode, 0), 0);
}

static void make_link(const char *path, const char *target)
{
	assert_int_equal(symlinkat(target, root_fd, path), 0);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(root + strlen(root) - 6, "XXXXXX");
	assert_non_null(mkdtemp(root));
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(root_fd >= 0);
	assert_int_equal(fchmod(root_fd, 0755), 0);
	make_folder("a", 0755);
	make_folder("a/b", 0755);
	make_file("a/b/file", 0644);
	is_read_only = false;
	euid = 0;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	close(root_fd);
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- the walk */

/* Where path leads, or -errno as text. */
static const char *leads_with(const char *path, bool keep_last_link, walk_check check,
			      void *context)
{
	static char text[PATH_MAX];
	struct walk walk;

	walk_init(&walk, root_fd, check, context);
	walk.keep_last_link = keep_last_link;
	int r = walk_to(&walk, path);
	if (r < 0)
		(void)snprintf(text, sizeof(text), "%s", strerrorname_np(-r));
	else
		(void)snprintf(text, sizeof(text), "%s", walk.path);
	walk_finish(&walk);
	assert_int_equal(walk.fd, -EBADF);
	assert_int_equal(walk.parent_fd, -EBADF);
	return text;
}

static const char *leads(const char *path)
{
	return leads_with(path, false, NULL, NULL);
}

static void test_plain_paths(void **state)
{
	static const char *const rows[][2] = {
		{"/a/b/file", "/a/b/file"},
		{"a/b/file", "/a/b/file"},
		{"//a///b//file", "/a/b/file"},
		{"/a/./b/././file", "/a/b/file"},
		{"/a/b/", "/a/b"},
		{"/a/b/.", "/a/b"},
		{"/", ""},
		{"", ""},
		{"///", ""},
		{"/.", ""},
		{"/gone", "ENOENT"},
		{"/a/gone/file", "ENOENT"},
		{"/a/b/file/x", "ENOTDIR"},
		{"/a/b/file/", "ENOTDIR"},
		{"/a/b/file/.", "ENOTDIR"},
		{"/a/b/file/..", "ENOTDIR"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(leads(rows[i][0]), rows[i][1]);
}

static void test_the_way_up_ends_at_the_root(void **state)
{
	(void)state;
	make_link("a/up", "../../../../a/b");
	make_link("a/b/above", "..");
	make_link("folder", "/a/b");
	assert_string_equal(leads("/.."), "");
	assert_string_equal(leads("/../../etc/../a/b/file"), "ENOENT");
	assert_string_equal(leads("/../../a/../a/b/../b/file"), "/a/b/file");
	assert_string_equal(leads("/a/up/file"), "/a/b/file");
	assert_string_equal(leads("/a/b/above/b"), "/a/b");
	/* Above what a link leads to, not above the link. */
	assert_string_equal(leads("/folder/.."), "/a");
	assert_string_equal(leads("/folder/../b/file"), "/a/b/file");
}

static void test_links(void **state)
{
	char name[16], target[16];

	(void)state;
	make_link("absolute", "/a/b/file");
	make_link("a/relative", "b/file");
	make_link("twice", "a/relative");
	make_link("dots", "./a//b/../b/./file");
	make_link("slash", "a/b/");
	make_link("slashed", "a/b/file/");
	make_link("dangling", "/etc/passwd");
	make_link("self", "self");
	make_link("one", "two");
	make_link("two", "one");
	assert_string_equal(leads("/absolute"), "/a/b/file");
	assert_string_equal(leads("/a/relative"), "/a/b/file");
	assert_string_equal(leads("/twice"), "/a/b/file");
	assert_string_equal(leads("/dots"), "/a/b/file");
	assert_string_equal(leads("/slash"), "/a/b");
	assert_string_equal(leads("/slash/file"), "/a/b/file");
	assert_string_equal(leads("/slashed"), "ENOTDIR");
	assert_string_equal(leads("/absolute/"), "ENOTDIR");
	assert_string_equal(leads("/dangling"), "ENOENT");
	assert_string_equal(leads("/self"), "ELOOP");
	assert_string_equal(leads("/one/x"), "ELOOP");
	/* Forty, and one more. */
	make_link("0", "/a/b/file");
	for (int i = 1; i <= WALK_LINKS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		(void)snprintf(target, sizeof(target), "%d", i - 1);
		make_link(name, target);
	}
	assert_string_equal(leads("/39"), "/a/b/file");
	assert_string_equal(leads("/40"), "ELOOP");
}

static void test_a_link_at_the_end_may_be_what_is_meant(void **state)
{
	(void)state;
	make_link("folder", "/a/b");
	make_link("a/b/last", "gone");
	assert_string_equal(leads_with("/folder", true, NULL, NULL), "/folder");
	assert_string_equal(leads_with("/folder/last", true, NULL, NULL), "/a/b/last");
	assert_string_equal(leads_with("/folder/", true, NULL, NULL), "/a/b");
	assert_string_equal(leads_with("/folder/.", true, NULL, NULL), "/a/b");
	assert_string_equal(leads("/folder/last"), "ENOENT");
}

static void test_names_too_long(void **state)
{
	static char path[PATH_MAX + 10];
	char name[NAME_MAX + 2];

	(void)state;
	/* Whose beginning is a name that there is. */
	memset(name, 'n', sizeof(name));
	name[NAME_MAX] = '\0';
	make_file(name, 0644);
	assert_string_equal(leads(name), (snprintf(path, sizeof(path), "/%s", name), path));
	name[NAME_MAX] = 'n';
	name[NAME_MAX + 1] = '\0';
	assert_string_equal(leads(name), "ENAMETOOLONG");
	memset(path, '/', sizeof(path));
	path[PATH_MAX - 1] = '\0';
	assert_string_equal(leads(path), "");
	path[PATH_MAX - 1] = '/';
	path[PATH_MAX] = '\0';
	assert_string_equal(leads(path), "ENAMETOOLONG");
	/* And a path that a link makes too long. */
	memset(path, '/', PATH_MAX - 1);
	memcpy(path, "/link", 5);
	path[PATH_MAX - 1] = '\0';
	make_link("link", "a/b");
	assert_string_equal(leads(path), "/a/b");
	assert_int_equal(unlinkat(root_fd, "link", 0), 0);
	make_link("link", "/a/b/.././b");
	assert_string_equal(leads(path), "ENAMETOOLONG");
}

struct seen {
	char text[512];
	const char *refused;
};

static int note(void *context, int fd, const struct stat *st, const char *path)
{
	struct seen *seen = context;
	struct stat mine;
	size_t length = strlen(seen->text);

	assert_int_equal(fstat(fd, &mine), 0);
	assert_true(mine.st_ino == st->st_ino && mine.st_dev == st->st_dev);
	(void)snprintf(seen->text + length, sizeof(seen->text) - length, "%s%s ",
		       path[0] ? path : "/", S_ISLNK(st->st_mode) ? "@" : "");
	return seen->refused && strcmp(path, seen->refused) == 0 ? -EXDEV : 0;
}

static void test_each_step_is_checked(void **state)
{
	struct seen seen = {.text = ""}, refusing = {.text = "", .refused = "/a/link"};

	(void)state;
	make_link("a/link", "/a/b");
	assert_string_equal(leads_with("/a/link/file", false, note, &seen), "/a/b/file");
	assert_string_equal(seen.text, "/ /a /a/link@ / /a /a/b /a/b/file ");
	seen.text[0] = '\0';
	assert_string_equal(leads_with("a/b/../b", false, note, &seen), "/a/b");
	assert_string_equal(seen.text, "/ /a /a/b / /a /a/b ");
	assert_string_equal(leads_with("/a/link/file", false, note, &refusing), "EXDEV");
	assert_string_equal(refusing.text, "/ /a /a/link@ ");
}

static void test_what_was_found_is_what_is_opened(void **state)
{
	struct walk walk;
	char text[16] = "";

	(void)state;
	walk_init(&walk, root_fd, NULL, NULL);
	assert_int_equal(walk_to(&walk, "/a/b/file"), 0);
	int fd = walk_open(&walk);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 8);
	assert_string_equal(text, "a/b/file");
	close(fd);
	assert_int_equal(renameat(root_fd, "a/b/file", root_fd, "a/b/old"), 0);
	assert_int_equal(walk_open(&walk), -ENOENT);
	make_file("a/b/file", 0644);
	assert_int_equal(walk_open(&walk), -ESTALE);
	assert_int_equal(unlinkat(root_fd, "a/b/file", 0), 0);
	make_link("a/b/file", "old");
	assert_int_equal(walk_open(&walk), -ELOOP);
	walk_finish(&walk);
	for (const char *const *path = (const char *const[]){"/", "/a", NULL}; *path; path++) {
		walk_init(&walk, root_fd, NULL, NULL);
		assert_int_equal(walk_to(&walk, *path), 0);
		assert_int_equal(walk_open(&walk), -ENOTTY);
		walk_finish(&walk);
	}
}

/* ---- whom the way to a file may belong to */

static char why[256];

static int trusts(const char *path)
{
	bool is_writable = false;

	why[0] = '\0';
	int r = trust_open(root_fd, path, &is_writable, why, sizeof(why));
	if (r < 0)
		return r;
	close(r);
	return is_writable;
}

static void change(const char *path, uid_t owner, mode_t mode)
{
	assert_int_equal(fchownat(root_fd, path, owner, 0, 0), 0);
	assert_int_equal(fchmodat(root_fd, path, mode, 0), 0);
}

static void test_somebody_elses_step(void **state)
{
	static const struct {
		const char *path;
		uid_t owner;
		mode_t mode;
		const char *why;
	} rows[] = {
		{"a/b/file", 1, 0644, "/a/b/file belongs to somebody else than root"},
		{"a/b/file", 0, 0664, "/a/b/file may be written by others than root"},
		{"a/b/file", 0, 0646, "/a/b/file may be written by others than root"},
		{"a/b", 1, 0755, "/a/b belongs to somebody else than root"},
		{"a", 0, 0775, "/a may be written by others than root"},
		{"a", 1, 01777, "/a belongs to somebody else than root"},
		{".", 0, 0757, "/ may be written by others than root"},
	};

	(void)state;
	assert_int_equal(trusts("/a/b/file"), 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		change(rows[i].path, rows[i].owner, rows[i].mode);
		assert_int_equal(trusts("/a/b/file"), -EPERM);
		assert_string_equal(why, rows[i].why);
		/* What nobody can write to is as the image has it, and others have no rights to lend. */
		is_read_only = true;
		assert_int_equal(trusts("/a/b/file"), 0);
		is_read_only = false;
		euid = 1000;
		assert_int_equal(trusts("/a/b/file"), 0);
		euid = 0;
		change("a/b/file", 0, 0644);
		for (const char *const *path = (const char *const[]){".", "a", "a/b", NULL}; *path;
		     path++)
			change(*path, 0, 0755);
	}
	assert_int_equal(trusts("/gone"), -ENOENT);
	assert_int_equal(trusts("/a/b"), -ENOTTY);
	assert_int_equal(trusts("/a/b/file/"), -ENOTDIR);
}

static void test_links_that_may_be_somebody_elses(void **state)
{
	(void)state;
	change("a", 0, 01777);
	make_link("a/ours", "b/file");
	make_link("a/theirs", "/a/b/file");
	assert_int_equal(fchownat(root_fd, "a/theirs", 1, 1, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(trusts("/a/ours"), 1);
	assert_int_equal(trusts("/a/theirs"), -EPERM);
	assert_string_equal(why, "/a/theirs belongs to somebody else than root");
}

/* In a sticky directory anybody may give root's file a second name, where links are not protected. */
static void test_a_second_name_among_those_of_others(void **state)
{
	(void)state;
	make_file("once", 0644);
	make_file("twice", 0644);
	make_folder("tmp", 01777);
	make_link("tmp/link", "name");
	assert_int_equal(linkat(root_fd, "twice", root_fd, "tmp/name", 0), 0);
	assert_int_equal(trusts("/twice"), 1);
	assert_int_equal(trusts("/tmp/name"), -EPERM);
	assert_string_equal(why, "/tmp/name has a second name, which somebody else may have made");
	/* By a link of root's in the same directory, too; from another one it is the file's way that counts. */
	assert_int_equal(trusts("/tmp/link"), -EPERM);
	assert_int_equal(trusts("/tmp/../twice"), 1);
	make_link("to", "tmp/../once");
	assert_int_equal(trusts("/to"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_plain_paths),
		TEST(test_the_way_up_ends_at_the_root),
		TEST(test_links),
		TEST(test_a_link_at_the_end_may_be_what_is_meant),
		TEST(test_names_too_long),
		TEST(test_each_step_is_checked),
		TEST(test_what_was_found_is_what_is_opened),
		TEST(test_somebody_elses_step),
		TEST(test_links_that_may_be_somebody_elses),
		TEST(test_a_second_name_among_those_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
