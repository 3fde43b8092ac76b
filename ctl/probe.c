/*
 * holdfastctl probe: one HTTP GET, for images that have no curl. Exit 0 when the answer is 200 to
 * 399, as Kubernetes counts, else 1 with what the server said.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/instance.h"
#include "ctl/time.h"
#include "ctl/url.h"
#include "ctl/verbs.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/io.h"

#define DEFAULT_PORT	   "9180"
#define DEFAULT_TIMEOUT_US (2 * USEC_PER_SEC) /* /livez itself gives the supervisor one second */
#define ANSWER_MAX	   (64 * 1024)
#define BODY_SHOWN	   4096

static int wait_for(int fd, short events, uint64_t deadline)
{
	struct pollfd poller = {.fd = fd, .events = events};

	for (;;) {
		int r = poll(&poller, 1, clock_poll_ms(deadline));
		if (r > 0)
			return 0;
		if (r == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int connect_one(const struct addrinfo *address, uint64_t deadline)
{
	CLEANUP(fd_closep)
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;
	socklen_t size = sizeof(error);

	if (fd < 0)
		return -errno;
	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return fd_steal(&fd);
	if (errno != EINPROGRESS)
		return -errno;
	int r = wait_for(fd, POLLOUT, deadline);
	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0)
		return -(error ? error : errno);
	return fd_steal(&fd);
}

static int connect_to(const struct url *url, uint64_t deadline)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	int r = -EHOSTUNREACH;

	/* No host means the loopback addresses (getaddrinfo(3)): an image without /etc/hosts would
	 * have to ask a name server for them. */
	const char *host = strcasecmp(url->host, "localhost") == 0 ? NULL : url->host;
	if (getaddrinfo(host, url->port, &hints, &found) != 0)
		return -EHOSTUNREACH;
	for (const struct addrinfo *a = found; a && r < 0; a = a->ai_next)
		r = connect_one(a, deadline);
	freeaddrinfo(found);
	return r;
}

static int send_request(int fd, const struct url *url, uint64_t deadline)
{
	char text[sizeof(url->target) + sizeof(url->host) + 256];
	bool is_v6 = strchr(url->host, ':') != NULL;
	int length = snprintf(text, sizeof(text),
			      "GET %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: holdfastctl/%s\r\n"
			      "Accept: */*\r\nConnection: close\r\n\r\n",
			      url->target, is_v6 ? "[" : "", url->host, is_v6 ? "]" : "", url->port,
			      HOLDFAST_VERSION);

	for (int at = 0; at < length;) {
		int r = wait_for(fd, POLLOUT, deadline);
		if (r < 0)
			return r;
		ssize_t n = send(fd, text + at, (size_t)(length - at), MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		at += n > 0 ? (int)n : 0;
	}
	return 0;
}

/* Where the body starts, or NULL while the head is not complete. */
static const char *find_body(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	return end ? end + 4 : NULL;
}

/* Whether there is nothing more to wait for: enough to judge, or to show. */
static bool is_enough(const char *answer, size_t length)
{
	const char *body = find_body(answer);
	const char *header = strcasestr(answer, "\r\nContent-Length:");
	int status = url_answer_status(answer, length);

	if (length >= 12 && (status < 0 || (status >= 200 && status < 400)))
		return true;
	if (!body)
		return false;
	size_t had = length - (size_t)(body - answer);
	if (had >= BODY_SHOWN)
		return true;
	return header && header < body &&
	       had >= (size_t)strtoul(header + strlen("\r\nContent-Length:"), NULL, 10);
}

static ssize_t receive(int fd, char *answer, uint64_t deadline)
{
	size_t length = 0;

	while (length < ANSWER_MAX - 1 && !is_enough(answer, length)) {
		int r = wait_for(fd, POLLIN, deadline);
		/* What came before it stalled is still worth showing, if it says anything. */
		if (r < 0)
			return length >= 12 ? (ssize_t)length : r;
		ssize_t n = recv(fd, answer + length, ANSWER_MAX - 1 - length, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
		answer[length] = '\0';
	}
	return (ssize_t)length;
}

/* The answer's body as it may be shown on a terminal. */
static void show_body(char *answer, size_t length)
{
	const char *body = find_body(answer);

	if (!body)
		return;
	size_t start = (size_t)(body - answer);
	size_t shown = MIN(length - start, (size_t)BODY_SHOWN);
	for (size_t i = start; i < start + shown; i++) {
		unsigned char c = (unsigned char)answer[i];
		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F)
			answer[i] = '?';
	}
	(void)io_write_all(STDOUT_FILENO, body, shown);
}

static int probe(const struct url *url, uint64_t timeout_us)
{
	static char answer[ANSWER_MAX];
	uint64_t deadline = clock_add_us(clock_now_us(), timeout_us);
	CLEANUP(fd_closep) int fd = connect_to(url, deadline);

	if (fd < 0)
		return ctl_fail(1, "cannot connect to %s port %s: %s", url->host, url->port,
				strerror(-fd));
	int r = send_request(fd, url, deadline);
	ssize_t length = r < 0 ? r : receive(fd, answer, deadline);
	if (length < 0)
		return ctl_fail(1, "%s port %s gave no answer: %s", url->host, url->port,
				strerror((int)-length));
	int status = url_answer_status(answer, (size_t)length);
	if (status >= 200 && status < 400)
		return 0;
	if (status < 0)
		return ctl_fail(1, "%s port %s does not speak HTTP", url->host, url->port);
	show_body(answer, (size_t)length);
	return ctl_fail(1, "%s answered %d", url->target, status);
}

/* Where health listens: as the plan says, else as the environment does, else where it does by
 * default. */
static void health_url(const struct ctl_options *options, const char *path, struct url *ret)
{
	struct instance instance;
	char why[512], port[8] = DEFAULT_PORT;
	const char *listen = getenv("HOLDFAST_HEALTH_LISTEN");
	const char *colon = listen ? strrchr(listen, ':') : NULL;
	uint64_t number;

	if (colon && str_parse_u64(colon + 1, 65535, &number) == 0)
		(void)snprintf(port, sizeof(port), "%s", colon + 1);
	if (instance_open(options->directory, &instance, why, sizeof(why)) == 0 &&
	    instance.plan.header->health_port - 1 < 65535)
		(void)snprintf(port, sizeof(port), "%u", instance.plan.header->health_port);
	*ret = (struct url){.host = "localhost"};
	(void)str_copy(ret->port, sizeof(ret->port), port);
	(void)str_copy(ret->target, sizeof(ret->target), path);
}

int ctl_probe(const struct ctl_options *options, int argc, char **argv)
{
	uint64_t timeout_us = DEFAULT_TIMEOUT_US;
	const char *url = NULL, *path = "/readyz";
	struct url parsed;
	int n_targets = 0;

	for (; argc > 0; argc--, argv++) {
		if (str_equal(argv[0], "--timeout") && argc > 1) {
			argc--, argv++;
			if (ctl_parse_duration(argv[0], &timeout_us) < 0 || timeout_us == 0)
				return ctl_usage("--timeout wants a duration, as in 2 or 500ms");
			continue;
		}
		n_targets++;
		if (str_equal(argv[0], "--ready"))
			path = "/readyz";
		else if (str_equal(argv[0], "--live"))
			path = "/livez";
		else if (argv[0][0] != '-')
			url = argv[0];
		else
			return ctl_usage("probe knows no option \"%s\"", argv[0]);
	}
	if (n_targets > 1)
		return ctl_usage("probe asks one thing: a URL, --ready or --live");
	if (url && url_parse(url, &parsed) < 0)
		return ctl_usage("\"%s\" is no http://HOST[:PORT]/PATH", url);
	if (!url)
		health_url(options, path, &parsed);
	return probe(&parsed, timeout_us);
}
