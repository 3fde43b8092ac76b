#include "lib/secretrequest.h"

#include <errno.h>
#include <string.h>

#include "lib/secretfile.h"

#define REQUEST_MAGIC	UINT64_C(0x7473657571657273)
#define REQUEST_VERSION 3

/* A request is a header with the unit's name behind it, then settings, each a length and a text, then
 * items with name and reference behind each; every part is padded to 8. */
struct request_header {
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint64_t size;
	uint32_t uid;
	uint32_t unit_length; /* with its NUL */
	uint32_t operation;
	uint32_t deadline_ms;
	int32_t state_fd, report_fd, old_fd;
	uint32_t n_settings;
	uint32_t lines;
	uint32_t reserved; /* 0 */
};

struct request_item {
	uint32_t delivery, flags, mode;
	int32_t fd;
	uint32_t name_length, reference_length; /* with their NULs */
};

static void pad(struct strbuf *buf)
{
	static const char zeros[8];

	strbuf_add(buf, zeros, (8 - buf->length % 8) % 8);
}

void secretrequest_begin(struct strbuf *buf, const struct secretrequest_head *head)
{
	struct request_header header = {
		.magic = REQUEST_MAGIC,
		.version = REQUEST_VERSION,
		.uid = head->uid,
		.unit_length = (uint32_t)strlen(head->unit) + 1,
		.operation = head->operation,
		.deadline_ms = head->deadline_ms,
		.state_fd = head->state_fd,
		.report_fd = head->report_fd,
		.old_fd = head->old_fd,
		.lines = head->lines,
	};

	strbuf_reset(buf);
	strbuf_add(buf, &header, sizeof(header));
	strbuf_add(buf, head->unit, header.unit_length);
	pad(buf);
}

static void count_part(struct strbuf *buf, uint32_t settings, uint32_t items)
{
	struct request_header header;

	if (buf->is_cut)
		return;
	memcpy(&header, buf->data, sizeof(header));
	header.n_settings += settings;
	header.count += items;
	memcpy(buf->data, &header, sizeof(header));
}

void secretrequest_setting(struct strbuf *buf, const char *setting)
{
	uint32_t length = (uint32_t)strlen(setting) + 1;

	strbuf_add(buf, &length, sizeof(length));
	strbuf_add(buf, setting, length);
	pad(buf);
	count_part(buf, 1, 0);
}

void secretrequest_add(struct strbuf *buf, const struct secretrequest_item *item)
{
	struct request_item fixed = {
		.delivery = item->delivery,
		.flags = item->flags,
		.mode = item->mode,
		.fd = item->fd,
		.name_length = (uint32_t)strlen(item->name) + 1,
		.reference_length = (uint32_t)strlen(item->reference) + 1,
	};

	strbuf_add(buf, &fixed, sizeof(fixed));
	strbuf_add(buf, item->name, fixed.name_length);
	strbuf_add(buf, item->reference, fixed.reference_length);
	pad(buf);
	count_part(buf, 0, 1);
}

int secretrequest_end(struct strbuf *buf)
{
	struct request_header header;

	if (buf->is_cut || buf->length > SECRETREQUEST_MAX)
		return -E2BIG;
	memcpy(&header, buf->data, sizeof(header));
	header.size = buf->length;
	memcpy(buf->data, &header, sizeof(header));
	return header.count > SECRETREQUEST_ITEMS_MAX ||
			       header.n_settings > SECRETREQUEST_SETTINGS_MAX
		       ? -E2BIG
		       : 0;
}

void secretrequest_add_all(struct strbuf *buf, const struct plan *plan,
			   const struct store_table *store, uint32_t unit)
{
	struct plan_range secrets = plan_unit(plan, unit)->secrets;

	for (uint32_t i = secrets.first; i < secrets.first + secrets.count; i++) {
		const struct plan_secret *secret = plan_secret(plan, i);
		int fd = store_find(store, STORE_SECRET_FILE, i);
		struct secretrequest_item item = {
			.name = plan_string(plan, secret->name),
			.reference = plan_string(plan, secret->reference),
			.delivery = secret->delivery,
			.flags = secret->flags,
			.mode = secret->mode,
			.fd = fd < 0 ? -1 : fd,
		};
		secretrequest_add(buf, &item);
	}
}

int secretrequest_encode(struct strbuf *buf, const struct plan *plan,
			 const struct store_table *store, uint32_t unit)
{
	const struct secretrequest_head head = {
		.unit = plan_unit_name(plan, unit),
		.uid = plan->header->uid_secrets,
		.operation = SECRETS_FETCH,
		.state_fd = -1,
		.report_fd = -1,
		.old_fd = -1,
		.lines = EVENT_FOR_LOG,
	};

	secretrequest_begin(buf, &head);
	secretrequest_add_all(buf, plan, store, unit);
	return secretrequest_end(buf);
}

