#include "gate/decide.h"

const char *const exec_reason_names[EXEC_REASON_COUNT] = {
	[EXEC_ALLOWED] = "allowed",	  [EXEC_OUTSIDE] = "outside",
	[EXEC_LOADER] = "loader",	  [EXEC_BROUGHT] = "brought-along",
	[EXEC_FOREIGN] = "foreign-mount",
};

const char *const exec_reason_texts[EXEC_REASON_COUNT] = {
	[EXEC_ALLOWED] = "it was allowed",
	[EXEC_OUTSIDE] = "nobody here started who asked for it",
	[EXEC_LOADER] = "a loader that is executed by itself runs what nobody sees",
	[EXEC_BROUGHT] =
		"it lies neither in the image, nor on scratch with `exec`, nor does a unit name it",
	[EXEC_FOREIGN] = "it lies on a mount of another namespace",
};

static const enum exec_reason place_reasons[MOUNT_PLACE_COUNT] = {
	[MOUNT_UNKNOWN] = EXEC_FOREIGN,
	[MOUNT_IMAGE] = EXEC_ALLOWED,
	[MOUNT_DECLARED] = EXEC_ALLOWED,
	[MOUNT_OTHER] = EXEC_BROUGHT,
};

enum exec_reason exec_decide(const struct exec_facts *facts)
{
	/* holdfastctl itself is never asked about; what a visitor would execute after it is. */
	if (facts->who != JUDGE_OURS)
		return EXEC_OUTSIDE;
	if (facts->kind == ELF_LOADER && !facts->is_loader_expected)
		return EXEC_LOADER;
	return place_reasons[facts->place];
}
