#!/usr/bin/env python3
"""holdfast's own processes are killed at random, for as long as CHAOS_SECONDS says (`make soak`: long).

Meanwhile services write numbered lines, feed watchdogs, end and are started again. Asserted: no line
is missing by its number and none is doubled but with the seq that it had; whoever was not killed
itself was started once; whoever was, once more for each time. CHAOS_SEED repeats a run.
"""
import contextlib
import json
import os
import random
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

SECONDS = float(os.environ.get("CHAOS_SECONDS", "8"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
TELLER = f"{harness.APPS}/teller"
CRASH_BIN = f"{harness.ROOT}/build/crash/bin"
TELLERS = {"quick": 500, "slow": 7000, "both": 1000}
LINE = re.compile(r"^(\w+) (end )?(\d+)$")
CALM = 0.05  # longer than the crash flavour's CALM_US: then a death counts afresh


def age(pid):
    """Seconds that the process has lived, or 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            ticks = int(f.read().rsplit(")", 1)[1].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    with open("/proc/uptime", encoding="ascii") as f:
        return float(f.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


class Chaos(instance.Case):
    def units(self):
        units = {f"{word}.service": f"[Service]\nExecStart={TELLER} {interval} {word}\n"
                 for word, interval in TELLERS.items()}
        units["victim.service"] = ("[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\n"
                                   "WatchdogSec=20\nRestart=always\nRestartSec=1ms\n"
                                   f"ExecStart={self.service('-n', '-p', '3', word='victim')}\n")
        units["bound.service"] = ("[Unit]\nBindsTo=victim.service\nAfter=victim.service\n"
                                  "StartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=1ms\n"
                                  f"ExecStart={self.service(word='bound')}\n")
        units["looper.service"] = ("[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\n"
                                   "RestartSec=30ms\n"
                                   f"ExecStart={self.service('-e', '0', word='looper')}\n")
        return units

    def kill_own(self, run, rng):
        name = rng.choice(("holdfast-supervisor", "holdfast-supervisor", "holdfast-log",
                           "holdfast-health"))
        def find():
            # A child that has not come to its exec yet has the supervisor's name, too.
            pid = harness.child_named(run.init, name)
            return pid if pid and age(pid) > CALM else None
        with contextlib.suppress(ProcessLookupError):
            os.kill(harness.wait_until(find, f"{name} lives for a while"), signal.SIGKILL)

    def kill_victim(self, run, starts):
        """Only one that is surely up: or a death could come before its note."""
        run.kill(signal.SIGKILL, self.pids("victim start")[-1])
        for word in ("victim", "bound"):
            harness.wait_until(lambda w=word: self.notes().count(f"{w} start") == starts + 1,
                               f"{word} came back")

    def pids(self, note):
        with open(self.notes_path, encoding="utf-8") as f:
            return [line.split()[2] for line in f if line.startswith(f"{note} ")]

    def check_lines(self, text):
        seen = {word: {} for word in TELLERS}
        ends = {}
        for line in text.splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue  # torn by a death; it comes again
            found = LINE.match(value.get("msg", "")) if isinstance(value, dict) else None
            if not found or found[1] not in TELLERS:
                continue
            seq = value.get("holdfast", value).get("seq")
            if found[2]:
                ends[found[1]] = int(found[3])
                continue
            self.assertEqual(seen[found[1]].setdefault(int(found[3]), seq), seq, line)
        self.assertEqual(set(ends), set(TELLERS))
        for word, numbers in seen.items():
            missing = set(range(1, ends[word] + 1)) - set(numbers)
            self.assertEqual(sorted(missing)[:10], [], f"{word}: {len(missing)} of {ends[word]}")

    def test_kills_at_random(self):
        rng = random.Random(SEED)
        print(f"CHAOS_SEED={SEED}")
        run = self.instance(self.units(), sorted(self.units()), bin_dir=CRASH_BIN, health=True)
        run.wait_running()
        harness.wait_until(lambda: self.notes().count("bound start") == 1, "they run")
        starts, end, kills = 1, time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            self.kill_own(run, rng)
            kills += 1
            if rng.random() < 0.2:
                self.kill_victim(run, starts)
                starts += 1
            if rng.random() < 0.1:
                os.kill(run.init, signal.SIGHUP)
            run.pump()
        print(f"{kills} deaths, {starts - 1} restarts")
        self.assertGreater(kills, SECONDS)
        looped = self.notes().count("looper run")
        harness.wait_until(lambda: self.notes().count("looper run") > looped, "it goes on")
        status = run.stop()
        self.assertEqual(status, 0, run.text[-4000:])
        self.check_lines(run.text)
        self.assertNotIn("log-dropped", run.text)
        self.assertNotIn("illegal-transition", run.text)
        self.assertEqual(self.notes().count("victim start"), starts)
        self.assertEqual(self.notes().count("victim stop"), 1)
        self.assertEqual(self.notes().count("bound start"), starts)
        for word in TELLERS:
            self.assertEqual(len([e for e in run.events("unit-up")
                                  if e.get("unit") == f"{word}.service"]), 1)


if __name__ == "__main__":
    harness.main()
