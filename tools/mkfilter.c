/*
 * mkfilter LIST NAME: turns a list of system calls into a seccomp filter, at build time.
 *
 * libseccomp does the compiling here, on the machine that builds, so that the program in the image
 * links nothing but libc, and its filter is plain constant data: the same on every start, to be
 * read in the source and diffed between versions.
 *
 * A list has one call a line, and says why:
 *
 *	epoll_wait				# the loop
 *	mmap arg2&4==0				# no PROT_EXEC
 *	fcntl arg1==1|2				# F_GETFD or F_SETFD
 *	kill: execve				# what only an intruder would do
 *
 * Comparisons are == != < <= > >= on the whole 64-bit argument; == may be masked (arg2&4==0) or
 * give alternatives (1|2). Several on a line, of different arguments, must all hold. Numbers are
 * decimal or 0x hexadecimal. "kill:" ends the process; any call that stands nowhere gets EPERM. A
 * name that exists on other architectures only is skipped; one that exists nowhere is an error.
 *
 * Two actions, because they answer two different things. A call that nobody thought of (a libc
 * that grew, a path never taken in a test) must not end logging or health: it fails with EPERM,
 * and the kernel writes a line (SECCOMP_FILTER_FLAG_LOG). A call that no version of the program
 * makes, and every payload does, ends the process, which PID 1 counts and says.
 *
 * The header has a second filter for the crash flavour (lib/crash.h), which must be able to create
 * its marker and to kill itself. There a call that nobody thought of ends the process, too: a test
 * is to be told of it. Generated on the machine's own architecture, for it.
 *
 * A list that begins with the line "default: allow" says the opposite: what is denied, in groups.
 *
 *	[mount]					# a group; it has at most GROUPS_MAX
 *	pivot_root				# denied with EPERM
 *	enosys: fsopen				# denied with ENOSYS
 *	enosys: other-abis			# calls of another architecture
 *
 * mkfilter --calls LIST NAME makes of such a list a table of all calls of the machine's architecture
 * by number: the name, and the group that denies it.
 *
 * There a denial does not return its error yet but FILTER_CODE(group, error), so that whoever loads
 * the filter can free whole groups by changing its returns, and needs no compiler for that. Two
 * filters come of it: one that knows the machine's own architecture alone, and one for where
 * other-abis is free, which holds its programs of other architectures to the same list.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/filter.h>

#include "tools/shorten.h"

#define COMPARISONS_MAX	 6 /* one for each argument */
#define ALTERNATIVES_MAX 16
#define FILTER_MAX	 4096 /* BPF_MAXINSNS */
#define NUMBER_MAX	 1024 /* above every call's number */
#define GROUPS_MAX	 32
#define NAME_MAX_LENGTH	 32

/* As the header that is made has it: libseccomp takes no number above 4095. */
#define FILTER_CODE(group, error) (((group) + 1U) * 2 + ((error) == ENOSYS))

/* What a crash point calls (lib/crash.c), on top of the list. */
static const char *const crash_calls[] = {"openat", "kill", "getpid"};

/* Architectures whose programs the machine's kernel runs as well. */
static const uint32_t foreign_architectures[] = {
#if defined(__x86_64__)
	SCMP_ARCH_X86,
	SCMP_ARCH_X32,
#elif defined(__aarch64__)
	SCMP_ARCH_ARM,
#endif
	0,
};

struct rule {
	uint32_t action;
	int number;
	unsigned n_comparisons;
	struct scmp_arg_cmp comparisons[COMPARISONS_MAX];
	/* Further values of the one comparison that has alternatives. */
	unsigned alternative_of, n_alternatives;
	uint64_t alternatives[ALTERNATIVES_MAX];
};

static const char *list_name;
static unsigned line_number;
static bool is_deny_list;
/* Of a deny list: the groups so far, the last one being open, and what another architecture gets. */
static char groups[GROUPS_MAX][NAME_MAX_LENGTH];
static unsigned n_groups;
static uint32_t foreign_action;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%u: ", list_name, line_number);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t parse_number(char **at)
{
	char *end;

	errno = 0;
	uint64_t value = strtoull(*at, &end, 0);
	if (end == *at || errno)
		fail("a number was expected at \"%s\"", *at);
	*at = end;
	return value;
}

static enum scmp_compare parse_operator(char **at)
{
	static const struct {
		const char *text;
		enum scmp_compare op;
	} operators[] = {
		{"==", SCMP_CMP_EQ}, {"!=", SCMP_CMP_NE}, {"<=", SCMP_CMP_LE},
		{">=", SCMP_CMP_GE}, {"<", SCMP_CMP_LT},  {">", SCMP_CMP_GT},
	};

	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		size_t length = strlen(operators[i].text);
		if (strncmp(*at, operators[i].text, length) != 0)
			continue;
		*at += length;
		return operators[i].op;
	}
	fail("a comparison (== != < <= > >=) was expected at \"%s\"", *at);
}

