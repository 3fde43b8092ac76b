#include "secrets/decode.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "secrets/secmem.h"

/* A place in a text. Past the end there are NULs, which no rule below accepts. */
struct cursor {
	const char *at, *end;
	unsigned depth;
	const char *error;
};

void decode_init(void)
{
	cJSON_Hooks hooks = {.malloc_fn = secmem_alloc, .free_fn = secmem_free};

	cJSON_InitHooks(&hooks);
}

/* ---- strings */

static unsigned char peek(const struct cursor *c)
{
	return c->at < c->end ? (unsigned char)*c->at : 0;
}

static bool refuse(struct cursor *c, const char *error)
{
	if (!c->error)
		c->error = error;
	return false;
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_hex4(struct cursor *c, uint32_t *ret_unit)
{
	uint32_t unit = 0;

	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(peek(c));
		if (digit < 0)
			return refuse(c, "an escape is no \\uXXXX");
		unit = unit << 4 | (uint32_t)digit;
		c->at++;
	}
	*ret_unit = unit;
	return true;
}

/* Behind "\u". */
static bool take_escaped_rune(struct cursor *c, uint32_t *ret_rune)
{
	uint32_t high, low;

	if (!take_hex4(c, &high))
		return false;
	if (high == 0)
		return refuse(c, "a string has a NUL in it (\\u0000)");
	if (high >= 0xDC00 && high <= 0xDFFF)
		return refuse(c, "a string has half a surrogate pair");
	if (high >= 0xD800 && high <= 0xDBFF) {
		if (c->end - c->at < 6 || c->at[0] != '\\' || c->at[1] != 'u')
			return refuse(c, "a string has half a surrogate pair");
		c->at += 2;
		if (!take_hex4(c, &low))
			return false;
		if (low < 0xDC00 || low > 0xDFFF)
			return refuse(c, "a string has half a surrogate pair");
		high = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
	}
	*ret_rune = high;
	return true;
}

static bool take_utf8(struct cursor *c)
{
	size_t n = json_utf8_length((const unsigned char *)c->at, (size_t)(c->end - c->at));

	c->at += n;
	return n > 0 || refuse(c, "it is no UTF-8");
}

static size_t encode_utf8(uint32_t rune, char *to)
{
	static const uint32_t limits[] = {0x80, 0x800, 0x10000, 0x110000};
	static const unsigned char marks[] = {0x00, 0xC0, 0xE0, 0xF0};
	size_t more = 0;

	while (rune >= limits[more])
		more++;
	to[0] = (char)(marks[more] | rune >> (6 * more));
	for (size_t i = 1; i <= more; i++)
		to[i] = (char)(0x80 | (rune >> (6 * (more - i)) & 0x3F));
	return more + 1;
}

/* Behind a backslash: the bytes that it stands for. */
static bool take_escape(struct cursor *c, char *to, size_t *ret_length)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	uint32_t rune;
	char name = (char)peek(c);

	*ret_length = 1;
	if (name == 'u') {
		c->at++;
		if (!take_escaped_rune(c, &rune))
			return false;
		*ret_length = encode_utf8(rune, to);
		return true;
	}
	const char *found = name != '\0' ? strchr(names, name) : NULL;
	if (!found)
		return refuse(c, "an escape is unknown");
	to[0] = bytes[found - names];
	c->at++;
	return true;
}

/* A string with its quotes. to (as long as the text) gets what it stands for; NULL: only checked. */
static bool take_string(struct cursor *c, char *to, size_t *ret_length)
{
	size_t length = 0, n;
	char bytes[4];

	if (peek(c) != '"')
		return refuse(c, "a string was expected");
	c->at++;
	while (peek(c) != '"') {
		const char *from = c->at;
		unsigned char first = peek(c);
		if (first < ' ')
			return refuse(c, "a string has a control character, or no end");
		if (first == '\\') {
			c->at++;
			if (!take_escape(c, bytes, &n))
				return false;
			from = bytes;
		} else if (first < 0x80) {
			c->at++;
			n = 1;
		} else {
			if (!take_utf8(c))
				return false;
			n = (size_t)(c->at - from);
		}
		if (to)
			memcpy(to + length, from, n);
		length += n;
	}
	c->at++;
	if (ret_length)
		*ret_length = length;
	return true;
}

