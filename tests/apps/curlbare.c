/* LIBS: -lcurl */
/*
 * curlbare URL CA CONNECTIONS names|path|secrets N
 *
 * The least that a program over libcurl does to get N secrets of slowaws.c: as few requests as the
 * service allows, over at most so many connections of one multi handle, signed by libcurl. It keeps the
 * answers, and looks into none but for the token of the next page. CA: a file, or - for libcurl's own.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#define CALLS_MAX 128
#define NAMES	  10
#define IDS	  20

struct call {
	CURL *easy;
	char body[2048];
	char *reply;
	size_t length;
};

static const char *url, *ca;
static struct curl_slist *headers;
static CURLM *multi;
static struct call calls[CALLS_MAX];

static void die(const char *what)
{
	(void)fprintf(stderr, "curlbare: %s\n", what);
	exit(1);
}

static size_t take(char *data, size_t size, size_t n, void *context)
{
	struct call *call = context;

	call->reply = realloc(call->reply, call->length + size * n + 1);
	if (!call->reply)
		return 0;
	memcpy(call->reply + call->length, data, size * n);
	call->length += size * n;
	call->reply[call->length] = '\0';
	return size * n;
}

static void add(struct call *call, const char *service)
{
	char provider[64];

	(void)snprintf(provider, sizeof(provider), "aws:amz:eu-central-1:%s", service);
	call->length = 0;
	call->easy = curl_easy_init();
	(void)curl_easy_setopt(call->easy, CURLOPT_URL, url);
	if (strcmp(ca, "-") != 0)
		(void)curl_easy_setopt(call->easy, CURLOPT_CAINFO, ca);
	(void)curl_easy_setopt(call->easy, CURLOPT_AWS_SIGV4, provider);
	(void)curl_easy_setopt(call->easy, CURLOPT_USERPWD, "AKIDEXAMPLE:wJalrXUtnFEMI");
	(void)curl_easy_setopt(call->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->body);
	(void)curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
	(void)curl_multi_add_handle(multi, call->easy);
}

/* Until all that were added are answered. */
static void perform(void)
{
	CURLMsg *message;
	int n_running = 1, left;
	long status;

	while (n_running > 0) {
		(void)curl_multi_perform(multi, &n_running);
		while ((message = curl_multi_info_read(multi, &left))) {
			(void)curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE,
						&status);
			if (message->data.result != CURLE_OK || status != 200)
				die(curl_easy_strerror(message->data.result));
			(void)curl_multi_remove_handle(multi, message->easy_handle);
			curl_easy_cleanup(message->easy_handle);
		}
		if (n_running > 0)
			(void)curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
}

static void in_batches(int n, int size, const char *service, const char *list, const char *prefix,
		       const char *more)
{
	for (int first = 0; first < n; first += size) {
		struct call *call = &calls[first / size];
		size_t at = (size_t)sprintf(call->body, "{\"%s\":[", list);
		for (int i = first; i < first + size && i < n; i++)
			at += (size_t)sprintf(call->body + at, "%s\"%s%d\"", i > first ? "," : "",
					      prefix, i);
		(void)sprintf(call->body + at, "]%s}", more);
		add(call, service);
	}
	perform();
}

static void by_path(void)
{
	struct call *call = calls;
	char token[64] = "";

	do {
		(void)snprintf(call->body, sizeof(call->body),
			       "{\"Path\":\"/bench\",\"Recursive\":true,\"WithDecryption\":true,"
			       "\"MaxResults\":10%s%s%s}",
			       token[0] ? ",\"NextToken\":\"" : "", token, token[0] ? "\"" : "");
		add(call, "ssm");
		perform();
		const char *next = strstr(call->reply, "\"NextToken\":\"");
		token[0] = '\0';
		if (next)
			(void)sscanf(next, "\"NextToken\":\"%63[^\"]", token);
	} while (token[0]);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name, *target;
	} targets[] = {
		{"names", "X-Amz-Target: AmazonSSM.GetParameters"},
		{"path", "X-Amz-Target: AmazonSSM.GetParametersByPath"},
		{"secrets", "X-Amz-Target: secretsmanager.BatchGetSecretValue"},
	};

	if (argc != 6)
		return 64;
	url = argv[1];
	ca = argv[2];
	int n = atoi(argv[5]);
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	(void)curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, atol(argv[3]));
	headers = curl_slist_append(NULL, "Content-Type: application/x-amz-json-1.1");
	headers = curl_slist_append(headers, "Expect:");
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		if (strcmp(argv[4], targets[i].name) == 0)
			headers = curl_slist_append(headers, targets[i].target);
	}
	if (strcmp(argv[4], "names") == 0)
		in_batches(n, NAMES, "ssm", "Names", "/bench/p", ",\"WithDecryption\":true");
	else if (strcmp(argv[4], "path") == 0)
		by_path();
	else
		in_batches(n, IDS, "secretsmanager", "SecretIdList", "bench/s", "");
	(void)curl_multi_cleanup(multi);
	curl_global_cleanup();
	return 0;
}
