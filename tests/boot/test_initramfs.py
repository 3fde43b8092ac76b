#!/usr/bin/env python3
"""From the kernel's hand-over to holdfast on a proven root, or to a machine that is off."""
import datetime
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import uuid
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import qemu
from qemu import harness, initramfs, kernel
import instance

# Without a sandbox: what is asked is what the root lets root do.
UNIT = "[Service]\nExecStart=/usr/bin/bootreport\n[X-Holdfast]\nEssential=yes\nSandbox=none\n"
POWER_OFF, RESTART = "reboot: Power down", "reboot: Restarting system"
DM_VERITY_BROKEN = "is corrupted"


def make_tree(folder):
    """A root: holdfast, and one service that tells how things stand and ends."""
    os.makedirs(folder)
    root = instance.make_tree(folder, harness.BIN, apps=("bootreport",))
    for name, text in (("holdfast.conf", "[Holdfast]\nUnits=app.service\nLogFormat=json\n[Health]\nListen=\n"),
                       ("units/app.service", UNIT)):
        with open(f"{root}/etc/holdfast/{name}", "w", encoding="utf-8") as f:
            f.write(text)
    return root


class Shared:
    """What all tests use and none changes: made once."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="holdfast-test-")
        self.tree = make_tree(f"{self.dir}/tree")
        self.disk = qemu.Disk(f"{self.dir}/disk", self.tree)
        self.snapshot = qemu.Snapshot(self.dir)


SHARED = []
ENDS = []  # seconds from the last unit's end to holdfast's, of each machine


def setUpModule():
    SHARED.append(Shared())


def tearDownModule():
    shutil.rmtree(SHARED.pop().dir)


class Case(qemu.Case):

    def setUp(self):
        super().setUp()
        self.disk, self.snapshot = SHARED[0].disk, SHARED[0].snapshot

    def boot(self, words, disk=None, files=(), drive=""):
        return self.restored(self.snapshot, disk or self.disk.path, words, files, drive)

    def lines(self, machine, word):
        """What bootreport said that begins with word, without it."""
        messages = [e["msg"] for e in machine.events() if "msg" in e]
        return [m.removeprefix(f"{word} ") for m in messages if m.startswith(f"{word} ")]

    def assert_booted(self, machine):
        """holdfast ran its service to the end, and the machine powered off."""
        text = machine.wait_off()
        self.assertIn('"msg":"end"', text)
        self.assertIn("the instance ends with status 0", text)
        self.assertIn(POWER_OFF, text)
        down, gone = (datetime.datetime.fromisoformat(e["ts"]) for e in machine.events()
                      if e.get("msg") in ("the instance is stopped", "holdfast exits with 0"))
        ENDS.append((gone - down).total_seconds())

    def damaged(self, offset, size=64):
        path = self.disk.copy(f"{self.dir}/damaged")
        qemu.damage(path, offset, size)
        return path

    def offset_of_program(self):
        """Where on the disk the service's program lies, which nothing reads but its exec."""
        with open(f"{harness.APPS}/bootreport", "rb") as f:
            start = f.read(qemu.BLOCK)
        with open(self.disk.path, "rb") as f:
            offset = f.read().find(start)
        self.assertGreater(offset, 0)
        return offset


