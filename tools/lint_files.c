#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "tools/lint_rules.h"
#include "units/shells.h"

bool lint_is_program(const struct image_file *file)
{
	static const char magic[] = "\177ELF";

	return file->size > strlen(magic) && memcmp(file->data, magic, strlen(magic)) == 0;
}

static bool is_word_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

const char *lint_find_word(const char *data, size_t size, const char *word)
{
	const char *at = data, *end = data + size;
	size_t length = strlen(word);

	while (size >= length && (at = memmem(at, (size_t)(end - at), word, length))) {
		if ((at == data || !is_word_character(at[-1])) &&
		    (at + length == end || !is_word_character(at[length])))
			return at;
		at += length;
	}
	return NULL;
}

/* ---------------------------------------------------------------- names */

struct name {
	const char *pattern;
	enum lint_rule rule;
	bool is_everyday; /* a word that applications are called by, too: judged in bin folders */
};

static const struct name names[] = {
	{"dpkg", LINT_PACKAGE_MANAGER, false},
	{"apt", LINT_PACKAGE_MANAGER, true},
	{"apt-get", LINT_PACKAGE_MANAGER, false},
	{"aptitude", LINT_PACKAGE_MANAGER, false},
	{"rpm", LINT_PACKAGE_MANAGER, true},
	{"dnf", LINT_PACKAGE_MANAGER, false},
	{"dnf[0-9]*", LINT_PACKAGE_MANAGER, false},
	{"microdnf", LINT_PACKAGE_MANAGER, false},
	{"yum", LINT_PACKAGE_MANAGER, false},
	{"zypper", LINT_PACKAGE_MANAGER, false},
	{"pacman", LINT_PACKAGE_MANAGER, false},
	{"apk", LINT_PACKAGE_MANAGER, true},
	{"opkg", LINT_PACKAGE_MANAGER, false},
	{"snap", LINT_PACKAGE_MANAGER, true},
	{"flatpak", LINT_PACKAGE_MANAGER, false},
	{"nix-env", LINT_PACKAGE_MANAGER, false},
	{"npm", LINT_PACKAGE_MANAGER, false},
	{"npx", LINT_PACKAGE_MANAGER, false},
	{"yarn", LINT_PACKAGE_MANAGER, true},
	{"corepack", LINT_PACKAGE_MANAGER, false},
	{"pip", LINT_PACKAGE_MANAGER, true},
	{"pip[0-9]*", LINT_PACKAGE_MANAGER, true},
	{"gem", LINT_PACKAGE_MANAGER, true},
	{"composer", LINT_PACKAGE_MANAGER, true},
	{"gdb", LINT_DEBUGGER, false},
	{"gdbserver", LINT_DEBUGGER, false},
	{"lldb", LINT_DEBUGGER, false},
	{"lldb-*", LINT_DEBUGGER, false},
	{"strace", LINT_DEBUGGER, false},
	{"ltrace", LINT_DEBUGGER, false},
	{"perf", LINT_DEBUGGER, true},
	{"bpftrace", LINT_DEBUGGER, false},
	{"bpftool", LINT_DEBUGGER, false},
	{"dlv", LINT_DEBUGGER, false},
	{"nsenter", LINT_DEBUGGER, false},
	{"tcpdump", LINT_DEBUGGER, false},
	{"socat", LINT_DEBUGGER, false},
	{"nc", LINT_DEBUGGER, true},
	{"nc.*", LINT_DEBUGGER, true},
	{"ncat", LINT_DEBUGGER, false},
	{"gcc", LINT_COMPILER, false},
	{"gcc-[0-9]*", LINT_COMPILER, false},
	{"g++*", LINT_COMPILER, false},
	{"*-linux-*-gcc*", LINT_COMPILER, false},
	{"cc", LINT_COMPILER, true},
	{"cc1", LINT_COMPILER, false},
	{"c++", LINT_COMPILER, true},
	{"clang", LINT_COMPILER, false},
	{"clang-[0-9]*", LINT_COMPILER, false},
	{"tcc", LINT_COMPILER, true},
	{"as", LINT_COMPILER, true},
	{"ld", LINT_COMPILER, true},
	{"ld.bfd", LINT_COMPILER, false},
	{"ld.gold", LINT_COMPILER, false},
	{"make", LINT_COMPILER, true},
	{"go", LINT_COMPILER, true},
	{"rustc", LINT_COMPILER, false},
	{"cargo", LINT_COMPILER, true},
	{"javac", LINT_COMPILER, false},
	{"python[0-9]*", LINT_INTERPRETER, true},
	{"perl", LINT_INTERPRETER, true},
	{"perl[0-9]*", LINT_INTERPRETER, true},
	{"ruby", LINT_INTERPRETER, true},
	{"ruby[0-9]*", LINT_INTERPRETER, true},
	{"node", LINT_INTERPRETER, true},
	{"lua*", LINT_INTERPRETER, true},
	{"tclsh*", LINT_INTERPRETER, true},
	{"php[0-9]*", LINT_INTERPRETER, true},
	{"gawk", LINT_INTERPRETER, true},
	{"mawk", LINT_INTERPRETER, true},
	{"env", LINT_INTERPRETER, true},
	{"xargs", LINT_INTERPRETER, true},
};

