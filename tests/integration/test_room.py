#!/usr/bin/env python3
"""PID 1's room: who enters an instance meets nothing that can be executed, on each rung of rights; what
is in it is said here name by name, and all but PID 1 stay outside of it."""
import contextlib
import dataclasses
import json
import os
import re
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import instance

STUB = "/usr/lib/holdfast/holdfast-refuse"
CTL = "/usr/lib/holdfast/holdfastctl"
REFUSED = b"refused: this instance has no shell; use holdfastctl dump\n"
FIXED = {"ro", "nosuid", "nodev"}
EMPTY = {"/": FIXED, STUB: FIXED}
CTL_ROOM = {**EMPTY, CTL: FIXED, "/run/holdfast": FIXED | {"noexec"}, "/sys/fs/cgroup": FIXED | {"noexec"},
            "/dev/null": {"ro", "nosuid", "noexec"}, "/proc": {"rw", "nosuid", "nodev", "noexec"}}
# What the machine tells of itself, where it does.
MACHINE = {**{f"/.holdfast{path.removeprefix('/proc')}": FIXED | {"noexec"} for path in
              (f"/proc/pressure/{kind}" for kind in ("cpu", "memory", "io")) if os.path.exists(path)}}
MEMBERS = ("holdfast-supervisor", "holdfast-log")
CONTAINER = dataclasses.replace(instance.CONTAINER, options=(*instance.CONTAINER.options, "--tmpfs", "/run"))
NOTHING = dataclasses.replace(instance.NOTHING, options=(*instance.NOTHING.options, "--tmpfs", "/run:mode=1777"))


def namespace(pid, kind="mnt"):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def field(pid, name):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return re.search(rf"^{name}:\s*(.+)$", f.read(), re.M)[1]


def mounts(pid):
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as f:
        return {line.split()[4]: set(line.split()[5].split(",")) - {"relatime"} for line in f}


def unit(user="", more=""):
    return f"[Service]\nExecStart=/usr/bin/service stay\nRestart=always\n{user and f'User={user}'}\n{more}"


@unittest.skipUnless(harness.is_root(), "namespaces need root")
class Case(instance.Case):
    def live(self, room, rung, units=None, options=(), conf="", **more):
        units = units or {"a.service": unit()}
        run = self.instance(units, sorted(units), conf=f"[Holdfast]\n{room and f'Room={room}'}\n{conf}", rung=rung,
                            options=options, **more)
        run.wait_running()
        return run

    def rung_of(self, run):
        """What boot says of the room: (level, rung, why)."""
        said = next(e for e in run.events("protection") if e["name"] == "room")
        rung, _, why = said["msg"].removeprefix("room: ").partition("; ")
        return said["level"], rung, why

    def kill_and_see(self, run, program):
        """Killed, it comes back where it was. Its pid as seen from here."""
        old = run.member(program)
        os.kill(old, signal.SIGKILL)
        def find():
            pid = harness.child_named(run.init, program)
            return pid != old and pid
        new = harness.wait_until(find, f"{program} is back")
        self.assertEqual(namespace(new), self.real)
        self.assertEqual(os.readlink(f"/proc/{new}/root"), "/")
        return new

    def strays(self, run):
        """What lives elsewhere than log, or has PID 1's way back. (A fork of PID 1 has both until its exec.)"""
        found = []
        for pid in harness.descendants(run.init):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
                room = (namespace(run.init), namespace(run.init, "user"))
                if namespace(pid) != self.real or set(room) & set(links):
                    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                        found.append((f.read(), namespace(pid), links))
        return found

    def assert_all_outside(self, run):
        self.real = namespace(run.member("holdfast-log"))
        self.assertNotEqual(self.real, namespace(run.init))
        try:
            harness.wait_until(lambda: not self.strays(run), "all but PID 1 live in the real root")
        except harness.Timeout:
            self.fail(self.strays(run))

    def assert_shut(self, run):
        """The stub, or the gate is faster: it may look at nobody who is in another user namespace."""
        for name in ("bin/sh", "usr/bin/bash"):
            self.assertEqual(os.readlink(f"/proc/{run.init}/root/{name}"), STUB)
        done = run.enter("/bin/sh", "-c", "id")
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, b"")

    def assert_closed(self, run, shells=("/bin/sh", "/bin/bash", "/usr/bin/env", "/sbin/login", "/usr/bin/sh")):
        for shell in shells:
            done = run.enter(shell, "-c", "id")
            self.assertEqual((done.returncode, done.stdout, done.stderr), (126, b"", REFUSED), shell)
        # What the image has is not there.
        self.assertEqual(run.enter("/usr/bin/service", "stay").returncode, 127)


