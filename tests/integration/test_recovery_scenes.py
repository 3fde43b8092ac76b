#!/usr/bin/env python3
"""The death of the supervisor in the middle of something: what happens while it is dead, too.

A supervisor that is stopped (SIGSTOP) hears nothing, as a dead one does; so a test stops it, lets
things happen, kills it, and looks at what its successor makes of them. Where the moment must be
exact, a crash point stops it there (lib/crash.h).
"""
import os
import signal
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

CRASH_BIN = f"{harness.ROOT}/build/crash/bin"
NOT_ESSENTIAL = "[X-Holdfast]\nEssential=no\n"


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


class Scene(instance.Case):
    def crash(self, units, wanted, spec, **options):
        """An instance whose supervisor dies (or, with +, stops) at a named place."""
        return self.instance(units, wanted, bin_dir=CRASH_BIN,
                             env={"HOLDFAST_CRASH": f"{spec}{self.dir}/marker"}, **options)

    def begin_anew(self):
        for path in (self.notes_path, f"{self.dir}/marker"):
            if os.path.exists(path):
                os.unlink(path)

    def freeze(self, run):
        pid = run.member("holdfast-supervisor")
        os.kill(pid, signal.SIGSTOP)
        harness.wait_until(lambda: is_stopped(pid), "it is stopped")
        return pid

    def await_frozen(self, run):
        harness.wait_until(lambda: os.path.exists(f"{self.dir}/marker"), f"it came there: {run.text}")
        pid = run.member("holdfast-supervisor")
        harness.wait_until(lambda: is_stopped(pid), "it is stopped")
        return pid

    def replace(self, run, pid):
        os.kill(pid, signal.SIGKILL)
        harness.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "it is gone")
        run.wait_for("supervisor-adopted")

    def pid_of(self, word, nth=0):
        """The pid, in the instance, of the nth process that noted "word start"."""
        with open(self.notes_path, encoding="utf-8") as f:
            return [line.split()[2] for line in f if line.startswith(f"{word} start ")][nth]

    def signal_inside(self, run, number, pid):
        run.kill(getattr(signal, f"SIG{number}"), pid)

    def await_note(self, note, count=1):
        harness.wait_until(lambda: self.notes().count(note) == count, f"{count} × {note}")


