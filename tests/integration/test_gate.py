#!/usr/bin/env python3
"""holdfast-gate's detector, in containers that podman runs as its users do: as root with the default
capabilities, and as uid 1000 with nothing. Who comes from outside is killed within moments or ends the
instance; what the instance's own services do, and holdfastctl, is let be."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import podman

CTL = "/usr/lib/holdfast/holdfastctl"
LOADER = "/lib64/ld-linux-x86-64.so.2"
IMAGE = "holdfast-gate-test"
ROOT = ("--read-only",)
RESTRICTED = ("--user", "1000:1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
              "--read-only")
# Long enough that it only comes out when nobody did anything, and then it is seen.
SHELL = ("/usr/bin/sh", "-c", "sleep 3; echo GOT-IN")
QUIET = "[Service]\nExecStart=/usr/bin/sleep 100000\n"
_podman = None


def copy_with_libraries(program, root):
    """A dynamic program and what it is linked with, where they lie here."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in [program] + [w for w in listed.split() if w.startswith("/")]:
        os.makedirs(os.path.dirname(f"{root}{path}"), exist_ok=True)
        shutil.copy(os.path.realpath(path), f"{root}{path}")


def setUpModule():
    """An image that has what no image should: a shell, a loader, and dash to load."""
    global _podman
    _podman = podman.of_module()
    context = podman.copy_image(f"{_podman.dir}/image")
    shutil.copy("/bin/busybox", f"{context}/root/usr/bin/busybox")
    os.mkdir(f"{context}/root/usr/own")
    for name in ("sh", "sleep", "setsid"):
        os.symlink("busybox", f"{context}/root/usr/bin/{name}")
    copy_with_libraries("/bin/dash", f"{context}/root")
    _podman.build(IMAGE, context)


class GateCase(harness.Case):
    options = ROOT

    def instance(self, units=None, conf="", options=(), runtime="crun"):
        folder = os.path.join(self.dir, f"etc{_podman.n_containers}")
        podman.write_configuration(folder, units or {"quiet.service": QUIET},
                                   f"{conf}\n[Health]\nListen=:9180\n")
        container = _podman.run(IMAGE, options=(*self.options, *options, "--volume", f"{folder}:/etc/holdfast:ro"),
                                runtime=runtime)
        self.addCleanup(container.remove)
        container.wait_for("gate-started").wait_for('"phase":"running"')
        return container

    def gate(self, container):
        return harness.wait_until(lambda: harness.child_named(container.init, "holdfast-gate"),
                                  "the gate runs")

    def events(self, container, name):
        return [line for line in container.lines() if line.get("event") == name]

    def wait_for_events(self, container, name, count):
        """What the gate has done may be seen before its line has come."""
        harness.wait_until(lambda: len(self.events(container, name)) >= count, f"{count} lines of {name}")

    def status(self, container):
        code, out, err = container.exec(CTL, "status", "--json")
        self.assertEqual(code, 0, out + err)
        return json.loads(out)

    def gated(self, container):
        """The gate's counters and last refusal, as status has them."""
        return self.status(container)["gate"]

    def enter(self, container, *command, options=()):
        """nsenter into the PID namespace alone, with programs of this machine."""
        return subprocess.run(["nsenter", "-t", str(container.init), "-p", *options, *command],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=harness.DEADLINE, check=False)

    def assert_refused(self, container, done, what):
        code, out = done
        self.assertNotEqual(code, 0, what)
        self.assertNotIn("GOT-IN", out, what)
        container.wait_for('"event":"intruder-killed"')


