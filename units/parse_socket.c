/*
 * [Socket]: addresses.
 */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/str.h"
#include "units/parsers.h"
#include "units/values.h"

static bool is_port(const char *text)
{
	uint64_t port;

	return str_parse_u64(text, 65535, &port) == 0 && port > 0;
}

/* AF_INET or AF_INET6 for HOST:PORT with a numeric host, else AF_UNSPEC. */
static uint32_t address_family(const char *text)
{
	char host[INET6_ADDRSTRLEN + 2];
	unsigned char bytes[16];
	const char *colon = strrchr(text, ':');

	if (!colon || !is_port(colon + 1) || (size_t)(colon - text) >= sizeof(host))
		return AF_UNSPEC;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	size_t length = strlen(host);
	if (*host != '[')
		return inet_pton(AF_INET, host, bytes) == 1 ? AF_INET : AF_UNSPEC;
	if (host[length - 1] != ']')
		return AF_UNSPEC;
	host[length - 1] = '\0';
	return inet_pton(AF_INET6, host + 1, bytes) == 1 ? AF_INET6 : AF_UNSPEC;
}

bool parse_is_address(const char *text)
{
	return address_family(text) != AF_UNSPEC;
}

void parse_listen(const struct parse *parse, void *target)
{
	struct listeners *list = target;
	struct listener listener = {.type = parse->directive->argument,
				    .at = lex_value(parse->item)};

	if (!*parse->value) {
		list->count = 0;
		return;
	}
	char *text = parse_expand(parse, parse->value, 0);
	if (!text)
		return;
	listener.address = text;
	if (*text == '/' || *text == '@')
		listener.domain = AF_UNIX;
	else if (listener.type != SOCK_SEQPACKET)
		/* A port alone means every address, of IPv4 too. */
		listener.domain = is_port(text) ? AF_INET6 : address_family(text);
	if (listener.domain == AF_UNSPEC) {
		parse_error(
			parse, 0,
			"\"%s\": expected a port, ADDRESS:PORT with a numeric address, /path or "
			"@name",
			text);
		return;
	}
	if (listener.domain == AF_UNIX &&
	    strlen(text) >= sizeof((struct sockaddr_un){0}.sun_path)) {
		parse_error(parse, 0, "a path of %zu bytes: expected at most 107", strlen(text));
		return;
	}
	*LIST_ADD(&parse->units->arena, list) = listener;
}

void parse_accept(const struct parse *parse, void *target)
{
	bool accepts = false;

	(void)target;
	if (str_parse_bool(parse->value, &accepts) < 0)
		parse_error(parse, 0, "\"%s\": expected no", parse->value);
	else if (accepts)
		parse_error(parse, 0,
			    "one service for each connection cannot be had: expected no, and a "
			    "service that accepts by itself");
}
