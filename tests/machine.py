"""An immutable machine with Debian's services (tests/debian.py): boots, is asked over its own
network, and is watched from outside. Nothing of it is left when its first process is gone."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import debian
import harness

sys.path.insert(0, f"{harness.ROOT}/images")
import namespace as ns


class Machine(harness.Process):
    """holdfast as PID 1 of the tree, read-only, with Debian's own unit files.

    wanted: names for Units=. conf: more of holdfast.conf. options: of tests/inside.py.
    """

    def __init__(self, folder, wanted, conf="", options=()):
        root = f"{folder}/root"
        os.makedirs(root, exist_ok=True)
        with open(f"{folder}/holdfast.conf", "w", encoding="utf-8") as f:
            f.write(f"[Holdfast]\nUnits={' '.join(wanted)}\n{conf}")
        argv = [sys.executable, debian.INSIDE, "--over", debian.tree(), "--cgroup",
                "--bind", f"{folder}/holdfast.conf:/etc/holdfast/holdfast.conf", *options]
        for program in harness.PROGRAMS:
            argv += ["--bind", f"{harness.BIN}/{program}:/usr/lib/holdfast/{program}"]
        super().__init__([*argv, root, "--", "/usr/lib/holdfast/holdfast"],
                         env={"PATH": "/usr/sbin:/usr/bin"})

    @property
    def init(self):
        """PID 1's pid as seen from here."""
        return harness.wait_until(lambda: harness.children(self.pid), "PID 1 exists")[0]

    def wait_running(self):
        return self.wait_for("the instance is running")

    def supervisor(self):
        return harness.wait_until(lambda: harness.child_named(self.init, "holdfast-supervisor"),
                                  "the supervisor runs")

    def events(self, name=None, unit=None):
        """holdfast's own lines so far, as objects."""
        found = []
        for line in self.text.splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if (isinstance(value, dict) and "event" in value and name in (None, value["event"])
                    and unit in (None, value.get("unit"))):
                found.append(value)
        return found

    def wait_event(self, name, unit=None, count=1):
        """The count-th event of that name, once it is there."""
        def look():
            self._read(0.02)
            found = self.events(name, unit)
            return found[count - 1] if len(found) >= count else None
        try:
            return harness.wait_until(look, f"event {name} of {unit}, number {count}")
        except harness.Timeout as error:
            raise harness.Timeout(f"{error}:\n{self.text}") from error

    def main_pid(self, unit):
        """The pid, as seen from here, of what holdfastctl calls the unit's process."""
        status = json.loads(self.run("/usr/lib/holdfast/holdfastctl", "status", "--json", unit))
        inner = status["units"][0]["pid"]
        return self.outer_pid(inner) if inner else None

    def outer_pid(self, inner):
        for pid in harness.descendants(self.init):
            try:
                with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                    found = re.search(r"^NSpid:.*\t(\d+)$", f.read(), re.M)
            except OSError:
                continue
            if found and int(found[1]) == inner:
                return pid
        raise AssertionError(f"no process {inner} in the machine:\n{self.text}")

    def path(self, path):
        """The machine's path, as seen from here. What is open outlives the machine."""
        return f"/proc/{harness.resident(self.init)}/root{path}"

    def run(self, *argv, uid=0):
        """The output of a program of the machine, run beside its services: of holdfastctl, that is, as
        nobody else is let in."""
        return self._run("-m", "-p", "-r", "-w", "-S", str(uid), "-G", str(uid), *argv)

    def run_on_network(self, *argv):
        """The same from outside: the tree's program, with nothing of the machine but its network."""
        return self._run("chroot", debian.tree(), *argv)

    def _run(self, *argv):
        done = subprocess.run(["nsenter", "-t", str(harness.resident(self.init)), "-n", *argv],
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env={"PATH": "/usr/sbin:/usr/bin"}, timeout=harness.DEADLINE)
        text = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            raise AssertionError(f"{argv}: {done.returncode}: {text}\n{self.text}")
        return text

    def sql(self, *statements, uid):
        """The rows that the machine's PostgreSQL gives to who has that uid, a line each."""
        done = subprocess.run([sys.executable, f"{harness.ROOT}/tests/pgclient.py",
                               self.path("/run/postgresql"), str(uid), *statements],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              stdin=subprocess.DEVNULL, timeout=harness.DEADLINE)
        if done.returncode != 0:
            raise AssertionError(f"{statements}: {done.stdout}\n{self.text}")
        return done.stdout.decode()

    def connect(self, port):
        """A connection to the machine's own loopback."""
        made = []

        def make():
            fd = os.open(f"/proc/{self.init}/ns/net", os.O_RDONLY)
            try:
                ns.enter(fd, ns.NEWNET)  # of this thread alone
                made.append(socket.create_connection(("127.0.0.1", port), harness.DEADLINE))
            except OSError as error:
                made.append(error)
            finally:
                os.close(fd)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def talk(self, where, request, until=None):
        """Sends request to a port, or to a socket's path; what comes back up to the pattern until,
        or to the end."""
        if isinstance(where, int):
            connection = self.connect(where)
        else:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(harness.DEADLINE)
            connection.connect(self.path(where))
        with connection:
            connection.sendall(request)
            answer = b""
            while not (until and re.search(until, answer)):
                data = connection.recv(65536)
                if not data:
                    break
                answer += data
            return answer

    def get(self, port, path="/"):
        """(status, body) of an HTTP request."""
        answer = self.talk(port, f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode(errors="replace")

    def close(self):
        """A machine that a failing test left: its runtime is killed, and so does not tidy up."""
        is_left = self.child.poll() is None
        inside = harness.descendants(self.pid) if is_left else []
        super().close()
        if not is_left:
            return
        harness.wait_until(lambda: not any(os.path.exists(f"/proc/{p}") for p in inside),
                           "the machine's processes are gone")
        with open("/proc/mounts", encoding="utf-8") as f:
            for path in {line.split()[1] for line in f if line.split()[2] == "cgroup2"}:
                ns.cgroup_remove(f"{path}/holdfast-test-{self.pid}")

    def stop(self):
        """Asks for a stop and returns the exit status."""
        os.kill(self.init, signal.SIGTERM)
        return self.wait()
