#pragma once
/*
 * Makes a compiled filter shorter. The kernel compiles it for each process that installs it, which costs by
 * the instruction; libseccomp looks at the upper half of an argument that is masked to nothing, and asks
 * for each flag of a set by itself.
 */
#include <stddef.h>

#include <linux/filter.h>

/* In place, count instructions; their number afterwards. What it returns for any call is the same. */
size_t shorten_filter(struct sock_filter *filter, size_t count);

/* Whether both return the same for calls of each number on the architectures (0 ends them) with arguments
 * that differ in each bit and by each constant of theirs. */
int shorten_is_same(const struct sock_filter *one, size_t n_one, const struct sock_filter *other,
		    size_t n_other, const unsigned *architectures);
