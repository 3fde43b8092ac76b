#!/usr/bin/env python3
"""The demo's disk as `make run QEMU=1` boots it: UEFI firmware, the unified kernel image, the initramfs,
the proven root, holdfast, its units with their secret, asked from outside, and a clean end."""
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import qemu

KEYS = "/usr/share/ovmf"  # Debian's, which everybody has
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

    def make_cloud_demo(self):
        """The demo as a cloud's machine would have it: its address by DHCP."""
        shutil.copytree(f"{harness.ROOT}/images/demo", f"{self.dir}/demo")
        conf = f"{self.dir}/demo/root/etc/holdfast/holdfast.conf"
        with open(conf, encoding="utf-8") as f:
            text = f.read().partition("[Network]")[0].replace("\nUnits=", "\nUnits=dhcpcd.service ")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(text)
        return f"{self.dir}/demo"

    def test_secure_boot_runs_what_is_signed_and_nothing_else(self):
        self.write("passphrase", "snakeoil\n")
        done = subprocess.run(
            [f"{harness.ROOT}/images/build", "--image", self.make_cloud_demo(), "--only", "disk", "--to", f"{self.dir}/to",
             "--sign-key", f"{KEYS}/PkKek-1-snakeoil.key", "--sign-passphrase", f"{self.dir}/passphrase",
             "--sign-certificate", f"{KEYS}/PkKek-1-snakeoil.pem"], check=False, text=True,
            capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        # Its signature is good until a bit of the initramfs changes, which names the root's hash.
        signed = f"{self.dir}/to/demo.raw"
        with open(signed, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.find(b"holdfast.roothash=") + len(b"holdfast.roothash=")
        run = self.start_secure(signed, "--seconds", "0.1")
        self.assertEqual(run.wait(DEADLINE), 0, run.text)
        self.assert_in_order(run.text, "Secure boot enabled", "read-only and proven by its root hash",
                             "eth0 by dhcp: 10.0.2.15", "/health -> 200")
        qemu.damage(signed, at, 1)
        for disk in (signed, f"{harness.ROOT}/build/image/demo.raw"):
            with self.subTest(disk), self.start_secure(disk) as refused:
                refused.wait_for("Access Denied", deadline=DEADLINE)

    def start_secure(self, disk, *options):
        return self.start(f"{harness.ROOT}/images/machine", "--disk", disk, *options, "--secure-boot",
                          "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd")


if __name__ == "__main__":
    harness.main()
