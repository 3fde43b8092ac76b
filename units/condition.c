#include "units/condition.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/host.h"

const struct condition_row condition_rows[] = {
	{"PathExists", CONDITION_PATH_EXISTS, NULL},
	{"PathIsDirectory", CONDITION_PATH_IS_DIRECTORY, NULL},
	{"PathIsSymbolicLink", CONDITION_PATH_IS_SYMBOLIC_LINK, NULL},
	{"PathIsMountPoint", CONDITION_PATH_IS_MOUNT_POINT, NULL},
	{"PathIsReadWrite", CONDITION_PATH_IS_READ_WRITE, NULL},
	{"FileNotEmpty", CONDITION_FILE_NOT_EMPTY, NULL},
	{"FileIsExecutable", CONDITION_FILE_IS_EXECUTABLE, NULL},
	{"DirectoryNotEmpty", CONDITION_DIRECTORY_NOT_EMPTY, NULL},
	{"PathExistsGlob", CONDITION_CONSTANT, host_has_path_glob},
	{"Virtualization", CONDITION_CONSTANT, host_is_virtualization},
	{"Architecture", CONDITION_CONSTANT, host_is_architecture},
	{"Host", CONDITION_CONSTANT, host_is_hostname},
	{"KernelCommandLine", CONDITION_CONSTANT, host_has_kernel_argument},
	{"KernelVersion", CONDITION_CONSTANT, host_is_kernel},
	{"Environment", CONDITION_CONSTANT, host_has_environment},
	{"Credential", CONDITION_CONSTANT, host_has_credential},
	{"Capability", CONDITION_CONSTANT, host_has_capability},
	{"ControlGroupController", CONDITION_CONSTANT, host_has_controllers},
	{"Memory", CONDITION_CONSTANT, host_has_memory},
	{"CPUs", CONDITION_CONSTANT, host_has_cpus},
	{"User", CONDITION_CONSTANT, host_is_root_user},
	{"Group", CONDITION_CONSTANT, host_is_root_user},
	/* An image is never updated and never boots for a first time. */
	{"NeedsUpdate", CONDITION_CONSTANT, host_is_never},
	{"FirstBoot", CONDITION_CONSTANT, host_is_never},
	{"PathIsEncrypted", CONDITION_CONSTANT, host_is_never},
	{"Security", CONDITION_CONSTANT, host_is_never},
	{"Firmware", CONDITION_CONSTANT, host_is_never},
	{"CPUFeature", CONDITION_CONSTANT, host_is_never},
	{"OSRelease", CONDITION_CONSTANT, host_is_never},
	{"ACPower", CONDITION_CONSTANT, host_is_always},
	{"MemoryPressure", CONDITION_CONSTANT, host_is_always},
	{"CPUPressure", CONDITION_CONSTANT, host_is_always},
	{"IOPressure", CONDITION_CONSTANT, host_is_always},
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
