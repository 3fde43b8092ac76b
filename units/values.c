#include "units/values.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "lib/cleanup.h"
#include "lib/signals.h"
#include "lib/str.h"

struct word_number {
	const char *word;
	uint64_t number;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits with an optional fraction, times the unit that follows. The fraction counts to a
 * billionth, more digits are passed over. */
static int add_scaled(uint64_t whole, uint32_t billionths, uint64_t unit, uint64_t *total)
{
	uint64_t value, part = billionths;

	if (__builtin_mul_overflow(whole, unit, &value))
		return -ERANGE;
	/* part < 10^9 and a unit below 2^63: split to stay inside 64 bits. */
	uint64_t fraction = unit / 1000000000 * part + unit % 1000000000 * part / 1000000000;
	if (__builtin_add_overflow(value, fraction, &value) ||
	    __builtin_add_overflow(*total, value, total))
		return -ERANGE;
	return 0;
}

static int read_number(const char **text, uint64_t *ret_whole, uint32_t *ret_billionths)
{
	const char *at = *text;
	uint64_t whole = 0;
	uint32_t fraction = 0, place = 100000000;

	if (!is_digit(*at) && !(at[0] == '.' && is_digit(at[1])))
		return -EINVAL;
	for (; is_digit(*at); at++) {
		if (__builtin_mul_overflow(whole, UINT64_C(10), &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*at - '0'), &whole))
			return -ERANGE;
	}
	if (*at == '.') {
		if (!is_digit(at[1]))
			return -EINVAL;
		for (at++; is_digit(*at); at++, place /= 10)
			fraction += (uint32_t)(*at - '0') * place;
	}
	*text = at;
	*ret_whole = whole;
	*ret_billionths = fraction;
	return 0;
}

static const struct word_number *find_unit(const char *text, size_t length,
					   const struct word_number *units, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(units[i].word) == length && strncmp(units[i].word, text, length) == 0)
			return &units[i];
	}
	return NULL;
}

static int read_scaled(const char *text, const char *stops, const struct word_number *units,
		       size_t n_units, uint64_t *ret_value)
{
	uint64_t total = 0;

	text += strspn(text, " \t");
	if (!*text)
		return -EINVAL;
	while (*text) {
		uint64_t whole;
		uint32_t billionths;
		int r = read_number(&text, &whole, &billionths);
		if (r < 0)
			return r;
		text += strspn(text, " \t");
		size_t length = strcspn(text, stops);
		const struct word_number *unit = find_unit(text, length, units, n_units);
		if (!unit)
			return -EINVAL;
		r = add_scaled(whole, billionths, unit->number, &total);
		if (r < 0)
			return r;
		text += length;
		text += strspn(text, " \t");
	}
	*ret_value = total;
	return 0;
}

int value_span(const char *text, uint64_t *ret_us)
{
	static const struct word_number units[] = {
		{"", 1000000},
		{"us", 1},
		{"usec", 1},
		{"µs", 1},
		{"μs", 1},
		{"ms", 1000},
		{"msec", 1000},
		{"s", 1000000},
		{"sec", 1000000},
		{"second", 1000000},
		{"seconds", 1000000},
		{"m", 60000000},
		{"min", 60000000},
		{"minute", 60000000},
		{"minutes", 60000000},
		{"h", UINT64_C(3600000000)},
		{"hr", UINT64_C(3600000000)},
		{"hour", UINT64_C(3600000000)},
		{"hours", UINT64_C(3600000000)},
		{"d", UINT64_C(86400000000)},
		{"day", UINT64_C(86400000000)},
		{"days", UINT64_C(86400000000)},
		{"w", UINT64_C(604800000000)},
		{"week", UINT64_C(604800000000)},
		{"weeks", UINT64_C(604800000000)},
		{"M", UINT64_C(2629800000000)},
		{"month", UINT64_C(2629800000000)},
		{"months", UINT64_C(2629800000000)},
		{"y", UINT64_C(31557600000000)},
		{"year", UINT64_C(31557600000000)},
		{"years", UINT64_C(31557600000000)},
	};

	if (strcmp(text, "infinity") == 0) {
		*ret_us = PLAN_INFINITY_US;
		return 0;
	}
	return read_scaled(text, "0123456789. \t", units, ARRAY_COUNT(units), ret_us);
}

int value_size(const char *text, uint64_t *ret_bytes)
{
	static const struct word_number units[] = {
		{"", 1},
		{"B", 1},
		{"K", UINT64_C(1) << 10},
		{"M", UINT64_C(1) << 20},
		{"G", UINT64_C(1) << 30},
		{"T", UINT64_C(1) << 40},
		{"P", UINT64_C(1) << 50},
		{"E", UINT64_C(1) << 60},
		{"k", UINT64_C(1) << 10},
		{"m", UINT64_C(1) << 20},
		{"g", UINT64_C(1) << 30},
	};

	if (strcmp(text, "infinity") == 0) {
		*ret_bytes = UINT64_MAX;
		return 0;
	}
	return read_scaled(text, "0123456789. \t", units, ARRAY_COUNT(units), ret_bytes);
}

