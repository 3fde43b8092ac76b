#!/usr/bin/env python3
"""units/dist/dhcpcd.service: a host's network from a server that is as it should be, or is not.

Debian's dhcpcd runs in a tree of its own, on one end of a pair of virtual interfaces; the server on
the other one is tests/servers/dhcp.py.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import instance
import network
from servers import dhcp

DHCPCD = "/usr/sbin/dhcpcd"
UID = 64904
NET_BIND_SERVICE, NET_ADMIN, NET_RAW = 10, 12, 13
ONLINE = "[Unit]\nAfter=network-online.target\n[Service]\n"


def make_tree(folder):
    """What an image has for it beside holdfast: dhcpcd, the C library, holdfast-lease, the unit."""
    root = instance.make_tree(folder, harness.BIN)
    for name in ("usr/sbin", "usr/lib/holdfast/units", "var/lib/dhcpcd"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    shutil.copy(f"{harness.BIN}/holdfast-lease", f"{root}/usr/lib/holdfast")
    dist = f"{harness.ROOT}/units/dist"
    shutil.copy(f"{dist}/dhcpcd.conf", f"{root}/usr/lib/holdfast")
    shutil.copy(f"{dist}/dhcpcd.service", f"{root}/usr/lib/holdfast/units")
    shutil.copy(DHCPCD, f"{root}/usr/sbin")
    libraries = subprocess.run(["ldd", DHCPCD], check=True, capture_output=True, text=True).stdout
    for path in re.findall(r"(/\S+) \(0x", libraries):
        os.makedirs(os.path.dirname(f"{root}{path}"), exist_ok=True)
        shutil.copy(path, f"{root}{path}")
    return root


class Dhcp(instance.Case):
    """A server's network namespace (self.network) with the interface "server"."""

    def setUp(self):
        super().setUp()
        make_tree(self.dir)
        self.network = network.Network()
        self.addCleanup(self.network.close)
        self.server_side("ip", "link", "add", "server", "type", "veth", "peer", "name", "eth0")
        self.server_side("ip", "addr", "add", "192.0.2.1/24", "dev", "server")
        self.server_side("ip", "link", "set", "server", "up")
        self.server_side("ip", "addr", "add", "fe80::1/64", "dev", "server", "nodad")

    def server_side(self, *argv):
        self.network.run(subprocess.run, argv, check=True)

    def serve(self, **options):
        server = self.network.run(dhcp.Dhcp, "server", **options)
        self.addCleanup(server.close)
        return server

    def start(self, units=None, wanted=(), **options):
        """A host with the network's other end, which comes when it runs already."""
        host = self.instance(units or {}, ["dhcpcd.service", *wanted], rung=instance.EVERYTHING, **options)
        ours = os.readlink("/proc/self/ns/net")
        harness.wait_until(lambda: os.readlink(f"/proc/{host.init}/ns/net") != ours, "a network of its own")
        self.server_side("ip", "link", "set", "eth0", "netns", str(host.init))
        return host

    def ip(self, host, *argv):
        return json.loads(subprocess.run(["nsenter", "-t", str(host.init), "-n", "ip", "-j", *argv], check=True,
                                         capture_output=True, text=True).stdout)

    def addresses(self, host):
        return [a["local"] for a in self.ip(host, "addr", "show", "dev", "eth0")[0]["addr_info"]
                if a["scope"] == "global"]

    def wait_addresses(self, host, *wanted):
        return harness.wait_until(lambda: set(wanted) == set(self.addresses(host)), f"{wanted}: {host.text}")

    def resolv_conf(self, host):
        with open(f"/proc/{harness.resident(host.init)}/root/run/network/resolv.conf", encoding="utf-8") as f:
            return f.read()

    def daemon(self, host):
        """The pid of dhcpcd, as seen from here."""
        return harness.wait_until(lambda: harness.child_named(host.init, "dhcpcd"), "dhcpcd runs")

    def leases(self, host):
        host.pump()
        return host.events("lease")


