/* TESTS: secrets/certificate.c */
/* When a certificate in a value ends: a small one of bytes that are known, and each thing that may be
 * wrong with it. Those that openssl makes are read in tests/integration/test_secrets.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "secrets/certificate.h"

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END   "-----END CERTIFICATE-----\n"
#define ENDS  INT64_C(1893456000) /* 2030-01-01 */

/* A certificate up to its dates: 48 bytes, the second date from 35 on. */
static const unsigned char sample[] =
	"\x30\x2e\x30\x2c\xa0\x03\x02\x01\x02\x02\x01\x01\x30\x00\x30\x00"
	"\x30\x1e\x17\x0d"
	"250101000000Z\x17\x0d"
	"300101000000Z";
#define SAMPLE_SIZE (sizeof(sample) - 1)
#define DATE	    35 /* where the second one's digits begin */

static void encode(const unsigned char *der, size_t size, char *to)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		size_t n = MIN(size - i, 3U);
		uint32_t bits = (uint32_t)der[i] << 16;
		bits |= n > 1 ? (uint32_t)der[i + 1] << 8 : 0;
		bits |= n > 2 ? der[i + 2] : 0;
		for (size_t j = 0; j < 4; j++)
			*to++ = j > n ? '=' : digits[bits >> (18 - 6 * j) & 0x3f];
	}
	*to = '\0';
}

/* In memory of just its size, so that one byte too far is seen. */
static int64_t expiry_of_text(const char *text)
{
	size_t length = strlen(text);
	char *copy = malloc(length + 1);

	assert_non_null(copy);
	memcpy(copy, text, length);
	char *exact = realloc(copy, length ? length : 1);
	int64_t end = certificate_expiry(exact, length);
	free(exact);
	return end;
}

static int64_t expiry_of(const unsigned char *der, size_t size)
{
	char base64[512], text[1024];

	encode(der, size, base64);
	(void)snprintf(text, sizeof(text), BEGIN "%s\n" END, base64);
	return expiry_of_text(text);
}

static void test_the_second_date_is_the_end(void **state)
{
	(void)state;
	assert_int_equal(SAMPLE_SIZE, 48);
	assert_int_equal(expiry_of(sample, SAMPLE_SIZE), ENDS);
}

/* The sample with another second date. */
static int64_t expiry_at(unsigned char tag, const char *date)
{
	unsigned char der[64];
	size_t length = strlen(date), more = length - 13;

	memcpy(der, sample, SAMPLE_SIZE);
	der[DATE - 2] = tag;
	der[DATE - 1] = (unsigned char)length;
	memcpy(der + DATE, date, length);
	static const size_t lengths[] = {1, 3, 17};
	for (size_t i = 0; i < ARRAY_COUNT(lengths); i++)
		der[lengths[i]] = (unsigned char)(der[lengths[i]] + more);
	return expiry_of(der, DATE + length);
}

