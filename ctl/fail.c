#include <stdarg.h>
#include <stdio.h>

#include "ctl/verbs.h"

int ctl_fail(int status, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)fprintf(stderr, "holdfastctl: %s\n", text);
	return status;
}

int ctl_usage(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return ctl_fail(CTL_USAGE, "%s", text);
}
