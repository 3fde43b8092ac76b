#pragma once
/*
 * The rules, and the judges that apply them to one file or to what an image says of itself
 * (tools/lint_files.c, tools/lint_secrets.c).
 */
#include "tools/parts.h"

struct lint;

/*   name, whether it is an error, whether a file that a later layer hides matters still */
#define LINT_RULES(X)                                          \
	X(SHELL, "shell", true, false)                         \
	X(LOGIN, "login", true, false)                         \
	X(PACKAGE_MANAGER, "package-manager", true, false)     \
	X(DEBUGGER, "debugger", true, false)                   \
	X(COMPILER, "compiler", true, false)                   \
	X(INTERPRETER, "interpreter", false, false)            \
	X(SCRIPT, "script", false, false)                      \
	X(SET_ID, "set-id", true, false)                       \
	X(FILE_CAPABILITIES, "file-capabilities", true, false) \
	X(WORLD_WRITABLE, "world-writable", true, false)       \
	X(CONFIGURATION, "configuration", true, false)         \
	X(PASSWORD, "password", true, false)                   \
	X(SECRET, "secret", true, true)                        \
	X(KEYSTORE, "keystore", false, false)                  \
	X(ENTRYPOINT, "entrypoint", false, false)              \
	X(MUTABLE_TAG, "mutable-tag", false, false)

enum lint_rule {
#define X(id, ...) LINT_##id,
	LINT_RULES(X)
#undef X
		LINT_RULE_COUNT
};

/* Says it of path. The message is copied. */
void lint_say(struct lint *lint, enum lint_rule rule, const char *path, size_t layer,
	      const char *format, ...) __attribute__((format(printf, 5, 6)));

/* By name, mode, owner, and what programs have in them. */
void lint_names(struct lint *lint, const struct image_file *file);
void lint_programs(struct lint *lint, const struct image_file *file);
void lint_modes(struct lint *lint, const struct image_file *file);
void lint_configuration(struct lint *lint, const struct image_file *file);
void lint_passwords(struct lint *lint, const struct image_file *file);
/* By name and by what is in files that are no programs. */
void lint_secrets(struct lint *lint, const struct image_file *file);

void lint_image_config(struct lint *lint, const struct image_config *config);
/* The variables of an image: whoever can pull it reads them. */
void lint_environment(struct lint *lint, char *const *environment);

/* Helpers of both. */
bool lint_is_program(const struct image_file *file); /* ELF */
/* The text in data with no letter, digit or _ on either side; NULL: none. */
const char *lint_find_word(const char *data, size_t size, const char *word);