class Privileged(Case):
    def test_the_empty_room(self):
        run = self.live("empty", instance.EVERYTHING)
        self.assertEqual(mounts(run.init), EMPTY)
        self.assert_all_outside(run)
        self.assert_closed(run)
        self.assertEqual(run.enter(CTL, "status").returncode, 127)
        level, rung, why = self.rung_of(run)
        self.assertEqual((level, rung), ("full", "empty room"))
        self.assertIn("Room=ctl", why)
        for program in MEMBERS:
            self.kill_and_see(run, program)
        self.assertEqual(mounts(run.init), EMPTY)
        self.assertEqual(run.stop(), 0)

    def test_who_met_the_stub_is_told_of(self):
        """By the name that was asked for, where holdfastctl is and where nothing is."""
        for room in ("ctl", "empty"):
            with self.subTest(room=room):
                run = self.live(room, instance.EVERYTHING)
                self.assert_closed(run, shells=("/bin/sh",))
                run.wait_for('"event":"shell-refused","by":"holdfast-gate"')
                self.assertEqual(run.events("shell-refused")[0]["name"], "sh")
                dump = run.inside(CTL, "dump").stdout.decode()
                self.assertRegex(harness.explained(dump), r"Turned away: \d+ times? somebody came in from outside and found nothing to execute, "
                                 r"asking for sh\.")
                self.assertEqual(run.stop(), 0)

    def test_a_dump_from_the_ctl_room(self):
        """It has what one from the real root has: pressure, the kernel's log, the use of scratch, of this moment."""
        run = self.live("", instance.EVERYTHING, conf="[Scratch]\n/scratch=size=4M\n")
        lines = [json.loads(line) for line in run.enter(CTL, "dump").stdout.splitlines()]
        outside = [json.loads(line) for line in run.inside(CTL, "dump").stdout.splitlines()]
        for kind in ("pressure", "kernel", "scratch"):
            self.assertEqual({line["type"] for line in lines if line["type"] == kind},
                             {line["type"] for line in outside if line["type"] == kind}, kind)
        with open(run.at("/scratch/file"), "wb") as f:
            f.write(b"x" * 1000000)
        use = [json.loads(line) for line in run.enter(CTL, "dump").stdout.splitlines() if b'"type":"scratch"' in line]
        self.assertEqual([(u["path"], u["size_bytes"]) for u in use], [("/scratch", 4 << 20)])
        self.assertGreater(use[0]["used_bytes"], 999999)
        self.assertLess(use[0]["used_bytes"], 1100000)
        self.assertEqual(run.enter(CTL, "--run", "/.holdfast/scratch/scratch", "status").returncode, 69)
        self.assertEqual(run.stop(), 0)

    def test_the_ctl_room(self):
        run = self.live("", instance.EVERYTHING)
        self.assertEqual({path: flags for path, flags in mounts(run.init).items() if path != "/.holdfast/kmsg"},
                         {**CTL_ROOM, **MACHINE})
        self.assert_all_outside(run)
        self.assert_closed(run)
        self.assertEqual(self.rung_of(run), ("full", "ctl room", ""))
        for name in (CTL, "/usr/bin/holdfastctl", "/bin/holdfastctl"):
            self.assertIn(b"a.service", run.enter(name, "status").stdout)
        self.assertEqual(run.enter(CTL, "probe").returncode, 0)
        lines = [json.loads(line) for line in run.enter(CTL, "dump").stdout.splitlines()]
        paths = {line["path"] for line in lines if line["type"] == "mount"}
        self.assertEqual(paths, set(mounts(run.member("holdfast-supervisor"))))
        self.assertIn("service", {line["name"] for line in lines if line["type"] == "process"})
        self.assertEqual(run.enter("/bin/sh", "-c", "id").stderr, REFUSED)
        self.assertEqual(run.stop(), 0)

    def test_the_end_of_one_that_failed(self):
        """The dump is of the real root, and what PID 1 says is heard."""
        units = {"a.service": unit(), "b.service": "[Service]\nExecStart=/usr/bin/service -e 3\n"}
        run = self.live("empty", instance.EVERYTHING, units)
        self.assertEqual(run.wait(), 3)
        dump = [json.loads(line) for line in run.text.splitlines() if '"type":"' in line]
        self.assertEqual([dump[0]["type"], dump[-1]["type"]], ["dump", "end"])
        self.assertIn("/proc", {line["path"] for line in dump if line["type"] == "mount"})
        self.assertIn({"name": "room", "level": "full", "rung": "empty room"},
                      [{k: line.get(k) for k in ("name", "level", "rung")} for line in dump
                       if line["type"] == "protection"])

    def test_a_crash_of_pid_1_is_told(self):
        run = self.live("", instance.EVERYTHING)
        os.kill(run.init, signal.SIGSEGV)  # ignored: somebody sent it
        self.assertEqual(run.inside(CTL, "status").returncode, 0)
        self.assertEqual(run.stop(), 0)

    def test_none_where_it_is_not_wanted(self):
        run = self.live("no", instance.EVERYTHING)
        self.assertEqual(namespace(run.init), namespace(run.member("holdfast-log")))
        self.assertEqual(self.rung_of(run), ("none", "none", "Room=no"))
        self.assertEqual(run.stop(), 0)

    def test_none_for_a_command(self):
        run = self.instance({}, [], rung=instance.EVERYTHING, options=("--health=:9180", "--", "/usr/bin/service", "stay"))
        service = run.member("service")
        self.assertEqual(namespace(run.init), namespace(service))
        self.assertNotIn("room", run.text)
        self.assertEqual(run.stop(), 0)


