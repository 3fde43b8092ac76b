#include "gate/audit.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"

struct word {
	const char *text;
	size_t length;
};

/* The value behind the first " key="; a label of a security module, which comes before most others, has
 * no blank that an unprivileged process could choose. */
static bool find_value(const char *text, size_t length, const char *key, struct word *ret_value)
{
	size_t key_length = strlen(key);
	const char *end = text + length;

	for (const char *at = text; at < end;) {
		const char *blank = memchr(at, ' ', (size_t)(end - at));
		const char *stop = blank ? blank : end;
		size_t size = (size_t)(stop - at);
		if (size > key_length && memcmp(at, key, key_length) == 0 &&
		    at[key_length] == '=') {
			*ret_value = (struct word){at + key_length + 1, size - key_length - 1};
			return true;
		}
		at = stop + 1;
	}
	return false;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

static bool read_number(const char *text, size_t length, const char *key, unsigned base,
			uint64_t max, uint64_t *ret_number)
{
	struct word word;
	uint64_t number = 0;

	if (!find_value(text, length, key, &word))
		return false;
	if (base == 16 && word.length > 2 && memcmp(word.text, "0x", 2) == 0)
		word = (struct word){word.text + 2, word.length - 2};
	for (size_t i = 0; i < word.length; i++) {
		unsigned digit = (unsigned)digit_of(word.text[i]);
		if (digit >= base || number > (max - digit) / base)
			return false;
		number = number * base + digit;
	}
	*ret_number = number;
	return word.length > 0;
}

static void put(char *to, size_t size, size_t *length, char c)
{
	if (*length + 1 < size)
		to[(*length)++] = c;
}

/* A value that somebody chose: it is a text in quotes, or hexadecimal. What is neither is left out. */
static void read_text(const char *text, size_t length, const char *key, char *to, size_t size)
{
	struct word word;
	size_t n = 0;

	if (!find_value(text, length, key, &word))
		word.length = 0;
	bool is_quoted =
		word.length >= 2 && word.text[0] == '"' && word.text[word.length - 1] == '"';
	for (size_t i = 1; is_quoted && i + 1 < word.length; i++)
		put(to, size, &n, word.text[i]);
	for (size_t i = 0; !is_quoted && i + 1 < word.length; i += 2) {
		int high = digit_of(word.text[i]), low = digit_of(word.text[i + 1]);
		/* 0 ends it: the kernel gives the whole of a field of fixed size. */
		if (high > 15 || low > 15 || high + low == 0)
			break;
		put(to, size, &n, (char)(high * 16 + low));
	}
	to[n] = '\0';
}

int audit_parse(const char *text, size_t length, struct audit_refusal *ret_refusal)
{
	uint64_t pid, uid, arch, number, action;
	struct audit_refusal refusal;

	if (!read_number(text, length, "pid", 10, INT32_MAX, &pid) ||
	    !read_number(text, length, "uid", 10, UINT32_MAX, &uid) ||
	    !read_number(text, length, "arch", 16, UINT32_MAX, &arch) ||
	    !read_number(text, length, "syscall", 10, UINT32_MAX, &number) ||
	    !read_number(text, length, "code", 16, UINT32_MAX, &action))
		return -EBADMSG;
	refusal = (struct audit_refusal){
		.pid = (int32_t)pid,
		.uid = (uint32_t)uid,
		.arch = (uint32_t)arch,
		.number = (uint32_t)number,
		.action = (uint32_t)action,
	};
	read_text(text, length, "comm", refusal.comm, sizeof(refusal.comm));
	read_text(text, length, "exe", refusal.exe, sizeof(refusal.exe));
	*ret_refusal = refusal;
	return 0;
}
