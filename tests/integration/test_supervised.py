#!/usr/bin/env python3
"""-g -e -r -p -w of a command that runs under the supervisor: each does what it says, or is refused."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

ECHO = f"{harness.APPS}/sigecho"
# A shell that is not PID 1 starts holdfast: its death is a parent's.
BELOW_A_PARENT = ("sh", "-c", 'sh -c "echo parent; \\"\\$0\\" \\"\\$@\\" & wait" "$0" "$@"; wait; '
                              'exec sleep 1000')


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Supervised(instance.Case):
    def run_command(self, options, *command, **more):
        run = instance.Instance(self.dir, {}, [], options=[
            f"--health=127.0.0.1:{harness.free_port()}", *options, "--", *command], **more)
        self.addCleanup(run.close)
        return run

    def test_rewrite_says_by_which_signal_it_is_stopped(self):
        run = self.run_command(["-r", "TERM:QUIT"], ECHO, "-q", str(int(signal.SIGQUIT)))
        run.wait_for("ready ")
        self.assertEqual(run.stop(), 0, run.text)
        self.assertIn("got 3\n", run.text)
        self.assertNotIn("got 15\n", run.text)

    def test_what_cannot_be_rewritten_is_refused(self):
        for options in (["-r", "INT:QUIT"], ["-r", "TERM:0"], ["-p", "HUP"]):
            with self.subTest(options=options):
                run = self.run_command(options, ECHO)
                self.assertEqual(run.wait(), 64, run.text)
                self.assertIn("supervised command", run.text)

    def test_what_is_not_the_commands_is_plain_text_and_only_what_is_serious(self):
        run = self.run_command([], *self.service("-e", "0").split())
        self.assertEqual(run.wait(), 0)
        self.assertIn("holdfast: root: writable", run.text)
        for line in run.text.splitlines():
            self.assertRegex(line, "^holdfast: ")

    def test_group_is_told_once(self):
        for options in ([], ["-g"]):
            with self.subTest(options=options):
                run = self.run_command([*options, "--stop-timeout", "3"], ECHO, "-c", "-q", "64")
                run.wait_for("below ")
                run.wait_for("ready ")
                self.assertEqual(run.stop(), 137, run.text)
                self.assertEqual(run.text.count("below-got 15\n"), 1, run.text)
                self.assertEqual(run.text.count("\ngot 15\n"), 1, run.text)

    def test_remap(self):
        for options, status in (([], 143), (["-e", "143"], 0)):
            with self.subTest(options=options):
                run = self.run_command(options, f"{harness.APPS}/idle")
                run.member("idle")
                self.assertEqual(run.stop(), status, run.text)

    def start_below_a_parent(self, signal_name):
        run = self.run_command(["-p", signal_name], *self.service().split(), wrap=BELOW_A_PARENT)
        self.wait_notes("service start")
        parent = harness.children(run.init)[0]
        holdfast = harness.child_named(parent, "holdfast")
        command = harness.child_named(holdfast, "service")
        os.kill(parent, signal.SIGKILL)
        return command

    def test_pdeathsig_stops_it_in_order(self):
        self.start_below_a_parent("TERM")
        self.wait_notes("service stop")
        self.assertEqual(self.notes(), ["service start", "service stop"])

    def test_pdeathsig_kill_takes_the_command_along(self):
        command = self.start_below_a_parent("KILL")
        harness.wait_until(lambda: is_gone(command), "the command is gone")
        self.assertEqual(self.notes(), ["service start"])

    def test_wait_all_gives_what_is_left_its_seconds(self):
        start = time.monotonic()
        run = self.run_command(["-w=3"], *self.service("-t", "-d", f"{self.dir}/pid").split())
        self.assertEqual(run.wait(), 0, run.text)
        self.assertGreater(time.monotonic() - start, 3)
        self.assertIn("service ignored", self.notes())


if __name__ == "__main__":
    harness.main()
