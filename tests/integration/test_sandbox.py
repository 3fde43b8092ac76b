#!/usr/bin/env python3
"""What a service's sandbox denies, on every rung of privilege: tests/apps/denied.c tries each call from
inside a service, and says what it got."""
import errno
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

ONLY_ROOT = unittest.skipUnless(harness.is_root(), "namespaces and mounts need root")
RUNGS = (instance.EVERYTHING, instance.CONTAINER, instance.NOTHING)

ALLOWED = {"tiocgwinsz": errno.ENOTTY, "setsid": 0, "unshare-fs": 0, "clone": 0, "thread": 0,
           "execveat-path": errno.ENOENT, "personality-asked": 0,
           "prlimit-own": errno.EINVAL}
ENOSYS = ("clone3", "memfd_create", "memfd_secret", "io_uring_setup", "int80", "x32")
KERNELS_OWN = ("memfd_create-noexec",)  # where the kernel has the flag
# What no capability frees, and no word of the unit.
ALWAYS = ("tiocsti", "tiocsti-plain", "tiocsctty", "tioclinux")
# Denied in a strict sandbox alone.
ONLY_STRICT = ("ptrace", "process_vm_readv", "pidfd_getfd", "kcmp", "prlimit-others", "memfd_create", "memfd_secret",
               "execveat-fd", "io_uring_setup", "personality", "personality-wide", "int80", "x32")
BOUNDING = 0x405fb  # units/sandbox.c, sandbox_root_capabilities


def number_of(word):
    return errno.ENOSYS if word in ENOSYS else errno.EPERM


def status_of(lines):
    """The capability sets of a status file."""
    return {key: int(value, 16) for key, value in
            (line.split(":") for line in lines) if key.startswith("Cap")}


class SandboxCase(instance.Case):
    def on(self, rung, units):
        instance.make_tree(self.dir, harness.BIN, apps=("denied", "enosys", "service"))
        return self.instance(units, sorted(units), rung=rung)

    def told(self, run):
        """{unit: what its process said}"""
        def find():
            run.pump()
            whole = run.text[:run.text.rfind("\n") + 1]
            lines = [json.loads(line) for line in whole.splitlines() if '"calls":' in line]
            found = {line["holdfast"]["unit"]: line for line in lines}
            return found if len(found) == len(self.wanted) else None
        return harness.wait_until(find, f"what the services say of themselves: {run.text[-3000:]}")

    def try_all(self, rung, **texts):
        self.wanted = texts
        # tests/instance.py would make them Sandbox=unit.
        units = {f"{name}.service": f"[Service]\nType=oneshot\nRemainAfterExit=yes\n{text}" +
                 ("" if "\nSandbox=" in text else "[X-Holdfast]\nSandbox=strict\n")
                 for name, text in texts.items()}
        run = self.on(rung, units)
        told = self.told(run)
        self.assertEqual(run.stop(), 0, run.text)
        said = next(e for e in run.events("protection") if e["name"] == "services")
        return {name: told[f"{name}.service"] for name in texts}, said

    def assert_strict(self, one, but=()):
        calls = one["calls"]
        for word, number in calls.items():
            if word in KERNELS_OWN or word in but:
                continue
            self.assertEqual(number, ALLOWED.get(word, number_of(word)), word)
        for word in but:
            self.assertNotEqual(calls[word], number_of(word), word)
        self.assertEqual((one["Seccomp"], one["NoNewPrivs"]), ("2", "1"))