class Good(Case):

    def test_a_proven_root_runs_holdfast_with_strict_mounts_and_cannot_be_written(self):
        machine = self.boot(self.disk.words())
        self.assert_booted(machine)
        self.assertEqual(machine.events("root-mounted")[0]["roothash"], self.disk.root_hash)
        self.assertEqual(self.lines(machine, "argv"), ["holdfast"])
        self.assertEqual(self.lines(machine, "environ"), ["0"])
        self.assertEqual(self.lines(machine, "write"), ["Read-only file system"])
        # The block device itself is read-only: EACCES, whoever asks.
        self.assertEqual(self.lines(machine, "remount"), ["Permission denied"])
        mounts = {}
        for line in self.lines(machine, "mount"):
            point, options, kind = line.split(" ")
            mounts[point] = (kind, set(options.split(",")))
        for point, kind, wanted in (("/", "erofs", "ro,nosuid,nodev"), ("/dev", "devtmpfs", "nosuid"),
                                    ("/proc", "proc", "nosuid,nodev,noexec"),
                                    ("/sys", "sysfs", "nosuid,nodev,noexec"),
                                    ("/run", "tmpfs", "nosuid,nodev,noexec"),
                                    ("/dev/shm", "tmpfs", "nosuid,nodev,noexec")):
            self.assertEqual(mounts[point][0], kind)
            self.assertLessEqual(set(wanted.split(",")), mounts[point][1], point)
        self.assertNotIn("/dev/pts", mounts)
        self.assertEqual(self.lines(machine, "link"), ["/dev/fd /proc/self/fd"])

    def test_the_end_waits_for_no_thread_of_the_kernel(self):
        self.assert_booted(self.boot(self.disk.words()))
        # Taken for processes that will not end they cost every boot the grace of TERM and of KILL,
        # 1.5 s. The shortest counts: a machine may have had to wait for its processor.
        self.assertLess(min(ENDS), 1.4)

    def test_words_in_place_of_a_superblock(self):
        disk = qemu.Disk(f"{self.dir}/disk", SHARED[0].tree, has_superblock=False)
        self.assert_booted(self.boot(disk.words(), disk.path))

    def test_squashfs_and_ext4(self):
        for kind in ("squashfs", "ext4"):
            disk = qemu.Disk(f"{self.dir}/{kind}", SHARED[0].tree, kind)
            self.assert_booted(self.boot(disk.words(), disk.path))

    def test_a_root_that_nothing_proves_where_the_initramfs_allows_it(self):
        words = "holdfast.root=/dev/vda holdfast.allow=unverified"
        machine = self.boot(words)
        self.assert_booted(machine)
        self.assertEqual(machine.events("root-mounted")[0]["level"], "warning")

    def test_a_module_that_is_missing_and_not_needed_is_said(self):
        machine = self.boot(self.disk.words(), files={
            "/modules": b"".join(b"%s.ko\n" % m for m in (b"nosuch", *self.loaded()))})
        self.assert_booted(machine)
        self.assertEqual(machine.events("module-not-loaded")[0]["module"], "nosuch.ko")

    def test_partitions_are_found_by_their_labels(self):
        path = f"{self.dir}/gpt"
        make_gpt(path, self.disk)
        words = self.disk.words(root="PARTLABEL=root-a", hash="PARTLABEL=hash-a", hashoffset=None)
        self.assert_booted(self.boot(words, path))

    @staticmethod
    def loaded():
        modules = initramfs.Modules(kernel.find().modules).resolve(qemu.MODULES)
        return [name.removesuffix(".ko").encode() for name, _, _ in modules]


def make_gpt(path, disk):
    """A GPT with the data of disk in one partition and its hash tree in another (UEFI, section 5)."""
    sector, first = 512, 2048
    with open(disk.path, "rb") as f:
        content = f.read(disk.end)
    parts = [(b"root-a", content[:disk.hash_offset]), (b"hash-a", content[disk.hash_offset:])]
    table, at, places = b"", first, []
    for label, data in parts:
        count = -(-len(data) // sector)
        table += struct.pack("<16s16sQQQ72s", uuid.uuid5(uuid.NAMESPACE_DNS, "linux").bytes_le,
                             uuid.uuid5(uuid.NAMESPACE_DNS, label.decode()).bytes_le, at,
                             at + count - 1, 0, label.decode().encode("utf-16le"))
        places.append((at, data))
        at += -(-count // 8) * 8
    table = table.ljust(128 * 128, b"\0")
    last = qemu.DISK_BYTES // sector - 1

    def header(own, other, entries):
        def pack(crc):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, own, other,
                               34, last - 33, uuid.uuid5(uuid.NAMESPACE_DNS, "disk").bytes_le,
                               entries, 128, 128, zlib.crc32(table))
        return pack(zlib.crc32(pack(0)))

    protective = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xee, b"\xff\xff\xff", 1, last)
    with open(path, "wb") as f:
        f.truncate(qemu.DISK_BYTES)
        f.seek(446)
        f.write(protective)
        for offset, data in ((510, b"\x55\xaa"), (sector, header(1, last, 2)), (2 * sector, table),
                             ((last - 32) * sector, table), (last * sector, header(last, 1, last - 32)),
                             *((place * sector, data) for place, data in places)):
            f.seek(offset)
            f.write(data)