class Good(Dhcp):

    def test_an_address_then_what_waits_for_it(self):
        server = self.serve(options={dhcp.DOMAIN: b"one.example"})
        host = self.start({"app.service": ONLINE + "ExecStart=/usr/bin/selfie\nType=oneshot\n"},
                          ["app.service"])
        host.wait_running()
        lines = host.text
        self.assertLess(lines.index('"event":"lease"'), lines.index('"argv":'))
        self.assertEqual(self.addresses(host), ["192.0.2.50"])
        self.assertEqual([r.get("gateway") for r in self.ip(host, "route", "show", "default")], ["192.0.2.1"])
        self.assertEqual(self.resolv_conf(host), "search one.example\nnameserver 192.0.2.53\n")
        self.assertEqual([kind for kind, _ in server.seen], [dhcp.DISCOVER, dhcp.REQUEST])
        status = json.loads(host.inside("/usr/lib/holdfast/holdfastctl", "status", "--json").stdout)
        self.assertIn("eth0: 192.0.2.50 by dhcp", json.dumps(status))
        self.assert_least_rights(self.daemon(host))
        self.assertEqual(host.stop(), 0)

    def assert_least_rights(self, pid):
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        self.assertEqual(set(status["Uid"].split()), {str(UID)})
        wanted = 1 << NET_BIND_SERVICE | 1 << NET_ADMIN | 1 << NET_RAW
        for name in ("CapEff", "CapBnd"):
            self.assertEqual(int(status[name], 16), wanted, name)

    def test_it_renews_outlives_its_daemon_and_takes_a_new_address_when_told(self):
        server = self.serve(lease=40, renewal=1)
        host = self.start()
        host.wait_running()
        server.renewal = 20
        harness.wait_until(lambda: server.seen.count((dhcp.REQUEST, "192.0.2.50")) >= 2, "it renews")
        # The daemon is killed: the address stays, and its successor asks for the same.
        before = len(server.seen)
        first = self.daemon(host)
        server.renewal = 1
        os.kill(first, signal.SIGKILL)
        harness.wait_until(lambda: self.daemon(host) not in (None, first) or
                           self.fail_without_address(host), "another daemon")
        harness.wait_until(lambda: (dhcp.REQUEST, "192.0.2.50") in server.seen[before:] or
                           self.fail_without_address(host), "it asks for its address")
        self.assertNotIn((dhcp.DISCOVER, "192.0.2.50"), server.seen[before:])
        self.assertEqual(self.resolv_conf(host), "nameserver 192.0.2.53\n")
        # The server has another address for it from now on, and says so when it renews.
        server.address, server.options[dhcp.DNS] = "192.0.2.51", dhcp.ip("192.0.2.54")
        self.wait_addresses(host, "192.0.2.51")
        harness.wait_until(lambda: self.resolv_conf(host) == "nameserver 192.0.2.54\n", "new name servers")
        self.assertEqual(host.stop(), 0)

    def test_a_server_that_dies_takes_nothing_with_it(self):
        server = self.serve(lease=60, renewal=1)
        host = self.start()
        host.wait_running()
        server.answers = False
        before = len(server.seen)
        harness.wait_until(lambda: len(server.seen) > before or self.fail_without_address(host), "it asks in vain")
        server.answers = True
        before = len(host.events("lease"))
        harness.wait_until(lambda: len(self.leases(host)) > before or self.fail_without_address(host), "it has renewed")
        self.assertEqual(self.resolv_conf(host), "nameserver 192.0.2.53\n")
        self.assertEqual(host.stop(), 0)

    def fail_without_address(self, host):
        self.assertEqual(self.addresses(host), ["192.0.2.50"])

    def test_router_advertisements_alone(self):
        with open(f"{self.dir}/root/usr/lib/holdfast/dhcpcd.conf", "a", encoding="utf-8") as f:
            f.write("env network_wait=ipv6\n")
        host = self.start()

        def is_there():
            self.network.run(dhcp.advertise, "server")
            return self.leases(host)
        harness.wait_until(is_there, "an address by advertisement", step=0.2)
        host.wait_running()
        self.assertEqual([a[:10] for a in self.addresses(host)], ["2001:db8:5"])
        self.assertEqual(self.resolv_conf(host), "search six.example\nnameserver 2001:db8:5::53\n")
        self.assertEqual(host.stop(), 0)


class Bad(Dhcp):

    def test_no_server_ends_the_host_aloud(self):
        drop_in = "[Unit]\nStartLimitBurst=2\n[Service]\nTimeoutStartSec=1\nRestartSec=0\n"
        host = self.start({"dhcpcd.service.d/fast.conf": drop_in,
                           "app.service": ONLINE + "ExecStart=/usr/bin/selfie\n"}, ["app.service"])
        self.assertNotEqual(host.wait(), 0)
        self.assertIn("dhcpcd.service", host.text)
        self.assertNotIn('"argv":', host.text)
        self.assertIn("timeout", host.text)

    def test_hostile_answers_stay_words_of_resolv_conf(self):
        self.serve(options={
            dhcp.DOMAIN: b"a.example\nnameserver 6.6.6.6\x1b[2J $(reboot) b.example",
            dhcp.SEARCH: dhcp.names(b"c.example", b"d\noptions debug.example", b"e;f.example", b"g\x00h.example"),
            dhcp.DNS: b"".join(dhcp.ip(f"198.51.100.{n}") for n in range(20)),
            dhcp.MTU: b"\xff\xff",
            dhcp.HOSTNAME: b"`reboot`;x",
        })
        host = self.start()
        host.wait_running()
        for line in self.resolv_conf(host).splitlines():
            self.assertRegex(line, r"^(search [a-z.-]+( [a-z.-]+)*|nameserver 198\.51\.100\.\d+)$")
        self.assertEqual(self.resolv_conf(host).count("nameserver"), 3)
        self.assertLessEqual(self.ip(host, "link", "show", "dev", "eth0")[0]["mtu"], 1500)
        self.assertEqual(host.stop(), 0)


if __name__ == "__main__":
    harness.main()
