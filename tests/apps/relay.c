/*
 * Between stdin and stdout and a TCP port of this machine: what QEMU starts for each connection of a
 * guest to an address that it makes up (guestfwd).
 *
 *   relay PORT
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int pass(int from, int to)
{
	char data[4096];
	ssize_t n = read(from, data, sizeof(data));

	for (ssize_t done = 0; done < n;) {
		ssize_t m = write(to, data + done, (size_t)(n - done));
		if (m <= 0)
			return -1;
		done += m;
	}
	return n > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int server = socket(AF_INET, SOCK_STREAM, 0);

	if (argc != 2)
		return 64;
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	if (connect(server, (struct sockaddr *)&address, sizeof(address)) < 0)
		return 69;
	struct pollfd ends[] = {{.fd = STDIN_FILENO, .events = POLLIN},
				{.fd = server, .events = POLLIN}};
	while (poll(ends, 2, -1) > 0) {
		if (ends[1].revents && pass(server, STDOUT_FILENO) < 0)
			return 0;
		if (ends[0].revents && pass(STDIN_FILENO, server) < 0)
			return 0;
	}
	return 0;
}
