/*
 * holdfast: what its command line asks for decides which PID 1 it is.
 */
#include <string.h>
#include <unistd.h>

#include "init/pid1/command.h"
#include "init/pid1/host.h"
#include "init/pid1/managed.h"
#include "lib/event.h"
#include "lib/io.h"
#include "lib/options.h"
#include "lib/str.h"
#include "lib/termination.h"

#define EXIT_USAGE 64

static int print(const char *text)
{
	return io_write_all(STDOUT_FILENO, text, strlen(text)) < 0 ? 1 : 0;
}

static int refuse(const char *message)
{
	event_init("holdfast", EVENT_PLAIN);
	event_emit(EVENT_ERROR, "usage", NULL, "%s", message);
	termination_write(message);
	return EXIT_USAGE;
}

static int refuse_stray(const char *word)
{
	char message[OPTIONS_MESSAGE_MAX];
	struct strbuf buf;

	strbuf_init(&buf, message, sizeof(message));
	strbuf_addf(&buf, "%s: expected an option; a command stands after --", word);
	return refuse(message);
}

int main(int argc, char **argv)
{
	struct options options;
	char message[OPTIONS_MESSAGE_MAX];

	if (options_parse(argc, argv, &options, message) < 0)
		return refuse(message);
	if (options.mode == OPTIONS_HELP)
		return print(options_help);
	if (options.mode == OPTIONS_VERSION)
		return print("holdfast " HOLDFAST_VERSION "\n");
	if (options.mode == OPTIONS_COMMAND)
		return command_run(&options);
	if (options.stray && !host_may_be_first_init())
		return refuse_stray(options.stray);
	return managed_run(&options);
}
