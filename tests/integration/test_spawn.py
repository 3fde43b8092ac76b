#!/usr/bin/env python3
"""What a unit's process finds itself to be, on every rung, and how its set-up fails.

tests/apps/spawnbed.c stands for PID 1 and forks a supervisor that makes one call of spawn_process;
tests/apps/selfie.c is what it starts.
"""
import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402

BED = f"{harness.APPS}/spawnbed"
SELFIE = f"{harness.APPS}/selfie"
IDLE = f"{harness.APPS}/idle"
ENOSYS = f"{harness.APPS}/enosys"

# lib/plan.h
NO_NEW_PRIVILEGES, INHERIT_ENVIRONMENT, PRIVATE_TMP = 1 << 6, 1 << 7, 1 << 8
# Signals 32 and 33 are libc's own; make(1) leaves them ignored to whoever it starts.
OF_LIBC = 3 << 31
IGNORE_SIGPIPE, PERMISSIONS_START_ONLY, IS_MAIN, KILL_GROUP = 1 << 5, 1 << 9, 1 << 11, 1 << 12
STDIN_INHERIT, OUTPUT_NULL = 1 << 13, 1 << 14
FULL_RIGHTS, BUILTIN_KILL = 1 << 2, 1 << 3
START_PRE, START, STOP, STOP_POST = 1, 2, 4, 5
RUNTIME, STATE = 0, 1
IN_ENVIRONMENT, IN_FILE, IN_FD = 0, 1, 2
OPTIONAL = 1

# What Docker and containerd leave to root (capabilities(7) numbers).
DEFAULT_CONTAINER = sum(1 << n for n in (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))
ALL_CAPABILITIES = (1 << 41) - 1


def secret_file(records):
    """The bytes that holdfast-secrets would hand over: lib/secretfile.h."""
    out = b""
    for name, value in records:
        body = name.encode() + b"=" + value + b"\0"
        out += struct.pack("=II", len(name), len(value)) + body + b"\0" * (-len(body) % 4)
    return out


def environment(seen):
    return dict(e.split("=", 1) for e in seen["env"])


