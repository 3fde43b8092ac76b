/* TESTS: secrets/awserror.c secrets/awsref.c secrets/endpoint.c secrets/secmem.c secrets/address.c secrets/run.c secrets/certificate.c secrets/collect.c secrets/hide.c lib/fingerprint.c lib/siphash.c lib/unescape.c lib/secretrequest.c lib/secretreport.c lib/secretfile.c lib/str.c lib/plan.c lib/store.c lib/fd.c lib/sys.c lib/io.c lib/clock.c lib/event.c lib/json.c */
/* LDFLAGS: -lcurl */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "secrets/address.h"
#include "secrets/awserror.h"
#include "secrets/awsref.h"
#include "secrets/endpoint.h"
#include "secrets/secmem.h"

static struct run run;

/* An environment alone: NAME=VALUE with a NUL behind each. */
static void set_environment(const char *data, size_t size)
{
	memset(&run.request, 0, sizeof(run.request));
	run.environment = (struct run_environ){data, size};
}
#define ENVIRONMENT(text) set_environment(text, sizeof(text))

/* As the rules of botocore 1.43 have them: Secrets Manager has no dual-stack endpoint of that name where
 * its ordinary one is both, nor SSM and STS a FIPS one in GovCloud. */
static void test_endpoints(void **state)
{
	static const struct {
		const struct endpoint_service *service;
		const char *region, *url, *fips, *dual, *both;
	} rows[] = {
		{&endpoint_ssm, "eu-central-1", "ssm.eu-central-1.amazonaws.com",
		 "ssm-fips.eu-central-1.amazonaws.com", "ssm.eu-central-1.api.aws",
		 "ssm-fips.eu-central-1.api.aws"},
		{&endpoint_ssm, "cn-north-1", "ssm.cn-north-1.amazonaws.com.cn",
		 "ssm-fips.cn-north-1.amazonaws.com.cn",
		 "ssm.cn-north-1.api.amazonwebservices.com.cn",
		 "ssm-fips.cn-north-1.api.amazonwebservices.com.cn"},
		{&endpoint_ssm, "us-gov-west-1", "ssm.us-gov-west-1.amazonaws.com",
		 "ssm.us-gov-west-1.amazonaws.com", "ssm.us-gov-west-1.api.aws",
		 "ssm-fips.us-gov-west-1.api.aws"},
		{&endpoint_ssm, "us-iso-east-1", "ssm.us-iso-east-1.c2s.ic.gov",
		 "ssm-fips.us-iso-east-1.c2s.ic.gov", "ssm.us-iso-east-1.api.aws.ic.gov",
		 "ssm-fips.us-iso-east-1.api.aws.ic.gov"},
		{&endpoint_ssm, "us-isob-east-1", "ssm.us-isob-east-1.sc2s.sgov.gov",
		 "ssm-fips.us-isob-east-1.sc2s.sgov.gov", "ssm.us-isob-east-1.api.aws.scloud",
		 "ssm-fips.us-isob-east-1.api.aws.scloud"},
		{&endpoint_ssm, "us-isof-south-1", "ssm.us-isof-south-1.csp.hci.ic.gov",
		 "ssm-fips.us-isof-south-1.csp.hci.ic.gov",
		 "ssm.us-isof-south-1.api.aws.hci.ic.gov",
		 "ssm-fips.us-isof-south-1.api.aws.hci.ic.gov"},
		{&endpoint_ssm, "eu-isoe-west-1", "ssm.eu-isoe-west-1.cloud.adc-e.uk",
		 "ssm-fips.eu-isoe-west-1.cloud.adc-e.uk",
		 "ssm.eu-isoe-west-1.api.cloud-aws.adc-e.uk",
		 "ssm-fips.eu-isoe-west-1.api.cloud-aws.adc-e.uk"},
		{&endpoint_ssm, "eusc-de-east-1", "ssm.eusc-de-east-1.amazonaws.eu",
		 "ssm-fips.eusc-de-east-1.amazonaws.eu",
		 "ssm.eusc-de-east-1.api.amazonwebservices.eu",
		 "ssm-fips.eusc-de-east-1.api.amazonwebservices.eu"},
		{&endpoint_secretsmanager, "us-east-1", "secretsmanager.us-east-1.amazonaws.com",
		 "secretsmanager-fips.us-east-1.amazonaws.com",
		 "secretsmanager.us-east-1.amazonaws.com",
		 "secretsmanager-fips.us-east-1.amazonaws.com"},
		{&endpoint_secretsmanager, "us-gov-west-1",
		 "secretsmanager.us-gov-west-1.amazonaws.com",
		 "secretsmanager-fips.us-gov-west-1.amazonaws.com",
		 "secretsmanager.us-gov-west-1.amazonaws.com",
		 "secretsmanager-fips.us-gov-west-1.amazonaws.com"},
		{&endpoint_secretsmanager, "us-iso-east-1",
		 "secretsmanager.us-iso-east-1.c2s.ic.gov",
		 "secretsmanager-fips.us-iso-east-1.c2s.ic.gov",
		 "secretsmanager.us-iso-east-1.api.aws.ic.gov",
		 "secretsmanager-fips.us-iso-east-1.api.aws.ic.gov"},
		{&endpoint_secretsmanager, "eusc-de-east-1",
		 "secretsmanager.eusc-de-east-1.amazonaws.eu",
		 "secretsmanager-fips.eusc-de-east-1.amazonaws.eu",
		 "secretsmanager.eusc-de-east-1.api.amazonwebservices.eu",
		 "secretsmanager-fips.eusc-de-east-1.api.amazonwebservices.eu"},
		{&endpoint_sts, "eu-central-1", "sts.eu-central-1.amazonaws.com",
		 "sts-fips.eu-central-1.amazonaws.com", "sts.eu-central-1.api.aws",
		 "sts-fips.eu-central-1.api.aws"},
		{&endpoint_sts, "cn-north-1", "sts.cn-north-1.amazonaws.com.cn",
		 "sts-fips.cn-north-1.amazonaws.com.cn",
		 "sts.cn-north-1.api.amazonwebservices.com.cn",
		 "sts-fips.cn-north-1.api.amazonwebservices.com.cn"},
		{&endpoint_sts, "us-gov-east-1", "sts.us-gov-east-1.amazonaws.com",
		 "sts.us-gov-east-1.amazonaws.com", "sts.us-gov-east-1.api.aws",
		 "sts-fips.us-gov-east-1.api.aws"},
	};
	char url[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const expected[] = {rows[i].url, rows[i].fips, rows[i].dual,
						rows[i].both};
		for (int k = 0; k < 4; k++) {
			if (k == 0)
				ENVIRONMENT("");
			else if (k == 1)
				ENVIRONMENT("AWS_USE_FIPS_ENDPOINT=true");
			else if (k == 2)
				ENVIRONMENT("AWS_USE_DUALSTACK_ENDPOINT=TRUE");
			else
				ENVIRONMENT(
					"AWS_USE_DUALSTACK_ENDPOINT=1\0AWS_USE_FIPS_ENDPOINT=1");
			assert_true(endpoint_url(&run, rows[i].service, rows[i].region, url,
						 sizeof(url)));
			assert_string_equal(url + strlen("https://"), expected[k]);
		}
	}
}

