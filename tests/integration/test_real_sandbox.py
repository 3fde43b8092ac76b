#!/usr/bin/env python3
"""Services that people run, at real work in their sandboxes: with Debian's own unit files, which get
what cannot break them, and once more strict, by a drop-in of three words. Each process of each has
the filter, and nothing that it was refused stands in anybody's log."""
import contextlib
import hashlib
import json
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import debian
import harness
from machine import Machine

UNITS = ("nginx.service", "php8.2-fpm.service", "redis-server.service", "node.service",
         "postgresql@15-main.service")
SCRATCH = ("[Scratch]\n/tmp=size=16M,mode=1777\n/var/log=size=16M\n/var/lib/nginx=size=16M\n"
           "/var/lib/redis=size=16M\n")
# What the kernel's refusals are called in logs.
REFUSED = re.compile(r"(?i)not permitted|not implemented|EPERM|ENOSYS|permission denied|bad system call")
SQL = ("CREATE TABLE t (k int PRIMARY KEY, v text)",
       "INSERT INTO t SELECT i, repeat('x', i % 10) FROM generate_series(1, 5000) i",
       "CREATE INDEX ON t (v)", "ANALYZE t",
       "SET force_parallel_mode = on")


@unittest.skipUnless(harness.is_root(), "namespaces and mounts need root")
class Sandboxed(harness.Case):
    def machine(self, conf):
        data = f"{self.dir}/data"
        harness.Process(["cp", "-a", f"{debian.tree()}/var/lib/postgresql", data]).wait()
        machine = Machine(self.dir, UNITS, conf + SCRATCH,
                          ["--bind", f"{data}:/var/lib/postgresql"])
        self.addCleanup(machine.close)
        return machine.wait_running()

    def work(self, machine):
        self.assertEqual(machine.get(80, "/hello"), (200, "hello from nginx\n"))
        self.assertEqual(machine.get(80, "/work.php"),
                         (200, f"{hashlib.sha256(b'x').hexdigest()} kept +PONG"))
        self.assertEqual(machine.talk(6379, b"SET a hello\r\nGET a\r\nBGSAVE\r\nQUIT\r\n"),
                         b"+OK\r\n$5\r\nhello\r\n+Background saving started\r\n+OK\r\n")
        self.work_node(machine)
        self.assertEqual(machine.sql(*SQL, "SELECT count(*), sum(length(v)) FROM t", uid=986),
                         "5000|22500\n")

    def work_node(self, machine):
        def ask():
            try:
                return machine.get(3000, "/work")
            except OSError:
                return None
        status, body = harness.wait_until(ask, "node answers")
        self.assertEqual(status, 200, body)
        wanted = hashlib.sha256(b"hello from nginx\n").hexdigest()
        self.assertEqual(json.loads(body)["sums"], [wanted] * 3)

    def processes(self, machine, unit):
        """What the kernel says of the unit's processes, as dicts."""
        found, main = [], machine.main_pid(unit)
        for pid in (main, *harness.descendants(main)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                 open(f"/proc/{pid}/status", encoding="utf-8") as f:
                found.append(dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line))
        return found

    def dumped(self, machine):
        text = machine.run("/usr/lib/holdfast/holdfastctl", "dump")
        lines = [json.loads(line) for line in text.splitlines()]
        return {line["unit"]: line for line in lines if line["type"] == "unit"}

    def assert_held(self, machine, levels):
        dumped = self.dumped(machine)
        for unit, level in levels.items():
            self.assertEqual((dumped[unit]["sandbox"], dumped[unit]["filtered"]), (level, True), unit)
            for status in self.processes(machine, unit):
                with self.subTest(unit=unit, name=status["Name"]):
                    self.assertEqual((status["Seccomp"], status["Seccomp_filters"]), ("2", "1"))
                    self.assertEqual(status["NoNewPrivs"], str(int(dumped[unit]["no_new_privs"])))
                    if level == "strict":
                        self.assertEqual(status["NoNewPrivs"], "1")
                        self.assertEqual(int(status["CapBnd"], 16) & ~0x405fb, 0)

    def assert_nothing_refused(self, machine):
        texts = [machine.text]
        for path in ("nginx/error.log", "php8.2-fpm.log", "redis/redis-server.log",
                     "postgresql/postgresql-15-main.log"):
            with open(machine.path(f"/var/log/{path}"), encoding="utf-8", errors="replace") as f:
                texts.append(f.read())
        refused = [line for text in texts for line in text.splitlines() if REFUSED.search(line)]
        self.assertEqual([line for line in refused if "setup-weakened" not in line], [])

    def live(self, conf, levels):
        machine = self.machine(conf)
        self.work(machine)
        self.assert_held(machine, levels)
        self.assert_nothing_refused(machine)
        self.assertEqual(machine.stop(), 0, machine.text)
        self.assertEqual(machine.events("unit-killing"), [])

    def test_with_debians_unit_files(self):
        self.live("", {unit: "strict" if unit == "node.service" else "unit" for unit in UNITS})

    def test_strict(self):
        self.live(f"UnitPath={debian.STRICT_FOLDER}\n", {unit: "strict" for unit in UNITS})


if __name__ == "__main__":
    harness.main()
