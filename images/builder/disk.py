"""A disk as a machine boots it: GPT with an EFI system partition, the hash tree and the root.

    1  esp     /EFI/BOOT/BOOTX64.EFI, the unified kernel image; room for those of two versions
    2  verity  the hash tree
    3  root    SlotSize= long, or as long as the root

Types are those of the Discoverable Partitions Specification, and as it says the root hash's two
halves are the partitions' identifiers: the disk proves its root wherever it is attached, by
whatever name. The root is last, so that on a longer disk a second pair follows in what is free, and
none has to be moved. mtools and sfdisk write it: without mounts, and the same each time.
"""
import os
import subprocess
import uuid

from builder.filesystem import BLOCK
from builder.image import BadImage, epoch

SECTOR = 512
MIB = 1 << 20
ESP_BYTES = 128 * MIB
TYPE_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
# (root, its hash tree) by architecture.
TYPES = {"x86_64": ("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5")}
READ_ONLY = "GUID:60"
LOADER = "BOOTX64.EFI"
FAT_BEGINS = 315532800  # 1980-01-01: what FAT's clock counts from


def identifiers(root_hash):
    """(root's, hash tree's)"""
    return str(uuid.UUID(root_hash[:32])), str(uuid.UUID(root_hash[32:]))


def names(image, root_hash):
    """The labels of root and hash tree, which no other build of the image has."""
    own = f"{image.version}_{root_hash[:8]}"
    return f"root_{own}", f"verity_{own}"


def words(image, root_hash):
    """What holdfast-initramfs has to be told to boot it: by label, since kernels tell the
    partitions' identifiers to nobody but udev before 6.12."""
    root, tree = names(image, root_hash)
    return [f"holdfast.root=PARTLABEL={root}", f"holdfast.hash=PARTLABEL={tree}",
            f"holdfast.roothash={root_hash}", "holdfast.rootfs=erofs"]


def up(size, unit):
    return -(-size // unit) * unit


def copy_in(f, offset, path):
    """Puts a file into an open one, and leaves holes where it is nothing but zeros."""
    with open(path, "rb") as source:
        while block := source.read(BLOCK):
            if any(block):
                f.seek(offset)
                f.write(block)
            offset += len(block)


def esp(image, uki, target):
    """The EFI system partition's file system."""
    if os.path.getsize(uki) > ESP_BYTES // 2 - MIB:
        raise BadImage(f"{uki}: the EFI system partition has no room for two of it")
    seconds = max(epoch(), FAT_BEGINS)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(seconds), "TZ": "UTC", "LC_ALL": "C",
                   "MTOOLSRC": os.devnull}

    def mtools(tool, *arguments):
        subprocess.run([tool, "-i", target, *arguments], check=True, env=environment)

    with open(target, "wb") as f:
        f.truncate(ESP_BYTES)
    mtools("mformat", "-F", "-N", image.digest("esp")[:4].hex(), "-v", "ESP", "-T",
           str(ESP_BYTES // SECTOR), "-h", "64", "-s", "32", "::")
    mtools("mmd", "::/EFI", "::/EFI/BOOT")
    mtools("mcopy", uki, f"::/EFI/BOOT/{LOADER}")


def layout(image, root_bytes, tree_bytes):
    """[(name, first byte, size)], and the size of all."""
    slot = up(max(root_bytes, image.slot_size), MIB)
    # A root of the whole slot's length has a tree of a 127th, and its superblock.
    sizes = [("esp", ESP_BYTES), ("verity", up(max(tree_bytes, slot // 127 + 2 * BLOCK), MIB)),
             ("root", slot)]
    parts, at = [], MIB
    for name, size in sizes:
        parts.append((name, at, size))
        at += size
    return parts, at + MIB


def table(image, parts, root_hash):
    """What sfdisk(8) reads."""
    root, tree = identifiers(root_hash)
    name_root, name_tree = names(image, root_hash)
    type_root, type_tree = TYPES[os.uname().machine]
    about = {"esp": f'type={TYPE_ESP}, uuid={image.uuid("esp")}, name="esp"',
             "verity": f'type={type_tree}, uuid={tree}, name="{name_tree}", '
                       f'attrs="{READ_ONLY}"',
             "root": f'type={type_root}, uuid={root}, name="{name_root}", '
                     f'attrs="{READ_ONLY}"'}
    head = f"label: gpt\nlabel-id: {image.uuid('disk')}\nunit: sectors\nfirst-lba: 2048\n\n"
    return head + "".join(f"start={at // SECTOR}, size={size // SECTOR}, {about[name]}\n"
                          for name, at, size in parts)


def build(image, uki, root, tree, root_hash, target):
    partial = f"{target}.partial"
    parts, size = layout(image, os.path.getsize(root), os.path.getsize(tree))
    system = f"{target}.esp"
    esp(image, uki, system)
    with open(partial, "wb") as f:
        f.truncate(size)
    subprocess.run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", partial],
                   input=table(image, parts, root_hash), text=True, check=True,
                   stdout=subprocess.DEVNULL)
    with open(partial, "r+b") as f:
        for (_, at, _), path in zip(parts, (system, tree, root)):
            copy_in(f, at, path)
    os.unlink(system)
    os.replace(partial, target)
