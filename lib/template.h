#pragma once
/*
 * Configuration files with places to be filled in: text of the image in which {{ NAME }} stands for
 * a value. Pure: what a name stands for, and where the result goes, are the caller's callbacks, and
 * nothing is allocated. Boot and holdfast-check walk a template for its mistakes, the child side of
 * a unit renders it.
 *
 *   {{ NAME }}            escaped as the file's format asks for
 *   {{ NAME | FILTER }}   raw, json, ini, env or number
 *   {{{{                  two braces as they are
 *
 * A place ends on the line on which it began. Nothing of a value is ever read as a template.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEMPLATE_NAME_MAX   255
#define TEMPLATE_SOURCE_MAX (1U << 20) /* bytes of a file */
#define TEMPLATE_OUTPUT_MAX (8U << 20) /* bytes of what comes of it */

/* What a value becomes. */
enum template_format {
	TEMPLATE_UNKNOWN, /* of a file: each place has to name its filter */
	TEMPLATE_RAW,	  /* as it is */
	TEMPLATE_JSON,	  /* the inside of a string in double quotes: JSON, YAML, TOML */
	TEMPLATE_INI,	  /* as it is, if that is one line that no reader cuts */
	TEMPLATE_ENV,	  /* as EnvironmentFile= reads it, in quotes and without */
	TEMPLATE_NUMBER,  /* a number, true or false, as JSON has them */
	TEMPLATE_FORMAT_COUNT
};
extern const char *const template_format_names[TEMPLATE_FORMAT_COUNT];

/* What the name of a file says of its format: its ending, behind ".in", ".tmpl", ".tpl" or
 * ".template" where it ends so. */
enum template_format template_format_of(const char *path);
/* The filter of that name, or TEMPLATE_UNKNOWN. */
enum template_format template_format_find(const char *name, size_t length);
/* Whether the format is that of a file whose places can be told to stand within quotes or not. */
bool template_is_json(const char *path);

struct template_value {
	const char *data;
	size_t length;
};

struct template_request {
	const char *text;
	size_t size;
	enum template_format format; /* of places without a filter */
	bool is_json;		     /* those have to stand within double quotes */
	/* The value of a name (NUL-ended): 1, 0 when it is known and has none (empty then), or
	 * -ENOENT when there is no such name. Other errors end the rendering. */
	int (*find)(void *context, const char *name, struct template_value *ret_value);
	/* Takes the next bytes: 0 or -errno, which ends the rendering. NULL: nothing is written and
	 * no value looked at; the mistakes of the template alone are found. */
	int (*write)(void *context, const char *bytes, size_t length);
	void *context;
};

/* What is wrong, and where: line and column (bytes) from 1. */
struct template_fault {
	uint32_t line, column;
	char name[TEMPLATE_NAME_MAX + 1]; /* empty: no name could be read */
	const char *message;		  /* static text that says what was expected */
};

/* 0; -EINVAL with *ret_fault filled in; -E2BIG when the result is too long; or what a callback
 * returned. */
int template_render(const struct template_request *request, struct template_fault *ret_fault);
