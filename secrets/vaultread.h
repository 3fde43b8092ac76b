#pragma once
/*
 * One secret of Vault as it is read: one call for all of the unit's references to it, since what
 * belongs together (a user's name and its password) has to come from one lease.
 */
#include <stdbool.h>
#include <stddef.h>

#include "secrets/lease.h"
#include "secrets/run.h"
#include "secrets/state.h"
#include "secrets/vaultcall.h"
#include "secrets/vaultmount.h"
#include "secrets/vaultref.h"

#define VAULT_LEASE_ID_MAX 1024

enum vault_plan {
	VAULT_FETCH,
	VAULT_RENEW, /* what it is leased with is due */
	VAULT_KEEP,  /* nothing to be done */
	VAULT_DONE,  /* given or failed */
};

struct vault_read {
	const struct vaultref *ref; /* borrowed, of its first secret */
	enum vault_plan plan;
	bool is_leased;
	bool is_lost; /* what it was leased with has ended */
	bool is_old;  /* its values are those that the unit has */
	struct lease lease;
	char lease_id[VAULT_LEASE_ID_MAX];
};

/* One read for each path and version among the run's secrets of provider; secmem, *ret_count of them.
 * NULL: no memory. */
struct vault_read *vault_reads_group(struct run *run, const struct provider *provider,
				     size_t *ret_count);
/* The next secret of read that is not done, at or after *cursor. */
struct secret *vault_read_next(struct run *run, const struct provider *provider,
			       const struct vault_read *read, uint32_t *cursor);

/* What the state has of its lease, and what is to be done with that now. */
void vault_read_recall(struct vault_read *read, const struct state *state, uint64_t now_us);
void vault_read_keep(const struct vault_read *read, struct state *state);

/* Takes the lease of an answer, if it has one, and gives each of the secrets or fails it. */
void vault_read_give(struct vault_read *read, struct run *run, const struct provider *provider,
		     const struct vault_mount *mount, const struct vault_call *call);
/* Gives the values that the unit has. False when one of them is not there. */
bool vault_read_give_old(struct vault_read *read, struct run *run, const struct provider *provider);
void vault_read_fail(struct vault_read *read, struct run *run, const struct provider *provider,
		     enum secret_outcome outcome, const char *why);
