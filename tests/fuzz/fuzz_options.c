/* TESTS: lib/options.c lib/signals.c lib/str.c */
/*
 * The command line from any bytes: words end at newlines. What is accepted must be in range, since
 * PID 1 indexes with it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/options.h"

#define WORDS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct options *options)
{
	for (int i = 1; i <= SIGNALS_MAX; i++) {
		if (options->rewrite[i] > SIGNALS_MAX)
			abort();
		if (options->rewrite[i] != i && !signals_is_forwarded(i))
			abort();
	}
	if (options->pdeath_signal < 0 || options->pdeath_signal > SIGNALS_MAX)
		abort();
	if (options->mode == OPTIONS_COMMAND && (!options->command || !options->command[0]))
		abort();
	if (options->n_settings > OPTIONS_SETTINGS_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *words[WORDS_MAX + 2] = {(char[]){"holdfast"}};
	char message[OPTIONS_MESSAGE_MAX];
	struct options options;
	int argc = 1;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *rest = text, *word; argc < WORDS_MAX && (word = strsep(&rest, "\n"));)
		words[argc++] = word;
	words[argc] = NULL;
	if (options_parse(argc, words, &options, message) == 0)
		check(&options);
	else if (strnlen(message, sizeof(message)) == 0 ||
		 memchr(message, 0, sizeof(message)) == NULL)
		abort();
	free(text);
	return 0;
}
