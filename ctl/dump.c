/*
 * holdfastctl dump: all that is known about the instance, as JSON Lines. The first line is a
 * "dump", the last an "end" that counts all of them (itself too), so that a reader knows a cut one.
 *
 * It reads files and shared memory alone and asks no process, so it works while all of them are
 * stopped or dead. Memory is bounded: one line at a time, and nothing grows with what is dumped.
 *
 * What may stand in it is decided by lists of what is allowed, never by lists of what is not: of
 * the environment a few names, of a process what the kernel calls it and never its command
 * line, of a mount its flags, of a secret its name and the kind of its source.
 */
#include "ctl/dump.h"

#include "ctl/output.h"
#include "ctl/time.h"
#include "ctl/verbs.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"

static void dump_head(void)
{
	struct strbuf *line = dump_begin("dump");

	json_add_u64(line, "schema", 1);
	json_add_time(line, "ts", clock_wall_us());
	json_add_string(line, "version", HOLDFAST_VERSION);
	dump_end(line);
}

static void dump_tail(bool is_digest)
{
	struct strbuf *line = dump_begin("end");

	if (is_digest)
		json_add_u64(line, "left_out", output_left_out());
	json_add_u64(line, "lines", output_count() + 1);
	dump_end(line);
}

static void dump_given_cause(const char *text)
{
	struct strbuf *line = dump_begin("cause");

	json_add_string(line, "msg", text);
	dump_end(line);
}

static int parse_since(const char *text, uint64_t *ret_wall_us)
{
	uint64_t age, now = clock_wall_us();

	if (ctl_parse_time(text, ret_wall_us) == 0)
		return 0;
	if (ctl_parse_duration(text, &age) < 0)
		return -1;
	*ret_wall_us = now > age ? now - age : 0;
	return 0;
}

struct dump_options {
	uint64_t since_wall_us;
	bool is_digest;
	const char *cause; /* of an instance that never was; NULL: none is given */
};

static int parse_options(int argc, char **argv, struct dump_options *ret)
{
	for (; argc > 0; argc--, argv++) {
		if (str_equal(argv[0], "--digest")) {
			ret->is_digest = true;
			continue;
		}
		if (str_equal(argv[0], "--cause") && argc > 1) {
			ret->cause = argv[1];
			argc--, argv++;
			continue;
		}
		if (str_equal(argv[0], "--seal"))
			return ctl_usage("--seal is not built in this version: seal the dump where "
					 "it is read");
		if (!str_equal(argv[0], "--since"))
			return ctl_usage("dump knows no \"%s\"", argv[0]);
		if (argc < 2 || parse_since(argv[1], &ret->since_wall_us) < 0)
			return ctl_usage("--since wants a time (2026-01-02T03:04:05Z) or an age "
					 "(30s, 5min, 2h)");
		argc--, argv++;
	}
	return CTL_OK;
}

static void dump_all(const struct instance *instance, uint64_t since_wall_us)
{
	dump_head();
	dump_cause(instance);
	dump_image(instance);
	dump_config(instance);
	dump_protections(instance, false);
	dump_gate(instance, false);
	dump_calls(instance);
	dump_units(instance, false);
	dump_secrets(instance);
	dump_log(instance, since_wall_us, UINT64_MAX);
	dump_mounts(instance);
	dump_scratch(instance);
	dump_processes(instance);
	dump_cgroups(instance);
	dump_pressure();
	dump_kernel(UINT64_MAX);
	dump_tail(false);
}

/*
 * What a console is for that keeps its last 64 KiB (EC2): at most 48 KiB, and of each part so much that
 * no other one crowds it out. Without an instance (boot was refused) the cause and the kernel's log,
 * in which boot's own lines are.
 */
static void dump_digest(const struct instance *instance, const struct dump_options *options)
{
	dump_head();
	output_limit(2048);
	if (instance)
		dump_cause(instance);
	else
		dump_given_cause(options->cause);
	if (instance) {
		output_limit(4096);
		dump_image(instance);
		dump_protections(instance, true);
		dump_gate(instance, true);
		output_limit(4096);
		dump_calls(instance);
		output_limit(8192);
		dump_units(instance, true);
		output_limit(20480);
		dump_log(instance, options->since_wall_us, 18432);
	}
	output_limit(instance ? 8192 : 20480);
	dump_kernel(instance ? 7168 : 18432);
	output_limit(UINT64_MAX);
	dump_tail(true);
}

int ctl_dump(const struct ctl_options *options, int argc, char **argv)
{
	struct dump_options asked = {0};
	struct instance instance;
	char why[512];

	int r = parse_options(argc, argv, &asked);
	if (r != CTL_OK)
		return r;
	bool has_instance = instance_open(options->directory, &instance, why, sizeof(why)) == 0;
	if (!has_instance && !asked.cause)
		return ctl_fail(CTL_NO_INSTANCE, "%s", why);
	if (asked.is_digest)
		dump_digest(has_instance ? &instance : NULL, &asked);
	else if (has_instance)
		dump_all(&instance, asked.since_wall_us);
	return output_flush() < 0 ? CTL_BAD_OUTPUT : CTL_OK;
}