static void test_endpoints_that_a_user_sets(void **state)
{
	char url[64];

	(void)state;
	ENVIRONMENT("AWS_ENDPOINT_URL_SSM=https://a//\0AWS_ENDPOINT_URL=https://b");
	assert_true(endpoint_url(&run, &endpoint_ssm, "r", url, sizeof(url)));
	assert_string_equal(url, "https://a");
	assert_true(endpoint_url(&run, &endpoint_sts, "r", url, sizeof(url)));
	assert_string_equal(url, "https://b");
	assert_false(endpoint_url(&run, &endpoint_sts, "r", url, 5));
	ENVIRONMENT("AWS_ENDPOINT_URL=https://b\0AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true");
	assert_true(endpoint_url(&run, &endpoint_sts, "eu-west-1", url, sizeof(url)));
	assert_string_equal(url, "https://sts.eu-west-1.amazonaws.com");
	assert_true(awsref_is_region("us-gov-west-1"));
	for (const char *const *bad = (const char *const[]){"", "-a", "eu.west", "EU", "a/b", NULL};
	     *bad; bad++)
		assert_false(awsref_is_region(*bad));
}

static void test_addresses_of_this_machine(void **state)
{
	static const struct {
		const char *text;
		bool is_local;
	} rows[] = {
		{"127.0.0.1", true},	     {"127.255.0.9", true},
		{"169.254.169.254", true},   {"169.254.170.2", true},
		{"169.254.170.23", true},    {"169.254.169.253", false},
		{"169.254.170.3", false},    {"10.0.0.1", false},
		{"0.0.0.0", false},	     {"::1", true},
		{"fd00:ec2::254", true},     {"fd00:ec2::23", true},
		{"fd00:ec2::25", false},     {"::", false},
		{"::ffff:127.0.0.1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sockaddr_in in = {.sin_family = AF_INET};
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
		const struct sockaddr *address = (const struct sockaddr *)&in6;
		if (inet_pton(AF_INET, rows[i].text, &in.sin_addr) == 1)
			address = (const struct sockaddr *)&in;
		else
			assert_int_equal(inet_pton(AF_INET6, rows[i].text, &in6.sin6_addr), 1);
		if (address_is_local(address) != rows[i].is_local)
			fail_msg("%s", rows[i].text);
	}
}

static void test_hosts_without_a_proxy(void **state)
{
	static const struct {
		const char *list, *host;
		bool is_listed;
	} rows[] = {
		{"*", "a.example", true},
		{"x, .example ,y", "a.example", true},
		{"A.EXAMPLE", "a.example", true},
		{"example", "a.example", true},
		{"example.", "a.example", true},
		{"example", "a.example.", true},
		{"x\t.example", "a.example", true},
		{"xample", "a.example", false},
		{"b.a.example", "a.example", false},
		{"", "a.example", false},
		{" . ,,", "a.example", false},
		/* The port is 443. */
		{"a.example:443", "a.example", true},
		{".example:443", "a.example", true},
		{"a.example:8200", "a.example", false},
		{"a.example:8200,a.example:443", "a.example", true},
		{"a.example:", "a.example", false},
		{"a.example:https", "a.example", false},
		{"10.1.2.3", "10.1.2.3", true},
		{"10.1.2.3:443", "10.1.2.3", true},
		{"10.1.2.3:80", "10.1.2.3", false},
		{"2.3", "10.1.2.3", false},
		{".3", "10.1.2.3", false},
		{"10.0.0.0/8", "10.1.2.3", true},
		{"10.1.2.0/23", "10.1.3.4", true},
		{"10.1.2.0/23", "10.1.4.4", false},
		{"10.1.2.3/32", "10.1.2.3", true},
		{"10.1.2.3/32", "10.1.2.2", false},
		{"0.0.0.0/0", "10.1.2.3", true},
		{"0.0.0.0/0", "[fd00::1]", false},
		{"10.0.0.0/33", "10.0.0.0", false},
		{"10.0.0.0/", "10.0.0.0", false},
		{"10.0.0.0/8x", "10.0.0.0", false},
		{"10.0.0.0/8", "a.example", false},
		{"fd00::1", "[fd00::1]", true},
		{"FD00:0::1", "[fd00::1]", true},
		{"[fd00::1]", "[fd00::1]", true},
		{"[fd00::1]:443", "[fd00::1]", true},
		{"[fd00::1]:80", "[fd00::1]", false},
		{"fd00::/16", "[fd00::1]", true},
		{"fd00::/121", "[fd00::80]", false},
		{"fd00::/129", "[fd00::]", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (address_is_listed(rows[i].list, rows[i].host, "443") != rows[i].is_listed)
			fail_msg("%s of %s", rows[i].host, rows[i].list);
	}
}

static void check_asm(const char *text, const char *id, const char *key, const char *stage,
		      bool is_version)
{
	struct asm_reference reference;
	char sentence[128];
	struct strbuf why;

	strbuf_init(&why, sentence, sizeof(sentence));
	assert_true(asm_parse(text, &reference, &why));
	assert_string_equal(reference.id, id);
	assert_int_equal(reference.is_version, is_version);
	if (key)
		assert_string_equal(reference.key, key);
	else
		assert_null(reference.key);
	if (stage)
		assert_string_equal(reference.stage, stage);
	else
		assert_null(reference.stage);
	asm_reference_finish(&reference);
}

static void test_references(void **state)
{
	static const char version[] = "01234567-89ab-cdef-0123-456789abcdef";
	struct ssm_reference reference;
	char sentence[128], text[80];
	struct strbuf why;

	(void)state;
	check_asm("db", "db", NULL, NULL, false);
	check_asm("app/db+x=1#user", "app/db+x=1", "user", NULL, false);
	check_asm("db#a b@c@AWSPREVIOUS", "db", "a b@c", "AWSPREVIOUS", false);
	check_asm("a@b@AWSCURRENT", "a@b", NULL, "AWSCURRENT", false);
	strbuf_init(&why, text, sizeof(text));
	strbuf_addf(&why, "db#k@%s", version);
	check_asm(text, "db", "k", version, true);
	strbuf_init(&why, sentence, sizeof(sentence));
	assert_true(ssm_parse("arn:aws:ssm:r:1:parameter/a:7", false, &reference, &why));
	assert_int_equal(reference.length, strlen("arn:aws:ssm:r:1:parameter/a"));
	secmem_free(reference.name);
	assert_true(ssm_parse("/a", true, &reference, &why));
	assert_string_equal(reference.name, "/a/");
	secmem_free(reference.name);
}

static void test_what_a_refusal_means(void **state)
{
	static const struct {
		const char *type, *message;
		int status;
		enum secret_outcome outcome;
	} rows[] = {
		{"ResourceNotFoundException", NULL, 400, SECRET_NOT_FOUND},
		{"ParameterNotFound", NULL, 400, SECRET_NOT_FOUND},
		{"ParameterVersionNotFound", NULL, 400, SECRET_NOT_FOUND},
		{"InvalidRequestException", "it was marked for deletion.", 400, SECRET_NOT_FOUND},
		{"InvalidRequestException", "another", 400, SECRET_MALFORMED},
		{"InvalidRequestException", NULL, 400, SECRET_MALFORMED},
		{"ValidationException", NULL, 400, SECRET_MALFORMED},
		{"AccessDeniedException", NULL, 400, SECRET_DENIED},
		{"DecryptionFailure", NULL, 400, SECRET_DENIED},
		{"InvalidKeyId", NULL, 400, SECRET_DENIED},
		{"ExpiredTokenException", NULL, 400, SECRET_DENIED},
		{"", NULL, 403, SECRET_DENIED},
		{"", NULL, 501, SECRET_TEMPORARY},
	};
	static const char *const throttles[] = {"Throttling",
						"ThrottlingException",
						"ThrottledException",
						"RequestThrottled",
						"RequestThrottledException",
						"TooManyRequestsException",
						"RequestLimitExceeded",
						"SlowDown",
						"ProvisionedThroughputExceededException",
						"PriorRequestNotComplete",
						"RequestTimeout",
						"IDPCommunicationError"};
	static const struct {
		const char *message, *action; /* NULL: none is named */
	} actions[] = {
		{"User: x is not authorized to perform: ssm:GetParameters on resource: y",
		 "ssm:GetParameters"},
		{"x is not authorized to perform: kms:Decrypt", "kms:Decrypt"},
		{"Access to KMS is not allowed", "kms:Decrypt"},
		{"The ciphertext refers to a customer master key that does not exist",
		 "kms:Decrypt"},
		{"not authorized to perform: nothing", NULL},
		{"not authorized to perform: :x", NULL},
		{"not authorized to perform: ssm:", NULL},
		{"not authorized to perform: ssm:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 NULL},
		{"", NULL},
		{NULL, NULL},
	};
	char action[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(awserror_meaning(rows[i].type, rows[i].status, rows[i].message),
				 rows[i].outcome);
	for (size_t i = 0; i < sizeof(throttles) / sizeof(throttles[0]); i++)
		assert_true(awserror_is_throttle(throttles[i]));
	assert_false(awserror_is_throttle("AccessDeniedException"));
	assert_true(awserror_is_time("RequestTimeTooSkewed"));
	assert_true(awserror_is_token("ExpiredToken"));
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		bool is_named = awserror_action(actions[i].message, action, sizeof(action));
		assert_int_equal(is_named, actions[i].action != NULL);
		if (is_named)
			assert_string_equal(action, actions[i].action);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_endpoints_that_a_user_sets),
		cmocka_unit_test(test_addresses_of_this_machine),
		cmocka_unit_test(test_hosts_without_a_proxy),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_what_a_refusal_means),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
