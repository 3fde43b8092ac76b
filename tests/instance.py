"""A whole instance of holdfast in namespaces of its own: units, configuration, its lines, its end."""
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import harness

sys.path.insert(0, f"{harness.ROOT}/images")
import namespace as ns

SERVICE = f"{harness.APPS}/service"
FOLDERS = ("proc", "sys", "dev", "run", "tmp", "scratch", "etc/holdfast/units", "var/lib", "var/log",
           "var/cache", "usr/lib/holdfast", "usr/bin")
HEALTH_PORT = 9180  # on a rung, whose loopback is its own


@dataclasses.dataclass(frozen=True)
class Rung:
    """What a runtime leaves to its PID 1: a read-only tree, options of tests/inside.py, and words
    that stand before holdfast's command line."""
    name: str
    options: tuple = ()
    uid: int = 0
    wrap: tuple = ()


# chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, sys_chroot,
# setfcap: what podman and Docker leave to a container's root.
CONTAINER_CAPABILITIES = "0,1,3,4,5,6,7,8,10,18,31"
EVERYTHING = Rung("everything", ("--cgroup",))
CONTAINER = Rung("default container", ("--runtime", "--capabilities", CONTAINER_CAPABILITIES))
NOTHING = Rung("uid 1000, nothing", ("--runtime", "--uid", "1000"), uid=1000)


def make_tree(folder, bin_dir, apps=("service", "selfie", "enosys")):
    """An image's tree at folder/root: holdfast, the tests' applications, and nothing else. What is
    there already stays."""
    root = f"{folder}/root"
    for name in FOLDERS:
        os.makedirs(f"{root}/{name}", exist_ok=True)
    for source, names, folder in ((bin_dir, harness.PROGRAMS, f"{root}/usr/lib/holdfast"),
                                  (harness.APPS, apps, f"{root}/usr/bin")):
        for name in names:
            if not os.path.exists(f"{folder}/{name}"):
                shutil.copy(f"{source}/{name}", folder)
    for name, text in (("passwd", "root:x:0:0::/:/x\napp:x:1000:1000::/:/x\n"),
                       ("group", "root:x:0:\napp:x:1000:\n")):
        with open(f"{root}/etc/{name}", "w", encoding="utf-8") as f:
            f.write(text)
    return root