int value_mode(const char *text, uint32_t *ret_mode)
{
	uint32_t mode = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '7')
			return -EINVAL;
		mode = mode * 8 + (uint32_t)(*text - '0');
		if (mode > 07777)
			return -ERANGE;
	}
	*ret_mode = mode;
	return 0;
}

int value_int(const char *text, int32_t min, int32_t max, int32_t *ret_value)
{
	bool is_negative = *text == '-';
	uint64_t number;
	int r = str_parse_u64(text + (is_negative || *text == '+'), INT32_MAX, &number);

	if (r < 0)
		return r;
	int32_t value = is_negative ? -(int32_t)number : (int32_t)number;
	if (value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int value_signal(const char *text, uint32_t *ret_signal)
{
	int number = signals_parse_exact(text);

	if (number < 0)
		return number;
	*ret_signal = (uint32_t)number;
	return 0;
}

int value_exit_status(const char *text, uint32_t *ret_status)
{
	static const struct word_number names[] = {
		{"SUCCESS", 0},
		{"FAILURE", 1},
		{"INVALIDARGUMENT", 2},
		{"NOTIMPLEMENTED", 3},
		{"NOPERMISSION", 4},
		{"NOTINSTALLED", 5},
		{"NOTCONFIGURED", 6},
		{"NOTRUNNING", 7},
		{"USAGE", 64},
		{"DATAERR", 65},
		{"NOINPUT", 66},
		{"NOUSER", 67},
		{"NOHOST", 68},
		{"UNAVAILABLE", 69},
		{"SOFTWARE", 70},
		{"OSERR", 71},
		{"OSFILE", 72},
		{"CANTCREAT", 73},
		{"IOERR", 74},
		{"TEMPFAIL", 75},
		{"PROTOCOL", 76},
		{"NOPERM", 77},
		{"CONFIG", 78},
		{"CHDIR", 200},
		{"NICE", 201},
		{"FDS", 202},
		{"EXEC", 203},
		{"MEMORY", 204},
		{"LIMITS", 205},
		{"OOM_ADJUST", 206},
		{"SIGNAL_MASK", 207},
		{"STDIN", 208},
		{"STDOUT", 209},
		{"CHROOT", 210},
		{"IOPRIO", 211},
		{"TIMERSLACK", 212},
		{"SECUREBITS", 213},
		{"SETSCHEDULER", 214},
		{"CPUAFFINITY", 215},
		{"GROUP", 216},
		{"USER", 217},
		{"CAPABILITIES", 218},
		{"CGROUP", 219},
		{"SETSID", 220},
		{"CONFIRM", 221},
		{"STDERR", 222},
		{"PAM", 224},
		{"NETWORK", 225},
		{"NAMESPACE", 226},
		{"NO_NEW_PRIVILEGES", 227},
		{"SECCOMP", 228},
		{"SELINUX_CONTEXT", 229},
		{"PERSONALITY", 230},
		{"APPARMOR", 231},
		{"ADDRESS_FAMILIES", 232},
		{"RUNTIME_DIRECTORY", 233},
		{"CHOWN", 235},
		{"SMACK_PROCESS_LABEL", 236},
		{"KEYRING", 237},
		{"STATE_DIRECTORY", 238},
		{"CACHE_DIRECTORY", 239},
		{"LOGS_DIRECTORY", 240},
		{"CONFIGURATION_DIRECTORY", 241},
		{"NUMA_POLICY", 242},
		{"CREDENTIALS", 243},
		{"BPF", 244},
		{"EXCEPTION", 255},
	};
	uint64_t number;
	int r = str_parse_u64(text, 255, &number);

	if (r == -ERANGE)
		return r;
	for (size_t i = 0; r < 0 && i < ARRAY_COUNT(names); i++) {
		if (strcmp(names[i].word, text) == 0) {
			number = names[i].number;
			r = 0;
		}
	}
	if (r == 0)
		*ret_status = (uint32_t)number;
	return r;
}

int value_capability(const char *text, uint32_t *ret_bit)
{
	/* By number, as <linux/capability.h> has them. */
	static const char *const names[] = {
		"chown",
		"dac_override",
		"dac_read_search",
		"fowner",
		"fsetid",
		"kill",
		"setgid",
		"setuid",
		"setpcap",
		"linux_immutable",
		"net_bind_service",
		"net_broadcast",
		"net_admin",
		"net_raw",
		"ipc_lock",
		"ipc_owner",
		"sys_module",
		"sys_rawio",
		"sys_chroot",
		"sys_ptrace",
		"sys_pacct",
		"sys_admin",
		"sys_boot",
		"sys_nice",
		"sys_resource",
		"sys_time",
		"sys_tty_config",
		"mknod",
		"lease",
		"audit_write",
		"audit_control",
		"setfcap",
		"mac_override",
		"mac_admin",
		"syslog",
		"wake_alarm",
		"block_suspend",
		"audit_read",
		"perfmon",
		"bpf",
		"checkpoint_restore",
	};
	uint64_t number;

	if (str_parse_u64(text, 62, &number) == 0) {
		*ret_bit = (uint32_t)number;
		return 0;
	}
	if (strncasecmp(text, "cap_", 4) == 0)
		text += 4;
	for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (strcasecmp(names[i], text) == 0) {
			*ret_bit = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* RLIMIT_NICE takes "+5" and "-5" as nice values; the kernel wants 20 minus that. */
static int nice_limit(const char *text, uint64_t *ret_value)
{
	int32_t nice;

	if (*text != '+' && *text != '-')
		return str_parse_u64(text, 40, ret_value);
	int r = value_int(text, -20, 19, &nice);
	if (r == 0)
		*ret_value = (uint64_t)(20 - nice);
	return r;
}

static int one_limit(uint32_t resource, const char *text, uint64_t *ret_value)
{
	uint64_t us;

	if (strcmp(text, "infinity") == 0) {
		*ret_value = UINT64_MAX;
		return 0;
	}
	switch (resource) {
	case RLIMIT_NICE: return nice_limit(text, ret_value);
	case RLIMIT_CPU:
	case RLIMIT_RTTIME: {
		/* A bare number counts in what the kernel counts in; with a unit it is a span. */
		if (str_parse_u64(text, UINT64_MAX - 1, ret_value) == 0)
			return 0;
		int r = value_span(text, &us);
		if (r == 0)
			*ret_value =
				resource == RLIMIT_RTTIME ? us : us / 1000000 + (us % 1000000 > 0);
		return r;
	}
	case RLIMIT_FSIZE:
	case RLIMIT_DATA:
	case RLIMIT_STACK:
	case RLIMIT_CORE:
	case RLIMIT_RSS:
	case RLIMIT_AS:
	case RLIMIT_MEMLOCK:
	case RLIMIT_MSGQUEUE: return value_size(text, ret_value);
	default: return str_parse_u64(text, UINT64_MAX - 1, ret_value);
	}
}

int value_limit(uint32_t resource, const char *text, struct limit *ret_limit)
{
	struct limit limit = {.is_set = true};
	const char *colon = strchr(text, ':');
	char soft[64];

	if (!colon) {
		int r = one_limit(resource, text, &limit.soft);
		limit.hard = limit.soft;
		if (r == 0)
			*ret_limit = limit;
		return r;
	}
	size_t length = (size_t)(colon - text);
	if (length >= sizeof(soft))
		return -EINVAL;
	memcpy(soft, text, length);
	soft[length] = '\0';
	int r = one_limit(resource, soft, &limit.soft);
	if (r == 0)
		r = one_limit(resource, colon + 1, &limit.hard);
	if (r == 0 && limit.soft > limit.hard)
		r = -ERANGE;
	if (r == 0)
		*ret_limit = limit;
	return r;
}

int value_enum(const char *text, const char *const *names, uint32_t count, uint32_t *ret_value)
{
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(names[i], text) == 0) {
			*ret_value = i;
			return 0;
		}
	}
	return -EINVAL;
}

void value_enum_words(const char *const *names, uint32_t count, char *text, size_t size)
{
	struct strbuf buf;

	strbuf_init(&buf, text, size);
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			strbuf_adds(&buf, i + 1 == count ? " or " : ", ");
		strbuf_adds(&buf, names[i]);
	}
}

#define DISTANCE_MAX 64

unsigned value_distance(const char *text, const char *name, unsigned limit)
{
	size_t n = strlen(text), m = strlen(name);
	unsigned row[DISTANCE_MAX + 1];

	if (n > DISTANCE_MAX || m > DISTANCE_MAX || (n > m ? n - m : m - n) > limit)
		return limit + 1;
	for (unsigned j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			bool same = strncasecmp(text + i - 1, name + j - 1, 1) == 0;
			unsigned replaced = diagonal + !same;
			diagonal = row[j];
			row[j] = MIN(replaced, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return MIN(row[m], limit + 1);
}

const char *value_nearest(const char *text, const char *const *names, size_t count)
{
	unsigned best = strlen(text) < 6 ? 2 : 3;
	const char *found = NULL;

	for (size_t i = 0; i < count; i++) {
		unsigned distance = value_distance(text, names[i], best - 1);
		if (distance < best) {
			best = distance;
			found = names[i];
		}
		if (best == 0)
			break;
	}
	return found;
}
