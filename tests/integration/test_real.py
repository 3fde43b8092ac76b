#!/usr/bin/env python3
"""Services that people run, with Debian's packages and their own, unmodified unit files, on a
read-only machine of their own: they come up, answer, keep running while the supervisor is killed,
come back where their unit says so, and end in their own way."""
import os
import re
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import debian
import harness
from machine import Machine

SCRATCH = "[Scratch]\n/tmp=size=16M\n/var/log=size=16M\n"
# For those whose own tools come in to ask.
COME_IN = "[Holdfast]\nShells=warn\n"
# The directives that docs/directives.md says are said aloud, in any section.
SAID = "said aloud"


def said_aloud():
    with open(f"{harness.ROOT}/docs/directives.md", encoding="utf-8") as f:
        return set(re.findall(rf"^\| (\w+) \| (\w+)= \|.*{SAID}", f.read(), re.M))


def can_lower_oom_score():
    """Needs CAP_SYS_RESOURCE, number 24, which not every root has."""
    with open("/proc/self/status", encoding="utf-8") as f:
        return int(re.search(r"CapEff:\t(\w+)", f.read())[1], 16) >> 24 & 1


def is_off(value):
    return value.strip().lower() in ("", "no", "false", "off", "0", "n", "f")


def expected_warnings(unit):
    """(file, line, key) of what the unit's own file asks and docs/directives.md calls said aloud."""
    name = re.sub(r"@[^.]+\.", "@.", unit)
    path, section, known = f"{debian.UNITS}/{name}", None, said_aloud()
    if not os.path.exists(f"{debian.TREE}{path}"):
        return set()
    with open(f"{debian.TREE}{path}", encoding="utf-8") as f:
        found = set()
        for number, line in enumerate(f, 1):
            if line.startswith("["):
                section = line.strip("[]\n")
            key, equals, value = line.partition("=")
            if equals and (section, key.strip()) in known and not is_off(value):
                found.add((path, number, key.strip()))
        return found


@unittest.skipUnless(harness.is_root(), "namespaces and mounts need root")
class RealCase(harness.Case):
    def machine(self, *wanted, conf=SCRATCH, options=()):
        machine = Machine(self.dir, wanted, conf, options)
        self.addCleanup(machine.close)
        return machine.wait_running()

    def assert_warned(self, machine, *units, beside=()):
        """Each directive that is not honoured was said at its line, and nothing else but what has
        a text of beside in it."""
        said = {(e.get("file"), e.get("line"), e["msg"].split("=")[0])
                for e in machine.events("config-warning")
                if not any(text in e["msg"] for text in beside)}
        self.assertEqual(said, set().union(*map(expected_warnings, units)))

    def assert_survives_supervisor(self, machine, units, probe):
        """kill -9 of the supervisor: no process of a service is another one afterwards."""
        before = {unit: machine.main_pid(unit) for unit in units}
        old = machine.supervisor()
        os.kill(old, signal.SIGKILL)
        machine.wait_event("supervisor-adopted")
        probe(machine)
        self.assertEqual({unit: machine.main_pid(unit) for unit in units}, before)
        self.assertEqual(machine.events("process-ended"), [])

    def assert_comes_back(self, machine, unit, probe):
        """kill -9 of the service itself."""
        old = machine.main_pid(unit)
        os.kill(old, signal.SIGKILL)
        machine.wait_event("unit-restarting", unit)
        machine.wait_event("unit-up", unit, 2)
        probe(machine)
        self.assertNotEqual(machine.main_pid(unit), old)

    def assert_ends_with_it(self, machine, unit):
        """kill -9 of a service whose unit has no Restart=: the instance ends, as it is essential."""
        os.kill(machine.main_pid(unit), signal.SIGKILL)
        self.assertEqual(machine.wait(), 128 + signal.SIGKILL)

    def assert_stops(self, machine):
        self.assertEqual(machine.stop(), 0, machine.text)
        self.assertEqual(machine.events("unit-killing"), [], machine.text)

    def log_of(self, machine, path):
        f = open(machine.path(path), encoding="utf-8", errors="replace")
        self.addCleanup(f.close)
        return f


