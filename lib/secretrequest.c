#include "lib/secretrequest.h"

#include <errno.h>
#include <string.h>

#include "lib/secretfile.h"

#define REQUEST_MAGIC	UINT64_C(0x7473657571657273)
#define REQUEST_VERSION 1

/* A request is a header with the unit's name behind it, then items with name and reference behind
 * each; every part is padded to 8. */
struct request_header {
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint64_t size;
	uint32_t uid;
	uint32_t unit_length; /* with its NUL */
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

void secretrequest_begin(struct strbuf *buf, const char *unit, uint32_t uid)
{
	struct request_header header = {
		.magic = REQUEST_MAGIC,
		.version = REQUEST_VERSION,
		.uid = uid,
		.unit_length = (uint32_t)strlen(unit) + 1,
	};

	strbuf_reset(buf);
	strbuf_add(buf, &header, sizeof(header));
	strbuf_add(buf, unit, header.unit_length);
	pad(buf);
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
	struct request_header header;

	strbuf_add(buf, &fixed, sizeof(fixed));
	strbuf_add(buf, item->name, fixed.name_length);
	strbuf_add(buf, item->reference, fixed.reference_length);
	pad(buf);
	if (buf->is_cut)
		return;
	memcpy(&header, buf->data, sizeof(header));
	header.count++;
	memcpy(buf->data, &header, sizeof(header));
}

int secretrequest_end(struct strbuf *buf)
{
	struct request_header header;

	if (buf->is_cut || buf->length > SECRETREQUEST_MAX)
		return -E2BIG;
	memcpy(&header, buf->data, sizeof(header));
	header.size = buf->length;
	memcpy(buf->data, &header, sizeof(header));
	return header.count > SECRETREQUEST_ITEMS_MAX ? -E2BIG : 0;
}

int secretrequest_encode(struct strbuf *buf, const struct plan *plan,
			 const struct store_table *store, uint32_t unit)
{
	struct plan_range secrets = plan_unit(plan, unit)->secrets;

	secretrequest_begin(buf, plan_unit_name(plan, unit), plan->header->uid_secrets);
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

int secretrequest_open(const void *data, size_t size, struct secretrequest *ret_request)
{
	struct request_header header;
	struct secretrequest_item item;
	size_t at = sizeof(header);

	if (size < sizeof(header) || size > SECRETREQUEST_MAX)
		return -EBADMSG;
	memcpy(&header, data, sizeof(header));
	if (header.magic != REQUEST_MAGIC || header.version != REQUEST_VERSION ||
	    header.size != size || header.count > SECRETREQUEST_ITEMS_MAX)
		return -EBADMSG;
	const char *unit = take_text(data, size, &at, header.unit_length, SECRETFILE_NAME_MAX);
	at = (at + 7) & ~(size_t)7;
	if (!unit || at > size)
		return -EBADMSG;
	struct secretrequest request = {
		.unit = unit,
		.uid = header.uid,
		.count = header.count,
		.base = data,
		.first = at,
		.size = size,
	};
	for (uint32_t i = 0; i < header.count; i++) {
		if (!take_item(data, size, &at, &item))
			return -EBADMSG;
	}
	if (at != size)
		return -EBADMSG;
	*ret_request = request;
	return 0;
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
