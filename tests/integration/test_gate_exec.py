#!/usr/bin/env python3
"""The exec gate (gate/exec.c), where there is CAP_SYS_ADMIN in the first user namespace: what comes from
outside executes nothing, what was brought along is not executed, and a dead gate opens nothing."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import instance

ns = instance.ns
CRASH_BIN = f"{harness.ROOT}/build/crash/bin"
LOADER = next(p for p in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if os.path.exists(p))
# Takes lines of a FIFO, executes each and says how that ended. It holds the writing end, too: there is no end.
WORKER = "[Service]\nExecStart=/bin/sh -c 'exec 3<>{fifo}; while read -r line <&3; do eval \"$$line\"; echo \"did $$?\"; done'\n"


class GateCase(instance.Case):
    def setUp(self):
        if not harness.is_root():
            self.skipTest("fanotify needs root")
        super().setUp()
        self.fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(self.fifo)

    def worker(self, keys="", **options):
        run = self.instance({"worker.service": WORKER.format(fifo=self.fifo) + keys}, ["worker.service"], **options)
        run.wait_running()
        return run

    def order(self, run, line):
        def find():
            with contextlib.suppress(OSError):  # ENXIO: nobody reads yet
                return os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK)
        start = len(run.output)
        with open(harness.wait_until(find, "the worker takes orders"), "w", encoding="utf-8") as f:
            f.write(line + "\n")
        return start

    def do(self, run, line):
        """The worker executes it: the status, and all that was said meanwhile."""
        start = self.order(run, line)
        run.wait_for('"msg":"did ', start=start)
        text = run.text[start:] if len(run.text) == len(run.output) else run.output[start:].decode()
        return int(text.partition('"msg":"did ')[2].partition('"')[0]), text

    def assert_refused(self, run, reason, exe, start=0):
        run.wait_for(f'"event":"exec-refused","by":"holdfast-gate","reason":"{reason}","exe":"{exe}"', start=start)

    def status(self, run):
        return json.loads(run.inside(f"{harness.BIN}/holdfastctl", "status", "--json").stdout)

    def mount_inside(self, run, path):
        """Memory at path, in the instance's mount namespace, as somebody with that right may make it."""
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                with open(f"/proc/{run.member('holdfast-supervisor')}/ns/mnt", encoding="utf-8") as f:
                    ns.enter(f.fileno(), ns.NEWNS)
                ns.mount("tmpfs", path, "tmpfs", 0, "size=4m")
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)


