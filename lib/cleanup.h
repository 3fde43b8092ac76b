#pragma once
/*
 * Owners that let go by themselves: CLEANUP(fd_closep) int fd = -EBADF;
 */
#define CLEANUP(function)  __attribute__((cleanup(function)))
#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
