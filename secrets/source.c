#include "secrets/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/secretfile.h"
#include "secrets/run.h"

/* One value, and a byte more so that one that is too long is seen. */
#define BUFFER_SIZE (SECRETFILE_VALUE_MAX + 1)

/* One that was opened. Its value is read from fd, or stands in the environment at text. */
struct source {
	int fd;		  /* owned unless is_borrowed; -EBADF: none */
	bool is_borrowed; /* fd was inherited and is PID 1's */
	const char *text;
	size_t length;
};

static char *buffer;

static enum secret_outcome outcome_of(int error)
{
	static const struct {
		int error;
		enum secret_outcome outcome;
	} outcomes[] = {
		{ENOENT, SECRET_NOT_FOUND}, {ENOTDIR, SECRET_NOT_FOUND},
		{EACCES, SECRET_DENIED},    {EPERM, SECRET_DENIED},
		{ELOOP, SECRET_MALFORMED},  {ENAMETOOLONG, SECRET_MALFORMED},
	};

	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		if (outcomes[i].error == error)
			return outcomes[i].outcome;
	}
	return SECRET_FAILED;
}

static bool is_file_name(const char *name)
{
	return name[0] != '\0' && !strchr(name, '/') && !str_equal(name, ".") &&
	       !str_equal(name, "..");
}

/* Takes fd. Whatever is not a plain file could block, or give another value each time. */
static enum secret_outcome take_file(int fd, const char *path, struct source *ret_source,
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
		return SECRET_MALFORMED;
	}
	*ret_source = (struct source){.fd = fd};
	return SECRET_OK;
}

/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/* What was opened at boot stays open: it is read again at each fetch. */
static enum secret_outcome borrow(int fd, const char *name, struct source *ret_source,
				  struct strbuf *why)
{
	enum secret_outcome outcome = take_file(fd, name, ret_source, why);

	ret_source->is_borrowed = outcome == SECRET_OK;
	return outcome;
}

static enum secret_outcome open_file(struct run *run, const struct secretrequest_item *item,
				     const char *path, struct source *ret_source,
				     struct strbuf *why)
{
	(void)run;
	if (path[0] != '/') {
		strbuf_adds(why, "file: wants an absolute path");
		return SECRET_MALFORMED;
	}
	if (item->fd < 0)
		return take_file(open(path, OPEN_FLAGS), path, ret_source, why);
	return borrow(item->fd, path, ret_source, why);
}

static enum secret_outcome open_variable(struct run *run, const struct secretrequest_item *item,
					 const char *name, struct source *ret_source,
					 struct strbuf *why)
{
	(void)item;
	const char *value = run_variable(run, name);
	if (!value) {
		strbuf_addf(why, "the variable %s is not in the environment of holdfast", name);
		return SECRET_NOT_FOUND;
	}
	*ret_source = (struct source){.fd = -EBADF, .text = value, .length = strlen(value)};
	return SECRET_OK;
}

static enum secret_outcome open_credential(struct run *run, const struct secretrequest_item *item,
					   const char *name, struct source *ret_source,
					   struct strbuf *why)
{
	char path[PATH_MAX];
	struct strbuf text;

	if (item->fd >= 0)
		return borrow(item->fd, name, ret_source, why);
	if (!is_file_name(name)) {
		strbuf_adds(why, "cred: wants the name of a credential, without a slash");
		return SECRET_MALFORMED;
	}
	const char *directory = run_variable(run, "CREDENTIALS_DIRECTORY");
	if (!directory || directory[0] != '/') {
		strbuf_adds(why, "holdfast itself was given no credentials "
				 "($CREDENTIALS_DIRECTORY is not set)");
		return SECRET_NOT_FOUND;
	}
	strbuf_init(&text, path, sizeof(path));
	strbuf_addf(&text, "%s/%s", directory, name);
	if (text.is_cut) {
		strbuf_adds(why, "the path of the credential is too long");
		return SECRET_MALFORMED;
	}
	return take_file(open(path, OPEN_FLAGS), path, ret_source, why);
}

static const struct {
	const char *scheme;
	enum secret_outcome (*open)(struct run *run, const struct secretrequest_item *item,
				    const char *rest, struct source *ret_source,
				    struct strbuf *why);
} kinds[] = {
	{"file:", open_file},
	{"env:", open_variable},
	{"cred:", open_credential},
};

static enum secret_outcome open_kind(struct run *run, struct secret *secret, const char *rest,
				     struct source *ret_source, struct strbuf *why)
{
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
		if (str_starts(secret->item.reference, kinds[i].scheme))
			return kinds[i].open(run, &secret->item, rest, ret_source, why);
	}
	return SECRET_FAILED;
}

static enum secret_outcome source_open(struct run *run, struct secret *secret, const char *rest,
				       struct strbuf *why)
{
	struct source source = {.fd = -EBADF};

	if (secret->item.flags & SECRET_IS_PATH) {
		strbuf_adds(why, "a SecretPath= is one of ssm: or vault:");
		return SECRET_MALFORMED;
	}
	enum secret_outcome outcome = open_kind(run, secret, rest, &source, why);
	if (outcome != SECRET_OK)
		return outcome;
	struct source *mine = malloc(sizeof(*mine));
	if (!mine) {
		strbuf_adds(why, "out of memory");
		return SECRET_FAILED;
	}
	*mine = source;
	secret->mine = mine;
	return SECRET_OK;
}

static void source_close(struct secret *secret)
{
	struct source *source = secret->mine;

	if (!source)
		return;
	if (!source->is_borrowed)
		(void)fd_close(source->fd);
	secret->mine = NULL;
	free(source);
}

static void source_prepare(struct run *run)
{
	buffer =
		mmap(NULL, BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED)
		run_fail_all(run, &source_provider, SECRET_FAILED, "no memory for a value");
}

/* pread: an inherited fd shares its offset with whoever read it before us. */
static ssize_t read_all(int fd, char *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, to + done, size - done, (off_t)done);
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

static void fetch_one(struct run *run, struct secret *secret, const struct source *source)
{
	if (source->fd < 0) {
		run_give(run, secret, source->text, source->length, NULL);
		return;
	}
	ssize_t n = read_all(source->fd, buffer, BUFFER_SIZE);
	if (n < 0)
		run_fail(run, secret, outcome_of((int)-n), "it cannot be read: %s",
			 strerror((int)-n));
	else
		run_give(run, secret, buffer, (size_t)n, NULL);
	explicit_bzero(buffer, n < 0 ? BUFFER_SIZE : (size_t)n);
}

static void source_fetch(struct run *run)
{
	struct secret *secret;
	uint32_t cursor = 0;

	while ((secret = run_next(run, &source_provider, &cursor)))
		fetch_one(run, secret, secret->mine);
}

static const char *const schemes[] = {"file:", "env:", "cred:", NULL};

const struct provider source_provider = {
	.schemes = schemes,
	.open = source_open,
	.prepare = source_prepare,
	.fetch = source_fetch,
	.close = source_close,
};
