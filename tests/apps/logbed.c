/*
 * TESTS: lib/fingerprint.c lib/siphash.c lib/unescape.c lib/io.c lib/fd.c lib/sys.c lib/str.c lib/clock.c lib/plan.c lib/board.c lib/store.c
 *
 * logbed DIR N_UNITS json|plain|raw RING_BYTES UID N_SECRETS
 *
 * Makes what holdfast-log reads: DIR/plan with the units unit-0000.service and on, DIR/board, and in
 * DIR/store the store's table without entries. Prints where in the board the pid of the first
 * unit's main process stands, how far the next one's is from it, and where the table has its
 * capacity and its count. tests/logbed.py makes the rest.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/board.h"
#include "lib/fingerprint.h"
#include "lib/io.h"
#include "lib/plan.h"
#include "lib/store.h"

#define NAME_SIZE 24

static const char *const formats[LOG_FORMAT_COUNT] = {"json", "plain", "raw"};

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "logbed: %s: %s\n", what, strerror(-result));
	exit(1);
}

static uint32_t format_of(const char *word)
{
	for (uint32_t i = 0; i < LOG_FORMAT_COUNT; i++) {
		if (strcmp(word, formats[i]) == 0)
			return i;
	}
	fprintf(stderr, "logbed: %s: expected json, plain or raw\n", word);
	exit(1);
}

static int create(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		perror(name);
	if (fd < 0)
		exit(1);
	return fd;
}

static void make_plan(uint32_t n_units, uint32_t format, uint64_t ring_bytes, uint32_t uid)
{
	size_t units_at = (sizeof(struct plan_header) + 7) & ~(size_t)7;
	size_t strings_at = units_at + n_units * sizeof(struct plan_unit);
	size_t strings_size = 8 + (size_t)n_units * NAME_SIZE;
	size_t size = strings_at + strings_size;
	char *block = calloc(1, size);
	struct plan_header *header = (struct plan_header *)block;
	struct plan_unit *units = (struct plan_unit *)(block + units_at);
	struct plan ignored;

	*header = (struct plan_header){
		.magic = PLAN_MAGIC,
		.version = PLAN_VERSION,
		.flags = PLAN_IS_PUBLIC,
		.size = size,
		.log_format = format,
		.ring_bytes = ring_bytes,
		.uid_log = uid,
		.uid_health = PLAN_NO_ID,
		.uid_secrets = PLAN_NO_ID,
		.main_unit = PLAN_NO_UNIT,
		.identity_unit = PLAN_NO_UNIT,
	};
	for (int i = 0; i < PLAN_SECTION_COUNT; i++)
		header->sections[i].offset = units_at;
	header->sections[PLAN_UNITS].count = n_units;
	header->sections[PLAN_STRINGS].offset = strings_at;
	header->sections[PLAN_STRINGS].count = strings_size;
	for (uint32_t i = 0; i < n_units; i++) {
		units[i].name = 8 + i * NAME_SIZE;
		(void)snprintf(block + strings_at + units[i].name, NAME_SIZE, "unit-%04u.service",
			       i);
	}
	check(plan_open(block, size, &ignored), "plan");
	check(io_write_all(create("plan"), block, size), "writing the plan");
	free(block);
}

/* What PID 1 makes, copied out of it. */
static void make_store(void)
{
	struct store_table *table;

	check(store_create(0, &table), "store_create");
	check(io_write_all(create("store"), table, sizeof(*table)), "writing the store");
}

/* DIR/fingerprints and DIR/key: of the values "secret-0000-of-some-length" and on. */
static void make_fingerprints(uint32_t n_secrets)
{
	struct fingerprint_key key;
	struct fingerprints table;
	struct fingerprint_run run;
	char value[48];
	int fd = create("fingerprints"), key_fd = create("key");

	check(fingerprint_draw_key(&key), "the key");
	check(io_write_all(key_fd, &key, sizeof(key)), "writing the key");
	check(fingerprint_format(fd, n_secrets, 1), "the table");
	check(fingerprint_map(fd, key_fd, true, &table), "mapping the table");
	fingerprint_begin(&table, "unit-0000.service", &run);
	for (uint32_t i = 0; i < n_secrets; i++) {
		(void)snprintf(value, sizeof(value), "secret-%04u-of-some-length", i);
		check(fingerprint_add(&run, value, strlen(value)) == FINGERPRINT_ADDED ? 0 : -1,
		      value);
	}
	fingerprint_end(&run);
}

int main(int argc, char **argv)
{
	struct board board;

	if (argc != 7 || chdir(argv[1]) < 0) {
		fprintf(stderr,
			"usage: logbed DIR N_UNITS json|plain|raw RING_BYTES UID N_SECRETS\n");
		return 64;
	}
	uint32_t n_units = (uint32_t)strtoul(argv[2], NULL, 10);
	make_plan(n_units, format_of(argv[3]), strtoull(argv[4], NULL, 10),
		  (uint32_t)strtoul(argv[5], NULL, 10));
	int fd = create("board");
	check(board_format(fd, n_units, 0), "board_format");
	check(board_map(fd, true, &board), "board_map");
	make_store();
	make_fingerprints((uint32_t)strtoul(argv[6], NULL, 10));
	printf("%zu %zu %zu %zu\n",
	       (size_t)((char *)&board.slots[0][SLOT_MAIN] - (char *)board.header),
	       sizeof(board.slots[0]), offsetof(struct store_table, capacity),
	       offsetof(struct store_table, count));
	return 0;
}
