/*
 * The instructions of a filter as a graph: each has the index of its successors, so that it can be passed
 * over by whoever led to it, and what nobody leads to is left out at the end. Their order stays, as jumps
 * lead forward alone.
 *
 * A step may change what the accumulator holds afterwards. So it is taken only where what follows loads it
 * anew or returns.
 */
#include "tools/shorten.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/seccomp.h>

#define NODES_MAX 4096 /* BPF_MAXINSNS */

#define LOAD	   (BPF_LD | BPF_W | BPF_ABS)
#define AND	   (BPF_ALU | BPF_AND | BPF_K)
#define JUMP(what) (BPF_JMP | (what) | BPF_K)
#define RETURN	   (BPF_RET | BPF_K)

struct node {
	size_t yes, no; /* of what jumps; else both are what comes next */
	uint32_t k;
	uint16_t code;
	bool is_reached;
};

static struct node nodes[NODES_MAX];

static bool is_jump(const struct node *node)
{
	return BPF_CLASS(node->code) == BPF_JMP;
}

static void read_all(const struct sock_filter *filter, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct sock_filter *at = &filter[i];
		nodes[i] = (struct node){i + 1, i + 1, at->k, at->code, false};
		if (at->code == (BPF_JMP | BPF_JA))
			nodes[i].yes = nodes[i].no = i + 1 + at->k;
		else if (is_jump(&nodes[i])) {
			nodes[i].yes += at->jt;
			nodes[i].no += at->jf;
		}
	}
}

/* Whatever the accumulator holds there is of no use. */
static bool is_afresh(size_t at)
{
	return nodes[at].code == LOAD || nodes[at].code == RETURN;
}

static bool is_alike(size_t one, size_t other)
{
	return one == other || (nodes[one].code == RETURN && nodes[other].code == RETURN &&
				nodes[one].k == nodes[other].k);
}

/* A load, a mask, and a comparison with k of what is left; NULL: it is something else. */
static const struct node *masked_test(size_t load)
{
	const struct node *mask = &nodes[nodes[load].yes];

	if (nodes[load].code != LOAD || mask->code != AND)
		return NULL;
	const struct node *test = &nodes[mask->yes];
	return test->code == JUMP(BPF_JEQ) && is_afresh(test->yes) && is_afresh(test->no) ? test
											  : NULL;
}

/* What is masked to nothing is 0: where that leads. */
static size_t pass_over(size_t at)
{
	for (;;) {
		const struct node *test = masked_test(at);
		if (!test || nodes[nodes[at].yes].k != 0)
			return at;
		at = test->k == 0 ? test->yes : test->no;
	}
}

static void pass_over_all(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (nodes[i].code == RETURN)
			continue;
		nodes[i].yes = pass_over(nodes[i].yes);
		nodes[i].no = pass_over(nodes[i].no);
	}
}

/* One flag: whether any bit of the mask is set. */
static void make_flag(size_t load)
{
	const struct node *test = masked_test(load);
	size_t at = nodes[load].yes;
	uint32_t flag = nodes[at].k;

	if (test && flag != 0 && (flag & (flag - 1)) == 0 && test->k == flag)
		nodes[at] = (struct node){test->yes, test->no, flag, JUMP(BPF_JSET), false};
}

static const struct node *flag_test(size_t load)
{
	const struct node *test = &nodes[nodes[load].yes];

	return nodes[load].code == LOAD && test->code == JUMP(BPF_JSET) ? test : NULL;
}

/* Another flag of the same word behind it, which leads to the same. From the end on, so that a row of
 * them becomes one. */
static void join_flags(size_t load)
{
	const struct node *test = flag_test(load);
	const struct node *next = test ? flag_test(test->no) : NULL;

	if (!next || nodes[test->no].k != nodes[load].k || !is_alike(test->yes, next->yes))
		return;
	nodes[nodes[load].yes] =
		(struct node){test->yes, next->no, test->k | next->k, test->code, false};
}

static void reach(size_t count)
{
	nodes[0].is_reached = true;
	for (size_t i = 0; i < count; i++) {
		if (!nodes[i].is_reached || nodes[i].code == RETURN)
			continue;
		nodes[nodes[i].yes].is_reached = true;
		nodes[nodes[i].no].is_reached = true;
	}
}

static uint8_t distance(size_t from, size_t to)
{
	if (to <= from || to - from - 1 > UINT8_MAX) {
		fputs("mkfilter: a jump of the shortened filter is too long\n", stderr);
		exit(1);
	}
	return (uint8_t)(to - from - 1);
}

