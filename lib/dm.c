#include "lib/dm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <linux/dm-ioctl.h>
#include <linux/ioctl.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

#define CONTROL "/dev/mapper/control"

/* One ioctl's memory: its head, and for a table its one target with its parameters. */
struct request {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char parameters[DM_PARAMETERS_MAX];
};

static void begin(struct request *request, const struct dm_table *table, uint32_t flags)
{
	*request = (struct request){.head = {
					    .version = {4, 0, 0},
					    .data_size = sizeof(*request),
					    .data_start = offsetof(struct request, target),
					    .flags = flags,
				    }};
	(void)str_copy(request->head.name, sizeof(request->head.name), table->name);
}

static int call(int control, unsigned long command, struct request *request)
{
	/* The libraries do not agree on the type of ioctl's second argument. */
	return syscall(SYS_ioctl, control, command, request) < 0 ? -errno : 0;
}

static int load_table(int control, const struct dm_table *table)
{
	struct request request;

	begin(&request, table, DM_SECURE_DATA_FLAG | (table->is_read_only ? DM_READONLY_FLAG : 0));
	request.head.target_count = 1;
	request.target =
		(struct dm_target_spec){.length = table->sectors,
					.next = sizeof(request) - offsetof(struct request, target)};
	(void)str_copy(request.target.target_type, sizeof(request.target.target_type),
		       table->target);
	int r = str_copy(request.parameters, sizeof(request.parameters), table->parameters)
			? call(control, DM_TABLE_LOAD, &request)
			: -E2BIG;
	explicit_bzero(&request, sizeof(request));
	return r;
}

/* Without DM_SUSPEND_FLAG it is a resume: the table goes into service. */
static int resume(int control, const struct dm_table *table)
{
	struct request request;

	begin(&request, table, 0);
	return call(control, DM_DEV_SUSPEND, &request);
}

static void remove_device(int control, const struct dm_table *table)
{
	struct request request;

	begin(&request, table, 0);
	(void)call(control, DM_DEV_REMOVE, &request);
}

int dm_create(const struct dm_table *table, char ret_path[DM_PATH_MAX])
{
	struct request request;
	CLEANUP(fd_closep) int control = open(CONTROL, O_RDWR | O_CLOEXEC);

	if (control < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	begin(&request, table, table->is_read_only ? DM_READONLY_FLAG : 0);
	int r = call(control, DM_DEV_CREATE, &request);
	if (r < 0)
		return r;
	unsigned number = minor(request.head.dev);
	r = load_table(control, table);
	if (r == 0)
		r = resume(control, table);
	if (r < 0)
		remove_device(control, table);
	else
		(void)snprintf(ret_path, DM_PATH_MAX, "/dev/dm-%u", number);
	return r;
}