class WhileItIsDead(Scene):
    def test_ready_sent_while_it_is_dead_counts(self):
        units = {"a.service": "[Service]\nType=notify\nTimeoutStartSec=60\n"
                              f"ExecStart={self.service('-r', word='a')}\n",
                 "b.service": "[Unit]\nAfter=a.service\nRequires=a.service\n[Service]\n"
                              f"ExecStart={self.service(word='b')}\n"}
        run = self.instance(units, sorted(units))
        self.await_note("a start")
        pid = self.freeze(run)
        self.signal_inside(run, "USR1", self.pid_of("a"))
        self.await_note("a usr1")
        self.replace(run, pid)
        self.await_note("b start")
        self.assertEqual(run.stop(), 0)
        self.assertEqual(sorted(self.notes()), ["a start", "a stop", "a usr1", "b start", "b stop"])

    def test_an_end_while_it_is_dead_is_not_missed(self):
        units = {"a.service": f"[Service]\nRestart=always\nRestartSec=1ms\n"
                              f"ExecStart={self.service(word='a')}\n",
                 "b.service": f"[Service]\nExecStart={self.service(word='b')}\n"}
        run = self.instance(units, sorted(units))
        run.wait_running()
        self.await_note("a start")
        pid = self.freeze(run)
        self.signal_inside(run, "TERM", self.pid_of("a"))
        self.await_note("a stop")
        self.replace(run, pid)
        self.await_note("a start", 2)
        self.assertEqual(run.stop(), 0)
        self.assertEqual(self.notes("b"), ["b start", "b stop"])

    def test_the_end_of_an_essential_unit_while_it_is_dead_ends_the_instance(self):
        units = {"a.service": f"[Service]\nExecStart={self.service(word='a')}\n"}
        run = self.instance(units, ["a.service"])
        run.wait_running()
        self.await_note("a start")
        pid = self.freeze(run)
        self.signal_inside(run, "KILL", self.pid_of("a"))
        self.replace(run, pid)
        self.assertEqual(run.wait(), 137)

    def test_a_stop_asked_for_while_it_is_dead_stops(self):
        units = {"a.service": f"[Service]\nExecStart={self.service(word='a')}\n"}
        run = self.instance(units, ["a.service"])
        run.wait_running()
        self.await_note("a start")
        pid = self.freeze(run)
        os.kill(run.init, signal.SIGTERM)
        run.wait_for("was received")
        self.replace(run, pid)
        self.assertEqual(run.wait(), 0)
        self.assertEqual(self.notes(), ["a start", "a stop"])

    def test_a_stop_asked_for_before_it_ever_ran_starts_nothing(self):
        units = {"a.service": f"[Service]\nExecStart={self.service(word='a')}\n"}
        run = self.crash(units, ["a.service"], "adopt-before:1:+")
        pid = self.await_frozen(run)
        os.kill(run.init, signal.SIGTERM)
        run.wait_for("was received")
        os.kill(pid, signal.SIGCONT)
        self.assertEqual(run.wait(), 0)
        self.assertEqual(self.notes(), [])

    def test_a_connection_while_it_is_dead_starts_the_service(self):
        units = {"a.socket": f"[Socket]\nListenStream={self.dir}/sock\n",
                 "a.service": f"[Service]\nExecStart={self.service(word='a')}\n"}
        run = self.instance(units, ["a.socket"])
        run.wait_running()
        pid = self.freeze(run)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{self.dir}/sock")
            self.replace(run, pid)
            self.await_note("a start")
        self.assertEqual(run.stop(), 0)

    def test_a_watchdog_that_is_fed_does_not_bite_and_one_that_is_not_does(self):
        units = {"fed.service": "[Service]\nType=notify\nWatchdogSec=2s\n"
                                f"ExecStart={self.service('-n', '-p', '20', word='fed')}\n",
                 "starved.service": "[Unit]\nStartLimitBurst=1\n[Service]\nType=notify\n"
                                    "WatchdogSec=500ms\nRestart=on-watchdog\nRestartSec=1ms\n"
                                    f"ExecStart={self.service('-n', '-w', word='starved')}\n"
                                    f"{NOT_ESSENTIAL}"}
        run = self.instance(units, sorted(units))
        run.wait_running()
        self.replace(run, self.freeze(run))
        run.wait_for("no WATCHDOG=1 came in time").wait_for("start-limit-hit")
        self.assertEqual(self.notes("fed"), ["fed start"])
        self.assertEqual([e["unit"] for e in run.events("watchdog")], ["starved.service"])
        self.assertEqual(run.stop(), 0)

    def test_a_hung_one_is_found_and_replaced(self):
        units = {"a.service": f"[Service]\nExecStart={self.service(word='a')}\n"}
        run = self.instance(units, ["a.service"])
        run.wait_running()
        self.freeze(run)
        os.kill(run.init, signal.SIGHUP)
        run.wait_for("supervisor-hung").wait_for("supervisor-adopted").wait_for("signal-ignored")
        self.assertEqual(run.stop(), 0)
        self.assertEqual(self.notes(), ["a start", "a stop"])