/* ---- the rest of the grammar (RFC 8259) */

static void skip_space(struct cursor *c)
{
	while (c->at < c->end && memchr(" \t\r\n", *c->at, 4))
		c->at++;
}

static bool take_digits(struct cursor *c)
{
	if (peek(c) < '0' || peek(c) > '9')
		return refuse(c, "a number has no digits");
	while (peek(c) >= '0' && peek(c) <= '9')
		c->at++;
	return true;
}

static bool take_number(struct cursor *c)
{
	if (peek(c) == '-')
		c->at++;
	if (peek(c) == '0')
		c->at++;
	else if (!take_digits(c))
		return false;
	if (peek(c) == '.') {
		c->at++;
		if (!take_digits(c))
			return false;
	}
	if ((peek(c) | 0x20) == 'e') {
		c->at++;
		if (peek(c) == '+' || peek(c) == '-')
			c->at++;
		return take_digits(c);
	}
	return true;
}

static bool take_word(struct cursor *c)
{
	static const char *const words[] = {"true", "false", "null"};

	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		size_t n = strlen(words[i]);
		if ((size_t)(c->end - c->at) >= n && memcmp(c->at, words[i], n) == 0) {
			c->at += n;
			return true;
		}
	}
	return refuse(c, "it is no JSON");
}

static bool take_value(struct cursor *c);

/* Members or elements until close. */
static bool take_list(struct cursor *c, char close, bool has_names)
{
	c->at++;
	if (c->depth++ == DECODE_DEPTH_MAX)
		return refuse(c, "it is nested too deep");
	skip_space(c);
	for (bool is_first = true; peek(c) != (unsigned char)close; is_first = false) {
		if (!is_first) {
			if (peek(c) != ',')
				return refuse(c, "a comma or an end was expected");
			c->at++;
			skip_space(c);
		}
		if (has_names) {
			if (!take_string(c, NULL, NULL))
				return false;
			skip_space(c);
			if (peek(c) != ':')
				return refuse(c, "a colon was expected");
			c->at++;
		}
		if (!take_value(c))
			return false;
		skip_space(c);
	}
	c->at++;
	c->depth--;
	return true;
}

/* Recursion ends at DECODE_DEPTH_MAX. */
static bool take_value(struct cursor *c)
{
	skip_space(c);
	switch (peek(c)) {
	case '{': return take_list(c, '}', true);
	case '[': return take_list(c, ']', false);
	case '"': return take_string(c, NULL, NULL);
	case 't':
	case 'f':
	case 'n': return take_word(c);
	default: return take_number(c);
	}
}

/* ---- names that stand twice */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool names_differ(const char **names, size_t n)
{
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 1; i < n; i++) {
		if (str_equal(names[i - 1], names[i]))
			return false;
	}
	return true;
}

static bool object_is_clear(const cJSON *object)
{
	size_t n = (size_t)cJSON_GetArraySize(object), i = 0;
	const cJSON *child;

	if (!cJSON_IsObject(object) || n < 2)
		return true;
	const char **names = secmem_zalloc(n, sizeof(*names));
	if (!names)
		return false;
	decode_each(child, object) names[i++] = child->string;
	bool is_clear = names_differ(names, n);
	secmem_free(names);
	return is_clear;
}

/* cJSON's own depth is bounded by decode_check, which came first. */
static bool tree_is_clear(const cJSON *tree)
{
	const cJSON *child;

	if (!object_is_clear(tree))
		return false;
	decode_each(child, tree)
	{
		if (!tree_is_clear(child))
			return false;
	}
	return true;
}