class Archive(harness.Case):
    """images/initramfs.py as a command."""

    def make(self, *words):
        path = f"{self.dir}/initrd"
        done = subprocess.run([sys.executable, f"{harness.ROOT}/images/initramfs.py", "-o", path, *words],
                              capture_output=True, text=True, check=False)
        return done, path

    def test_the_same_input_gives_the_same_bytes_in_load_order(self):
        contents = []
        for _ in range(2):
            done, path = self.make("--cmdline", "holdfast.timeout=5", "dm_verity", "softdog soft_margin=5")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            with open(path, "rb") as f:
                contents.append(f.read())
        self.assertEqual(*contents)
        self.assertIn(b"\nholdfast.timeout=5\n", contents[0].replace(b"\0", b"\n"))
        # With the end of their line these names stand in the list alone.
        places = [contents[0].index(name) for name in (b"dm-mod.ko\n", b"dm-bufio.ko\n", b"dm-verity.ko\n")]
        self.assertEqual(max(places), places[-1])
        self.assertIn(b"\nsoftdog.ko soft_margin=5\n", contents[0])

    def test_a_module_that_the_kernel_has_not_is_an_error(self):
        done, path = self.make("nosuch")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no module nosuch", done.stderr)
        self.assertFalse(os.path.exists(path))

    def test_what_a_module_needs_and_would_rather_have(self):
        folder = f"{self.dir}/modules"
        os.mkdir(folder)
        told = {"a": b"depends=b\0softdep=pre: c nosuch post: d", "b": b"depends=", "c": b"depends=a", "d": b"depends="}
        for name, content in told.items():
            with open(f"{folder}/{name}.ko", "wb") as f:
                f.write(b"\x7fELF\0" + content + b"\0")
        found = initramfs.Modules(folder).resolve(["a", "b"])
        self.assertEqual([name for name, _, _ in found], ["b.ko", "c.ko", "a.ko"])
        os.unlink(f"{folder}/b.ko")
        with self.assertRaisesRegex(KeyError, "no module b, which a needs"):
            initramfs.Modules(folder).resolve(["a"])


class Corrupted(Case):

    def test_what_the_mount_reads_panics(self):
        machine = self.boot(self.disk.words(), self.damaged(1024))
        self.assertIn("dm-verity device corrupted", machine.wait_off())
        self.assertNotIn("root-mounted", machine.text)

    def test_restart_is_a_policy(self):
        machine = self.boot(self.disk.words(corruption="restart"), self.damaged(1024))
        self.assertIn(RESTART, machine.wait_off())
        self.assertNotIn("root-mounted", machine.text)

    def test_a_program_panics_when_it_is_run(self):
        machine = self.boot(self.disk.words(), self.damaged(self.offset_of_program()))
        text = machine.wait_off()
        self.assertIn("root-mounted", text)
        self.assertIn("dm-verity device corrupted", text)
        self.assertNotIn('"msg":"end"', text)

    def test_eio_is_an_error_and_no_content(self):
        machine = self.boot(self.disk.words(corruption="eio", allow="eio"),
                            self.damaged(self.offset_of_program()))
        text = machine.wait_off()
        self.assertIn(DM_VERITY_BROKEN, text)
        self.assertNotIn('"msg":"end"', text)
        self.assertIn(POWER_OFF, text)

    def test_a_damaged_tree_is_a_damaged_root(self):
        # The topmost block, whose hash is the root hash; and the one below it.
        for offset in (qemu.BLOCK, 2 * qemu.BLOCK):
            machine = self.boot(self.disk.words(corruption="eio", allow="eio"),
                                self.damaged(self.disk.hash_offset + offset, qemu.BLOCK))
            self.assertNotIn('"msg":"end"', machine.wait_off())
            self.assertIn(DM_VERITY_BROKEN, machine.text)
            self.assertIn(POWER_OFF, machine.text)

    def test_another_root_hash(self):
        other = self.disk.root_hash[:-1] + ("0" if self.disk.root_hash[-1] != "0" else "1")
        machine = self.boot(self.disk.words(roothash=other, corruption="eio", allow="eio"))
        self.assert_refused(machine, "root-failed", "not what the root hash says", "powers off")
        machine = self.boot(self.disk.words(roothash=other))
        self.assertIn("dm-verity device corrupted", machine.wait_off())

    def test_a_damaged_superblock(self):
        for offset, message in ((0, "no verity superblock"), (64, "block size"), (76, "absurd"),
                                (80, "salt")):
            machine = self.boot(self.disk.words(), self.damaged(self.disk.hash_offset + offset, 2))
            self.assert_refused(machine, "root-failed", message, "powers off")
            self.assertIn(POWER_OFF, machine.text)


