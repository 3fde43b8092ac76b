"""What the integration tests share: programs, processes, waiting on events, the closing line.

A test never sleeps to wait: it waits on a line, a process's end, a path or a condition, with a
deadline (DEADLINE seconds unless told otherwise) after which it fails with what it saw.
"""
import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("HOLDFAST_BIN", f"{ROOT}/build/release/bin")
ASAN_BIN = f"{ROOT}/build/asan/bin"
APPS = f"{ROOT}/build/release/apps"
# What an image has of holdfast, but for what asks for remote secrets.
PROGRAMS = ("holdfast", "holdfast-boot", "holdfast-supervisor", "holdfast-log", "holdfast-health",
            "holdfast-gate", "holdfast-secrets", "holdfastctl", "holdfast-refuse")
HOLDFAST = f"{BIN}/holdfast"
DEADLINE = float(os.environ.get("DEADLINE", "20"))


class Timeout(AssertionError):
    pass


def make(*targets):
    """Builds what tests need beside check-build's; one make at a time, since tests run side by side."""
    os.makedirs(f"{ROOT}/build", exist_ok=True)
    with open(f"{ROOT}/build/make.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", *targets], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def explained(text):
    """What holdfast-explain says of a dump or an output."""
    done = subprocess.run([f"{ASAN_BIN}/holdfast-explain", "-"], input=text.encode(), capture_output=True, check=False,
                          timeout=DEADLINE)
    if done.returncode not in (0, 1):
        raise AssertionError(f"holdfast-explain: {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode()


def wait_until(condition, what, deadline=DEADLINE, step=0.005):
    """Polls what offers no event of its own (/proc, an HTTP endpoint that is not up yet)."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout(f"not within {deadline} s: {what}")
        select.select([], [], [], step)


class Process:
    """A child whose stdout and stderr can be waited on line by line. Always killed in the end."""

    def __init__(self, argv, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, **options):
        self.argv = argv
        self.child = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr,
                                      start_new_session=options.pop("start_new_session", True),
                                      **options)
        os.set_blocking(self.child.stdout.fileno(), False)
        self.output = bytearray()
        self.is_eof = False

    @property
    def pid(self):
        return self.child.pid

    @property
    def text(self):
        return self.output.decode(errors="replace")

    def _read(self, seconds):
        ready, _, _ = select.select([self.child.stdout], [], [], max(0, seconds))
        if not ready:
            return
        # Not by the file object: what lay in its buffer would not be seen by select().
        try:
            data = os.read(self.child.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return
        self.is_eof = not data
        self.output += data

    def read(self):
        """All of the output that is there now."""
        self._read(0)
        return self.text

    def pump(self):
        """Takes what has been written so far, so that the process does not wait for us."""
        for _ in range(16):
            self._read(0)

    def wait_for(self, needle, deadline=DEADLINE, start=0):
        """Waits until the output has needle (str or bytes) at or after start."""
        needle = needle.encode() if isinstance(needle, str) else needle
        end = time.monotonic() + deadline
        while needle not in self.output[start:]:
            if self.is_eof or time.monotonic() > end:
                raise Timeout(f"{self.argv}: no {needle!r} in:\n{self.text}")
            self._read(end - time.monotonic())
        return self

    def wait(self, deadline=DEADLINE):
        """Reads to the end of the output and returns the exit status (negative: signal)."""
        end = time.monotonic() + deadline
        while not self.is_eof:
            if time.monotonic() > end:
                raise Timeout(f"{self.argv}: still running after {deadline} s:\n{self.text}")
            self._read(end - time.monotonic())
        return self.child.wait(max(0.1, end - time.monotonic()))

    def send(self, number):
        os.kill(self.pid, number)

    def close(self):
        if self.child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.child.wait()
        self.child.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    """The pids of pid's children, of all its threads."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                found += [int(n) for n in f.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def program_of(pid):
    """The path that it executes, or None: it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return os.readlink(f"/proc/{pid}/exe")
    return None


def child_named(pid, program):
    """The child of pid that runs program, or None."""
    for child in children(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{child}/comm", encoding="utf-8") as f:
                if f.read().strip() == program[:15]:
                    return child
    return None


def resident(init):
    """A process of the instance that lives in its real root: PID 1 may be in a room of its own."""
    return wait_until(lambda: next(filter(None, (child_named(init, name) for name in (
        "holdfast-log", "holdfast-supervisor", "holdfast-health"))), None), "one of holdfast's own runs")


def memory_holding(pid, needles):
    """What a core dump of the process would have: every mapping that can be read, kernel's aside."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, mode, *_ = line.split()
            if "r" not in mode or "[vvar" in line or "[vsyscall" in line:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            try:
                mem.seek(start)
                data = mem.read(end - start)
            except OSError:
                continue
            found += [(line.strip(), n) for n in needles if n in data]
    return found


def is_root():
    return os.geteuid() == 0


def become_subreaper():
    """Orphans of the tests' processes come to the test and not to whoever runs it."""
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


class Case(unittest.TestCase):
    """A test with a folder of its own, removed at its end."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="holdfast-test-")
        os.chmod(self.dir, 0o755)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def start(self, *argv, **options):
        process = Process([str(a) for a in argv], **options)
        self.addCleanup(process.close)
        return process


def main():
    """Runs the calling module's tests (all, or those whose names have an argument in them) and
    prints the closing line that tests/run.py reads."""
    module = sys.modules["__main__"]
    suite = unittest.TestSuite()
    names = sys.argv[1:]
    for test in _flatten(unittest.defaultTestLoader.loadTestsFromModule(module)):
        if not names or any(n in test.id() for n in names):
            suite.addTest(test)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    # A module's or class's set-up that fails counts as no run.
    passed = max(0, result.testsRun - failed - skipped)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.stdout.flush()
    os._exit(1 if failed or result.testsRun == 0 else 0)


def _flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flatten(test)
        else:
            yield test
