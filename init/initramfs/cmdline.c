#include "init/initramfs/cmdline.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

#define PREFIX		  "holdfast."
#define TIMEOUT_DEFAULT_S 30
#define TIMEOUT_MAX_S	  600
#define BLOCK		  4096
/* The most that block numbers of this size can address, far below any overflow. */
#define DATA_BLOCKS_MAX (UINT64_C(1) << 40)

const char *const cmdline_rootfs_names[ROOTFS_COUNT] = {
	[ROOTFS_EROFS] = "erofs",
	[ROOTFS_SQUASHFS] = "squashfs",
	[ROOTFS_EXT4] = "ext4",
};

static const char *const corruption_names[CORRUPTION_COUNT] = {
	[CORRUPTION_PANIC] = "panic",
	[CORRUPTION_RESTART] = "restart",
	[CORRUPTION_EIO] = "eio",
};

static const char *const failed_boot_names[] = {
	[MACHINE_POWER_OFF] = "poweroff",
	[MACHINE_RESTART] = "reboot",
};

static const char *const allow_names[ALLOW_COUNT] = {
	[ALLOW_UNVERIFIED] = "unverified",
	[ALLOW_EIO] = "eio",
};

/* ---- values: each takes one into the struct, or says false */

static bool find_name(const char *const *names, int count, const char *value, int *ret_index)
{
	for (int i = 0; i < count; i++) {
		if (str_equal(names[i], value)) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

static bool consists_of(const char *text, size_t max, const char *extra)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		char c = text[i];
		bool is_plain =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!is_plain && !strchr(extra, c))
			return false;
	}
	return length > 0 && length <= max;
}

/* One file of /dev itself: no path that leads anywhere else. */
static bool is_device(const char *value)
{
	static const char *const prefixes[] = {"/dev/", "PARTLABEL=", "PARTUUID="};

	for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
		if (str_starts(value, prefixes[i])) {
			const char *name = value + strlen(prefixes[i]);
			return name[0] != '.' && consists_of(name, 36, "._-");
		}
	}
	return false;
}

static bool take_device(char to[CMDLINE_DEVICE_MAX], const char *value)
{
	return is_device(value) && str_copy(to, CMDLINE_DEVICE_MAX, value);
}

static bool take_root(struct cmdline *line, const char *value)
{
	return take_device(line->root, value);
}

static bool take_hash_device(struct cmdline *line, const char *value)
{
	return take_device(line->hash_device, value);
}

/* In lower case, as device-mapper compares it. */
static bool take_hex(char *to, size_t size, const char *value)
{
	size_t length = strlen(value);

	if (length == 0 || length % 2 || length >= size)
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = value[i] >= 'A' && value[i] <= 'F' ? (char)(value[i] - 'A' + 'a')
							    : value[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		to[i] = c;
	}
	to[length] = '\0';
	return true;
}

static bool take_root_hash(struct cmdline *line, const char *value)
{
	return strlen(value) == CMDLINE_HASH_HEX &&
	       take_hex(line->root_hash, sizeof(line->root_hash), value);
}

static bool take_salt(struct cmdline *line, const char *value)
{
	if (str_equal(value, "-"))
		return str_copy(line->salt, sizeof(line->salt), value);
	return take_hex(line->salt, sizeof(line->salt), value);
}

static bool take_hash_offset(struct cmdline *line, const char *value)
{
	return str_parse_u64(value, DATA_BLOCKS_MAX * BLOCK, &line->hash_offset) == 0 &&
	       line->hash_offset % 512 == 0;
}

static bool take_data_blocks(struct cmdline *line, const char *value)
{
	return str_parse_u64(value, DATA_BLOCKS_MAX, &line->data_blocks) == 0 &&
	       line->data_blocks > 0;
}

static bool take_timeout(struct cmdline *line, const char *value)
{
	uint64_t seconds;

	if (str_parse_u64(value, TIMEOUT_MAX_S, &seconds) < 0 || seconds == 0)
		return false;
	line->timeout_s = (uint32_t)seconds;
	return true;
}

static bool take_corruption(struct cmdline *line, const char *value)
{
	int index;

	if (!find_name(corruption_names, CORRUPTION_COUNT, value, &index))
		return false;
	line->corruption = (enum cmdline_corruption)index;
	return true;
}

