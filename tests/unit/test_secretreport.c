/* TESTS: lib/secretreport.c lib/io.c lib/fd.c lib/sys.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/secretreport.h"

static struct secretreport report, read_back;

static int fill(void)
{
	secretreport_init(&report, 3);
	report.status = 75;
	report.flags = SECRETREPORT_KEPT;
	report.items[1].outcome = SECRET_TEMPORARY;
	report.items[2].length = 7;
	secretreport_set_version(&report.items[2], "v12");
	secretreport_set_failure(&report, "the service is busy");
	return memfd_create("report", MFD_CLOEXEC);
}

static void test_a_report_comes_back(void **state)
{
	int fd = fill();

	(void)state;
	assert_int_equal(secretreport_write(fd, &report), 0);
	assert_int_equal(secretreport_read(fd, 3, &read_back), 0);
	assert_memory_equal(&report, &read_back, sizeof(report));
	assert_int_equal(secretreport_read(fd, 2, &read_back), -EBADMSG);
	assert_int_equal(secretreport_read(fd, 4, &read_back), -EBADMSG);
	assert_int_equal(secretreport_read(fd, UINT32_MAX, &read_back), -EBADMSG);
	/* A shorter one after a longer one leaves nothing of it. */
	secretreport_init(&report, 0);
	assert_int_equal(secretreport_write(fd, &report), 0);
	assert_int_equal(secretreport_read(fd, 0, &read_back), 0);
	close(fd);
}

static void test_a_version_is_text(void **state)
{
	struct secretreport_item item;
	char longest[200];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	secretreport_set_version(&item, "a\nb\x1b\xff");
	assert_string_equal(item.version, "a?b??");
	secretreport_set_version(&item, longest);
	assert_int_equal(strlen(item.version), SECRETREPORT_VERSION_MAX - 1);
	secretreport_set_failure(&report, "line\nend");
	assert_string_equal(report.failure, "line?end");
}

/* Each of these alone spoils it. */
static void test_a_strangers_bytes_are_checked(void **state)
{
	static const struct {
		size_t offset;
		char value;
	} spoils[] = {
		{offsetof(struct secretreport, magic), 1},
		{offsetof(struct secretreport, version), 9},
		{offsetof(struct secretreport, count), 2},
		{offsetof(struct secretreport, status), 1},
		{offsetof(struct secretreport, flags), 0x40},
		{offsetof(struct secretreport, failure), '\n'},
		{offsetof(struct secretreport, items[0].outcome), SECRET_OUTCOME_COUNT},
		{offsetof(struct secretreport, items[1].flags), 0x40},
		{offsetof(struct secretreport, items[2].version), '\n'},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
		int fd = fill();
		((char *)&report)[spoils[i].offset] = spoils[i].value;
		size_t size = offsetof(struct secretreport, items[3]);
		assert_int_equal(secretreport_check(&report, size, 3), -EBADMSG);
		close(fd);
	}
	close(fill());
	memset(report.items[0].version, 'x', SECRETREPORT_VERSION_MAX);
	assert_int_equal(secretreport_check(&report, offsetof(struct secretreport, items[3]), 3),
			 -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_report_comes_back),
		cmocka_unit_test(test_a_version_is_text),
		cmocka_unit_test(test_a_strangers_bytes_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
