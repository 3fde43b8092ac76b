#include "ctl/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/str.h"

int url_parse(const char *url, struct url *ret_url)
{
	struct url parsed = {0};
	const char *at = url;

	if (!str_starts(at, "http://"))
		return -EINVAL;
	at += strlen("http://");
	bool is_bracketed = *at == '[';
	at += is_bracketed;
	size_t length = strcspn(at, is_bracketed ? "]" : ":/?#");
	if (length == 0 || length >= sizeof(parsed.host) || (is_bracketed && at[length] != ']'))
		return -EINVAL;
	memcpy(parsed.host, at, length);
	at += length + is_bracketed;
	(void)str_copy(parsed.port, sizeof(parsed.port), "80");
	if (*at == ':') {
		uint64_t port;
		length = strcspn(++at, "/?#");
		if (length == 0 || length >= sizeof(parsed.port))
			return -EINVAL;
		memcpy(parsed.port, at, length);
		parsed.port[length] = '\0';
		if (str_parse_u64(parsed.port, 65535, &port) < 0 || port == 0)
			return -EINVAL;
		at += length;
	}
	length = strcspn(at, "#");
	/* Nothing may end the request line early. */
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)at[i] <= ' ' || at[i] == 0x7F)
			return -EINVAL;
	}
	(void)snprintf(parsed.target, sizeof(parsed.target), "%s%.*s", *at == '/' ? "" : "/",
		       (int)length, at);
	if (length + 2 > sizeof(parsed.target))
		return -EINVAL;
	*ret_url = parsed;
	return 0;
}

int url_answer_status(const char *answer, size_t length)
{
	if (length < 12 || memcmp(answer, "HTTP/1.", 7) != 0 || answer[8] != ' ')
		return -EBADMSG;
	int status = 0;
	for (int i = 9; i < 12; i++) {
		if (answer[i] < '0' || answer[i] > '9')
			return -EBADMSG;
		status = status * 10 + (answer[i] - '0');
	}
	return status >= 100 ? status : -EBADMSG;
}
