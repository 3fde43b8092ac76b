#!/usr/bin/env python3
"""The whole appliance as `make run` has it: Debian's nginx by its own unit and the demo API in a
read-only image, PID 1 of namespaces of their own, from the first request to a clean end."""
import errno
import filecmp
import glob
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

sys.path.insert(0, f"{harness.ROOT}/images")
from builder import audit

IMAGE = f"{harness.ROOT}/build/image"


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status, answer.read().decode()


def read_all(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


@unittest.skipUnless(harness.is_root(), "making and mounting an image needs root")
class ImageCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The disk too, which another test wants: each of them makes the tree anew.
        harness.make("build/image/demo.squashfs", "build/image/demo.raw")


class Appliance(ImageCase):
    def boot(self):
        run = self.start(f"{harness.ROOT}/images/run")
        run.wait_for("/health -> 200", deadline=30)
        urls = dict(re.findall(r"images/run: (\w+) +(http://\S+)", run.text))
        return run, urls

    def events(self, run, name):
        found = []
        for line in run.text.splitlines():
            if f'"event":"{name}"' in line:
                found.append(json.loads(line))
        return found

    def test_it_serves_and_stops(self):
        run, urls = self.boot()
        status, body = get(urls["health"])
        self.assertEqual((status, json.loads(body)["status"]), (200, "pass"))
        self.assertEqual(json.loads(body)["serviceId"], "holdfast-demo")
        status, body = get(urls["nginx"])
        self.assertEqual(status, 200)
        self.assertIn("read-only image", body)
        status, body = get(urls["api"])
        self.assertEqual((status, json.loads(body)["database_password_bytes"]), (200, 32))
        self.assertEqual(get(urls["nginx"] + "api/")[0], 200)
        run.wait_for('"path":"/api/"')  # nginx's line, by /dev/stdout
        start = len(run.output)
        run.send(signal.SIGINT)
        self.assertEqual(run.wait(), 0, run.text)
        end = run.output[start:].decode()
        self.assertIn("draining: what was accepted is still answered", end)
        self.assertIn("the instance ended with status 0", end)
        self.assertEqual(glob.glob(f"/sys/fs/cgroup/**/holdfast-run-{run.pid}", recursive=True), [])

    def test_nothing_can_be_written_and_the_secret_is_nowhere(self):
        run, _ = self.boot()
        init = next(p for p in harness.children(run.pid)
                    if b"holdfast\0" in read_all(f"/proc/{p}/cmdline"))
        real = harness.resident(init)
        with self.assertRaises(OSError) as caught:
            with open(f"/proc/{real}/root/etc/written", "w", encoding="utf-8"):
                pass
        self.assertEqual(caught.exception.errno, errno.EROFS)
        with open(f"/proc/{real}/mountinfo", encoding="utf-8") as f:
            writable = {line.split()[4] for line in f if "rw" in line.split()[5].split(",")}
        self.assertEqual({m for m in writable if not m.startswith(("/proc", "/sys", "/run", "/dev/shm"))},
                         {"/var/log/nginx", "/var/lib/nginx", "/tmp"})
        secret = read_all(f"/proc/{real}/root/run/secrets/db_password")
        self.assertEqual(len(secret), 32)
        for pid in [init, *harness.descendants(init)]:
            for name in ("environ", "cmdline"):
                self.assertNotIn(secret, read_all(f"/proc/{pid}/{name}"))
        for name in ("plan", "board", "ring"):
            held = read_all(f"/proc/{real}/root/run/holdfast/{name}")
            self.assertTrue(held)
            self.assertNotIn(secret, held)
        run.send(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text)
        self.assertNotIn(secret, run.output)

    def test_units_stop_in_the_reverse_of_their_order_and_twice_means_at_once(self):
        run, _ = self.boot()
        up = [e["unit"] for e in self.events(run, "unit-up") if e["unit"].endswith(".service")]
        self.assertEqual(up, ["api.service", "nginx.service"])
        run.send(signal.SIGINT)
        run.wait_for("stop-asked")
        run.send(signal.SIGINT)
        self.assertEqual(run.wait(), 0, run.text)
        down = [e["unit"] for e in self.events(run, "unit-down") if e["unit"].endswith(".service")]
        self.assertEqual(down, ["nginx.service", "api.service"])
        self.assertEqual([e["phase"] for e in self.events(run, "phase")][-1], "stopped")


    def test_holdfasts_own_processes_may_be_killed(self):
        run, urls = self.boot()
        init = next(p for p in harness.children(run.pid)
                    if b"holdfast\0" in read_all(f"/proc/{p}/cmdline"))
        services = self.pids(init, b"nginx") | self.pids(init, b"/usr/bin/demo-api")
        self.assertGreaterEqual(len(services), 3)
        for name in (b"holdfast-supervisor", b"holdfast-log", b"holdfast-health"):
            (victim,) = self.pids(init, name)
            os.kill(victim, signal.SIGKILL)
            harness.wait_until(lambda n=name, v=victim: self.pids(init, n) - {v}, f"{name} again")
            self.assertEqual(get(urls["nginx"] + "api/")[0], 200)
        harness.wait_until(lambda: self.is_healthy(urls["health"]), "/health says pass again")
        self.assertEqual(self.pids(init, b"nginx") | self.pids(init, b"/usr/bin/demo-api"), services)
        run.send(signal.SIGINT)
        self.assertEqual(run.wait(), 0, run.text)

    def test_a_signal_to_the_whole_group_is_heard_by_pid_1_alone(self):
        run, _ = self.boot()
        init = next(p for p in harness.children(run.pid)
                    if b"holdfast\0" in read_all(f"/proc/{p}/cmdline"))
        os.killpg(init, signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text)
        self.assertEqual(self.events(run, "daemon-died"), [])

    @staticmethod
    def pids(init, name):
        return {p for p in harness.descendants(init) if read_all(f"/proc/{p}/cmdline").startswith(name)}

    @staticmethod
    def is_healthy(url):
        try:
            return json.loads(get(url)[1])["status"] == "pass"
        except (OSError, ValueError):
            return False

    def test_a_port_that_is_taken_is_named(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            run = self.start(f"{harness.ROOT}/images/run", "--port-base", port)
            self.assertEqual(run.wait(), 1)
        self.assertIn(f"port {port}: Address already in use", run.text)

    def test_make_run_at_a_terminal_ends_with_0_on_ctrl_c(self):
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(harness.ROOT)
            os.execvp("make", ["make", "-s", "run"])
        self.addCleanup(os.close, terminal)
        self.read_until(terminal, "/health -> 200")
        os.write(terminal, b"\x03")
        self.read_until(terminal, "the instance ended with status 0")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)

    def read_until(self, terminal, needle, deadline=30):
        text, end = "", time.monotonic() + deadline
        while needle not in text:
            ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
            self.assertTrue(ready, f"no {needle!r} in:\n{text}")
            text += os.read(terminal, 1 << 16).decode(errors="replace")


class Rungs(ImageCase):
    """The same image where a runtime leaves less."""

    MEMORY = ("--tmpfs", "/run:mode=0755,size=16m", "--tmpfs", "/tmp:size=8m,mode=1777",
              "--tmpfs", "/var/log/nginx:size=8m", "--tmpfs", "/var/lib/nginx:size=32m")

    def setUp(self):
        super().setUp()
        self.root = f"{self.dir}/root"
        subprocess.run(["cp", "-a", f"{IMAGE}/root", self.root], check=True)
        self.write("root/etc/db_password", "0123456789abcdef", 0o400)
        self.edit("etc/holdfast/units/api.service", "cred:db_password", "file:/etc/db_password")

    def edit(self, path, old, new):
        with open(f"{self.root}/{path}", encoding="utf-8") as f:
            text = f.read()
        self.assertIn(old, text)
        self.write(f"root/{path}", text.replace(old, new))

    def boot(self, *options):
        return self.start(sys.executable, f"{harness.ROOT}/tests/inside.py", "--runtime", *options,
                          self.root, "--", "/usr/lib/holdfast/holdfast", env={"PATH": "/bin:/usr/bin"})

    def fetch(self, run, url):
        init = harness.children(run.pid)[0]
        return subprocess.run(["nsenter", "-t", str(init), "-n", "curl", "-sf", "-m", "5", url],
                              capture_output=True, text=True, check=True).stdout

    def test_root_with_what_podman_leaves(self):
        run = self.boot("--capabilities", "0,1,3,4,5,6,7,8,10,18,31", *self.MEMORY)
        run.wait_for('"phase":"running"')
        health = json.loads(self.fetch(run, "http://127.0.0.1:9180/health"))
        self.assertEqual(health["status"], "pass", health)
        self.assertEqual(health["checks"]["scratch:protection"][0]["observedValue"],
                         "the runtime's mounts")
        self.assertIn("read-only image", self.fetch(run, "http://127.0.0.1:8080/"))
        self.assertIn('"database_password_bytes":16', self.fetch(run, "http://127.0.0.1:8080/api/"))
        run.send(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text)

    def test_uid_1000_with_nothing(self):
        os.chown(f"{self.root}/etc/db_password", 1000, 1000)
        self.edit("etc/holdfast/units/api.service", "User=app\n", "")
        self.edit("etc/holdfast/holdfast.conf", "Units=nginx.service api.service",
                  "Units=api.service")
        run = self.boot("--uid", "1000", *self.MEMORY)
        run.wait_for('"phase":"running"')
        self.assertEqual(json.loads(self.fetch(run, "http://127.0.0.1:9180/health"))["status"], "pass")
        self.assertIn('"database_password_bytes":16', self.fetch(run, "http://127.0.0.1:8081/"))
        run.send(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text)

    def test_without_memory_the_status_and_the_termination_log_say_so(self):
        log = self.write("termination-log", "")
        run = self.boot("--capabilities", "0,1,3,4,5,6,7,8,10,18,31", "--bind",
                        f"{log}:/dev/termination-log")
        self.assertEqual(run.wait(), 71, run.text)
        with open(log, encoding="utf-8") as f:
            self.assertIn("mountPath: /tmp", f.read())

    def test_a_bad_unit_ends_it_with_78_file_line_and_column(self):
        log = self.write("termination-log", "")
        self.edit("etc/holdfast/units/api.service", "WatchdogSec=10", "WatchdogSec=often")
        run = self.boot("--bind", f"{log}:/dev/termination-log")
        self.assertEqual(run.wait(), 78, run.text)
        with open(log, encoding="utf-8") as f:
            self.assertRegex(f.read(), r"/etc/holdfast/units/api\.service:\d+:\d+: ")


class Tree(ImageCase):
    def test_no_shell_and_nothing_set_id(self):
        listed = subprocess.run(["unsquashfs", "-lln", f"{IMAGE}/demo.squashfs"],
                                capture_output=True, text=True, check=True).stdout
        self.assertIn("/usr/sbin/nginx", listed)
        for line in listed.splitlines():
            name = line.split(" -> ")[0].rsplit("/", 1)[-1]
            self.assertNotRegex(name, r"^(.*sh|busybox|su|sudo|login|dpkg|apt.*|perl.*)$", line)
            self.assertNotRegex(line[:10], "[sS]", line)
        self.assertEqual(list(audit.complaints(f"{IMAGE}/root")), [])

    def test_the_search_finds_what_it_is_for(self):
        self.write("bin/dash", "\x7fELF", 0o755)
        self.write("bin/mount", "\x7fELF", 0o4755)
        self.write("usr/bin/script.cgi", "#!/x", 0o755)  # none has an interpreter there
        self.assertEqual(sorted(c.split(":")[0] for c in audit.complaints(self.dir)),
                         ["/bin/dash", "/bin/mount", "/etc/holdfast/holdfast.conf",
                          "/usr/bin/script.cgi"])

    def test_the_distributions_unit_is_unmodified(self):
        unit = "lib/systemd/system/nginx.service"
        self.assertTrue(filecmp.cmp(f"{IMAGE}/root/usr/{unit}",
                                    f"{IMAGE}/cache/demo/packages/{unit}", shallow=False))


if __name__ == "__main__":
    harness.main()