/* The NUL-ended text of length bytes (its NUL included) at *at, which is moved behind it. */
static const char *take_text(const char *base, size_t size, size_t *at, uint32_t length, size_t max)
{
	const char *text = base + *at;

	if (length == 0 || length - 1 > max || length > size - *at || text[length - 1] != '\0' ||
	    strlen(text) != length - 1)
		return NULL;
	*at += length;
	return text;
}

static bool take_item(const char *base, size_t size, size_t *at,
		      struct secretrequest_item *ret_item)
{
	struct request_item fixed;

	if (size - *at < sizeof(fixed))
		return false;
	memcpy(&fixed, base + *at, sizeof(fixed));
	*at += sizeof(fixed);
	const char *name = take_text(base, size, at, fixed.name_length, SECRETFILE_NAME_MAX);
	if (!name)
		return false;
	const char *reference =
		take_text(base, size, at, fixed.reference_length, SECRETREQUEST_REFERENCE_MAX);
	if (!reference || fixed.delivery >= SECRET_DELIVERY_COUNT)
		return false;
	*at = (*at + 7) & ~(size_t)7;
	*ret_item = (struct secretrequest_item){
		.name = name,
		.reference = reference,
		.delivery = fixed.delivery,
		.flags = fixed.flags,
		.mode = fixed.mode,
		.fd = fixed.fd,
	};
	return *at <= size;
}

static const char *take_setting(const char *base, size_t size, size_t *at)
{
	uint32_t length;

	if (size - *at < sizeof(length))
		return NULL;
	memcpy(&length, base + *at, sizeof(length));
	*at += sizeof(length);
	const char *text = take_text(base, size, at, length, SECRETREQUEST_REFERENCE_MAX);
	if (!text || text[0] == '=' || !strchr(text, '='))
		return NULL;
	*at = (*at + 7) & ~(size_t)7;
	return *at <= size ? text : NULL;
}

static bool take_parts(struct secretrequest *request)
{
	struct secretrequest_item item;
	size_t at = request->settings;

	for (uint32_t i = 0; i < request->n_settings; i++) {
		if (!take_setting(request->base, request->size, &at))
			return false;
	}
	request->first = at;
	for (uint32_t i = 0; i < request->count; i++) {
		if (!take_item(request->base, request->size, &at, &item))
			return false;
	}
	return at == request->size;
}

static bool header_fits(const struct request_header *header, size_t size)
{
	return header->magic == REQUEST_MAGIC && header->version == REQUEST_VERSION &&
	       header->size == size && header->count <= SECRETREQUEST_ITEMS_MAX &&
	       header->n_settings <= SECRETREQUEST_SETTINGS_MAX &&
	       header->operation < SECRETS_OPERATION_COUNT && header->lines <= EVENT_FOR_LOG &&
	       header->reserved == 0;
}

int secretrequest_open(const void *data, size_t size, struct secretrequest *ret_request)
{
	struct request_header header;
	size_t at = sizeof(header);

	if (size < sizeof(header) || size > SECRETREQUEST_MAX)
		return -EBADMSG;
	memcpy(&header, data, sizeof(header));
	if (!header_fits(&header, size))
		return -EBADMSG;
	const char *unit = take_text(data, size, &at, header.unit_length, SECRETFILE_NAME_MAX);
	at = (at + 7) & ~(size_t)7;
	if (!unit || at > size)
		return -EBADMSG;
	struct secretrequest request = {
		.head = {.unit = unit,
			 .uid = header.uid,
			 .operation = header.operation,
			 .deadline_ms = header.deadline_ms,
			 .state_fd = header.state_fd,
			 .report_fd = header.report_fd,
			 .old_fd = header.old_fd,
			 .lines = (enum event_format)header.lines},
		.count = header.count,
		.n_settings = header.n_settings,
		.base = data,
		.settings = at,
		.size = size,
	};
	if (!take_parts(&request))
		return -EBADMSG;
	*ret_request = request;
	return 0;
}

const char *secretrequest_find_setting(const struct secretrequest *request, const char *name)
{
	size_t length = strlen(name), at = request->settings;

	for (uint32_t i = 0; i < request->n_settings; i++) {
		const char *text = take_setting(request->base, request->size, &at);
		if (text && strncmp(text, name, length) == 0 && text[length] == '=')
			return text + length + 1;
	}
	return NULL;
}

bool secretrequest_next(const struct secretrequest *request, size_t *cursor,
			struct secretrequest_item *ret_item)
{
	size_t at = *cursor == 0 ? request->first : *cursor;

	if (at >= request->size || !take_item(request->base, request->size, &at, ret_item))
		return false;
	*cursor = at;
	return true;
}
