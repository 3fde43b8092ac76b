/*
 * The demo's second service: a small HTTP API as a service under holdfast is meant to be. It takes
 * its database password from a file in $CREDENTIALS_DIRECTORY, says READY, STATUS, WATCHDOG and
 * STOPPING by the sd_notify(3) protocol, writes its log to stdout (a JSON object a line) and stderr
 * (plain), and on TERM answers what it has accepted before it ends.
 *
 *   demo-api PORT       GET / and GET /ready
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS_MAX  64
#define REQUEST_MAX  2048
#define CLIENT_SLOTS 3 /* pollfds before the clients' */
#define PASSWORD_MAX 256

struct client {
	int fd; /* -1: free */
	size_t length;
	char request[REQUEST_MAX];
};

struct api {
	int listener, signals, timer;
	bool is_draining;
	size_t password_length;
	uint64_t n_requests;
	struct client clients[CLIENTS_MAX];
};

static void die(const char *what)
{
	fprintf(stderr, "demo-api: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!path || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
	(void)close(fd);
}

/* A real service would hand it to its database's library; this one forgets it at once. */
static size_t read_password(void)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	char path[512], password[PASSWORD_MAX];

	if (!directory) {
		fputs("demo-api: there is no $CREDENTIALS_DIRECTORY\n", stderr);
		exit(1);
	}
	(void)snprintf(path, sizeof(path), "%s/db_password", directory);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	ssize_t n = read(fd, password, sizeof(password));
	if (n <= 0)
		die(path);
	explicit_bzero(password, sizeof(password));
	(void)close(fd);
	return (size_t)n;
}

static int open_listener(const char *port)
{
	const int on = 1;
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_ANY),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0)
		die("listen");
	return fd;
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		die("signalfd");
	return fd;
}

/* Twice in the time that the watchdog allows; never without one. */
static int open_timer(void)
{
	const char *text = getenv("WATCHDOG_USEC");
	uint64_t half_us = text ? strtoull(text, NULL, 10) / 2 : 0;
	struct timespec half = {
		.tv_sec = (time_t)(half_us / 1000000),
		.tv_nsec = (long)(half_us % 1000000) * 1000,
	};
	struct itimerspec timer = {.it_interval = half, .it_value = half};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || timerfd_settime(fd, 0, &timer, NULL) < 0)
		die("timerfd");
	return fd;
}

static void answer(struct api *api, int fd, const char *path)
{
	char body[160], response[384];
	int status = 404;

	(void)snprintf(body, sizeof(body), "{\"error\":\"not found\"}\n");
	if (strcmp(path, "/ready") == 0) {
		status = api->is_draining ? 503 : 200;
		(void)snprintf(body, sizeof(body), "{\"ready\":%s}\n",
			       api->is_draining ? "false" : "true");
	} else if (strcmp(path, "/") == 0) {
		status = 200;
		(void)snprintf(body, sizeof(body),
			       "{\"service\":\"demo-api\",\"requests\":%llu,"
			       "\"database_password_bytes\":%zu}\n",
			       (unsigned long long)++api->n_requests, api->password_length);
	}
	int n = snprintf(response, sizeof(response),
			 "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
			 status,
			 status == 200	 ? "OK"
			 : status == 404 ? "Not Found"
					 : "Unavailable",
			 strlen(body), body);
	(void)send(fd, response, (size_t)n, MSG_NOSIGNAL);
	if (strcmp(path, "/ready") != 0)
		printf("{\"level\":\"info\",\"msg\":\"request\",\"path\":\"%s\",\"status\":%d}\n",
		       status == 404 ? "?" : path, status);
}

static void drop(struct client *client)
{
	(void)close(client->fd);
	client->fd = -1;
}

/* The request line is all that is looked at, once the header is complete. */
static void serve(struct api *api, struct client *client)
{
	char path[64];
	ssize_t n = recv(client->fd, client->request + client->length,
			 REQUEST_MAX - 1 - client->length, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop(client);
		return;
	}
	client->length += (size_t)n;
	client->request[client->length] = '\0';
	bool is_complete = strstr(client->request, "\r\n\r\n") != NULL;
	if (!is_complete && client->length < REQUEST_MAX - 1)
		return;
	if (is_complete && sscanf(client->request, "GET %63s HTTP/", path) == 1)
		answer(api, client->fd, path);
	drop(client);
}

static void accept_clients(struct api *api)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &api->clients[i];
		if (client->fd >= 0)
			continue;
		client->fd = accept4(api->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		client->length = 0;
		if (client->fd < 0)
			return;
	}
}

static void begin_drain(struct api *api)
{
	struct signalfd_siginfo info;

	(void)read(api->signals, &info, sizeof(info));
	if (api->is_draining)
		return;
	fputs("draining: what was accepted is still answered\n", stderr);
	notify("STOPPING=1\nSTATUS=draining");
	accept_clients(api);
	(void)close(api->listener);
	api->listener = -1;
	api->is_draining = true;
}

static void pet_watchdog(struct api *api)
{
	char text[96];
	uint64_t expirations;

	(void)read(api->timer, &expirations, sizeof(expirations));
	(void)snprintf(text, sizeof(text), "WATCHDOG=1\nSTATUS=%llu requests",
		       (unsigned long long)api->n_requests);
	notify(text);
}

static size_t n_clients(const struct api *api)
{
	size_t n = 0;

	for (size_t i = 0; i < CLIENTS_MAX; i++)
		n += api->clients[i].fd >= 0;
	return n;
}

static void loop(struct api *api)
{
	while (!api->is_draining || n_clients(api) > 0) {
		struct pollfd polled[CLIENT_SLOTS + CLIENTS_MAX] = {
			{.fd = api->signals, .events = POLLIN},
			{.fd = api->timer, .events = POLLIN},
			{.fd = n_clients(api) < CLIENTS_MAX ? api->listener : -1, .events = POLLIN},
		};
		for (size_t i = 0; i < CLIENTS_MAX; i++)
			polled[CLIENT_SLOTS + i] =
				(struct pollfd){.fd = api->clients[i].fd, .events = POLLIN};
		if (poll(polled, CLIENT_SLOTS + CLIENTS_MAX, -1) < 0 && errno != EINTR)
			die("poll");
		for (size_t i = 0; i < CLIENTS_MAX; i++) {
			if (polled[CLIENT_SLOTS + i].revents)
				serve(api, &api->clients[i]);
		}
		if (polled[2].revents)
			accept_clients(api);
		if (polled[1].revents)
			pet_watchdog(api);
		if (polled[0].revents)
			begin_drain(api);
	}
}

int main(int argc, char **argv)
{
	static struct api api;

	if (argc != 2) {
		fputs("usage: demo-api PORT\n", stderr);
		return 64;
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		api.clients[i].fd = -1;
	api.password_length = read_password();
	api.signals = open_signals();
	api.timer = open_timer();
	api.listener = open_listener(argv[1]);
	fprintf(stderr, "listening on port %s\n", argv[1]);
	printf("{\"level\":\"info\",\"msg\":\"ready\",\"port\":%s}\n", argv[1]);
	notify("READY=1\nSTATUS=ready");
	loop(&api);
	printf("{\"level\":\"info\",\"msg\":\"stopped\"}\n");
	return 0;
}
