#pragma once
/*
 * Addresses as [Health] Listen= and ListenStream= have them: 9180, :9180, 127.0.0.1:9180,
 * [::1]:9180, /run/x.sock, @x (systemd.socket(5)). A port alone means all interfaces, of both
 * families where the kernel has both.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_storage storage;
		struct sockaddr_un un;
	};
	socklen_t size;
	bool is_wildcard; /* a port alone */
};

/* 0, or -EINVAL for what is no address. */
int address_parse(const char *text, struct address *ret_address);

/* The port at which 127.0.0.1 or ::1 reaches a TCP address; 0 when neither does. */
uint32_t address_loopback_port(const struct address *address);

/*
 * A bound socket (owned by the caller, blocking), or -errno of socket(2) or bind(2). An old path of
 * AF_UNIX is replaced; a wildcard falls back to IPv4 where there is no IPv6.
 */
int address_bind(const struct address *address, int type);
