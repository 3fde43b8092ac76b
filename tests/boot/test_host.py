#!/usr/bin/env python3
"""What holdfast promises on a host, tried by services on a kernel of its own: as much as one boot can
show in one boot."""
import datetime
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import qemu
from qemu import harness, initramfs, kernel
import instance
from builder import modules
from builder.image import BadImage

POWER_OFF = "reboot: Power down"
PROBE = "/usr/bin/hostprobe"
CONF = """[Holdfast]
Units=report.service dump.service eater.service forker.service spinner.service last.service
LogFormat=json
[Health]
Listen=
[Scratch]
/scratch=size=1M
[Modules]
Load=softdog soft_margin=77
Load=-nvme-tcp
[Sysctl]
vm.swappiness=1
"""
# None is held in by a sandbox: what root meets then is the machine's own.
# After report, which silences the kernel on the console: its lines would fall into those that are read.
ONESHOT = "[Unit]\nAfter=report.service\n[Service]\nType=oneshot\nExecStart={command}\n{more}[X-Holdfast]\nEssential=no\nSandbox=none\n"
# The kernel's parameters as they have to be. None: this kernel (6.1) does not have it.
PARAMETERS = {
    "dev/tty/ldisc_autoload": "0", "dev/tty/legacy_tiocsti": None, "fs/protected_fifos": "2",
    "fs/protected_hardlinks": "1", "fs/protected_regular": "2", "fs/protected_symlinks": "1",
    "fs/suid_dumpable": "0", "kernel/core_pattern": "|/nonexistent", "kernel/ctrl-alt-del": "0",
    "kernel/dmesg_restrict": "1", "kernel/kexec_load_disabled": "1", "kernel/kptr_restrict": "2",
    "kernel/modprobe": "", "kernel/modules_disabled": "1", "kernel/oops_limit": "1", "kernel/panic": "10",
    "kernel/panic_on_oops": "1", "kernel/perf_event_paranoid": "3", "kernel/printk_devkmsg": "ratelimit",
    "kernel/randomize_va_space": "2", "kernel/sysrq": "0", "kernel/unprivileged_bpf_disabled": "1",
    "kernel/yama/ptrace_scope": "3", "net/core/bpf_jit_harden": "2", "user/max_user_namespaces": "0",
    "vm/swappiness": "1", "vm/unprivileged_userfaultfd": "0"}
# Paths whose first line shows what is asked of a unit and of the machine.
SHOWN = (*(f"/proc/sys/{path}" for path in PARAMETERS), "/proc/sys/kernel/hostname", "/run/machine-id",
         "/sys/class/net/lo/flags", "/sys/kernel/security/lockdown",
         "/sys/module/softdog/initstate", "/sys/fs/cgroup/units/forker.service/pids.max",
         "/sys/fs/cgroup/cgroup.subtree_control")
UNITS = {
    "report": f"[Service]\nType=oneshot\nExecStart={PROBE} report\n[X-Holdfast]\nEssential=no\nSandbox=none\n",
    "eater": ONESHOT.format(command=f"{PROBE} eat 64", more="MemoryMax=16M\n"),
    "forker": ONESHOT.format(command=f"{PROBE} fork 20", more="TasksMax=5\nRemainAfterExit=yes\n"),
    "spinner": ONESHOT.format(command=f"{PROBE} spin", more="CPUQuota=50%\n"),
    "dump": ONESHOT.format(command="/usr/lib/holdfast/holdfastctl dump", more=""),
    # If it is not as the assertions say, nothing is shown.
    "last": "[Unit]\nAfter=dump.service forker.service spinner.service eater.service\n"
            "AssertVirtualization=vm\nAssertVirtualization=qemu\nAssertVirtualization=!container\n[Service]\n"
            f"ExecStart={PROBE} show {' '.join(SHOWN)}\n[X-Holdfast]\nEssential=yes\nSandbox=none\n",
}


def add_program(root, program):
    """A program of this machine with its libraries."""
    out = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    for path in [program, *re.findall(r"(/\S+) \(0x", out)]:
        os.makedirs(os.path.dirname(f"{root}{path}"), exist_ok=True)
        shutil.copy(path, f"{root}{path}")


