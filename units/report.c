#include "units/report.h"

static void add(struct report *report, const struct where *at, struct diag diag)
{
	struct diag_list *list = &report->list;

	if (diag.level == DIAG_ERROR)
		list->n_errors++;
	if (list->count == REPORT_MAX) {
		report->n_left_out++;
		return;
	}
	diag.file = at->file && *at->file ? at->file : NULL;
	diag.line = at->line;
	diag.column = at->column;
	list->items = arena_grow(report->arena, list->items, list->count, &list->capacity,
				 sizeof(*list->items));
	list->items[list->count++] = diag;
}

#define ADD(diag_level, unknown, exit_status)                                     \
	do {                                                                      \
		va_list args;                                                     \
		va_start(args, format);                                           \
		const char *message = arena_vprintf(report->arena, format, args); \
		va_end(args);                                                     \
		add(report, at,                                                   \
		    (struct diag){.level = (diag_level),                          \
				  .is_unknown = (unknown),                        \
				  .message = message,                             \
				  .status = (exit_status)});                      \
	} while (0)

void report_error(struct report *report, const struct where *at, const char *format, ...)
{
	ADD(DIAG_ERROR, false, EX_CONFIG);
}

void report_failure(struct report *report, const struct where *at, int status, const char *format,
		    ...)
{
	ADD(DIAG_ERROR, false, status);
}

void report_absence(struct report *report, const struct where *at, int status, const char *format,
		    ...)
{
	if (report->is_skipped)
		return;
	ADD(report->is_offline ? DIAG_WARNING : DIAG_ERROR, false, status);
}

void report_warning(struct report *report, const struct where *at, const char *format, ...)
{
	ADD(DIAG_WARNING, false, EX_CONFIG);
}

void report_unknown(struct report *report, const struct where *at, const char *format, ...)
{
	ADD(DIAG_WARNING, true, EX_CONFIG);
}