class Instance(harness.Process):
    """holdfast as PID 1 of a PID and mount namespace, with a /run of its own.

    units: {file name: text}. Every unit named in wanted stands in Units=. Without a rung the root is
    the machine's, which is writable: so ReadOnlyRoot=warn, unless conf says otherwise. On a rung it
    is folder/root, a tree of its own, and the configuration lies in it.

    The services write to the tests' folders, which no unit names: so Sandbox=unit, unless one says
    otherwise.
    """

    def __init__(self, folder, units, wanted, conf="", options=(), env=None, bin_dir=None, wrap=(),
                 health=False, rung=None):
        bin_dir = bin_dir or harness.BIN
        self.folder, self.rung, self._mounts = folder, rung, None
        self.port = HEALTH_PORT if rung else harness.free_port() if health else None
        etc = f"{make_tree(folder, bin_dir)}/etc/holdfast" if rung else folder
        self._configure(etc, units, wanted, conf)
        command = self._on_rung() if rung else [
            "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount",
            "--propagation", "private", "sh", "-c",
            'mount -t tmpfs -o mode=755 run /run && exec "$0" "$@"', *wrap, f"{bin_dir}/holdfast",
            "--conf", f"{folder}/holdfast.conf", "--units", f"{folder}/units"]
        super().__init__([*command, *options], env={"PATH": os.environ["PATH"], **(env or {})})

    def _configure(self, etc, units, wanted, conf):
        for name, text in units.items():
            path = f"{etc}/units/{name}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if name.endswith(".service") and "\nSandbox=" not in text:
                text = f"{text.rstrip()}\n[X-Holdfast]\nSandbox=unit\n"
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        root = "" if self.rung else "ReadOnlyRoot=warn\n"
        listen = f"Listen=127.0.0.1:{self.port}\n" if self.port else ""
        os.makedirs(f"{etc}/units", exist_ok=True)
        with open(f"{etc}/holdfast.conf", "w", encoding="utf-8") as f:
            f.write(f"[Holdfast]\nUnits={' '.join(wanted)}\n{root}"
                    f"[Health]\nListen=\n{listen}\n{conf}")

    def _on_rung(self):
        return [sys.executable, f"{harness.ROOT}/tests/inside.py", *self.rung.options,
                f"{self.folder}/root", "--", *self.rung.wrap, "/usr/lib/holdfast/holdfast"]

    @property
    def init(self):
        """PID 1's pid as seen from here."""
        return harness.wait_until(lambda: harness.children(self.pid), "PID 1 exists")[0]

    def member(self, program):
        """The pid of one of holdfast's own processes, as seen from here."""
        return harness.wait_until(lambda: harness.child_named(self.init, program),
                                  f"{program} runs")

    def events(self, name=None):
        """holdfast's own lines so far, as objects."""
        found = []
        for line in self.text.splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict) and "event" in value and (name in (None, value["event"])):
                found.append(value)
        return found

    def wait_running(self, deadline=harness.DEADLINE):
        return self.wait_for("the instance is running", deadline)

    def told(self):
        """What tests/apps/selfie says of itself. Its line comes by another way than the supervisor's own, so
        that the end of its process, or a phase, may be said before it."""
        def find():
            self.pump()
            whole = self.text[:self.text.rfind("\n") + 1]
            return next((json.loads(line) for line in whole.splitlines() if '"argv":' in line), None)
        return harness.wait_until(find, "what the application says of itself")

    def stop(self, number=signal.SIGTERM, deadline=harness.DEADLINE):
        """Asks for a stop and returns the exit status."""
        os.kill(self.init, number)
        return self.wait(deadline)

    def get(self, path):
        """(status, body) of what health answers in the instance's network namespace."""
        with open(f"/proc/{self.init}/ns/net", encoding="utf-8") as theirs, \
             open("/proc/self/ns/net", encoding="utf-8") as ours:
            ns.enter(theirs.fileno(), ns.NEWNET)
            try:
                client = socket.create_connection(("127.0.0.1", self.port), harness.DEADLINE)
            finally:
                ns.enter(ours.fileno(), ns.NEWNET)
        with client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(1 << 16), b"")).decode()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]), body

    def close(self):
        if self._mounts is not None:
            os.close(self._mounts)
            self._mounts = None
        # So that inside.py sees the end, and removes its cgroup.
        if self.rung and self.child.poll() is None:
            for pid in harness.children(self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(harness.DEADLINE)
        super().close()

    def finish_or_stop(self, deadline=harness.DEADLINE):
        """For instances that may or may not come up: stops one that does. The exit status."""
        def has_begun():
            self.pump()
            return self.is_eof or "the instance is running" in self.text
        harness.wait_until(has_begun, f"it runs or ends: {self.text}", deadline)
        return self.wait(deadline) if self.is_eof else self.stop()

    def here(self, pid):
        """The pid, as seen from here, of the instance's process with that pid in it; None: there is none.
        No tool is executed there for it: the gate refuses those."""
        for found in harness.descendants(self.init):
            with contextlib.suppress(OSError), open(f"/proc/{found}/status", encoding="utf-8") as f:
                if next(l for l in f if l.startswith("NSpid:")).split()[-1] == str(pid):
                    return found
        return None

    def kill(self, number, pid):
        """Sends a signal to the process with that pid in the instance."""
        os.kill(harness.wait_until(lambda: self.here(pid), f"process {pid} is there"), number)

    def at(self, path):
        """A file of the instance, as a path from here."""
        return f"/proc/{self.member('holdfast-supervisor')}/root{path}"

    def read_file(self, path):
        with open(self.at(path), "rb") as f:
            return f.read()

    def real_mounts(self):
        """The fd of the instance's mount namespace, where PID 1 may not be any more. It is kept, as any of
        those who are in it may be dead just then."""
        def find():
            with contextlib.suppress(OSError):
                return os.open(f"/proc/{harness.resident(self.init)}/ns/mnt", os.O_RDONLY)
        if self._mounts is None:
            self._mounts = harness.wait_until(find, "its mount namespace")
        return self._mounts

    def inside(self, *argv):
        """Runs a program beside the instance's services, with the rights that PID 1 has: with more holdfastctl is
        not known for what it is (gate/judge.c)."""
        mounts = self.real_mounts()
        return subprocess.run([sys.executable, f"{harness.ROOT}/tests/enter.py", str(self.init),
                               f"/proc/self/fd/{mounts}", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False, timeout=harness.DEADLINE, pass_fds=[mounts])

    def enter(self, *argv):
        """Runs a program of the instance where its PID 1 is, as `docker exec` would."""
        return subprocess.run(["nsenter", "-t", str(self.init), "-a", "--preserve-credentials", *argv],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              timeout=harness.DEADLINE)


class Case(harness.Case):
    """Tests of instances: a folder for the services' notes, and instances that are always ended."""

    def setUp(self):
        super().setUp()
        self.notes_path = f"{self.dir}/notes"

    def instance(self, units, wanted, **options):
        instance = Instance(self.dir, units, wanted, **options)
        self.addCleanup(instance.close)
        return instance

    def service(self, *options, word="service"):
        """The command line of a service that notes what happens to it."""
        return " ".join([SERVICE, "-f", self.notes_path, *options, word])

    def wait_notes(self, *wanted):
        """A simple service is up when it was started, which is before it has noted anything."""
        harness.wait_until(lambda: set(wanted) <= set(self.notes()), f"the notes {wanted}")

    def notes(self, prefix=""):
        """What the services noted, without the pids, in order."""
        try:
            with open(self.notes_path, encoding="utf-8") as f:
                lines = [line.rsplit(" ", 1)[0] for line in f.read().splitlines()]
        except FileNotFoundError:
            return []
        return [line for line in lines if line.startswith(prefix)]
