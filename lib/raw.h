#pragma once
/*
 * System calls that return -errno and leave errno alone: for a child that runs in our memory, and
 * with our thread pointer, while we go on. What it writes to errno we could read as ours.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)

static inline long raw_call(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

#elif defined(__aarch64__)

static inline long raw_call(long number, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
			 : "memory");
	return x0;
}

#else /* no child shares our memory there (CLONE_CAN_SHARE) */

static inline long raw_call(long number, long a, long b, long c, long d, long e)
{
	long result = syscall(number, a, b, c, d, e);

	return result < 0 ? -errno : result;
}

#endif

/* As int: 0 and more, or -errno. */
#define RAW_POINTER(pointer) ((long)(uintptr_t)(pointer))
#define RAW(number, a, b, c, d) \
	((int)raw_call(number, (long)(a), (long)(b), (long)(c), (long)(d), 0))
#define RAW1(call, a)	       RAW(SYS_##call, a, 0, 0, 0)
#define RAW2(call, a, b)       RAW(SYS_##call, a, b, 0, 0)
#define RAW3(call, a, b, c)    RAW(SYS_##call, a, b, c, 0)
#define RAW4(call, a, b, c, d) RAW(SYS_##call, a, b, c, d)
