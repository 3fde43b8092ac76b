#include "secrets/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "lib/cleanup.h"

#define CACHE_MAX     8
#define ADDRESSES_MAX 16

/* A host that was looked up in this run. */
struct known {
	char host[256], port[8];
	char addresses[1024]; /* with commas between */
	bool is_local;	      /* each of them */
};

static struct known cache[CACHE_MAX];
static size_t n_cached;

struct parts {
	char *scheme, *host, *port;
};

static void parts_finish(struct parts *parts)
{
	curl_free(parts->scheme);
	curl_free(parts->host);
	curl_free(parts->port);
}

static bool is_local_ipv4(const struct in_addr *address)
{
	static const uint32_t services[] = {0xA9FEA9FE, 0xA9FEAA02, 0xA9FEAA17};
	uint32_t host = ntohl(address->s_addr);

	for (size_t i = 0; i < ARRAY_COUNT(services); i++) {
		if (host == services[i])
			return true;
	}
	return host >> 24 == 127;
}

static bool is_local_ipv6(const struct in6_addr *address)
{
	static const char *const services[] = {"::1", "fd00:ec2::254", "fd00:ec2::23"};
	struct in6_addr service;

	for (size_t i = 0; i < ARRAY_COUNT(services); i++) {
		if (inet_pton(AF_INET6, services[i], &service) == 1 &&
		    memcmp(&service, address, sizeof(service)) == 0)
			return true;
	}
	return false;
}

bool address_is_local(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_local_ipv4(
			&((const struct sockaddr_in *)(const void *)address)->sin_addr);
	if (address->sa_family == AF_INET6)
		return is_local_ipv6(
			&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
	return false;
}

/* ---- NO_PROXY: as curl, Go and Python read it, where they agree; and all that one of them knows */

struct inet {
	int family;
	unsigned bits;
	unsigned char bytes[16];
};

/* An address, in brackets or not. */
static bool inet_parse(const char *text, size_t length, struct inet *ret_inet)
{
	struct inet inet = {.family = AF_INET, .bits = 32};
	char bare[INET6_ADDRSTRLEN];

	if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (length >= sizeof(bare))
		return false;
	memcpy(bare, text, length);
	bare[length] = '\0';
	if (inet_pton(AF_INET, bare, inet.bytes) != 1) {
		inet = (struct inet){.family = AF_INET6, .bits = 128};
		if (inet_pton(AF_INET6, bare, inet.bytes) != 1)
			return false;
	}
	*ret_inet = inet;
	return true;
}

static bool have_same_start(const struct inet *a, const struct inet *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return a->family == b->family && memcmp(a->bytes, b->bytes, whole) == 0 &&
	       (rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0);
}

/* Cuts off the last sign with the number behind it; false where that is none up to max. */
static bool split_number(const char *entry, size_t *length, char sign, uint64_t max,
			 uint64_t *ret_number)
{
	const char *at = memrchr(entry, sign, *length);
	char digits[8] = "";
	size_t n = at ? *length - (size_t)(at + 1 - entry) : 0;

	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, at + 1, n);
	if (str_parse_u64(digits, max, ret_number) < 0)
		return false;
	*length = (size_t)(at - entry);
	return true;
}

static bool inet_matches(const char *entry, size_t length, const struct inet *host)
{
	struct inet inet;
	uint64_t bits;
	bool is_network = split_number(entry, &length, '/', 128, &bits);

	return inet_parse(entry, length, &inet) && (!is_network || bits <= inet.bits) &&
	       have_same_start(&inet, host, is_network ? (unsigned)bits : inet.bits);
}

/* The domain, or what is below it. */
static bool name_matches(const char *entry, size_t length, const char *host, size_t host_length)
{
	while (length > 0 && entry[length - 1] == '.')
		length--;
	while (length > 0 && entry[0] == '.') {
		entry++;
		length--;
	}
	if (length == 0 || length > host_length ||
	    strncasecmp(host + host_length - length, entry, length) != 0)
		return false;
	return length == host_length || host[host_length - length - 1] == '.';
}

static bool matches(const char *entry, size_t length, const char *host, uint64_t port)
{
	size_t host_length = strlen(host);
	uint64_t only = port;
	struct inet inet;

	if (length == 1 && entry[0] == '*')
		return true;
	/* Of several colons the last one is a port's only behind brackets. */
	const char *colon = memchr(entry, ':', length);
	if (colon &&
	    (entry[0] == '[' ? memchr(entry, ']', length) != entry + length - 1
			     : colon == memrchr(entry, ':', length)) &&
	    !split_number(entry, &length, ':', 65535, &only))
		return false;
	if (only != port)
		return false;
	if (inet_parse(host, host_length, &inet))
		return inet_matches(entry, length, &inet);
	if (host_length > 0 && host[host_length - 1] == '.')
		host_length--;
	return name_matches(entry, length, host, host_length);
}

