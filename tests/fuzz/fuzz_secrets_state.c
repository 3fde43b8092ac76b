/* TESTS: secrets/state.c secrets/secmem.c secrets/lease.c */
/*
 * Any bytes as a helper's memory between runs: what can be read is written and read again as the same,
 * and a lease that is sound can be renewed without its times leaving their order.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "secrets/lease.h"
#include "secrets/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static void check_lease(const struct state *state, const char *name)
{
	struct lease lease;
	uint64_t now;

	if (!state_get_exactly(state, name, &lease, sizeof(lease)))
		return;
	if (!lease_is_sound(&lease) || lease.from_us > UINT64_MAX / 2)
		return;
	now = lease.from_us;
	(void)lease_renew(&lease, now, lease.duration_us / 1000000, (uint32_t)lease.duration_us);
	demand(lease_is_sound(&lease));
	demand(lease_ms_until(lease.due_us, now) <= lease_ms_until(lease.end_us, now));
}

static void check_same(const struct state *state, int fd)
{
	struct state again;
	size_t cursor = 0, size, same_size;
	const char *name;

	demand(state_load(&again, fd) == 0);
	while ((name = state_next(state, "", &cursor))) {
		const void *value = state_get(state, name, &size);
		const void *same = state_get(&again, name, &same_size);
		demand(same && size == same_size && memcmp(value, same, size) == 0);
		check_lease(state, name);
	}
	state_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("state", 0);
	struct state state;

	/* As a whole file, and as the records in it. */
	demand(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	demand(state_load(&state, fd) == 0);
	(void)state_decode(&state, data, size);
	demand(state_set(&state, "more", "x", 1) <= 0);
	if (state_save(&state) == 0 && !state.is_changed && state_get(&state, "more", &size))
		check_same(&state, fd);
	state_finish(&state);
	close(fd);
	return 0;
}