static void parse_alternatives(char **at, struct rule *rule)
{
	while (**at == '|') {
		(*at)++;
		if (rule->n_alternatives == ALTERNATIVES_MAX)
			fail("at most %d alternatives fit", ALTERNATIVES_MAX);
		rule->alternatives[rule->n_alternatives++] = parse_number(at);
	}
}

/* arg<N>[&MASK]<op>VALUE[|VALUE...] */
static void parse_comparison(char *word, struct rule *rule)
{
	if (strncmp(word, "arg", 3) != 0 || word[3] < '0' || word[3] > '5')
		fail("arg0 to arg5 was expected at \"%s\"", word);
	struct scmp_arg_cmp cmp = {.arg = (unsigned)(word[3] - '0')};
	for (unsigned i = 0; i < rule->n_comparisons; i++) {
		if (rule->comparisons[i].arg == cmp.arg)
			fail("libseccomp takes one comparison for each argument");
	}
	char *at = word + 4;
	bool is_masked = *at == '&';
	if (is_masked) {
		at++;
		cmp.datum_a = parse_number(&at);
	}
	cmp.op = parse_operator(&at);
	if (is_masked && cmp.op != SCMP_CMP_EQ)
		fail("a mask goes with == alone");
	uint64_t value = parse_number(&at);
	if (is_masked) {
		cmp.op = SCMP_CMP_MASKED_EQ;
		cmp.datum_b = value;
	} else {
		cmp.datum_a = value;
	}
	if (*at == '|' && (cmp.op != SCMP_CMP_EQ || rule->n_alternatives > 0))
		fail("alternatives go with one plain == a line");
	rule->alternative_of = *at == '|' ? rule->n_comparisons : rule->alternative_of;
	parse_alternatives(&at, rule);
	if (*at)
		fail("\"%s\" is too much", at);
	rule->comparisons[rule->n_comparisons++] = cmp;
}

/* "[name]" */
static void open_group(const char *word)
{
	size_t length = strlen(word);

	if (!is_deny_list)
		fail("groups are for a list that begins with \"default: allow\"");
	if (length < 3 || word[length - 1] != ']' || length - 2 >= NAME_MAX_LENGTH)
		fail("a group was expected: [name]");
	if (n_groups == GROUPS_MAX)
		fail("at most %d groups fit", GROUPS_MAX);
	for (unsigned i = 0; i < n_groups; i++) {
		if (strlen(groups[i]) == length - 2 &&
		    strncmp(groups[i], word + 1, length - 2) == 0)
			fail("the group stands twice");
	}
	memcpy(groups[n_groups++], word + 1, length - 2);
}

static uint32_t deny(uint32_t error)
{
	if (n_groups == 0)
		fail("a group was expected first: [name]");
	return SCMP_ACT_ERRNO(FILTER_CODE(n_groups - 1, error));
}

/* What the line asks for, from its first word on; NULL: nothing that is a call. */
static char *parse_action(char *word, char **save, uint32_t *ret_action)
{
	const char *prefix = is_deny_list ? "enosys:" : "kill:";

	if (word && *word == '[') {
		open_group(word);
		return NULL;
	}
	bool has_prefix = word && strcmp(word, prefix) == 0;
	if (has_prefix) {
		word = strtok_r(NULL, " \t", save);
		if (!word)
			fail("a call was expected after \"%s\"", prefix);
	}
	if (!word)
		return NULL;
	if (is_deny_list)
		*ret_action = deny(has_prefix ? ENOSYS : EPERM);
	else
		*ret_action = has_prefix ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW;
	if (!is_deny_list || strcmp(word, "other-abis") != 0)
		return word;
	foreign_action = *ret_action;
	return NULL;
}

/* False for a line without a call. The number of one that only other architectures have is below
 * zero. */
static bool parse_line(char *line, struct rule *ret_rule)
{
	struct rule rule = {.number = 0};
	char *save = NULL;

	line[strcspn(line, "#\n")] = '\0';
	char *word = parse_action(strtok_r(line, " \t", &save), &save, &rule.action);
	if (!word)
		return false;
	rule.number = seccomp_syscall_resolve_name(word);
	if (rule.number == __NR_SCMP_ERROR)
		fail("\"%s\" is no system call of any architecture", word);
	while ((word = strtok_r(NULL, " \t", &save)))
		parse_comparison(word, &rule);
	*ret_rule = rule;
	return true;
}

/* libseccomp takes a call under two actions, and the later one silently wins. */
static void check_action(const struct rule *rule)
{
	static uint32_t actions[NUMBER_MAX];

	if (rule->number < 0)
		return;
	if (rule->number >= NUMBER_MAX)
		fail("call number %d is beyond this program's table", rule->number);
	uint32_t *action = &actions[rule->number];
	if (*action && *action != rule->action)
		fail("the call stands twice, under two actions");
	*action = rule->action;
}

