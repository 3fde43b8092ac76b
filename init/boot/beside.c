/*
 * What a wrapped secret_id means to a command beside the instance of this container (podman exec …
 * holdfast --as UNIT -- CMD). It can be taken out once. Whoever comes second finds it used, which
 * looks like tampering; whoever comes first leaves the running unit without one. The session that
 * came of it is in a file that the other instance's supervisor and helpers have, and nobody shall
 * get it from there. So this is refused before Vault is asked anything, with a way to go on.
 *
 * The other instance is found as holdfastctl finds it. Where it has no public files it is not seen;
 * then Vault decides, as it does between containers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/board.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

static const char *const directories[] = {"/run/holdfast", "/dev/shm/holdfast"};

static const struct plan_secret *find_vault_secret(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_SECRETS); i++) {
		const struct plan_secret *secret = plan_secret(plan, i);
		if (str_starts(plan_string(plan, secret->reference), "vault:"))
			return secret;
	}
	return NULL;
}

/* Of whoever could have started an instance as PID 1: root, or the user that we are. */
static int open_public(const char *directory, const char *name)
{
	char path[BOOT_PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	CLEANUP(fd_closep)
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_uid == 0 || st.st_uid == geteuid() ? fd_steal(&fd) : -EPERM;
}

/* Mapped for the life of this process, which is short. */
static bool asks_vault(const char *directory)
{
	struct plan plan;
	struct board board;

	CLEANUP(fd_closep) int plan_fd = open_public(directory, "plan");
	CLEANUP(fd_closep) int board_fd = open_public(directory, "board");
	if (plan_fd < 0 || board_fd < 0 || plan_map(plan_fd, &plan) < 0 ||
	    board_map(board_fd, false, &board) < 0)
		return false;
	return board_peek_manager(&board)->phase != BOARD_STOPPED && find_vault_secret(&plan);
}

static bool has_setting(const struct plan *plan, const char *assignment)
{
	struct plan_list settings = plan->header->secret_settings;

	for (uint32_t i = 0; i < settings.count; i++) {
		if (str_equal(plan_string(plan, plan_list_get(plan, settings, i)), assignment))
			return true;
	}
	return false;
}

int beside_check(struct boot *boot)
{
	const struct plan_secret *secret = find_vault_secret(&boot->plan);
	bool is_beside = false;

	if (boot->is_pid1 || !secret || !has_setting(&boot->plan, "HOLDFAST_VAULT_AUTH=approle") ||
	    !has_setting(&boot->plan, "HOLDFAST_VAULT_WRAPPED=true"))
		return 0;
	for (size_t i = 0; i < ARRAY_COUNT(directories); i++)
		is_beside = is_beside || asks_vault(directories[i]);
	if (!is_beside)
		return 0;
	return boot_fail(
		boot, EX_CONFIG,
		"%s:%u: secret %s: an instance that runs here asks Vault, too, and a wrapped "
		"secret_id (VaultWrapped=) can be taken out once: expected a login of this "
		"command's own, by HOLDFAST_VAULT_WRAPPED=no with a secret_id in "
		"HOLDFAST_VAULT_SECRET_ID_FILE, or by HOLDFAST_VAULT_AUTH=token with "
		"VAULT_TOKEN",
		plan_string(&boot->plan, secret->file), secret->line,
		plan_string(&boot->plan, secret->name));
}
