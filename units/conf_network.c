/*
 * [Network] of holdfast.conf: what a host's network is, where it is not asked for.
 *
 *	Address=ens5 192.0.2.10/24
 *	Route=default 192.0.2.1
 *	Route=2001:db8:1::/48 fe80::1 ens5
 *	DNS=192.0.2.53 2001:db8::53
 *	Search=example.internal
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/resolvconf.h"
#include "lib/str.h"
#include "units/conf.h"
#include "units/directive.h"
#include "units/words.h"

#define WORDS_MAX 4

struct word {
	const char *text;
	size_t offset;
};

static size_t split(const struct parse *parse, struct word words[WORDS_MAX])
{
	const char *at = parse->value;
	size_t count = 0, offset;

	for (char *text; (text = parse_word(parse, &at, 0, &offset)); count++) {
		if (count < WORDS_MAX)
			words[count] = (struct word){text, offset};
	}
	return count;
}

static bool read_ip(const char *text, struct units_net *ret_net)
{
	*ret_net = (struct units_net){.family = strchr(text, ':') ? AF_INET6 : AF_INET};
	ret_net->prefix = ret_net->family == AF_INET ? 32 : 128;
	return inet_pton(ret_net->family, text, ret_net->bytes) == 1;
}

/* ADDRESS/PREFIX; an address alone is the whole of it. */
static bool read_net(const char *text, struct units_net *ret_net)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	uint64_t prefix;

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (!read_ip(address, ret_net))
		return false;
	if (!slash)
		return true;
	if (str_parse_u64(slash + 1, ret_net->prefix, &prefix) < 0)
		return false;
	ret_net->prefix = (uint8_t)prefix;
	return true;
}

/* What the kernel takes for a name (dev_valid_name), and no less. */
static bool is_interface(const char *text)
{
	return *text && strlen(text) < IF_NAMESIZE && strcmp(text, ".") != 0 &&
	       strcmp(text, "..") != 0 && !strpbrk(text, "/:%");
}

static void apply_address(const struct parse *parse)
{
	struct units *units = parse->units;
	struct word words[WORDS_MAX];
	struct units_net net;

	if (split(parse, words) != 2 || !is_interface(words[0].text))
		parse_error(parse, 0, "expected INTERFACE ADDRESS/PREFIX");
	else if (!strchr(words[1].text, '/') || !read_net(words[1].text, &net))
		parse_error(parse, words[1].offset,
			    "\"%s\": expected an address with its prefix, such as 192.0.2.10/24",
			    words[1].text);
	else
		*LIST_ADD(&units->arena, &units->conf.addresses) =
			(struct units_address){words[0].text, net};
}

static bool read_destination(const char *text, const struct units_net *via,
			     struct units_net *ret_net)
{
	if (strcmp(text, "default") != 0)
		return read_net(text, ret_net) && ret_net->family == via->family;
	*ret_net = (struct units_net){.family = via->family};
	return true;
}

static void apply_route(const struct parse *parse)
{
	struct units *units = parse->units;
	struct word words[WORDS_MAX];
	struct units_net to, via;
	size_t count = split(parse, words);

	if (count < 2 || count > 3 || (count == 3 && !is_interface(words[2].text)))
		parse_error(parse, 0, "expected default or NETWORK/PREFIX, GATEWAY [INTERFACE]");
	else if (!read_ip(words[1].text, &via))
		parse_error(parse, words[1].offset, "\"%s\": expected the gateway's address",
			    words[1].text);
	else if (!read_destination(words[0].text, &via, &to))
		parse_error(parse, words[0].offset,
			    "\"%s\": expected default or NETWORK/PREFIX of the gateway's family",
			    words[0].text);
	else
		*LIST_ADD(&units->arena, &units->conf.routes) = (struct units_route){
			.text = arena_string(&units->arena, parse->value),
			.to = to,
			.via = via,
			.interface = count == 3 ? words[2].text : NULL,
		};
}

/* No more than resolv.conf(5) has use for. */
static void add_words(const struct parse *parse, struct settings *list, size_t max,
		      bool (*is_good)(const char *text), const char *expected)
{
	const char *at = parse->value;
	size_t offset;

	for (char *text; (text = parse_word(parse, &at, 0, &offset));) {
		if (!is_good(text) || list->count == max)
			parse_error(parse, offset, "\"%s\": expected %s, at most %zu of them", text,
				    expected, max);
		else
			settings_add(&parse->units->arena, list, text,
				     lex_where(parse->item, offset));
	}
}

static void apply_dns(const struct parse *parse)
{
	add_words(parse, &parse->units->conf.dns, RESOLVCONF_SERVERS_MAX, resolvconf_is_server,
		  "the addresses of name servers");
}

static void apply_search(const struct parse *parse)
{
	add_words(parse, &parse->units->conf.search, RESOLVCONF_SEARCH_MAX, resolvconf_is_domain,
		  "domains");
}

void conf_apply_network(const struct parse *parse)
{
	static const struct {
		const char *key;
		void (*apply)(const struct parse *parse);
	} keys[] = {
		{"Address", apply_address},
		{"Route", apply_route},
		{"DNS", apply_dns},
		{"Search", apply_search},
	};

	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		if (strcmp(keys[i].key, parse->item->key) == 0) {
			keys[i].apply(parse);
			return;
		}
	}
	report_unknown(&parse->units->report, &parse->item->at,
		       "unknown key %s= in [Network]: expected Address, Route, DNS or Search",
		       parse->item->key);
}
