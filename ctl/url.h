#pragma once
/* The two parsers of `holdfastctl probe`. */
#include <stddef.h>

struct url {
	char host[256], port[8], target[2048];
};

/* http://HOST[:PORT][/PATH][?QUERY][#…], HOST a name or an address, IPv6 in brackets. 0, -EINVAL.
 */
int url_parse(const char *url, struct url *ret_url);

/* The status of an answer that starts with "HTTP/1.x NNN", or -EBADMSG. */
int url_answer_status(const char *answer, size_t length);