enum flavour {
	FLAVOUR_PLAIN,
	FLAVOUR_CRASH,	/* for crash points */
	FLAVOUR_FOREIGN /* with other architectures */
};

#define ALLOW_LINE "default: allow\n"

static bool is_crash_call(int number)
{
	for (size_t i = 0; i < sizeof(crash_calls) / sizeof(crash_calls[0]); i++) {
		if (seccomp_syscall_resolve_name(crash_calls[i]) == number)
			return true;
	}
	return false;
}

static void add_rule(scmp_filter_ctx context, struct rule *rule)
{
	int r = seccomp_rule_add_array(context, rule->action, rule->number, rule->n_comparisons,
				       rule->comparisons);

	for (unsigned i = 0; r == 0 && i < rule->n_alternatives; i++) {
		rule->comparisons[rule->alternative_of].datum_a = rule->alternatives[i];
		r = seccomp_rule_add_array(context, rule->action, rule->number, rule->n_comparisons,
					   rule->comparisons);
	}
	if (r < 0)
		fail("libseccomp refuses this: %s", strerror(-r));
}

/* Where death is what a call gets anyway, libseccomp takes no rule that says so. */
static bool is_wanted(const struct rule *rule, enum flavour flavour)
{
	if (rule->number < 0)
		return flavour == FLAVOUR_FOREIGN;
	return flavour != FLAVOUR_CRASH ||
	       (rule->action == SCMP_ACT_ALLOW && !is_crash_call(rule->number));
}

static void add_list(scmp_filter_ctx context, enum flavour flavour)
{
	char line[512];
	FILE *list = fopen(list_name, "re");

	if (!list)
		fail("%s", strerror(errno));
	memset(groups, 0, sizeof(groups));
	n_groups = 0;
	for (line_number = 1; fgets(line, sizeof(line), list); line_number++) {
		struct rule rule;
		if (!strchr(line, '\n'))
			fail("at most %zu characters and a newline were expected",
			     sizeof(line) - 2);
		if (is_deny_list && strcmp(line, ALLOW_LINE) == 0)
			continue;
		if (!parse_line(line, &rule))
			continue;
		check_action(&rule);
		if (is_wanted(&rule, flavour))
			add_rule(context, &rule);
	}
	(void)fclose(list);
}

/* Whether the list's first line that says anything is that of a deny list. */
static bool has_allow_line(void)
{
	char line[512];
	FILE *list = fopen(list_name, "re");
	bool is_it = false;

	while (list && fgets(line, sizeof(line), list)) {
		if (line[strspn(line, " \t\n")] == '#' || line[strspn(line, " \t\n")] == '\0')
			continue;
		is_it = strcmp(line, ALLOW_LINE) == 0;
		break;
	}
	if (list)
		(void)fclose(list);
	return is_it;
}

static void add_crash_calls(scmp_filter_ctx context)
{
	for (size_t i = 0; i < sizeof(crash_calls) / sizeof(crash_calls[0]); i++) {
		int number = seccomp_syscall_resolve_name(crash_calls[i]);
		struct rule rule = {.action = SCMP_ACT_ALLOW, .number = number};
		if (number >= 0)
			add_rule(context, &rule);
	}
}

/* Only where it is a deny list's is anything but death right for another architecture's calls, and
 * which that is stands in the list: it is read once for that alone. */
static uint32_t read_foreign_action(void)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);

	foreign_action = 0;
	add_list(context, FLAVOUR_PLAIN);
	seccomp_release(context);
	if (foreign_action == 0)
		fail("a list of what is denied must say so of other-abis, too");
	return foreign_action;
}

static void add_architectures(scmp_filter_ctx context)
{
	for (size_t i = 0; foreign_architectures[i]; i++) {
		int r = seccomp_arch_add(context, foreign_architectures[i]);
		if (r < 0)
			fail("libseccomp does not know an architecture: %s", strerror(-r));
	}
}

/* Shorter, and proven to be the same: this runs on the machine that builds. */
static size_t shorten(struct sock_filter *filter, size_t count)
{
	static struct sock_filter whole[FILTER_MAX];
	unsigned architectures[8] = {seccomp_arch_native(), ~0U};

	for (size_t i = 0; foreign_architectures[i]; i++)
		architectures[2 + i] = foreign_architectures[i];
	memcpy(whole, filter, count * sizeof(*filter));
	size_t shortened = shorten_filter(filter, count);
	if (!shorten_is_same(whole, count, filter, shortened, architectures))
		fail("the filter is another one when it is shortened");
	return shortened;
}

