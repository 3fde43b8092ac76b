#pragma once
/* What /proc and the cgroup tree tell of a process, as far as the caller may see it. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/proc.h"

struct process {
	struct proc_stat stat;
	uint32_t uid;
	uint64_t cpu_us;   /* user and system */
	uint64_t resident; /* bytes */
};

/* 0 or -errno, as proc_read_stat. */
int process_read(int32_t pid, struct process *ret_process);

/* The directory of its cgroup2 cgroup, as seen from here. 0 or -errno. */
int process_cgroup(int32_t pid, char *path, size_t size);

/* A number from a file of that directory; "max" is UINT64_MAX. 0 or -errno. */
int cgroup_number(const char *path, const char *file, uint64_t *ret_value);
