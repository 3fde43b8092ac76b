#!/usr/bin/env python3
"""The gate on a host, on a kernel of its own: what a service of root without a sandbox may execute, and what
becomes of the system calls that one with a sandbox is refused."""
import json
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import qemu
from qemu import harness, kernel
from builder import modules
from test_host import add_program
import instance

LOADER = next(p for p in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if os.path.exists(p))
CONF = """[Holdfast]
Units=tries.service denied.service
LogFormat=json
[Health]
Listen=127.0.0.1:9180
[Scratch]
/scratch=size=4M
/work=size=4M,exec
"""
# Each line is executed by a shell of the image, which says how it ended.
TRIES = ("cp /usr/bin/busybox /scratch/busybox", "/scratch/busybox true", "cp /usr/bin/busybox /work/busybox", "/work/busybox true",
         "busybox mount -t tmpfs -o size=4m memory /mnt", "cp /usr/bin/busybox /mnt/busybox", "/mnt/busybox true",
         f"{LOADER} /bin/dash -c exit", "/bin/dash -c exit", "test -e /proc/sys/vm/memfd_noexec",
         "grep -q 2 /proc/sys/vm/memfd_noexec",
         "busybox wget -q -O - http://127.0.0.1:9180/metrics | grep refused_calls",
         "kill -9 $(pidof holdfast-gate)", "/bin/dash -c exit", "/mnt/busybox true",
         "/usr/lib/holdfast/holdfastctl dump")
SCRIPT = "#!/bin/sh\n" + "".join(f"{line}\necho \"tried {number} $?\"\n" for number, line in enumerate(TRIES))
UNIT = "[Unit]\nAfter=denied.service\n[Service]\nType=oneshot\nExecStart=/usr/bin/tries\n[X-Holdfast]\nSandbox=none\n"
# Most calls are made by children of its own that end at once, and there is a thread.
DENIED = "[Service]\nType=oneshot\nExecStart=/usr/bin/denied\nExecStart=/usr/bin/denied ptrace\n[X-Holdfast]\nEssential=no\n"


def make_tree(folder):
    os.makedirs(folder)
    root = instance.make_tree(folder, harness.BIN, apps=("denied",))
    for name in ("work", "mnt", "bin"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    shutil.copy("/bin/busybox", f"{root}/usr/bin/busybox")
    add_program(root, "/bin/dash")
    for path in ("bin/sh", "usr/bin/cp", "usr/bin/grep", "usr/bin/pidof", "usr/bin/test"):
        os.symlink("/usr/bin/busybox", f"{root}/{path}")
    with open(f"{root}/usr/bin/tries", "w", encoding="utf-8") as f:
        f.write(SCRIPT)
    os.chmod(f"{root}/usr/bin/tries", 0o755)
    with open(f"{root}/etc/holdfast/holdfast.conf", "w", encoding="utf-8") as f:
        f.write(CONF)
    for name, text in (("tries", UNIT), ("denied", DENIED)):
        with open(f"{root}/etc/holdfast/units/{name}.service", "w", encoding="utf-8") as f:
            f.write(text)
    modules.put(root, kernel.find().modules)
    return root


class Gate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="holdfast-test-")
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        disk = qemu.Disk(f"{cls.dir}/disk", make_tree(f"{cls.dir}/tree"))
        with qemu.Snapshot(cls.dir).boot(cls.dir, disk.path, disk.words()) as machine:
            cls.text = machine.wait_off()
            events = machine.events()
        # A dump repeats what was said.
        cls.events = [e for e in events if "type" not in e]
        cls.dump = [e for e in events if "type" in e]

    def ended(self, line, nth=0):
        """The status of the nth try of that line."""
        number = [i for i, tried in enumerate(TRIES) if tried == line][nth]
        said = [e["msg"] for e in self.events if e.get("msg", "").startswith(f"tried {number} ")]
        self.assertEqual(len(said), 1, self.text)
        return int(said[0].split()[-1])

    def refused(self, reason):
        return [e["exe"] for e in self.events if e.get("event") == "exec-refused" and e["reason"] == reason]

    def test_the_image_and_scratch_for_programs(self):
        self.assertEqual(self.ended("/work/busybox true"), 0)
        self.assertEqual(self.ended("/bin/dash -c exit"), 0)
        self.assertEqual(self.refused("outside"), [])

    def test_other_scratch_and_a_mount_of_its_own(self):
        self.assertEqual(self.ended("cp /usr/bin/busybox /scratch/busybox"), 0)
        self.assertEqual(self.ended("/scratch/busybox true"), 126)
        self.assertEqual(self.ended("cp /usr/bin/busybox /mnt/busybox"), 0)
        self.assertEqual(self.ended("/mnt/busybox true"), 126)
        self.assertEqual(self.refused("brought-along"), ["/mnt/busybox", "/mnt/busybox"])

    def test_a_loader_by_itself(self):
        self.assertEqual(self.ended(f"{LOADER} /bin/dash -c exit"), 126)
        self.assertEqual(len(self.refused("loader")), 1)

    def test_its_death_opens_nothing(self):
        self.assertEqual(self.ended("kill -9 $(pidof holdfast-gate)"), 0)
        self.assertEqual(self.ended("/bin/dash -c exit", 1), 0)
        self.assertEqual(self.ended("/mnt/busybox true", 1), 126)

    def test_refused_calls_are_told(self):
        """By an event with the unit, whoever of its processes it was; a metric; the dump; a sentence."""
        # The kernel says the same on the console, in the midst of our lines: the dump has them whole.
        said = {e["json"]["call"]: e["json"] for e in self.dump if e["type"] == "event" and e["json"]["event"] == "call-refused"}
        for call, allow in (("ptrace", "ptrace"), ("mount", "mount"), ("bpf", "bpf"), ("unshare", "namespaces"), ("ioctl", "tty")):
            self.assertEqual((said[call]["unit"], said[call].get("allow"), said[call]["name"]), ("denied.service", allow, "denied"))
        # What each thread tries is no refusal.
        self.assertNotIn("clone3", said)
        told = {e["call"]: e for e in self.dump if e["type"] == "refused_call"}
        self.assertEqual({e["unit"] for e in told.values()}, {"denied.service"})
        self.assertEqual(told["ptrace"]["count"], 2)
        metrics = [e["msg"] for e in self.events if e.get("msg", "").startswith("holdfast_refused_calls_total{")]
        self.assertIn('holdfast_refused_calls_total{unit="denied.service",call="ptrace",outcome="failed"} 2', metrics)
        lines = "".join(f"{json.dumps(e)}\n" for e in self.dump)
        self.assertIn("Refused: denied.service was refused ptrace 2 times (it calls itself denied).\n"
                      "  If it needs that: SandboxAllow=ptrace in its [X-Holdfast] allows it.\n", harness.explained(lines))
        rungs = {e["name"]: e["rung"] for e in self.dump if e["type"] == "protection"}
        self.assertEqual(rungs["refusals"], "refused system calls are events")

    def test_it_is_told(self):
        rungs = {e["name"]: (e["level"], e["rung"]) for e in self.dump if e["type"] == "protection"}
        # Linux 6.3 can keep programs out of memory files.
        has_parameter = self.ended("test -e /proc/sys/vm/memfd_noexec") == 0
        self.assertEqual(self.ended("grep -q 2 /proc/sys/vm/memfd_noexec") == 0, has_parameter)
        self.assertEqual(rungs["exec-gate"], ("full" if has_parameter else "reduced", "fanotify"), self.text)
        self.assertIn("the instance is running", self.text)


if __name__ == "__main__":
    harness.main()
