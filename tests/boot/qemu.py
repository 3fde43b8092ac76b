"""Machines for the boot tests: a real kernel in QEMU, without KVM, in seconds.

Most boots come from one snapshot, taken where tests/apps/bootload.c waits in front of the initramfs'
own /init: restoring it takes a fraction of a second, and what the boot is to be (the file /cmdline,
/modules, the disk) is told to it then. What only the kernel's own command line can show boots from
the beginning. The serial line is what a machine says; QEMU's exit status tells nothing.
"""
import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [f"{ROOT}/tests", f"{ROOT}/images"]
import harness  # pylint: disable=wrong-import-position
import initramfs  # pylint: disable=wrong-import-position
import kernel  # pylint: disable=wrong-import-position

DEADLINE = float(os.environ.get("BOOT_DEADLINE", "150"))
BLOCK = 4096
DISK_BYTES = 16 << 20  # all of one size, so that a snapshot fits each
MODULES = (*initramfs.VIRTIO_MMIO, *initramfs.EROFS, "squashfs", *initramfs.VERITY)
# Without these the kernel tests its own ciphers and measures its clock, for a second each.
FAST = "console=ttyS0 quiet cryptomgr.notests panic=-1 tsc_early_khz=2500000 tsc=reliable"
SALT = "aa55"


class Disk:
    """A root file system with its hash tree behind it, as one image file (size None: as long as that)."""

    def __init__(self, path, tree, kind="erofs", has_superblock=True, size=DISK_BYTES):
        self.path, self.kind, self.has_superblock = path, kind, has_superblock
        self._make_root(tree)
        self.blocks = -(-os.path.getsize(path) // BLOCK)
        self.hash_offset = self.blocks * BLOCK
        os.truncate(path, self.hash_offset)
        self.root_hash = self._format()
        self.end = os.path.getsize(path)
        if size is not None:
            os.truncate(path, size)

    def _make_root(self, tree):
        command = {
            "erofs": ["mkfs.erofs", "-T0", "-U00000000-0000-0000-0000-000000000001", "--all-root",
                      self.path, tree],
            "squashfs": ["mksquashfs", tree, self.path, "-noappend", "-all-root", "-comp", "zstd",
                         "-mkfs-time", "0", "-all-time", "0"],
            "ext4": ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", tree, self.path, "12m"],
        }[self.kind]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _format(self):
        options = [] if self.has_superblock else ["--no-superblock"]
        out = subprocess.run(
            ["veritysetup", "format", *options, f"--hash-offset={self.hash_offset}",
             f"--data-blocks={self.blocks}", f"--salt={SALT}",
             "--uuid=00000000-0000-0000-0000-000000000002", self.path, self.path],
            check=True, stdout=subprocess.PIPE, text=True).stdout
        return re.search(r"^Root hash:\s+(\w+)$", out, re.M).group(1)

    def words(self, **other):
        """The command line that boots it, as a dictionary; other: what is different (None: absent)."""
        words = {"root": "/dev/vda", "roothash": self.root_hash, "hashoffset": self.hash_offset,
                 "rootfs": self.kind}
        if not self.has_superblock:
            words.update(salt=SALT, datablocks=self.blocks)
        words.update(other)
        return " ".join(f"holdfast.{key}={value}" for key, value in words.items() if value is not None)

    def copy(self, path):
        """Another file with the same content, to be damaged."""
        subprocess.run(["cp", "--sparse=always", self.path, path], check=True)
        return path


def damage(path, offset, size=64):
    """Turns over every bit of some bytes."""
    with open(path, "r+b") as f:
        f.seek(offset)
        data = f.read(size)
        f.seek(offset)
        f.write(bytes(b ^ 0xff for b in data))


def module_list(names):
    """The file /modules for these and what they depend on."""
    resolved = initramfs.Modules(kernel.find().modules).resolve(names)
    return b"".join(f"{name} {parameters}".rstrip().encode() + b"\n" for name, parameters, _ in resolved)


class Machine(harness.Process):
    """One QEMU. Its serial line is the output; close() ends it. drive: options of its disks, each
    behind a comma; more: options of QEMU."""

    def __init__(self, folder, initrd, disks=(), append="", incoming=None, drive="", more=()):
        self.monitor_path = f"{folder}/qmp"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.monitor_path)
        command = ["qemu-system-x86_64", "-M", "microvm,isa-serial=on,rtc=on", "-cpu", "max", "-m", "256",
                   "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none",
                   "-serial", "stdio", "-no-reboot", "-kernel", kernel.find().vmlinux(),
                   "-initrd", initrd, "-append", f"{FAST} {append}",
                   "-qmp", f"unix:{self.monitor_path},server=on,wait=off"]
        # Of an option that is given twice the first counts.
        drive = drive if "readonly=" in drive else f",readonly=on{drive}"
        for n, disk in enumerate(disks):
            command += ["-drive", f"file={disk},if=none,id=d{n},format=raw{drive}",
                        "-device", f"virtio-blk-device,drive=d{n}"]
        command += more
        if incoming:
            command += ["-incoming", f"exec:cat {incoming}"]
        super().__init__(command, stdin=subprocess.PIPE)
        self._monitor = None

    def say(self, data):
        self.child.stdin.write(data)
        self.child.stdin.flush()

    def ask(self, command, **arguments):
        """One QMP command's answer."""
        if not self._monitor:
            self._monitor = self._connect()
            self._answer()
            self.ask("qmp_capabilities")
        request = {"execute": command, "arguments": arguments}
        self._monitor.write(json.dumps(request).encode() + b"\n")
        self._monitor.flush()
        return self._answer()

    def _connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(DEADLINE)

        def is_connected():
            if self.child.poll() is not None:
                raise harness.Timeout(f"QEMU ended: {self.read()}")
            try:
                client.connect(self.monitor_path)
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        with contextlib.ExitStack() as stack:
            stack.callback(client.close)
            harness.wait_until(is_connected, "QEMU's monitor", DEADLINE)
            return client.makefile("rwb")

    def _answer(self):
        for line in iter(self._monitor.readline, b""):
            message = json.loads(line)
            if "error" in message:
                raise RuntimeError(message["error"]["desc"])
            if "event" not in message:
                return message.get("return", message)
        raise harness.Timeout(f"QEMU's monitor is closed: {self.read()}")

    def wait_monitor(self, command, condition, what):
        return harness.wait_until(lambda: condition(self.ask(command)), what, DEADLINE, step=0.02)

    def stall(self, disk):
        """From here on the disk of that number answers a byte a second: as good as never."""
        limits = {f"{unit}{way}": 0 for unit in ("bps", "iops") for way in ("", "_rd", "_wr")}
        self.ask("block_set_io_throttle", device=f"d{disk}", **{**limits, "bps": 1})

    def events(self, name=None):
        """The structured lines so far: what holdfast says until log runs stands in the kernel's log,
        which these consoles show to the last line (loglevel=8); after that, with LogFormat=json."""
        found = []
        for line in self.text.splitlines():
            value = self.object_of(line)
            if value is not None and name in (None, value.get("event")):
                found.append(value)
        return found

    @staticmethod
    def object_of(line):
        """What the kernel says, or half a line that it broke into, may stand before it."""
        for at, sign in enumerate(line):
            with contextlib.suppress(ValueError):
                value = json.loads(line[at:]) if sign == "{" else None
                if isinstance(value, dict):
                    return value
        return None

    def wait_off(self, deadline=DEADLINE):
        """Until the machine has powered off (or, with -no-reboot, restarted). What it said."""
        self.wait(deadline)
        return self.text

    def close(self):
        if self._monitor:
            with contextlib.suppress(OSError):
                self._monitor.close()
        super().close()
        self.child.stdin.close()


