/* LIBS: -lssl -lcrypto -lcjson */
/*
 * slowaws CERTIFICATE KEY DELAY-US N TRACE
 *
 * Parameter Store and Secrets Manager for the benchmark: TLS on a port of 127.0.0.1, which it prints,
 * with a thread for each connection. N parameters /bench/p0 … and N secrets bench/s0 …, each 32 bytes.
 * Each request is answered DELAY-US after its last byte came, whatever the others do: there are no
 * quotas, and no signature is looked at (tests/servers/aws.py does that, and is not fast).
 *
 * For each connection two lines in the file TRACE, when it begins and once it is closed; µs of CLOCK_MONOTONIC:
 *
 *   accept
 *   connection ACCEPTED SHAKEN CLOSED [ASKED-ANSWERED]...
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <openssl/ssl.h>

#define REQUEST_MAX  (64U << 10)
#define REQUESTS_MAX 256
#define PAGE	     10

static SSL_CTX *tls;
static long delay_us;
static int n_secrets, trace;

struct connection {
	int fd;
	SSL *ssl;
	char buffer[REQUEST_MAX];
	size_t length;
	uint64_t accepted, shaken;
	uint64_t asked[REQUESTS_MAX], answered[REQUESTS_MAX];
	int n;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void sleep_until(uint64_t us)
{
	const struct timespec t = {.tv_sec = (time_t)(us / 1000000),
				   .tv_nsec = (long)(us % 1000000 * 1000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
		;
}

/* ---- what is there */

static bool is_there(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(name, prefix, n) == 0 && atoi(name + n) < n_secrets;
}

static cJSON *parameter(const char *name)
{
	cJSON *one = cJSON_CreateObject();
	char arn[256];

	(void)snprintf(arn, sizeof(arn), "arn:aws:ssm:eu-central-1:111122223333:parameter%s", name);
	cJSON_AddStringToObject(one, "Name", name);
	cJSON_AddStringToObject(one, "Type", "SecureString");
	cJSON_AddStringToObject(one, "Value", "correct-horse-battery-staple-0123");
	cJSON_AddNumberToObject(one, "Version", 1);
	cJSON_AddNumberToObject(one, "LastModifiedDate", 1700000000.123);
	cJSON_AddStringToObject(one, "ARN", arn);
	cJSON_AddStringToObject(one, "DataType", "text");
	return one;
}

static cJSON *by_name(const cJSON *body)
{
	cJSON *reply = cJSON_CreateObject(), *found = cJSON_AddArrayToObject(reply, "Parameters");
	const cJSON *name;

	cJSON_AddArrayToObject(reply, "InvalidParameters");
	cJSON_ArrayForEach(name, cJSON_GetObjectItem(body, "Names"))
	{
		if (is_there(name->valuestring, "/bench/p"))
			cJSON_AddItemToArray(found, parameter(name->valuestring));
	}
	return reply;
}

static cJSON *by_path(const cJSON *body)
{
	cJSON *reply = cJSON_CreateObject(), *found = cJSON_AddArrayToObject(reply, "Parameters");
	const cJSON *token = cJSON_GetObjectItem(body, "NextToken");
	int at = token ? atoi(token->valuestring) : 0;
	char text[64];

	for (int i = at; i < at + PAGE && i < n_secrets; i++) {
		(void)snprintf(text, sizeof(text), "/bench/p%d", i);
		cJSON_AddItemToArray(found, parameter(text));
	}
	(void)snprintf(text, sizeof(text), "%d", at + PAGE);
	if (at + PAGE < n_secrets)
		cJSON_AddStringToObject(reply, "NextToken", text);
	return reply;
}

static cJSON *secret(const char *name)
{
	cJSON *one = cJSON_CreateObject();
	char arn[256];

	(void)snprintf(arn, sizeof(arn),
		       "arn:aws:secretsmanager:eu-central-1:111122223333:secret:%s-AbCdEf", name);
	cJSON_AddStringToObject(one, "ARN", arn);
	cJSON_AddStringToObject(one, "Name", name);
	cJSON_AddStringToObject(one, "VersionId", "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111");
	cJSON_AddStringToObject(one, "SecretString", "correct-horse-battery-staple-0123");
	cJSON_AddItemToArray(cJSON_AddArrayToObject(one, "VersionStages"),
			     cJSON_CreateString("AWSCURRENT"));
	cJSON_AddNumberToObject(one, "CreatedDate", 1700000000.123);
	return one;
}

static cJSON *one_secret(const cJSON *body)
{
	return secret(cJSON_GetObjectItem(body, "SecretId")->valuestring);
}

static cJSON *batch(const cJSON *body)
{
	cJSON *reply = cJSON_CreateObject(), *found = cJSON_AddArrayToObject(reply, "SecretValues");
	const cJSON *id;

	cJSON_AddArrayToObject(reply, "Errors");
	cJSON_ArrayForEach(id, cJSON_GetObjectItem(body, "SecretIdList"))
	{
		if (is_there(id->valuestring, "bench/s"))
			cJSON_AddItemToArray(found, secret(id->valuestring));
	}
	return reply;
}

