#!/usr/bin/env python3
"""The demo's disk as `make run QEMU=1` boots it: UEFI firmware, the unified kernel image, the initramfs,
the proven root, holdfast, its units with their secret, asked from outside, and a clean end."""
import json
import os
import re
import signal
import subprocess
import sys
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

DEADLINE = 240  # firmware, kernel and image without KVM, on a machine that does much else


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


@unittest.skipUnless(harness.is_root(), "making an image needs root")
class Disk(harness.Case):
    def setUp(self):
        super().setUp()
        harness.make("build/image/demo.squashfs", "build/image/demo.raw")

    def assert_in_order(self, text, *parts):
        at = 0
        for part in parts:
            found = text.find(part, at)
            self.assertGreaterEqual(found, 0, f"no {part!r} behind the one before it in:\n{text}")
            at = found + len(part)

    def test_it_serves_with_its_secret_and_ends_on_ctrl_c(self):
        run = self.start(f"{harness.ROOT}/images/machine")
        run.wait_for("/health -> 200", deadline=DEADLINE)
        urls = dict(re.findall(r"images/machine: (\w+) +(http://\S+)", run.text))
        self.assertEqual(get(urls["health"])["status"], "pass")
        # Through nginx, which runs by its distribution's unit, to the one that has the secret.
        self.assertEqual(get(urls["nginx"] + "api/")["database_password_bytes"], 32)
        (qemu,) = harness.children(run.pid)
        with open(f"/proc/{qemu}/cmdline", encoding="ascii") as f:
            self.assertNotRegex(f.read(), r"[0-9a-f]{32}")
        run.send(signal.SIGINT)
        self.assertEqual(run.wait(DEADLINE), 0, run.text)
        self.assert_in_order(run.text, "proven by its root hash", '"name":"root","level":"full"',
                             '"phase":"running"', "pressing Ctrl-Alt-Delete", '"phase":"draining"',
                             '"phase":"stopped"', "the machine is off")

    def test_make_run_with_a_time_and_no_terminal_ends_by_itself(self):
        done = subprocess.run(["make", "-s", "run", "QEMU=1", "RUN_SECONDS=0.1"], cwd=harness.ROOT,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("/health -> 200", done.stdout)
        self.assertIn("the machine is off", done.stdout)


if __name__ == "__main__":
    harness.main()