def make_tree(folder, conf=CONF, units=None, mke2fs=False):
    os.makedirs(folder)
    root = instance.make_tree(folder, harness.BIN, apps=("hostprobe",))
    for name in ("scratch", "store"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    if mke2fs:
        add_program(root, "/usr/sbin/mke2fs")
    with open(f"{root}/etc/holdfast/holdfast.conf", "w", encoding="utf-8") as f:
        f.write(conf)
    for name, text in (UNITS if units is None else units).items():
        with open(f"{root}/etc/holdfast/units/{name}.service", "w", encoding="utf-8") as f:
            f.write(text)
    modules.put(root, kernel.find().modules)
    return root


class Shared:
    """One snapshot for all; one boot whose lines most tests read."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="holdfast-test-")
        self.snapshot = qemu.Snapshot(self.dir)
        self.tree = make_tree(f"{self.dir}/tree")
        self.disk = qemu.Disk(f"{self.dir}/disk", self.tree)
        with self.snapshot.boot(self.dir, self.disk.path, self.disk.words()) as machine:
            machine.wait_for("root-mounted", qemu.DEADLINE)
            # A line, the keys that are signals, and a break with a key of sysrq behind it.
            machine.say(b"echo typed\n\x03\x1c\x1a\n")
            machine.ask("chardev-send-break", id="serial0")
            machine.say(b"b")
            self.text = machine.wait_off()
            self.events = machine.events()


SHARED = []


def setUpModule():
    SHARED.append(Shared())


def tearDownModule():
    shutil.rmtree(SHARED.pop().dir)


class Said(unittest.TestCase):
    """What a machine said in the end."""

    def take(self, text, events):
        self.text = text
        # A dump repeats what was said.
        self.events = [e for e in events if "type" not in e]
        self.dump = [e for e in events if "type" in e]
        self.maxDiff = None

    def said(self, word):
        """What a service said that begins with word, without it."""
        messages = [e["msg"] for e in self.events if "msg" in e and "holdfast" in e]
        return [m.removeprefix(f"{word} ") for m in messages if m.startswith(f"{word} ")]

    def shown(self):
        return dict(line.split(": ", 1) for line in self.said("show"))

    def outcomes(self, word):
        return dict(line.split(" ", 1) for line in self.said(word))

    def protection(self, name):
        # Once in the kernel's log, once on the console.
        found = [e for e in self.events if e.get("event") == "protection" and e.get("name") == name]
        self.assertTrue(found, f"no protection {name} in:\n{self.text}")
        return found[-1]

    def event(self, name, unit):
        found = [e for e in self.events if e.get("event") == name and e.get("unit") == unit]
        self.assertTrue(found, f"no {name} of {unit} in:\n{self.text}")
        return found[-1]


class OneBoot(Said):
    def setUp(self):
        self.take(SHARED[0].text, SHARED[0].events)

    def test_it_came_to_its_end(self):
        self.assertIn("the instance ends with status 0", self.text)
        self.assertIn(POWER_OFF, self.text)

    def test_every_mount_has_exactly_its_flags(self):
        mounts = {}
        for line in self.said("mountinfo"):
            before, after = line.split(" - ")
            point, options = before.split(" ")[4:6]
            kind, _, more = after.split(" ")
            mounts[point] = (kind, set(options.split(",")) - {"relatime"}, set(more.split(",")))
        strict = {"nosuid", "nodev", "noexec"}
        expected = {"/": ("erofs", {"ro", "nosuid", "nodev"}),
                    "/dev": ("devtmpfs", {"rw", "nosuid"}),
                    "/dev/shm": ("tmpfs", {"rw", *strict}),
                    "/proc": ("proc", {"rw", *strict}),
                    "/run": ("tmpfs", {"rw", *strict}),
                    "/scratch": ("tmpfs", {"rw", *strict}),
                    "/sys": ("sysfs", {"ro", *strict}),
                    "/sys/fs/cgroup": ("cgroup2", {"rw", *strict}),
                    "/sys/kernel/security": ("securityfs", {"rw", *strict})}
        for name in ("abi", "debug", "dev", "fs", "kernel", "user", "vm"):
            if f"/proc/sys/{name}" in mounts:
                expected[f"/proc/sys/{name}"] = ("proc", {"ro", *strict})
        found = {point: (kind, flags) for point, (kind, flags, _) in mounts.items()}
        for point, wanted in expected.items():
            self.assertEqual(found.pop(point, None), wanted, point)
        # What holdfast makes below /run for secrets, and nothing else: no devpts.
        for point, (_, flags) in found.items():
            self.assertTrue(point.startswith(("/run/", "/sys/fs/pstore")), point)
            self.assertLessEqual(strict, flags, point)
        self.assertLessEqual({"nsdelegate", "memory_recursiveprot"}, mounts["/sys/fs/cgroup"][2])
        self.assertIn("mode=755", mounts["/run"][2])

    def test_the_root_is_what_was_proven_for_root_too(self):
        self.assertEqual(self.said("remount"), ["Permission denied"])
        self.assertEqual(self.outcomes("write")["/"], "Read-only file system")
        # What dm-verity made of the disk is read-only by itself.
        self.assertEqual(self.outcomes("device")["/dev/dm-0"], "Operation not permitted")
        self.assertEqual(self.protection("root")["level"], "full")

    def test_the_kernel_can_be_changed_no_more(self):
        shown = self.shown()
        self.assertEqual(shown["/proc/sys/kernel/modules_disabled"], "1")
        self.assertEqual(shown["/proc/sys/kernel/kexec_load_disabled"], "1")
        self.assertIn("[integrity]", shown["/sys/kernel/security/lockdown"])
        self.assertEqual(self.said("module"), ["Operation not permitted"])
        self.assertEqual(self.said("kexec"), ["Operation not permitted"])
        self.assertEqual(self.outcomes("open")["/dev/mem"], "Operation not permitted")
        self.assertTrue(self.protection("lockdown")["msg"].startswith("lockdown: integrity; modules were"))
        writes = self.outcomes("write")
        for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/sys/power/state"):
            self.assertEqual(writes[path], "Read-only file system")
        self.assertEqual(writes["/proc/sys/net/ipv4/ip_forward"], "done")

    def test_parameters(self):
        shown = self.shown()
        values = {path: shown[f"/proc/sys/{path}"].strip() for path in PARAMETERS}
        missing = "No such file or directory"
        self.assertEqual(values, {path: missing if value is None else value
                                  for path, value in PARAMETERS.items()})
        # It is said by name.
        names = " ".join(path for path, value in PARAMETERS.items() if value is None)
        self.assertRegex(self.protection("sysctl")["msg"], f"does not have {names}$")

    def test_modules_of_the_image_are_loaded_with_their_parameters(self):
        self.assertEqual(self.shown()["/sys/module/softdog/initstate"], "live")
        self.assertIn("soft_margin=77 sec", self.text)

    def test_nothing_reads_the_console(self):
        self.assertNotIn("echo typed", self.text)
        self.assertNotIn("^C", self.text)
        self.assertNotIn("] sysrq: ", self.text)
        self.assertEqual(self.said("console"), ["receives 0 echoes 0 signals 0 waiting 0"])
        self.assertEqual(self.outcomes("link"), {"/proc/1/fd/0": "/dev/null",
                                                 "/proc/self/fd/0": "/dev/null"})
        opened = self.outcomes("open")
        self.assertEqual(opened["/dev/pts/ptmx"], "No such file or directory")
        # The node is the kernel's; without a devpts it opens nothing.
        self.assertNotEqual(opened["/dev/ptmx"], "done")
        self.assertEqual(self.protection("console")["level"], "full")

    def test_people_read_the_console(self):
        self.assertRegex(self.text, r"(?m)^(\[.*)?holdfast: the root is /dev/vda, read-only and proven")
        (mounted,) = [e for e in self.events if e.get("event") == "root-mounted"]
        self.assertEqual(mounted["roothash"], SHARED[0].disk.root_hash)

    def test_the_first_second_is_in_the_dump(self):
        lines = [e["msg"] for e in self.dump if e["type"] == "kernel"]
        for start, word in (("holdfast-initramfs: ", '"event":"root-mounted"'),
                            ("holdfast-boot: ", '"event":"machine-id"')):
            self.assertTrue([m for m in lines if m.startswith(start) and word in m], lines)

    def test_memory_has_its_limit(self):
        self.assertEqual(self.said("ate"), [])
        down = [e for e in self.events if e.get("unit") == "eater.service" and e.get("result")]
        self.assertEqual({e["result"] for e in down}, {"oom-kill"}, self.text)

    def test_tasks_have_their_limit(self):
        self.assertEqual(self.said("forked"), ["4 Resource temporarily unavailable"])
        self.assertEqual(self.shown()["/sys/fs/cgroup/units/forker.service/pids.max"], "5")

    def test_the_processor_has_its_limit(self):
        (throttled,) = self.said("throttled")
        self.assertGreater(int(throttled), 0)

    def test_cgroups(self):
        self.assertEqual(self.protection("cgroups")["level"], "full")
        for controller in ("cpu", "memory", "pids", "io"):
            self.assertIn(controller, self.shown()["/sys/fs/cgroup/cgroup.subtree_control"].split())

    def test_init_waits_for_no_page_of_its_own(self):
        kilobytes = {key: int(value) for key, value in self.outcomes("init").items()}
        # But for what the kernel maps into everybody.
        self.assertGreater(kilobytes["VmLck:"], kilobytes["VmSize:"] - 64, kilobytes)
        self.assertLess(kilobytes["VmLck:"], 4096)
        # The program, all of it; and of the rest what is in use.
        self.assertGreater(kilobytes["RssFile:"], 100, kilobytes)
        self.assertLess(kilobytes["RssFile:"] + kilobytes["RssAnon:"], 1024, kilobytes)

    def test_what_makes_it_one_machine(self):
        for name in ("clock", "random"):
            self.assertEqual(self.protection(name)["level"], "full")
        found = [e for e in self.events if e.get("event") == "protection" and "ts" in e]
        said = datetime.datetime.fromisoformat(found[0]["ts"])
        now = datetime.datetime.now(datetime.timezone.utc)
        self.assertLess(abs((now - said).total_seconds()), 3600)
        shown = self.shown()
        self.assertRegex(shown["/run/machine-id"], "^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$")
        self.assertEqual(shown["/proc/sys/kernel/hostname"], f"host-{shown['/run/machine-id'][:12]}")
        self.assertEqual(int(shown["/sys/class/net/lo/flags"], 16) & 1, 1)


OLD, WRITTEN, STORE_BYTES = b"what the last instance left there ", "what this instance wrote", 32 << 20
STORE_CONF = """[Holdfast]
Units=app.service
LogFormat=json
[Health]
Listen=
[Scratch]
/store=device=/dev/nvme1n1,mode=0755
[Modules]
Load=dm-crypt
Load=ecb
Load=xts
Load=-aesni-intel
"""
STORE_UNITS = {"app": f"[Service]\nType=oneshot\nExecStart={PROBE} report\nExecStart={PROBE} folder /store\n"
                      f"ExecStart={PROBE} fill /store \"{WRITTEN}\"\n"
                      f"ExecStart={PROBE} show /sys/module/ena/initstate\n[X-Holdfast]\nEssential=yes\n"}
HOSTILE = ("single rescue emergency debug init=/bin/sh LD_PRELOAD=/evil.so HOLDFAST_UNITS=evil.service "
           "systemd.unit=evil.target systemd.debug-shell=1 rd.break evil.word=1 EVIL=1 evil=a evil=b evil\xe9 "
           f"EVILLONG={'x' * 700} -- --evil evil")


class FromTheBeginning(Said, qemu.Case):
    """A boot that no snapshot shortens: hostile words on the kernel's command line, much in the
    initramfs, and a disk that can be written."""

    BALLAST = 32 << 20

    def test_a_hostile_command_line_and_a_full_initramfs(self):
        initrd, disk = f"{self.dir}/initrd", SHARED[0].disk.copy(f"{self.dir}/disk")
        with open(initrd, "wb") as f:
            f.write(initramfs.build(kernel.find().modules, qemu.MODULES, cmdline=SHARED[0].disk.words(),
                                    extra=[("ballast", stat.S_IFREG | 0o644, os.urandom(self.BALLAST))]))
        machine = self.machine(initrd, [disk], f"loglevel=8 {HOSTILE}",
                               drive=",readonly=off")
        self.take(machine.wait_off(), machine.events())
        words = self.said("cmdline") + self.said("environ")
        self.assertGreaterEqual(len(words), 5, self.text)
        self.assertIn("1 holdfast", [w.strip() for w in words])
        for word in words:
            self.assertNotRegex(word, "(?i)evil|single|rescue|emergency|debug|rd.break|/bin/sh")
        # The initramfs, which held all that, is gone.
        self.assertLess(int(self.outcomes("memory")["Shmem:"]) << 10, self.BALLAST)
        # Nor can root write to the disk below what is proven.
        self.assertEqual(self.outcomes("device")["/dev/vda"], "Operation not permitted")
        self.assertEqual(self.outcomes("device")["/dev/dm-0"], "Operation not permitted")
        with open(disk, "rb") as copy, open(SHARED[0].disk.path, "rb") as real:
            self.assertEqual(copy.read(), real.read())
        self.assertIn("the instance ends with status 0", self.text)

    def test_what_an_ami_loads_and_an_instance_store(self):
        """The demo's list of modules, the root on NVMe as EC2 has it, and a second disk for scratch."""
        with open(f"{harness.ROOT}/images/demo/modules", encoding="utf-8") as f:
            loaded = [line.strip() for line in f if line.strip() and not line.startswith("#")]
        self.assertIn("ena", loaded)
        initrd, store = f"{self.dir}/initrd", f"{self.dir}/store"
        disk = qemu.Disk(f"{self.dir}/root.disk", make_tree(f"{self.dir}/ami", STORE_CONF, STORE_UNITS, mke2fs=True))
        with open(initrd, "wb") as f:
            f.write(initramfs.build(kernel.find().modules, loaded, cmdline=disk.words(root="/dev/nvme0n1")))
        with open(store, "wb") as f:
            f.write(OLD * (STORE_BYTES // len(OLD)))
        more = ["-M", "microvm,pcie=on"]
        for n, (path, access) in enumerate(((disk.path, "readonly=on"), (store, "cache=unsafe"))):
            more += ["-drive", f"file={path},if=none,id=n{n},format=raw,{access}",
                     "-device", f"nvme,serial=s{n},drive=n{n}"]
        contents = []
        for _ in range(2):
            machine = self.machine(initrd, [], "loglevel=4", more=more)
            self.take(machine.wait_off(), machine.events())
            self.assertIn("the instance ends with status 0", self.text)
            self.assertEqual(self.shown()["/sys/module/ena/initstate"], "live")
            # It begins empty, whatever the boot before left there.
            self.assertEqual(self.said("folder"), ["/store 0"])
            found = [line.split(" ") for line in self.said("mountinfo") if line.split(" ")[4] == "/store"]
            self.assertEqual(found[0][5], "rw,nosuid,nodev,noexec,noatime")
            self.assertIn("ext4 /dev/dm-1", " ".join(found[0]))
            self.assertIn("with a key that is forgotten", self.protection("scratch")["msg"])
            with open(store, "rb") as f:
                contents.append(f.read())
        # What the service wrote is on the disk, and cannot be read there.
        for content in contents:
            self.assertNotIn(WRITTEN.encode(), content)
            self.assertNotIn(b"\x53\xef", content[1080:1082])  # no superblock of ext4
        # Nor has the second boot the first one's key: what both wrote in a place (mke2fs writes much that is
        # alike) is not alike. What neither wrote still is what was there before.
        first, second = ([content[at:at + 512] for at in range(0, STORE_BYTES, 512)] for content in contents)
        self.assertEqual([a for a, b in zip(first, second) if a == b and OLD not in a], [])

    def test_a_clock_that_was_never_set_and_a_name_of_the_image(self):
        """No file of the image is older than the image."""
        conf = STORE_CONF.split("[Scratch]", maxsplit=1)[0].replace("app.service", "last.service")
        show = f"[Service]\nExecStart={PROBE} show /proc/sys/kernel/hostname\n[X-Holdfast]\nEssential=yes\n"
        tree, initrd = make_tree(f"{self.dir}/tree", conf, {"last": show}), f"{self.dir}/initrd"
        built = datetime.datetime(2031, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc)
        for path, text in (("hostname", "named # by the image\n"), ("os-release", "ID=x\n")):
            with open(f"{tree}/etc/{path}", "w", encoding="utf-8") as f:
                f.write(text)
        os.utime(f"{tree}/etc/os-release", (built.timestamp(),) * 2)
        # It alone of these keeps the times of files.
        disk = qemu.Disk(f"{self.dir}/disk", tree, "ext4")
        with open(initrd, "wb") as f:
            f.write(initramfs.build(kernel.find().modules, qemu.MODULES, cmdline=disk.words()))
        machine = self.machine(initrd, [disk.path], more=("-rtc", "base=2001-01-01"))
        self.take(machine.wait_off(), machine.events())
        self.assertEqual(self.shown(), {"/proc/sys/kernel/hostname": "named"})
        self.assertEqual(self.protection("clock")["level"], "reduced")
        self.assertIn("the image's time", self.protection("clock")["msg"])
        said = [datetime.datetime.fromisoformat(e["ts"]) for e in self.events if "ts" in e]
        self.assertLess(abs((said[-1] - built).total_seconds()), 300)

    def test_a_disk_without_a_key_is_said_and_one_without_mke2fs_refused(self):
        conf = STORE_CONF.replace("/dev/nvme1n1", "/dev/vdb,size=8M").split("[Modules]")[0]
        initrd, store = f"{self.dir}/initrd", f"{self.dir}/store"
        with open(store, "wb") as f:
            f.write(OLD * (STORE_BYTES // len(OLD)))
        for has_mke2fs in (True, False):
            tree = make_tree(f"{self.dir}/{has_mke2fs}", conf, STORE_UNITS, mke2fs=has_mke2fs)
            disk = qemu.Disk(f"{self.dir}/{has_mke2fs}.disk", tree)
            with open(initrd, "wb") as f:
                f.write(initramfs.build(kernel.find().modules, qemu.MODULES, cmdline=disk.words()))
            machine = self.machine(initrd, [disk.path, store], drive=",readonly=off")
            self.take(machine.wait_off(), machine.events())
            if not has_mke2fs:
                self.assertIn("there is no /usr/sbin/mke2fs in the image: add it", self.text)
                self.assertIn("holdfast exits with 71", self.text)
                continue
            self.assertEqual(self.said("folder"), ["/store 0"], self.text)
            self.assertEqual(self.protection("scratch")["level"], "reduced")
            self.assertIn("1 of them without a key", self.protection("scratch")["msg"])
            with open(store, "rb") as f:
                content = f.read()
            self.assertIn(WRITTEN.encode() * 10, content)
            self.assertNotIn(WRITTEN.encode(), content[8 << 20:])

    def test_a_disk_that_is_not_there_or_in_use_refuses_to_boot(self):
        for device, message in (("/dev/vda", "it cannot be had alone"),
                                ("/dev/dm-0", "it cannot be had alone")):
            conf = STORE_CONF.replace("/dev/nvme1n1", device)
            tree = make_tree(f"{self.dir}/tree{device.replace('/', '-')}", conf, STORE_UNITS)
            disk = qemu.Disk(f"{self.dir}/disk", tree)
            machine = self.restored(SHARED[0].snapshot, disk.path, disk.words())
            text = machine.wait_off()
            self.assertIn(f"[Scratch] /store: {device}: {message}", text)
            self.assertIn("holdfast exits with 71", text)

    def test_modules_that_cannot_be_loaded_refuse_to_boot(self):
        tree = make_tree(f"{self.dir}/tree")
        for line, status, message in (
                ("Load=nf_tables", 78, "nf_tables: not in /usr/lib/holdfast/modules/list: the image has to be built"),
                ("Load=softdog nosuch=1 soft_margin=much", 71, "softdog: softdog.ko: the kernel does not take")):
            with open(f"{tree}/etc/holdfast/holdfast.conf", "w", encoding="utf-8") as f:
                f.write(CONF.replace("Load=softdog soft_margin=77", line))
            disk = qemu.Disk(f"{self.dir}/disk", tree)
            machine = self.restored(SHARED[0].snapshot, disk.path, disk.words())
            text = machine.wait_off()
            self.assertIn(f"/etc/holdfast/holdfast.conf:9: [Modules] {message}", text)
            self.assertIn(f"holdfast exits with {status}", text)

    def test_a_module_that_the_kernel_has_not_is_no_image(self):
        with self.assertRaisesRegex(BadImage, "no module nosuch"):
            make_tree(f"{self.dir}/none", CONF.replace("Load=softdog", "Load=nosuch"))

    def test_a_parameter_that_the_command_line_holds_refuses_to_boot(self):
        initrd = f"{self.dir}/initrd"
        with open(initrd, "wb") as f:
            f.write(initramfs.build(kernel.find().modules, qemu.MODULES, cmdline=SHARED[0].disk.words()))
        machine = self.machine(initrd, [SHARED[0].disk.path], "sysrq_always_enabled")
        text = machine.wait_off()
        self.assertIn("kernel/sysrq cannot be set to", text)
        self.assertIn("holdfast exits with 71", text)
        self.assertIn(POWER_OFF, text)


if __name__ == "__main__":
    harness.main()
