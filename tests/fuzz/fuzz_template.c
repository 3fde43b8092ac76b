/* TESTS: lib/template.c lib/json.c lib/str.c lib/clock.c units/environment.c units/arena.c */
/*
 * Any text as a template, with any value. Its first byte chooses the kind of file, the second how much
 * of the rest is the value. A refusal has a place inside the text and a sentence; a value that was
 * taken comes back from an environment file as it was, and never leaves its string in JSON.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/template.h"
#include "units/environment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUTPUT_MAX 65536

static const char *const paths[] = {"a.json", "a.env", "a.ini", "a.yaml", "a.txt"};

struct run {
	struct template_value value;
	size_t length;
	char output[OUTPUT_MAX + 1];
};

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static int find(void *context, const char *name, struct template_value *ret_value)
{
	struct run *run = context;

	demand(strlen(name) > 0 && strlen(name) <= TEMPLATE_NAME_MAX);
	if (*name == 'N')
		return -ENOENT;
	*ret_value = run->value;
	return 1;
}

static int take(void *context, const char *bytes, size_t n)
{
	struct run *run = context;

	if (n > OUTPUT_MAX - run->length)
		return -ENOSPC;
	memcpy(run->output + run->length, bytes, n);
	run->length += n;
	return 0;
}

static int render(struct run *run, const char *path, const char *text, size_t size)
{
	struct template_fault fault;
	struct template_request request = {
		.text = text,
		.size = size,
		.format = template_format_of(path),
		.is_json = template_is_json(path),
		.find = find,
		.write = take,
		.context = run,
	};

	run->length = 0;
	int r = template_render(&request, &fault);
	demand(r == 0 || r == -EINVAL || r == -ENOSPC);
	if (r == -EINVAL)
		demand(fault.line > 0 && fault.column > 0 && *fault.message);
	run->output[run->length] = '\0';
	return r;
}

static void complain(void *context, unsigned line, const char *message)
{
	(void)context;
	(void)line;
	(void)message;
	abort();
}

static void check_env(struct run *run, const char *text)
{
	struct strings variables = {0};
	struct arena arena;

	if (render(run, "a.env", text, strlen(text)) < 0)
		return;
	demand(!memchr(run->output, '\0', run->length));
	arena_init(&arena, 4U << 20);
	if (setjmp(arena.on_failure))
		abort();
	environment_read(&arena, run->output, &variables, complain, NULL);
	const char *value = environment_get(&variables, "A", 1);
	demand(variables.count == 2 && value && strlen(value) == run->value.length &&
	       memcmp(value, run->value.data, run->value.length) == 0);
	arena_finish(&arena);
}

static void check_json(struct run *run)
{
	static const char text[] = "\"{{ X }}\"";

	if (render(run, "a.json", text, strlen(text)) < 0)
		return;
	demand(run->length >= 2 && run->output[run->length - 1] == '"');
	for (size_t i = 1; i + 1 < run->length; i++) {
		demand((unsigned char)run->output[i] >= 0x20 && run->output[i] != '"');
		if (run->output[i] == '\\')
			demand(++i + 1 < run->length);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run run;

	if (size < 2 || size > 4096)
		return 0;
	const char *rest = (const char *)data + 2;
	size_t length = data[1] < size - 2 ? data[1] : size - 2;
	run.value = (struct template_value){rest, length};
	(void)render(&run, paths[data[0] % ARRAY_COUNT(paths)], rest + length, size - 2 - length);
	check_env(&run, "A={{ X }}\nB=1\n");
	check_env(&run, "A=\"{{ X }}\"\nB=1\n");
	check_env(&run, "A='{{ X }}'\nB=1\n");
	check_json(&run);
	return 0;
}
