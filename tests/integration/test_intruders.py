#!/usr/bin/env python3
"""Everybody who tries to get into a running container, on each rung of privilege: by the runtime's exec (crun
and runc), by nsenter, and from a container beside it in the same PID namespace. The image has all that a
careless one may have: a static busybox, a dynamic shell, tools.

Whoever gets in says so after a while, in words that stand nowhere before. Each attack is made twice: against
a container that only reports (Shells=warn, Room=no), where it has to succeed, or the row proves nothing; and
against one as it is shipped."""
import concurrent.futures
import contextlib
import ctypes
import dataclasses
import os
import pty
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import podman
import rights

IMAGE = "holdfast-victim"
OWN = "/usr/lib/holdfast"
INTRUDER = f"{harness.APPS}/intruder"
CTL = f"{OWN}/holdfastctl"
LOADER = "/lib64/ld-linux-x86-64.so.2"
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
TOOLS = ("sh", "sleep", "id", "cat")
OFFLINE = ("holdfast-check", "holdfast-explain", "holdfast-secrets-remote")
CONF = "[Holdfast]\nUnits=a.service\nAllow=Shells Room\n[Health]\nListen=127.0.0.1:9180\n"
UNIT = "[Service]\nExecStart=/usr/bin/service a\nStandardOutput=null\n"
INSIDER = "[Service]\nExecStart=/usr/bin/insider /tmp\n[X-Holdfast]\n{}\n"
SCRIPT = "#!/bin/sh\neval echo $1\n"
WAYS = ("system", "popen", "exec", "script", "loader", "proc", "copy", "link", "memory", "memory-in-proc", "open-file")
MEMORY = {"memory", "memory-in-proc"}
BROUGHT = {"loader", "copy", *MEMORY}
REPORT_ONLY = ("--env", "HOLDFAST_SHELLS=warn", "--env", "HOLDFAST_ROOM=no")
# The kill comes within 100 ms; a busy machine may need longer for what it does in 1 ms.
LONG, SHORT = 5, 0.3
ESCAPED = "42-escaped"
AT_ONCE = 4
LANDLOCK_VERSION = ctypes.CDLL(None).syscall(444, None, 0, 1)  # landlock_create_ruleset(2)
_podman = None


def setUpModule():
    global _podman
    _podman = podman.of_module()
    build_victim(f"{_podman.dir}/image")


def make_bed():
    global _podman
    _podman = podman.Podman()
    return _podman


def build_victim(context):
    for folder in ("bin", "lib64", os.path.dirname(LIBC)[1:], OWN[1:], "usr/bin", "etc/holdfast/units", "tmp"):
        os.makedirs(f"{context}/{folder}", exist_ok=True)
    for name in os.listdir(harness.BIN):
        if name not in OFFLINE:
            shutil.copy(f"{harness.BIN}/{name}", f"{context}{OWN}/{name}")
    for source, path in (("/usr/bin/busybox", "bin/busybox"), ("/bin/dash", "bin/bash"), (LOADER, LOADER[1:]), (LIBC, LIBC[1:]),
                         (f"{harness.APPS}/service", "usr/bin/service"), (f"{harness.APPS}/insider", "usr/bin/insider"),
                         (f"{harness.APPS}/hostile", "usr/bin/hostile")):
        shutil.copy(source, f"{context}/{path}")
    for name in TOOLS:
        os.symlink("busybox", f"{context}/bin/{name}")
    for name, text in (("usr/bin/script", SCRIPT), ("etc/holdfast/holdfast.conf", CONF), ("etc/holdfast/units/a.service", UNIT),
                       ("Dockerfile", f'FROM scratch\nCOPY . /\nENTRYPOINT ["{OWN}/holdfast"]\n')):
        with open(f"{context}/{name}", "w", encoding="utf-8") as f:
            f.write(text)
    os.chmod(f"{context}/usr/bin/script", 0o755)
    _podman.build(IMAGE, context)


