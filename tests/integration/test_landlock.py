#!/usr/bin/env python3
"""What a service can do with files, by Landlock: a strict one on each rung, one with its own keys, and
what holds where the kernel or the privileges do not give it."""
import ctypes
import dataclasses
import os
import shutil
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import instance

REACH = "/usr/bin/reach"
LOADER, LIBC = "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"
ESCAPED = '"msg":"ESCAPED"'  # what a shell says that could be started
SCRATCH = "[Scratch]\n/scratch=size=1M,mode=1777\n/programs=size=1M,mode=1777,exec\n"
# Attacks 12 and 13 of the list in the design: a shell by libc, by the kernel, by the loader, as a copy.
SHELLS = ("system", "popen", "exec:/bin/sh", "exec:/usr/bin/script", "exec:/srv/lib/shell",
          "read:/bin/sh", "read:/srv/lib/shell",
          "copy:/bin/sh:/scratch/sh", "copy:/usr/bin/holdfast-tool:/scratch/tool")
# The loader itself may run: it must find nothing that it may read.
LOADED = (f"ld:{LOADER}:/bin/sh", f"ld:{LOADER}:/srv/lib/shell", f"ld:{LOADER}:/scratch/x")
FORBIDDEN = ("create:/etc/x", "write:/etc/passwd", "truncate:/etc/passwd", "remove:/etc/passwd",
             "mkdir:/var/x", "create:/tmp/x", "device:/scratch/device", "write:/proc/self/comm",
             "mount:/tmp", "kill:1", "trace:1")
ALLOWED = ("read:/etc/passwd", "read:/etc/ssl/cert.pem", f"read:{LIBC}", "read:/srv/lib/data", f"read:{REACH}",
           "list:/", "list:/bin", "list:/proc/self", "read:/proc/self/status", "write:/dev/null",
           "read:/dev/urandom", "write:/proc/self/fd/1", "create:/scratch/x", "rename:/scratch/x:/scratch/y",
           "mkdir:/scratch/d", "rename:/scratch/y:/scratch/d/z", "link:/scratch/d/z:/scratch/l",
           "read:/scratch/l", "truncate:/scratch/l", "remove:/scratch/l", "socket:/scratch/s",
           "fifo:/scratch/f", "create:/dev/shm/x", "exec:/usr/bin/nothing",
           "copy:/usr/bin/nothing:/programs/nothing")


def has_landlock():
    """landlock_create_ruleset(2), which is number 444 everywhere, asked for its version."""
    return ctypes.CDLL(None).syscall(444, None, 0, 1) >= 6


def strict(words, *lines, sandbox="strict", kind="oneshot"):
    text = "\n".join(lines)
    return (f"[Service]\nType={kind}\nExecStart={REACH} {' '.join(words)}\n{text}\n"
            f"[X-Holdfast]\nSandbox={sandbox}\nEssential=yes\n")


