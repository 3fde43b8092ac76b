#include "secrets/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "secrets/secmem.h"

struct state remote_state;

/* The file as a text of at most max bytes; NULL when it has more, or cannot be read. */
static char *read_text(int fd, size_t max, size_t *ret_length)
{
	CLEANUP(secmem_freep) char *data = secmem_alloc(max + 2);

	if (!data || lseek(fd, 0, SEEK_SET) < 0)
		return NULL;
	ssize_t n = io_read_full(fd, data, max + 1);
	if (n < 0 || (size_t)n > max)
		return NULL;
	data[n] = '\0';
	char *result = data;
	data = NULL;
	*ret_length = (size_t)n;
	return result;
}

char *remote_read_file(const char *path, size_t max, size_t *ret_length, struct strbuf *why)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		strbuf_addf(why, "%s cannot be read by uid %u: %s", path, (unsigned)geteuid(),
			    strerror(errno));
		return NULL;
	}
	char *text = NULL;
	if (S_ISREG(st.st_mode)) {
		/* Room for what it has and no more: what is never used is wiped as well. It may have
		 * grown meanwhile, or be of a kind whose size is not said. */
		text = read_text(fd, MIN((size_t)st.st_size, max), ret_length);
		if (!text)
			text = read_text(fd, max, ret_length);
	}
	if (!text)
		strbuf_addf(why, "%s is no file of at most %zu bytes", path, max);
	return text;
}
