"""Kernel, initramfs and command line as one EFI program: a unified kernel image (the UAPI Group's
specification), systemd's stub with Debian's kernel for clouds.

Which root it boots, and its root hash, stand in the initramfs' own file /cmdline and not on the
kernel's command line: where Secure Boot is off, the stub takes another command line from whoever
started it, and holdfast-initramfs refuses a word that is given twice.
"""
import os
import re
import struct
import subprocess

import initramfs
import kernel
from builder.image import BadImage, sha256

STUBS = {"x86_64": "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"}
STUB_PACKAGE = "systemd-boot-efi"
# What systemd-stub(7) puts where; what is behind them follows as it comes.
ADDRESS = {".osrel": 0x20000, ".cmdline": 0x30000, ".linux": 0x2000000, ".initrd": 0x3000000}
# Words that every image has: the console, an end that is a reboot, and what the Kernel
# Self-Protection Project recommends that costs nothing that can be measured.
WORDS = ("console=ttyS0", "panic=-1", "oops=panic", "slab_nomerge", "vsyscall=none", "init_on_alloc=1",
         "randomize_kstack_offset=on", "page_alloc.shuffle=1",
         # Debian signs its modules: from the first one on none without a signature is taken, and what
         # [Modules] Lockdown= says later can only be more.
         "lockdown=integrity", "module.sig_enforce=1")


def package_of_kernel(vmlinuz, release):
    """Debian's package, by what the kernel says of itself (Documentation/arch/x86/boot.rst)."""
    with open(vmlinuz, "rb") as f:
        head = f.read(1 << 16)
    at = struct.unpack_from("<H", head, 0x20E)[0] + 0x200
    found = re.search(rb"Debian (\S+)", head[at:head.index(b"\0", at)])
    if not found:
        raise BadImage(f"{vmlinuz}: it does not say which package of Debian it is from")
    return described(f"linux-image-{release}", found[1].decode(), "linux")


def package_of_stub():
    version = subprocess.run(["dpkg-query", "-W", "-f=${Version}", STUB_PACKAGE], check=True,
                             capture_output=True, text=True).stdout
    return described(STUB_PACKAGE, version, "systemd")


def described(name, version, source):
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True,
                                  text=True).stdout.strip()
    return {"Package": name, "Version": version, "Architecture": architecture,
            "Source": source, "Maintainer": "Debian"}


def write_initrd(image, chosen, words, target):
    """An initramfs for this image alone: words name its root."""
    try:
        content = initramfs.build(chosen.modules, image.lines("modules"), cmdline=" ".join(words))
    except KeyError as error:
        raise BadImage(f"{image.folder}/modules: {error.args[0]}") from error
    with open(target, "wb") as f:
        f.write(content)


def forget_when(path):
    """Sets time and checksum of a PE file's header to 0: objcopy writes the clock's. UEFI reads
    neither, and who signs the file writes a checksum anew."""
    with open(path, "r+b") as f:
        f.seek(0x3C)
        header = struct.unpack("<I", f.read(4))[0]
        f.seek(header)
        if f.read(4) != b"PE\0\0":
            raise BadImage(f"{path}: objcopy made no EFI program of it")
        f.seek(header + 8)
        f.write(bytes(4))
        f.seek(header + 24 + 64)
        f.write(bytes(4))


def unify(image, vmlinuz, parts, target):
    """parts: folder with .osrel, .cmdline and .initrd as files osrel, cmdline, initrd."""
    stub = STUBS.get(os.uname().machine)
    if not stub:
        raise BadImage(f"disks are made for {', '.join(STUBS)} only")
    files = {".osrel": f"{parts}/osrel", ".cmdline": f"{parts}/cmdline", ".linux": vmlinuz,
             ".initrd": f"{parts}/initrd"}
    with open(files[".cmdline"], "w", encoding="ascii") as f:
        f.write(" ".join([*WORDS, *image.command_line]))
    if os.path.getsize(vmlinuz) > ADDRESS[".initrd"] - ADDRESS[".linux"]:
        raise BadImage(f"{vmlinuz}: too large for where it has to lie")
    options = []
    for section, path in files.items():
        options += ["--add-section", f"{section}={path}", "--change-section-vma",
                    f"{section}={ADDRESS[section]:#x}"]
    subprocess.run(["objcopy", *options, stub, f"{target}.partial"], check=True)
    forget_when(f"{target}.partial")
    os.chmod(f"{target}.partial", 0o644)
    os.replace(f"{target}.partial", target)


def find_kernel():
    chosen = kernel.find()
    return chosen, {"release": chosen.release, "sha256": sha256(chosen.vmlinuz)}
