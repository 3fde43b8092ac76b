/* TESTS: lib/secretrequest.c lib/secretreport.c lib/secretfile.c lib/store.c lib/plan.c lib/str.c lib/fd.c lib/sys.c lib/io.c */
/*
 * fakeremote: stands in holdfast-secrets-remote's place and does what a script says, so that the
 * life of secrets is tested without a service.
 *
 * A reference names the script: ssm:/PATH, vault:DIR/NAME#key (DIR without its first slash). Each
 * run takes the next line of it, the last one for ever; which one it is at it keeps in the memory
 * that it is given for that. Words of a line:
 *
 *   value=TEXT version=TEXT outcome=N expires=N absent kept	of the item
 *   status=N next=MS lease=MS retry=MS changed kept		of the run: the first item's line
 *   hang							never ends
 *   lose							ends without a report
 *
 * In SCRIPT.runs it notes each run: the operation's number, the values that it was given as the old
 * ones, the settings.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/secretfile.h"
#include "lib/secretreport.h"
#include "lib/secretrequest.h"

static char block[SECRETREQUEST_MAX] __attribute__((aligned(8)));
static struct secretreport report;
static struct secretrequest request;

static void die(const char *what)
{
	perror(what);
	exit(70);
}

/* The path of the reference's script. */
static void script_path(const char *reference, char *path, size_t size)
{
	const char *rest = strchr(reference, ':') + 1;

	(void)snprintf(path, size, "%s%.*s", *rest == '/' ? "" : "/", (int)strcspn(rest, "#"),
		       rest);
}

/* The line for the run, and how many there are. */
static void read_line(const char *path, unsigned run, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	char *got = NULL;

	if (!f)
		die(path);
	for (unsigned i = 0; i <= run; i++)
		got = fgets(line, (int)size, f) ? line : got;
	if (!got)
		die("an empty script");
	line[strcspn(line, "\n")] = '\0';
	(void)fclose(f);
}

static unsigned take_turn(void)
{
	unsigned run = 0;

	if (request.head.state_fd < 0)
		return 0;
	if (pread(request.head.state_fd, &run, sizeof(run), 0) < 0)
		die("state");
	unsigned next = run + 1;
	if (pwrite(request.head.state_fd, &next, sizeof(next), 0) != sizeof(next))
		die("state");
	return run;
}

static size_t map_old(const char **ret_data)
{
	struct stat st;

	if (request.head.old_fd < 0)
		return 0;
	if (fstat(request.head.old_fd, &st) < 0)
		die("old");
	if (st.st_size == 0)
		return 0;
	*ret_data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, request.head.old_fd, 0);
	if (*ret_data == MAP_FAILED)
		die("old");
	return (size_t)st.st_size;
}

static void note_run(const char *path)
{
	char name[4300], line[4096];
	struct secretfile_record record;
	const char *old = NULL, *region = secretrequest_find_setting(&request, "AWS_REGION");
	size_t size = map_old(&old), cursor = 0;

	int n = snprintf(line, sizeof(line), "%u %s", request.head.operation,
			 region ? region : "-");
	while (size > 0 && secretfile_next(old, size, &cursor, &record) > 0)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s", record.assignment);
	line[n++] = '\n';
	(void)snprintf(name, sizeof(name), "%s.runs", path);
	int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		die(name);
	(void)close(fd);
}

static bool takes(const char *word, const char *key, const char **ret_value)
{
	size_t length = strlen(key);

	if (strncmp(word, key, length) != 0)
		return false;
	*ret_value = word + length;
	return true;
}

static void take_word_of_run(const char *word)
{
	const char *v;

	if (takes(word, "status=", &v))
		report.status = atoi(v);
	else if (takes(word, "next=", &v))
		report.next_ms = strtoull(v, NULL, 10);
	else if (takes(word, "lease=", &v))
		report.lease_end_ms = strtoull(v, NULL, 10);
	else if (takes(word, "retry=", &v))
		report.retry_ms = (uint32_t)strtoul(v, NULL, 10);
	else if (strcmp(word, "changed") == 0)
		report.flags |= SECRETREPORT_CHANGED;
	else if (strcmp(word, "kept") == 0)
		report.flags |= SECRETREPORT_KEPT;
	else if (strcmp(word, "lose") == 0)
		exit(0);
	while (strcmp(word, "hang") == 0)
		(void)pause();
}

static void take_word(const struct secretrequest_item *item, struct secretreport_item *to,
		      const char *word)
{
	const char *v;

	if (takes(word, "value=", &v)) {
		if (secretfile_append(STDOUT_FILENO, *item->name ? item->name : "FOUND", v,
				      strlen(v)) < 0)
			die("append");
		to->length = (uint32_t)strlen(v);
	} else if (takes(word, "version=", &v)) {
		secretreport_set_version(to, v);
	} else if (takes(word, "outcome=", &v)) {
		to->outcome = (uint32_t)atoi(v);
	} else if (takes(word, "expires=", &v)) {
		to->expires = atoll(v);
	} else if (strcmp(word, "kept") == 0) {
		to->flags |= SECRETREPORT_ITEM_KEPT;
	} else if (strcmp(word, "absent") == 0) {
		to->flags |= SECRETREPORT_ITEM_ABSENT;
	}
}

static void do_item(const struct secretrequest_item *item, uint32_t index, unsigned run)
{
	char path[4200], line[4096], *save = NULL;

	script_path(item->reference, path, sizeof(path));
	if (index == 0)
		note_run(path);
	read_line(path, run, line, sizeof(line));
	for (char *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		take_word(item, &report.items[index], word);
		if (index == 0)
			take_word_of_run(word);
	}
}

int main(void)
{
	struct secretrequest_item item;
	size_t cursor = 0;
	ssize_t n = read(STDIN_FILENO, block, sizeof(block));

	if (n < 0 || secretrequest_open(block, (size_t)n, &request) < 0)
		die("request");
	secretreport_init(&report, request.count);
	unsigned run = take_turn();
	for (uint32_t i = 0; secretrequest_next(&request, &cursor, &item); i++)
		do_item(&item, i, run);
	if (report.status != 0 && ftruncate(STDOUT_FILENO, 0) < 0)
		die("stdout");
	if (request.head.report_fd >= 0 && secretreport_write(request.head.report_fd, &report) < 0)
		die("report");
	return report.status;
}
