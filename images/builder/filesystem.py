"""The root as one file: squashfs, or erofs with a dm-verity hash tree in a file of its own.

The hash tree is apart so that it gets a partition of its own: the root's can be replaced by a longer
one without moving anything, and both are what the Discoverable Partitions Specification describes.
"""
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass

from builder.image import BadImage, epoch

BLOCK = 4096


def squashfs(tree, target):
    partial = f"{target}.partial"
    if os.path.exists(partial):
        os.unlink(partial)
    # Its own reading of SOURCE_DATE_EPOCH refuses these options.
    environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    subprocess.run(["mksquashfs", tree, partial, "-noappend", "-quiet", "-no-progress", "-all-root",
                    "-no-xattrs", "-all-time", str(epoch()), "-mkfs-time", str(epoch()), "-comp",
                    "zstd", "-Xcompression-level", "9"],
                   check=True, stdout=subprocess.DEVNULL, env=environment)
    os.replace(partial, target)


def erofs(image, tree, target):
    partial = f"{target}.partial"
    subprocess.run(["mkfs.erofs", "--quiet", "-zlz4hc,12", "-x-1", "--all-root", f"-T{epoch()}",
                    f"-U{image.uuid('erofs')}", partial, tree], check=True,
                   stdout=subprocess.DEVNULL)
    with open(partial, "r+b") as f:
        size = f.seek(0, os.SEEK_END)
        f.truncate(-(-size // BLOCK) * BLOCK)
    os.replace(partial, target)


@dataclass
class Verity:
    """What dm-verity needs to know of a root besides the two devices."""
    root_hash: str
    salt: str
    blocks: int


def verity(image, data, target):
    """Makes the hash tree over data, with a superblock, so that `veritysetup verify` can read it."""
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(target), delete=False) as f:
        partial = f.name
    out = subprocess.run(["veritysetup", "format", "--hash=sha256", f"--data-block-size={BLOCK}",
                          f"--hash-block-size={BLOCK}", f"--salt={image.digest('salt').hex()}",
                          f"--uuid={image.uuid('verity')}", data, partial],
                         check=True, capture_output=True, text=True).stdout
    os.chmod(partial, 0o644)
    os.replace(partial, target)
    found = dict(re.findall(r"^([A-Z][A-Za-z ]+):\s+(\S+)$", out, re.MULTILINE))
    if "Root hash" not in found:
        raise BadImage(f"veritysetup named no root hash:\n{out}")
    return Verity(found["Root hash"], found["Salt"], int(found["Data blocks"]))
