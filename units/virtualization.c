/*
 * The rules are those of systemd 258 (src/basic/virt.c), since units were written for them:
 *
 *   A container is what its manager says (/run/host/container-manager, then $container, of which an
 *   empty one says that this is none); then files that podman and docker leave behind; then a PID
 *   namespace that is not the machine's first, which gives away every other one. A container inside a
 *   virtual machine is a container.
 *
 *   A virtual machine is what its firmware says where the firmware knows better than the processor, to
 *   which EC2's and Google's hypervisors are KVM; then what the processor says; then the firmware again.
 *   EC2's machines without a hypervisor have its firmware as well, and "metal" in their type.
 */
#include "units/virtualization.h"

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/host.h"

struct sign {
	const char *text, *id;
};

static const char *const containers[] = {
	"systemd-nspawn",  "lxc-libvirt", "lxc", "openvz", "docker",
	"podman",	   "rkt",	  "wsl", "proot",  "pouch",
	"container-other",
};
static const char *const machines[] = {
	"kvm",	   "amazon",	"qemu", "bochs",     "xen",	 "uml", "vmware",
	"oracle",  "microsoft", "zvm",	"parallels", "bhyve",	 "qnx", "acrn",
	"powervm", "apple",	"sre",	"google",    "vm-other",
};

bool virtualization_is_known(const char *parameter)
{
	static const char *const kinds[] = {"vm", "container", "private-users"};
	bool value;

	return str_parse_bool(parameter, &value) == 0 ||
	       str_is_one_of(parameter, kinds, ARRAY_COUNT(kinds)) ||
	       str_is_one_of(parameter, containers, ARRAY_COUNT(containers)) ||
	       str_is_one_of(parameter, machines, ARRAY_COUNT(machines));
}

/* ---- containers */

static const char *left_behind(struct units *units)
{
	return host_has_path(units, "/run/.containerenv") ? "podman"
	       : host_has_path(units, "/.dockerenv")	  ? "docker"
							  : NULL;
}

/* Some images say "oci" of themselves, whoever runs them. */
static const char *named(struct units *units, const char *name)
{
	const char *found = str_equal(name, "oci") ? left_behind(units) : NULL;

	for (size_t i = 0; i < ARRAY_COUNT(containers) && !found; i++) {
		if (str_equal(containers[i], name))
			found = containers[i];
	}
	return found ? found : "container-other";
}

static const char *first_line(struct units *units, const char *path)
{
	const char *text = host_read_text(units, path);

	return arena_copy(&units->arena, text, strcspn(text, "\n"));
}

const char *virtualization_container(struct units *units)
{
	/* Its environment is whoever's who writes the kernel's command line, and its image may have been made in
	 * a container. */
	if (units->request.is_host)
		return NULL;
	const char *manager = first_line(units, "/run/host/container-manager");
	const char *variable = host_variable(units, "container");
	if (*manager)
		return named(units, manager);
	if (variable)
		return *variable ? named(units, variable) : NULL;
	const char *found = left_behind(units);
	if (found)
		return found;
	return units->request.is_contained || host_variable(units, "KUBERNETES_SERVICE_HOST")
		       ? "container-other"
		       : NULL;
}

/* ---- machines */

/* The first sign whose text the line begins with. */
static const char *find(const struct sign *signs, size_t count, const char *line)
{
	for (size_t i = 0; i < count; i++) {
		if (str_starts(line, signs[i].text))
			return signs[i].id;
	}
	return NULL;
}

#define DMI "/sys/class/dmi/id/"

/* An instance without a hypervisor: its type is m5.metal, or c7i.metal-24xl. */
static bool is_metal(struct units *units)
{
	const char *metal = strstr(first_line(units, DMI "product_name"), ".metal");

	return metal && (metal[6] == '\0' || metal[6] == '-');
}

static const char *by_firmware(struct units *units)
{
	static const char *const files[] = {DMI "product_name", DMI "sys_vendor",
					    DMI "board_vendor", DMI "bios_vendor",
					    DMI "product_version"};
	static const struct sign signs[] = {
		{"KVM", "kvm"},
		{"OpenStack", "kvm"},
		{"KubeVirt", "kvm"},
		{"Amazon EC2", "amazon"},
		{"QEMU", "qemu"},
		{"VMware", "vmware"},
		{"VMW", "vmware"},
		{"innotek GmbH", "oracle"},
		{"VirtualBox", "oracle"},
		{"Oracle Corporation", "oracle"},
		{"Xen", "xen"},
		{"Bochs", "bochs"},
		{"Parallels", "parallels"},
		{"BHYVE", "bhyve"},
		{"Hyper-V", "microsoft"},
		{"Apple Virtualization", "apple"},
		{"Google Compute Engine", "google"},
	};
	const char *found = NULL;

	for (size_t i = 0; i < ARRAY_COUNT(files) && !found; i++)
		found = find(signs, ARRAY_COUNT(signs), first_line(units, files[i]));
	return found && str_equal(found, "amazon") && is_metal(units) ? NULL : found;
}

