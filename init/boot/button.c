/*
 * The power button of a machine: how a hypervisor (EC2: StopInstances, an end by its autoscaling group)
 * asks for a stop.
 *
 * The kernel's driver `button` tells of it twice: as a key of an input device, which takes another
 * driver (evdev) and finding the right one of /dev/input; and as a message of generic netlink, which
 * every kernel with ACPI has (drivers/acpi/event.c). We take the message. It is PID 1 that has to act,
 * but PID 1 parses nothing: so the socket gets a filter that lets through that one message alone,
 * locked, and PID 1 needs to know no more than that it became readable.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

#define NAME	     "power-button"
#define FAMILY	     "acpi_event" /* include/acpi/acpi_bus.h of the kernel */
#define GROUP	     "acpi_mc_group"
#define DRIVER	     "/sys/bus/acpi/drivers/button"
#define ANSWER_BYTES 8192
/* The kernel's macros for these are of type int. */
#define HEAD	     sizeof(struct nlattr)
#define PADDED(size) (((size) + 3U) & ~(size_t)3)

/* ---- the group's number */

struct attribute {
	const char *data;
	size_t size;
};

/* The first attribute of that type in the size bytes at data (nlattr of linux/netlink.h). */
static bool find(const char *data, size_t size, unsigned type, struct attribute *ret)
{
	while (size >= HEAD) {
		struct nlattr head;
		memcpy(&head, data, sizeof(head));
		if (head.nla_len < HEAD || head.nla_len > size)
			return false;
		if ((head.nla_type & NLA_TYPE_MASK) == (int)type) {
			*ret = (struct attribute){data + HEAD, head.nla_len - HEAD};
			return true;
		}
		size_t step = PADDED((size_t)head.nla_len);
		if (step >= size)
			return false;
		data += step;
		size -= step;
	}
	return false;
}

/* Of all groups, an array whose attributes are numbered from 1. */
static int find_group(const struct attribute *groups)
{
	struct attribute group, name, id;
	uint32_t number;

	for (unsigned i = 1; find(groups->data, groups->size, i, &group); i++) {
		if (find(group.data, group.size, CTRL_ATTR_MCAST_GRP_NAME, &name) &&
		    name.size == sizeof(GROUP) && memcmp(name.data, GROUP, name.size) == 0 &&
		    find(group.data, group.size, CTRL_ATTR_MCAST_GRP_ID, &id) &&
		    id.size == sizeof(number)) {
			memcpy(&number, id.data, sizeof(number));
			return (int)number;
		}
	}
	return -ENOENT;
}

static int send_question(int fd)
{
	struct {
		struct nlmsghdr head;
		struct genlmsghdr genl;
		struct nlattr attribute;
		char name[PADDED(sizeof(FAMILY))];
	} question = {
		.head = {.nlmsg_len = sizeof(question),
			 .nlmsg_type = GENL_ID_CTRL,
			 .nlmsg_flags = NLM_F_REQUEST},
		.genl = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
		.attribute = {.nla_len = HEAD + sizeof(FAMILY), .nla_type = CTRL_ATTR_FAMILY_NAME},
		.name = FAMILY,
	};

	return send(fd, &question, sizeof(question), 0) < 0 ? -errno : 0;
}

/* The kernel answers within send(2), so nothing is waited for. */
static int ask_for_group(int fd)
{
	static _Alignas(8) char answer[ANSWER_BYTES];
	const size_t at = NLMSG_HDRLEN + GENL_HDRLEN;
	struct nlmsghdr head;
	struct attribute groups;

	int r = send_question(fd);
	if (r < 0)
		return r;
	ssize_t n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if ((size_t)n < at)
		return -EBADMSG;
	memcpy(&head, answer, sizeof(head));
	if (head.nlmsg_type != GENL_ID_CTRL)
		return -ENOENT;
	if (!find(answer + at, (size_t)n - at, CTRL_ATTR_MCAST_GROUPS, &groups))
		return -EBADMSG;
	return find_group(&groups);
}

/* ---- the socket */

/* Behind the heads of netlink, of generic netlink, and of its one attribute stands struct
 * acpi_genl_event, which begins with the device's class. */
static int let_button_through(int fd)
{
	enum { CLASS = NLMSG_HDRLEN + GENL_HDRLEN + (int)HEAD };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, CLASS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x62757474 /* butt */, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, CLASS + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x6f6e2f70 /* on/p */, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, CLASS + 8),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x6f776572 /* ower */, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {ARRAY_COUNT(code), code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &(int){1}, sizeof(int)) < 0)
		return -errno;
	return 0;
}

static int join(int fd)
{
	int group = ask_for_group(fd);

	if (group < 0)
		return group;
	int r = let_button_through(fd);
	if (r < 0)
		return r;
	return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0
		       ? -errno
		       : 0;
}

int button_open(struct boot *boot)
{
	if (!boot->is_host)
		return 0;
	if (access(DRIVER, F_OK) < 0) {
		boot_protect(boot, NAME, PROTECTION_NONE, "not heard",
			     "the kernel's module \"button\" is not loaded: who asks for a stop "
			     "by ACPI, as hypervisors do, is not heard");
		return 0;
	}
	CLEANUP(fd_closep)
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC);
	int r = fd < 0 ? -errno : join(fd);
	if (r < 0) {
		boot_protect(boot, NAME, PROTECTION_NONE, "not heard",
			     "the kernel does not tell of ACPI's events: %s", strerror(-r));
		return 0;
	}
	boot_protect(boot, NAME, PROTECTION_FULL, "powers the machine off", "%s", "");
	return boot_put(boot, STORE_BUTTON, 0, fd);
}