static void test_dates(void **state)
{
	static const struct {
		unsigned char tag;
		const char *date;
		int64_t seconds;
	} rows[] = {
		{0x17, "491231235959Z", INT64_C(2524607999)},
		{0x17, "700101000001Z", 1},
		{0x17, "500101000000Z", 0}, /* 1950: before any that is served */
		{0x18, "20500101000000Z", INT64_C(2524608000)},
		{0x18, "99991231235959Z", INT64_C(253402300799)}, /* RFC 5280: never */
		{0x17, "320229120000Z", INT64_C(1961668800)},
		{0x17, "310229120000Z", 0}, /* no leap year */
		{0x17, "301301000000Z", 0},
		{0x17, "300001000000Z", 0},
		{0x17, "300100000000Z", 0},
		{0x17, "300101240000Z", 0},
		{0x17, "300101006000Z", 0},
		{0x17, "300101000060Z", 0},
		{0x17, "3001010000000", 0},
		{0x17, "30010100000 Z", 0},
		{0x17, "300101000000+0100", 0},
		{0x17, "20500101000000Z", 0},
		{0x18, "300101000000Z", 0},
		{0x18, "20500101000000.5Z", 0},
		{0x04, "300101000000Z", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		if (expiry_at(rows[i].tag, rows[i].date) != rows[i].seconds)
			fail_msg("%s", rows[i].date);
	}
}

/* Lengths that do not fit into each other, other tags, less or more than there should be. */
static void test_what_is_none(void **state)
{
	static const struct {
		unsigned at;
		unsigned char byte;
	} rows[] = {
		{0, 0x31},	  {1, 0x2d},	    {1, 0x2f},	{1, 0x80},  {1, 0x81},
		{1, 0x84},	  {1, 0xff},	    {2, 0x31},	{3, 0x2d},  {3, 0x2b},
		{3, 0xff},	  {5, 0x2c},	    {5, 0x84},	{9, 0x04},  {10, 0x7f},
		{12, 0x31},	  {13, 0x30},	    {14, 0x31}, {16, 0x31}, {17, 0x1d},
		{17, 0x1f},	  {18, 0x04},	    {19, 0x0c}, {19, 0x0e}, {DATE - 1, 0x0c},
		{DATE - 1, 0x0e}, {DATE - 1, 0x80},
	};
	unsigned char der[SAMPLE_SIZE + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		memcpy(der, sample, SAMPLE_SIZE);
		der[rows[i].at] = rows[i].byte;
		if (expiry_of(der, SAMPLE_SIZE) != 0)
			fail_msg("byte %u as 0x%x", rows[i].at, rows[i].byte);
	}
	for (size_t size = 0; size < SAMPLE_SIZE; size++)
		assert_int_equal(expiry_of(sample, size), 0);
	memcpy(der, sample, SAMPLE_SIZE);
	der[SAMPLE_SIZE] = 0;
	assert_int_equal(expiry_of(der, SAMPLE_SIZE + 1), 0);
}

/* Lengths of several bytes: as few as it takes, and no more than there is. */
static void test_long_lengths(void **state)
{
	static const struct {
		const char *head; /* of the whole and of what is signed, with 0x83 bytes in it */
		size_t size;
		bool is_good;
	} rows[] = {
		{"\x30\x81\x83\x30\x81\x80", 6, true},
		{"\x30\x82\x00\x84\x30\x81\x80", 7, false},
		{"\x30\x83\x00\x00\x83\x30\x81\x80", 8, false},
		{"\x30\x85\x00\x00\x00\x00\x83\x30\x81\x80", 10, false},
		{"\x30\x84\xff\xff\xff\xff\x30\x84\xff\xff\xff\xf0", 12, false},
		{"\x30\x80\x30\x81\x80", 5, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		unsigned char der[256] = {0};
		size_t rest = SAMPLE_SIZE - 4;
		memcpy(der, rows[i].head, rows[i].size);
		memcpy(der + rows[i].size, sample + 4, rest);
		assert_int_equal(expiry_of(der, rows[i].size + 0x80), rows[i].is_good ? ENDS : 0);
	}
}

static void test_one_without_a_version(void **state)
{
	unsigned char der[SAMPLE_SIZE];

	(void)state;
	memcpy(der, sample, 4);
	memcpy(der + 4, sample + 9, SAMPLE_SIZE - 9);
	der[1] = (unsigned char)(der[1] - 5);
	der[3] = (unsigned char)(der[3] - 5);
	assert_int_equal(expiry_of(der, SAMPLE_SIZE - 5), ENDS);
}

#define EARLY "MC4wLKADAgECAgEBMAAwADAeFw0yNTAxMDEwMDAwMDBaFw0yNjAxMDEwMDAwMDBa"
#define LATE  "MC4wLKADAgECAgEBMAAwADAeFw0yNTAxMDEwMDAwMDBaFw0zMDAxMDEwMDAwMDBa"

static void test_the_first_of_those_that_can_be_read(void **state)
{
	static const int64_t early = INT64_C(1767225600); /* 2026-01-01 */
	static const struct {
		const char *text;
		int64_t seconds;
	} rows[] = {
		{"", 0},
		{"no certificate", 0},
		{BEGIN, 0},
		{BEGIN LATE, 0},
		{BEGIN LATE "\n-----END", 0},
		{BEGIN LATE "\n-----END X509 CRL-----\n", 0},
		{BEGIN LATE "====" END, 0},
		{BEGIN LATE "\n#\n" END, 0},
		{BEGIN "Proc-Type: 4,ENCRYPTED\n" LATE "\n" END, 0},
		{"-----BEGIN PRIVATE KEY-----\n" LATE "\n-----END PRIVATE KEY-----\n", 0},
		{BEGIN LATE END, ENDS},
		{BEGIN LATE "\r\n\t " END, ENDS},
		{BEGIN LATE "\n" END BEGIN EARLY "\n" END, early},
		{BEGIN EARLY "\n" END BEGIN LATE "\n" END, early},
		{"a key\n" BEGIN "AAAA\n" END BEGIN LATE "\n" END, ENDS},
		{BEGIN EARLY "\n" BEGIN LATE "\n" END, ENDS}, /* the first one has no end */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		if (expiry_of_text(rows[i].text) != rows[i].seconds)
			fail_msg("row %zu", i);
	}
}

/* Whatever a byte is: nothing is read that is not there (the sanitizers say so). */
static void test_any_byte_may_be_anything(void **state)
{
	unsigned char der[SAMPLE_SIZE];

	(void)state;
	for (size_t i = 0; i < SAMPLE_SIZE; i++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			memcpy(der, sample, SAMPLE_SIZE);
			der[i] = (unsigned char)byte;
			int64_t end = expiry_of(der, SAMPLE_SIZE);
			assert_true(end >= 0);
			if (i < DATE - 2 && end != ENDS)
				assert_int_equal(end, 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_second_date_is_the_end),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_what_is_none),
		cmocka_unit_test(test_long_lengths),
		cmocka_unit_test(test_one_without_a_version),
		cmocka_unit_test(test_the_first_of_those_that_can_be_read),
		cmocka_unit_test(test_any_byte_may_be_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
