#!/usr/bin/env python3
"""Command mode at a terminal: whose the foreground is, who gets what the keys send, and who has it in the end."""
import contextlib
import os
import pty
import select
import signal
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
from command import NAMESPACE, CommandCase


class Terminal:
    """A command on a pseudo-terminal of its own, in a session of its own."""

    def __init__(self, argv, env=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(argv[0], argv, env or os.environ)
            finally:
                os._exit(99)
        attributes = termios.tcgetattr(self.fd)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(self.fd, termios.TCSANOW, attributes)
        self.output = ""
        self.status = None

    def read(self, deadline):
        ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise harness.Timeout(f"the terminal shows:\n{self.output}")
        try:
            data = os.read(self.fd, 4096)
        except OSError:
            data = b""
        self.output += data.decode(errors="replace").replace("\r", "")
        return data != b""

    def wait_for(self, needle):
        deadline = time.monotonic() + harness.DEADLINE
        while needle not in self.output:
            if not self.read(deadline):
                raise harness.Timeout(f"no {needle!r} in:\n{self.output}")

    def wait(self):
        deadline = time.monotonic() + harness.DEADLINE
        while self.read(deadline):
            pass
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def type(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        if self.status is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        os.close(self.fd)


class TestTerminal(CommandCase):
    def terminal(self, *argv, env=None):
        terminal = Terminal([str(a) for a in argv], env)
        self.addCleanup(terminal.close)
        return terminal

    def stat(self, *argv, env=None):
        """{pid, group, session, tty, foreground} of a `cat` at the end of argv."""
        terminal = self.terminal(*argv, "cat", "/proc/self/stat", env=env)
        self.assertEqual(terminal.wait(), 0, terminal.output)
        fields = terminal.output.rsplit(")", 1)[1].split()
        pid = int(terminal.output.split(" (")[0].split()[-1])
        return {"pid": pid, "group": int(fields[2]), "session": int(fields[3]), "tty": int(fields[4]),
                "foreground": int(fields[5]), "init": terminal.pid}

    def test_command_gets_the_foreground(self):
        """tini #21"""
        got = self.stat(self.holdfast, "--")
        self.assertEqual(got["group"], got["pid"])
        self.assertEqual(got["foreground"], got["pid"])
        self.assertEqual(got["session"], got["init"])
        self.assertNotEqual(got["tty"], 0)

    def test_nested_inits_pass_it_on(self):
        got = self.stat(self.holdfast, "--", self.holdfast, "-g", "--")
        self.assertEqual(got["foreground"], got["pid"])

    def test_foreground_in_a_namespace(self):
        if not harness.is_root():
            self.skipTest("needs root for a PID namespace")
        got = self.stat(*NAMESPACE, self.holdfast, "--")
        self.assertEqual((got["group"], got["foreground"]), (got["pid"], got["pid"]))

    def test_interrupt_key_is_one_signal(self):
        """Not one from the terminal and a second one passed on."""
        terminal = self.terminal(self.holdfast, "--", self.sigecho, "-q", "15")
        terminal.wait_for("ready")
        terminal.type("\x03")
        terminal.wait_for("got 2\n")
        os.kill(terminal.pid, signal.SIGTERM)
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.output.count("got 2\n"), 1)

    def test_background_job_takes_nothing_away(self):
        """tini does."""
        terminal = self.terminal("sh", "-mc", f"{self.holdfast} -- cat /proc/self/stat & wait; echo done")
        terminal.wait_for("done")
        fields = terminal.output.rsplit(")", 1)[1].split()
        self.assertNotEqual(fields[2], fields[5])

    def test_terminal_is_given_back(self):
        """tini leaves a dead foreground group: the script's read would fail or stop it."""
        terminal = self.terminal("sh", "-c", f"{self.holdfast} -- true; read x; echo \"read $x\"")
        terminal.type("hello\n")
        terminal.wait_for("read hello")
        self.assertEqual(terminal.wait(), 0)

    def test_setsid_gets_the_controlling_terminal(self):
        """dumb-init: the child's session takes the terminal that we let go."""
        got = self.stat(self.holdfast, "--", env={**os.environ, "DUMB_INIT_SETSID": "1"})
        self.assertEqual((got["session"], got["group"], got["foreground"]), (got["pid"],) * 3)
        self.assertNotEqual(got["tty"], 0)

    def test_setsid_hangs_nobody_up(self):
        """dumb-init #136: letting go of the terminal sends HUP and CONT; they are not the command's."""
        terminal = self.terminal(self.holdfast, "--", self.sigecho, "-q", "15",
                                 env={**os.environ, "DUMB_INIT_SETSID": "1"})
        terminal.wait_for("ready")
        os.kill(terminal.pid, signal.SIGUSR1)
        terminal.wait_for("got 10")
        os.kill(terminal.pid, signal.SIGHUP)
        terminal.wait_for("got 1\n")
        os.kill(terminal.pid, signal.SIGTERM)
        self.assertEqual(terminal.wait(), 0)
        lines = terminal.output.split("ready", 1)[1].splitlines()[1:]
        self.assertEqual(lines, ["got 10", "got 1", "got 15"])

    def test_interactive_shell_has_job_control(self):
        for env in ({}, {"DUMB_INIT_SETSID": "1"}):
            terminal = self.terminal(self.holdfast, "--", "bash", "--norc", "-i",
                                     env={**os.environ, "PS1": "> ", **env})
            terminal.wait_for("> ")
            terminal.type("sleep 1000 & jobs -l | grep -c Running; kill %1; exit 4\n")
            terminal.wait_for("\n1\n")
            self.assertEqual(terminal.wait(), 4)
            self.assertNotIn("no job control", terminal.output)

    def test_terminal_of_another_session_is_no_error(self):
        """ENOTTY and ENXIO: a terminal as stdin that is not ours to hand over."""
        master, slave = pty.openpty()
        try:
            self.assert_status(8, "--", "sh", "-c", "exit 8", stdin=slave)
            os.close(master)
            master = -1
            self.assert_status(8, "--", "sh", "-c", "exit 8", stdin=slave)
        finally:
            os.close(slave)
            if master >= 0:
                os.close(master)


if __name__ == "__main__":
    harness.become_subreaper()
    # A shell that runs us in the background has us ignore these, and so whatever we start.
    for ignored in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_DFL)
    harness.main()