class Outside(GateCase):
    """Each attack of a default container."""

    def test_why_there_is_no_exec_gate(self):
        rungs = {p["name"]: (p["level"], p["rung"], p["why"]) for p in self.status(self.instance())["protections"]}
        self.assertEqual(rungs["exec-gate"],
                         ("none", "none", "fanotify needs CAP_SYS_ADMIN in the first user namespace"))

    def test_exec(self):
        container = self.instance()
        # On a busy machine the runtime alone takes seconds.
        late = (*SHELL[:2], "sleep 20; echo GOT-IN")
        for what, command, options in (
                ("a shell", late, ()),
                ("a shell with stdin", late, ("--interactive",)),
                ("the loader", (LOADER, "/bin/dash", "-c", "/usr/bin/sleep 20; echo GOT-IN"), ()),
                ("a shell named as ours", ("/usr/bin/sh", "-c", "exec -a holdfastctl sleep 20"), ())):
            with self.subTest(what):
                start = time.monotonic()
                code, out, _ = container.exec(*command, options=options)
                self.assert_refused(container, (code, out), what)
                self.assertLess(time.monotonic() - start, 15, what)
        killed = self.gated(container)["killed"]
        self.wait_for_events(container, "intruder-killed", killed)
        told = harness.explained(container.exec(CTL, "dump")[1])
        self.assertIn(f"Kept out: {killed} processes came in from outside", told)
        self.assertIn("/usr/bin/busybox", told)
        self.assertEqual(container.stop(), 0)

    def test_by_namespaces(self):
        """With programs of the machine, which open nothing of the container's."""
        container = self.instance()
        done = self.enter(container, "/bin/sh", "-c", "sleep 3; echo GOT-IN")
        self.assert_refused(container, (done.returncode, done.stdout), "nsenter -p")
        done = self.enter(container, *SHELL, options=("-a",))
        self.assert_refused(container, (done.returncode, done.stdout), "nsenter -a")
        self.wait_for_events(container, "intruder-killed", 2)

    def test_another_container_in_our_namespace(self):
        container = self.instance()
        done = _podman("run", "--rm", "--pid", f"container:{container.name}", "--entrypoint",
                       "/usr/bin/sh", IMAGE, *SHELL[1:], check=False)
        self.assert_refused(container, (done.returncode, done.stdout), "--pid container:")

    def test_who_joins_the_mounts_alone_is_told_of(self):
        container = self.instance()
        subprocess.run(["nsenter", "-t", str(container.init), "-m", "/usr/bin/busybox", "true"], check=True)
        container.wait_for('"event":"mounts-opened"')
        container.exec(CTL, "version")  # opens both
        subprocess.run(["nsenter", "-t", str(container.init), "-m", "/usr/bin/busybox", "true"], check=True)
        self.assertEqual(container.stop(), 0)
        self.assertEqual(len(self.events(container, "mounts-opened")), 1)  # once a minute

    def test_what_it_started_goes_with_it(self):
        container = self.instance()
        code, out, _ = container.exec("/usr/bin/sh", "-c", "sleep 4999 & sleep 4998 & sleep 3; echo GOT-IN")
        self.assert_refused(container, (code, out), "its children")
        harness.wait_until(lambda: not self.running(container, "499"), "none of them is left")

    def test_who_loses_its_parent(self):
        """What forks twice becomes PID 1's child, in a session of its own: that it lacks the filter tells."""
        container = self.instance()
        code = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0)\n"
        for then in ("time.sleep(3); print('GOT-IN')",
                     "os.execv('/bin/sh', ['sh', '-c', 'sleep 3; echo GOT-IN'])"):
            with self.subTest(then):
                before = len(self.events(container, "intruder-killed"))
                done = self.enter(container, sys.executable, "-c", code + then)
                self.assertEqual(done.stdout, "")
                self.wait_for_events(container, "intruder-killed", before + 1)

    def running(self, container, argument):
        found = []
        for pid in harness.descendants(container.init):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().decode().split("\0")
            except OSError:
                continue
            if any(w.startswith(argument) for w in words[1:]):
                found.append(pid)
        return found

    def test_holdfastctl_is_let_in(self):
        container = self.instance()
        for _ in range(10):
            self.assertEqual(self.status(container)["units"][0]["name"], "quiet.service")
        self.assertTrue(container.healthcheck())
        self.assertEqual(container.exec(CTL, "sleep", "1")[0], 0)
        for options in (("--user", "1234"), ("--privileged",), ("--user", "1234", "--privileged")):
            self.assertEqual(container.exec(CTL, "sleep", "0.2", options=options)[0], 0, options)
        self.assertIn('"type":"dump"', container.exec(CTL, "dump")[1])
        self.assertEqual(self.events(container, "intruder-killed"), [])

    def test_a_runtime_that_hardly_gets_a_processor_is_let_be(self):
        """Its second is one of its own: it prepares for longer where the container has a fraction of a processor."""
        if not shutil.which("runc"):
            self.skipTest("runc takes the most time to prepare, and is not here")
        container = self.instance({"busy.service": "[Service]\nExecStart=/usr/bin/sh -c 'while :; do :; done'\n"}, runtime="runc")
        _podman("update", "--cpus", "0.04", container.name)
        for _ in range(3):
            code, _, err = container.exec(CTL, "version")
            self.assertEqual(code, 0, err)
        self.assertEqual(self.events(container, "intruder-killed"), [])

    def leaves_behind(self, keys):
        leave = ("(setsid sleep 5001 &); (sleep 5002 &); (sh -c '(sleep 5003 &)' &); sleep 1; "
                 "sleep 5004 & exec sleep 5000")
        container = self.instance({"a.service": f'[Service]\nExecStart=/usr/bin/sh -c "{leave}"\n{keys}'})
        harness.wait_until(lambda: len(self.running(container, "500")) == 5, "all five run")
        os.kill(self.gate(container), signal.SIGKILL)  # its successor looks at all that runs
        harness.wait_until(lambda: container.raw_log.count("gate-started") == 2, "its successor")
        status = self.status(container)  # it has looked since
        self.assertEqual(len(self.running(container, "500")), 5)
        self.assertEqual(self.events(container, "intruder-killed"), [])
        return next((p["level"], p["rung"]) for p in status["protections"] if p["name"] == "intruders")

    def test_what_services_leave_behind_lives(self):
        self.assertEqual(self.leaves_behind(""), ("full", "killed"))

    def test_what_cannot_be_told_from_others_lives(self):
        self.assertEqual(self.leaves_behind("[X-Holdfast]\nSandbox=none\n"),
                         ("reduced", "killed while they have a parent"))

    def test_its_death_opens_nothing(self):
        container = self.instance()
        for _ in range(3):
            gate = self.gate(container)
            os.kill(gate, signal.SIGSTOP)
            intruder = subprocess.Popen(["nsenter", "-t", str(container.init), "-p", "/bin/sh", "-c",
                                         "sleep 30; echo GOT-IN"], stdout=subprocess.PIPE, text=True)
            harness.wait_until(lambda: harness.children(intruder.pid), "it is in")
            os.kill(gate, signal.SIGKILL)
            out, _ = intruder.communicate(timeout=harness.DEADLINE)
            self.assertEqual(out, "", container.raw_log)
        self.assertEqual(container.stop(), 0)

    def test_idle_it_never_wakes(self):
        container = self.instance()
        pid = self.gate(container)

        def wakes():
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                return [l for l in f if "ctxt_switches" in l]
        before = [None]

        def is_still():
            before.append(wakes())
            return before[-1] == before[-2]
        harness.wait_until(is_still, "it came to rest", step=1)
        container.exec(CTL, "version")  # and after somebody came
        harness.wait_until(is_still, "it came to rest again", step=2)

    def test_warn(self):
        container = self.instance(conf="Shells=warn")
        code, out, _ = container.exec("/usr/bin/sh", "-c", "sleep 1; echo GOT-IN")
        self.assertEqual((code, out), (0, "GOT-IN\n"))
        container.wait_for('"event":"intruder-seen"')
        self.assertEqual(self.events(container, "intruder-killed"), [])
        self.assertGreater(self.gated(container)["reported"], 0)
        self.assertIn("Not kept out: ", harness.explained(container.exec(CTL, "dump")[1]))
        rung = next(p for p in self.status(container)["protections"] if p["name"] == "intruders")
        self.assertEqual((rung["rung"], rung["why"]), ("reported", "Shells=warn"))


