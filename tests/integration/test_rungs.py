#!/usr/bin/env python3
"""Whole instances on every rung of privilege, and on each once more where the kernel lacks what is
new: they come up, say what holds and what does not, and end well; or they refuse, and say what to
give them."""
import dataclasses
import json
import os
import re
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

MEMORY = ("--tmpfs", "/scratch:size=1m,mode=1777")


def plus(rung, *options):
    return dataclasses.replace(rung, options=rung.options + options)


RUNGS = (instance.EVERYTHING,
         plus(instance.CONTAINER, *MEMORY), plus(instance.NOTHING, *MEMORY))
# Kernels that lack what is new, and profiles that hide it.
KERNELS = {"": (), ", ENOSYS": ("/usr/bin/enosys", "--"), ", EPERM": ("/usr/bin/enosys", "-e", "--")}
EXPECTED = {
    "everything": {"ids": "full", "root": "full", "writes": "full", "scratch": "full",
                   "public-files": "full", "secrets-memory": "full"},
    "default container": {"ids": "full", "root": "full", "writes": "full", "scratch": "reduced",
                          "public-files": "reduced", "secrets-memory": "reduced"},
    "uid 1000, nothing": {"ids": "reduced", "root": "full", "writes": "full", "scratch": "reduced",
                          "public-files": "reduced", "secrets-memory": "reduced"},
}
UNITS = {
    "a.service": "[Service]\nType=notify\nExecStart=/usr/bin/service -f /proc/self/fd/1 -n a\n"
                 "[X-Holdfast]\nSecretFile=token file:/etc/token mode=0400\n",
    "b.service": "[Unit]\nAfter=a.service\n[Service]\nType=forking\nPIDFile=/scratch/pid\n"
                 "ExecStart=/usr/bin/service -f /proc/self/fd/1 -d /scratch/pid b\n",
    "show.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
                    "ExecStart=/usr/bin/selfie --read %d/token\n"
                    "[X-Holdfast]\nSecretFile=token file:/etc/token mode=0400\n",
}
SIMPLE = "[Service]\nExecStart=/usr/bin/service -f /proc/self/fd/1 a\n"
SCRATCH = "[Scratch]\n/scratch=size=1M,mode=1777\n"
CTL = "/usr/lib/holdfast/holdfastctl"
RUNNING = "the instance is running"
VALUE = "s3cr3t"  # too short to be scrubbed: the test reads it in the log
with open("/proc/mounts", encoding="utf-8") as mounts:
    HAS_CGROUP2 = " cgroup2 " in mounts.read()
# What no rung and no kernel may bring about.
SURPRISES = ("panic", "daemon-hopeless", "exec-failed", "boot-died", "not-packed")
ONLY_ROOT = unittest.skipUnless(harness.is_root(), "namespaces and mounts need root")


class RungCase(instance.Case):
    def on(self, rung, units, conf="", wrap=(), **options):
        tree = instance.make_tree(self.dir, harness.BIN)
        if not os.path.exists(f"{tree}/etc/token"):
            self.write("root/etc/token", VALUE, 0o400)
        os.chown(f"{tree}/etc/token", rung.uid, rung.uid)
        return self.instance(units, sorted(units), conf=conf,
                             rung=dataclasses.replace(rung, wrap=wrap), **options)

    def levels(self, run):
        done = run.inside(CTL, "status", "--json")
        self.assertEqual(done.returncode, 0, done)
        return {p["name"]: p["level"] for p in json.loads(done.stdout)["protections"]}

    def assert_refused(self, run, status, *words):
        self.assertEqual(run.wait(), status, run.text)
        for word in words:
            self.assertIn(word, run.text)
        for event in SURPRISES:
            self.assertEqual(run.events(event), [])