class Nginx(RealCase):
    """forking, PIDFile=, ExecStartPre=, ExecStop= with start-stop-daemon, KillMode=mixed."""

    def probe(self, machine):
        self.assertEqual(machine.get(80, "/hello"), (200, "hello from nginx\n"))

    def test_nginx(self):
        machine = self.machine("nginx.service", conf=SCRATCH + "/var/lib/nginx=size=16M\n")
        self.probe(machine)
        self.assert_warned(machine, "nginx.service")
        self.assert_survives_supervisor(machine, ["nginx.service"], self.probe)
        self.assert_stops(machine)

    def test_what_is_under_way_is_finished(self):
        machine = self.machine("nginx.service", conf=SCRATCH + "/var/lib/nginx=size=16M\n")
        with machine.connect(80) as connection:
            connection.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            answer = connection.recv(1000)
            os.kill(machine.init, signal.SIGTERM)
            while data := connection.recv(65536):
                answer += data
        self.assertEqual(len(answer.partition(b"\r\n\r\n")[2]), debian.SLOW_BYTES)
        self.assertEqual(machine.wait(), 0, machine.text)

    def test_its_end_is_the_instances(self):
        machine = self.machine("nginx.service", conf=SCRATCH + "/var/lib/nginx=size=16M\n")
        self.assert_ends_with_it(machine, "nginx.service")


class Redis(RealCase):
    """notify, User=, RuntimeDirectory= of mode 2755, LimitNOFILE=, an empty bounding set, the sandbox."""

    def probe(self, machine):
        self.assertEqual(machine.talk(6379, b"PING\r\nQUIT\r\n"), b"+PONG\r\n+OK\r\n")

    def test_redis(self):
        unit = "redis-server.service"
        machine = self.machine(unit, conf=SCRATCH + "/var/lib/redis=size=16M\n")
        self.probe(machine)
        # TimeoutStopSec=0 means for ever to systemd.
        self.assert_warned(machine, unit, beside=["may take for ever to stop"])
        machine.talk(6379, b"SET greeting hello\r\nQUIT\r\n")
        self.assert_survives_supervisor(machine, [unit], self.probe)
        self.assertIn(b"hello", machine.talk(6379, b"GET greeting\r\nQUIT\r\n"))
        with open(f"/proc/{machine.main_pid(unit)}/status", encoding="utf-8") as f:
            status = f.read()
        self.assertRegex(status, r"Uid:\t980\t980\t980\t980\n")
        self.assertRegex(status, r"CapBnd:\t0+\n")
        self.assertRegex(status, r"NoNewPrivs:\t1\n")
        self.assertEqual(os.stat(machine.path("/run/redis")).st_mode & 0o7777, 0o2755)
        self.assert_comes_back(machine, unit, self.probe)
        log = self.log_of(machine, "/var/log/redis/redis-server.log")
        self.assert_stops(machine)
        self.assertIn("ready to exit, bye bye", log.read())


class PhpFpm(RealCase):
    """notify, commands after start and stop that are scripts and may fail; behind nginx."""

    def probe(self, machine):
        self.assertEqual(machine.get(80, "/index.php"), (200, "hello from fpm-fcgi"))

    def test_php_fpm(self):
        units = ["php8.2-fpm.service", "nginx.service"]
        machine = self.machine(*units, conf=SCRATCH + "/var/lib/nginx=size=16M\n")
        self.probe(machine)
        self.assert_warned(machine, *units)
        self.assert_survives_supervisor(machine, units, self.probe)
        log = self.log_of(machine, "/var/log/php8.2-fpm.log")
        self.assert_stops(machine)
        self.assertIn("exiting, bye-bye!", log.read())


class Haproxy(RealCase):
    """notify from a master, EnvironmentFile=-, words of $VARIABLES, SuccessExitStatus=143."""

    def probe(self, machine):
        self.assertEqual(machine.get(8000), (200, "hello from haproxy"))

    def test_haproxy(self):
        unit = "haproxy.service"
        machine = self.machine(unit)
        self.probe(machine)
        self.assert_warned(machine, unit)
        self.assert_survives_supervisor(machine, [unit], self.probe)
        self.assert_comes_back(machine, unit, self.probe)
        self.assert_stops(machine)


class NodeExporter(RealCase):
    """simple, EnvironmentFile= with a continued, quoted line whose words are split."""

    def probe(self, machine):
        harness.wait_until(lambda: self.try_get(machine), "the exporter answers")
        status, body = machine.get(9100, "/metrics")
        self.assertEqual(status, 200)
        self.assertIn("\nnode_load1 ", body)

    def try_get(self, machine):
        try:
            return machine.get(9100)
        except OSError:
            return None

    def test_node_exporter(self):
        unit = "prometheus-node-exporter.service"
        machine = self.machine(unit)
        self.probe(machine)
        self.assert_warned(machine, unit)
        with open(f"/proc/{machine.main_pid(unit)}/cmdline", encoding="utf-8") as f:
            self.assertEqual(f.read().split("\0")[1:-1],
                             ["--web.listen-address=127.0.0.1:9100", "--no-collector.wifi",
                              "--web.disable-exporter-metrics"])
        self.assert_survives_supervisor(machine, [unit], self.probe)
        self.assert_comes_back(machine, unit, self.probe)
        self.assert_stops(machine)