@unittest.skipUnless(harness.is_root(), "namespaces and mounts need root")
@unittest.skipUnless(has_landlock(), "this kernel has no Landlock of version 6")
class LandlockCase(instance.Case):
    def setUp(self):
        super().setUp()
        root = instance.make_tree(self.dir, harness.BIN, ("reach", "nothing", "service"))
        for source, path in (("/bin/dash", "/bin/sh"), ("/bin/dash", "/srv/lib/shell"),
                             (f"{harness.APPS}/selfie", "/usr/bin/holdfast-tool"),
                             (LOADER, LOADER), (LIBC, LIBC)):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            shutil.copy(source, root + path)
        for path, text in (("/usr/bin/script", "#!/bin/sh\necho ESCAPED\n"), ("/srv/lib/data", "x"),
                           ("/etc/ssl/cert.pem", "x"), ("/etc/private/key", "x")):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            with open(root + path, "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(root + path, 0o755)
        for path in ("/programs", "/var/lib/reach"):
            os.makedirs(root + path, exist_ok=True)

    def on(self, rung, units, conf=SCRATCH, wrap=()):
        """Where nothing can be mounted the runtime gives the scratch."""
        if rung is not instance.EVERYTHING:
            rung = dataclasses.replace(rung, wrap=wrap, options=(
                *rung.options, "--tmpfs", "/scratch:size=1m,mode=1777", "--tmpfs",
                "/programs:size=1m,mode=1777"))
        return self.instance(units, list(units), conf=conf, rung=dataclasses.replace(rung, wrap=wrap))

    def reach(self, rung, unit, **options):
        run = self.on(rung, {"a.service": unit}, **options)
        told = run.told()["reach"]
        self.assertEqual(run.wait(), 0, run.text)
        return run, told

    def landlock_of(self, run):
        return next(e["msg"] for e in run.events("protection") if e["name"] == "landlock")


class Strict(LandlockCase):
    def holds(self, rung):
        words = SHELLS + LOADED + FORBIDDEN + ALLOWED
        run, told = self.reach(rung, strict(words, f"ExecPaths=/usr/bin/nothing {LOADER}"))
        self.assertNotIn(ESCAPED, run.text)
        self.assertEqual({w: told[w] for w in ALLOWED}, dict.fromkeys(ALLOWED, "ok"))
        refused = {w: told[w] for w in SHELLS + FORBIDDEN if told[w] not in ("EACCES", "EPERM")}
        # On a root that is read-only for itself, that may be said first.
        self.assertLessEqual(set(refused.values()), {"EROFS"}, refused)
        self.assertEqual([w for w in refused if w in SHELLS], [])
        self.assertRegex(self.landlock_of(run), r"^landlock: version \d+: 1 strict, 0 by their keys, 0 free")

    def test_as_root(self):
        self.holds(instance.EVERYTHING)

    def test_in_a_default_container(self):
        self.holds(instance.CONTAINER)

    def test_as_uid_1000(self):
        self.holds(instance.NOTHING)

    def test_what_the_unit_declares(self):
        words = ("create:/run/reach/x", "create:/var/lib/reach/x", "create:/own/x", "create:/tmp/x",
                 "copy:/usr/bin/nothing:/tools/x", "create:/srv/lib/data/x", "write:/srv/lib/data",
                 "exec:/bin/sh", "create:/run/y")
        os.makedirs(f"{self.dir}/root/own")
        os.makedirs(f"{self.dir}/root/tools")
        _, told = self.reach(instance.EVERYTHING, strict(
            words, "RuntimeDirectory=reach", "StateDirectory=reach", "PrivateTmp=yes",
            "TemporaryFileSystem=/own:size=1M /tools:size=1M,exec", "ExecPaths=/usr/bin/nothing"),
            conf="[Scratch]\n/tmp=size=1M\n")
        self.assertEqual(told, {**dict.fromkeys(words[:5], "ok"), words[5]: "ENOTDIR", words[6]: "EROFS",
                                words[7]: "EACCES", words[8]: "EACCES"})

    def test_credentials_of_others(self):
        for name in ("a", "b"):
            with open(f"{self.dir}/root/etc/{name}", "w", encoding="utf-8") as f:
                f.write("a long enough value")
        base = "/run/holdfast/credentials"
        words = (f"read:{base}/a.service/key", f"read:{base}/b.service/key", "list:/run", "read:/run/holdfast/board")
        other = (f"[Service]\nExecStart={instance.SERVICE.replace(harness.APPS, '/usr/bin')} -f /dev/null x\n"
                 "[X-Holdfast]\nSandbox=unit\nSecretFile=key file:/etc/b\n")
        text = strict(words) + "SecretFile=key file:/etc/a\n"
        run = self.on(instance.EVERYTHING, {
            "b.service": other, "a.service": text.replace("[Service]", "[Unit]\nAfter=b.service\n[Service]")})
        self.assertEqual(run.told()["reach"], dict(zip(words, ("ok", "EACCES", "ok", "ok"))))

    def test_the_set_is_made_again_by_the_next_supervisor(self):
        words = ("--hold", "exec:/bin/sh", "read:/bin/sh", "create:/scratch/x", "remove:/scratch/x",
                 "create:/run/reach/x", "remove:/run/reach/x", "kill:1")
        run = self.on(instance.EVERYTHING, {"a.service": strict(
            words, "Restart=always", "RestartSec=0", "RuntimeDirectory=reach", kind="simple")})

        def told(count):
            def find():
                run.pump()
                lines = [line for line in run.text.splitlines() if '"reach":' in line]
                return lines if len(lines) >= count else None
            lines = harness.wait_until(find, f"{count} lines of the service")
            self.assertIn('"exec:/bin/sh":"EACCES","read:/bin/sh":"EACCES","create:/scratch/x":"ok",'
                          '"remove:/scratch/x":"ok","create:/run/reach/x":"ok",'
                          '"remove:/run/reach/x":"ok","kill:1":"EPERM"', lines[count - 1])

        def kill_service():
            os.kill(harness.child_named(run.init, "reach"), signal.SIGKILL)
        told(1)
        kill_service()
        told(2)
        # Another directory of that name than the one that the set was made for.
        run_directory = f"/proc/{run.member('holdfast-supervisor')}/root/run/reach"
        os.rename(run_directory, f"{run_directory}-old")
        kill_service()
        told(3)
        os.kill(run.member("holdfast-supervisor"), signal.SIGKILL)
        run.wait_for("supervisor-adopted")
        kill_service()
        told(4)
        self.assertEqual(run.stop(), 0, run.text)


class Keys(LandlockCase):
    def test_a_unit_with_its_own_keys(self):
        words = ("exec:/bin/sh", "read:/bin/sh", "exec:/usr/bin/nothing", "read:/etc/private/key", "list:/etc/private",
                 "read:/etc/passwd", "create:/scratch/x", "create:/programs/x", "kill:1")
        _, told = self.reach(instance.EVERYTHING, strict(
            words, "NoExecPaths=/", "ExecPaths=/usr/bin/nothing", "InaccessiblePaths=/etc/private",
            "ReadOnlyPaths=/", "ReadWritePaths=/scratch", sandbox="unit"))
        self.assertEqual(told, dict(zip(words, ("EACCES", "ok", "ok", "EACCES", "EACCES", "ok", "ok",
                                                "EACCES", "ok"))))

    def test_a_unit_without_keys_is_left_alone(self):
        words = ("exec:/usr/bin/nothing", "read:/bin/sh", "create:/scratch/x", "copy:/usr/bin/nothing:/programs/x",
                 "system", "popen", "exec:/usr/bin/script", LOADED[0], LOADED[1])
        # Not where the gate of executions is, which refuses the loader in its own way.
        run, told = self.reach(instance.CONTAINER, strict(words, sandbox="unit"))
        self.assertEqual(told, dict.fromkeys(words, "ok"))
        # popen's line is read by the service itself.
        self.assertEqual(run.text.count(ESCAPED), 4)
        self.assertIn("0 strict, 0 by their keys, 1 free", self.landlock_of(run))

    def test_where_all_have_one_uid_they_are_kept_from_each_other(self):
        words = ("read:/bin/sh", "create:/scratch/x", "mkdir:/scratch/d", "rename:/scratch/x:/scratch/d/x", "kill:1")
        _, told = self.reach(instance.NOTHING, strict(words, sandbox="unit"))
        self.assertEqual(told, {**dict.fromkeys(words, "ok"), "kill:1": "EPERM"})

    def test_commands_with_a_plus_are_free(self):
        unit = strict(("read:/etc/passwd",)).replace("ExecStart=", f"ExecStart=+{REACH} read:/bin/sh\nExecStart=", 1)
        run = self.on(instance.EVERYTHING, {"a.service": unit})
        self.assertEqual(run.wait(), 0, run.text)
        self.assertIn('"read:/bin/sh":"ok"', run.text)


class Content(LandlockCase):
    """ReadOnlyRoot=content on a root that can be written and not be remounted."""
    CONF = SCRATCH + "[Holdfast]\nReadOnlyRoot=content\n"
    DENIED = ("create:/etc/x", "write:/etc/passwd", "truncate:/etc/passwd", "remove:/etc/passwd", "mkdir:/x",
              "create:/var/lib/x")
    ALLOWED = ("read:/etc/passwd", "create:/scratch/x", "write:/dev/null", "create:/dev/shm/x",
               "create:/var/lib/reach/x")

    def writable(self):
        return dataclasses.replace(instance.CONTAINER, options=(*instance.CONTAINER.options, "--writable"))

    def holds(self, sandbox, *lines):
        words = self.DENIED + self.ALLOWED
        run, told = self.reach(self.writable(), strict(words, "StateDirectory=reach", *lines, sandbox=sandbox),
                               conf=self.CONF)
        self.assertEqual(told, {**dict.fromkeys(self.DENIED, "EACCES"), **dict.fromkeys(self.ALLOWED, "ok")})
        self.assertRegex(next(e["msg"] for e in run.events("protection") if e["name"] == "root"),
                         "^root: content only; a write gave: it can be written; ")

    def test_a_strict_unit(self):
        self.holds("strict", "ReadWritePaths=/etc")

    def test_a_distributions_unit(self):
        self.holds("unit", "NoNewPrivileges=yes")

    def test_who_cannot_be_held_is_refused(self):
        for sandbox, why in (("none", "Sandbox=none"), ("unit", "no NoNewPrivileges=, no CAP_SYS_ADMIN")):
            with self.subTest(sandbox=sandbox):
                run = self.on(self.writable(), {"a.service": strict(("read:/x",), sandbox=sandbox)},
                              conf=self.CONF)
                self.assertEqual(run.wait(), 71, run.text)
                self.assertIn(f"its content cannot be kept from a.service ({why})", run.text)


class Without(LandlockCase):
    def test_a_kernel_without_it(self):
        run, told = self.reach(instance.CONTAINER, strict(("read:/bin/sh",)),
                               wrap=("/usr/bin/enosys", "landlock_create_ruleset", "--"))
        self.assertEqual(told, {"read:/bin/sh": "ok"})
        self.assertIn("landlock: without; the kernel has no Landlock", self.landlock_of(run))

    def test_a_unit_that_keeps_set_id_programs_in_a_container(self):
        words = ("exec:/usr/bin/nothing", "read:/etc/private/key")
        run, told = self.reach(instance.CONTAINER, strict(words, "InaccessiblePaths=/etc/private", sandbox="unit"))
        self.assertEqual(told, dict.fromkeys(words, "ok"))
        self.assertIn("1 not held (a.service): no NoNewPrivileges=, no CAP_SYS_ADMIN", self.landlock_of(run))


if __name__ == "__main__":
    harness.main()
