#include "network/lease.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

#define NAME_SIGNS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:@"

static const char *value_of(char *const *environment, const char *name)
{
	size_t length = strlen(name);

	for (; *environment; environment++) {
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	}
	return NULL;
}

static bool is_true(char *const *environment, const char *name)
{
	const char *value = value_of(environment, name);

	return value && str_equal(value, "true");
}

static bool copy_name(char *to, size_t size, const char *from)
{
	return from && *from && !from[strspn(from, NAME_SIGNS)] && str_copy(to, size, from);
}

/* ---- names */

/* The words of one value, each by take. */
static void take_words(struct lease_news *news, const char *value,
		       bool (*take)(struct resolvconf *conf, const char *text))
{
	char word[RESOLVCONF_DOMAIN_MAX];

	for (const char *at = value; at && *at;) {
		size_t length = strcspn(at, " ");
		bool fits = length < sizeof(word);
		memcpy(word, at, fits ? length : 0);
		word[fits ? length : 0] = '\0';
		if (length > 0 && !take(&news->lease.dns, word))
			news->n_refused++;
		at += length + (at[length] == ' ');
	}
}

/* nd1_rdnss1_servers: options and routers are numbered by dhcpcd. */
static bool is_numbered(const char *text, const char *middle, const char *end)
{
	if (!str_starts(text, "nd"))
		return false;
	const char *at = text + 2 + strspn(text + 2, "0123456789");
	if (!str_starts(at, middle))
		return false;
	at += strlen(middle);
	return str_starts(at + strspn(at, "0123456789"), end);
}

static void take_router_advert(char *const *environment, struct lease_news *news)
{
	for (; *environment; environment++) {
		const char *value = strchr(*environment, '=');
		if (!value)
			continue;
		if (is_numbered(*environment, "_rdnss", "_servers="))
			take_words(news, value + 1, resolvconf_add_server);
		else if (is_numbered(*environment, "_dnssl", "_search="))
			take_words(news, value + 1, resolvconf_add_domain);
	}
}

/* ---- protocols */

static bool is_address(const char *text, int family)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char address[INET6_ADDRSTRLEN];
	size_t length = text ? strcspn(text, "/") : 0;

	if (length == 0 || length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	return inet_pton(family, address, bytes) == 1;
}

static void take_address(struct lease_news *news, const char *text, int family)
{
	if (!is_address(text, family))
		return;
	*(family == AF_INET ? &news->lease.has_ipv4 : &news->lease.has_ipv6) = true;
	(void)str_copy(news->address, sizeof(news->address), text);
}

static void read_dhcp(char *const *environment, struct lease_news *news)
{
	const char *search = value_of(environment, "new_domain_search");

	take_address(news, value_of(environment, "new_ip_address"), AF_INET);
	take_words(news, value_of(environment, "new_domain_name_servers"), resolvconf_add_server);
	if (!search)
		search = value_of(environment, "new_domain_name");
	take_words(news, search, resolvconf_add_domain);
}

static void read_dhcp6(char *const *environment, struct lease_news *news)
{
	take_address(news, value_of(environment, "new_dhcp6_ia_na1_ia_addr1"), AF_INET6);
	take_words(news, value_of(environment, "new_dhcp6_name_servers"), resolvconf_add_server);
	take_words(news, value_of(environment, "new_dhcp6_domain_search"), resolvconf_add_domain);
}

static void read_router_advert(char *const *environment, struct lease_news *news)
{
	take_address(news, value_of(environment, "nd1_addr1"), AF_INET6);
	take_router_advert(environment, news);
}

/* Others (link, ipv4ll, 3rdparty) give neither an address that leads anywhere nor names. */
static const struct {
	const char *protocol;
	void (*read)(char *const *environment, struct lease_news *news);
} protocols[] = {
	{"dhcp", read_dhcp},
	{"static", read_dhcp},
	{"dhcp6", read_dhcp6},
	{"ra", read_router_advert},
};

/* ---- the whole */

static int read_wait(char *const *environment, enum lease_wait *ret_wait)
{
	static const char *const words[] = {
		[LEASE_WAIT_IPV4] = "ipv4",
		[LEASE_WAIT_IPV6] = "ipv6",
		[LEASE_WAIT_ANY] = "any",
		[LEASE_WAIT_ALL] = "all",
	};
	const char *word = value_of(environment, "network_wait");

	*ret_wait = LEASE_WAIT_IPV4;
	if (!word)
		return 0;
	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		if (!str_equal(words[i], word))
			continue;
		*ret_wait = (enum lease_wait)i;
		return 0;
	}
	return -EINVAL;
}

int lease_read(char *const *environment, struct lease_news *ret_news)
{
	struct lease_news news = {.change = LEASE_NONE};
	const char *reason = value_of(environment, "reason");

	if (!reason || read_wait(environment, &news.wait) < 0 ||
	    !copy_name(news.lease.interface, sizeof(news.lease.interface),
		       value_of(environment, "interface")) ||
	    !copy_name(news.lease.protocol, sizeof(news.lease.protocol),
		       value_of(environment, "protocol")))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_COUNT(protocols); i++) {
		if (!str_equal(protocols[i].protocol, news.lease.protocol))
			continue;
		/* A router's news carry no if_up of their own while DHCP has nothing yet. */
		if (is_true(environment, "if_up") || str_equal(reason, "ROUTERADVERT")) {
			news.change = LEASE_HAD;
			protocols[i].read(environment, &news);
		} else if (is_true(environment, "if_down")) {
			news.change = LEASE_LOST;
		}
	}
	*ret_news = news;
	return 0;
}