class Memcached(RealCase):
    """simple by a wrapper in perl, a bounding set of three, PIDFile= of a unit that does not fork."""

    def probe(self, machine):
        def ask():
            try:
                return machine.talk(11211, b"version\r\nquit\r\n")
            except OSError:
                return None
        self.assertRegex(harness.wait_until(ask, "memcached answers"), rb"^VERSION 1\.6")

    def test_memcached(self):
        unit = "memcached.service"
        machine = self.machine(unit)
        self.probe(machine)
        self.assert_warned(machine, unit)
        self.assert_survives_supervisor(machine, [unit], self.probe)
        self.assert_comes_back(machine, unit, self.probe)
        self.assert_stops(machine)


class Mosquitto(RealCase):
    """notify, four ExecStartPre= that make its folders."""

    CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test"

    def probe(self, machine):
        self.assertEqual(machine.talk(1883, self.CONNECT, until=rb"(?s)...."), b"\x20\x02\x00\x00")

    def test_mosquitto(self):
        unit = "mosquitto.service"
        machine = self.machine(unit, conf=SCRATCH + "/var/lib/mosquitto=size=16M\n")
        self.probe(machine)
        self.assert_warned(machine, unit)
        self.assert_survives_supervisor(machine, [unit], self.probe)
        self.assert_comes_back(machine, unit, self.probe)
        log = self.log_of(machine, "/var/log/mosquitto/mosquitto.log")
        self.assert_stops(machine)
        self.assertIn("terminating", log.read())


class Chrony(RealCase):
    """forking as root by "!", then another user; conditions, five kinds of directories."""

    def probe(self, machine):
        self.assertIn("Reference ID", machine.run_on_network("/usr/bin/chronyc", "-n", "-h", "127.0.0.1", "tracking"))

    def test_chrony(self):
        unit = "chrony.service"
        machine = self.machine(unit, conf=SCRATCH + "/var/lib=size=16M\n" + COME_IN)
        self.probe(machine)
        self.assert_warned(machine, unit)
        self.assert_survives_supervisor(machine, [unit], self.probe)
        self.assert_stops(machine)


class Postgres(RealCase):
    """A template's instance: forking, pg_ctlcluster in perl for start and stop, OOMScoreAdjust=."""

    def probe(self, machine):
        self.assertEqual(machine.sql("SELECT 6 * 7", uid=986), "42\n")

    def test_postgres(self):
        unit = "postgresql@15-main.service"
        data = f"{self.dir}/data"
        harness.Process(["cp", "-a", f"{debian.tree()}/var/lib/postgresql", data]).wait()
        machine = self.machine(unit, conf=SCRATCH + COME_IN, options=["--bind", f"{data}:/var/lib/postgresql"])
        self.probe(machine)
        self.assert_warned(machine, unit, beside=["may take 3600 s"])
        with open(f"/proc/{machine.main_pid(unit)}/oom_score_adj", encoding="utf-8") as f:
            self.assertEqual(f.read(), "-900\n" if can_lower_oom_score() else "0\n")
        self.assert_survives_supervisor(machine, [unit], self.probe)
        log = self.log_of(machine, "/var/log/postgresql/postgresql-15-main.log")
        self.assert_stops(machine)
        self.assertIn("received fast shutdown request", log.read())


class Dbus(RealCase):
    """A socket unit and its service: what was sent before the service ran is answered."""

    def probe(self, machine):
        self.assertRegex(machine.talk("/run/dbus/system_bus_socket", b"\0AUTH EXTERNAL 30\r\n",
                                      until=rb"\n"), rb"^OK [0-9a-f]{32}\r\n")

    def test_dbus(self):
        unit = "dbus.service"
        machine = self.machine(unit)
        self.probe(machine)
        self.assert_warned(machine, unit, "dbus.socket")
        self.assert_survives_supervisor(machine, [unit], self.probe)
        self.assert_stops(machine)


class Node(RealCase):
    """What people write themselves: a server in JavaScript, simple, as its own user."""

    def probe(self, machine):
        def ask():
            try:
                return machine.get(3000)
            except OSError:
                return None
        self.assertEqual(harness.wait_until(ask, "node answers"), (200, "hello from node\n"))

    def test_node(self):
        unit = "node.service"
        machine = self.machine(unit)
        self.probe(machine)
        self.assert_warned(machine, unit)
        self.assert_survives_supervisor(machine, [unit], self.probe)
        self.assert_comes_back(machine, unit, self.probe)
        self.assert_stops(machine)
        self.assertIn('"msg":"bye"', machine.text)


if __name__ == "__main__":
    harness.main()
