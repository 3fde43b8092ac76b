#!/usr/bin/env python3
"""The death of the supervisor at every named place: services do not notice.

One set of units passes every place of the supervisor's sources that has a name. At each of these the
supervisor is killed the first, the second and the third time that it comes there. What is asserted:
every service was started and stopped exactly once, by its own notes; the instance came up and ended
with status 0.
"""
import glob
import os
import re
import signal
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

CRASH_BIN = f"{harness.ROOT}/build/crash/bin"
STATES = re.compile(r'X\(\w+, "([\w-]+)", "\w+"\)')
PHASES = ["starting", "running", "draining", "stopping", "stopped"]
PASSINGS = 3
# Not passed by this set of units: what a command after the stop leaves behind and that ignores TERM
# is test_manager's, the end that a unit's failure brings is test_recovery_scenes'.
ELSEWHERE = {"delivery-spawned", "change-signalled", "final-sigkill", "cause-told"}


def crash_points():
    """Every place in the supervisor that has a name, and the states and phases that stand for
    themselves."""
    names = set()
    for path in glob.glob(f"{harness.ROOT}/supervisor/*.c"):
        with open(path, encoding="utf-8") as f:
            names.update(re.findall(r'CRASH_POINT\("([\w-]+)"\)', f.read()))
    with open(f"{harness.ROOT}/lib/board.h", encoding="utf-8") as f:
        states = STATES.findall(f.read())
    return sorted(names | set(states) | set(PHASES))


class Recovery(instance.Case):
    """All types, commands before and after, a restart, a limit and what it sets off, units that
    others pull in, a bound one, a socket."""

    ONCE = sorted([
        "bound start", "bound stop", "child start", "forking start", "forking stop",
        "forking-after run", "forking-if run", "forking-pre run", "forking-stop run", "needed start", "needed stop",
        "needed-too start", "needed-too stop", "notify start", "notify stop", "notify-post run",
        "oneshot-a run", "oneshot-b run", "rescue run", "simple start", "simple stop",
        "socketed start", "socketed stop"])
    OFTEN = ("again run", "child child", "child ignored")
    WANTED = ["again.service", "bound.service", "child.service", "forking.service", "listen.socket",
              "notify.service", "oneshot.service", "simple.service"]

    def units(self):
        pid_file = f"{self.dir}/daemon.pid"
        secret = self.write("secret", "planted-value\n", 0o600)
        return {
            "simple.service": "[Unit]\nRequires=needed.service\nAfter=needed.service\n"
                              f"[Service]\nExecStart={self.service(word='simple')}\n"
                              f"[X-Holdfast]\nSecretFile=token file:{secret}\nDrainSec=10ms\n",
            "needed.service": "[Unit]\nWants=needed-too.service\n[Service]\nType=exec\n"
                              f"ExecStart={self.service(word='needed')}\n",
            "needed-too.service": f"[Service]\nExecStart={self.service(word='needed-too')}\n",
            "notify.service": "[Unit]\nAfter=simple.service\n"
                              f"[Service]\nType=notify\nWatchdogSec=30\n"
                              f"ExecStart={self.service('-n', '-p', '5', word='notify')}\n"
                              f"ExecStartPost={self.service('-e', '0', word='notify-post')}\n",
            "bound.service": "[Unit]\nBindsTo=notify.service\nAfter=notify.service\n"
                             f"[Service]\nExecStart={self.service(word='bound')}\n",
            "forking.service": f"[Service]\nType=forking\nPIDFile={pid_file}\n"
                               f"ExecCondition={self.service('-e', '0', word='forking-if')}\n"
                               f"ExecStartPre={self.service('-e', '0', word='forking-pre')}\n"
                               f"ExecStart={self.service('-d', pid_file, word='forking')}\n"
                               f"ExecStop={self.service('-e', '0', word='forking-stop')}\n"
                               f"ExecStopPost={self.service('-e', '0', word='forking-after')}\n",
            "oneshot.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
                               f"ExecStart={self.service('-e', '0', word='oneshot-a')}\n"
                               f"ExecStart={self.service('-e', '0', word='oneshot-b')}\n",
            "child.service": f"[Service]\nExecStart={self.service('-c', '-t', word='child')}\n"
                             "TimeoutStopSec=50ms\n[X-Holdfast]\nEssential=no\n",
            "again.service": "[Unit]\nStartLimitBurst=2\nOnFailure=rescue.service\n"
                             "[Service]\nType=oneshot\nRestart=on-failure\n"
                             f"RestartSec=10ms\nExecStart={self.service('-e', '1', word='again')}\n"
                             "[X-Holdfast]\nEssential=no\n",
            "rescue.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
                              f"ExecStart={self.service('-e', '0', word='rescue')}\n",
            "listen.socket": f"[Socket]\nListenStream={self.dir}/listen\n",
            "listen.service": f"[Service]\nExecStart={self.service(word='socketed')}\n",
        }

    def run_with(self, crash=None):
        env = {"HOLDFAST_CRASH": crash} if crash else {}
        for path in (self.notes_path, f"{self.dir}/listen", f"{self.dir}/daemon.pid"):
            if os.path.exists(path):
                os.unlink(path)
        with instance.Instance(self.dir, self.units(), self.WANTED, env=env,
                               bin_dir=CRASH_BIN) as running:
            running.wait_running()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{self.dir}/listen")
                for note in ("socketed start", "rescue run", "child child"):
                    harness.wait_until(lambda n=note: n in self.notes(), f"{note}: {running.text}")
                os.kill(running.init, signal.SIGTERM)
                status = running.wait()
            text = running.text
        self.assertEqual(status, 0, text)
        self.assertEqual(sorted(n for n in self.notes() if n not in self.OFTEN), self.ONCE, text)
        self.assertEqual(self.notes("again"), ["again run"] * 2, text)
        self.assertNotIn("illegal-transition", text)

    def test_without_a_crash(self):
        self.run_with()

    def kill_at_the(self, nth):
        passed = set()
        for name in crash_points():
            with self.subTest(point=name, passing=nth):
                marker = f"{self.dir}/marker-{name}"
                self.run_with(crash=f"{name}:{nth}:{marker}")
                if os.path.exists(marker):
                    passed.add(name)
        return passed

    def test_each_point_at_its_first_passing(self):
        # A point that no run passes proves nothing.
        self.assertEqual(set(crash_points()) - self.kill_at_the(1), ELSEWHERE)

    def test_each_point_at_its_second_passing(self):
        self.assertGreater(len(self.kill_at_the(2)), len(crash_points()) // 2)

    def test_each_point_at_its_third_passing(self):
        self.assertGreater(len(self.kill_at_the(PASSINGS)), len(crash_points()) // 3)


if __name__ == "__main__":
    harness.main()