@ONLY_ROOT
class Life(RungCase):
    def seen(self, run):
        """What the services noted, in order, without their pids."""
        notes = []
        for line in run.text.splitlines():
            value = json.loads(line)
            if value.get("holdfast", {}).get("unit") in ("a.service", "b.service"):
                notes.append(value["msg"].rsplit(" ", 1)[0])
        return notes

    def live(self, rung, wrap):
        with self.on(rung, UNITS, SCRATCH, wrap) as run:
            self.follow(rung, wrap, run)

    def follow(self, rung, wrap, run):
        run.wait_running()
        code, body = run.get("/health")
        self.assertEqual((code, json.loads(body)["status"]), (200, "pass"), body)
        found = self.levels(run)
        self.assertEqual(found, found | EXPECTED[rung.name])
        has_cgroup = HAS_CGROUP2 and rung is instance.EVERYTHING
        self.assertEqual("own cgroup2 subtree" in run.text, has_cgroup)
        services = [harness.child_named(run.init, "service") for _ in range(2)]
        old = run.member("holdfast-supervisor")
        os.kill(old, signal.SIGKILL)
        run.wait_for("supervisor-adopted")
        self.assertEqual([harness.child_named(run.init, "service") for _ in range(2)], services)
        harness.wait_until(lambda: run.get("/livez")[0] == 200, "the new supervisor answers")
        inside = harness.descendants(run.pid)
        self.assertEqual(run.stop(), 0, run.text)
        self.assertEqual([p for p in inside if os.path.exists(f"/proc/{p}")], [])
        self.assertEqual(self.seen(run), ["a start", "b start", "b stop", "a stop"])
        shown = next(json.loads(line) for line in run.text.splitlines() if '"argv":' in line)
        token = next(v for k, v in shown.items() if k.endswith("/token"))
        self.assertEqual((token["content"], token["mode"], token["uid"]), (VALUE, 0o400, rung.uid))
        self.assertEqual("/units/show.service" in shown["cgroup"], has_cgroup)
        if wrap:
            self.assertEqual(shown["Seccomp"], "2")  # the services live on that kernel, too
        for event in SURPRISES:
            self.assertEqual(run.events(event), [])

    def test_every_rung_on_every_kernel(self):
        for rung in RUNGS:
            for kernel, wrap in KERNELS.items():
                with self.subTest(rung=rung.name + kernel):
                    self.live(rung, wrap)

    def test_where_programs_cannot_be_executed_by_fd(self):
        for rung in RUNGS[1:]:
            with self.subTest(rung=rung.name):
                self.live(rung, ("/usr/bin/enosys", "execveat", "--"))


@ONLY_ROOT
class NothingWritable(RungCase):
    """Not even /dev/shm: no public files, no files with secrets, and health alone tells."""

    RUNG = plus(instance.NOTHING, "--tmpfs", "/dev/shm:mode=0755")

    def test_it_runs_and_says_what_is_missing(self):
        for kernel, wrap in KERNELS.items():
            with self.subTest(kernel=kernel):
                unit = SIMPLE + "[X-Holdfast]\nSecret=TOKEN file:/etc/token\n"
                with self.on(self.RUNG, {"a.service": unit}, wrap=wrap) as run:
                    self.look(run)

    def look(self, run):
        run.wait_for('"msg":"a start')
        run.wait_running()
        harness.wait_until(lambda: run.get("/readyz")[0] == 200, "it is ready")
        code, body = run.get("/health")
        health = json.loads(body)
        self.assertEqual((code, health["status"]), (200, "warn"), body)
        for name in ("public-files", "secrets-memory"):
            self.assertEqual(health["checks"][f"{name}:protection"][0]["status"], "warn")
        done = run.inside(CTL, "status")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"/dev/shm/holdfast", done.stderr)
        done = run.inside(CTL, "probe")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(run.stop(), 0, run.text)

    def test_a_file_with_a_secret_cannot_be_had(self):
        for kernel, wrap in KERNELS.items():
            with self.subTest(kernel=kernel):
                unit = SIMPLE + "[X-Holdfast]\nSecretFile=token file:/etc/token\n"
                with self.on(self.RUNG, {"a.service": unit}, wrap=wrap) as run:
                    self.assert_refused(run, 243, "use Secret= (the environment) or mount a tmpfs")


