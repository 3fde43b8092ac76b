#include "secrets/hide.h"

#include "lib/event.h"
#include "lib/fingerprint.h"

static struct fingerprints table; /* header is NULL where there is none */
static struct fingerprint_run fetch;
static const char *fetched_unit;

int hide_open(const struct store_table *store)
{
	int fd = store_find(store, STORE_FINGERPRINTS, 0);

	if (fd < 0)
		return 0;
	return fingerprint_map(fd, store_find(store, STORE_FINGERPRINT_KEY, 0), true, &table);
}

static const struct {
	const char *event, *text;
} complaints[] = {
	[FINGERPRINT_TOO_SHORT] = {"secret-not-hidden",
				   "is too short to be hidden where a service prints it: 8 bytes "
				   "or more can be"},
	[FINGERPRINT_CUT] = {"secret-partly-hidden",
			     "is long: of what a service prints of it the first 8 KiB are hidden"},
	[FINGERPRINT_FULL] = {"secret-not-hidden",
			      "cannot be hidden where a service prints it: there are more "
			      "secrets than boot made room for"},
};

static void complain(const char *name, size_t length, enum fingerprint_outcome outcome)
{
	event_with_string("name", name);
	event_with_i64("length", (int64_t)length);
	event_emit(EVENT_WARNING, complaints[outcome].event, fetched_unit,
		   "secret %s of %zu bytes %s", name, length, complaints[outcome].text);
}

void hide_begin(const char *unit)
{
	fetched_unit = unit;
	if (table.header)
		fingerprint_begin(&table, unit, &fetch);
}

void hide_value(const char *name, const void *value, size_t length)
{
	if (!table.header || length == 0)
		return;
	enum fingerprint_outcome outcome = fingerprint_add(&fetch, value, length);
	if (outcome != FINGERPRINT_ADDED)
		complain(name, length, outcome);
}

void hide_done(void)
{
	if (table.header)
		fingerprint_end(&fetch);
}