static bool take_rootfs(struct cmdline *line, const char *value)
{
	int index;

	if (!find_name(cmdline_rootfs_names, ROOTFS_COUNT, value, &index))
		return false;
	line->rootfs = (enum cmdline_rootfs)index;
	return true;
}

static bool take_failed_boot(struct cmdline *line, const char *value)
{
	int index;

	if (!find_name(failed_boot_names, ARRAY_COUNT(failed_boot_names), value, &index))
		return false;
	line->failed_boot = (enum machine_end)index;
	return true;
}

static bool take_allow(struct cmdline *line, const char *value)
{
	char list[64], *rest = list;
	uint32_t allowed = 0;
	int index;

	if (!str_copy(list, sizeof(list), value))
		return false;
	for (char *name; (name = strsep(&rest, ","));) {
		if (!find_name(allow_names, ALLOW_COUNT, name, &index))
			return false;
		allowed |= 1U << index;
	}
	line->allowed = allowed;
	return true;
}

/* ---- the table */

#define DEVICE_FORMS "/dev/NAME, PARTLABEL=NAME or PARTUUID=UUID"

static const struct word {
	const char *name;
	bool (*take)(struct cmdline *line, const char *value);
	const char *expected;
	bool is_built_in_only;
} words[] = {
	{"holdfast.root", take_root, DEVICE_FORMS, false},
	{"holdfast.roothash", take_root_hash, "64 hexadecimal digits", false},
	{"holdfast.hash", take_hash_device, DEVICE_FORMS, false},
	{"holdfast.hashoffset", take_hash_offset, "bytes, a multiple of 512", false},
	{"holdfast.salt", take_salt, "2 to 512 hexadecimal digits, an even number, or -", false},
	{"holdfast.datablocks", take_data_blocks, "the number of blocks of 4096 bytes", false},
	{"holdfast.corruption", take_corruption, "panic, restart or eio", false},
	{"holdfast.rootfs", take_rootfs, "erofs, squashfs or ext4", false},
	{"holdfast.failedboot", take_failed_boot, "poweroff or reboot", false},
	{"holdfast.timeout", take_timeout, "seconds, 1 to 600", false},
	{"holdfast.allow", take_allow, "a list of unverified and eio", true},
};

/* ---- words */

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == '\xa0';
}

/* What lies between the first and the end of a word, quotes as next_arg() of the kernel treats them. */
struct token {
	const char *start;
	size_t length;
	const char *value; /* NULL: no '=' */
	size_t value_length;
};

static const char *find_end(const char *at, bool is_quoted, const char **ret_equals)
{
	*ret_equals = NULL;
	for (; *at && (is_quoted || !is_blank(*at)); at++) {
		if (*at == '=' && !*ret_equals)
			*ret_equals = at;
		if (*at == '"')
			is_quoted = !is_quoted;
	}
	return at;
}

/* The text behind the next word, or NULL when there is none. */
static const char *next_token(const char *at, struct token *ret_token)
{
	const char *equals;

	while (is_blank(*at))
		at++;
	if (!*at)
		return NULL;
	bool is_quoted = *at == '"';
	at += is_quoted;
	const char *end = find_end(at, is_quoted, &equals), *last = end;
	bool has_open_value = equals && equals + 1 < end && equals[1] == '"';
	if ((is_quoted || has_open_value) && last > at && last[-1] == '"')
		last--;
	*ret_token = (struct token){.start = at, .length = (size_t)(last - at)};
	if (equals) {
		ret_token->length = (size_t)(equals - at);
		ret_token->value = equals + 1 + has_open_value;
		ret_token->value_length =
			last > ret_token->value ? (size_t)(last - ret_token->value) : 0;
	}
	return end;
}

static const struct word *find_word(const struct token *token)
{
	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		if (strlen(words[i].name) == token->length &&
		    memcmp(words[i].name, token->start, token->length) == 0)
			return &words[i];
	}
	return NULL;
}

