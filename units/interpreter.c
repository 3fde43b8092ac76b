#include "units/interpreter.h"

#include <elf.h>
#include <endian.h>
#include <string.h>

#include "lib/cleanup.h"

#define HEAD_SIZE    4096
#define SCRIPT_LINE  256 /* BINPRM_BUF_SIZE of the kernel */
#define SEGMENTS_MAX 128
#define PATH_SIZE    1024

struct head {
	struct source *source;
	const char *path;
	char data[HEAD_SIZE];
	size_t size;
};

/* size bytes of the file from offset on, or false. */
static bool read_at(struct head *head, uint64_t offset, void *buffer, size_t size)
{
	if (offset <= head->size && size <= head->size - offset) {
		memcpy(buffer, head->data + offset, size);
		return true;
	}
	return offset <= INT64_MAX - size &&
	       source_peek(head->source, head->path, offset, buffer, size) == (ssize_t)size;
}

static void take_script(struct head *head, struct interpreter *interpreter)
{
	static const char blanks[] = " \t";
	struct arena *arena = head->source->arena;
	char *line = arena_copy(arena, head->data, MIN(head->size, (size_t)SCRIPT_LINE));

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

static void take_loader(struct head *head, uint64_t offset, uint64_t size,
			struct interpreter *interpreter)
{
	char path[PATH_SIZE];

	if (size < 2 || size > sizeof(path) || !read_at(head, offset, path, size) ||
	    path[size - 1] != '\0')
		return;
	interpreter->path = arena_string(head->source->arena, path);
}

/* One of these for each class of ELF files: the fields have the same names and other sizes. */
#define FIND_LOADER(bits)                                                                   \
	static void find_loader_##bits(struct head *head, struct interpreter *interpreter)  \
	{                                                                                   \
		Elf##bits##_Ehdr header;                                                    \
		Elf##bits##_Phdr segment;                                                   \
                                                                                            \
		if (!read_at(head, 0, &header, sizeof(header)) ||                           \
		    header.e_phentsize != sizeof(segment) || header.e_phnum > SEGMENTS_MAX) \
			return;                                                             \
		for (unsigned i = 0; i < header.e_phnum; i++) {                             \
			uint64_t offset;                                                    \
			if (__builtin_add_overflow(header.e_phoff, i * sizeof(segment),     \
						   &offset) ||                              \
			    !read_at(head, offset, &segment, sizeof(segment)))              \
				return;                                                     \
			if (segment.p_type != PT_INTERP)                                    \
				continue;                                                   \
			take_loader(head, segment.p_offset, segment.p_filesz, interpreter); \
			return;                                                             \
		}                                                                           \
	}
FIND_LOADER(32)
FIND_LOADER(64)

int interpreter_find(struct source *source, const char *path, struct interpreter *ret_interpreter)
{
	static const unsigned char order =
		__BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB;
	struct head head = {.source = source, .path = path};
	struct interpreter found = {0};

	ssize_t n = source_peek(source, path, 0, head.data, sizeof(head.data));
	if (n < 0)
		return (int)n;
	head.size = (size_t)n;
	if (n >= 2 && memcmp(head.data, "#!", 2) == 0)
		take_script(&head, &found);
	else if (n >= EI_NIDENT && memcmp(head.data, ELFMAG, SELFMAG) == 0 &&
		 (unsigned char)head.data[EI_DATA] == order)
		(head.data[EI_CLASS] == ELFCLASS64 ? find_loader_64 : find_loader_32)(&head,
										      &found);
	*ret_interpreter = found;
	return 0;
}
