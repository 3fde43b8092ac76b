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

char *remote_read_file(const char *path, size_t max, size_t *ret_length, struct strbuf *why)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		strbuf_addf(why, "%s cannot be read by uid %u: %s", path, (unsigned)geteuid(),
			    strerror(errno));
		return NULL;
	}
	CLEANUP(secmem_freep) char *data = secmem_alloc(max + 2);
	ssize_t n = S_ISREG(st.st_mode) && data ? io_read_full(fd, data, max + 1) : -EINVAL;
	if (n < 0 || (size_t)n > max) {
		strbuf_addf(why, "%s is no file of at most %zu bytes", path, max);
		return NULL;
	}
	data[n] = '\0';
	char *result = data;
	data = NULL;
	*ret_length = (size_t)n;
	return result;
}