# ---- the attacks: (victim, seconds) -> all that the intruder could show

def words(seconds):
    """For a shell."""
    return f"sleep {seconds}; echo $((21*2))-escaped"


def output_of(argv, text=""):
    done = subprocess.run(argv, env=_podman.environment, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False)
    return done.stdout


def by_exec(*argv, options=()):
    def attack(victim, seconds):
        command = [part.replace("{}", words(seconds)) for part in argv]
        if "{service}" in command[0]:
            command[0] = command[0].replace("{service}", victim.service_inside)
        done = _podman("exec", *options, victim.name, *command, check=False)
        return done.stdout + done.stderr
    return attack


def typed(victim, seconds):
    """A shell that is told what to do by its stdin."""
    return output_of(_podman.command("exec", "-i", victim.name, "/bin/sh"), words(seconds) + "\n")


def on_a_terminal(victim, seconds):
    ours, theirs = pty.openpty()
    child = subprocess.Popen(_podman.command("exec", "-it", victim.name, "/bin/sh", "-c", words(seconds)),
                             env=_podman.environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # EIO: nobody has it open any more
        while data := os.read(ours, 4096):
            text += data
    child.wait(60)
    os.close(ours)
    return text.decode(errors="replace")


def passed_in(victim, _):
    """A program of the host's, by an open file."""
    return output_of(["sh", "-c", 'exec "$@" 3<"$0"', INTRUDER, *_podman.command(
        "exec", "--preserve-fds", "1", victim.name, "/proc/self/fd/3")])


def in_the_background(victim, seconds):
    """Nobody waits for it: what it has done lies in a file."""
    path = f"/tmp/{seconds}-{os.urandom(4).hex()}"
    _podman("exec", "-d", victim.name, "/bin/sh", "-c", f"({words(seconds)}) >{path}; sleep 60", check=False)
    if not victim.is_protected:
        harness.wait_until(lambda: ESCAPED in victim.file(path), "the background process has written")
    else:
        victim.wait_for_end(path)
    return victim.file(path)


def enter(*namespaces, target="init", argv=("/bin/sh", "-c", "{}")):
    def attack(victim, seconds):
        ids = [f"-S{victim.rung.uid}", f"-G{victim.rung.uid}"] if victim.rung.uid else []
        return output_of(["nsenter", "-t", str(getattr(victim, target)), *namespaces, *ids,
                          *(part.replace("{}", words(seconds)).replace("{s}", str(seconds)) for part in argv)])
    return attack


def joined(*how):
    """By a program of the host's that has been executed before it comes."""
    def attack(victim, seconds):
        ids = ["--as", str(victim.rung.uid)] if victim.rung.uid else []
        return output_of([INTRUDER, "--join", f"/proc/{victim.init}/ns/pid", *ids, *how, str(seconds)])
    return attack


def beside(victim, seconds):
    """A container in the same PID namespace, of the same user."""
    return output_of(_podman.command("run", "--rm", "--cgroup-parent", f"/{_podman.cgroup}", "--pid", f"container:{victim.name}",
                                     *(("--user", f"{victim.rung.uid}") if victim.rung.uid else ()), "--entrypoint", "/bin/sh",
                                     IMAGE, "-c", words(seconds)))


# By the numbers of the list that holdfast was designed against.
ATTACKS = {
    "exec sh": by_exec("/bin/sh", "-c", "{}"),
    "exec bash, dynamic": by_exec("/bin/bash", "-c", "{}"),
    "exec busybox": by_exec("/bin/busybox", "sh", "-c", "{}"),
    "exec ld.so": by_exec(LOADER, "/bin/bash", "-c", "{}"),
    "exec by /proc": by_exec("/proc/self/root/bin/busybox", "sh", "-c", "{}"),
    "exec by a service's /proc": by_exec("/proc/{service}/root/bin/busybox", "sh", "-c", "{}"),
    "exec of an open file": passed_in,
    "exec -i, typed": typed,
    "exec -it": on_a_terminal,
    "exec -d": in_the_background,
    "nsenter -a": enter("-a"),
    "nsenter -a, to a service": enter("-a", target="service"),
    "nsenter -p": enter("-p"),
    "nsenter -p, an orphan": enter("-p", argv=(INTRUDER, "--orphan", "{s}")),
    "a fork without an exec": joined(),
    "an orphan without an exec": joined("--orphan"),
    "one who runs": joined("--run"),
    "beside": beside,
}
# Who joins the mount namespace alone is no process in the container: only the gate meets it.
ATTACKS_AT_GATE = {
    "nsenter -m": enter("-m"),
    "nsenter -m, to a service": enter("-m", target="service"),
}
# Who brings all that he needs.
BY_OWN_MEANS = ("nsenter -p", "a fork without an exec", "an orphan without an exec", "one who runs", "beside")
# What goes by the runtime.
OF_RUNTIMES = ("exec sh", "exec by /proc", "exec -it", "beside")


@dataclasses.dataclass(frozen=True)
class Rung:
    options: tuple
    uid: int = 0


RUNGS = {
    "privileged": Rung(("--privileged", "--read-only")),
    "default": Rung(("--read-only",)),
    "restricted": Rung(("--user", "1000:1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"), 1000),
}


class Victim:
    """A container that is attacked."""

    def __init__(self, rung, is_protected=True, runtime="crun"):
        self.rung, self.is_protected = rung, is_protected
        self.container = _podman.run(IMAGE, options=(*rung.options, *(() if is_protected else REPORT_ONLY)), runtime=runtime)
        self.container.wait_for("the instance is running")
        self.name, self.init = self.container.name, self.container.init
        self.service = harness.wait_until(lambda: harness.child_named(self.init, "service"), "the service runs")

    @property
    def service_inside(self):
        """Its pid as the container counts."""
        return rights.status_of(f"/proc/{self.service}")["NSpid"].split()[-1]

    def file(self, path):
        try:
            with open(f"/proc/{self.service}/root{path}", encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def wait_for_end(self, needle):
        """Until no process in it has these words in its command line."""
        def is_over():
            for pid in os.listdir("/proc"):
                with contextlib.suppress(OSError):
                    if pid.isdigit() and os.readlink(f"/proc/{pid}/ns/pid") == self.namespace:
                        with open(f"/proc/{pid}/cmdline", "rb") as f:
                            if needle.encode() in f.read().replace(b"\0", b" "):
                                return False
            return True
        harness.wait_until(is_over, f"the end of {needle}")

    @property
    def namespace(self):
        return os.readlink(f"/proc/{self.init}/ns/pid")

    def events(self, name):
        return [line for line in self.container.raw_log.splitlines() if f'"event":"{name}"' in line]

    def wait_for_events(self, name, count):
        """What the gate has done may be seen before its line has come."""
        harness.wait_until(lambda: len(self.events(name)) >= count, f"{count} lines of {name}")

    def is_running(self):
        return self.container.inspect("{{.State.Running}}") == "true"


class Insiders(harness.Case):
    """A service that wants a shell."""

    def tried(self, rung, line, options=()):
        folder = os.path.join(self.dir, f"{rung}{line}{len(options)}")
        for name, text in (("holdfast.conf", CONF), ("units/a.service", INSIDER.format(line))):
            self.write(f"{folder}/{name}", text)
        container = _podman.run(IMAGE, options=(*RUNGS[rung].options, "--volume", f"{folder}:/etc/holdfast:ro",
                                                "--tmpfs", "/tmp:rw,exec,mode=1777", *options))
        self.addCleanup(container.remove)
        log = container.wait_for("all tried").raw_log
        return {way for way in WAYS if f'42-{way}"' in log}

    def test_every_way(self):
        """A unit that says nothing of its sandbox, beside one that has none, where nobody stands at the gate."""
        for rung in RUNGS:
            with self.subTest(rung=rung):
                # Who may set vm.memfd_noexec has, and no configuration takes that back.
                closed = MEMORY if rung == "privileged" else set()
                self.assertEqual(self.tried(rung, "Sandbox=none", REPORT_ONLY), set(WAYS) - closed)
                self.assertEqual(self.tried(rung, ""), set())

    def test_limits_stay_inside(self):
        """Of whom a service may signal it may also cut the limits: prlimit(2) asks for no more than the same uid."""
        for line, is_held in (("Sandbox=none", False), ("", True)):
            with self.subTest(line=line):
                _, notes = self.run_beside(f"limits{is_held}", "limits 64", line)
                self.assertEqual("limited" in self.done(notes), not is_held)

    @unittest.skipUnless(LANDLOCK_VERSION >= 6, "this kernel's Landlock does not bound signals (6.12)")
    def test_signals_stay_inside(self):
        """Even where all share one uid."""
        for attack in ("murder", "terms 50"):
            for line, is_held in (("Sandbox=none", False), ("", True)):
                with self.subTest(attack=attack, line=line):
                    container, notes = self.run_beside(f"{attack[:5]}{is_held}", attack, line)
                    if not is_held:
                        harness.wait_until(lambda c=container: "daemon-died" in c.raw_log or "stopping" in c.raw_log, "harm")
                        continue
                    self.done(notes)
                    self.assertNotIn("daemon-died", container.raw_log)
                    self.assertNotIn("stopping", container.raw_log)
                    self.assertEqual(container.stop(), 0)

    def done(self, notes):
        """What the attacker noted, who may end its own instance by it."""
        def find():
            with contextlib.suppress(FileNotFoundError), open(notes, encoding="utf-8") as f:
                text = f.read()
                return text if "done" in text else None
        return harness.wait_until(find, "the attacker is done")

    def run_beside(self, name, attack, line):
        """The container, and a file of this machine with the attacker's notes."""
        folder = os.path.join(self.dir, name)
        os.makedirs(f"{folder}/notes")
        os.chmod(f"{folder}/notes", 0o777)
        unit = (f"[Service]\nExecStart=/usr/bin/hostile /tmp/notes {attack}\nReadWritePaths=/tmp\n"
                f"[X-Holdfast]\nEssential=no\n{line}\n")
        for path, text in (("holdfast.conf", CONF.replace("a.service", "a.service b.service")), ("units/a.service", UNIT),
                           ("units/b.service", unit)):
            self.write(f"{folder}/{path}", text)
        container = _podman.run(IMAGE, options=(*RUNGS["restricted"].options, "--volume", f"{folder}:/etc/holdfast:ro",
                                                "--volume", f"{folder}/notes:/tmp"))
        self.addCleanup(container.remove)
        return container, f"{folder}/notes/notes"

    def test_the_gate_alone(self):
        """What was brought along, and what the loader is told to run: also without a sandbox."""
        self.assertEqual(self.tried("privileged", "Sandbox=none"), set(WAYS) - BROUGHT)


class Intruders(harness.Case):
    def victim(self, rung, is_protected=True, runtime="crun"):
        found = Victim(RUNGS[rung], is_protected, runtime)
        self.addCleanup(found.container.remove)
        return found

    def shown_by(self, victim, attacks, seconds):
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            found = {name: pool.submit(attack, victim, seconds) for name, attack in attacks.items()}
        return {name: future.result() for name, future in found.items()}

    def check_control(self, rung, runtime, attacks):
        victim = self.victim(rung, is_protected=False, runtime=runtime)
        for name, shown in self.shown_by(victim, attacks, SHORT).items():
            with self.subTest(attack=name, rung=rung, runtime=runtime, control=True):
                self.assertIn(ESCAPED, shown)

    def check_defence(self, rung, runtime, attacks):
        victim = self.victim(rung, runtime=runtime)
        for name, shown in self.shown_by(victim, attacks, LONG).items():
            with self.subTest(attack=name, rung=rung, runtime=runtime):
                self.assertNotIn(ESCAPED, shown)
        # Nobody else was hurt, and whoever may come in does.
        self.assertTrue(victim.is_running())
        self.assertTrue(os.path.exists(f"/proc/{victim.service}"))
        return victim

    def check(self, rung, runtime="crun", attacks=ATTACKS):
        self.check_control(rung, runtime, attacks)
        return self.check_defence(rung, runtime, attacks)

    def test_everybody_with_every_right(self):
        victim = self.check("privileged", attacks={**ATTACKS, **ATTACKS_AT_GATE})
        # Whoever needs a program of the container's may fail before anybody here hears of it.
        victim.wait_for_events("intruder-killed", len(BY_OWN_MEANS))

    def test_everybody_in_a_default_container(self):
        victim = self.check("default")
        victim.wait_for_events("intruder-killed", len(ATTACKS))
        for verb in ("probe", "status", "dump"):
            self.assertEqual(victim.container.exec(CTL, verb)[0], 0, verb)
        self.assertEqual(victim.container.stop(), 0)

    def test_everybody_as_uid_1000_with_nothing(self):
        self.check("restricted")

    def test_another_runtime(self):
        for rung in RUNGS:
            self.check(rung, "runc", {name: ATTACKS[name] for name in OF_RUNTIMES})

    def test_root_where_holdfast_is_not(self):
        """It cannot be killed by who is not root: then the instance ends, and it with it."""
        attack = by_exec("/bin/sh", "-c", "{}", options=("--user", "0", "--privileged"))
        self.assertIn(ESCAPED, attack(self.victim("restricted", is_protected=False), SHORT))
        victim = self.victim("restricted")
        self.assertNotIn(ESCAPED, attack(victim, LONG))
        self.assertEqual(victim.container.wait(), 70)
        self.assertTrue(victim.events("intruder-not-killed"))

    def test_while_others_stand_still_or_die(self):
        for rung in ("privileged", "default"):
            with self.subTest(rung=rung):
                self.check_without_others(rung)

    def check_without_others(self, rung):
        victim = self.victim(rung)
        attack = ATTACKS["exec sh"]
        os.kill(victim.init, signal.SIGSTOP)
        try:
            self.assertNotIn(ESCAPED, attack(victim, LONG))
        finally:
            os.kill(victim.init, signal.SIGCONT)
        for program in ("holdfast-gate", "holdfast-supervisor", "holdfast-log"):
            pid = harness.wait_until(lambda program=program: harness.child_named(victim.init, program), program)
            os.kill(pid, signal.SIGKILL)
            self.assertNotIn(ESCAPED, attack(victim, LONG), program)
        self.assertEqual(victim.container.stop(), 0)

    def test_what_is_typed(self):
        """At a terminal, where one was given: nobody reads it, and no service has one."""
        container = _podman.run(IMAGE, options=("--tty", "--interactive", *RUNGS["default"].options))
        self.addCleanup(container.remove)
        container.wait_for("the instance is running")
        ours, theirs = pty.openpty()
        attached = subprocess.Popen(_podman.command("attach", "--sig-proxy=false", container.name), env=_podman.environment,
                                    stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        self.addCleanup(attached.wait)
        self.addCleanup(attached.kill)
        os.close(theirs)
        os.write(ours, b"sh\r" + words(0).encode() + b"\r\x1a" + words(0).encode() + b"\r")
        # Both are heard by the time that a signal behind them is.
        container.signal("HUP")
        container.wait_for("signal-ignored")
        self.assertNotIn(ESCAPED, container.raw_log)
        self.assertEqual(container.inspect("{{.State.Running}}"), "true")
        for pid in harness.descendants(container.init):
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                self.assertEqual(f.read().rsplit(")", 1)[1].split()[4], "0", "it has a terminal")
        os.close(ours)
        self.assertEqual(container.stop(), 0)


if __name__ == "__main__":
    harness.main()
