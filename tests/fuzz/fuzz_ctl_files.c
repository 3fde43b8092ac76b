/*
 * TESTS: tests/support/ctlsample.c tests/support/planbuild.c ctl/dump.c ctl/dump_instance.c ctl/dump_line.c ctl/secrets.c ctl/dump_log.c ctl/output.c ctl/view.c ctl/process.c lib/proc.c lib/protection.c lib/gateboard.c lib/scan.c ctl/time.c ctl/instance.c lib/plan.c lib/board.c lib/ring.c lib/sandbox.c lib/landlock.c lib/store.c lib/clock.c lib/str.c lib/json.c lib/io.c lib/fd.c lib/sys.c
 */
/*
 * Damaged public files: the input is a list of patches {file, offset, byte} on good ones. They are
 * refused when they are opened, or everything that is derived from them is.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/dump.h"
#include "ctl/output.h"
#include "ctl/verbs.h"
#include "ctl/view.h"
#include "lib/sys.h"
#include "tests/support/ctlsample.h"

#define PATCHED_MAX 16384 /* of each file: all of the plan and the board, the start of the ring */

static int files[3];
static unsigned char originals[3][PATCHED_MAX];
static size_t sizes[3];

/* holdfastctl's main.c, which has the only other main(). */
int ctl_usage(const char *format, ...)
{
	(void)format;
	return CTL_USAGE;
}

int ctl_fail(int status, const char *format, ...)
{
	(void)format;
	return status;
}

/* Of the system's parts none looks at these files but through functions that are tested here. */
void dump_mounts(const struct instance *instance)
{
	(void)instance;
}
void dump_processes(const struct instance *instance)
{
	(void)instance;
}
void dump_cgroups(const struct instance *instance)
{
	(void)instance;
}
void dump_scratch(const struct instance *instance)
{
	(void)instance;
}
void dump_kernel(uint64_t bytes)
{
	(void)bytes;
}
void dump_pressure(void)
{
}

static void make_files(void)
{
	struct ring ring;
	void *block;
	size_t size;

	for (int i = 0; i < 3; i++)
		files[i] = sys_memfd_create("file", MFD_CLOEXEC);
	ctlsample_plan(&block, &size);
	if (write(files[0], block, size) != (ssize_t)size ||
	    board_format(files[1], SAMPLE_COUNT, SAMPLE_SECRETS) < 0 ||
	    ring_format(files[2], 65536) < 0 || ring_map(files[2], true, &ring) < 0)
		abort();
	free(block);
	for (uint32_t i = 0; i < 40; i++) {
		struct ring_entry entry = {.length = 20, .unit = i % 7, .flags = i % 8};
		ring_append(&ring, &entry, "{\"event\":\"x\",\"b\":1}.");
	}
	for (int i = 0; i < 3; i++) {
		struct stat st;
		(void)fstat(files[i], &st);
		sizes[i] = (size_t)st.st_size < PATCHED_MAX ? (size_t)st.st_size : PATCHED_MAX;
		if (pread(files[i], originals[i], sizes[i], 0) != (ssize_t)sizes[i])
			abort();
	}
}

static void patch(const uint8_t *data, size_t size)
{
	for (; size >= 4; data += 4, size -= 4) {
		int file = data[0] % 3;
		size_t at = (size_t)(data[1] << 8 | data[2]) % sizes[file];
		(void)!pwrite(files[file], data + 3, 1, (off_t)at);
	}
}

static void derive(const struct instance *instance)
{
	char text[512];
	struct strbuf buf;

	for (uint32_t i = 0; i < instance->board.n_units; i++) {
		struct view view;
		view_read(instance, i, &view);
		strbuf_init(&buf, text, sizeof(text));
		view_last_exit(&view, &buf);
		view_why(instance, &view, &buf);
		view_text(instance, &view, &buf);
	}
	dump_cause(instance);
	dump_image(instance);
	dump_config(instance);
	dump_protections(instance, false);
	dump_protections(instance, true);
	dump_units(instance, false);
	dump_units(instance, true);
	dump_secrets(instance);
	dump_log(instance, 0, UINT64_MAX);
	dump_log(instance, 0, 4096);
	(void)output_flush();
}

static void unmap(const struct instance *instance)
{
	struct stat st;

	(void)munmap((void *)(uintptr_t)instance->plan.base, instance->plan.header->size);
	(void)fstat(files[1], &st);
	(void)munmap(instance->board.header, (size_t)st.st_size);
	if (instance->ring.header)
		(void)munmap(instance->ring.header,
			     instance->ring.header->header_size + 2 * instance->ring.size);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	make_files();
	return dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO) < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct instance instance = {0};

	for (int i = 0; i < 3; i++)
		(void)!pwrite(files[i], originals[i], sizes[i], 0);
	patch(data, size);
	if (instance_map(files[0], files[1], files[2], &instance) == 0) {
		derive(&instance);
		unmap(&instance);
	}
	return 0;
}
