#include "lib/fingerprint.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/sys.h"
#include "lib/unescape.h"

#define TABLE_MAGIC	  UINT64_C(0x746e697265676e66)
#define TABLE_VERSION	  1
#define CHUNKS_PER_SECRET 64 /* two generations of some hundred bytes, base64 included */
#define ENTRIES_MIN	  4096U
#define ENTRIES_MAX	  (128U << 10)
#define OWNERS_MAX	  (16U << 10)
#define PROBES_MAX	  4096U

#ifndef GRND_INSECURE
#define GRND_INSECURE 0x0004U
#endif

/*
 * An entry's word, from the lowest bit on: state 2, length 6, is_base64 1, nothing 3, window 20,
 * owner 16, run 16. A free entry is 0.
 */
enum entry_state { ENTRY_FREE, ENTRY_CLAIMED, ENTRY_LIVE, ENTRY_DROPPED };

#define LENGTH_SHIFT 2
#define BASE64_SHIFT 8
#define WINDOW_SHIFT 12
#define OWNER_SHIFT  32
#define RUN_SHIFT    48
#define RUN_MASK     (~UINT64_C(0) << RUN_SHIFT)
#define OLD_RUNS     2 /* behind the last that ended well: forgotten when room is needed */

static enum entry_state state_of(uint64_t about)
{
	return (enum entry_state)(about & 3);
}

static uint32_t length_of(uint64_t about)
{
	return (uint32_t)(about >> LENGTH_SHIFT) & 63;
}

static uint32_t window_of(uint64_t about)
{
	return (uint32_t)(about >> WINDOW_SHIFT) & ((1U << FINGERPRINT_WINDOW_BITS) - 1);
}

static uint32_t owner_of(uint64_t about)
{
	return (uint32_t)(about >> OWNER_SHIFT) & 0xFFFF;
}

static uint16_t run_of(uint64_t about)
{
	return (uint16_t)(about >> RUN_SHIFT);
}

/* Where the search for a window begins. */
static uint32_t home_of(const struct fingerprints *table, uint32_t window)
{
	return (uint32_t)((uint64_t)window * table->n_entries >> FINGERPRINT_WINDOW_BITS);
}

/* ---------------------------------------------------------------- making and mapping */

static uint32_t power_of_two(uint64_t wanted, uint32_t min, uint32_t max)
{
	uint32_t size = min;

	while (size < wanted && size < max)
		size *= 2;
	return size;
}

static size_t table_size(uint32_t n_entries, uint32_t n_owners)
{
	return sizeof(struct fingerprint_header) + n_owners * sizeof(struct fingerprint_owner) +
	       n_entries * sizeof(struct fingerprint_entry);
}

int fingerprint_format(int fd, uint32_t n_secrets, uint32_t n_units)
{
	struct fingerprint_header header = {
		.magic = TABLE_MAGIC,
		.version = TABLE_VERSION,
		.n_entries = power_of_two((uint64_t)n_secrets * CHUNKS_PER_SECRET, ENTRIES_MIN,
					  ENTRIES_MAX),
		.n_owners = power_of_two((uint64_t)n_units * 2, 16, OWNERS_MAX),
	};
	size_t size = table_size(header.n_entries, header.n_owners);

	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	int r = fd_reserve(fd, size);
	if (r < 0)
		return r;
	return pwrite(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) ? 0 : -errno;
}

/* At the very start of a machine the generator may not be seeded yet; to wait for that could be to
 * wait for ever. */
static int draw(void *data, size_t size)
{
	ssize_t n = getrandom(data, size, GRND_NONBLOCK);

	if (n < 0 && errno == EAGAIN)
		n = getrandom(data, size, GRND_INSECURE);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO;
}

int fingerprint_draw_key(struct fingerprint_key *ret_key)
{
	int r = draw(ret_key, sizeof(*ret_key));

	ret_key->multiplier |= 1;
	return r;
}

static bool is_power_of_two(uint32_t n, uint32_t max)
{
	return n > 0 && n <= max && (n & (n - 1)) == 0;
}

static bool header_fits(const struct fingerprint_header *header, size_t size)
{
	return header->magic == TABLE_MAGIC && header->version == TABLE_VERSION &&
	       is_power_of_two(header->n_entries, ENTRIES_MAX) &&
	       is_power_of_two(header->n_owners, OWNERS_MAX) &&
	       table_size(header->n_entries, header->n_owners) == size;
}