@ONLY_ROOT
class FullMemory(RungCase):
    """The memory of the public files is the application's, too, and it may fill it."""

    UNIT = {"a.service": "[Service]\nExecStart=/usr/bin/service -f /proc/self/fd/1 "
                         "-x /dev/shm/all -l 4000 a\n"}

    def survive(self, size):
        rung = plus(instance.NOTHING, "--tmpfs", f"/dev/shm:size={size},mode=1777")
        with self.on(rung, self.UNIT) as run:
            run.wait_for('"msg":"a line 4000"')
            os.kill(run.member("holdfast-log"), signal.SIGKILL)
            run.wait_for("daemon-died").wait_running()
            self.assertEqual(run.get("/health")[0], 200)
            self.assertEqual(run.stop(), 0, run.text)
            self.assertEqual(sorted({e["status"] for e in run.events("daemon-died")}), [9])
            for event in SURPRISES:
                self.assertEqual(run.events(event), [])
            return run.text

    def test_what_holdfast_needs_of_it_is_reserved(self):
        self.assertIn("public-files: /dev/shm/holdfast;", self.survive("5m"))

    def test_too_little_of_it_is_not_used(self):
        self.assertIn("/dev/shm/holdfast: No space left on device", self.survive("256k"))


@ONLY_ROOT
class Refused(RungCase):
    """What cannot be had is refused with the status for it and with words that help."""

    def refuse(self, rung, unit, status, *words, conf=""):
        for kernel, wrap in KERNELS.items():
            with self.subTest(rung=rung.name, kernel=kernel):
                with self.on(rung, {"a.service": unit}, conf, wrap) as run:
                    self.assert_refused(run, status, *words)

    def test_a_root_that_can_be_written(self):
        for rung in RUNGS[1:]:
            self.refuse(plus(rung, "--writable"), SIMPLE, 71, "--read-only",
                        "readOnlyRootFilesystem: true")

    def test_no_proc_and_no_right_to_mount_it(self):
        rung = dataclasses.replace(instance.NOTHING, options=("--uid", "1000"))
        self.refuse(rung, SIMPLE, 71, "/proc", "CAP_SYS_ADMIN")

    def test_a_port_of_health_that_needs_a_right(self):
        self.refuse(instance.NOTHING, SIMPLE, 69, "CAP_NET_BIND_SERVICE", conf="[Health]\nListen=:80\n")

    def test_another_user(self):
        self.refuse(instance.NOTHING, SIMPLE + "User=root\n", 216, "CAP_SETGID")

    def test_capabilities_that_we_lack(self):
        self.refuse(instance.NOTHING, SIMPLE + "AmbientCapabilities=CAP_NET_BIND_SERVICE\n", 218,
                    "AmbientCapabilities=")

    def test_a_secret_that_only_root_reads(self):
        self.write("root/etc/roots", VALUE, 0o400)
        unit = SIMPLE + "[X-Holdfast]\nSecret=TOKEN file:/etc/roots\n"
        self.refuse(instance.NOTHING, unit, 77, "/etc/roots", "Permission denied")

    def test_memory_that_is_then_given_as_was_said(self):
        """Each refusal names a --tmpfs; with it the same configuration comes up."""
        for rung in (instance.CONTAINER, instance.NOTHING):
            for unit, conf in ((SIMPLE, SCRATCH), (SIMPLE + "StateDirectory=app\n", ""),
                               (SIMPLE + "RuntimeDirectory=app\nCacheDirectory=app\n", "")):
                with self.subTest(rung=rung.name, unit=unit):
                    self.follow(rung, unit, conf)

    def follow(self, rung, unit, conf):
        for _ in range(3):
            with self.on(rung, {"a.service": unit}, conf) as run:
                harness.wait_until(lambda r=run: RUNNING in r.read() or r.is_eof, "it runs or not")
                if RUNNING in run.text:
                    self.assertIn("--tmpfs", str(rung.options))
                    self.assertEqual(run.stop(), 0, run.text)
                    return
                self.assertEqual(run.wait(), 71, run.text)
                advice = re.search(r"--tmpfs (/[^\s\"]+)", run.text)
                self.assertTrue(advice, run.text)
            rung = plus(rung, "--tmpfs", advice[1])
            os.makedirs(f"{self.dir}/root{advice[1].split(':')[0]}", exist_ok=True)
        self.fail(f"not with {rung.options} either")


if __name__ == "__main__":
    harness.main()
