/*
 * Kernel modules that the image asks for: [Modules] Load=, before the kernel takes no more of them.
 *
 * There is no modprobe, no alias and no search. images/build resolved each name with the modules.dep of
 * the image's kernel, put the files of it and of what it needs into one folder of the root, and wrote
 * down in which order they are loaded: "NAME: DEPENDENCY.ko NAME.ko", nothing behind the colon where
 * the kernel has it built in. The root is proven, so the files are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"

#define FOLDER	   "/usr/lib/holdfast/modules"
#define LIST	   FOLDER "/list"
#define LIST_BYTES 65536

/* The rest of the line "NAME: …" of the list (ended in place), or NULL. "-" and "_" are one. */
static char *find_line(char *list, const char *name)
{
	size_t length = strlen(name);

	for (char *line; (line = strsep(&list, "\n"));) {
		size_t i = 0;
		while (i < length &&
		       (line[i] == '-' ? '_' : line[i]) == (name[i] == '-' ? '_' : name[i]))
			i++;
		if (i == length && line[i] == ':')
			return line + i + 1;
	}
	return NULL;
}

static int load_file(const char *file, const char *parameters)
{
	char path[BOOT_PATH_MAX];

	if (strchr(file, '/'))
		return -EINVAL;
	(void)snprintf(path, sizeof(path), FOLDER "/%s", file);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	/* EEXIST: another one needed it, or the initramfs. */
	if (syscall(SYS_finit_module, fd, parameters, 0) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

/* Those of a line, the parameters for the last of them. 0, or -errno with the file's name. */
static int load_line(char *line, const char *parameters, const char **ret_file)
{
	line += strspn(line, " ");
	while (*line) {
		char *file = strsep(&line, " ");
		bool is_last = !line || !*line;
		int r = load_file(file, is_last ? parameters : "");
		*ret_file = file;
		if (r < 0 || is_last)
			return r;
	}
	return 0;
}

static const char *explain(int error)
{
	switch (-error) {
	case ENOENT: return "its file is not in " FOLDER;
	case ENODEV: return "it finds no device that it could drive";
	case ENOEXEC: return "it was made for another kernel";
	case EKEYREJECTED: return "its signature is none that this kernel trusts";
	case EPERM: return "the kernel takes no module, or none without a signature";
	case EINVAL: return "the kernel does not take its parameters";
	default: return strerror(-error);
	}
}

static int give_up(struct boot *boot, const struct units_module *module, int status,
		   const char *what, const char *why)
{
	if (!module->is_optional)
		return boot_fail(boot, status, "%s:%u: [Modules] %s: %s: %s", module->file,
				 module->line, module->name, what, why);
	event_with_string("module", module->name);
	event_emit(EVENT_NOTICE, "module-not-loaded", NULL, "kernel module %s: %s: %s",
		   module->name, what, why);
	return 0;
}

static int load(struct boot *boot, const struct units_module *module, const char *list)
{
	static char copy[LIST_BYTES];
	const char *file = "";

	memcpy(copy, list, sizeof(copy));
	char *line = find_line(copy, module->name);
	if (!line)
		return give_up(boot, module, EX_CONFIG, "not in " LIST,
			       "the image has to be built with it (images/build)");
	int r = load_line(line, module->parameters, &file);
	return r < 0 ? give_up(boot, module, EX_OSERR, file, explain(r)) : 0;
}

int modules_load(struct boot *boot)
{
	static char list[LIST_BYTES];
	const struct units_conf *conf = units_conf(boot->units);
	int status = 0;

	if (!boot->is_host || conf->n_modules == 0)
		return 0;
	ssize_t size = io_read_file(AT_FDCWD, LIST, list, sizeof(list));
	if (size < 0 && size != -ENOENT)
		return boot_fail(boot, EX_OSERR, LIST ": %s", strerror((int)-size));
	for (size_t i = 0; i < conf->n_modules && status == 0; i++)
		status = load(boot, &conf->modules[i], list);
	return status;
}