class Privileged(GateCase):
    """With fanotify: what comes from outside does not even start (gate/exec.c)."""
    options = ("--privileged", "--read-only")

    def refused(self, container, reason):
        return [e["exe"] for e in self.events(container, "exec-refused") if e["reason"] == reason]

    def test_nothing_is_executed_from_outside(self):
        container = self.instance()
        rungs = {p["name"]: (p["level"], p["rung"], p["why"]) for p in self.status(container)["protections"]}
        self.assertEqual(rungs["exec-gate"], ("full", "fanotify", ""))
        service = next(p for p in harness.children(container.init) if harness.program_of(p) == "/usr/bin/busybox")
        for command in (SHELL, (LOADER, "/bin/dash", "-c", "echo GOT-IN"), ("/proc/2/root/usr/bin/busybox", "sh"),
                        ("/proc/1/root/usr/bin/busybox", "sh", "-c", "echo GOT-IN")):
            with self.subTest(command):
                code, out, _ = container.exec(*command)
                self.assertNotEqual(code, 0)
                self.assertNotIn("GOT-IN", out)
        for how in (("-t", str(container.init), "-a"), ("-t", str(service), "-a"), ("-t", str(service), "-m", "-p"),
                    ("-t", str(service), "-m")):
            with self.subTest(how):
                done = subprocess.run(["nsenter", *how, "/usr/bin/sh", "-c", "echo GOT-IN"], stdin=subprocess.DEVNULL,
                                      capture_output=True, text=True, timeout=harness.DEADLINE, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertNotIn("GOT-IN", done.stdout)
        self.assertGreater(self.gated(container)["denied"], 0)
        self.wait_for_events(container, "exec-refused", 1)
        self.assertEqual(set(self.refused(container, "outside")) - {"/usr/bin/busybox", os.path.realpath(LOADER), LOADER},
                         set())
        self.assertTrue(self.refused(container, "outside"))
        self.assertEqual(container.exec(CTL, "version")[0], 0)
        self.assertEqual(container.stop(), 0)

    def test_what_the_room_turned_away_is_told_of(self):
        """A runtime executes the stub of the ctl room, and nothing at all in the empty one."""
        for room, event in (("ctl", "shell-refused"), ("empty", "entry-refused")):
            with self.subTest(room=room):
                container = self.instance(conf=f"Room={room}")
                self.assertNotEqual(container.exec("/bin/sh", "-c", "echo GOT-IN")[0], 0)
                container.wait_for(f'"event":"{event}"')
                self.assertIn("Turned away: ", harness.explained(container.logs[0]))
                self.assertEqual(container.stop(), 0)

    def test_what_a_service_brings_along(self):
        """With no sandbox of its own: a copy on a volume, a loader by itself; the image's own goes on."""
        volume = os.path.join(self.dir, "volume")
        os.mkdir(volume)
        shutil.copy("/bin/busybox", f"{volume}/tool")
        container = self.instance(
            {"tries.service": "[Service]\nExecStart=/usr/bin/sh -c 'sh -c \"echo shell-of-the-image\"; "
                              f"/volume/tool echo GOT-OUT; {LOADER} /bin/dash -c \"echo GOT-OUT\"; "
                              "echo all was tried; exec sleep 100000'\n[X-Holdfast]\nSandbox=none\n"},
            options=("--volume", f"{volume}:/volume"))
        container.wait_for("all was tried")
        self.assertIn("shell-of-the-image", container.raw_log)
        self.wait_for_events(container, "exec-refused", 2)
        self.assertNotIn('"msg":"GOT-OUT"', container.raw_log)
        self.assertEqual(self.refused(container, "brought-along"), ["/volume/tool"])
        self.assertEqual(len(self.refused(container, "loader")), 1)
        self.assertEqual(container.stop(), 0)

    def test_a_namespace_of_a_service(self):
        """Its own scratch for programs is marked when it starts: who joins it executes nothing either."""
        container = self.instance(
            {"own.service": "[Service]\nExecStart=/usr/bin/sh -c 'busybox cp /usr/bin/busybox /usr/own/busybox; "
                            "/usr/own/busybox echo own-scratch; exec sleep 100000'\n"
                            "TemporaryFileSystem=/usr/own:exec,size=4M\n[X-Holdfast]\nSandbox=none\n"})
        container.wait_for('"msg":"own-scratch"')
        self.assertEqual(self.events(container, "exec-refused"), [])
        service = next(p for p in harness.children(container.init) if harness.program_of(p) == "/usr/bin/busybox")
        for program in ("/usr/bin/busybox", "/usr/own/busybox"):
            done = subprocess.run(["nsenter", "-t", str(service), "-m", "-p", program, "echo", "GOT-IN"],
                                  capture_output=True, text=True, timeout=harness.DEADLINE, check=False)
            self.assertNotEqual(done.returncode, 0, program)
            self.assertNotIn("GOT-IN", done.stdout)
        self.assertEqual(container.stop(), 0)

    def test_its_death_opens_nothing(self):
        container = self.instance()
        gate = self.gate(container)
        os.kill(gate, signal.SIGSTOP)
        outsider = subprocess.Popen(["nsenter", "-t", str(harness.resident(container.init)), "-m", "-p",
                                     "/usr/bin/busybox", "echo", "GOT-IN"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.addCleanup(outsider.stdout.close)
        self.assertEqual(container.exec(CTL, "version")[0], 0)
        self.assertIsNone(outsider.poll())
        os.kill(gate, signal.SIGKILL)
        self.assertNotEqual(outsider.wait(harness.DEADLINE), 0)
        self.assertEqual(outsider.stdout.read(), b"")
        self.assertEqual(container.stop(), 0)


class Restricted(GateCase):
    """Uid 1000: what is of this uid is killed; what is root's cannot be."""
    options = RESTRICTED

    def test_of_its_own_uid(self):
        container = self.instance()
        code, out, _ = container.exec(*SHELL)
        self.assert_refused(container, (code, out), "exec")
        self.assertTrue(container.healthcheck())
        self.assertEqual(container.stop(), 0)

    def test_holdfastctl_is_let_in_or_refuses_itself(self):
        """Whoever executes it, nobody is killed and nothing ends: also while it takes its time."""
        container = self.instance()
        for options in ((), ("--privileged",), ("--user", "0", "--privileged")):
            with self.subTest(options=options):
                self.assertEqual(container.exec(CTL, "sleep", "0.3", options=options)[0], 0)
                self.assertIn('"type":"dump"', container.exec(CTL, "dump", options=options)[1])
        for user in ("0", "1234"):
            with self.subTest(user=user):
                code, out, err = container.exec(CTL, "sleep", "5", options=("--user", user))
                self.assertEqual((code, out), (77, ""))
                self.assertIn("cannot see what uid", err)
        self.assertEqual(self.status(container)["phase"], "running")
        self.assertEqual([e for e in container.lines() if "intruder" in e.get("event", "")], [])
        self.assertEqual(container.stop(), 0)

    def test_root_ends_the_instance(self):
        container = self.instance()
        start = time.monotonic()
        code, out, _ = container.exec("/usr/bin/sh", "-c", "sleep 20; echo GOT-IN", options=("--user", "0"))
        self.assertNotIn("GOT-IN", out)
        self.assertNotEqual(code, 0)
        self.assertEqual(container.wait(), 70)
        self.assertLess(time.monotonic() - start, 10)
        self.assertIn("intruder-not-killed", container.raw_log)
        self.assertIn("intruder-ends-instance", container.raw_log)
        self.assertTrue(harness.explained(container.logs[0]).startswith("First: The instance ended itself: somebody got in"))


if __name__ == "__main__":
    harness.main()
