#include "init/initramfs/dm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <linux/dm-ioctl.h>
#include <linux/ioctl.h>

#include "init/initramfs/verity.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

#define CONTROL	    "/dev/mapper/control"
#define DEVICE_NAME "holdfast-root"

/* One ioctl's memory: its head, and for a table its one target with its parameters. */
struct request {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char parameters[VERITY_TABLE_MAX];
};

static void begin(struct request *request, uint32_t flags)
{
	*request = (struct request){.head = {
					    .version = {4, 0, 0},
					    .data_size = sizeof(*request),
					    .data_start = offsetof(struct request, target),
					    .flags = flags,
				    }};
	(void)str_copy(request->head.name, sizeof(request->head.name), DEVICE_NAME);
}

static int call(int control, unsigned long command, struct request *request)
{
	/* The libraries do not agree on the type of ioctl's second argument. */
	return syscall(SYS_ioctl, control, command, request) < 0 ? -errno : 0;
}

static int load_table(int control, const char *parameters, uint64_t sectors)
{
	struct request request;

	begin(&request, DM_READONLY_FLAG);
	request.head.target_count = 1;
	request.target = (struct dm_target_spec){
		.length = sectors, .next = sizeof(request) - offsetof(struct request, target)};
	(void)str_copy(request.target.target_type, sizeof(request.target.target_type), "verity");
	if (!str_copy(request.parameters, sizeof(request.parameters), parameters))
		return -E2BIG;
	return call(control, DM_TABLE_LOAD, &request);
}

int dm_create_verity(const char *parameters, uint64_t sectors, char ret_path[DM_PATH_MAX])
{
	struct request request;
	CLEANUP(fd_closep) int control = open(CONTROL, O_RDWR | O_CLOEXEC);

	if (control < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	begin(&request, DM_READONLY_FLAG);
	int r = call(control, DM_DEV_CREATE, &request);
	if (r < 0)
		return r;
	unsigned number = minor(request.head.dev);
	r = load_table(control, parameters, sectors);
	if (r < 0)
		return r;
	/* Without DM_SUSPEND_FLAG it is a resume: the table goes into service. */
	begin(&request, 0);
	r = call(control, DM_DEV_SUSPEND, &request);
	if (r == 0)
		(void)snprintf(ret_path, DM_PATH_MAX, "/dev/dm-%u", number);
	return r;
}
