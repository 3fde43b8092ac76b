#!/usr/bin/env python3
"""A machine that knows nothing but how to ask: its address from a DHCP server (QEMU's own), who it is and its
credentials from a metadata service (IMDSv2), and with those its secret from AWS over TLS."""
import os
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import qemu
from qemu import harness, initramfs, kernel
sys.path.insert(0, f"{qemu.ROOT}/tests/integration")
import test_dhcp
from servers.aws import Aws, Parameter
from servers.pki import Authority

ADDRESS, HOST, METADATA = "169.254.169.15", "169.254.169.2", "169.254.169.254"
MODULES = (*qemu.MODULES, "virtio_net")
VALUE = "s3cret-of-blue-Kae7Oovo"
UNIT = """[Service]
ExecStart=/usr/bin/witness DB LEVEL /etc/resolv.conf
[X-Holdfast]
Secret=DB ssm:/shop/${STAGE}/db
Config=LEVEL ssm:/shop/${STAGE}/level
"""
# It waits for no network: it needs none.
FREE = "[Service]\nEnvironment=FREE=yes\nExecStart=/usr/bin/witness FREE\n"
CONF = """[Holdfast]
Units=dhcpcd.service app.service free.service
LogFormat=json
[Health]
Listen=:9180
[Identity]
STAGE=imds:tags/instance/STAGE
[Secrets]
Region=eu-central-1
CaBundle=/etc/ssl/ca.pem
EndpointUrlSsm=https://HOST:PORT
FetchTimeoutSec=60
"""


def fnv(text):
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 % (1 << 64)
    return f"{value:016x}"


class Network(qemu.Case):

    def setUp(self):
        super().setUp()
        self.authority = Authority(f"{self.dir}/pki")
        self.aws = Aws(self.authority, certificate=self.authority.issue("aws", f"IP:{HOST}"))
        self.addCleanup(self.aws.close)
        self.aws.pages = {"/latest/meta-data/tags/instance/STAGE": "blue"}
        self.aws.parameters = {"/shop/blue/db": [Parameter(VALUE, "SecureString")],
                               "/shop/blue/level": [Parameter("debug")]}
        self.port = harness.free_port()

    def make_disk(self):
        root = test_dhcp.make_tree(self.dir)
        shutil.copy(f"{harness.BIN}/holdfast-secrets-remote", f"{root}/usr/lib/holdfast")
        shutil.copy(f"{harness.APPS}/witness", f"{root}/usr/bin")
        subprocess.run([f"{qemu.ROOT}/images/remote", root, f"{harness.BIN}/holdfast-secrets-remote"], check=True)
        os.makedirs(f"{root}/etc/ssl", exist_ok=True)
        shutil.copy(self.authority.ca, f"{root}/etc/ssl/ca.pem")
        os.symlink("/run/resolv.conf", f"{root}/etc/resolv.conf")
        port = str(self.aws.api.server_address[1])
        for path, text in (("holdfast.conf", CONF.replace("HOST", HOST).replace("PORT", port)),
                           ("units/app.service", UNIT), ("units/free.service", FREE)):
            with open(f"{root}/etc/holdfast/{path}", "w", encoding="utf-8") as f:
                f.write(text)
        return qemu.Disk(f"{self.dir}/disk", root, size=64 << 20)

    def boot(self):
        disk = self.make_disk()
        path = f"{self.dir}/initrd"
        with open(path, "wb") as f:
            f.write(initramfs.build(kernel.find().modules, MODULES, cmdline=disk.words()))
        metadata = self.aws.metadata.server_address[1]
        net = (f"user,id=n,net=169.254.169.0/24,host={HOST},dns=169.254.169.3,dhcpstart={ADDRESS},"
               f"hostfwd=tcp:127.0.0.1:{self.port}-:9180,"
               f"guestfwd=tcp:{METADATA}:80-cmd:{harness.APPS}/relay {metadata}")
        return self.machine(path, [disk.path], more=("-netdev", net, "-device", "virtio-net-device,netdev=n"))

    def get(self, path):
        with socket.create_connection(("127.0.0.1", self.port), qemu.DEADLINE) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: client.recv(1 << 16), b"")).decode()

    def said(self, machine, word, count):
        """All messages so far, once there is the last of them."""
        machine.pump()
        said = [e["msg"] for e in machine.events() if "msg" in e]
        return said if said.count(word) >= count else None

    def test_an_address_an_identity_credentials_and_a_secret(self):
        machine = self.boot()
        machine.wait_for("the instance is running", qemu.DEADLINE)
        # What services say may come behind what the supervisor says of them, and a line in parts.
        said = harness.wait_until(lambda: self.said(machine, "told", 2), "both have told", qemu.DEADLINE)
        self.assertIn(f"digest DB {fnv(VALUE)}", said)
        self.assertIn(f"digest LEVEL {fnv('debug')}", said)
        self.assertIn("file /etc/resolv.conf nameserver 169.254.169.3", said)
        self.assertNotIn(VALUE, machine.text)
        self.assertIn(ADDRESS, [e["address"] for e in machine.events("lease")])
        # Who needs no network did not wait for it.
        self.assertLess(said.index(f"digest FREE {fnv('yes')}"), said.index(f"digest DB {fnv(VALUE)}"))
        self.assertEqual(self.aws.metadata_calls.count("GET /latest/meta-data/tags/instance/STAGE"), 1)
        self.assertTrue(any("security-credentials" in call for call in self.aws.metadata_calls))
        # From outside.
        self.assertTrue(self.get("/readyz").startswith("HTTP/1.1 200"))
        self.assertNotIn(VALUE, self.get("/metrics"))

    def test_one_that_nobody_knows_says_so_and_ends(self):
        del self.aws.pages["/latest/meta-data/tags/instance/STAGE"]
        machine = self.boot()
        text = machine.wait_off()
        self.assertIn("the instance ends with status 78", text)
        missing = machine.events("identity-missing")[0]["msg"]
        self.assertIn("holdfast.conf:7: [Identity] STAGE=imds:tags/instance/STAGE cannot be had; "
                      "/etc/holdfast/units/app.service:4 needs it for ssm:/shop/${STAGE}/db", missing)
        self.assertNotIn("digest DB", text)


if __name__ == "__main__":
    harness.main()