static int refuse(char message[CMDLINE_MESSAGE_MAX], enum cmdline_source source,
		  const struct token *token, const char *expected)
{
	struct strbuf buf;

	strbuf_init(&buf, message, CMDLINE_MESSAGE_MAX);
	strbuf_addf(&buf, "%s: %.*s: %s",
		    source == CMDLINE_KERNEL ? "kernel command line" : "/cmdline of the initramfs",
		    (int)MIN(token->length, 64), token->start, expected);
	return -EINVAL;
}

static bool copy_value(char *to, size_t size, const struct token *token)
{
	if (!token->value || token->value_length >= size)
		return false;
	memcpy(to, token->value, token->value_length);
	to[token->value_length] = '\0';
	return true;
}

static int refuse_value(char message[CMDLINE_MESSAGE_MAX], enum cmdline_source source,
			const struct token *token, const struct word *word)
{
	char expected[128];
	struct strbuf buf;

	strbuf_init(&buf, expected, sizeof(expected));
	strbuf_addf(&buf, "expected = and %s", word->expected);
	return refuse(message, source, token, expected);
}

static int take_token(struct cmdline *line, const struct token *token, enum cmdline_source source,
		      char message[CMDLINE_MESSAGE_MAX])
{
	char value[CMDLINE_SALT_HEX + 1];

	if (token->length < strlen(PREFIX) || memcmp(token->start, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	const struct word *word = find_word(token);
	if (!word)
		return refuse(message, source, token, "no such word; see holdfast-initramfs(8)");
	if (word->is_built_in_only && source != CMDLINE_BUILT_IN)
		return refuse(message, source, token,
			      "only the initramfs itself may say that, in its file /cmdline");
	uint32_t bit = 1U << (word - words);
	if (line->given & bit)
		return refuse(message, source, token, "given twice");
	if (!copy_value(value, sizeof(value), token) || !word->take(line, value))
		return refuse_value(message, source, token, word);
	line->given |= bit;
	return 0;
}

int cmdline_add(struct cmdline *line, const char *text, enum cmdline_source source,
		char ret_message[CMDLINE_MESSAGE_MAX])
{
	struct token token;

	while ((text = next_token(text, &token))) {
		int r = take_token(line, &token, source, ret_message);
		if (r < 0)
			return r;
	}
	return 0;
}

void cmdline_init(struct cmdline *line)
{
	*line = (struct cmdline){.timeout_s = TIMEOUT_DEFAULT_S};
}

bool cmdline_is_verified(const struct cmdline *line)
{
	return line->root_hash[0] != '\0';
}

/* ---- all of it */

static bool is_allowed(const struct cmdline *line, enum cmdline_allow what)
{
	return line->allowed & (1U << what);
}

/* Everything about a hash tree, where there is none, is a root hash that was forgotten. */
static bool has_tree(const struct cmdline *line)
{
	return line->hash_device[0] || line->hash_offset || line->salt[0] || line->data_blocks;
}

static const char *find_contradiction(const struct cmdline *line)
{
	if (!line->root[0])
		return "holdfast.root= is missing: which device has the root?";
	if (!cmdline_is_verified(line) && !is_allowed(line, ALLOW_UNVERIFIED))
		return "holdfast.roothash= is missing, and holdfast.allow=unverified is not built "
		       "into this initramfs";
	if (!cmdline_is_verified(line) && has_tree(line))
		return "a hash device, offset, salt or number of blocks needs holdfast.roothash=";
	if (line->corruption == CORRUPTION_EIO && !is_allowed(line, ALLOW_EIO))
		return "holdfast.corruption=eio, and holdfast.allow=eio is not built into this "
		       "initramfs";
	if (!line->salt[0] != !line->data_blocks)
		return "holdfast.salt= and holdfast.datablocks= belong together: with both there "
		       "is no superblock, with neither it says them";
	if (cmdline_is_verified(line) && !line->hash_device[0] && line->hash_offset == 0)
		return "holdfast.hash= or holdfast.hashoffset= is missing: where is the hash tree?";
	return NULL;
}

int cmdline_check(const struct cmdline *line, char ret_message[CMDLINE_MESSAGE_MAX])
{
	const char *wrong = find_contradiction(line);

	if (!wrong)
		return 0;
	(void)str_copy(ret_message, CMDLINE_MESSAGE_MAX, wrong);
	return -EINVAL;
}
