#include "secrets/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/secretfile.h"

/* MAX_ARG_STRLEN of the kernel: the most that execve(2) takes as one string, its NUL included. */
#define ENVIRONMENT_STRING_MAX (32U * 4096)

static enum source_outcome outcome_of(int error)
{
	static const struct {
		int error;
		enum source_outcome outcome;
	} outcomes[] = {
		{ENOENT, SOURCE_NOT_FOUND}, {ENOTDIR, SOURCE_NOT_FOUND},
		{EACCES, SOURCE_DENIED},    {EPERM, SOURCE_DENIED},
		{ELOOP, SOURCE_MALFORMED},  {ENAMETOOLONG, SOURCE_MALFORMED},
	};

	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		if (outcomes[i].error == error)
			return outcomes[i].outcome;
	}
	return SOURCE_FAILED;
}

static bool is_file_name(const char *name)
{
	return name[0] != '\0' && !strchr(name, '/') && !strchr(name, '=') &&
	       !str_equal(name, ".") && !str_equal(name, "..");
}

static bool is_variable_name(const char *name)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

	return name[0] != '\0' && !(name[0] >= '0' && name[0] <= '9') &&
	       name[strspn(name, letters)] == '\0';
}

bool source_name_fits(const struct secretrequest_item *item)
{
	return item->delivery == SECRET_FILE ? is_file_name(item->name)
					     : is_variable_name(item->name);
}

/* The value of name in the environment, or NULL. */
static const char *lookup(const struct source_environ *environment, const char *name)
{
	size_t length = strlen(name);
	const char *at = environment->data;
	const char *end = at + environment->size;

	while (at < end) {
		const char *stop = memchr(at, '\0', (size_t)(end - at));
		if (!stop)
			return NULL;
		if ((size_t)(stop - at) > length && memcmp(at, name, length) == 0 &&
		    at[length] == '=')
			return at + length + 1;
		at = stop + 1;
	}
	return NULL;
}

/* Takes fd. Whatever is not a plain file could block, or give another value each time. */
static enum source_outcome take_file(int fd, const char *path, struct source *ret_source,
				     struct strbuf *why)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		int error = errno;
		strbuf_addf(why, "%s cannot be opened by uid %u: %s", path, (unsigned)geteuid(),
			    strerror(error));
		(void)fd_close(fd);
		return outcome_of(error);
	}
	if (!S_ISREG(st.st_mode)) {
		strbuf_addf(why, "%s is %s, and a file was expected", path,
			    S_ISDIR(st.st_mode) ? "a directory" : "no regular file");
		(void)fd_close(fd);
		return SOURCE_MALFORMED;
	}
	*ret_source = (struct source){.fd = fd};
	return SOURCE_OK;
}

/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

static enum source_outcome open_file(const struct source_environ *environment,
				     const struct secretrequest_item *item, const char *path,
				     struct source *ret_source, struct strbuf *why)
{
	(void)environment;
	if (path[0] != '/') {
		strbuf_adds(why, "file: wants an absolute path");
		return SOURCE_MALFORMED;
	}
	if (item->fd < 0)
		return take_file(open(path, OPEN_FLAGS), path, ret_source, why);
	enum source_outcome outcome = take_file(item->fd, path, ret_source, why);
	ret_source->is_borrowed = outcome == SOURCE_OK;
	return outcome;
}

static enum source_outcome open_variable(const struct source_environ *environment,
					 const struct secretrequest_item *item, const char *name,
					 struct source *ret_source, struct strbuf *why)
{
	(void)item;
	const char *value = lookup(environment, name);
	if (!value) {
		strbuf_addf(why, "the variable %s is not in the environment of holdfast", name);
		return SOURCE_NOT_FOUND;
	}
	*ret_source = (struct source){.fd = -EBADF, .text = value, .length = strlen(value)};
	return SOURCE_OK;
}

static enum source_outcome open_credential(const struct source_environ *environment,
					   const struct secretrequest_item *item, const char *name,
					   struct source *ret_source, struct strbuf *why)
{
	char path[PATH_MAX];
	struct strbuf text;

