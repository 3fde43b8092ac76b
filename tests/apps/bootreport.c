/*
 * A service that tells how the machine stands on which it runs, line by line, and ends:
 *
 *   mount POINT OPTIONS TYPE     each mount of the root
 *   argv WORD                    each word of PID 1
 *   link NAME TARGET             what a name below /dev points to
 *   environ SIZE                 the bytes of the environment that the kernel gave to PID 1
 *   write ERROR, remount ERROR   what the kernel says to who wants to change the root
 *   end                          that was all
 */
#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char text[65536];

static size_t read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		(void)fclose(file);
	text[size] = '\0';
	return size;
}

static void tell_mounts(void)
{
	FILE *file = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;

	while (file && (mount = getmntent(file)))
		(void)printf("mount %s %s %s\n", mount->mnt_dir, mount->mnt_opts, mount->mnt_type);
}

static void tell_init(void)
{
	size_t size = read_file("/proc/1/cmdline");

	for (size_t at = 0; at < size; at += strlen(text + at) + 1)
		(void)printf("argv %s\n", text + at);
	(void)printf("environ %zu\n", read_file("/proc/1/environ"));
}

static void tell_link(const char *name)
{
	ssize_t n = readlink(name, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	(void)printf("link %s %s\n", name, text);
}

int main(void)
{
	tell_mounts();
	tell_link("/dev/fd");
	tell_init();
	(void)printf("write %s\n", mkdir("/new", 0755) < 0 ? strerror(errno) : "done");
	(void)printf("remount %s\n",
		     mount(NULL, "/", NULL, MS_REMOUNT, NULL) < 0 ? strerror(errno) : "done");
	(void)printf("end\n");
	return 0;
}
