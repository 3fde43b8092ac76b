#include "secrets/endpoint.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

const struct endpoint_service endpoint_ssm = {"ssm", "AWS_ENDPOINT_URL_SSM"};
const struct endpoint_service endpoint_secretsmanager = {"secretsmanager",
							 "AWS_ENDPOINT_URL_SECRETS_MANAGER"};
const struct endpoint_service endpoint_sts = {"sts", "AWS_ENDPOINT_URL_STS"};

/* By the start of the region's name; the last one is for all others. */
static const struct partition {
	const char *prefix, *suffix, *dual_stack;
	/* Services whose ordinary endpoint is the FIPS one, or the dual-stack one, and which have none
	 * of that name. */
	const char *fips_alike, *dual_alike;
} partitions[] = {
	{"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "", "secretsmanager"},
	{"us-gov-", "amazonaws.com", "api.aws", "ssm sts", "secretsmanager"},
	{"us-iso-", "c2s.ic.gov", "api.aws.ic.gov", "", ""},
	{"us-isob-", "sc2s.sgov.gov", "api.aws.scloud", "", ""},
	{"us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "", ""},
	{"eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "", ""},
	{"eusc-", "amazonaws.eu", "api.amazonwebservices.eu", "", ""},
	{"", "amazonaws.com", "api.aws", "", "secretsmanager"},
};

static const struct partition *partition_of(const char *region)
{
	size_t i = 0;

	while (!str_starts(region, partitions[i].prefix))
		i++;
	return &partitions[i];
}

static bool set_by_user(const struct run *run, const struct endpoint_service *service,
			struct strbuf *buf)
{
	const char *url = NULL;

	if (!run_setting_is_true(run, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")) {
		url = run_setting(run, service->setting);
		if (!url)
			url = run_setting(run, "AWS_ENDPOINT_URL");
	}
	if (!url)
		return false;
	strbuf_adds(buf, url);
	while (buf->length > 0 && buf->data[buf->length - 1] == '/')
		buf->data[--buf->length] = '\0';
	return true;
}

bool endpoint_url(const struct run *run, const struct endpoint_service *service, const char *region,
		  char *url, size_t size)
{
	const struct partition *partition = partition_of(region);
	bool is_fips = run_setting_is_true(run, "AWS_USE_FIPS_ENDPOINT");
	bool is_dual = run_setting_is_true(run, "AWS_USE_DUALSTACK_ENDPOINT");
	struct strbuf buf;

	strbuf_init(&buf, url, size);
	if (set_by_user(run, service, &buf))
		return !buf.is_cut;
	if (is_fips && !is_dual && strstr(partition->fips_alike, service->name))
		is_fips = false;
	if (strstr(partition->dual_alike, service->name))
		is_dual = false;
	strbuf_addf(&buf, "https://%s%s.%s.%s", service->name, is_fips ? "-fips" : "", region,
		    is_dual ? partition->dual_stack : partition->suffix);
	return !buf.is_cut;
}
