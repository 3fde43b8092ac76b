#!/usr/bin/env python3
"""The disk of images/build on a machine with UEFI firmware: OVMF, the unified kernel image, the
initramfs, the proven root, holdfast, its units, and /health asked from outside. One boot."""
import json
import os
import shutil
import socket
import subprocess
import sys
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd"
DEADLINE = 240  # firmware, kernel and image without KVM, on a machine that does much else
NETWORK = "\n[Network]\nAddress=eth0 10.0.2.15/24\n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@unittest.skipUnless(harness.is_root(), "making an image needs root")
class Disk(harness.Case):
    def make(self):
        """The demo as a machine: nginx alone, since the API's secret comes from a runtime."""
        harness.make("build/image/demo.squashfs", "build/release/bin/holdfast-initramfs")
        shutil.copytree(f"{harness.ROOT}/images/demo", f"{self.dir}/demo")
        conf = "demo/root/etc/holdfast/holdfast.conf"
        with open(f"{self.dir}/{conf}", encoding="utf-8") as f:
            text = f.read().replace("Units=nginx.service api.service", "Units=nginx.service")
        self.write(conf, text + NETWORK)
        subprocess.run([f"{harness.ROOT}/images/build", "--image", f"{self.dir}/demo", "--only",
                        "disk", "--to", f"{self.dir}/to"], check=True, stdout=subprocess.DEVNULL)
        return f"{self.dir}/to/demo.raw"

    def boot(self, disk, port):
        return self.start(
            "qemu-system-x86_64", "-M", "q35", "-cpu", "max", "-m", "512", "-accel", "tcg",
            "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}",
            "-drive", f"if=pflash,format=raw,snapshot=on,file={VARIABLES}",
            "-drive", f"if=none,id=d,format=raw,readonly=on,file={disk}",
            "-device", "virtio-blk-pci,drive=d",
            "-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:9180",
            "-device", "virtio-net-pci,netdev=n,romfile=")

    def test_it_boots_proves_its_root_and_is_healthy(self):
        port = free_port()
        machine = self.boot(self.make(), port)
        machine.wait_for('"event":"root-mounted"', deadline=DEADLINE)
        machine.wait_for('"phase":"running"', deadline=DEADLINE)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
                self.assertEqual(json.load(answer)["status"], "pass")
        except OSError as error:
            self.fail(f"{error}\n{machine.text}")


if __name__ == "__main__":
    harness.main()