class Refused(Case):

    def test_a_failed_boot_restarts_where_a_word_says_so(self):
        machine = self.boot(self.disk.words(rootfs="squashfs", failedboot="reboot"))
        self.assert_refused(machine, "root-failed", "no squashfs", "restarts")
        self.assertIn(RESTART, machine.text)

    def test_a_device_that_does_not_appear(self):
        machine = self.boot(self.disk.words(root="/dev/vdb", timeout=1))
        self.assert_refused(machine, "root-failed", "/dev/vdb did not appear", "powers off")
        self.assertIn(POWER_OFF, machine.text)

    def test_a_disk_that_does_not_answer_cannot_hang_it(self):
        # A byte a second: what reads it waits in the kernel, where no signal reaches.
        machine = self.boot(self.disk.words(timeout=1), drive=",throttling.bps-total=1")
        self.assert_refused(machine, "boot-timeout", "something in it hangs")
        # Neither can its driver, which is asked before the machine powers off.
        self.assertIn("holdfast: the machine does not end in order", machine.text)

    def test_modules_that_are_needed(self):
        for missing, message in (("dm-verity", "no verity table"), ("erofs", "has no erofs")):
            modules = [m for m in Good.loaded() if m != missing.encode()]
            machine = self.boot(self.disk.words(),
                                files={"/modules": b"".join(b"%s.ko\n" % m for m in modules)})
            self.assert_refused(machine, "root-failed", message)

    def test_words_that_are_not_what_the_image_was_built_to_allow(self):
        for words, message in (
                ("holdfast.root=/dev/vda", "holdfast.allow=unverified is not built"),
                (self.disk.words(corruption="eio"), "holdfast.allow=eio is not built"),
                (self.disk.words() + " holdfast.root=/dev/vda", "given twice"),
                (self.disk.words(shell="yes"), "no such word"),
                (self.disk.words(root="../dev/vda"), "expected = and /dev/NAME")):
            self.assert_refused(self.boot(words), "command-line-refused", message, "powers off")

    def test_a_root_without_holdfast_or_without_a_folder(self):
        for path, event in (("usr/lib/holdfast/holdfast", "switch-failed"), ("run", "root-failed")):
            tree = f"{self.dir}/{event}"
            shutil.copytree(SHARED[0].tree, tree)
            if os.path.isdir(f"{tree}/{path}"):
                os.rmdir(f"{tree}/{path}")
            else:
                os.unlink(f"{tree}/{path}")
            disk = qemu.Disk(f"{self.dir}/{event}.disk", tree)
            self.assert_refused(self.boot(disk.words(), disk.path), event, "powers off")


class KernelCommandLine(Case):
    """What only a kernel that was really started with it can show."""

    def initrd(self, cmdline=None):
        path = f"{self.dir}/initrd"
        with open(path, "wb") as f:
            f.write(initramfs.build(kernel.find().modules, qemu.MODULES, cmdline=cmdline))
        return path

    def test_its_words_reach_nobody_and_open_nothing(self):
        hostile = ("single rescue emergency init=/bin/sh LD_PRELOAD=/usr/bin/evil.so foo=bar "
                   "HOLDFAST_UNITS=evil.service TINI_SUBREAPER=1 app.env=prod -s "
                   'systemd.unit="rescue target" -- --version --help')
        machine = self.machine(self.initrd(), [self.disk.path], f"loglevel=8 {self.disk.words()} {hostile}")
        self.assert_booted(machine)
        self.assertEqual(self.lines(machine, "argv"), ["holdfast"])
        self.assertEqual(self.lines(machine, "environ"), ["0"])

    def test_it_cannot_say_again_what_the_initramfs_says(self):
        machine = self.machine(self.initrd(self.disk.words()), [self.disk.path],
                               "loglevel=8 holdfast.root=/dev/vda")
        self.assert_refused(machine, "command-line-refused", "holdfast.root: given twice",
                            "kernel command line", "powers off")

    def test_it_allows_nothing(self):
        machine = self.machine(self.initrd(), [self.disk.path],
                               "loglevel=8 holdfast.root=/dev/vda holdfast.allow=unverified")
        self.assert_refused(machine, "command-line-refused", "only the initramfs itself")


if __name__ == "__main__":
    harness.main()
