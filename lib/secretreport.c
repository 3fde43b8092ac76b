#include "lib/secretreport.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/io.h"

#define REPORT_MAGIC   UINT64_C(0x74726f706572)
#define REPORT_VERSION 2

const int secret_outcome_status[SECRET_OUTCOME_COUNT] = {
	[SECRET_OK] = 0,	 [SECRET_NOT_FOUND] = 66, [SECRET_DENIED] = 77,
	[SECRET_MALFORMED] = 78, [SECRET_TEMPORARY] = 75, [SECRET_UNREACHABLE] = 69,
	[SECRET_FAILED] = 70,
};

static size_t size_of(uint32_t count)
{
	return offsetof(struct secretreport, items) + count * sizeof(struct secretreport_item);
}

void secretreport_init(struct secretreport *report, uint32_t count)
{
	memset(report, 0, sizeof(*report));
	report->magic = REPORT_MAGIC;
	report->version = REPORT_VERSION;
	report->count = count;
	report->next_ms = SECRETREPORT_NEVER;
	report->lease_end_ms = SECRETREPORT_NEVER;
}

static void set_text(char *to, size_t size, const char *text)
{
	size_t i = 0;

	for (; i < size - 1 && text[i] != '\0'; i++)
		to[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	memset(to + i, 0, size - i);
}

void secretreport_set_version(struct secretreport_item *item, const char *text)
{
	set_text(item->version, sizeof(item->version), text);
}

void secretreport_set_failure(struct secretreport *report, const char *text)
{
	set_text(report->failure, sizeof(report->failure), text);
}

int secretreport_write(int fd, const struct secretreport *report)
{
	size_t size = size_of(report->count);

	if (ftruncate(fd, 0) < 0)
		return -errno;
	ssize_t n = pwrite(fd, report, size, 0);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -ENOSPC;
}

static bool is_text(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	for (size_t i = 0; i < length; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return length < size;
}

static int check_item(const struct secretreport_item *item)
{
	if (item->outcome >= SECRET_OUTCOME_COUNT || (item->flags & ~SECRETREPORT_ITEM_FLAGS) ||
	    !is_text(item->version, sizeof(item->version)))
		return -EBADMSG;
	return 0;
}

static bool is_status(int32_t status)
{
	for (size_t i = 0; i < ARRAY_COUNT(secret_outcome_status); i++) {
		if (secret_outcome_status[i] == status)
			return true;
	}
	return false;
}

int secretreport_check(const void *data, size_t size, uint32_t count)
{
	struct secretreport head = {0};
	struct secretreport_item item;
	const char *at = data;

	if (count > SECRETREQUEST_ITEMS_MAX || size != size_of(count))
		return -EBADMSG;
	memcpy(&head, at, offsetof(struct secretreport, items));
	if (head.magic != REPORT_MAGIC || head.version != REPORT_VERSION || head.count != count ||
	    (head.flags & ~SECRETREPORT_FLAGS) || !is_status(head.status) ||
	    !is_text(head.failure, sizeof(head.failure)))
		return -EBADMSG;
	for (uint32_t i = 0; i < count; i++) {
		memcpy(&item, at + size_of(i), sizeof(item));
		if (check_item(&item) < 0)
			return -EBADMSG;
	}
	return 0;
}

int secretreport_read(int fd, uint32_t count, struct secretreport *ret_report)
{
	size_t done = 0;

	memset(ret_report, 0, sizeof(*ret_report));
	while (done < sizeof(*ret_report)) {
		ssize_t n = pread(fd, (char *)ret_report + done, sizeof(*ret_report) - done,
				  (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return secretreport_check(ret_report, done, count);
}
