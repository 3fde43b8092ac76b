#pragma once
/*
 * Directives: what a key means, as a row of a table. A row names the function that reads the value
 * and where it goes; a key that has no function is known, and the row says why it is passed over.
 */
#include <stddef.h>
#include <stdint.h>

#include "units/lex.h"
#include "units/specifier.h"
#include "units/unit.h"

struct parse;

struct directive {
	const char *section, *key;
	void (*parse)(const struct parse *parse, void *target);
	size_t offset;	   /* of the target in the object that is read */
	uint32_t argument; /* for parse: a flag, a phase, a relation, … */
	const void *data;  /* for parse: names of an enum, … */
};

/* One assignment about to be read. */
struct parse {
	struct units *units;
	struct unit *unit; /* NULL: holdfast.conf */
	const struct directive *directive;
	const struct lex_item *item;
	const char *value;
	struct specifier_context specifiers;
};

/* Messages about the value; offset: where in it. "Key=: " is put before. */
void parse_error(const struct parse *parse, size_t offset, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void parse_warning(const struct parse *parse, size_t offset, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Specifiers replaced, or NULL after an error was said. */
char *parse_expand(const struct parse *parse, const char *text, size_t offset);

/* The next word of the value, specifiers replaced; NULL at the end, or after an error was said. */
char *parse_word(const struct parse *parse, const char **at, unsigned flags, size_t *ret_offset);

/* A path that starts with / (and with ~ or another prefix nowhere), or NULL after an error. */
char *parse_absolute(const struct parse *parse, const char *text, size_t offset);

/* Readers of values; target's type behind each. */
void parse_text(const struct parse *parse, void *target);    /* const char * */
void parse_setting(const struct parse *parse, void *target); /* struct setting */
void parse_path(const struct parse *parse, void *target);    /* struct setting, absolute */
void parse_list(const struct parse *parse, void *target);    /* struct settings; words */
void parse_flag(const struct parse *parse, void *target);    /* uint32_t; argument: the bit */
void parse_answer(const struct parse *parse, void *target);  /* int: enum answer */
void parse_span(const struct parse *parse, void *target);    /* uint64_t, µs */
/* The same; 0 means none, as for all of systemd's timeouts. argument: offset of a bool to set. */
void parse_timeout(const struct parse *parse, void *target); /* uint64_t, µs */
void parse_size(const struct parse *parse, void *target);    /* uint64_t, bytes */
void parse_number(const struct parse *parse, void *target);  /* uint32_t; argument: the least */
void parse_mode(const struct parse *parse, void *target);    /* uint32_t */
void parse_signal(const struct parse *parse, void *target);  /* uint32_t */
void parse_enum(const struct parse *parse,
		void *target); /* uint32_t; data: names, argument: count */

/* Finds the row; NULL. */
const struct directive *directive_find(const struct directive *table, size_t count,
				       const char *section, const char *key);
