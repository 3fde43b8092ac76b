#pragma once
/*
 * Where one absolute path lies to another, by their text alone: without "." and "..", without doubled
 * slashes and without one at the end, as those who call have them already.
 */
#include <stdbool.h>

/* The path is top, or lies below it; "/" holds every one. */
bool path_is_within(const char *path, const char *top);

/* The same without top itself. */
bool path_is_below(const char *path, const char *top);
