/* TESTS: secrets/vaultref.c lib/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "secrets/vaultref.h"

static char text[512];
static struct strbuf why;

static bool parse(const char *reference, bool needs_key, struct vaultref *ret_ref)
{
	strbuf_init(&why, text, sizeof(text));
	return vaultref_parse(reference, needs_key, ret_ref, &why);
}

static void test_what_is_taken(void **state)
{
	static const struct {
		const char *reference, *path, *key;
		uint32_t version;
	} rows[] = {
		{"secret/app/db#password", "secret/app/db", "password", 0},
		{"secret/app?version=3#a b", "secret/app", "a b", 3},
		{"team/kv/app#x#y?z", "team/kv/app", "x#y?z", 0},
		{"secret/with space#k", "secret/with space", "k", 0},
		{"system/x#k", "system/x", "k", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vaultref ref;
		assert_true(parse(rows[i].reference, true, &ref));
		assert_string_equal(ref.path, rows[i].path);
		assert_string_equal(ref.key, rows[i].key);
		assert_int_equal(ref.version, rows[i].version);
		assert_int_equal(why.length, 0);
	}
}

static void test_what_is_refused_and_why(void **state)
{
	static const struct {
		const char *reference, *says;
	} rows[] = {
		{"secret/app", "names no key"},
		{"secret/app#", "names no key"},
		{"#key", "empty part"},
		{"secret#key", "no secret in it"},
		{"/secret/app#key", "empty part"},
		{"secret//app#key", "empty part"},
		{"secret/app/#key", "empty part"},
		{"secret/../sys/seal#key", ". or .."},
		{"secret/./x#key", ". or .."},
		{"secret/a\tb#key", "control character"},
		{"sys/seal#key", "Vault's own"},
		{"auth/token/create#key", "Vault's own"},
		{"secret/app#key?version=2", "in front of #KEY"},
		{"secret/app?version=0#key", "N from 1"},
		{"secret/app?version=-1#key", "N from 1"},
		{"secret/app?version=4294967296#key", "N from 1"},
		{"secret/app?version=#key", "N from 1"},
		{"secret/app?list=true#key", "N from 1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vaultref ref = {.version = 77};
		assert_false(parse(rows[i].reference, true, &ref));
		assert_non_null(strstr(text, rows[i].says));
		assert_int_equal(ref.version, 77);
	}
}

static void test_a_path_takes_no_key(void **state)
{
	struct vaultref ref;

	(void)state;
	assert_true(parse("secret/app?version=2", false, &ref));
	assert_int_equal(ref.version, 2);
	assert_false(parse("secret/app#key", false, &ref));
}

static void test_limits(void **state)
{
	char long_path[VAULTREF_PATH_MAX + VAULTREF_KEY_MAX + 8];
	struct vaultref ref;

	(void)state;
	memset(long_path, 'p', sizeof(long_path));
	memcpy(long_path, "kv/", 3);
	strcpy(long_path + VAULTREF_PATH_MAX, "#k");
	assert_true(parse(long_path, true, &ref));
	strcpy(long_path + VAULTREF_PATH_MAX, "p#k");
	assert_false(parse(long_path, true, &ref));
	memset(long_path, 'k', sizeof(long_path));
	memcpy(long_path, "kv/p#", 5);
	long_path[5 + VAULTREF_KEY_MAX] = '\0';
	assert_true(parse(long_path, true, &ref));
	long_path[5 + VAULTREF_KEY_MAX] = 'k';
	long_path[6 + VAULTREF_KEY_MAX] = '\0';
	assert_false(parse(long_path, true, &ref));
}

static void test_what_a_url_cannot_hold_is_escaped(void **state)
{
	char url[64];
	struct strbuf buf;

	(void)state;
	strbuf_init(&buf, url, sizeof(url));
	vaultref_escape(&buf, "kv/a b?c#d%e\xC3\xA4~-._");
	assert_string_equal(url, "kv/a%20b%3Fc%23d%25e%C3%A4~-._");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_taken),
		cmocka_unit_test(test_what_is_refused_and_why),
		cmocka_unit_test(test_a_path_takes_no_key),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_what_a_url_cannot_hold_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