@ONLY_ROOT
class Strict(SandboxCase):
    def test_every_call_on_every_rung(self):
        for rung in RUNGS:
            with self.subTest(rung=rung.name):
                users = {} if rung.uid else {
                    "user": "User=app\nExecStart=/usr/bin/denied\n"}
                found, _ = self.try_all(rung, plain="ExecStart=/usr/bin/denied\n", **users)
                for one in found.values():
                    self.assert_strict(one)
                    self.assertEqual(one["Seccomp_filters"], "1")
                if not rung.uid:
                    self.assertEqual(int(found["plain"]["CapBnd"], 16), BOUNDING)
                    self.assertEqual(int(found["user"]["CapBnd"], 16), 0)
                    self.assertEqual(int(found["user"]["CapEff"], 16), 0)

    def test_the_supervisor_gives_up_what_no_unit_may_have(self):
        plain = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/denied\n[X-Holdfast]\nSandbox=strict\n"
        full = plain.replace("ExecStart=", "User=app\nExecStart=+")
        with open("/proc/self/status", encoding="ascii") as f:
            whole = status_of(f)["CapBnd"]
        for units, left in (({"plain.service": plain}, BOUNDING),
                            ({"full.service": full, "plain.service": plain}, whole)):
            with self.subTest(units=sorted(units)):
                self.wanted = units
                run = self.on(instance.EVERYTHING, units)
                told = self.told(run)
                with open(f"/proc/{run.member('holdfast-supervisor')}/status", encoding="ascii") as f:
                    own = status_of(f)
                self.assertEqual((own["CapBnd"], own["CapPrm"]), (left, whole))
                self.assertEqual(int(told["plain.service"]["CapBnd"], 16), BOUNDING)
                if "full.service" in units:
                    self.assertEqual(int(told["full.service"]["CapEff"], 16), whole)
                self.assertEqual(run.stop(), 0, run.text)

    def test_words_lift_what_they_name(self):
        words = {"ptrace": ("ptrace", "process_vm_readv", "pidfd_getfd", "kcmp", "prlimit-others"),
                 "memfd": ("memfd_create",), "fexecve": ("execveat-fd",),
                 "io-uring": ("io_uring_setup",), "personality": ("personality", "personality-wide"),
                 "namespaces": ("clone3",)}
        units = {f"u{i}": f"ExecStart=/usr/bin/denied\n[X-Holdfast]\nSandboxAllow={word}\n"
                 for i, word in enumerate(words)}
        found, _ = self.try_all(instance.CONTAINER, **units)
        for (word, calls), one in zip(words.items(), found.values()):
            with self.subTest(word=word):
                # The kernel itself wants a capability for the rest of them.
                others = {"namespaces": ("unshare-user", "unshare-time", "clone-user", "setns"),
                          "memfd": ("memfd_secret",)}.get(word, ())
                calls = {k: v for k, v in one["calls"].items() if k not in others}
                self.assert_strict({**one, "calls": calls}, [c for c in words[word]])

    def test_programs_of_another_architecture_are_held_to_the_list(self):
        found, _ = self.try_all(instance.CONTAINER, a="ExecStart=/usr/bin/denied\n"
                                "[X-Holdfast]\nSandboxAllow=foreign\n")
        self.assertEqual(found["a"]["calls"]["tiocsti"], errno.EPERM)
        if os.uname().machine == "x86_64":
            self.assertNotEqual(found["a"]["calls"]["int80"], errno.EPERM)


