"""What the tests of command mode share: holdfast over a command, in each surrounding that it claims."""
import contextlib
import os
import shutil
import signal
import tempfile
import unittest

import harness

NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"]
RESTRICTED = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups",
              "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--"]
# What Docker and podman leave to a container's root.
CONTAINER = ["setpriv", "--inh-caps=-all", "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,"
             "+kill,+setgid,+setuid,+setpcap,+net_bind_service,+sys_chroot,+setfcap", "--"]


def state_of(pid):
    """The letter in /proc/PID/stat, or "" when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


class CommandCase(harness.Case):
    surrounding = []
    is_namespace = False
    binary = harness.HOLDFAST

    @classmethod
    def setUpClass(cls):
        if (cls.is_namespace or "setpriv" in cls.surrounding) and not harness.is_root():
            raise unittest.SkipTest("needs root for namespaces and other users")
        # Somewhere that every uid may execute from.
        cls.programs = tempfile.mkdtemp(prefix="holdfast-test-")
        cls.addClassCleanup(shutil.rmtree, cls.programs)
        os.chmod(cls.programs, 0o755)
        for path in [cls.binary, *(f"{harness.APPS}/{a}" for a in
                                         ("sigecho", "enosys", "nothing", "stopwatch"))]:
            shutil.copy(path, cls.programs)
        cls.holdfast = f"{cls.programs}/holdfast"
        cls.sigecho = f"{cls.programs}/sigecho"
        cls.enosys = f"{cls.programs}/enosys"

    def setUp(self):
        super().setUp()
        self.before = set(harness.children(os.getpid()))
        # Registered first, so done last: killed processes leave us their children.
        self.addCleanup(self.end_orphans)

    def end_orphans(self):
        while left := set(harness.children(os.getpid())) - self.before:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def argv(self, *argv):
        outer = NAMESPACE if self.is_namespace else []
        inner = [self.enosys if w == "ENOSYS" else w for w in self.surrounding]
        return [*outer, *inner, self.holdfast, *argv]

    def hold(self, *argv, **options):
        return self.start(*self.argv(*argv), **options)

    def run_hold(self, *argv, **options):
        """(exit status, output) of holdfast with these arguments."""
        process = self.hold(*argv, **options)
        return process.wait(), process.text

    def init_of(self, process):
        """The pid of holdfast itself, as seen from here."""
        if not self.is_namespace:
            return process.pid
        return harness.wait_until(lambda: harness.children(process.pid), "the namespace's PID 1")[0]

    def hold_echo(self, *options, echo=(), **more):
        """holdfast over sigecho, once that is ready. (process, pid of holdfast)"""
        process = self.hold(*options, "--", self.sigecho, *echo, **more)
        process.wait_for("ready ")
        if "-c" in echo:
            process.wait_for("below ")
        return process, self.init_of(process)

    def assert_status(self, expected, *argv, **options):
        status, text = self.run_hold(*argv, **options)
        self.assertEqual(status, expected, text)
        return text

    def left_behind(self, script, *options, **more):
        """Starts holdfast over a command that leaves `script` behind once that has said "up" (or
        sigecho's "ready"), and then exits with 3."""
        fifo = os.path.join(self.dir, "up")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        process = self.hold(*options, "--", "sh", "-c", f"({script}) & read x <{fifo}; exit 3", **more)
        process.wait_for("up\n" if "echo up" in script else "ready")
        with open(fifo, "w", encoding="ascii") as f:
            f.write("\n")
        return process

    def assert_nothing_left(self):
        left = set(harness.children(os.getpid())) - self.before
        self.assertEqual({p for p in left if state_of(p) not in ("", "Z")}, set())
