#include "units/shells.h"

#include <stddef.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

bool shells_is_login(const char *name)
{
	static const char *const names[] = {
		"sshd",	      "sshd-session", "dropbear",    "dropbearmulti", "tinysshd",
		"getty",      "agetty",	      "mingetty",    "mgetty",	      "fgetty",
		"login",      "sulogin",      "su",	     "sudo",	      "runuser",
		"doas",	      "telnetd",      "in.telnetd",  "utelnetd",      "rlogind",
		"in.rlogind", "rshd",	      "mosh-server", "shellinaboxd",  "ttyd",
		"gotty",      "wetty",
	};

	return str_is_one_of(name, names, ARRAY_COUNT(names));
}

bool shells_is_shell(const char *name)
{
	static const char *const names[] = {"sh",   "bash", "rbash", "dash",  "ash",  "hush",
					    "zsh",  "ksh",  "ksh93", "mksh",  "fish", "csh",
					    "tcsh", "yash", "pwsh",  "nu",    "lksh", "posh",
					    "sash", "es",   "xonsh", "elvish"};

	return str_is_one_of(name, names, ARRAY_COUNT(names));
}

static bool is_multi_call(const char *name)
{
	return strcmp(name, "busybox") == 0 || strcmp(name, "toybox") == 0;
}

/* Without -c and without a script a shell reads what somebody types; -i, -l and -s ask for it. */
static bool is_interactive(const struct strings *argv, size_t first)
{
	bool has_command = false;

	for (size_t i = first; i < argv->count; i++) {
		const char *word = argv->items[i];
		if (strcmp(word, "--login") == 0 || strcmp(word, "--interactive") == 0)
			return true;
		if (strcmp(word, "--") == 0)
			return i + 1 == argv->count && !has_command;
		if (word[0] == '-' && word[1] == '-')
			continue;
		if (word[0] != '-' || !word[1])
			return word[0] == '-';
		if (strpbrk(word, "is"))
			return true;
		if (strchr(word, 'c'))
			has_command = true;
		/* -o and -O take a word of their own. */
		if (strpbrk(word, "oO"))
			i++;
	}
	return !has_command;
}

/* Programs that become what their next word names. */
bool shells_is_wrapper(const char *name)
{
	static const char *const names[] = {
		"env",	   "nice",    "ionice",	 "nohup",   "setsid",	 "stdbuf",    "timeout",
		"setpriv", "chrt",    "taskset", "tini",    "dumb-init", "catatonit", "holdfast",
		"chroot",  "unshare", "runcon",	 "prlimit", "numactl",	 "script",    "setarch",
	};

	return str_is_one_of(name, names, ARRAY_COUNT(names));
}

/* A command line, and how its programs are found. */
struct line {
	const struct strings *argv;
	shells_follow *follow;
	void *context;
};

static bool is_of_interest(const char *name)
{
	return shells_is_login(name) || shells_is_shell(name) || is_multi_call(name) ||
	       shells_is_wrapper(name);
}

/*
 * The word behind a wrapper that it would run. Its own are options, settings, numbers and folders;
 * where an option's word is taken for the program, that is no shell's name.
 */
static size_t wrapped_word(const struct line *line, size_t first)
{
	for (size_t i = first; i < line->argv->count; i++) {
		const char *word = line->argv->items[i];
		if (*word == '-' || strchr(word, '='))
			continue;
		if (is_of_interest(str_base_name(word)))
			return i;
		const char *target = line->follow(line->context, word);
		if (target && (*word == '/' || is_of_interest(str_base_name(target))))
			return i;
	}
	return line->argv->count;
}

/* What a program of that name does: busybox and toybox are what their argv[0], or their first
 * argument, says. *first, the word behind its own, goes on behind such an argument. */
static const char *called_as(const struct line *line, const char *name, size_t *first)
{
	const struct strings *argv = line->argv;

	if (!is_multi_call(name) || *first == 0 || *first > argv->count)
		return name;
	const char *called = str_base_name(argv->items[*first - 1]);
	return is_multi_call(called) && *first < argv->count ? argv->items[(*first)++] : called;
}

static const char *refusal_by_name(const struct line *line, const char *name, size_t first)
{
	if (shells_is_login(name))
		return "it gives a login, and nobody gets in";
	if (shells_is_shell(name) && is_interactive(line->argv, first))
		return "an interactive shell, and nobody gets in: expected -c or a script";
	return NULL;
}

const char *shells_refusal(const char *path, const struct strings *argv, shells_follow *follow,
			   void *context)
{
	const struct line line = {argv, follow, context};
	size_t first = 1;

	for (;;) {
		const char *target = follow(context, path);
		const char *name = called_as(&line, str_base_name(path), &first);
		const char *behind =
			called_as(&line, target ? str_base_name(target) : name, &first);
		const char *refusal = refusal_by_name(&line, name, first);
		if (!refusal)
			refusal = refusal_by_name(&line, behind, first);
		if (refusal || (!shells_is_wrapper(name) && !shells_is_wrapper(behind)))
			return refusal;
		size_t next = wrapped_word(&line, first);
		if (next == argv->count)
			return NULL;
		path = argv->items[next];
		first = next + 1;
	}
}