bool address_is_listed(const char *list, const char *host, const char *port)
{
	static const char between[] = ", \t";
	uint64_t number = 0;

	(void)str_parse_u64(port, 65535, &number);
	for (list += strspn(list, between); *list != '\0'; list += strspn(list, between)) {
		size_t length = strcspn(list, between);
		if (matches(list, length, host, number))
			return true;
		list += length;
	}
	return false;
}

static struct known *find_known(const char *host, const char *port)
{
	for (size_t i = 0; i < n_cached; i++) {
		if (str_equal(cache[i].host, host) && str_equal(cache[i].port, port))
			return &cache[i];
	}
	return NULL;
}

static void note_addresses(struct known *known, const struct addrinfo *list)
{
	struct strbuf buf;
	int n = 0;

	strbuf_init(&buf, known->addresses, sizeof(known->addresses));
	known->is_local = list != NULL;
	for (; list && n < ADDRESSES_MAX; list = list->ai_next, n++) {
		char text[NI_MAXHOST];
		if (getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0,
				NI_NUMERICHOST) != 0)
			continue;
		strbuf_adds(&buf, buf.length ? "," : "");
		strbuf_addf(&buf, list->ai_family == AF_INET6 ? "[%s]" : "%s", text);
		known->is_local &= address_is_local(list->ai_addr);
	}
}

static const struct known *look_up(const char *host, const char *port, struct strbuf *why)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char bare[256];

	struct known *known = find_known(host, port);
	if (known)
		return known;
	/* Of [::1] the resolver wants what is between the brackets. */
	(void)str_copy(bare, sizeof(bare), host[0] == '[' ? host + 1 : host);
	if (host[0] == '[')
		bare[strcspn(bare, "]")] = '\0';
	int r = getaddrinfo(bare, port, &hints, &list);
	if (r != 0) {
		strbuf_addf(why, "the name %s cannot be resolved: %s", bare, gai_strerror(r));
		return NULL;
	}
	known = &cache[n_cached < CACHE_MAX ? n_cached++ : CACHE_MAX - 1];
	*known = (struct known){0};
	note_addresses(known, list);
	freeaddrinfo(list);
	if (!str_copy(known->host, sizeof(known->host), host) ||
	    !str_copy(known->port, sizeof(known->port), port))
		known->host[0] = '\0';
	return known;
}

static bool take_apart(const char *url, struct parts *ret_parts)
{
	CURLU *handle = curl_url();
	bool is_good = handle && curl_url_set(handle, CURLUPART_URL, url, 0) == CURLUE_OK &&
		       curl_url_get(handle, CURLUPART_SCHEME, &ret_parts->scheme, 0) == CURLUE_OK &&
		       curl_url_get(handle, CURLUPART_HOST, &ret_parts->host, 0) == CURLUE_OK &&
		       curl_url_get(handle, CURLUPART_PORT, &ret_parts->port, CURLU_DEFAULT_PORT) ==
			       CURLUE_OK;

	curl_url_cleanup(handle);
	return is_good;
}

/* The same URL at server_name, which is what TLS then asks for and checks. */
static bool rename_host(const char *url, const char *server_name, char *to, size_t size)
{
	CURLU *handle = curl_url();
	char *renamed = NULL;
	bool is_good = handle && curl_url_set(handle, CURLUPART_URL, url, 0) == CURLUE_OK &&
		       curl_url_set(handle, CURLUPART_HOST, server_name, 0) == CURLUE_OK &&
		       curl_url_get(handle, CURLUPART_URL, &renamed, 0) == CURLUE_OK &&
		       str_copy(to, size, renamed);

	curl_free(renamed);
	curl_url_cleanup(handle);
	return is_good;
}

/* Written so that no name server has a say in it: what is there answers with credentials. */
static bool is_here(const char *host)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {.any.sa_family = AF_INET};
	char bare[256];

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &address.v4.sin_addr) == 1)
		return address_is_local(&address.any);
	address.any.sa_family = AF_INET6;
	(void)str_copy(bare, sizeof(bare), host[0] == '[' ? host + 1 : host);
	bare[strcspn(bare, "]")] = '\0';
	return inet_pton(AF_INET6, bare, &address.v6.sin6_addr) == 1 &&
	       address_is_local(&address.any);
}