@ONLY_ROOT
class Others(SandboxCase):
    UNIT = "ExecStart=/usr/bin/denied\n[X-Holdfast]\nSandbox=unit\n"
    NONE = "ExecStart=/usr/bin/denied\n[X-Holdfast]\nSandbox=none\n"
    ASKS = "NoNewPrivileges=yes\n"

    def test_what_cannot_break_a_unit(self):
        found, _ = self.try_all(instance.CONTAINER, asks=self.ASKS + self.UNIT)
        calls = found["asks"]["calls"]
        for word, number in calls.items():
            if word in ALLOWED:
                self.assertEqual(number, ALLOWED[word], word)
            elif word not in ONLY_STRICT and word not in KERNELS_OWN:
                self.assertEqual(number, number_of(word), word)
        self.assertEqual((calls["ptrace"], calls["memfd_create"], calls["execveat-fd"]), (0, 0, 0))

    def test_the_mark_and_where_there_is_none(self):
        """Seccomp_filters of a unit's processes, beyond what PID 1 has."""
        units = {"unit": self.UNIT, "none": self.NONE, "asks": self.ASKS + self.NONE,
                 "rights": "ExecStart=+/usr/bin/denied\n", "strict": "ExecStart=/usr/bin/denied\n"}
        marked = {instance.EVERYTHING: {"unit", "none", "asks", "rights", "strict"},
                  instance.CONTAINER: {"asks", "strict"},
                  instance.NOTHING: {"unit", "none", "asks", "rights", "strict"}}
        for rung, names in marked.items():
            with self.subTest(rung=rung.name):
                found, said = self.try_all(rung, **units)
                # Where the supervisor may, it has the mark, and a list is another one.
                is_inherited = rung is not instance.CONTAINER
                self.assertEqual({n: int(one["Seccomp_filters"]) for n, one in found.items()},
                                 {n: (n in names) + (is_inherited and n in ("unit", "strict"))
                                  for n in found})
                self.assertEqual(said["level"], "full" if len(names) == len(units) else "reduced")
                self.assertIn(f"strict 2, unit 1, none 2; with a filter {len(names)} of 5",
                              said["msg"])
                if rung is instance.CONTAINER:
                    self.assertIn(": none.service, rights.service, unit.service", said["msg"])

    def test_full_rights_are_full(self):
        found, _ = self.try_all(instance.EVERYTHING, a="User=app\nExecStart=+/usr/bin/denied\n")
        self.assertEqual(found["a"]["NoNewPrivs"], "0")
        self.assertEqual(found["a"]["Seccomp"], "2")
        for word in ("ptrace", "unshare-user", "memfd_create", "execveat-fd", "personality"):
            self.assertEqual(found["a"]["calls"][word], 0, word)

    def test_a_capability_frees_its_calls(self):
        text = "ExecStart=/usr/bin/denied\nCapabilityBoundingSet=CAP_SYS_TIME\n"
        found, _ = self.try_all(instance.EVERYTHING, a=text, b="User=app\n" + text)
        self.assertEqual(found["a"]["calls"]["clock_settime"], errno.EFAULT)
        self.assertEqual(found["b"]["calls"]["clock_settime"], errno.EPERM)
        self.assert_strict(found["a"], but=("clock_settime",))


@ONLY_ROOT
class Command(SandboxCase):
    """holdfast [OPTIONS] -- CMD"""

    def run_command(self, *options):
        instance.make_tree(self.dir, harness.BIN, apps=("denied", "enosys", "service"))
        run = self.instance({"x.service": "[Service]\nExecStart=/usr/bin/denied\n"
                                          "[X-Holdfast]\nSandbox=strict\n"}, [],
                            rung=instance.CONTAINER, options=(*options, "--", "/usr/bin/denied"))
        status = run.wait()
        lines = [line for line in run.text.splitlines() if line.startswith('{"calls":')]
        return status, run.text, json.loads(lines[0]) if lines else None

    def test_each_sandbox(self):
        status, _, one = self.run_command("--sandbox", "strict")
        self.assertEqual(status, 0)
        self.assert_strict(one)
        _, _, one = self.run_command("--config", "A=env:PATH")  # under the supervisor, no more
        self.assertEqual((one["NoNewPrivs"], one["Seccomp_filters"]), ("1", "1"))
        self.assertEqual((one["calls"]["tiocsti"], one["calls"]["ptrace"]), (errno.EPERM, 0))
        _, _, one = self.run_command("--sandbox=none")
        self.assertEqual((one["NoNewPrivs"], one["Seccomp"]), ("0", "0"))

    def test_a_one_off_has_its_services(self):
        _, _, one = self.run_command("--as", "x.service")
        self.assert_strict(one)
        status, text, _ = self.run_command("--as", "x.service", "--sandbox", "none")
        self.assertEqual(status, 64, text)
        self.assertIn("--sandbox does not go with --as", text)

    def test_a_wrong_word(self):
        status, text, _ = self.run_command("--sandbox", "lax")
        self.assertEqual(status, 78, text)
        self.assertIn("\"lax\": expected strict, unit or none", text)


if __name__ == "__main__":
    harness.main()
