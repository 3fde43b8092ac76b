#!/usr/bin/env python3
"""Makes an initramfs: holdfast-initramfs as /init, kernel modules, and the list of them.

    images/initramfs.py [--program FILE] [--modules DIR] [--cmdline WORDS] -o FILE [MODULE...]

MODULE is a name as modprobe takes it, with parameters behind it if need be ("softdog soft_margin=5").
What a module depends on is added and stands before it, and so does what it would rather have
("softdep", where the kernel has that); what is built into the kernel is left out.
The order is otherwise the one that was asked for. WORDS become the file /cmdline: what the image says
itself, and nobody who edits the kernel's command line can change (holdfast-initramfs(8)).

The same input gives the same bytes: cpio in the "newc" form, uncompressed, all of root's, of time 0.
"""
import argparse
import lzma
import os
import re
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kernel  # pylint: disable=wrong-import-position

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = f"{ROOT}/build/release/bin/holdfast-initramfs"
# What a virtual machine's virtio disk and a root on erofs with dm-verity need.
VIRTIO_MMIO = ("virtio_mmio", "virtio_blk")
VIRTIO_PCI = ("virtio_pci", "virtio_blk")
VERITY = ("dm-verity",)
EROFS = ("crc32c-intel", "erofs")


def normal(name):
    return name.replace("-", "_")


class Modules:
    """The modules of a kernel, by name."""

    def __init__(self, folder):
        self.paths, self.builtin = {}, set()
        for top, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                found = re.fullmatch(r"(.+)\.ko(\.xz)?", name)
                if found:
                    self.paths[normal(found.group(1))] = f"{top}/{name}"
        try:
            with open(f"{folder}/modules.builtin", encoding="utf-8") as f:
                self.builtin = {normal(os.path.basename(line.strip()).removesuffix(".ko"))
                                for line in f}
        except FileNotFoundError:
            pass

    def has(self, name):
        return normal(name) in self.builtin or normal(name) in self.paths

    def read(self, name, needed_by=None):
        path = self.paths.get(normal(name))
        if path is None:
            why = f", which {needed_by} needs" if needed_by else ""
            raise KeyError(f"this kernel has no module {name}{why}")
        with open(path, "rb") as f:
            data = f.read()
        return lzma.decompress(data) if path.endswith(".xz") else data

    def file_name(self, name):
        return os.path.basename(self.paths[normal(name)]).removesuffix(".xz")

    def resolve(self, wanted):
        """[(file name, parameters, content)] in load order."""
        chosen, begun = {}, set()

        def add(name, parameters="", needed_by=None):
            key = normal(name)
            if key in self.builtin or key in begun:
                return
            begun.add(key)
            content = self.read(name, needed_by)
            depends = re.search(rb"\0depends=([^\0]*)\0", content)
            for other in depends.group(1).decode().split(",") if depends else ():
                if other:
                    add(other, needed_by=name)
            # As modprobe does: before it, and those that there are (modprobe.d(5), softdep).
            for softdep in re.findall(rb"\0softdep=([^\0]*)\0", content):
                before = softdep.decode().partition("post:")[0].removeprefix("pre:")
                for other in before.split():
                    if self.has(other):
                        add(other, needed_by=name)
            chosen[key] = (self.file_name(name), parameters, content)

        for entry in wanted:
            name, _, parameters = entry.partition(" ")
            add(name, parameters)
        return list(chosen.values())


def cpio(entries):
    """entries: (path, mode, content, device) in order; mode with its file type."""
    out = bytearray()

    def add(number, path, mode, content, device):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
        out.extend(b"070701" + b"".join(b"%08X" % n for n in fields) + name)
        out.extend(bytes(-len(out) % 4))
        out.extend(content)
        out.extend(bytes(-len(out) % 4))

    for number, entry in enumerate(entries, 1):
        add(number, *entry)
    add(0, "TRAILER!!!", 0, b"", (0, 0))
    out.extend(bytes(-len(out) % 512))
    return bytes(out)


def build(modules, wanted, program=PROGRAM, cmdline=None, extra=()):
    """The bytes of an initramfs. modules: a kernel's folder; extra: further (path, mode, content)."""
    chosen = Modules(modules).resolve(wanted)

    def folder(path):
        return path, stat.S_IFDIR | 0o755, b"", (0, 0)

    def file(path, content, mode=0o444):
        return path, stat.S_IFREG | mode, content, (0, 0)

    with open(program, "rb") as f:
        entries = [folder("dev"), ("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)),
                   file("init", f.read(), 0o755)]
    lines = "".join(f"{name} {parameters}".rstrip() + "\n" for name, parameters, _ in chosen)
    entries.append(file("modules", lines.encode()))
    if cmdline is not None:
        entries.append(file("cmdline", cmdline.encode() + b"\n"))
    entries += [folder("lib"), folder("lib/modules")]
    entries += [file(f"lib/modules/{name}", content) for name, _, content in chosen]
    entries += [file(path, content, mode) for path, mode, content in extra]
    return cpio(entries)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--program", default=PROGRAM, help="what becomes /init")
    parser.add_argument("--modules", help="the kernel's folder below /lib/modules")
    parser.add_argument("--cmdline", help="words that the initramfs itself says")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("module", nargs="*")
    asked = parser.parse_args()
    try:
        content = build(asked.modules or kernel.find().modules, asked.module, asked.program,
                        asked.cmdline)
    except KeyError as error:
        parser.error(error.args[0])
    with open(asked.output, "wb") as f:
        f.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
