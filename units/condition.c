#include "units/condition.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/host.h"
#include "units/virtualization.h"

const struct condition_row condition_rows[] = {
	{.word = "PathExists", .type = CONDITION_PATH_EXISTS},
	{.word = "PathIsDirectory", .type = CONDITION_PATH_IS_DIRECTORY},
	{.word = "PathIsSymbolicLink", .type = CONDITION_PATH_IS_SYMBOLIC_LINK},
	{.word = "PathIsMountPoint", .type = CONDITION_PATH_IS_MOUNT_POINT},
	{.word = "PathIsReadWrite", .type = CONDITION_PATH_IS_READ_WRITE},
	{.word = "FileNotEmpty", .type = CONDITION_FILE_NOT_EMPTY},
	{.word = "FileIsExecutable", .type = CONDITION_FILE_IS_EXECUTABLE},
	{.word = "DirectoryNotEmpty", .type = CONDITION_DIRECTORY_NOT_EMPTY},
	{.word = "PathExistsGlob", .type = CONDITION_CONSTANT, .decide = host_has_path_glob},
	{.word = "Virtualization",
	 .type = CONDITION_CONSTANT,
	 .decide = virtualization_matches,
	 .is_known = virtualization_is_known,
	 .expected = "a boolean, vm, container, private-users or a name of systemd-detect-virt(1)"},
	{.word = "Architecture", .type = CONDITION_CONSTANT, .decide = host_is_architecture},
	{.word = "Host", .type = CONDITION_CONSTANT, .decide = host_is_hostname},
	{.word = "KernelCommandLine",
	 .type = CONDITION_CONSTANT,
	 .decide = host_has_kernel_argument},
	{.word = "KernelVersion", .type = CONDITION_CONSTANT, .decide = host_is_kernel},
	{.word = "Environment", .type = CONDITION_CONSTANT, .decide = host_has_environment},
	{.word = "Credential", .type = CONDITION_CONSTANT, .decide = host_has_credential},
	{.word = "Capability", .type = CONDITION_CONSTANT, .decide = host_has_capability},
	{.word = "ControlGroupController",
	 .type = CONDITION_CONSTANT,
	 .decide = host_has_controllers},
	{.word = "Memory", .type = CONDITION_CONSTANT, .decide = host_has_memory},
	{.word = "CPUs", .type = CONDITION_CONSTANT, .decide = host_has_cpus},
	{.word = "User", .type = CONDITION_CONSTANT, .decide = host_is_root_user},
	{.word = "Group", .type = CONDITION_CONSTANT, .decide = host_is_root_user},
	/* An image is never updated and never boots for a first time. */
	{.word = "NeedsUpdate", .type = CONDITION_CONSTANT, .decide = host_is_never},
	{.word = "FirstBoot", .type = CONDITION_CONSTANT, .decide = host_is_never},
	{.word = "PathIsEncrypted", .type = CONDITION_CONSTANT, .decide = host_is_never},
	{.word = "Security", .type = CONDITION_CONSTANT, .decide = host_is_never},
	{.word = "Firmware", .type = CONDITION_CONSTANT, .decide = host_is_never},
	{.word = "CPUFeature", .type = CONDITION_CONSTANT, .decide = host_is_never},
	{.word = "OSRelease", .type = CONDITION_CONSTANT, .decide = host_is_never},
	{.word = "ACPower", .type = CONDITION_CONSTANT, .decide = host_is_always},
	{.word = "MemoryPressure", .type = CONDITION_CONSTANT, .decide = host_is_always},
	{.word = "CPUPressure", .type = CONDITION_CONSTANT, .decide = host_is_always},
	{.word = "IOPressure", .type = CONDITION_CONSTANT, .decide = host_is_always},
};
const size_t n_condition_rows = ARRAY_COUNT(condition_rows);

const struct condition_row *condition_find(const char *key, bool *ret_is_assert)
{
	const char *word = str_starts(key, "Condition") ? key + strlen("Condition")
			   : str_starts(key, "Assert")	? key + strlen("Assert")
							: NULL;

	for (size_t i = 0; word && i < n_condition_rows; i++) {
		if (strcmp(condition_rows[i].word, word) == 0) {
			*ret_is_assert = *key == 'A';
			return &condition_rows[i];
		}
	}
	return NULL;
}

/* The conditions, or the assertions, of which those with "|" hold together when one of them does. */
static bool is_one_unmet(const struct conditions *list, uint32_t want)
{
	bool has_trigger = false, may_trigger = false;

	for (size_t i = 0; i < list->count; i++) {
		const struct condition *c = &list->items[i];
		if ((c->flags & CONDITION_ASSERT) != want)
			continue;
		bool is_known = c->type == CONDITION_CONSTANT;
		bool is_true = str_equal(c->parameter, "yes") != !!(c->flags & CONDITION_NEGATE);
		if (c->flags & CONDITION_TRIGGER) {
			has_trigger = true;
			may_trigger |= !is_known || is_true;
		} else if (is_known && !is_true) {
			return true;
		}
	}
	return has_trigger && !may_trigger;
}

bool condition_cannot_hold(const struct conditions *list)
{
	return is_one_unmet(list, 0) || is_one_unmet(list, CONDITION_ASSERT);
}

bool condition_may_change(const struct conditions *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].type != CONDITION_CONSTANT)
			return true;
	}
	return false;
}
