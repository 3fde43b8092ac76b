/* TESTS: tools/shorten.c */
/* A shortened filter is shorter, and the same; and one that is not the same is told from it. */
#include "tools/shorten.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include "lib/cleanup.h"

#define HIGH	      20 /* the upper half of the first argument */
#define LOW	      16
#define LOAD(offset)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define MASK(mask)    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask)
#define IS(k, jt, jf) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, jt, jf)
#define RETURN(k)     BPF_STMT(BPF_RET | BPF_K, k)
#define DENIED	      (SECCOMP_RET_ERRNO | 1)
#define OTHER	      (SECCOMP_RET_ERRNO | 2)

static const unsigned architectures[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, 0};

static size_t shortened(const struct sock_filter *filter, size_t count,
			struct sock_filter *ret_filter)
{
	memcpy(ret_filter, filter, count * sizeof(*filter));
	size_t n = shorten_filter(ret_filter, count);
	assert_true(shorten_is_same(filter, count, ret_filter, n, architectures));
	return n;
}

/* As libseccomp has two flags of call 5: each with the half that is masked to nothing. */
static void test_flags_of_a_word_are_asked_at_once(void **state)
{
	const struct sock_filter filter[] = {
		LOAD(0),
		IS(5, 0, 10),
		LOAD(HIGH),
		MASK(0),
		IS(0, 0, 7),
		LOAD(LOW),
		MASK(0x80),
		IS(0x80, 3, 0),
		LOAD(LOW),
		MASK(0x20000),
		IS(0x20000, 0, 1),
		RETURN(DENIED),
		RETURN(SECCOMP_RET_ALLOW),
	};
	const struct sock_filter expected[] = {
		LOAD(0),	IS(5, 0, 3),
		LOAD(LOW),	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x20080, 0, 1),
		RETURN(DENIED), RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_filter found[ARRAY_COUNT(filter)];

	(void)state;
	assert_int_equal(shortened(filter, ARRAY_COUNT(filter), found), ARRAY_COUNT(expected));
	assert_memory_equal(found, expected, sizeof(expected));
}

/* Another return, another word, more than one bit: these stay by themselves. */
static void test_what_is_not_alike_stays(void **state)
{
	const struct sock_filter filter[] = {
		LOAD(LOW),	MASK(0x80),
		IS(0x80, 9, 0), LOAD(LOW),
		MASK(0x40),	IS(0x40, 7, 0),
		LOAD(24),	MASK(2),
		IS(2, 4, 0),	LOAD(LOW),
		MASK(0xff),	IS(0x0c, 2, 1),
		RETURN(DENIED), RETURN(SECCOMP_RET_ALLOW),
		RETURN(OTHER),
	};
	struct sock_filter found[ARRAY_COUNT(filter)];

	(void)state;
	/* Three tests of one flag, each without its mask. */
	assert_int_equal(shortened(filter, ARRAY_COUNT(filter), found), ARRAY_COUNT(filter) - 3);
}

static void test_what_differs_is_seen(void **state)
{
	const struct sock_filter filter[] = {
		LOAD(0),	IS(7, 0, 3),
		LOAD(HIGH),	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 4, 0, 1),
		RETURN(DENIED), RETURN(SECCOMP_RET_ALLOW),
	};

	(void)state;
	assert_true(shorten_is_same(filter, ARRAY_COUNT(filter), filter, ARRAY_COUNT(filter),
				    architectures));
	for (size_t i = 0; i < ARRAY_COUNT(filter); i++) {
		struct sock_filter other[ARRAY_COUNT(filter)];
		memcpy(other, filter, sizeof(filter));
		other[i].k += 4;
		assert_false(shorten_is_same(filter, ARRAY_COUNT(filter), other,
					     ARRAY_COUNT(filter), architectures));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags_of_a_word_are_asked_at_once),
		cmocka_unit_test(test_what_is_not_alike_stays),
		cmocka_unit_test(test_what_differs_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