class Bed(harness.Case):
    program = BED
    prefix = []
    rung = []

    def hold(self, *arguments, argv=(IDLE,), **options):
        """Starts one that is held: the process, and the pids of supervisor and service."""
        process = self.start(*self.prefix, self.program, "run", *self.rung, "hold=1", *arguments,
                             "--", *argv, stdin=subprocess.PIPE, **options)
        process.wait_for("\n")
        return process, json.loads(process.text.splitlines()[0])

    def release(self, process):
        """Lets the supervisor go on; the result."""
        process.child.stdin.close()
        self.assertEqual(process.wait(), 0)
        return json.loads(process.text.splitlines()[-1])

    def bed(self, *arguments, argv=(SELFIE,), rung=None):
        """Runs it and returns its result."""
        done = subprocess.run([*self.prefix, self.program, "run", *(self.rung if rung is None else rung),
                               *[str(a) for a in arguments], "--", *argv],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=harness.DEADLINE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(result["r"], 0, result)
        self.assertGreater(result["reaped"], 0)
        self.assertEqual(result["slot"], result["reaped"], "the kernel wrote the slot")
        return result

    def selfie(self, *arguments, options=(), **more):
        """What the started process saw, after it ended well."""
        result = self.bed(*arguments, argv=(SELFIE, *options), **more)
        self.assertEqual(result["status"], 0, result)
        return json.loads(result["stdout"])

    def failure(self, status, *arguments, argv=(SELFIE,), **more):
        """The event of a set-up that fails with status."""
        result = self.bed(*arguments, argv=argv, **more)
        self.assertEqual(result["status"], status, result)
        self.assertEqual(result["stdout"], "")
        event = json.loads(result["events"].splitlines()[-1])
        self.assertEqual(event["event"], "setup-failed")
        self.assertEqual(event["status"], status)
        self.assertEqual(event["unit"], "test.service")
        return event

    def secrets(self, *records):
        path = os.path.join(self.dir, "secrets")
        with open(path, "wb") as f:
            f.write(secret_file(records))
        return f"secrets={path}"

    def credentials(self):
        path = os.path.join(self.dir, "credentials")
        os.mkdir(path)
        return f"credentials={path}", path


class Common:
    """What holds on every rung."""

    def test_fds_are_the_standard_streams_alone(self):
        seen = self.selfie()
        self.assertEqual(sorted(map(int, seen["fds"])), [0, 1, 2])
        self.assertEqual(seen["fds"]["0"], "/dev/null")
        self.assertTrue(seen["fds"]["1"].startswith("pipe:"))
        self.assertNotEqual(seen["fds"]["1"], seen["fds"]["2"])

    def test_sockets_come_at_three_with_their_names(self):
        seen = self.selfie("socket=one", "socket=two", "socket=")
        self.assertEqual(sorted(map(int, seen["fds"])), [0, 1, 2, 3, 4, 5])
        self.assertTrue(all(seen["fds"][str(n)].startswith("socket:") for n in (3, 4, 5)))
        env = environment(seen)
        self.assertEqual((env["LISTEN_FDS"], env["LISTEN_FDNAMES"]), ("3", "one:two:test.socket"))
        self.assertEqual(int(env["LISTEN_PID"]), seen["pid"])

    def test_only_the_main_command_gets_sockets(self):
        seen = self.selfie("socket=one", f"phase={START_PRE}")
        self.assertEqual(sorted(map(int, seen["fds"])), [0, 1, 2])
        self.assertNotIn("LISTEN_FDS", environment(seen))

    def test_signals_are_as_pid1_had_found_them(self):
        usr1, usr2 = 1 << (signal.SIGUSR1 - 1), 1 << (signal.SIGUSR2 - 1)
        seen = self.selfie(f"mask={usr1}", f"ignored={usr2}")
        self.assertEqual(int(seen["SigBlk"], 16), usr1)
        self.assertEqual(int(seen["SigIgn"], 16) & ~OF_LIBC, usr2 | 1 << (signal.SIGPIPE - 1))
        seen = self.selfie(f"no-flags={IGNORE_SIGPIPE}")
        self.assertEqual((int(seen["SigBlk"], 16), int(seen["SigIgn"], 16) & ~OF_LIBC), (0, 0))

    def test_leads_a_session_as_child_of_pid1(self):
        result = self.bed("access=0")
        seen = json.loads(result["stdout"])
        self.assertEqual((seen["sid"], seen["pgid"]), (seen["pid"], seen["pid"]))
        self.assertEqual(seen["pid"], result["reaped"])

    def test_umask_directory_limits_and_priority(self):
        seen = self.selfie("umask=0o27".replace("0o", "0"), "cwd=/usr", "nice=15", "oom=300",
                           "limit=7:64:128", "pdeath=15")
        self.assertEqual((seen["Umask"], seen["cwd"], seen["nice"]), ("0027", "/usr", 15))
        self.assertEqual((seen["oom_score_adj"], seen["pdeathsig"]), ("300", 15))
        self.assertEqual(seen["limits"][7], [64, 128])

    def test_limit_on_files_is_what_pid1_had_found(self):
        self.assertEqual(self.selfie("nofile=77:1000")["limits"][7], [77, 1000])

    def test_limits_beyond_the_hard_one_are_as_near_as_can_be(self):
        hard = self.selfie()["limits"][7][1]
        soft, now = self.selfie(f"limit=7:{hard * 2}:{hard * 2}")["limits"][7]
        self.assertGreaterEqual(now, hard)
        self.assertEqual(soft, now)

    def test_a_missing_directory_may_be_optional(self):
        self.assertEqual(self.selfie("cwd=/nonexistent", "cwd-optional=1")["cwd"], "/")
        event = self.failure(200, "cwd=/nonexistent")
        self.assertIn("/nonexistent", event["msg"])
        self.assertEqual(self.selfie("cwd=~", "home=/usr")["cwd"], "/usr")

    def test_a_program_that_is_not_there_is_203_and_named(self):
        event = self.failure(203, argv=("/nonexistent/program",))
        self.assertEqual((event["step"], event["errno"]), ("execute", 2))
        self.assertIn("/nonexistent/program", event["msg"])

    def test_environment_is_the_units_and_what_the_manager_tells(self):
        seen = self.selfie("env=A=1", "env=PATH=/own", "type=3", "notify=@there", "watchdog=5000000",
                           "user=app", "home=/home/app", "run=7")
        env = environment(seen)
        self.assertEqual(len(env), len(seen["env"]), "each name once")
        self.assertEqual((env["A"], env["PATH"], env["NOTIFY_SOCKET"]), ("1", "/own", "@there"))
        self.assertEqual((env["WATCHDOG_USEC"], int(env["WATCHDOG_PID"])), ("5000000", seen["pid"]))
        self.assertEqual((env["USER"], env["LOGNAME"], env["HOME"]), ("app", "app", "/home/app"))
        self.assertRegex(env["INVOCATION_ID"], r"^[0-9a-f]{32}$")
        same = environment(self.selfie("run=7", f"phase={STOP}"))
        other = environment(self.selfie("run=8"))
        self.assertEqual(env["INVOCATION_ID"], same["INVOCATION_ID"])
        self.assertNotEqual(env["INVOCATION_ID"], other["INVOCATION_ID"])

    def test_a_commands_arguments_and_outcome(self):
        seen = self.selfie(f"phase={STOP_POST}", "main-pid=42", "result=exit-code",
                           "exit-code=exited", "exit-status=3",
                           options=("p\x01q", "\x02/\x03/\x04", "plain"))
        self.assertEqual(seen["argv"][1:], ["p42q", "exit-code/exited/3", "plain"])
        env = environment(seen)
        self.assertEqual((env["MAINPID"], env["SERVICE_RESULT"], env["EXIT_CODE"], env["EXIT_STATUS"]),
                         ("42", "exit-code", "exited", "3"))

    def test_inherits_what_pid1_was_given_where_asked(self):
        given = self.write("environ", "A=pid1\0B=pid1\0HOLDFAST_SECRET=no\0broken\0=x\0")
        env = environment(self.selfie(f"environ={given}", f"flags={INHERIT_ENVIRONMENT}", "env=A=unit"))
        self.assertEqual((env["A"], env["B"]), ("unit", "pid1"))
        self.assertFalse([n for n in env if n.startswith("HOLDFAST_")])
        self.assertNotIn("B", environment(self.selfie(f"environ={given}", "env=A=unit")))

    def test_secret_in_the_environment_wins(self):
        env = environment(self.selfie(f"secret={IN_ENVIRONMENT}:0:0:TOKEN", "env=TOKEN=weak",
                                      self.secrets(("TOKEN", b"planted"), ("BY_PATH", b"too"))))
        self.assertEqual((env["TOKEN"], env["BY_PATH"]), ("planted", "too"))

    def test_secret_by_fd_is_fresh_and_read_only(self):
        value = b"line\nbinary \x01\xc3\xa9"
        seen = self.selfie(f"secret={IN_FD}:0:0:KEY_FD", "socket=one",
                           self.secrets(("KEY_FD", value)), options=("--fd-of", "KEY_FD"))
        self.assertEqual(seen["KEY_FD"]["content"].encode(), value)
        self.assertEqual((seen["KEY_FD"]["flags"], seen["KEY_FD"]["mode"]), (os.O_RDONLY, 0o400))
        number = int(environment(seen)["KEY_FD"])
        self.assertEqual(sorted(map(int, seen["fds"])), [0, 1, 2, 3, number])

    def test_a_secret_that_is_missing_is_243_and_named(self):
        event = self.failure(243, f"secret={IN_ENVIRONMENT}:0:0:TOKEN", self.secrets())
        self.assertIn("TOKEN was not fetched", event["msg"])
        self.assertEqual(self.bed(f"secret={IN_ENVIRONMENT}:0:{OPTIONAL}:TOKEN")["status"], 0)

    def test_a_zero_byte_cannot_stand_in_the_environment(self):
        self.failure(204, f"secret={IN_ENVIRONMENT}:0:0:TOKEN", self.secrets(("TOKEN", b"a\0b")))

    def test_a_secret_file_of_garbage_is_refused(self):
        path = self.write("garbage", "\x01" * 37)
        self.failure(243, f"secret={IN_FD}:0:0:TOKEN", f"secrets={path}")

    def test_no_memory_for_files_is_243_and_says_what_to_do(self):
        event = self.failure(243, f"secret={IN_FILE}:0:0:key", self.secrets(("key", b"x")))
        self.assertIn("mount a tmpfs", event["msg"])

    def test_secrets_never_stand_in_the_supervisors_memory(self):
        directory, _ = self.credentials()
        self.make_usable(self.dir + "/credentials")
        value = b"planted-" + os.urandom(12).hex().encode()
        arguments = [f"secret={IN_ENVIRONMENT}:0:0:TOKEN", f"secret={IN_FILE}:0400:0:file.key",
                     f"secret={IN_FD}:0:0:KEY_FD", directory, "first=1",
                     self.secrets(("TOKEN", value), ("file.key", value), ("KEY_FD", value))]
        process, pids = self.hold(*arguments)
        needle = bytes(value)
        self.assertTrue(self.memory_has(pids["pid"], needle), "the service has it")
        self.assertFalse(self.memory_has(pids["supervisor"], needle), "the supervisor does not")
        self.assertFalse(self.memory_has(process.pid, needle), "PID 1 does not")
        os.kill(pids["pid"], signal.SIGKILL)
        self.release(process)

    def memory_has(self, pid, needle):
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
             open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            searched = 0
            for line in maps:
                start, end = (int(n, 16) for n in line.split()[0].split("-"))
                if line.split()[1][0] != "r" or "[v" in line:
                    continue
                memory.seek(start)
                data = memory.read(end - start)
                searched += len(data)
                if needle in data:
                    return True
        self.assertGreater(searched, 4096)
        return False

    def make_usable(self, _path):
        pass

    def test_kill_is_built_in(self):
        victim = self.start("sleep", "1000", **self.as_user())
        for argv in (("kill", "-CONT"), ("kill", "-s", "SIGCONT"), ("kill", "-18")):
            self.assertEqual(self.bed(f"main-pid={victim.pid}", f"exec-flags={BUILTIN_KILL}",
                                      f"phase={STOP}", argv=(*argv, "\x01"))["status"], 0)
        result = self.bed(f"main-pid={victim.pid}", f"exec-flags={BUILTIN_KILL}", f"phase={STOP}",
                          argv=("kill", "-HUP", "\x01"))
        self.assertEqual(result["status"], 0)
        self.assertEqual(victim.wait(), -signal.SIGHUP)
        for argv in (("kill", "-NONSENSE", "1"), ("kill", "-HUP", "0"), ("kill", "-HUP", "-1"),
                     ("kill", "-HUP", "--", "-1"), ("kill", "-1"), ("kill", "-HUP")):
            self.assertEqual(self.bed(f"exec-flags={BUILTIN_KILL}", argv=argv)["status"], 1)

    def as_user(self):
        return {}

    def test_a_units_processes_are_counted_and_killed(self):
        # sh and two children of it, one in a session of its own.
        script = "setsid sleep 1000 & sleep 1000 & echo up; wait"
        process, pids = self.hold(f"kill=2:{signal.SIGKILL}", argv=("/bin/sh", "-c", script))
        pid = pids["pid"]
        harness.wait_until(lambda: len(harness.descendants(pid)) == 2, "both children")
        left = harness.descendants(pid)
        result = self.release(process)
        self.assertEqual(result["status"], -signal.SIGKILL)
        self.assertEqual(result["killed"], 3)
        for child in left:
            harness.wait_until(lambda c=child: not is_alive(c), f"{child} ends")

    def test_the_rest_or_the_group_can_be_signalled(self):
        # The rest: not the main process, which ends by itself when its child did.
        script = "sleep 1000; exit 7"
        process, pids = self.hold(f"kill=3:{signal.SIGTERM}", argv=("/bin/sh", "-c", script))
        harness.wait_until(lambda: harness.descendants(pids["pid"]), "the child")
        result = self.release(process)
        self.assertEqual((result["killed"], result["status"]), (1, 7))
        # The group: both at once.
        process, pids = self.hold(f"flags={KILL_GROUP}", f"kill=0:{signal.SIGTERM}",
                                  argv=("/bin/sh", "-c", script))
        child = harness.wait_until(lambda: harness.descendants(pids["pid"]), "the child")[0]
        self.assertEqual(self.release(process)["status"], -signal.SIGTERM)
        harness.wait_until(lambda: not is_alive(child), "the child ends")

    def test_null_output_and_foreign_stream(self):
        result = self.bed(f"flags={OUTPUT_NULL}", argv=(SELFIE, "--to", "2"))
        self.assertEqual(result["stdout"], "")
        self.assertEqual(json.loads(result["stderr"])["fds"]["1"], "/dev/null")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@unittest.skipUnless(harness.is_root(), "root only")
class AsRoot(Common, Bed):
    def test_pidfd_comes_with_the_process(self):
        self.assertTrue(self.bed()["pidfd"])

    def test_ids_and_groups(self):
        seen = self.selfie("uid=1234", "gid=2345", "group=7", "group=8")
        self.assertEqual((seen["uids"], seen["gids"], seen["groups"]),
                         ([1234] * 3, [2345] * 3, [7, 8]))
        self.assertEqual(int(seen["CapPrm"], 16) | int(seen["CapEff"], 16), 0)

    def test_rights_can_be_kept_for_a_command(self):
        self.assertEqual(self.selfie("uid=1234", f"exec-flags={FULL_RIGHTS}")["uids"], [0] * 3)
        self.assertEqual(self.selfie("uid=1234", f"flags={PERMISSIONS_START_ONLY}",
                                     f"phase={START_PRE}")["uids"], [0] * 3)
        self.assertEqual(self.selfie("uid=1234", f"flags={PERMISSIONS_START_ONLY}")["uids"], [1234] * 3)

    def test_capabilities(self):
        net_bind = 1 << 10
        seen = self.selfie("uid=1234", f"ambient={net_bind}", f"bounding={net_bind}")
        self.assertEqual({int(seen[n], 16) for n in ("CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd")},
                         {net_bind})
        seen = self.selfie(f"bounding={net_bind}")
        self.assertEqual((int(seen["CapEff"], 16), int(seen["CapBnd"], 16)), (net_bind, net_bind))

    def test_no_new_privileges_only_when_asked(self):
        self.assertEqual(self.selfie()["NoNewPrivs"], "0")
        self.assertEqual(self.selfie(f"flags={NO_NEW_PRIVILEGES}")["NoNewPrivs"], "1")

    def test_a_service_can_reopen_its_stdout(self):
        result = self.bed("uid=33", "gid=33", argv=("/bin/sh", "-c", "echo again >/dev/stdout"))
        self.assertEqual((result["status"], result["stdout"]), (0, "again\n"))

    def test_credentials_are_the_units_alone(self):
        directory, path = self.credentials()
        os.chmod(path, 0o755)
        arguments = ["uid=1234", "gid=2345", directory, f"secret={IN_FILE}:0400:0:tls.key",
                     self.secrets(("tls.key", b"binary \0 value"))]
        file = f"{path}/test.service/tls.key"
        seen = self.selfie(*arguments, "first=1", options=("--read", file))
        self.assertEqual(environment(seen)["CREDENTIALS_DIRECTORY"], f"{path}/test.service")
        self.assertEqual((seen[file]["uid"], seen[file]["gid"], seen[file]["mode"]), (1234, 2345, 0o400))
        self.assertEqual(seen[file]["content"], "binary \0 value")
        self.assertEqual(os.listdir(path), ["test.service"])
        st = os.stat(f"{path}/test.service")
        self.assertEqual((st.st_uid, st.st_mode & 0o7777), (1234, 0o500))
        # Another command of the same run finds them; the next run gets fresh ones.
        self.selfie(*arguments)
        self.assertEqual(os.stat(f"{path}/test.service").st_ino, st.st_ino)
        self.selfie(*arguments, "first=1")
        self.assertNotEqual(os.stat(f"{path}/test.service").st_ino, st.st_ino)
        self.assertEqual(os.listdir(path), ["test.service"])

    def test_credential_names_cannot_leave_the_directory(self):
        directory, path = self.credentials()
        self.failure(243, directory, f"secret={IN_FILE}:0400:0:../escaped", "first=1",
                     self.secrets(("../escaped", b"x")))
        self.assertFalse(os.path.exists(f"{self.dir}/escaped"))
        self.assertFalse(os.path.exists(f"{path}/escaped"))

    def test_directories_are_made_and_owned(self):
        state, run = f"{self.dir}/lib/deep/state", f"{self.dir}/run"
        arguments = ["uid=1234", "gid=2345", f"directory={STATE}:0750:0:{state}",
                     f"directory={RUNTIME}:0755:0:{run}"]
        seen = self.selfie(*arguments, "first=1")
        env = environment(seen)
        self.assertEqual((env["STATE_DIRECTORY"], env["RUNTIME_DIRECTORY"]), (state, run))
        for path, mode in ((state, 0o750), (run, 0o755)):
            st = os.stat(path)
            self.assertEqual((st.st_uid, st.st_gid, st.st_mode & 0o7777), (1234, 2345, mode))
        self.assertEqual(os.stat(os.path.dirname(state)).st_uid, 0)
        # What lies in them: kept within a run, runtime directories emptied by the next one.
        deep = os.path.join(run, *["d"] * 100)
        os.makedirs(deep)
        os.symlink(state, f"{run}/link")
        for path in (state, run, deep):
            with open(f"{path}/file", "w", encoding="ascii") as f:
                f.write("x")
        self.selfie(*arguments)
        self.assertTrue(os.path.exists(f"{deep}/file"))
        self.selfie(*arguments, "first=1")
        self.assertEqual(os.listdir(run), [])
        self.assertEqual(os.listdir(state), ["file"], "no symbolic link is followed")

    def test_a_directory_that_is_a_link_is_refused(self):
        os.mkdir(f"{self.dir}/target")
        os.symlink(f"{self.dir}/target", f"{self.dir}/link")
        self.failure(238, "uid=1234", f"directory={STATE}:0700:0:{self.dir}/link")
        self.assertEqual(os.stat(f"{self.dir}/target").st_uid, 0)
        for kind, status in enumerate((233, 238, 239, 240, 241)):
            self.failure(status, f"directory={kind}:0700:0:/proc/none")

    def test_scratch_is_a_bounded_tmpfs_of_its_own(self):
        path = f"{self.dir}/scratch"
        os.mkdir(path)
        seen = self.selfie("uid=1234", "gid=2345", f"tmpfs={1 << 20}:0750:0:{path}",
                           options=("--read", path))
        line = [m for m in seen["mountinfo"].splitlines() if f" {path} " in m][-1]
        for word in ("nosuid", "nodev", "noexec", "tmpfs", "size=1024k", "mode=750"):
            self.assertIn(word, line)
        self.assertEqual((seen[path]["uid"], seen[path]["gid"]), (1234, 2345))
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            self.assertNotIn(path, f.read())
        line = self.selfie(f"tmpfs=4096:0755:1:{path}")["mountinfo"].split(f" {path} ")[1].split("\n")[0]
        self.assertNotIn("noexec", line)
        self.failure(226, "tmpfs=4096:0755:0:/proc/none")

    def test_private_tmp_is_one_for_all_commands_of_the_unit(self):
        name = f"private-{os.getpid()}.service"
        self.addCleanup(shutil.rmtree, f"/tmp/holdfast-private-{name}", ignore_errors=True)
        self.addCleanup(shutil.rmtree, f"/var/tmp/holdfast-private-{name}", ignore_errors=True)
        arguments = [f"name={name}", f"flags={PRIVATE_TMP}", "uid=1234"]
        first = self.bed(*arguments, argv=("/bin/sh", "-c", "ls -A /tmp; echo mine >/tmp/file"))
        self.assertEqual((first["status"], first["stdout"]), (0, ""), first)
        second = self.bed(*arguments, argv=("/bin/sh", "-c", "cat /tmp/file"))
        self.assertEqual((second["status"], second["stdout"]), (0, "mine\n"))
        st = os.stat(f"/tmp/holdfast-private-{name}")
        self.assertEqual((st.st_uid, st.st_mode & 0o7777), (0, 0o700))

    def test_private_tmp_never_takes_what_another_user_made(self):
        name = f"planted-{os.getpid()}.service"
        os.mkdir(f"/tmp/holdfast-private-{name}")
        os.chown(f"/tmp/holdfast-private-{name}", 1234, 1234)
        self.addCleanup(os.rmdir, f"/tmp/holdfast-private-{name}")
        result = self.bed(f"name={name}", f"flags={PRIVATE_TMP}")
        self.assertEqual(result["status"], 226)

    def test_root_directory(self):
        os.makedirs(f"{self.dir}/root/bin")
        shutil.copy(IDLE, f"{self.dir}/root/bin/idle")
        self.failure(210, f"root={self.dir}/none")
        self.failure(203, f"root={self.dir}/root", argv=("/bin/none",))
        process, pids = self.hold(f"root={self.dir}/root", "kill=0:9", argv=("/bin/idle",))
        self.assertEqual(os.readlink(f"/proc/{pids['pid']}/root"), f"{self.dir}/root")
        self.release(process)

    def test_cleaning_up_removes_what_was_the_runs(self):
        directory, path = self.credentials()
        name = f"cleaned-{os.getpid()}.service"
        self.bed(f"name={name}", directory, f"secret={IN_FILE}:0400:0:key", "first=1", "clean-up=1",
                 f"flags={PRIVATE_TMP}", f"directory={RUNTIME}:0755:0:{self.dir}/run",
                 f"directory={RUNTIME}:0755:1:{self.dir}/kept", f"directory={STATE}:0755:0:{self.dir}/state",
                 self.secrets(("key", b"x")), argv=("/bin/sh", "-c", "touch /tmp/file"))
        self.assertEqual(os.listdir(path), [])
        self.assertEqual([os.path.exists(f"{self.dir}/{n}") for n in ("run", "kept", "state")],
                         [False, True, True])
        for tmp in ("/tmp", "/var/tmp"):
            self.assertFalse(os.path.exists(f"{tmp}/holdfast-private-{name}"))

    def test_helper_gets_what_its_role_is_granted(self):
        given = self.write("environ", "A=1\0")
        result = self.bed(f"helper={SELFIE}", f"environ={given}", "socket=not-for-it",
                          argv=("holdfast-secrets", "--exit", "5"))
        self.assertEqual(result["status"], 5)
        seen = json.loads(result["stdout"])
        self.assertEqual((seen["env"], seen["argv"][0]), ([], "holdfast-secrets"))
        targets = sorted(seen["fds"].values())
        self.assertEqual(len(targets), 5, targets)
        self.assertEqual(seen["fds"]["0"], "/dev/null")
        self.assertIn("holdfast-store", seen["fds"]["3"])
        self.assertIn(given, targets)

    def test_a_command_at_a_terminal_is_in_its_foreground(self):
        leader, terminal = os.openpty()
        self.addCleanup(os.close, leader)

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        done = subprocess.run([self.program, "run", f"flags={IS_MAIN | STDIN_INHERIT}", "--", SELFIE],
                              stdin=terminal, capture_output=True, check=True, timeout=harness.DEADLINE,
                              preexec_fn=take_terminal)  # pylint: disable=subprocess-popen-preexec-fn
        os.close(terminal)
        seen = json.loads(json.loads(done.stdout)["stdout"])
        self.assertEqual((seen["pgid"], seen["foreground"]), (seen["pid"], seen["pid"]))
        self.assertNotEqual(seen["sid"], seen["pid"])
        self.assertTrue(seen["fds"]["0"].startswith("/dev/pts/"))

    def test_kills_between_clone_and_return_lose_nobody(self):
        done = subprocess.run([BED, "kills", "1500", IDLE], capture_output=True, check=True,
                              timeout=120, stdin=subprocess.DEVNULL)
        result = json.loads(done.stdout)
        self.assertEqual((result["rounds"], result["lost"]), (1500, 0))
        self.assertGreater(result["spawned"], 500)

    def test_cgroup_at_birth(self):
        path = self.own_cgroup()
        seen = self.selfie(f"cgroup={path}")
        self.assertTrue(seen["cgroup"].splitlines()[-1].endswith("/test.service"), seen["cgroup"])

    def test_cgroup_without_clone3(self):
        path = self.own_cgroup()
        self.prefix = [ENOSYS, "clone3", "--"]
        seen = self.selfie(f"cgroup={path}")
        self.assertTrue(seen["cgroup"].splitlines()[-1].endswith("/test.service"), seen["cgroup"])

    def test_cgroup_counts_and_kills_what_hides(self):
        path = self.own_cgroup()
        script = "setsid sh -c 'sleep 1000 & echo up' & wait; echo orphaned; exec sleep 1000"
        process, _ = self.hold(f"cgroup={path}", f"kill=2:{signal.SIGKILL}",
                               argv=("/bin/sh", "-c", script))
        procs = f"{path}/test.service/cgroup.procs"
        harness.wait_until(lambda: count_lines(procs) == 2, "sleep and the orphan")
        self.assertEqual(self.release(process)["killed"], 2)
        harness.wait_until(lambda: count_lines(procs) == 0, "an empty cgroup")

    def own_cgroup(self):
        """A cgroup of this test, in a mount that only it sees; removed in the end."""
        try:
            with open("/proc/self/cgroup", encoding="ascii") as f:
                own = next(l for l in f if l.startswith("0::")).split("::")[1].strip()
            with open("/proc/self/mountinfo", encoding="utf-8") as f:
                mounted = next(m.split()[4] for m in f if " - cgroup2 " in m)
            path = f"{mounted}{own.rstrip('/')}/holdfast-test-{os.getpid()}-{self.id().split('.')[-1]}"
            os.mkdir(path)
        except (StopIteration, OSError) as error:
            self.skipTest(f"no cgroup2 to work in: {error}")
        self.addCleanup(os.rmdir, path)
        self.addCleanup(remove_cgroup, f"{path}/test.service")
        return path


def count_lines(path):
    with open(path, encoding="ascii") as f:
        return len(f.readlines())


def remove_cgroup(path):
    def gone():
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True
    harness.wait_until(gone, f"{path} is empty")


@unittest.skipUnless(harness.is_root(), "root only")
class Flying(Common, Bed):
    """Not waited for, where the unit asks for little: all is as if it had been."""
    rung = ["fly=1"]


@unittest.skipUnless(harness.is_root(), "root only")
class FlyingAsCopies(Flying):
    """Where no child can share our memory all are waited for, whatever was asked for."""
    program = f"{harness.ROOT}/build/asan/apps/spawnbed"
    # As UnderSanitizers: it maps terabytes of shadow, which cannot be searched.
    test_secrets_never_stand_in_the_supervisors_memory = None


class WithoutClone3(Common, Bed):
    """Docker's default profile: clone3 is missing, clone is not."""
    prefix = [ENOSYS, "clone3", "close_range", "--"]

    def test_pidfd_is_opened_afterwards(self):
        process, _ = self.hold("kill=0:9")
        self.assertTrue(self.release(process)["pidfd"])


@unittest.skipUnless(harness.is_root(), "root only")
class UnderSanitizers(AsRoot):
    """The same, watched: every child is a copy there."""
    program = f"{harness.ROOT}/build/asan/apps/spawnbed"
    # They map terabytes of shadow, which cannot be searched.
    test_secrets_never_stand_in_the_supervisors_memory = None
    # Of the shape that shares memory, which is not in this build.
    test_kills_between_clone_and_return_lose_nobody = None


@unittest.skipUnless(harness.is_root(), "root only")
class OldKernel(Common, Bed):
    """Everything newer than what holdfast can rely on answers EPERM, pidfds among it."""
    prefix = [ENOSYS, "-e", "--"]

    def test_no_pidfd(self):
        self.assertFalse(self.bed()["pidfd"])


@unittest.skipUnless(harness.is_root(), "root only")
class DefaultContainer(Common, Bed):
    """root with the capabilities that Docker leaves: no CAP_SYS_ADMIN."""
    rung = [f"capabilities={DEFAULT_CONTAINER}"]

    def test_ids_still_work(self):
        seen = self.selfie("uid=1234", "gid=2345")
        self.assertEqual((seen["uids"], seen["gids"]), ([1234] * 3, [2345] * 3))

    def test_scratch_needs_the_runtimes_mount(self):
        os.mkdir(f"{self.dir}/scratch")
        event = self.failure(226, f"tmpfs=65536:0755:0:{self.dir}/scratch")
        for word in ("emptyDir", "medium: Memory", "sizeLimit: 65536", f"mountPath: {self.dir}/scratch"):
            self.assertIn(word, event["msg"])

    def test_scratch_accepts_a_mount_that_is_small_enough(self):
        # /dev/shm is a tmpfs; its size decides.
        st = os.statvfs("/dev/shm")
        size = st.f_blocks * st.f_frsize
        if size == 0:
            self.skipTest("/dev/shm has no limit here")
        self.assertEqual(self.bed(f"tmpfs={size}:0755:0:/dev/shm")["status"], 0)
        self.failure(226, f"tmpfs={size - 4096}:0755:0:/dev/shm")

    def test_private_tmp_is_shared_and_said(self):
        result = self.bed(f"flags={PRIVATE_TMP}")
        self.assertEqual(result["status"], 0)
        self.assertEqual(json.loads(result["events"])["event"], "private-tmp-shared")

    def test_ambient_capability_that_we_lack(self):
        event = self.failure(218, "uid=1234", f"ambient={1 << 21}")
        self.assertIn("0x200000", event["msg"])


@unittest.skipUnless(harness.is_root(), "root only")
class Restricted(Common, Bed):
    """uid 1000 without a capability: Kubernetes' "restricted"."""
    rung = ["as=1000", f"capabilities={0b11001000}"]  # CAP_SETGID, SETUID and FOWNER, to get there

    def make_usable(self, path):
        os.chown(path, 1000, 1000)

    def as_user(self):
        return {"user": 1000, "group": 1000}

    def test_our_own_uid_is_fine_and_another_is_217(self):
        seen = self.selfie("uid=1000", "gid=1000", "group=5")
        self.assertEqual((seen["uids"], seen["gids"]), ([1000] * 3, [1000] * 3))
        event = self.failure(216, "uid=1234", "gid=1000")
        self.assertIn("CAP_SETGID", event["msg"])

    def test_bounding_set_becomes_no_new_privs(self):
        self.assertEqual(self.selfie("bounding=0")["NoNewPrivs"], "1")

    def test_lower_priority_is_done_without(self):
        seen = self.selfie("nice=-5", "oom=-500")
        self.assertEqual(seen["nice"], os.nice(0))

    def test_directories_in_what_the_runtime_mounted(self):
        os.mkdir(f"{self.dir}/state", 0o777)
        os.chmod(f"{self.dir}/state", 0o777)
        self.selfie("uid=1000", "gid=1000", f"directory={STATE}:0750:0:{self.dir}/state/app")
        self.assertEqual(os.stat(f"{self.dir}/state/app").st_uid, 1000)
        self.failure(238, "uid=1000", "gid=1000", f"directory={STATE}:0750:0:/proc/none")
        os.chmod(self.dir, 0o755)
        self.failure(238, "uid=1000", "gid=1000", f"directory={STATE}:0750:0:{self.dir}/refused")


if __name__ == "__main__":
    harness.main()
