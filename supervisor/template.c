#include "supervisor/child.h"

/*
 * Templates on their last metre: a configuration file of the image, filled in with the unit's values
 * and written beside its SecretFile=s. The child does it, whose memory is a copy and is gone with the
 * exec: the text goes through one buffer on its stack.
 *
 * The file is read as the image has it, before the unit's own mounts and root; boot has looked at it
 * already (units/templates.c), so what is found wrong here is what a value brought, or a name below a
 * SecretPath=. Since it is read with rights that the unit does not have, nobody but root may have put
 * it there (lib/trust.h), and that is looked at each time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/secretfile.h"
#include "lib/template.h"
#include "lib/trust.h"

struct output {
	struct child *child;
	int fd;
	size_t used;
	char buffer[4096];
};

static int flush(struct output *output)
{
	int r = io_write_all(output->fd, output->buffer, output->used);

	output->used = 0;
	return r;
}

static int take(void *context, const char *bytes, size_t length)
{
	struct output *output = context;

	while (length > 0) {
		size_t n = MIN(length, sizeof(output->buffer) - output->used);
		memcpy(output->buffer + output->used, bytes, n);
		output->used += n;
		bytes += n;
		length -= n;
		int r = output->used == sizeof(output->buffer) ? flush(output) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_optional(const struct child *child, const char *name)
{
	const struct plan *plan = child->spawner->plan;
	struct plan_range range = child->unit->secrets;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_secret *secret = plan_secret(plan, range.first + i);
		if (strcmp(plan_string(plan, secret->name), name) == 0)
			return secret->flags & SECRET_OPTIONAL;
	}
	return false;
}

/* One newline at the end is a file's, not the value's. */
static int find(void *context, const char *name, struct template_value *ret_value)
{
	const struct output *output = context;
	const struct child *child = output->child;
	struct secretfile_record record;
	int r = secretfile_find(child->secrets, child->secrets_size, name, &record);

	if (r == 0)
		return is_optional(child, name) ? 0 : -ENOENT;
	if (r < 0)
		return r;
	size_t length = record.value_length;
	if (length > 0 && record.value[length - 1] == '\n')
		length--;
	*ret_value = (struct template_value){record.value, length};
	return 1;
}

/* The whole file in memory of its own, so that nobody shortens it below us. */
static int read_source(struct child *child, const char *path, char **ret_text, size_t *ret_size)
{
	struct stat st;
	bool is_writable;

	CLEANUP(fd_closep)
	int fd = trust_open(-EBADF, path, &is_writable, child->text, sizeof(child->text));
	if (fd < 0) {
		child->detail = child->text[0] ? child->text : path;
		return fd;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > TEMPLATE_SOURCE_MAX)
		return -EFBIG;
	size_t room = (size_t)st.st_size + 1, size = 0;
	char *text = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (text == MAP_FAILED)
		return -errno;
	while (size < (size_t)st.st_size) {
		ssize_t n = read(fd, text + size, (size_t)st.st_size - size);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}

static int say(struct child *child, const char *path, const struct template_fault *fault)
{
	(void)snprintf(child->text, sizeof(child->text), "%s:%u:%u: %s%s%s%s", path, fault->line,
		       fault->column, *fault->name ? "{{ " : "", fault->name,
		       *fault->name ? " }}: " : "", fault->message);
	child->detail = child->text;
	return -EINVAL;
}

static int render(struct child *child, const struct plan_template *template, int fd)
{
	const char *path = plan_string(child->spawner->plan, template->source);
	struct output output = {.child = child, .fd = fd};
	struct template_fault fault;
	struct template_request request = {
		.format = (enum template_format) template->format,
		.is_json = template->flags & TEMPLATE_IS_JSON,
		.find = find,
		.write = take,
		.context = &output,
	};
	char *text = NULL;

	child->detail = path;
	int r = read_source(child, path, &text, &request.size);
	if (r < 0)
		return r;
	request.text = text;
	r = template_render(&request, &fault);
	if (r == -EINVAL)
		return say(child, path, &fault);
	return r < 0 ? r : flush(&output);
}

int template_write(struct child *child, int dirfd, const struct plan_template *template)
{
	const char *target = plan_string(child->spawner->plan, template->target);

	child->detail = target;
	if (strchr(target, '/') || *target == '.')
		return -EINVAL;
	CLEANUP(fd_closep)
	int fd = openat(dirfd, target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = render(child, template, fd);
	return r < 0 ? r : credentials_own(child, fd, template->mode);
}
