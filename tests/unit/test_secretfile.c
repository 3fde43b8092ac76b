/* TESTS: lib/secretfile.c lib/sys.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/secretfile.h"
#include "lib/sys.h"

static char data[1 << 16] __attribute__((aligned(8)));

/* What fd holds, in data. */
static size_t content(int fd)
{
	ssize_t n = pread(fd, data, sizeof(data), 0);

	assert_true(n >= 0);
	assert_int_equal(close(fd), 0);
	return (size_t)n;
}

static int fresh(void)
{
	int fd = sys_memfd_create("test", 0);

	assert_true(fd >= 0);
	return fd;
}

static void test_records_come_back_in_order(void **state)
{
	static const struct {
		const char *name, *value;
		size_t length;
	} records[] = {
		{"A", "", 0},
		{"TOKEN", "abc=def", 7},
		{"tls.key", "bin\0ary", 7},
		{"B", "x\ny", 3},
	};
	struct secretfile_record record;
	size_t cursor = 0;
	int fd = fresh();

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(
			secretfile_append(fd, records[i].name, records[i].value, records[i].length),
			0);
	size_t size = content(fd);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(secretfile_next(data, size, &cursor, &record), 1);
		assert_int_equal(record.value_length, records[i].length);
		assert_memory_equal(record.value, records[i].value, records[i].length + 1);
		assert_memory_equal(record.name, records[i].name, record.name_length);
		assert_int_equal(record.name[record.name_length], '=');
		assert_int_equal(secretfile_is_text(&record), i != 2);
	}
	assert_int_equal(secretfile_next(data, size, &cursor, &record), 0);
}

static void test_a_text_can_stand_in_an_environment(void **state)
{
	struct secretfile_record record;
	int fd = fresh();

	(void)state;
	assert_int_equal(secretfile_append(fd, "TOKEN", "value", 5), 0);
	size_t size = content(fd);
	assert_int_equal(secretfile_find(data, size, "TOKEN", &record), 1);
	assert_string_equal(record.assignment, "TOKEN=value");
	assert_int_equal(secretfile_find(data, size, "TOKE", &record), 0);
	assert_int_equal(secretfile_find(data, size, "TOKEN=", &record), 0);
}

static void test_what_cannot_be_a_record_is_not_written(void **state)
{
	char name[SECRETFILE_NAME_MAX + 2];
	int fd = fresh();

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(secretfile_append(fd, "", "x", 1), -EINVAL);
	assert_int_equal(secretfile_append(fd, "A=B", "x", 1), -EINVAL);
	assert_int_equal(secretfile_append(fd, name, "x", 1), -EINVAL);
	assert_int_equal(secretfile_append(fd, "A", "x", SECRETFILE_VALUE_MAX + 1), -E2BIG);
	assert_int_equal(secretfile_append(-1, "A", "x", 1), -EBADF);
	assert_int_equal(content(fd), 0);
}

/* Every cut and every changed byte: refused, or a record that lies within. */
static void test_damage_is_refused_or_harmless(void **state)
{
	struct secretfile_record record;
	int fd = fresh();

	(void)state;
	assert_int_equal(secretfile_append(fd, "TOKEN", "value", 5), 0);
	assert_int_equal(secretfile_append(fd, "B", "second", 6), 0);
	size_t size = content(fd);
	for (size_t cut = 1; cut < size; cut++) {
		char *part = malloc(cut);
		size_t cursor = 0;
		int r;
		assert_non_null(part);
		memcpy(part, data, cut);
		while ((r = secretfile_next(part, cut, &cursor, &record)) > 0)
			assert_true(record.value + record.value_length < part + cut);
		assert_true(r == -EBADMSG || cursor == cut);
		free(part);
	}
	for (size_t i = 0; i < size; i++) {
		char kept = data[i];
		size_t cursor = 0;
		data[i] = (char)~data[i];
		while (secretfile_next(data, size, &cursor, &record) > 0) {
			assert_true(record.value + record.value_length < data + size);
			assert_int_equal(record.value[record.value_length], '\0');
		}
		data[i] = kept;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_come_back_in_order),
		cmocka_unit_test(test_a_text_can_stand_in_an_environment),
		cmocka_unit_test(test_what_cannot_be_a_record_is_not_written),
		cmocka_unit_test(test_damage_is_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