static int read_key(int fd, struct fingerprint_key *key)
{
	ssize_t n = pread(fd, key, sizeof(*key), 0);

	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(*key) && (key->multiplier & 1) ? 0 : -EBADMSG;
}

int fingerprint_map(int fd, int key_fd, bool is_writable, struct fingerprints *ret_table)
{
	struct fingerprints table = {0};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	size_t size = (size_t)st.st_size;
	int r = read_key(key_fd, &table.key);
	if (r < 0)
		return r;
	if (size < sizeof(struct fingerprint_header))
		return -EBADMSG;
	table.header =
		mmap(NULL, size, PROT_READ | (is_writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (table.header == MAP_FAILED)
		return -errno;
	if (!header_fits(table.header, size)) {
		(void)munmap(table.header, size);
		return -EBADMSG;
	}
	table.n_entries = table.header->n_entries;
	table.n_owners = table.header->n_owners;
	table.owners = (struct fingerprint_owner *)(table.header + 1);
	table.entries = (struct fingerprint_entry *)(table.owners + table.n_owners);
	*ret_table = table;
	return 0;
}

/* ---------------------------------------------------------------- a unit's fetch */

/* Forgets what is older than a unit's last two generations. */
static void forget_old(const struct fingerprints *table)
{
	for (uint32_t i = 0; i < table->n_entries; i++) {
		struct fingerprint_entry *entry = &table->entries[i];
		uint64_t about = atomic_load(&entry->about);
		uint32_t owner = owner_of(about);
		if (state_of(about) != ENTRY_LIVE || owner >= table->n_owners)
			continue;
		uint16_t last = (uint16_t)atomic_load(&table->owners[owner].run);
		if ((int16_t)(uint16_t)(last - run_of(about)) < OLD_RUNS)
			continue;
		if (atomic_compare_exchange_strong(&entry->about, &about, ENTRY_DROPPED))
			atomic_fetch_sub(&table->header->n_used, 1);
	}
}

/* The unit's place, taken if it has none. There are twice as many as units. */
static uint32_t find_owner(const struct fingerprints *table, const char *unit)
{
	uint64_t name = siphash(table->key.sip, unit, strlen(unit)) | 1;
	uint32_t at = (uint32_t)(name >> 32) & (table->n_owners - 1);

	for (uint32_t i = 0; i < table->n_owners; i++, at = (at + 1) & (table->n_owners - 1)) {
		uint64_t seen = 0;
		if (atomic_compare_exchange_strong(&table->owners[at].name, &seen, name) ||
		    seen == name)
			return at;
	}
	return at;
}

void fingerprint_begin(const struct fingerprints *table, const char *unit,
		       struct fingerprint_run *ret_run)
{
	uint32_t owner = find_owner(table, unit);

	if (atomic_load(&table->header->n_used) > table->n_entries / 2)
		forget_old(table);
	*ret_run = (struct fingerprint_run){
		.table = table,
		.owner = owner,
		.number = atomic_load(&table->owners[owner].run) + 1,
	};
}

void fingerprint_end(const struct fingerprint_run *run)
{
	atomic_store(&run->table->owners[run->owner].run, run->number);
}

/* ---------------------------------------------------------------- chunks */

/* Whether the entry is this unit's of that chunk; it is then young again. */
static bool renew(struct fingerprint_entry *entry, uint64_t seen, uint64_t about, uint64_t hash)
{
	if (((seen ^ about) & ~RUN_MASK) != 0 || atomic_load(&entry->hash) != hash)
		return false;
	return atomic_compare_exchange_strong(&entry->about, &seen, about);
}

/* The entry that has it (*ret_has), or one that is free, or NULL. */
static struct fingerprint_entry *find_place(const struct fingerprints *table, uint64_t about,
					    uint64_t hash, bool *ret_has)
{
	uint32_t at = home_of(table, window_of(about));
	struct fingerprint_entry *place = NULL;

	*ret_has = false;
	for (uint32_t i = 0; i < PROBES_MAX; i++, at = (at + 1) & (table->n_entries - 1)) {
		struct fingerprint_entry *entry = &table->entries[at];
		uint64_t seen = atomic_load(&entry->about);
		if (!place && (state_of(seen) == ENTRY_FREE || state_of(seen) == ENTRY_DROPPED))
			place = entry;
		if (state_of(seen) == ENTRY_FREE)
			break;
		*ret_has = renew(entry, seen, about, hash);
		if (*ret_has)
			return entry;
	}
	return place;
}

/* The count goes up first: a helper that is killed here makes the table look fuller, not emptier. */
static bool has_room(const struct fingerprints *table)
{
	uint64_t used = atomic_fetch_add(&table->header->n_used, 1);

	if (used < table->n_entries / 4 * 3)
		return true;
	atomic_fetch_sub(&table->header->n_used, 1);
	atomic_fetch_add(&table->header->n_refused, 1);
	return false;
}

static bool put(const struct fingerprints *table, uint64_t about, uint64_t hash)
{
	bool has;
	struct fingerprint_entry *place = find_place(table, about, hash, &has);

	if (has)
		return true;
	if (!has_room(table))
		return false;
	/* A place that another helper was faster to take is looked for again. */
	for (; place && !has; place = find_place(table, about, hash, &has)) {
		uint64_t seen = atomic_load(&place->about);
		if (state_of(seen) != ENTRY_FREE && state_of(seen) != ENTRY_DROPPED)
			continue;
		if (!atomic_compare_exchange_strong(&place->about, &seen, ENTRY_CLAIMED))
			continue;
		atomic_store(&place->hash, hash);
		atomic_store(&place->about, about);
		return true;
	}
	atomic_fetch_sub(&table->header->n_used, 1);
	if (!has)
		atomic_fetch_add(&table->header->n_refused, 1);
	return has;
}

/* A row of dashes or blanks is in any text, and tells nothing. */
static bool is_ruler(const char *data, size_t length)
{
	char c = data[0];
	bool is_word = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

	return !is_word && memcmp(data, data + 1, length - 1) == 0;
}

static bool add_chunk(const struct fingerprint_run *run, const char *data, size_t length,
		      bool is_base64)
{
	const struct fingerprints *table = run->table;

	if (is_ruler(data, length))
		return true;
	uint64_t window = fingerprint_window(&table->key, data + length - 8) >>
			  (64 - FINGERPRINT_WINDOW_BITS);
	uint64_t about = ENTRY_LIVE | (uint64_t)length << LENGTH_SHIFT |
			 (uint64_t)is_base64 << BASE64_SHIFT | window << WINDOW_SHIFT |
			 (uint64_t)run->owner << OWNER_SHIFT | (uint64_t)run->number << RUN_SHIFT;
	return put(table, about, siphash(table->key.sip, data, length));
}

/* What came of a value so far. */
struct added {
	bool has_any, is_full;
};

static void add_piece(const struct fingerprint_run *run, const char *data, size_t length,
		      bool is_base64, struct added *added)
{
	size_t at = 0;

	if (length < FINGERPRINT_MIN)
		return;
	added->has_any = true;
	for (; length - at > FINGERPRINT_MAX; at += FINGERPRINT_MAX)
		added->is_full |= !add_chunk(run, data + at, FINGERPRINT_MAX, is_base64);
	/* The last one ends with the piece. */
	at = length < FINGERPRINT_MAX ? 0 : length - FINGERPRINT_MAX;
	added->is_full |= !add_chunk(run, data + at, length - at, is_base64);
}

/* ---------------------------------------------------------------- values */

/* -----BEGIN PRIVATE KEY----- is no secret, and every such file has it. */
static bool is_armour(const char *line, size_t length)
{
	return length >= 10 && memcmp(line, "-----", 5) == 0 &&
	       memcmp(line + length - 5, "-----", 5) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Of more than one line each counts on its own, without what it is indented by. */
static void add_lines(const struct fingerprint_run *run, const char *data, size_t length,
		      struct added *added)
{
	const char *end = data + length;

	if (!memchr(data, '\n', length)) {
		add_piece(run, data, length, false, added);
		return;
	}
	while (data < end) {
		const char *next = memchr(data, '\n', (size_t)(end - data));
		const char *last = next ? next : end;
		while (data < last && is_blank(*data))
			data++;
		while (data < last && is_blank(last[-1]))
			last--;
		if (!is_armour(data, (size_t)(last - data)))
			add_piece(run, data, (size_t)(last - data), false, added);
		data = next ? next + 1 : end;
	}
}

/* A value that is JSON, say: programs take it apart, and print what was in its strings. */
static void add_unescaped(const struct fingerprint_run *run, const char *data, size_t length,
			  struct added *added)
{
	char plain[FINGERPRINT_VALUE_MAX];
	struct unescape_mark marks[FINGERPRINT_VALUE_MAX / 2];
	struct unescaped result = {.data = plain, .marks = marks};

	if (!memchr(data, '\\', length))
		return;
	if (unescape(UNESCAPE_BACKSLASH, data, length, &result))
		add_lines(run, result.data, result.length, added);
	explicit_bzero(plain, sizeof(plain));
}

static size_t encode_base64(const unsigned char *data, size_t length, const char *last_two,
			    char *text)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t n = 0;

	for (; length >= 3; length -= 3, data += 3) {
		uint32_t three = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];
		for (int shift = 18; shift >= 0; shift -= 6) {
			uint32_t six = three >> shift & 63;
			text[n++] = six < 62 ? letters[six] : last_two[six - 62];
		}
	}
	return n;
}

/* Encoded alone it begins a group of three bytes; behind something else (user:password), it may
 * begin in the middle of one. Of each group that is wholly its own the letters are known. */
static void add_base64(const struct fingerprint_run *run, const char *data, size_t length,
		       struct added *added)
{
	static const char *const alphabets[] = {"+/", "-_"};
	char text[FINGERPRINT_BASE64_MAX / 3 * 4 + 4];

	if (length > FINGERPRINT_BASE64_MAX)
		return;
	for (size_t skip = 0; skip < 3; skip++) {
		for (size_t i = 0; i < 2; i++) {
			size_t n = encode_base64((const unsigned char *)data + skip, length - skip,
						 alphabets[i], text);
			if (i == 0 || memchr(text, '-', n) || memchr(text, '_', n))
				add_piece(run, text, n, true, added);
		}
	}
	explicit_bzero(text, sizeof(text));
}

/* A file's newline at its end is not part of what is encoded or printed. */
static size_t without_end(const char *data, size_t length)
{
	while (length > 0 && (data[length - 1] == '\n' || data[length - 1] == '\r'))
		length--;
	return length;
}

enum fingerprint_outcome fingerprint_add(const struct fingerprint_run *run, const void *value,
					 size_t length)
{
	struct added added = {0};
	const char *data = value;
	bool is_cut = length > FINGERPRINT_VALUE_MAX;

	length = without_end(data, is_cut ? FINGERPRINT_VALUE_MAX : length);
	add_lines(run, data, length, &added);
	add_unescaped(run, data, length, &added);
	if (added.has_any && !is_cut)
		add_base64(run, data, length, &added);
	atomic_fetch_add(&run->table->header->changes, 1);
	if (added.is_full)
		return FINGERPRINT_FULL;
	if (!added.has_any)
		return FINGERPRINT_TOO_SHORT;
	return is_cut ? FINGERPRINT_CUT : FINGERPRINT_ADDED;
}

/* ---------------------------------------------------------------- searching */

void fingerprint_each(const struct fingerprints *table,
		      void (*visit)(void *context, uint32_t window), void *context)
{
	for (uint32_t i = 0; i < table->n_entries; i++) {
		uint64_t about =
			atomic_load_explicit(&table->entries[i].about, memory_order_acquire);
		if (state_of(about) == ENTRY_LIVE)
			visit(context, window_of(about));
	}
}

/* Hashes of what stands before one place, by length, as they are asked for. */
struct hashes {
	uint64_t known; /* bits */
	uint64_t of[FINGERPRINT_MAX + 1];
};

static uint64_t hash_of(const struct fingerprints *table, struct hashes *hashes, const char *end,
			size_t length)
{
	if (!(hashes->known >> length & 1)) {
		hashes->of[length] = siphash(table->key.sip, end - length, length);
		hashes->known |= UINT64_C(1) << length;
	}
	return hashes->of[length];
}

size_t fingerprint_match(const struct fingerprints *table, uint32_t window, const char *end,
			 size_t length, bool *ret_is_base64)
{
	uint32_t at = home_of(table, window);
	struct hashes hashes = {0};
	size_t longest = 0;

	for (uint32_t i = 0; i < PROBES_MAX; i++, at = (at + 1) & (table->n_entries - 1)) {
		const struct fingerprint_entry *entry = &table->entries[at];
		uint64_t about = atomic_load_explicit(&entry->about, memory_order_acquire);
		size_t n = length_of(about);
		if (state_of(about) == ENTRY_FREE)
			break;
		if (state_of(about) != ENTRY_LIVE || window_of(about) != window || n <= longest ||
		    n < FINGERPRINT_MIN || n > FINGERPRINT_MAX || n > length)
			continue;
		if (hash_of(table, &hashes, end, n) != atomic_load(&entry->hash))
			continue;
		longest = n;
		*ret_is_base64 = about >> BASE64_SHIFT & 1;
	}
	return longest;
}