static size_t compile(enum flavour flavour, struct sock_filter *ret_filter)
{
	static const uint32_t defaults[] = {
		[FLAVOUR_PLAIN] = SCMP_ACT_ERRNO(EPERM),
		[FLAVOUR_CRASH] = SCMP_ACT_KILL_PROCESS,
		[FLAVOUR_FOREIGN] = SCMP_ACT_ALLOW,
	};
	scmp_filter_ctx context = seccomp_init(is_deny_list ? SCMP_ACT_ALLOW : defaults[flavour]);
	FILE *file = tmpfile();

	if (!context || !file)
		fail("%s", strerror(errno));
	/* Foreign architectures (a 32-bit int 0x80) are death; a tree instead of a chain. */
	(void)seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH,
			       is_deny_list ? read_foreign_action() : SCMP_ACT_KILL_PROCESS);
	(void)seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (flavour == FLAVOUR_CRASH)
		add_crash_calls(context);
	if (flavour == FLAVOUR_FOREIGN)
		add_architectures(context);
	add_list(context, flavour);
	int r = seccomp_export_bpf(context, fileno(file));
	if (r < 0)
		fail("libseccomp cannot compile the list: %s", strerror(-r));
	rewind(file);
	size_t count = fread(ret_filter, sizeof(*ret_filter), FILTER_MAX, file);
	if (count == 0 || !feof(file))
		fail("1 to %d instructions were expected", FILTER_MAX - 1);
	(void)fclose(file);
	seccomp_release(context);
	return shorten(ret_filter, count);
}

static void print(const char *name, const char *what, const struct sock_filter *filter,
		  size_t count)
{
	printf("static const struct sock_filter %s_%s[] = {\n", name, what);
	for (size_t i = 0; i < count; i++)
		printf("\t{0x%04x, %u, %u, 0x%08x},\n", filter[i].code, filter[i].jt, filter[i].jf,
		       filter[i].k);
	printf("};\n");
}

static void print_allow_list(const char *name, struct sock_filter *filter)
{
	printf("#ifdef HOLDFAST_CRASH_POINTS\n");
	print(name, "filter", filter, compile(FLAVOUR_CRASH, filter));
	printf("#else\n");
	print(name, "filter", filter, compile(FLAVOUR_PLAIN, filter));
	printf("#endif\n");
}

static void print_deny_list(const char *name, struct sock_filter *filter)
{
	print(name, "filter", filter, compile(FLAVOUR_PLAIN, filter));
	print(name, "foreign_filter", filter, compile(FLAVOUR_FOREIGN, filter));
	printf("/* What SECCOMP_RET_ERRNO returns here is (group + 1) * 2, plus 1 for ENOSYS. */\n"
	       "static const char *const %s_groups[] = {",
	       name);
	for (unsigned i = 0; i < n_groups; i++)
		printf("%s\"%s\"", i ? ", " : "", groups[i]);
	printf("};\n");
}

static void find_groups(unsigned group_of[NUMBER_MAX])
{
	char line[512];
	FILE *list = fopen(list_name, "re");

	if (!list)
		fail("%s", strerror(errno));
	for (line_number = 1; fgets(line, sizeof(line), list); line_number++) {
		struct rule rule;
		if (strcmp(line, ALLOW_LINE) == 0 || !parse_line(line, &rule))
			continue;
		if (rule.number >= 0 && rule.number < NUMBER_MAX)
			group_of[rule.number] = n_groups;
	}
	(void)fclose(list);
}

static void print_calls(const char *name)
{
	static unsigned group_of[NUMBER_MAX]; /* plus 1 */

	find_groups(group_of);
	printf("static const struct {\n\tconst char *name, *group;\n} %s_calls[] = {\n", name);
	for (int number = 0; number < NUMBER_MAX; number++) {
		char *call = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
		if (call)
			printf("\t[%d] = {\"%s\", \"%s\"},\n", number, call,
			       group_of[number] ? groups[group_of[number] - 1] : "");
		free(call);
	}
	printf("};\n");
}

int main(int argc, char **argv)
{
	static struct sock_filter filter[FILTER_MAX];
	bool wants_calls = argc == 4 && strcmp(argv[1], "--calls") == 0;

	if (argc != 3 && !wants_calls) {
		fprintf(stderr, "usage: mkfilter [--calls] LIST NAME\n");
		return 64;
	}
	argv += wants_calls;
	list_name = argv[1];
	is_deny_list = has_allow_line();
	printf("/* Made by tools/mkfilter.c from %s. */\n#pragma once\n#include <linux/filter.h>\n\n",
	       list_name);
	if (wants_calls)
		print_calls(argv[2]);
	else if (is_deny_list)
		print_deny_list(argv[2], filter);
	else
		print_allow_list(argv[2], filter);
	return fflush(stdout) == 0 ? 0 : 1;
}
