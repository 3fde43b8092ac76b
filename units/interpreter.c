#include "units/interpreter.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/elf.h"

#define SCRIPT_LINE  256 /* BINPRM_BUF_SIZE of the kernel */
#define SEGMENTS_MAX 128
#define PATH_SIZE    1024

struct program {
	struct source *source;
	const char *path;
};

static ssize_t peek(void *from, void *data, size_t size, uint64_t offset)
{
	const struct program *program = from;

	return source_peek(program->source, program->path, offset, data, size);
}

static void take_script(struct arena *arena, const void *head, size_t size,
			struct interpreter *interpreter)
{
	static const char blanks[] = " \t";
	char *line = arena_copy(arena, head, MIN(size, (size_t)SCRIPT_LINE));

	line[strcspn(line, "\n")] = '\0';
	char *word = line + 2 + strspn(line + 2, blanks);
	size_t length = strcspn(word, blanks);
	char *rest = word + length + strspn(word + length, blanks);
	size_t end = strlen(rest);
	while (end > 0 && strchr(blanks, rest[end - 1]))
		end--;
	if (length == 0)
		return;
	interpreter->path = arena_copy(arena, word, length);
	interpreter->argument = end > 0 ? arena_copy(arena, rest, end) : NULL;
}

static void take_loader(struct arena *arena, struct elf *elf, const struct elf_segment *segment,
			struct interpreter *interpreter)
{
	char path[PATH_SIZE];

	if (segment->size >= 2 && segment->size <= sizeof(path) &&
	    elf_read_at(elf, path, segment->size, segment->offset) == 0 &&
	    path[segment->size - 1] == '\0')
		interpreter->path = arena_string(arena, path);
}

static void find_loader(struct arena *arena, struct elf *elf, struct interpreter *interpreter)
{
	struct elf_segment segment;

	for (unsigned i = 0; i < elf->n_segments && elf_segment(elf, i, &segment) == 0; i++) {
		if (segment.type != PT_INTERP)
			continue;
		take_loader(arena, elf, &segment, interpreter);
		return;
	}
}

int interpreter_find(struct source *source, const char *path, struct interpreter *ret_interpreter)
{
	struct program program = {source, path};
	struct interpreter found = {0};
	struct elf elf;

	int r = elf_open(&elf, peek, &program);
	if (r < 0 && r != -ENOEXEC)
		return r;
	if (r == 0 && elf.n_segments <= SEGMENTS_MAX)
		find_loader(source->arena, &elf, &found);
	else if (elf.window_length >= 2 && memcmp(elf.window, "#!", 2) == 0)
		take_script(source->arena, elf.window, elf.window_length, &found);
	*ret_interpreter = found;
	return 0;
}
