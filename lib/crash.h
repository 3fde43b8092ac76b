#pragma once
/*
 * Named places where a test can kill a process of ours: nothing in every build but the crash
 * flavour. HOLDFAST_CRASH=name:n:marker kills at the n-th passing of name, once: whoever creates
 * marker first. With + before marker the process is stopped there instead, so that a test can do
 * what is to happen at that moment, and then kill it or let it go on. PID 1 hands that one variable
 * on to its children in that flavour.
 */
#ifdef HOLDFAST_CRASH_POINTS
#include <stdbool.h>

void crash_point(const char *name);
#define CRASH_POINT(name) crash_point(name)
/* One is wanted in this process: it has to be able to make its file. */
bool crash_is_wanted(void);
#define CRASH_IS_WANTED() crash_is_wanted()
#else
#define CRASH_POINT(name) ((void)0)
#define CRASH_IS_WANTED() false
#endif
