#!/usr/bin/env python3
"""Command mode, `holdfast -- CMD`: what tini and dumb-init promise, what they get wrong, and -w.

The Core tests run in every surrounding that holdfast claims: as PID 1 of a namespace, as a
subreaper, without any privilege, with a container's default capabilities, and where a kernel or a
runtime refuses every newer system call.
"""
import contextlib
import os
import select
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
from command import CONTAINER, NAMESPACE, RESTRICTED, CommandCase, state_of

FAULTS = {signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, signal.SIGBUS, signal.SIGTRAP,
          signal.SIGABRT, signal.SIGSYS}
NEVER = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
FORWARDED = [n for n in range(1, 65) if n not in FAULTS | NEVER]


class Core:
    """What must hold in every surrounding."""

    def test_exit_status_is_the_commands(self):
        for status in (0, 1, 2, 42, 126, 127, 128, 255):
            self.assert_status(status, "--", "sh", "-c", f"exit {status}")

    def test_signal_death_is_128_and_the_number(self):
        for number in (1, 2, 9, 11, 13, 15, 34, 64):
            self.assert_status(128 + number, "--", "sh", "-c", f"ulimit -c 0; kill -{number} $$")

    def test_not_found_is_127(self):
        # With a PATH that everybody may search: else it is 126, as in execvp(3).
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        text = self.assert_status(127, "--", "no-such-command", env=env)
        self.assertIn("holdfast: cannot execute no-such-command: No such file", text)
        self.assert_status(127, "--", "/no/such/command")
        self.assert_status(127, "--", "/dev/null/command")
        self.assert_status(127, "--", "")

    def test_not_executable_is_126(self):
        text = self.assert_status(126, "--", self.write("plain", "text\n", 0o644))
        self.assertIn("Permission denied", text)
        self.assert_status(126, "--", "/")

    def test_child_that_exits_at_once_is_not_missed(self):
        """dumb-init 1.1.2: the child was gone before its parent looked."""
        stopwatch = [f"{self.programs}/stopwatch", "200", self.holdfast, "--",
                     f"{self.programs}/nothing"]
        inner = [self.enosys if w == "ENOSYS" else w for w in self.surrounding]
        process = self.start(*inner, *stopwatch)
        self.assertEqual(process.wait(), 0, process.text)

    def test_signals_are_forwarded(self):
        """dumb-init: proxying of every signal there is, and no other comes through."""
        process, init = self.hold_echo(echo=["-q", "15"])
        for number in [n for n in FORWARDED if n != signal.SIGTERM]:
            start = len(process.output)
            os.kill(init, number)
            process.wait_for(f"got {number}\n", start=start)
        os.kill(init, signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        got = [int(line.split()[1]) for line in process.text.splitlines() if line.startswith("got")]
        self.assertEqual(got, [n for n in FORWARDED if n != 15] + [15])

    def test_term_and_its_status(self):
        process = self.hold("--", "sh", "-c", "echo up; exec sleep 1000")
        process.wait_for("up")
        os.kill(self.init_of(process), signal.SIGTERM)
        self.assertEqual(process.wait(), 143)

    def test_orphans_are_reaped(self):
        """Also many at a time: one SIGCHLD may stand for all of them."""
        process = self.hold("--", "sh", "-c", "i=0; while [ $i -lt 100 ]; do (true &); i=$((i+1));"
                            " done; echo made; exec sleep 1000")
        process.wait_for("made")
        init = self.init_of(process)
        harness.wait_until(lambda: len(harness.children(init)) == 1, "the orphans to be reaped")

    def test_main_exit_among_many(self):
        """catatonit #4, #5: the command's exit behind others' in one SIGCHLD."""
        for _ in range(5):
            self.assert_status(137, "--", "sh", "-c", "i=0; while [ $i -lt 50 ]; do sleep 1000 & "
                               "i=$((i+1)); done; kill -9 0")

    def test_wait_all_gives_grace(self):
        """tini #180, dumb-init #212: what the command leaves may end in its own time."""
        process = self.left_behind(f"exec {self.sigecho} -q 15", "-w60")
        self.assertEqual(process.wait(), 3)
        self.assertIn("got 15", process.text)
        self.assertNotIn("killing", process.text)
        self.assert_nothing_left()

    def test_wait_all_kills_in_the_end(self):
        process = self.left_behind('trap "" TERM; echo up; while :; do sleep 1000; done',
                                   "--wait-all=1")
        self.assertEqual(process.wait(), 3)
        self.assertIn("left 1 s after TERM", process.text)
        self.assert_nothing_left()

    def test_wait_all_finds_what_escaped_its_group(self):
        """supervisord #1101, dinit #435: setsid escapes a process group."""
        fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        self.assert_status(0, "-w60", "--", "sh", "-c",
                           f"setsid sh -c 'setsid sleep 1001 & sleep 1002 & echo >{fifo}; wait' & "
                           f"read x <{fifo}")
        self.assert_nothing_left()

    def test_group_mode(self):
        process, init = self.hold_echo("-g", echo=["-c", "-q", "15"])
        os.kill(init, signal.SIGUSR1)
        process.wait_for("\ngot 10\n").wait_for("below-got 10\n")
        os.kill(init, signal.SIGTERM)
        self.assertEqual(process.wait(), 0)

    def test_rewrite(self):
        process, init = self.hold_echo("-r", "TERM:QUIT", "-r", "USR1:0", "--rewrite=sigusr2:RTMIN+3",
                                       echo=["-q", "3"])
        os.kill(init, signal.SIGUSR1)
        os.kill(init, signal.SIGUSR2)
        process.wait_for("got 37\n")
        os.kill(init, signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        self.assertNotIn("got 10", process.text)
        self.assertNotIn("got 15", process.text)


class TestSubreaper(Core, CommandCase):
    pass


class TestNamespace(Core, CommandCase):
    is_namespace = True


class TestRestricted(Core, CommandCase):
    """Kubernetes' "restricted": uid 1000, no capability, no_new_privs."""
    surrounding = RESTRICTED


class TestRestrictedNamespace(Core, CommandCase):
    surrounding = RESTRICTED
    is_namespace = True


class TestContainer(Core, CommandCase):
    surrounding = CONTAINER
    is_namespace = True


class TestOldKernel(Core, CommandCase):
    """ENOSYS for clone3, pidfd_*, close_range, openat2 …"""
    surrounding = ["ENOSYS", "--"]


class TestRefusingRuntime(Core, CommandCase):
    """EPERM for the same, as older container runtimes have it, as PID 1."""
    surrounding = ["ENOSYS", "-e", "--"]
    is_namespace = True


class TestSanitizer(Core, CommandCase):
    """The same under AddressSanitizer and UBSan."""
    binary = f"{harness.ASAN_BIN}/holdfast"


class TestUsage(CommandCase):
    def refused(self, *argv):
        status, text = self.run_hold(*argv)
        self.assertEqual(status, 64, text)
        self.assertTrue(text.startswith("holdfast: "), text)
        self.assertEqual(text.count("\n"), 1, text)
        return text

    def test_usage_errors_are_64(self):
        for argv, expected in [
                (["--"], "expected a command"),
                (["-g", "--"], "expected a command"),
                (["-g"], "no -- COMMAND"),
                (["-x", "--", "true"], "-x: no such option"),
                (["--nope", "--", "true"], "--nope: no such option"),
                (["-e", "256", "--", "true"], "0 to 255"),
                (["-e", "-1", "--", "true"], "0 to 255"),
                (["-e", "--", "true"], "needs an argument"),
                (["-ge"], "needs an argument"),
                (["--group=1", "--", "true"], "takes no argument"),
                (["-r", "TERM", "--", "true"], "expected A:B"),
                (["-r", "TERM:", "--", "true"], "expected A:B"),
                (["-r", ":TERM", "--", "true"], "expected A:B"),
                (["-r", "TERM:65", "--", "true"], "expected A:B"),
                (["-r", "0:TERM", "--", "true"], "expected A:B"),
                (["-r", "KILL:TERM", "--", "true"], "never passed on"),
                (["-r", "SEGV:TERM", "--", "true"], "never passed on"),
                (["-p", "NOPE", "--", "true"], "expected a signal"),
                (["-w=x", "--", "true"], "seconds"),
                (["-w", "5", "--", "true"], "5: expected an option"),
                (["true"], "true: expected an option"),
                (["-g", "true"], "no -- COMMAND"),
        ]:
            self.assertIn(expected, self.refused(*argv), argv)

    def test_help_and_version_need_nothing(self):
        text = self.assert_status(0, "--help")
        for word in ("--group", "--remap", "--rewrite", "--pdeathsig", "--wait-all", "--health", "--as"):
            self.assertIn(word, text)
        self.assertEqual(text, self.assert_status(0, "-h"))
        with open(f"{harness.ROOT}/VERSION", encoding="ascii") as f:
            self.assertEqual(self.assert_status(0, "--version"), f"holdfast {f.read().strip()}\n")

    def test_options_combine(self):
        self.assert_status(0, "-ge", "143", "--", "sh", "-c", "exit 143")
        self.assert_status(0, "-ge143", "--", "sh", "-c", "exit 143")
        self.assert_status(0, "-gw5", "-e7", "--", "sh", "-c", "exit 7")
        self.assert_status(0, "-gw", "-e", "7", "--remap=8", "--", "sh", "-c", "exit 8")

    def test_what_follows_the_dashes_is_the_commands(self):
        text = self.assert_status(0, "--", "echo", "-g", "--", "--help")
        self.assertEqual(text, "-g -- --help\n")


class TestExec(CommandCase):
    def test_remap(self):
        """tini -e: the status, or 128+n, becomes 0; repeatable; others stay."""
        for status, expected in ((0, 0), (3, 0), (4, 4), (143, 0), (255, 0)):
            self.assert_status(expected, "-e", "3", "-e", "143", "-e", "255", "--", "sh", "-c",
                               f"exit {status}")
        self.assert_status(0, "-e", "143", "--", "sh", "-c", "kill -TERM $$")

    def test_path_search_goes_past_what_is_refused(self):
        self.write("a/tool", "#!/bin/sh\necho a\n", 0o644)
        self.write("b/tool", "#!/bin/sh\necho b\n", 0o755)
        env = {"PATH": f"{self.dir}/nowhere:{self.dir}/a:{self.dir}/b"}
        self.assertEqual(self.assert_status(0, "--", "tool", env=env), "b\n")
        env = {"PATH": f"{self.dir}/a:{self.dir}/nowhere"}
        self.assertIn("Permission denied", self.assert_status(126, "--", "tool", env=env))

    def test_path_unset_or_relative(self):
        self.assertEqual(self.assert_status(0, "--", "echo", "x", env={}), "x\n")
        self.write("here", "#!/bin/sh\necho here\n", 0o755)
        for path in ("", ":/nowhere", "/nowhere:", "."):
            self.assertEqual(self.assert_status(0, "--", "here", env={"PATH": path}, cwd=self.dir),
                             "here\n", path)

    def test_overlong_names_are_not_found(self):
        self.assert_status(126, "--", "/" + "x" * 5000)
        for length in (300, 5000):
            self.assert_status(127, "--", "x" * length, env={"PATH": "/usr/bin:/bin"})

    def test_missing_interpreter_is_said(self):
        text = self.assert_status(127, "--", self.write("script", "#!/no/such\n", 0o755))
        self.assertIn("its interpreter is not", text)

    def test_script_without_interpreter_is_the_shells(self):
        """execvp(3) in tini and dumb-init does that too."""
        path = self.write("script", 'echo "$0:$1:$#"\n', 0o755)
        self.assertEqual(self.assert_status(0, "-g", "--", path, "one"), f"{path}:one:1\n")
        self.assertEqual(self.assert_status(0, "--", "script", "a b", env={"PATH": self.dir}),
                         f"{path}:a b:1\n")

    def test_no_process_to_be_had_is_70(self):
        if not harness.is_root():
            self.skipTest("needs root to become a user with a limit")
        process = self.start(*RESTRICTED, "prlimit", "--nproc=0:0", self.holdfast, "--", "true")
        self.assertEqual(process.wait(), 70, process.text)
        self.assertIn("holdfast: cannot make a process: ", process.text)

    def test_cause_goes_to_the_termination_log(self):
        if not harness.is_root():
            self.skipTest("needs root for a /dev of its own")
        process = self.start("unshare", "--mount", "sh", "-c",
                             "mount -t tmpfs t /dev && : >/dev/termination-log && "
                             f"{self.holdfast} -- nope 2>&1 >/dev/null; cat /dev/termination-log")
        self.assertEqual(process.wait(), 0, process.text)
        self.assertTrue(process.text.endswith("\ncannot execute nope: No such file or directory"),
                        process.text)

    def test_usage_goes_to_the_termination_log(self):
        if not harness.is_root():
            self.skipTest("needs root for a /dev of its own")
        process = self.start("unshare", "--mount", "sh", "-c",
                             "mount -t tmpfs t /dev && : >/dev/termination-log && "
                             f"{self.holdfast} --nope 2>&1; cat /dev/termination-log")
        self.assertEqual(process.wait(), 0, process.text)
        self.assertTrue(process.text.endswith("\n--nope: no such option; see --help"), process.text)


class TestInheritance(CommandCase):
    def status_of_child(self, preexec, *options, **more):
        text = self.assert_status(0, *options, "--", "cat", "/proc/self/status", preexec_fn=preexec,
                                  **more)
        return {line.split(":")[0]: line.split()[1] for line in text.splitlines()
                if line.startswith(("Sig", "Shd"))}

    def direct(self, preexec):
        out = subprocess.run(["cat", "/proc/self/status"], preexec_fn=preexec, check=True,
                             stdout=subprocess.PIPE).stdout.decode()
        return {line.split(":")[0]: line.split()[1] for line in out.splitlines()
                if line.startswith(("Sig", "Shd"))}

    def test_mask_and_dispositions_are_those_inherited(self):
        """catatonit leaks a blocked mask, dumb-init wipes what was inherited."""
        def many():
            signal.pthread_sigmask(signal.SIG_SETMASK,
                                   {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, 34, 64})
            for number in (signal.SIGHUP, signal.SIGTTOU, signal.SIGUSR2, signal.SIGPIPE, 40):
                signal.signal(number, signal.SIG_IGN)
        for preexec in (lambda: None, many):
            direct, held = self.direct(preexec), self.status_of_child(preexec)
            for key in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"):
                self.assertEqual(held[key], direct[key], key)

    def test_signals_that_a_libc_hides_stay_blocked(self):
        """32 and 33 belong to libc's threads, and are inherited like any other."""
        def block():
            import ctypes
            mask = ctypes.c_uint64(0x1_8000_0000)
            ctypes.CDLL(None).syscall(14 if os.uname().machine == "x86_64" else 135,
                                      2, ctypes.byref(mask), None, 8)
        self.assertEqual(self.direct(block)["SigBlk"], "0000000180000000")
        self.assertEqual(self.status_of_child(block)["SigBlk"], "0000000180000000")

    def test_ignored_sigchld_hides_no_exit(self):
        """Ignored, the kernel reaps children itself; the command still inherits it so."""
        def ignore():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self.assert_status(9, "--", "sh", "-c", "exit 9", preexec_fn=ignore)
        self.assertEqual(int(self.status_of_child(ignore)["SigIgn"], 16) >> 16 & 1, 1)

    def test_signal_pending_from_before_is_forwarded(self):
        def pend():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
            os.kill(os.getpid(), signal.SIGUSR1)
        process = self.hold("--", self.sigecho, "-q", "10", preexec_fn=pend)
        self.assertEqual(process.wait(), 0, process.text)

    def test_ignored_signal_is_forwarded(self):
        def ignore():
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        process, init = self.hold_echo(echo=["-q", "10"], preexec_fn=ignore)
        os.kill(init, signal.SIGUSR1)
        self.assertEqual(process.wait(), 0, process.text)

    def test_cwd_is_the_commands_and_init_pins_none(self):
        """dumb-init #210"""
        process = self.hold("--", "sh", "-c", "pwd; exec sleep 1000", cwd=self.dir)
        process.wait_for(f"{self.dir}\n")
        harness.wait_until(lambda: os.readlink(f"/proc/{process.pid}/cwd") == "/", "init in /")

    def test_environment_is_unchanged(self):
        env = {"A": "1", "EMPTY": "", "TINI_VERBOSITY": "1", "LISTEN_PIDX": "1", "Z": "a=b\nc",
               "LISTEN_PID": "999999999999", "LISTEN_FDS": "1", "PATH": os.environ["PATH"]}
        text = self.assert_status(0, "--", "env", "-0", env=env)
        self.assertEqual(dict(e.split("=", 1) for e in text.split("\0") if e), env)

    def listen(self, setup, script='echo "pid=$$ LP=$LISTEN_PID FD=$LISTEN_PIDFDID fds=$LISTEN_FDS"'):
        process = self.start("sh", "-c", f"{setup}; export LISTEN_PID LISTEN_PIDFDID=7 LISTEN_FDS=2; "
                             f'exec {self.holdfast} -- sh -c "$0"', script)
        self.assertEqual(process.wait(), 0)
        return dict(w.split("=") for w in process.text.split())

    def test_listen_pid_is_rewritten_for_the_command(self):
        """catatonit #13: sockets handed to init are the command's."""
        for setup in ("LISTEN_PID=$$", "LISTEN_PID=1"):
            got = self.listen(setup)
            self.assertEqual(got["LP"], got["pid"])
            self.assertEqual(got["fds"], "2")
            self.assertEqual(got["FD"], "")

    def test_listen_pid_of_another_stays(self):
        for setup in ("LISTEN_PID=2", "LISTEN_PID=x"):
            got = self.listen(setup)
            self.assertEqual(got["LP"], setup.split("=")[1])
            self.assertEqual(got["FD"], "7")

    def test_fds_are_the_commands_and_not_kept(self):
        read, write = os.pipe()
        try:
            process = self.hold("--", "sh", "-c", f"echo text >&{write}; exec {write}>&-; echo up; "
                                "exec sleep 1000", pass_fds=[write])
            os.close(write)
            process.wait_for("up")
            self.assertEqual(os.read(read, 100), b"text\n")
            # The command has closed its end: init must not hold the pipe open.
            ready, _, _ = select.select([read], [], [], harness.DEADLINE)
            self.assertTrue(ready)
            self.assertEqual(os.read(read, 100), b"")
            harness.wait_until(lambda: os.listdir(f"/proc/{process.pid}/fd") == ["2"], "fd 2 alone")
        finally:
            os.close(read)

    def test_closed_standard_fds_stay_closed(self):
        process = self.start("sh", "-c", f"exec {self.holdfast} -- sh -c 'for n in 0 1 2; do "
                             "[ ! -e /proc/$$/fd/$n ] || echo $n >&2; done; :' <&- >&-")
        self.assertEqual(process.wait(), 0)
        self.assertEqual(process.text.split(), ["2"])


class TestSignals(CommandCase):
    def test_faults_are_not_forwarded(self):
        """PID 1 is not reached by them; nor is the command."""
        if not harness.is_root():
            self.skipTest("needs root for a PID namespace")
        process = self.start(*NAMESPACE, self.holdfast, "--", self.sigecho, "-q", "15")
        process.wait_for("ready")
        init = harness.children(process.pid)[0]
        for number in (*FAULTS, signal.SIGCHLD):
            os.kill(init, number)
        os.kill(init, signal.SIGTERM)
        self.assertEqual(process.wait(), 0, process.text)
        self.assertEqual(process.text.split("\n")[1:], ["got 15", ""])

    def test_without_group_only_the_command_is_signalled(self):
        process, init = self.hold_echo(echo=["-c", "-q", "15"])
        os.kill(init, signal.SIGUSR1)
        process.wait_for("\ngot 10\n")
        os.kill(init, signal.SIGTERM)
        # The child of the command holds the pipe: it is still there, and heard nothing.
        harness.wait_until(lambda: process.child.poll() is not None, "holdfast to end")
        self.assertEqual(process.child.returncode, 0)
        self.assertNotIn("below-got", process.text)

    def test_tini_kill_process_group(self):
        process, init = self.hold_echo(echo=["-c", "-q", "15"],
                                       env={"TINI_KILL_PROCESS_GROUP": "", "DUMB_INIT_SETSID": "0"})
        os.kill(init, signal.SIGTERM)
        process.wait_for("below-got 15")
        self.assertEqual(process.wait(), 0)

    def test_eperm_is_survived(self):
        """tini dies when it may not signal its child: cap_drop ALL and a set-user-id command."""
        if not harness.is_root():
            self.skipTest("needs root to run as two users")
        process = self.start("setpriv", "--inh-caps=-kill", "--bounding-set=-kill", self.holdfast, "--",
                             "setpriv", "--reuid", "1001", "--clear-groups", self.sigecho)
        process.wait_for("ready ")
        process.send(signal.SIGUSR1)
        process.wait_for("cannot pass on USR1: Operation not permitted")
        process.send(signal.SIGUSR2)
        process.wait_for("cannot pass on USR2: Operation not permitted")
        os.kill(harness.children(process.pid)[0], signal.SIGKILL)
        self.assertEqual(process.wait(), 137)

    def test_stopped_command_has_not_ended(self):
        process = self.hold("--", "sh", "-c", "echo up; kill -STOP $$; exit 4")
        process.wait_for("up")
        child = harness.wait_until(lambda: harness.children(process.pid), "the command")[0]
        harness.wait_until(lambda: state_of(child) == "T", "the command to stop")
        process.send(signal.SIGCONT)
        self.assertEqual(process.wait(), 4)

    def test_parent_death_signal(self):
        process = self.start("sh", "-c", f"{self.holdfast} -p USR1 -- {self.sigecho} -q 10 & wait")
        process.wait_for("ready")
        process.send(signal.SIGKILL)
        process.wait_for("got 10")

    def test_parent_death_kill_takes_the_command_along(self):
        process = self.start("sh", "-c", f"{self.holdfast} -p SIGKILL -- {self.sigecho} & wait")
        process.wait_for("ready")
        process.send(signal.SIGKILL)
        # Its output ends when nobody is left to write.
        self.assertEqual(process.wait(), -9)


class TestSession(CommandCase):
    """DUMB_INIT_SETSID"""

    def test_default_is_an_own_group_in_the_same_session(self):
        process, _ = self.hold_echo()
        pid, group, session = (int(n) for n in process.text.split()[1:4])
        self.assertEqual((group, session), (pid, process.pid))

    def test_setsid_makes_a_session_and_signals_it(self):
        process, init = self.hold_echo(echo=["-c", "-q", "15"], env={"DUMB_INIT_SETSID": "1"})
        line = [l for l in process.text.splitlines() if l.startswith("ready")][0]
        pid, group, session = (int(n) for n in line.split()[1:])
        self.assertEqual((group, session), (pid, pid))
        os.kill(init, signal.SIGUSR1)
        process.wait_for("below-got 10").wait_for("\ngot 10")
        os.kill(init, signal.SIGTERM)
        self.assertEqual(process.wait(), 0)

    def test_setsid_0_leaves_it_in_our_group(self):
        process, _ = self.hold_echo(env={"DUMB_INIT_SETSID": "0"})
        self.assertEqual(int(process.text.split()[2]), process.pid)

    def test_setsid_terms_its_group_at_the_end(self):
        fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(fifo)
        process = self.hold("--", "sh", "-c", f"{self.sigecho} -q 15 & read x <{fifo}; exit 6",
                            env={**os.environ, "DUMB_INIT_SETSID": "1"})
        process.wait_for("ready")
        with open(fifo, "w", encoding="ascii") as f:
            f.write("\n")
        self.assertEqual(process.wait(), 6)
        self.assertIn("got 15", process.text)

    def test_terminal_stops_stop_session_and_init(self):
        """dumb-init: TSTP, TTIN and TTOU become STOP, and init stops with its session."""
        process, init = self.hold_echo(env={"DUMB_INIT_SETSID": "1"})
        child = harness.children(init)[0]
        for number in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            os.kill(init, number)
            harness.wait_until(lambda: state_of(child) == "T" and state_of(init) == "T", "both stopped")
            os.kill(init, signal.SIGCONT)
            harness.wait_until(lambda: state_of(child) != "T" and state_of(init) != "T", "both on")

    def test_terminal_stops_can_be_rewritten(self):
        process, init = self.hold_echo("-r", "TSTP:TERM", echo=["-q", "15"],
                                       env={"DUMB_INIT_SETSID": "1"})
        os.kill(init, signal.SIGTSTP)
        self.assertEqual(process.wait(), 0)


class TestVerbosity(CommandCase):
    def test_silent_by_default_and_subreaper_said_at_2(self):
        self.assertEqual(self.assert_status(0, "--", "true"), "")
        self.assertIn("became a subreaper",
                      self.assert_status(0, "--", "true", env={**os.environ, "TINI_VERBOSITY": "2"}))
        text = self.assert_status(0, "--", "true", env={**os.environ, "TINI_VERBOSITY": "3"})
        self.assertIn("holdfast: reaped pid", text)
        for odd in ("", "x", "99999999999999999999", "-1"):
            self.assertEqual(self.assert_status(0, "--", "true",
                                                env={**os.environ, "TINI_VERBOSITY": odd}), "")

    def test_tini_subreaper_as_pid_1(self):
        if not harness.is_root():
            self.skipTest("needs root for a PID namespace")
        process = self.start(*NAMESPACE, self.holdfast, "--", "sh", "-c", "exit 3",
                             env={**os.environ, "TINI_SUBREAPER": ""})
        self.assertEqual(process.wait(), 3)


class TestOwnLines(CommandCase):
    """What holdfast says must cost the command nothing."""

    def test_gone_reader_sends_the_command_no_pipe_signal(self):
        read, write = os.pipe()
        out_read, out_write = os.pipe()
        self.addCleanup(os.close, out_read)
        child = subprocess.Popen([self.holdfast, "--", self.sigecho, "-q", "15"], stdout=out_write,
                                 stderr=write, env={"TINI_VERBOSITY": "3"})
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        os.close(write)
        os.close(out_write)
        text = os.read(out_read, 100)
        os.close(read)
        child.send_signal(signal.SIGUSR1)
        while b"got 10" not in text:
            text += os.read(out_read, 100)
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(harness.DEADLINE), 0)
        while data := os.read(out_read, 100):
            text += data
        self.assertEqual(text.split(b"\n", 1)[1], b"got 10\ngot 15\n")

    def test_full_pipe_holds_nothing_up(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        os.set_blocking(write, True)
        child = subprocess.Popen([self.holdfast, "--", self.sigecho, "-q", "15"],
                                 stdout=subprocess.PIPE, stderr=write, env={"TINI_VERBOSITY": "3"})
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        os.close(write)
        self.assertIn(b"ready", child.stdout.readline())
        child.send_signal(signal.SIGUSR1)
        self.assertEqual(child.stdout.readline(), b"got 10\n")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(harness.DEADLINE), 0)


class TestWaitAll(CommandCase):
    def test_without_it_the_end_is_at_once(self):
        """As tini: what is left is the kernel's in a PID namespace."""
        if not harness.is_root():
            self.skipTest("needs root for a PID namespace")
        process = self.start(*NAMESPACE, self.holdfast, "--", "sh", "-c",
                             '(trap "" TERM; while :; do sleep 1000; done) & exit 3')
        self.assertEqual(process.wait(), 3)

    def test_nobody_left_no_wait(self):
        """s6-overlay #204: the full grace was waited although everything had exited."""
        start = time.monotonic()
        self.assert_status(3, "-w1000", "--", "sh", "-c", "(exit 0) & wait; exit 3")
        self.left_behind("echo up; exec sleep 1000", "-w1000").wait()
        self.assertLess(time.monotonic() - start, harness.DEADLINE)

    def test_grace_outlasts_the_first_exit(self):
        """s6-overlay #503: the grace ended at the first service's exit."""
        process = self.left_behind(f"sleep 1000 & exec {self.sigecho} -q 10", "-w60")
        process.wait_for("got 15\n")
        os.kill(process.pid, signal.SIGUSR1)
        self.assertEqual(process.wait(), 3)
        self.assertIn("got 10", process.text)

    def test_signals_in_the_grace_go_to_all_that_is_left(self):
        process = self.left_behind(f"exec setsid {self.sigecho} -q 12", "-w60", "-r", "USR1:USR2")
        process.wait_for("got 15\n")
        os.kill(process.pid, signal.SIGUSR1)
        self.assertEqual(process.wait(), 3)

    def test_stopped_processes_are_continued(self):
        process = self.left_behind("echo up; kill -STOP $(exec sh -c 'echo $PPID')", "-w60")
        self.assertEqual(process.wait(), 3)

    def test_grace_of_zero(self):
        process = self.left_behind(self.sigecho, "-w=0")
        self.assertEqual(process.wait(), 3)

    def test_many_generations_are_killed(self):
        script = "trap '' TERM; sh -c 'trap \"\" TERM; setsid sh -c \"echo up; sleep 1000; :\"; :'; :"
        process = self.left_behind(script, "-w1")
        self.assertEqual(process.wait(), 3)
        self.assert_nothing_left()

    def test_strangers_are_left_alone(self):
        """A subreaper never signals what is not below it."""
        stranger = self.start(self.sigecho)
        stranger.wait_for("ready")
        self.left_behind("echo up; exec sleep 1000", "-w5").wait()
        stranger.send(signal.SIGUSR1)
        stranger.wait_for("got 10")
        self.assertNotIn("got 15", stranger.text)

    def test_without_proc_the_group_is_signalled(self):
        if not harness.is_root():
            self.skipTest("needs root to hide /proc")
        process = self.start("unshare", "--mount", "sh", "-c",
                             "mount -t tmpfs t /proc && exec "
                             f"{self.holdfast} -w5 -- sh -c 'sleep 1000 & exit 3'")
        self.assertEqual(process.wait(), 3, process.text)
        self.assertEqual(process.text.count("/proc does not show what is left"), 1, process.text)

    def test_proc_of_another_namespace_is_not_believed(self):
        if not harness.is_root():
            self.skipTest("needs root for a PID namespace")
        process = self.start("unshare", "--pid", "--fork", "--kill-child", "--", "sh", "-c",
                             f"{self.holdfast} -w5 -- sh -c 'sleep 1000 & exit 3'; exit $?")
        self.assertEqual(process.wait(), 3, process.text)
        self.assertIn("/proc does not show what is left", process.text)


if __name__ == "__main__":
    harness.become_subreaper()
    # A shell that runs us in the background has us ignore these, and so whatever we start.
    for ignored in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_DFL)
    harness.main()