static const struct {
	const char *target;
	cJSON *(*answer)(const cJSON *body);
} operations[] = {
	{"AmazonSSM.GetParameters", by_name},
	{"AmazonSSM.GetParametersByPath", by_path},
	{"secretsmanager.GetSecretValue", one_secret},
	{"secretsmanager.BatchGetSecretValue", batch},
};

/* ---- HTTP */

static const char *header(const char *head, const char *name)
{
	const char *at = strcasestr(head, name);

	return at ? at + strlen(name) : "";
}

/* The length of the request at the buffer's start once all of it is there, and where its body is. */
static size_t whole_request(const struct connection *connection, const char **ret_body)
{
	const char *end = strstr(connection->buffer, "\r\n\r\n");

	if (!end)
		return 0;
	*ret_body = end + 4;
	size_t length = (size_t)(*ret_body - connection->buffer) +
			(size_t)atol(header(connection->buffer, "\r\nContent-Length:"));
	return length <= connection->length ? length : 0;
}

static void answer(struct connection *connection, const char *body)
{
	const char *target = header(connection->buffer, "\r\nX-Amz-Target: ");
	cJSON *tree = cJSON_Parse(body), *reply = NULL;
	char *text = NULL, *message = NULL;

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		size_t n = strlen(operations[i].target);
		if (tree && strncmp(target, operations[i].target, n) == 0 && target[n] == '\r')
			reply = operations[i].answer(tree);
	}
	text = reply ? cJSON_PrintUnformatted(reply) : strdup("{\"__type\":\"UnknownOperation\"}");
	int n = asprintf(&message,
			 "HTTP/1.1 %d X\r\nContent-Type: application/x-amz-json-1.1\r\n"
			 "Content-Length: %zu\r\n\r\n%s",
			 reply ? 200 : 400, strlen(text), text);
	sleep_until(connection->asked[connection->n] + (uint64_t)delay_us);
	(void)SSL_write(connection->ssl, message, n);
	free(message);
	free(text);
	cJSON_Delete(tree);
	cJSON_Delete(reply);
}

static void serve_requests(struct connection *connection)
{
	const char *body;

	while (connection->n < REQUESTS_MAX) {
		size_t length = whole_request(connection, &body);
		if (length > 0) {
			connection->asked[connection->n] = now_us();
			answer(connection, body);
			connection->answered[connection->n++] = now_us();
			connection->length -= length;
			memmove(connection->buffer, connection->buffer + length,
				connection->length + 1);
			continue;
		}
		int n = SSL_read(connection->ssl, connection->buffer + connection->length,
				 (int)(REQUEST_MAX - 1 - connection->length));
		if (n <= 0)
			return;
		connection->length += (size_t)n;
		connection->buffer[connection->length] = '\0';
	}
}

static void say(const struct connection *connection)
{
	char line[64 + REQUESTS_MAX * 48];
	int n = snprintf(line, sizeof(line), "connection %lu %lu %lu", connection->accepted,
			 connection->shaken, now_us());

	for (int i = 0; i < connection->n; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %lu-%lu", connection->asked[i],
			      connection->answered[i]);
	line[n++] = '\n';
	if (write(trace, line, (size_t)n) != n)
		exit(1);
}

static void *serve(void *data)
{
	struct connection *connection = data;

	/* To the microsecond, and not to 50 of them. */
	(void)prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	connection->ssl = SSL_new(tls);
	(void)SSL_set_fd(connection->ssl, connection->fd);
	if (SSL_accept(connection->ssl) == 1) {
		connection->shaken = now_us();
		serve_requests(connection);
	}
	SSL_free(connection->ssl);
	(void)close(connection->fd);
	say(connection);
	free(connection);
	return NULL;
}

static int listen_anywhere(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 128) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		die("listen");
	printf("port %u\n", ntohs(address.sin_port));
	(void)fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	const int on = 1;
	pthread_t thread;

	if (argc != 6)
		return 64;
	delay_us = atol(argv[3]);
	n_secrets = atoi(argv[4]);
	trace = open(argv[5], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (trace < 0)
		die(argv[5]);
	(void)signal(SIGPIPE, SIG_IGN);
	tls = SSL_CTX_new(TLS_server_method());
	if (!tls || SSL_CTX_use_certificate_chain_file(tls, argv[1]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, argv[2], SSL_FILETYPE_PEM) != 1)
		die("certificate");
	for (int listener = listen_anywhere();;) {
		struct connection *connection = calloc(1, sizeof(*connection));
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (!connection || fd < 0)
			die("accept");
		connection->fd = fd;
		connection->accepted = now_us();
		(void)!write(trace, "accept\n", 7);
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (pthread_create(&thread, NULL, serve, connection) != 0 ||
		    pthread_detach(thread) != 0)
			die("thread");
	}
}
