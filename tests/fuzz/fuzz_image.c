/* TESTS: tools/image.c tools/unpack.c tools/oci.c tools/lint.c tools/lint_files.c tools/lint_secrets.c units/shells.c lib/walk.c lib/io.c lib/str.c lib/fd.c lib/sys.c */
/* LDFLAGS: -larchive -lcjson */
/* An archive from anywhere, as holdfast-check --root takes it: unpacked, read as a layout where it is
 * one, and linted. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "tools/image.h"
#include "tools/lint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void finish_lint(struct lint **lint)
{
	lint_free(*lint);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const allowed[] = {"shell:/usr/*", NULL};
	int fd = memfd_create("image", MFD_CLOEXEC);
	CLEANUP(image_closep) struct image *image = NULL;
	CLEANUP(finish_lint) struct lint *lint = lint_create(allowed);
	char path[64], text[4096];
	struct strbuf message;

	if (fd < 0 || !lint || io_write_all(fd, data, size) < 0)
		abort();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	strbuf_init(&message, text, sizeof(text));
	struct image_visitor visitor = lint_visitor(lint);
	int r = image_open(path, &visitor, &message, &image);
	/* Whoever asked hears why, and who was answered hears all. */
	if (r < 0 && message.length == 0)
		abort();
	if (r == 0 && lint_finish(lint, image) < 0)
		abort();
	(void)close(fd);
	return 0;
}
