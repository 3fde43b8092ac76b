#include "units/listen.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/check.h"
#include "units/report.h"

/* Far more than PID 1 keeps sockets for; what is beyond it the kernel compares. */
#define PLACES_MAX 1024
#define SSH_PORT   22 /* RFC 4253, 4.1 */

enum form { EVERYWHERE, IPV4, IPV6, NAME };

struct place {
	enum form form;
	uint32_t type;
	uint64_t port;
	unsigned char bytes[16];
	const char *text;
	struct where at;
};

struct places {
	struct units *units;
	struct place *items;
	size_t count, room;
};

/* As it was accepted where it was read: PORT, :PORT, ADDRESS:PORT, [IPV6]:PORT, /path, @name. */
static void understand(struct place *place)
{
	const char *text = place->text, *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2] = "";

	if (*text == '/' || *text == '@') {
		place->form = NAME;
		return;
	}
	(void)str_parse_u64(colon ? colon + 1 : text, 65535, &place->port);
	if (!colon || colon == text || (size_t)(colon - text) >= sizeof(host))
		return;
	memcpy(host, text + (*text == '['), (size_t)(colon - text) - (*text == '['));
	host[strcspn(host, "]")] = '\0';
	place->form = *text == '[' ? IPV6 : IPV4;
	(void)inet_pton(place->form == IPV6 ? AF_INET6 : AF_INET, host, place->bytes);
}

static bool is_any(const struct place *place)
{
	static const unsigned char zeros[sizeof(place->bytes)];

	return memcmp(place->bytes, zeros, sizeof(zeros)) == 0;
}

/* What bind(2) and listen(2) refuse for certain. A datagram socket on all addresses leaves room for
 * one on a single one. */
static bool is_same(const struct place *a, const struct place *b)
{
	if (a->form == NAME || b->form == NAME)
		return a->form == b->form && str_equal(a->text, b->text) &&
		       (*a->text == '/' || a->type == b->type);
	if (a->type != b->type || a->port != b->port)
		return false;
	if (a->form == b->form && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0)
		return true;
	return a->type == SOCK_STREAM && (a->form == EVERYWHERE || b->form == EVERYWHERE ||
					  (a->form == b->form && (is_any(a) || is_any(b))));
}

static void complain(struct places *places, const struct place *place, const struct place *other)
{
	struct arena *arena = &places->units->arena;
	const char *where = !other->at.file ? "[Health] by default"
			    : other->at.line == 0
				    ? other->at.file
				    : arena_printf(arena, "%s:%u", other->at.file, other->at.line);

	report_error(&places->units->report, &place->at,
		     "\"%s\": %s has %s already: expected another", place->text, where,
		     str_equal(place->text, other->text)
			     ? "it"
			     : arena_printf(arena, "\"%s\"", other->text));
}

static void add(struct places *places, const char *text, uint32_t type, const struct where *at)
{
	struct place place = {.type = type, .text = text, .at = *at};

	if (places->count == places->room)
		return;
	understand(&place);
	for (size_t i = 0; i < places->count; i++) {
		if (is_same(&places->items[i], &place)) {
			complain(places, &place, &places->items[i]);
			return;
		}
	}
	places->items[places->count++] = place;
}

/* Whoever connects there expects a login. */
static void refuse_ssh(struct places *places)
{
	for (size_t i = 0; i < places->count; i++) {
		const struct place *place = &places->items[i];
		if (place->form != NAME && place->type == SOCK_STREAM && place->port == SSH_PORT)
			check_refused(places->units, &place->at,
				      arena_printf(&places->units->arena, "\"%s\"", place->text),
				      "it is the port of SSH, and nobody gets in");
	}
}

void listen_check(struct units *units)
{
	struct places places = {.units = units, .room = units->conf.listen.count};

	for (size_t i = 0; i < units->count; i++)
		places.room += units->items[i]->listeners.count;
	places.room = MIN(places.room, PLACES_MAX);
	places.items = arena_alloc(&units->arena, (places.room + 1) * sizeof(struct place));
	for (size_t i = 0; i < units->conf.listen.count; i++)
		add(&places, units->conf.listen.items[i].text, SOCK_STREAM,
		    &units->conf.listen.items[i].at);
	for (size_t i = 0; i < units->count; i++) {
		const struct unit *unit = units->items[i];
		for (size_t k = 0; k < unit->listeners.count; k++)
			add(&places, unit->listeners.items[k].address,
			    unit->listeners.items[k].type, &unit->listeners.items[k].at);
	}
	refuse_ssh(&places);
}