/* ---- what providers call */

static bool check_grammar(const char *text, size_t length, struct strbuf *why)
{
	struct cursor c = {.at = text, .end = text + length};

	bool is_good = take_value(&c);
	skip_space(&c);
	if (is_good && c.at != c.end)
		is_good = refuse(&c, "something stands behind its end");
	if (!is_good && why)
		strbuf_addf(why, "it is not the JSON that was expected (byte %zu: %s)",
			    (size_t)(c.at - text), c.error);
	return is_good;
}

cJSON *decode_parse(const char *text, size_t length, struct strbuf *why)
{
	if (!check_grammar(text, length, why))
		return NULL;
	cJSON *tree = cJSON_ParseWithLength(text, length);
	if (tree && tree_is_clear(tree))
		return tree;
	if (why)
		strbuf_adds(why, tree ? "it is JSON that has a name twice in one object"
				      : "there is no memory for it");
	cJSON_Delete(tree);
	return NULL;
}

bool decode_check(const char *text, size_t length, struct strbuf *why)
{
	cJSON *tree = decode_parse(text, length, why);

	cJSON_Delete(tree);
	return tree != NULL;
}

const cJSON *decode_member(const cJSON *object, const char *name)
{
	return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

const char *decode_string(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(decode_member(object, name));
}

bool decode_integer(const cJSON *object, const char *name, int64_t *ret_value)
{
	const cJSON *member = decode_member(object, name);

	if (!cJSON_IsNumber(member) || !(member->valuedouble >= -9007199254740992.0) ||
	    !(member->valuedouble <= 9007199254740992.0))
		return false;
	*ret_value = (int64_t)member->valuedouble;
	return true;
}

bool decode_bool(const cJSON *object, const char *name)
{
	return cJSON_IsTrue(decode_member(object, name));
}

bool decode_next(const struct decode_span *object, size_t *cursor, char **ret_name,
		 struct decode_span *ret_value)
{
	struct cursor c = {.at = object->text + *cursor, .end = object->text + object->length};
	struct decode_span name;

	if (*cursor == 0 && peek(&c) != '{')
		return false;
	c.at++; /* the brace, or the comma behind the member before */
	skip_space(&c);
	name.text = c.at;
	if (!take_string(&c, NULL, NULL))
		return false;
	name.length = (size_t)(c.at - name.text);
	skip_space(&c);
	c.at++;
	skip_space(&c);
	const char *value = c.at;
	if (!take_value(&c))
		return false;
	*ret_value = (struct decode_span){value, (size_t)(c.at - value)};
	skip_space(&c);
	*cursor = (size_t)(c.at - object->text);
	size_t length;
	*ret_name = decode_text(&name, &length);
	return *ret_name != NULL;
}

static bool find_member(const struct decode_span *object, const char *wanted,
			struct decode_span *ret_value)
{
	struct decode_span value;
	size_t cursor = 0;
	char *name;

	while (decode_next(object, &cursor, &name, &value)) {
		bool is_it = str_equal(name, wanted);
		secmem_free(name);
		if (is_it) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

bool decode_find(const char *text, size_t length, const char *const *path,
		 struct decode_span *ret_span)
{
	struct cursor c = {.at = text, .end = text + length};

	skip_space(&c);
	struct decode_span span = {c.at, (size_t)(c.end - c.at)};
	for (; *path; path++) {
		if (!find_member(&span, *path, &span))
			return false;
	}
	*ret_span = span;
	return true;
}

char *decode_text(const struct decode_span *span, size_t *ret_length)
{
	struct cursor c = {.at = span->text, .end = span->text + span->length};
	size_t length = span->length;

	char *to = secmem_alloc(span->length + 1);
	if (!to)
		return NULL;
	if (peek(&c) != '"') {
		memcpy(to, span->text, length);
	} else if (!take_string(&c, to, &length)) {
		secmem_free(to);
		return NULL;
	}
	to[length] = '\0';
	*ret_length = length;
	return to;
}

/* libcrypto takes white space at the ends, and padding anywhere. */
static bool is_base64(const char *text, size_t length)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789+/";

	for (size_t i = 0; i < length; i++) {
		if (!memchr(letters, text[i], sizeof(letters) - 1))
			return false;
	}
	return true;
}

char *decode_base64(const char *text, size_t length, size_t *ret_length)
{
	size_t padding = 0;

	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	if (length % 4 != 0 || length > INT32_MAX || !is_base64(text, length - padding))
		return NULL;
	unsigned char *to = secmem_alloc(length / 4 * 3 + 1);
	if (!to)
		return NULL;
	int n = length == 0 ? 0 : EVP_DecodeBlock(to, (const unsigned char *)text, (int)length);
	if (n < 0 || (size_t)n != length / 4 * 3) {
		secmem_free(to);
		return NULL;
	}
	*ret_length = (size_t)n - padding;
	to[*ret_length] = '\0';
	return (char *)to;
}

/* ---- XML: of STS alone, whose replies have four elements that matter */

static const char *find(const char *text, size_t length, const char *wanted, size_t n)
{
	return memmem(text, length, wanted, n);
}

/* &#N; and &#xN;, printable ASCII alone: nothing else is in a credential. */
static bool character_of(const char *name, size_t length, char *ret_c)
{
	char number[8];
	char *end;

	if (length < 2 || length >= sizeof(number) || name[0] != '#')
		return false;
	memcpy(number, name + 1, length - 1);
	number[length - 1] = '\0';
	bool is_hex = number[0] == 'x';
	const char *digits = number + is_hex;
	if (hex_digit((unsigned char)digits[0]) < 0)
		return false;
	unsigned long value = strtoul(digits, &end, is_hex ? 16 : 10);
	if (*end != '\0' || value < ' ' || value > '~')
		return false;
	*ret_c = (char)value;
	return true;
}

static bool resolve_entity(const char *name, size_t length, char *ret_c)
{
	static const struct {
		const char *name;
		char c;
	} entities[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};

	for (size_t i = 0; i < ARRAY_COUNT(entities); i++) {
		if (strlen(entities[i].name) == length &&
		    memcmp(entities[i].name, name, length) == 0) {
			*ret_c = entities[i].c;
			return true;
		}
	}
	return character_of(name, length, ret_c);
}

static bool copy_text(const char *from, const char *end, char *to, size_t size)
{
	size_t length = 0;

	while (from < end) {
		char c = *from++;
		if (c == '&') {
			const char *semicolon = memchr(from, ';', (size_t)(end - from));
			if (!semicolon || !resolve_entity(from, (size_t)(semicolon - from), &c))
				return false;
			from = semicolon + 1;
		} else if (c == '<' || c == '\0') {
			return false;
		}
		if (length + 1 >= size)
			return false;
		to[length++] = c;
	}
	to[length] = '\0';
	return true;
}

bool decode_xml(const char *text, size_t length, const char *name, char *to, size_t size)
{
	char tag[64];
	struct strbuf buf;

	strbuf_init(&buf, tag, sizeof(tag));
	strbuf_addf(&buf, "<%s>", name);
	const char *start = buf.is_cut ? NULL : find(text, length, tag, buf.length);
	if (!start)
		return false;
	start += buf.length;
	strbuf_reset(&buf);
	strbuf_addf(&buf, "</%s>", name);
	if (buf.is_cut)
		return false;
	const char *end = find(start, length - (size_t)(start - text), tag, buf.length);
	return end && copy_text(start, end, to, size);
}

int64_t decode_time(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!rest)
		return 0;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (!str_equal(rest, "Z") && !str_equal(rest, "+00:00"))
		return 0;
	time_t when = timegm(&tm);
	return when < 0 ? 0 : when;
}