class Outside(GateCase):
    def test_nothing_is_executed(self):
        run = self.worker()
        shell = os.path.realpath("/bin/sh")
        for how in (["-m", "-p"], ["-m"], ["-a"]):
            with self.subTest(how):
                start = len(run.output)
                done = subprocess.run(["nsenter", "-t", str(run.member("holdfast-supervisor")), *how, "/bin/sh", "-c",
                                       "echo GOT-IN"], capture_output=True, text=True, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertNotIn("GOT-IN", done.stdout)
                self.assert_refused(run, "outside", shell, start)
        done = run.inside(LOADER, "/bin/sh", "-c", "echo GOT-IN")
        self.assertNotIn(b"GOT-IN", done.stdout)
        self.assertEqual(run.stop(), 0)

    def test_holdfastctl_is_and_tells_of_it(self):
        run = self.worker()
        self.assertNotEqual(run.inside("/bin/true").returncode, 0)
        told = self.status(run)
        self.assertEqual([(p["level"], p["rung"]) for p in told["protections"] if p["name"] == "exec-gate"],
                         [("reduced", "fanotify")])  # the machine's root: it may not be marked as a whole
        self.assertGreaterEqual(told["gate"]["denied"], 1)
        self.assertEqual(run.stop(), 0)

    def test_what_lost_its_parent(self):
        """A double fork from outside, made PID 1's child: it has no mark."""
        run = self.worker(keys="[X-Holdfast]\nSandbox=unit\n")
        outer = os.fork()
        if outer == 0:
            with contextlib.suppress(BaseException):
                with open(f"/proc/{run.member('holdfast-supervisor')}/ns/pid", encoding="utf-8") as pids, \
                     open(f"/proc/{run.member('holdfast-supervisor')}/ns/mnt", encoding="utf-8") as mounts:
                    ns.enter(pids.fileno(), ns.NEWPID)
                    ns.enter(mounts.fileno(), ns.NEWNS)
                if os.fork() == 0:
                    ready, go = os.pipe()
                    if os.fork() == 0:
                        os.setsid()
                        os.close(go)
                        os.read(ready, 1)  # the end of file: its parent is gone
                        os.execv("/bin/touch", ["touch", f"{self.dir}/GOT-IN"])
                    os._exit(0)
                os.wait()
            os._exit(0)
        os.waitpid(outer, 0)
        self.assert_refused(run, "outside", os.path.realpath("/bin/touch"))
        self.assertFalse(os.path.exists(f"{self.dir}/GOT-IN"))
        self.assertEqual(run.stop(), 0)

    def test_warn_reports_and_lets_be(self):
        run = self.worker(conf="[Holdfast]\nShells=warn\n")
        done = run.inside("/bin/sh", "-c", "echo LET-IN")
        self.assertEqual((done.returncode, done.stdout), (0, b"LET-IN\n"))
        run.wait_for('"event":"exec-would-be-refused"')
        told = self.status(run)
        self.assertEqual([(p["level"], p["why"]) for p in told["protections"] if p["name"] == "exec-gate"],
                         [("reduced", "Shells=warn: what would be refused is reported, and executed")])
        self.assertEqual(run.stop(), 0)


class Services(GateCase):
    def test_what_they_may(self):
        run = self.worker()
        # Beside our programs: /tmp may be another mount, and what lies there was brought along.
        folder = self.enterContext(tempfile.TemporaryDirectory(dir=f"{harness.ROOT}/build"))
        script = self.write(f"{folder}/script", "#!/bin/sh\n", 0o755)
        for line in ("/bin/true", "/bin/sh -c /bin/true", script,
                     "(/bin/true &) ; wait", "perl -e 'exit(system(\"/bin/true\") >> 8)'"):
            self.assertEqual(self.do(run, line)[0], 0, line)
        self.assertEqual([e for e in run.events() if e["event"].startswith("exec-refused")], [])
        self.assertEqual(run.stop(), 0)

    def test_a_loader_by_itself(self):
        run = self.worker()
        start = len(run.output)
        self.assertEqual(self.do(run, f"{LOADER} /bin/echo GOT-THROUGH")[0], 126)
        self.assert_refused(run, "loader", os.path.realpath(LOADER), start)
        script = self.write("trick", f"#!{LOADER} /bin/echo\n", 0o755)
        self.assertNotEqual(self.do(run, script)[0], 0)
        self.assertEqual(self.do(run, "/bin/true")[0], 0)
        self.assertNotIn("GOT-THROUGH", run.text.replace("echo GOT-THROUGH", ""))
        self.assertEqual(run.stop(), 0)

    def test_memory_files(self):
        """A static program in a memfd is on no mount that could be marked: the parameter closes it."""
        if not os.path.exists("/proc/sys/vm/memfd_noexec"):
            self.skipTest("this kernel has no vm.memfd_noexec")
        run = self.worker(keys="[X-Holdfast]\nSandbox=none\n")
        text = ("import os;f=os.memfd_create('x',0);os.write(f,open('%s/nothing','rb').read());"
                "os.execv(f'/proc/self/fd/{f}',['x'])" % harness.APPS)
        code, said = self.do(run, f"{sys.executable} -c \"{text}\"")
        self.assertNotEqual(code, 0)
        self.assertIn("PermissionError", said)
        self.assertEqual(run.stop(), 0)

    def test_what_was_brought_along(self):
        """Memory that somebody mounted, before the start or while it runs, and a copy of a program there."""
        run = self.worker()
        for name in ("one", "two"):
            place = os.path.join(self.dir, name)
            os.mkdir(place)
            self.mount_inside(run, place)
            self.assertEqual(self.do(run, f"cp /bin/true {place}/tool")[0], 0)
            start = len(run.output)
            self.assertEqual(self.do(run, f"{place}/tool")[0], 126)
            self.assert_refused(run, "brought-along", f"{place}/tool", start)
        told = harness.explained(run.inside(f"{harness.BIN}/holdfastctl", "dump").stdout.decode())
        self.assertIn(f"Refused: 2 executions by services were refused, of files that are not the image's: {self.dir}/one/tool, "
                      f"{self.dir}/two/tool", told)
        self.assertEqual(run.stop(), 0)

    def test_what_a_unit_names_on_a_volume(self):
        place = os.path.join(self.dir, "volume")
        os.mkdir(place)
        run = self.worker(keys=f"ExecPaths={place}/programs\nExecPaths=/\n")
        self.mount_inside(run, place)
        self.assertEqual(self.do(run, f"mkdir {place}/programs && cp /bin/true {place}/programs/ && "
                                      f"cp /bin/true {place}/")[0], 0)
        self.assertEqual(self.do(run, f"{place}/programs/true")[0], 0)
        self.assertEqual(self.do(run, f"{place}/true")[0], 126)
        self.assert_refused(run, "brought-along", f"{place}/true")
        self.assertEqual(run.stop(), 0)

    def test_scratch_of_its_own(self):
        """In a namespace of its own: scratch with exec is for programs, and the image is."""
        place = os.path.join(self.dir, "scratch")
        os.mkdir(place)
        run = self.worker(keys=f"TemporaryFileSystem={place}:exec,size=4M\n")
        self.assertEqual(self.do(run, f"cp /bin/true {place}/tool")[0], 0)
        self.assertEqual(self.do(run, f"{place}/tool")[0], 0)
        self.assertEqual([e for e in run.events() if e["event"].startswith("exec-refused")], [])
        self.assertEqual(run.stop(), 0)


class Deaths(GateCase):
    """kill -9 at each moment: what it had read is refused, or asked again by the supervisor; the rest waits."""

    def crash(self, spec, **options):
        return self.worker(bin_dir=CRASH_BIN, env={"HOLDFAST_CRASH": f"{spec}{self.dir}/marker"}, **options)

    def test_each_moment(self):
        for point in ("gate-before-read", "gate-after-read", "gate-before-answer", "gate-after-answer"):
            with self.subTest(point):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.dir}/marker")
                run = self.crash(f"{point}:1:")
                run.wait_for('"event":"daemon-died"')
                self.assertTrue(os.path.exists(f"{self.dir}/marker"))
                # The unit came up: its own start is asked for once more.
                self.assertEqual(self.do(run, "/bin/true")[0], 0)
                self.assertNotEqual(run.inside("/bin/true").returncode, 0)
                self.assertEqual(run.stop(), 0)

    def test_what_was_read_is_refused(self):
        run = self.worker(bin_dir=CRASH_BIN)
        gate = run.member("holdfast-gate")
        os.kill(gate, signal.SIGKILL)
        harness.wait_until(lambda: harness.child_named(run.init, "holdfast-gate") not in (None, gate), "the next one")
        self.assertEqual(self.do(run, "/bin/true")[0], 0)
        self.assertEqual(run.stop(), 0)

    def test_while_it_stands_still_executions_wait(self):
        run = self.worker()
        gate = run.member("holdfast-gate")
        os.kill(gate, signal.SIGSTOP)
        start = self.order(run, "/bin/true")
        outsider = subprocess.Popen(["nsenter", "-t", str(run.member("holdfast-supervisor")), "-m", "-p", "/bin/echo",
                                     "GOT-IN"], stdout=subprocess.PIPE)
        self.addCleanup(outsider.stdout.close)
        # holdfast's own programs are never asked about.
        self.assertEqual(run.inside(f"{harness.BIN}/holdfastctl", "status").returncode, 0)
        run.pump()
        self.assertNotIn("did ", run.text[start:])
        self.assertIsNone(outsider.poll())
        os.kill(gate, signal.SIGKILL)
        run.wait_for('"msg":"did 0"', start=start)
        self.assertNotEqual(outsider.wait(harness.DEADLINE), 0)
        self.assertEqual(outsider.stdout.read(), b"")
        self.assertEqual(run.stop(), 0)

    def test_pid_1_dies_while_somebody_waits(self):
        """With a gate that stands still, and with none: whoever waits to execute something dies with the namespace."""
        for has_gate in (True, False):
            with self.subTest(has_gate=has_gate):
                run = self.worker()
                gate = run.member("holdfast-gate")
                os.kill(gate, signal.SIGSTOP)
                outsiders = [self.wait_to_execute(run) for _ in range(5)]
                os.kill(run.init, signal.SIGSTOP)  # nor does a successor come
                if not has_gate:
                    os.kill(gate, signal.SIGKILL)
                os.kill(run.init, signal.SIGKILL)
                for outsider in outsiders:
                    self.assertEqual(outsider.communicate(timeout=harness.DEADLINE)[0], b"")
                    self.assertEqual(outsider.returncode, -signal.SIGKILL)

    def wait_to_execute(self, run):
        """Somebody from outside, in the middle of an execution that nobody answers."""
        outsider = subprocess.Popen(["nsenter", "-t", str(run.member("holdfast-supervisor")), "-m", "-p", "/bin/echo", "GOT-IN"],
                                    stdout=subprocess.PIPE)

        def is_waiting():
            for pid in harness.children(outsider.pid):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/wchan", encoding="ascii") as f:
                    return "notify" in f.read()
            return False
        harness.wait_until(is_waiting, "it waits for an answer")
        return outsider

    def test_a_thousand_at_once(self):
        """While nobody answers they stand in a queue; then each gets its word."""
        run = self.worker()
        gate = run.member("holdfast-gate")
        os.kill(gate, signal.SIGSTOP)
        start = self.order(run, "i=0; while [ $i -lt 1000 ]; do /bin/true & i=$((i+1)); done; bad=0; "
                                "for p in $(jobs -p); do wait $p || bad=$((bad+1)); done; [ $bad = 0 ]")
        harness.wait_until(lambda: len(harness.descendants(run.init)) > 1000, "a thousand wait")
        os.kill(gate, signal.SIGCONT)
        run.wait_for('"msg":"did ', start=start)
        self.assertIn('"msg":"did 0"', run.text)
        self.assertEqual([e for e in run.events() if e["event"].startswith("exec-refused")], [])
        self.assertEqual(run.stop(), 0)


if __name__ == "__main__":
    harness.main()