static size_t write_all(struct sock_filter *filter, size_t count)
{
	static size_t place[NODES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		place[i] = n;
		n += nodes[i].is_reached;
	}
	for (size_t i = 0; i < count; i++) {
		struct node *node = &nodes[i];
		struct sock_filter *to = &filter[place[i]];
		if (!node->is_reached)
			continue;
		*to = (struct sock_filter){.code = node->code, .k = node->k};
		if (node->code == (BPF_JMP | BPF_JA)) {
			to->k = (uint32_t)(place[node->yes] - place[i] - 1);
		} else if (is_jump(node)) {
			to->jt = distance(place[i], place[node->yes]);
			to->jf = distance(place[i], place[node->no]);
		} else if (node->code != RETURN && place[node->yes] != place[i] + 1) {
			fputs("mkfilter: the shortened filter came apart\n", stderr);
			exit(1);
		}
	}
	return n;
}

size_t shorten_filter(struct sock_filter *filter, size_t count)
{
	read_all(filter, count);
	pass_over_all(count);
	for (size_t i = count; i-- > 0;) {
		make_flag(i);
		join_flags(i);
	}
	reach(count);
	return write_all(filter, count);
}

/* ---- the same? */

static bool jumps(const struct sock_filter *at, uint32_t a)
{
	switch (BPF_OP(at->code)) {
	case BPF_JEQ: return a == at->k;
	case BPF_JGT: return a > at->k;
	case BPF_JGE: return a >= at->k;
	case BPF_JSET: return a & at->k;
	default: return true;
	}
}

/* Whether an argument was looked at since this was last false. */
static bool has_looked;

/* 0 is no action that a list has. */
static uint32_t run(const struct sock_filter *filter, size_t count, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t i = 0; i < count; i++) {
		const struct sock_filter *at = &filter[i];
		if (at->code == RETURN)
			return at->k;
		has_looked |= at->code == LOAD && at->k >= offsetof(struct seccomp_data, args);
		if (at->code == LOAD && at->k <= sizeof(*data) - sizeof(a))
			memcpy(&a, (const char *)data + at->k, sizeof(a));
		else if (at->code == AND)
			a &= at->k;
		else if (at->code == (BPF_JMP | BPF_JA))
			i += at->k;
		else if (BPF_CLASS(at->code) == BPF_JMP)
			i += jumps(at, a) ? at->jt : at->jf;
		else
			return 0;
	}
	return 0;
}

struct pair {
	const struct sock_filter *one, *other;
	size_t n_one, n_other;
};

static bool agree(const struct pair *pair, const struct seccomp_data *data)
{
	uint32_t returned = run(pair->one, pair->n_one, data);

	return returned != 0 && returned == run(pair->other, pair->n_other, data);
}

static bool agree_on_arguments(const struct pair *pair, struct seccomp_data *data)
{
	has_looked = false;
	if (!agree(pair, data))
		return false;
	if (!has_looked)
		return true;
	for (size_t which = 0; which < 6; which++) {
		uint64_t *argument = (uint64_t *)&data->args[which];
		bool is_same = true;
		for (unsigned bit = 0; is_same && bit < 64; bit++) {
			*argument = UINT64_C(1) << bit;
			is_same = agree(pair, data);
			*argument = ~*argument;
			is_same = is_same && agree(pair, data);
		}
		for (size_t i = 0; is_same && i < pair->n_one; i++) {
			uint64_t k = pair->one[i].k;
			for (int off = -1; is_same && off <= 1; off++) {
				*argument = k + (uint64_t)off;
				is_same = agree(pair, data);
				*argument = (k + (uint64_t)off) << 32;
				is_same = is_same && agree(pair, data);
				*argument |= k;
				is_same = is_same && agree(pair, data);
			}
		}
		*argument = 0;
		if (!is_same)
			return false;
	}
	return true;
}

/* All constants that a call's number is compared with lie below, or are the first of x32's. */
#define NUMBERS 1024
#define X32	0x40000000

int shorten_is_same(const struct sock_filter *one, size_t n_one, const struct sock_filter *other,
		    size_t n_other, const unsigned *architectures)
{
	const struct pair pair = {one, other, n_one, n_other};

	for (size_t which = 0; architectures[which]; which++) {
		for (int number = -1; number < NUMBERS; number++) {
			struct seccomp_data data = {.nr = number, .arch = architectures[which]};
			if (!agree_on_arguments(&pair, &data))
				return 0;
			data.nr = number | X32;
			if (!agree_on_arguments(&pair, &data))
				return 0;
		}
	}
	return 1;
}
