#pragma once
/*
 * Where a URL leads, and whether a call may go there: https anywhere; http only where every address
 * of the host is loopback or one of the link-local services that give credentials to whoever runs on
 * this machine. A proxy is used for https alone (HTTPS_PROXY, NO_PROXY), and never for those.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "lib/secretreport.h"
#include "secrets/run.h"

#define ADDRESS_URL_MAX 4096

struct address_target {
	char url[ADDRESS_URL_MAX]; /* as libcurl shall have it */
	char host[320];		   /* for the Host: header, where url has another; else empty */
	char resolve[2048];	   /* of CURLOPT_RESOLVE; empty: nothing to resolve */
	char proxy[512];	   /* empty: none */
	char connect_to[768];	   /* of CURLOPT_CONNECT_TO, for a proxy; empty: as url says */
	bool is_plain;		   /* http */
};

/* Loopback, 169.254.169.254, 169.254.170.2, 169.254.170.23, fd00:ec2::254 or fd00:ec2::23. */
bool address_is_local(const struct sockaddr *address);

/*
 * Whether host is in a NO_PROXY list: "*"; names and domains, with or without a dot in front;
 * addresses and networks (10.0.0.0/8), which stand for what is written as an address and not for what
 * a name resolves to; each with :PORT for that port alone.
 */
bool address_is_listed(const char *list, const char *host, const char *port);

/*
 * SECRET_OK; SECRET_MALFORMED when the URL is none or may not be used; SECRET_UNREACHABLE when the
 * host has no address now. server_name: under which the certificate shall be checked, or NULL.
 */
enum secret_outcome address_resolve(struct run *run, const char *url, const char *server_name,
				    struct address_target *ret_target, char *why, size_t why_size);