static const char *const reasons[LINT_RULE_COUNT] = {
	[LINT_PACKAGE_MANAGER] = "a package manager: an image is replaced, never changed",
	[LINT_DEBUGGER] = "a debugger, or another tool for whoever got in",
	[LINT_COMPILER] = "a compiler: what is built is built before the image is",
	[LINT_INTERPRETER] = "an interpreter: expected only where the application needs it",
};

static bool is_in_bin(const char *path)
{
	static const char *const folders[] = {"/bin/", "/sbin/"};
	size_t before = (size_t)(str_base_name(path) - path);

	for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
		size_t length = strlen(folders[i]);
		if (before >= length && memcmp(path + before - length, folders[i], length) == 0)
			return true;
	}
	return false;
}

static bool is_multi_call(const char *name)
{
	return strncmp(name, "busybox", 7) == 0 || strcmp(name, "toybox") == 0;
}

static void judge_ways_in(struct lint *lint, const struct image_file *file, const char *name)
{
	if (shells_is_shell(name) || is_multi_call(name))
		lint_say(lint, LINT_SHELL, file->path, file->layer, "a shell, by its name");
	else if (shells_is_login(name))
		lint_say(lint, LINT_LOGIN, file->path, file->layer,
			 "it gives a login, by its name, and nobody gets in");
}

void lint_names(struct lint *lint, const struct image_file *file)
{
	const char *name = str_base_name(file->path);
	bool is_executable = S_ISREG(file->mode) && (file->mode & 0111);

	if (!is_executable && !S_ISLNK(file->mode))
		return;
	/* A link is judged by its own name: multi-call programs do what that says. */
	judge_ways_in(lint, file, name);
	for (size_t i = 0; is_executable && i < ARRAY_COUNT(names); i++) {
		if (fnmatch(names[i].pattern, name, 0) != 0)
			continue;
		if (!names[i].is_everyday || is_in_bin(file->path))
			lint_say(lint, names[i].rule, file->path, file->layer, "%s",
				 reasons[names[i].rule]);
		return;
	}
}

/* ---------------------------------------------------------------- what programs have in them */

/* Variables and builtins that every POSIX shell must know: a renamed one has these words, too. Of
 * some 3,000 programs and libraries of Debian only shells, and a checker of scripts, had six. */
static const char *const shell_words[] = {"PS1",     "PS2",	"PS4",	  "IFS", "OPTIND",
					  "getopts", "unalias", "CDPATH", "PPID"};
#define SHELL_WORDS_MIN 6

static bool has_any(const struct image_file *file, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (memmem(file->data, file->size, texts[i], strlen(texts[i])))
			return true;
	}
	return false;
}

/* What it calls itself in the first line (RFC 4253, 4.2), and where it looks for who may enter:
 * clients have only the first. */
static bool is_ssh_server(const struct image_file *file)
{
	static const char *const banners[] = {"SSH-2.0-", "SSH-%d.%d-"};
	static const char *const doors[] = {"authorized_keys", "AuthorizedKeysFile"};

	return has_any(file, banners, ARRAY_COUNT(banners)) &&
	       has_any(file, doors, ARRAY_COUNT(doors));
}

static bool is_shell_inside(const struct image_file *file)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_COUNT(shell_words); i++) {
		/* Those that are left cannot make it up any more. */
		if (n + ARRAY_COUNT(shell_words) - i < SHELL_WORDS_MIN)
			return false;
		n += lint_find_word(file->data, file->size, shell_words[i]) != NULL;
	}
	return n >= SHELL_WORDS_MIN;
}

static void judge_script(struct lint *lint, const struct image_file *file)
{
	const char *start = file->data + 2, *end = memchr(file->data, '\n', file->size);
	size_t length = (size_t)((end ? end : file->data + file->size) - start);

	while (length > 0 && (*start == ' ' || *start == '\t')) {
		start++;
		length--;
	}
	lint_say(lint, LINT_SCRIPT, file->path, file->layer,
		 "a script, run by %.*s: expected a program", (int)MIN(length, (size_t)100), start);
}

void lint_programs(struct lint *lint, const struct image_file *file)
{
	const char *name = str_base_name(file->path);

	/* Also one that nobody may execute: the loader can be told to run it. */
	if (lint_is_program(file)) {
		if (!shells_is_shell(name) && !is_multi_call(name) && is_shell_inside(file))
			lint_say(lint, LINT_SHELL, file->path, file->layer,
				 "a shell by what is in it, whatever its name");
		if (!shells_is_login(name) && is_ssh_server(file))
			lint_say(lint, LINT_LOGIN, file->path, file->layer,
				 "an SSH server by what is in it, and nobody gets in");
	} else if ((file->mode & 0111) && file->size > 2 && memcmp(file->data, "#!", 2) == 0) {
		judge_script(lint, file);
	}
}

/* ---------------------------------------------------------------- modes and owners */