class Snapshot:
    """A machine that waits in bootload with one disk of DISK_BYTES attached. modules: what lies in its
    initramfs, and is loaded unless a boot has a /modules of its own."""

    def __init__(self, folder, modules=MODULES):
        self.folder, self.path = folder, f"{folder}/snapshot"
        self.initrd = f"{folder}/snapshot.cpio"
        blank = f"{folder}/blank"
        with open(f"{harness.BIN}/holdfast-initramfs", "rb") as f:
            own = f.read()
        with open(self.initrd, "wb") as f:
            f.write(initramfs.build(kernel.find().modules, modules, f"{harness.APPS}/bootload",
                                    extra=[("init.real", stat.S_IFREG | 0o755, own)]))
        with open(blank, "wb") as f:
            f.truncate(DISK_BYTES)
        with Machine(folder, self.initrd, [blank]) as machine:
            machine.wait_for("bootload: ready", DEADLINE)
            machine.ask("stop")
            machine.ask("migrate", uri=f"exec:cat >{self.path}")
            machine.wait_monitor("query-migrate", lambda r: r.get("status") == "completed",
                                 "the snapshot is written")

    def boot(self, folder, disk, cmdline=None, files=(), drive=""):
        """A machine that goes on from here; files: {path: bytes}, /cmdline among them."""
        files = dict(files)
        if cmdline is not None:
            files["/cmdline"] = cmdline.encode()
        machine = Machine(folder, self.initrd, [disk], incoming=self.path, drive=drive)
        try:
            machine.wait_monitor("query-status", lambda r: r["status"] == "paused", "it is restored")
            machine.ask("cont")
            for path, content in files.items():
                machine.say(f"file {path} {len(content)}\n".encode() + content)
            machine.say(b"entropy 32\n" + os.urandom(32) + b"clock %d\n" % time.time() + b"go\n")
        except BaseException:
            machine.close()
            raise
        return machine


class Case(harness.Case):
    """Machines, always ended, each with a folder of its own."""

    n_machines = 0

    def _folder(self):
        Case.n_machines += 1
        folder = f"{self.dir}/{Case.n_machines}"
        os.mkdir(folder)
        return folder

    def machine(self, initrd, disks=(), append="", drive="", more=()):
        machine = Machine(self._folder(), initrd, disks, append, drive=drive, more=more)
        self.addCleanup(machine.close)
        return machine

    def restored(self, snapshot, disk, cmdline=None, files=(), drive=""):
        machine = snapshot.boot(self._folder(), disk, cmdline, files, drive)
        self.addCleanup(machine.close)
        return machine

    def assert_refused(self, machine, event, *parts):
        """It said why, and ended."""
        text = machine.wait_off()
        found = machine.events(event)
        self.assertEqual(len(found), 1, text)
        for part in parts:
            self.assertIn(part, found[0]["msg"])
        self.assertNotIn("the instance is running", text)
        return found[0]
