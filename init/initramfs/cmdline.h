#pragma once
/*
 * The words that tell the initramfs which root to boot. Pure: text in, a checked struct out.
 *
 * There are two sources, read with the same table: the file /cmdline of the initramfs (built in, so
 * as trustworthy as the initramfs itself), and the kernel's command line (which whoever starts the
 * machine may have edited, unless a signed unified kernel image carries it).
 *
 * - Ours begin with "holdfast.". One of these that is not in the table is refused: a mistyped promise
 *   must not be a missing one. All other words are the kernel's or somebody else's, are ignored, and
 *   are handed on to nobody: no single, rescue, debug or init= means anything here.
 * - A word that is given twice, in one source or in both, refuses to boot: so what is built in cannot
 *   be changed from outside.
 * - What weakens a promise (a root without a hash, corruption that is survived) must be allowed by
 *   holdfast.allow=, which is only taken from the built-in file.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/machine.h"

/* The kernel's own limit (COMMAND_LINE_SIZE) is 2048 on x86 and 4096 elsewhere. */
#define CMDLINE_BYTES	    4096
#define CMDLINE_MESSAGE_MAX 256
#define CMDLINE_DEVICE_MAX  64
#define CMDLINE_HASH_HEX    64	/* SHA-256 */
#define CMDLINE_SALT_HEX    512 /* as long as a superblock's may be */

enum cmdline_source { CMDLINE_KERNEL, CMDLINE_BUILT_IN };
enum cmdline_corruption { CORRUPTION_PANIC, CORRUPTION_RESTART, CORRUPTION_EIO, CORRUPTION_COUNT };
enum cmdline_rootfs { ROOTFS_EROFS, ROOTFS_SQUASHFS, ROOTFS_EXT4, ROOTFS_COUNT };
enum cmdline_allow { ALLOW_UNVERIFIED, ALLOW_EIO, ALLOW_COUNT };

extern const char *const cmdline_rootfs_names[ROOTFS_COUNT];

struct cmdline {
	/* "/dev/NAME", "PARTLABEL=NAME" or "PARTUUID=UUID"; empty: not given */
	char root[CMDLINE_DEVICE_MAX];
	char hash_device[CMDLINE_DEVICE_MAX]; /* empty: the root's own */
	char root_hash[CMDLINE_HASH_HEX + 1]; /* lower-case hex; empty: not given */
	char salt[CMDLINE_SALT_HEX + 1];      /* "-" for none; empty: the superblock says it */
	uint64_t hash_offset;		      /* bytes, of the superblock or else of the tree */
	uint64_t data_blocks;		      /* 0: the superblock says it */
	enum cmdline_corruption corruption;
	enum cmdline_rootfs rootfs;
	enum machine_end failed_boot; /* power off or restart */
	uint32_t timeout_s;	      /* for the modules and for devices to appear */
	uint32_t allowed;	      /* bit n: enum cmdline_allow n */
	uint32_t given;		      /* bit n: word n of the table */
};

/* What holds where no word says otherwise. */
void cmdline_init(struct cmdline *line);

/*
 * Adds the words of one source, quoted as the kernel takes them (lib/cmdline.c of the kernel: a
 * double quote begins and ends what may hold blanks, there is no escape). 0, or -EINVAL with a
 * sentence in ret_message.
 */
int cmdline_add(struct cmdline *line, const char *text, enum cmdline_source source,
		char ret_message[CMDLINE_MESSAGE_MAX]);

/* Once, when all sources were added: whether the words make sense together. As above. */
int cmdline_check(const struct cmdline *line, char ret_message[CMDLINE_MESSAGE_MAX]);

/* The root's content is proven by a hash. */
bool cmdline_is_verified(const struct cmdline *line);