void lint_modes(struct lint *lint, const struct image_file *file)
{
	bool is_file = S_ISREG(file->mode), is_folder = S_ISDIR(file->mode);

	if (is_file && (file->mode & (S_ISUID | S_ISGID)))
		lint_say(lint, LINT_SET_ID, file->path, file->layer,
			 "mode %04o is set-id: expected User= of a unit to say who runs it",
			 file->mode & 07777);
	if (file->has_capabilities)
		lint_say(lint, LINT_FILE_CAPABILITIES, file->path, file->layer,
			 "it has file capabilities: expected AmbientCapabilities= of a unit");
	/* A folder for everybody, with the sticky bit, is where scratch is mounted. */
	if ((is_file || (is_folder && !(file->mode & S_ISVTX))) && (file->mode & S_IWOTH))
		lint_say(lint, LINT_WORLD_WRITABLE, file->path, file->layer,
			 "mode %04o: everybody may write it, where the root is not read-only",
			 file->mode & 07777);
}

void lint_configuration(struct lint *lint, const struct image_file *file)
{
	static const char *const folders[] = {"/etc/holdfast",		 "/usr/lib/holdfast",
					      "/lib/holdfast",		 "/etc/systemd/system",
					      "/usr/lib/systemd/system", "/lib/systemd/system"};

	for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
		size_t length = strlen(folders[i]);
		if (strncmp(file->path, folders[i], length) != 0 ||
		    (file->path[length] && file->path[length] != '/') || S_ISLNK(file->mode))
			continue;
		if (file->has_owner && file->uid != 0)
			lint_say(lint, LINT_CONFIGURATION, file->path, file->layer,
				 "user %u owns it: expected root", (unsigned)file->uid);
		else if ((file->mode & S_IWGRP) && file->has_owner && file->gid != 0)
			lint_say(lint, LINT_CONFIGURATION, file->path, file->layer,
				 "mode %04o: group %u may write it", file->mode & 07777,
				 (unsigned)file->gid);
	}
}

/* ---------------------------------------------------------------- passwords */

struct account {
	const char *name, *password;
	size_t name_length, password_length;
};

static bool next_account(const char **at, const char *end, struct account *ret_account)
{
	while (*at < end) {
		const char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line));
		if (!stop)
			stop = end;
		*at = stop < end ? stop + 1 : end;
		const char *first = memchr(line, ':', (size_t)(stop - line));
		if (!first || first == line)
			continue;
		const char *second = memchr(first + 1, ':', (size_t)(stop - first - 1));
		if (!second)
			continue;
		*ret_account = (struct account){
			.name = line,
			.name_length = (size_t)(first - line),
			.password = first + 1,
			.password_length = (size_t)(second - first - 1),
		};
		return true;
	}
	return false;
}

/* shadow(5), passwd(5): x says "in shadow"; what begins with ! or * is no hash. */
static void judge_account(struct lint *lint, const struct image_file *file, bool is_shadow,
			  const struct account *account)
{
	int length = (int)MIN(account->name_length, (size_t)64);

	if (account->password_length == 0)
		lint_say(lint, LINT_PASSWORD, file->path, file->layer,
			 "\"%.*s\" needs no password: expected * or !", length, account->name);
	else if (!strchr("!*", *account->password) &&
		 (is_shadow || account->password_length != 1 || *account->password != 'x'))
		lint_say(lint, LINT_PASSWORD, file->path, file->layer,
			 "\"%.*s\" has a password: expected * or !", length, account->name);
}

void lint_passwords(struct lint *lint, const struct image_file *file)
{
	bool is_shadow =
		strcmp(file->path, "/etc/shadow") == 0 || strcmp(file->path, "/etc/shadow-") == 0;
	const char *at = file->data;
	struct account account;

	if (!is_shadow && strcmp(file->path, "/etc/passwd") != 0)
		return;
	while (next_account(&at, file->data + file->size, &account))
		judge_account(lint, file, is_shadow, &account);
}

/* ---------------------------------------------------------------- what an image says of itself */

static void judge_command(struct lint *lint, char *const *command)
{
	const char *name = command[0] ? str_base_name(command[0]) : "";

	if (shells_is_shell(name))
		lint_say(lint, LINT_SHELL, "ENTRYPOINT", 0,
			 "the image is started by %s, a shell: expected [\"holdfast\", ...]", name);
	else if (strcmp(name, "holdfast") != 0)
		lint_say(lint, LINT_ENTRYPOINT, "ENTRYPOINT", 0,
			 "the image is started by \"%s\": expected holdfast, which can promise "
			 "nothing where it is not PID 1",
			 name);
}

void lint_image_config(struct lint *lint, const struct image_config *config)
{
	judge_command(lint, config->command);
	lint_environment(lint, config->environment);
	for (char **tag = config->names; *tag; tag++) {
		if (str_equal(*tag, "latest") || str_ends(*tag, ":latest"))
			lint_say(
				lint, LINT_MUTABLE_TAG, *tag, 0,
				"the tag moves: expected a version, which names one image for ever");
	}
	if (config->base && !config->has_base_digest)
		lint_say(lint, LINT_MUTABLE_TAG, config->base, 0,
			 "built on a tag that may move: expected a base by its digest");
}
