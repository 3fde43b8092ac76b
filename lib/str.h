#pragma once
/*
 * Text in memory that somebody else owns: a builder that never allocates and never overruns, and
 * numbers with bounds. A builder that ran full remembers it; the text is then cut, still NUL-ended.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf {
	char *data; /* borrowed, size bytes */
	size_t size;
	size_t length; /* without the NUL */
	bool is_cut;
};

void strbuf_init(struct strbuf *buf, char *data, size_t size);
void strbuf_reset(struct strbuf *buf);
void strbuf_add(struct strbuf *buf, const void *data, size_t length);
void strbuf_adds(struct strbuf *buf, const char *text);
void strbuf_addc(struct strbuf *buf, char c);
void strbuf_addf(struct strbuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vaddf(struct strbuf *buf, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Decimal digits alone (no sign, no space) from text up to its NUL. 0, -EINVAL or -ERANGE. */
int str_parse_u64(const char *text, uint64_t max, uint64_t *ret_value);

/* 1 yes y true t on, 0 no n false f off, in any case, as systemd has them. The one reader of such
 * words: what the loader takes for yes a helper must not take for no. 0 or -EINVAL. */
int str_parse_bool(const char *text, bool *ret_value);

bool str_equal(const char *a, const char *b);
bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);
bool str_is_one_of(const char *text, const char *const *list, size_t count);

/* What stands behind the last slash of path: all of it where there is none. Borrowed from it. */
const char *str_base_name(const char *path);

/* Copies and always ends with NUL; false when it was cut. */
bool str_copy(char *to, size_t size, const char *from);