class Refused(Case):
    """By a profile, as container runtimes have them: a weaker rung, and why."""

    def refuse(self, *calls, room="empty"):
        run = self.live(room, dataclasses.replace(instance.EVERYTHING, options=("--runtime",),
                                                  wrap=("/usr/bin/enosys", "-e", *calls, "--")))
        self.real = namespace(run.member("holdfast-log"))
        return run, self.rung_of(run)

    def test_pivot_root(self):
        run, (level, rung, _) = self.refuse("pivot_root")
        self.assertEqual((level, rung), ("full", "empty room"))
        self.assert_closed(run)
        self.assertEqual({path for path in mounts(run.init)}, set(EMPTY))
        self.kill_and_see(run, "holdfast-supervisor")
        self.assertEqual(run.stop(), 0)

    def test_mount(self):
        run, (level, rung, why) = self.refuse("mount")
        self.assertEqual((level, rung), ("reduced", "stripped room"))
        self.assertIn("mount(2) is refused", why)
        self.assertFalse({"/proc", "/sys", "/dev"} & set(mounts(run.init)))
        self.assertTrue(os.path.exists(f"/proc/{run.init}/root/usr/bin/service"))
        self.kill_and_see(run, "holdfast-log")
        self.assertEqual(run.stop(), 0)

    def test_fanotify(self):
        """Without the gate holdfastctl would not be alone: it has to be asked for."""
        for room, level, name in (("yes", "full", "empty room"), ("ctl", "reduced", "ctl room")):
            with self.subTest(room=room):
                run, rung = self.refuse("fanotify_init", room=room)
                self.assertEqual(rung[:2], (level, name))
                self.assertEqual(run.enter(CTL, "probe").returncode, 0 if room == "ctl" else 127)
                self.assertEqual(run.stop(), 0)

    def test_unshare(self):
        run, (level, rung, why) = self.refuse("unshare")
        self.assertEqual((level, rung), ("none", "none"))
        self.assertIn("a mount namespace: Operation not permitted", why)
        self.assertEqual(run.inside(CTL, "probe").returncode, 0)
        self.assertEqual(run.stop(), 0)


class OwnUser(Case):
    def assert_rights(self, run, capabilities, bounding):
        self.assertNotEqual(namespace(run.init, "user"), namespace("self", "user"))
        for pid in harness.descendants(run.init):
            self.assertEqual(namespace(pid, "user"), namespace(run.init, "user"))
            self.assertEqual(int(field(pid, "CapPrm"), 16) & ~capabilities, 0)
            # None of ours has no_new_privs to keep it from getting more: the bounding set does.
            self.assertEqual(int(field(pid, "CapBnd"), 16) & ~bounding, 0)

    def test_roots_container(self):
        container = sum(1 << int(n) for n in instance.CONTAINER_CAPABILITIES.split(","))
        run = self.live("empty", CONTAINER, {"a.service": unit("app"), "b.service": unit("app")})
        self.assertEqual(self.rung_of(run)[:2], ("full", "user-namespace room"))
        self.assertEqual(mounts(run.init), EMPTY)
        self.assert_all_outside(run)
        self.assert_rights(run, container, container)
        self.assert_shut(run)
        for program in MEMBERS:
            pid = self.kill_and_see(run, program)
        # Users and the daemons' own are what they were.
        self.assertEqual(field(pid, "Uid").split()[0], "64901")
        self.assertEqual(field(harness.child_named(run.init, "service"), "Uid").split()[0], "1000")
        self.assert_rights(run, container, container)
        self.assertEqual(run.stop(), 0)

    def test_uid_1000(self):
        run = self.live("empty", NOTHING)
        self.assertEqual(self.rung_of(run)[:2], ("full", "user-namespace room"))
        self.assertEqual(mounts(run.init), EMPTY)
        self.assert_all_outside(run)
        self.assert_rights(run, 0, int(field("self", "CapBnd"), 16))
        for program in MEMBERS:
            self.kill_and_see(run, program)
        self.assertEqual(run.get("/health")[0], 200)
        self.assert_shut(run)  # by root: who cannot be killed may end the instance
        self.assertIn(run.finish_or_stop(), (0, 70))

    def test_not_where_a_unit_loses_by_it(self):
        run = self.live("empty", CONTAINER)
        level, rung, why = self.rung_of(run)
        self.assertEqual((level, rung), ("none", "none"))
        self.assertIn("a.service runs with capabilities", why)
        self.assertEqual(run.stop(), 0)

    def test_not_where_it_was_not_asked_for(self):
        for room in ("", "ctl"):
            with self.subTest(room=room):
                run = self.live(room, NOTHING)
                self.assertEqual(self.rung_of(run)[:2], ("reduced", "none"))
                self.assertEqual(run.inside(CTL, "probe").returncode, 0)
                self.assertEqual(run.stop(), 0)


if __name__ == "__main__":
    harness.main()