static const char *find_proxy(const struct run *run, const struct parts *parts)
{
	const char *proxy = run_setting(run, "HTTPS_PROXY");
	const char *none = run_setting(run, "NO_PROXY");

	if (!proxy)
		proxy = run_setting(run, "https_proxy");
	if (!none)
		none = run_setting(run, "no_proxy");
	if (!proxy || !str_equal(parts->scheme, "https") || is_here(parts->host) ||
	    (none && address_is_listed(none, parts->host, parts->port)))
		return NULL;
	return proxy;
}

/* TLS is for server_name, while the connection and the request stay the host's. */
static enum secret_outcome take_server_name(const char *url, const char *server_name,
					    const struct parts *parts,
					    struct address_target *target, struct strbuf *why)
{
	struct strbuf buf;

	strbuf_init(&buf, target->host, sizeof(target->host));
	strbuf_addf(&buf, "%s:%s", parts->host, parts->port);
	if (!buf.is_cut && rename_host(url, server_name, target->url, sizeof(target->url)))
		return SECRET_OK;
	strbuf_addf(why, "%s cannot be the name of a server", server_name);
	return SECRET_MALFORMED;
}

static enum secret_outcome resolve_proxy(const char *proxy, const char *server_name,
					 const struct parts *host, struct address_target *target,
					 struct strbuf *why)
{
	CLEANUP(parts_finish) struct parts parts = {0};
	struct strbuf buf;

	if (server_name) {
		strbuf_init(&buf, target->connect_to, sizeof(target->connect_to));
		strbuf_addf(&buf, "%s:%s:%s:%s", server_name, host->port, host->host, host->port);
	}
	strbuf_init(&buf, target->proxy, sizeof(target->proxy));
	strbuf_addf(&buf, "%s%s", strstr(proxy, "://") ? "" : "http://", proxy);
	if (buf.is_cut || !take_apart(target->proxy, &parts)) {
		strbuf_adds(why, "HTTPS_PROXY is no URL");
		return SECRET_MALFORMED;
	}
	const struct known *known = look_up(parts.host, parts.port, why);
	if (!known)
		return SECRET_UNREACHABLE;
	strbuf_init(&buf, target->resolve, sizeof(target->resolve));
	strbuf_addf(&buf, "%s:%s:%s", parts.host, parts.port, known->addresses);
	return SECRET_OK;
}

static enum secret_outcome resolve_host(const char *server_name, const struct parts *parts,
					struct address_target *target, struct strbuf *why)
{
	struct strbuf buf;

	const struct known *known = look_up(parts->host, parts->port, why);
	if (!known)
		return SECRET_UNREACHABLE;
	if (target->is_plain && !known->is_local) {
		strbuf_addf(why,
			    "http is for this machine and its metadata services alone, and %s is "
			    "neither: use https",
			    parts->host);
		return SECRET_MALFORMED;
	}
	const char *name = server_name ? server_name : parts->host;
	strbuf_init(&buf, target->resolve, sizeof(target->resolve));
	if (name[0] != '[')
		strbuf_addf(&buf, "%s:%s:%s", name, parts->port, known->addresses);
	return SECRET_OK;
}

enum secret_outcome address_resolve(struct run *run, const char *url, const char *server_name,
				    struct address_target *ret_target, char *why, size_t why_size)
{
	CLEANUP(parts_finish) struct parts parts = {0};
	struct strbuf buf;

	strbuf_init(&buf, why, why_size);
	*ret_target = (struct address_target){0};
	if (!str_copy(ret_target->url, sizeof(ret_target->url), url) || !take_apart(url, &parts) ||
	    (!str_equal(parts.scheme, "http") && !str_equal(parts.scheme, "https"))) {
		strbuf_addf(&buf, "\"%.200s\" is no http or https URL", url);
		return SECRET_MALFORMED;
	}
	ret_target->is_plain = str_equal(parts.scheme, "http");
	if (ret_target->is_plain)
		server_name = NULL;
	if (server_name) {
		enum secret_outcome outcome =
			take_server_name(url, server_name, &parts, ret_target, &buf);
		if (outcome != SECRET_OK)
			return outcome;
	}
	const char *proxy = find_proxy(run, &parts);
	if (proxy)
		return resolve_proxy(proxy, server_name, &parts, ret_target, &buf);
	return resolve_host(server_name, &parts, ret_target, &buf);
}
