#!/usr/bin/env python3
"""holdfastctl and holdfast-explain on whole instances: alive, stuck, and ended in each way."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

CTL = f"{harness.BIN}/holdfastctl"
EXPLAIN = f"{harness.ASAN_BIN}/holdfast-explain"
OWN = ("holdfast-supervisor", "holdfast-log", "holdfast-health")


class InstanceCtl(instance.Case):
    def running(self):
        whole = self.instance({"web.service": "[Service]\nExecStart=/bin/sh -c 'echo hello; exec sleep 1000'\n"},
                              ["web.service"], health=True)
        whole.wait_running().wait_for('"msg":"hello"')
        return whole

    def ctl(self, whole, *arguments):
        done = whole.inside(CTL, *arguments)
        return done.returncode, done.stdout.decode()

    def test_a_running_instance(self):
        whole = self.running()
        code, text = self.ctl(whole, "status", "--json")
        status = json.loads(text)
        self.assertEqual((code, status["phase"], status["units"][0]["state"]), (0, "running", "running"))
        self.assertEqual(self.ctl(whole, "probe"), (0, ""))
        self.assertEqual(self.ctl(whole, "probe", "--live"), (0, ""))
        lines = [json.loads(line) for line in self.ctl(whole, "dump")[1].splitlines()]
        self.assertEqual([l["msg"] for l in lines if l["type"] == "log"], ["hello"])
        self.assertEqual([l["unit"] for l in lines if l["type"] == "process" and "unit" in l], ["web.service"])
        self.assertEqual(lines[-1]["lines"], len(lines))
        self.assertEqual(whole.stop(), 0)

    def test_with_all_of_holdfast_stopped(self):
        whole = self.running()
        stopped = [whole.init] + [whole.member(name) for name in OWN]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            code, text = self.ctl(whole, "dump")
            lines = [json.loads(line) for line in text.splitlines()]
            self.assertEqual((code, lines[-1]), (0, {"type": "end", "lines": len(lines)}))
            self.assertIn("hello", [l.get("msg") for l in lines])
            self.assertEqual(self.ctl(whole, "status")[0], 0)
            self.assertEqual(whole.inside(CTL, "probe", "--timeout", "200ms").returncode, 1)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        self.assertEqual(whole.stop(), 0)

    def explained(self, units, wanted, **options):
        whole = self.instance(units, wanted, **options)
        self.assertNotEqual(whole.wait(), 0)
        done = subprocess.run([EXPLAIN], input=whole.text, capture_output=True, text=True, check=False, timeout=harness.DEADLINE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + whole.text)
        return done.stdout

    def test_each_real_end_is_explained_from_the_output(self):
        cases = [
            ("ExecStart=/bin/sh -c 'echo last words >&2; exit 3'", ["First: web.service exited with status 3.", "last words",
                                                                     "because web.service, which is essential, failed"]),
            ("ExecStart=/bin/sh -c 'kill -SEGV $$$$'", ["killed by SIGSEGV (11)", "It crashed"]),
            ("ExecStart=/bin/sh -c 'kill -KILL $$$$'", ["killed by SIGKILL (9)"]),
            ("ExecStart=/bin/sh -c 'kill -SYS $$$$'", ["killed by a filter of system calls (SIGSYS)"]),
            ("ExecStart=/nonexistent/program", ["/nonexistent/program"]),
            ("ExecStart=/bin/sleep 100\nUser=nosuchuser", ["nosuchuser"]),
            ("Type=notify\nTimeoutStartSec=300ms\nExecStart=/bin/sleep 100", ["did not come up in time"]),
            ("Type=notify\nExecStart=/bin/true", ["ended before it was ready"]),
            ("WatchdogSec=200ms\nExecStart=/bin/sleep 100", ["no WATCHDOG=1 came within"]),
            ("Restart=always\nRestartSec=1ms\nStartLimitBurst=3\nExecStart=/bin/sh -c 'exit 5'", ["restarted too often", "exited with status 5"]),
        ]
        for service, says in cases:
            with self.subTest(service=service):
                text = self.explained({"web.service": f"[Service]\n{service}\n"}, ["web.service"])
                self.assertTrue(text.startswith("First: "), text)
                for sentence in says:
                    self.assertIn(sentence, text)

    def test_a_filters_victim_is_told_as_one(self):
        whole = self.instance({"web.service": "[Service]\nExecStart=/bin/sleep 100\n",
                               "victim.service": "[Service]\nExecStart=/bin/sh -c 'kill -SYS $$$$'\n[X-Holdfast]\nEssential=no\n"},
                              ["web.service", "victim.service"])
        whole.wait_running().wait_for('"event":"unit-failed"')
        self.assertIn("(SIGSYS: a filter of system calls)", whole.text)
        self.assertIn("it was killed by a filter of system calls", self.ctl(whole, "status")[1])
        self.assertEqual(whole.stop(), 0)

    def test_bad_configuration_is_explained(self):
        text = self.explained({"web.service": "[Service]\nExecStart=/bin/true\nRestart=sometimes\n"}, ["web.service"])
        self.assertIn("First: holdfast refused to start", text)
        self.assertIn("web.service:3", text)

    def test_the_first_of_several_comes_first(self):
        text = self.explained({
            "db.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo no space; exit 9'\n",
            "web.service": "[Unit]\nRequires=db.service\nAfter=db.service\n[Service]\nExecStart=/bin/sleep 100\n"}, ["web.service"])
        self.assertTrue(text.startswith("First: db.service exited with status 9."), text)
        self.assertIn("no space", text)
        self.assertIn("Because of it web.service was not started.", text)


if __name__ == "__main__":
    harness.main()
