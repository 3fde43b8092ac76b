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
static bool is_wrapper(const char *name)
{
	static const char *const names[] = {
		"env",	   "nice",    "ionice",	 "nohup",   "setsid",	 "stdbuf",    "timeout",
		"setpriv", "chrt",    "taskset", "tini",    "dumb-init", "catatonit", "holdfast",
		"chroot",  "unshare", "runcon",	 "prlimit", "numactl",	 "script",    "setarch",
	};

	return str_is_one_of(name, names, ARRAY_COUNT(names));
}

/*
 * The word behind a wrapper that it would run. Its own are options, settings and numbers; where an
 * option's word is taken for the program, that is no shell's name.
 */
static size_t wrapped_word(const struct strings *argv, size_t first)
{
	for (size_t i = first; i < argv->count; i++) {
		const char *word = argv->items[i];
		const char *name = str_base_name(word);
		if (*word == '-' || strchr(word, '='))
			continue;
		if (shells_is_login(name) || shells_is_shell(name) || is_multi_call(name) ||
		    is_wrapper(name) || *word == '/')
			return i;
	}
	return argv->count;
}

static const char *refusal_from(const char *name, const struct strings *argv, size_t first)
{
	/* busybox and toybox are what their argv[0], or their first argument, says. */
	if (is_multi_call(name)) {
		const char *called = first > 0 && first <= argv->count
					     ? str_base_name(argv->items[first - 1])
					     : "";
		if (strcmp(called, name) == 0 && argv->count > first)
			called = argv->items[first++];
		name = called;
	}
	if (shells_is_login(name))
		return "it gives a login, and nobody gets in";
	if (shells_is_shell(name) && is_interactive(argv, first))
		return "an interactive shell, and nobody gets in: expected -c or a script";
	if (!is_wrapper(name))
		return NULL;
	size_t next = wrapped_word(argv, first);
	return next < argv->count ? refusal_from(str_base_name(argv->items[next]), argv, next + 1)
				  : NULL;
}

const char *shells_refusal(const char *path, const struct strings *argv)
{
	return refusal_from(str_base_name(path), argv, 1);
}