/* What the kernel says beside both: of a hypervisor below it, and on ARM by the device tree. */
static const char *by_kernel(struct units *units)
{
	static const struct {
		const char *path;
		struct sign sign;
	} files[] = {
		{"/sys/hypervisor/type", {"xen", "xen"}},
		{"/proc/device-tree/hypervisor/compatible", {"linux,kvm", "kvm"}},
	};

	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		const char *line = first_line(units, files[i].path);
		if (*line)
			return str_starts(line, files[i].sign.text) ? files[i].sign.id : "vm-other";
	}
	return NULL;
}

const char *virtualization_machine(struct units *units, const char *signature)
{
	static const char *const knowing[] = {"oracle", "xen", "amazon", "parallels", "google"};
	static const struct sign signs[] = {
		{"XenVMMXenVMM", "xen"},  {"KVMKVMKVM", "kvm"},	      {"Linux KVM Hv", "kvm"},
		{"TCGTCGTCGTCG", "qemu"}, {"VMwareVMware", "vmware"}, {"bhyve bhyve ", "bhyve"},
		{"QNXQVMBSQG", "qnx"},	  {"ACRNACRNACRN", "acrn"},   {"SRESRESRESRE", "sre"},
		{"Apple VZ", "apple"},
	};
	const char *firmware = by_firmware(units);
	const char *processor = find(signs, ARRAY_COUNT(signs), signature);

	if (firmware && str_is_one_of(firmware, knowing, ARRAY_COUNT(knowing)))
		return firmware;
	if (processor || firmware)
		return processor ? processor : firmware;
	const char *kernel = by_kernel(units);
	/* QEMU says that it is Hyper-V, too, where it helps a guest: so that counts last. */
	return kernel				      ? kernel
	       : str_equal(signature, "Microsoft Hv") ? "microsoft"
	       : *signature			      ? "vm-other"
						      : NULL;
}

#if defined(__x86_64__)
static void read_signature(char signature[VIRTUALIZATION_SIGNATURE])
{
	static const char nameless[VIRTUALIZATION_SIGNATURE] = "?";
	unsigned eax = 0, words[3] = {0}, ecx = 0, unused = 0;

	memset(signature, 0, VIRTUALIZATION_SIGNATURE);
	if (!__get_cpuid(1, &eax, &unused, &ecx, &unused) || !(ecx & 1U << 31))
		return;
	__cpuid(0x40000000U, eax, words[0], words[1], words[2]);
	memcpy(signature, words, sizeof(words));
	if (!*signature)
		memcpy(signature, nameless, sizeof(nameless));
}
#else
static void read_signature(char signature[VIRTUALIZATION_SIGNATURE])
{
	memset(signature, 0, VIRTUALIZATION_SIGNATURE);
}
#endif

/* ---- the condition */

/* The first user namespace maps every id to itself. */
static bool has_private_users(struct units *units)
{
	const char *text = host_read_text(units, "/proc/self/uid_map");
	char *word = arena_string(&units->arena, text), *save = NULL;
	static const char *const all[] = {"0", "0", "4294967295"};
	size_t n = 0;

	for (word = strtok_r(word, " \n", &save); word; word = strtok_r(NULL, " \n", &save), n++) {
		if (n == ARRAY_COUNT(all) || !str_equal(word, all[n]))
			return true;
	}
	return false;
}

bool virtualization_matches(struct units *units, const char *parameter)
{
	char signature[VIRTUALIZATION_SIGNATURE];
	bool wanted;

	if (str_equal(parameter, "private-users"))
		return has_private_users(units);
	read_signature(signature);
	const char *container = virtualization_container(units);
	const char *machine = container ? NULL : virtualization_machine(units, signature);
	const char *id = container ? container : machine;
	if (str_parse_bool(parameter, &wanted) == 0)
		return wanted == (id != NULL);
	if (str_equal(parameter, "container"))
		return container;
	if (str_equal(parameter, "vm"))
		return machine;
	return id && str_equal(parameter, id);
}