	(void)item;
	if (!is_file_name(name)) {
		strbuf_adds(why, "cred: wants the name of a credential, without a slash");
		return SOURCE_MALFORMED;
	}
	const char *directory = lookup(environment, "CREDENTIALS_DIRECTORY");
	if (!directory || directory[0] != '/') {
		strbuf_adds(why, "holdfast itself was given no credentials "
				 "($CREDENTIALS_DIRECTORY is not set)");
		return SOURCE_NOT_FOUND;
	}
	strbuf_init(&text, path, sizeof(path));
	strbuf_addf(&text, "%s/%s", directory, name);
	if (text.is_cut) {
		strbuf_adds(why, "the path of the credential is too long");
		return SOURCE_MALFORMED;
	}
	return take_file(open(path, OPEN_FLAGS), path, ret_source, why);
}

static const struct {
	const char *scheme;
	enum source_outcome (*open)(const struct source_environ *environment,
				    const struct secretrequest_item *item, const char *rest,
				    struct source *ret_source, struct strbuf *why);
} kinds[] = {
	{"file:", open_file},
	{"env:", open_variable},
	{"cred:", open_credential},
};

enum source_outcome source_open(const struct source_environ *environment,
				const struct secretrequest_item *item, struct source *ret_source,
				struct strbuf *why)
{
	*ret_source = (struct source){.fd = -EBADF};
	if (!source_name_fits(item)) {
		strbuf_adds(why, item->delivery == SECRET_FILE
					 ? "its name must be a file name without / and ="
					 : "its name must be a variable's: letters, digits and _");
		return SOURCE_MALFORMED;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (str_starts(item->reference, kinds[i].scheme))
			return kinds[i].open(environment, item,
					     item->reference + strlen(kinds[i].scheme), ret_source,
					     why);
	}
	strbuf_adds(why, "a reference starts with file:, env: or cred: in this version");
	return SOURCE_MALFORMED;
}

void source_close(struct source *source)
{
	if (!source->is_borrowed)
		(void)fd_close(source->fd);
	*source = (struct source){.fd = -EBADF};
}

/* pread: an inherited fd shares its offset with whoever read it before us. */
static ssize_t read_all(int fd, char *buffer, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, buffer + done, size - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static enum source_outcome check_variable(const struct secretrequest_item *item, const char *value,
					  size_t *length, struct strbuf *why)
{
	if (*length > 0 && value[*length - 1] == '\n')
		(*length)--;
	if (memchr(value, '\0', *length)) {
		strbuf_adds(why, "its value has a NUL in it, which no environment can hold: use "
				 "SecretFile=");
		return SOURCE_MALFORMED;
	}
	if (strlen(item->name) + 1 + *length + 1 > ENVIRONMENT_STRING_MAX) {
		strbuf_addf(why,
			    "its value of %zu bytes is too large for the environment (128 KiB "
			    "with its name): use SecretFile=",
			    *length);
		return SOURCE_MALFORMED;
	}
	return SOURCE_OK;
}

enum source_outcome source_read(struct source *source, const struct secretrequest_item *item,
				char *buffer, const char **ret_value, size_t *ret_length,
				struct strbuf *why)
{
	const char *value = source->text;
	size_t length = source->length;

	if (source->fd >= 0) {
		source->n_buffered = SECRETFILE_VALUE_MAX + 1;
		ssize_t n = read_all(source->fd, buffer, SECRETFILE_VALUE_MAX + 1);
		if (n < 0) {
			strbuf_addf(why, "it cannot be read: %s", strerror((int)-n));
			return outcome_of((int)-n);
		}
		source->n_buffered = length = (size_t)n;
		value = buffer;
	}
	if (length > SECRETFILE_VALUE_MAX) {
		strbuf_adds(why, "its value is larger than 1 MiB");
		return SOURCE_MALFORMED;
	}
	if (item->delivery == SECRET_ENVIRONMENT) {
		enum source_outcome outcome = check_variable(item, value, &length, why);
		if (outcome != SOURCE_OK)
			return outcome;
	}
	*ret_value = value;
	*ret_length = length;
	return SOURCE_OK;
}