class InTheMiddle(Scene):
    def test_what_a_unit_requires_is_started_although_the_goals_were_half_set(self):
        units = {"a.service": "[Unit]\nRequires=b.service\nAfter=b.service\n"
                              f"[Service]\nExecStart={self.service(word='a')}\n",
                 "b.service": "[Unit]\nWants=c.service\nAfter=c.service\n"
                              f"[Service]\nExecStart={self.service(word='b')}\n",
                 "c.service": f"[Service]\nType=oneshot\nRemainAfterExit=yes\n"
                              f"ExecStart={self.service('-e', '0', word='c')}\n"}
        units["x.service"] = ("[Unit]\nOnFailure=a.service\n[Service]\n"
                              f"ExecStart={self.service('-e', '1', word='x')}\n{NOT_ESSENTIAL}")
        units["y.service"] = f"[Service]\nExecStart={self.service(word='y')}\n"
        for nth in (1, 2, 3, 4, 5):
            with self.subTest(nth=nth):
                self.begin_anew()
                run = self.crash(units, ["x.service", "y.service"], f"goal-set:{nth}:")
                for note in ("x run", "a start", "b start"):
                    self.await_note(note)
                self.assertEqual(run.stop(), 0)
                self.assertEqual(sorted(self.notes()), ["a start", "a stop", "b start", "b stop",
                                                        "c run", "x run", "y start", "y stop"])
                self.assertTrue(os.path.exists(f"{self.dir}/marker"))

    def test_what_a_service_leaves_behind_is_found_when_it_was_just_spawned(self):
        for kind, options in (("notify", ["-n"]), ("simple", [])):
            with self.subTest(kind=kind):
                self.begin_anew()
                units = {"a.service": f"[Service]\nType={kind}\nRestart=always\nRestartSec=1ms\n"
                                      "TimeoutStopSec=100ms\n"
                                      f"ExecStart={self.service(*options, '-c', word='a')}\n"
                                      f"{NOT_ESSENTIAL}"}
                run = self.crash(units, ["a.service"], "spawn-cloned:1:")
                run.wait_running()
                self.await_note("a child")
                self.signal_inside(run, "KILL", self.pid_of("a"))
                self.await_note("a child", 2)
                left = [p for p in harness.descendants(run.init)
                        if harness.program_of(p) == instance.SERVICE]
                self.assertEqual(len(left), 2, run.text)
                self.assertEqual(run.stop(), 0)

    def test_what_it_had_to_say_is_said_by_its_successor(self):
        units = {"a.service": f"[Service]\nExecStart={self.service(word='a')}\n"}
        run = self.crash(units, ["a.service"], "spawn-cloned:1:")
        run.wait_running()
        said = [e.get("phase") for e in run.events("phase") + run.events("supervisor-adopted")]
        self.assertEqual(said, ["starting", "running", "starting"])
        self.assertLess(run.text.index('"event":"phase"'), run.text.index("supervisor-adopted"))
        self.await_note("a start")
        self.assertEqual(run.stop(), 0)

    def test_a_stop_signal_is_not_sent_again_by_each_successor(self):
        units = {"a.service": "[Service]\nTimeoutStopSec=60\n"
                              f"ExecStart={self.service('-t', word='a')}\n"}
        run = self.instance(units, ["a.service"], options=["--stop-timeout", "4"])
        run.wait_running()
        self.await_note("a start")
        os.kill(run.init, signal.SIGTERM)
        self.await_note("a ignored")
        for _ in range(2):
            start = len(run.output)
            os.kill(run.member("holdfast-supervisor"), signal.SIGKILL)
            run.wait_for("supervisor-adopted", start=start)
        self.assertEqual(run.wait(), 137)
        self.assertEqual(self.notes(), ["a start", "a ignored"])

    def test_a_stop_in_progress_goes_on_in_order(self):
        units = {"a.service": "[Service]\nType=notify\n"
                              f"ExecStart={self.service('-n', word='a')}\n"
                              f"ExecStop={self.service('-e', '0', word='a-stop')}\n"
                              f"ExecStopPost={self.service('-e', '0', word='a-after')}\n",
                 "b.service": "[Unit]\nBindsTo=a.service\nAfter=a.service\n[Service]\nType=notify\n"
                              f"ExecStart={self.service('-n', word='b')}\n",
                 "c.service": "[Unit]\nBindsTo=b.service\nAfter=b.service\n[Service]\nType=notify\n"
                              f"ExecStart={self.service('-n', word='c')}\n"}
        for point in ("stop", "stop-sigterm", "stop-post", "final-sigterm", "inactive",
                      "kill-before", "kill-after", "exit-slot-cleared", "cleaned-up"):
            with self.subTest(point=point):
                self.begin_anew()
                run = self.crash(units, sorted(units), f"{point}:2:")
                run.wait_running()
                self.assertEqual(run.stop(), 0)
                self.assertEqual(self.notes(), ["a start", "b start", "c start", "c stop", "b stop",
                                                "a-stop run", "a stop", "a-after run"])

    def test_the_cause_of_the_end_survives(self):
        for point in ("cause-told", "phase-published", "stopping", "stopped"):
            with self.subTest(point=point):
                marker = f"{self.dir}/marker"
                if os.path.exists(marker):
                    os.unlink(marker)
                units = {"a.service": f"[Service]\nExecStart={self.service('-e', '7')}\n",
                         "b.service": f"[Service]\nExecStart={self.service(word='b')}\n"}
                run = self.crash(units, sorted(units), f"{point}:1:")
                self.assertEqual(run.wait(), 7)
                self.assertTrue(os.path.exists(marker))
                self.assertIn('"type":"dump"', run.text)

    def test_a_loop_of_restarts_is_counted_across_deaths(self):
        for point in ("restart-due", "auto-restart", "published", "spawn-cloned", "journal-applied"):
            with self.subTest(point=point):
                self.begin_anew()
                units = {"a.service": "[Unit]\nStartLimitBurst=4\nStartLimitIntervalSec=60\n"
                                      "[Service]\nRestart=always\nRestartSec=1ms\n"
                                      f"ExecStart={self.service('-e', '3', word='a')}\n"}
                run = self.crash(units, ["a.service"], f"{point}:3:")
                self.assertNotEqual(run.wait(), 0)
                self.assertEqual(self.notes(), ["a run"] * 4)
                self.assertTrue(os.path.exists(f"{self.dir}/marker"))

    def test_a_forking_service_that_ended_well_keeps_its_result(self):
        units = {"a.service": f"[Service]\nType=forking\nPIDFile={self.dir}/a.pid\n"
                              f"ExecStart={self.service('-d', self.dir + '/a.pid', word='a')}\n"
                              f"[X-Holdfast]\nEssential=no\n",
                 "b.service": f"[Service]\nExecStart={self.service(word='b')}\n"}
        run = self.crash(units, sorted(units), "pid-adopted:1:+")
        pid = self.await_frozen(run)
        self.await_note("a start")
        self.signal_inside(run, "TERM", self.pid_of("a"))
        self.await_note("a stop")
        harness.wait_until(lambda: not any(
            os.readlink(f"/proc/{p}/exe") == instance.SERVICE and "a.pid" in
            open(f"/proc/{p}/cmdline", encoding="utf-8").read()
            for p in harness.descendants(run.init) if os.path.exists(f"/proc/{p}/exe")), "it is gone")
        self.replace(run, pid)
        run.wait_for("a.service is down")
        self.assertNotIn("protocol", run.text)
        self.assertEqual(run.stop(), 0)

    def test_ready_and_the_end_at_once_are_heard_in_order(self):
        """READY=1 arrives after the notifications were drained and before the exits are read."""
        units = {"a.service": "[Service]\nType=notify\nRemainAfterExit=yes\n"
                              f"ExecStart={self.service('-n', word='a')}\n",
                 "b.service": "[Service]\nType=notify\nNotifyAccess=all\nTimeoutStartSec=60\n"
                              f"ExecStart={self.service('-r', word='b')}\n"}
        run = self.crash(units, sorted(units), "notify-drained:2:+")
        pid = self.await_frozen(run)
        self.await_note("b start")
        self.signal_inside(run, "USR1", self.pid_of("b"))
        self.await_note("b usr1")
        self.signal_inside(run, "TERM", self.pid_of("b"))
        self.await_note("b stop")
        harness.wait_until(lambda: run.here(self.pid_of("b")) is None,
                           "b is reaped")
        os.kill(pid, signal.SIGCONT)
        run.wait()
        self.assertNotIn("protocol", run.text)


if __name__ == "__main__":
    harness.main()
