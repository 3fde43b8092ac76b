#!/usr/bin/env python3
"""holdfast-health over real sockets, around it a stand-in for everybody else (tests/apps/healthbed.c)."""
import contextlib
import json
import os
import random
import re
import select
import shutil
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402

HEALTH = f"{harness.BIN}/holdfast-health"
NO_UID = 2**32 - 1
UID = 64999
HOST = b"Host: x\r\n"


class Bed:
    """One healthbed with its holdfast-health."""

    def __init__(self, case, units=0, detail="loopback", uid=None, addresses=None, wrap=(),
                 program=HEALTH, start=True, phase="running"):
        uid = (UID if harness.is_root() else NO_UID) if uid is None else uid
        self.port = harness.free_port()
        addresses = addresses or [f"127.0.0.1:{self.port}"]
        addresses = [a.replace("PORT", str(self.port)) for a in addresses]
        self.process = case.start(*wrap, f"{harness.APPS}/healthbed", program, case.dir, units,
                                  detail, uid, *addresses, stdin=subprocess.PIPE)
        self.process.wait_for("bed ready\n")
        self.pid = None
        self.do(f"phase {phase}", "all")
        if start:
            self.start()

    def do(self, *commands):
        for command in commands:
            at = len(self.process.output)
            self.process.child.stdin.write(command.encode() + b"\n")
            self.process.child.stdin.flush()
            self.process.wait_for("done pid", start=at)
            self.process.wait_for("\n", start=self.process.output.index(b"done pid", at))

    def start(self):
        at = len(self.process.output)
        self.do("start")
        self.pid = int(re.findall(rb"done pid (\d+)", self.process.output[at:])[-1])
        self.process.wait_for('"event":"health-listening"', start=at)

    def stop(self):
        self.do("stop")

    def connect(self, host="127.0.0.1"):
        return Client(host, self.port)

    def get(self, path, method="GET", host="127.0.0.1"):
        with self.connect(host) as client:
            client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return client.answer(method)

    def metrics(self):
        return parse_metrics(self.get("/metrics").body.decode())

    def health(self):
        return json.loads(self.get("/health").body)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


class Client:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=harness.DEADLINE)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(1 << 16)
        self.data += data
        return bool(data)

    def answer(self, method="GET"):
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                raise ConnectionError(f"closed after {self.data!r}")
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = head.decode("ascii").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        size = 0 if method == "HEAD" else int(headers["Content-Length"])
        while len(self.data) < size:
            if not self.more():
                raise ConnectionError("closed within the body")
        body, self.data = self.data[:size], self.data[size:]
        return Answer(int(lines[0].split(" ")[1]), headers, body)

    def is_closed(self):
        """Waits for the end of the stream."""
        with contextlib.suppress(ConnectionResetError):
            while self.more():
                pass
        return self.data == b""


def parse_metrics(text):
    """{series: value}, each once, each family declared before its samples and in one piece."""
    assert text.endswith("\n")
    found, types, family, done = {}, {}, None, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"{name} declared twice"
            types[name] = kind
            done.add(family)
            family = name
            continue
        if line.startswith("# HELP "):
            continue
        match = re.fullmatch(r'([a-z0-9_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? ([0-9.]+)', line)
        assert match, line
        name, labels, value = match.groups()
        assert name == family and name not in done, f"{name} outside its family"
        series = name + (labels or "")
        assert series not in found, f"{series} twice"
        found[series] = float(value)
    return found


def status_field(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return re.search(rf"^{name}:[ \t]*(.*)$", f.read(), re.M).group(1).split()


class Endpoints(harness.Case):
    def test_all_is_well(self):
        bed = Bed(self)
        for path, body in (("/livez", b"ok\n"), ("/readyz", b"ok\n"), ("/startupz", b"ok\n")):
            answer = bed.get(path)
            self.assertEqual((answer.status, answer.body), (200, body), path)
            self.assertEqual(answer.headers["Content-Type"], "text/plain; charset=utf-8")
            self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(bed.get("/health").headers["Content-Type"], "application/health+json")
        health = bed.health()
        self.assertEqual(health["status"], "pass")
        self.assertEqual((health["serviceId"], health["releaseId"]), ("payments", "2026.11-1"))
        for key, check in health["checks"].items():
            self.assertEqual(len(check), 1, key)
            self.assertEqual(check[0]["status"], "pass", key)
            self.assertNotIn("output", check[0])
        self.assertEqual(health["checks"]["web.service:state"][0]["observedValue"], "running")
        self.assertEqual(health["checks"]["root:protection"][0]["observedValue"], "verity")
        self.assertEqual(bed.get("/nothing").status, 404)
        self.assertEqual(bed.get("/health/").status, 404)

    def test_phases(self):
        """Which endpoint says what in each phase."""
        bed = Bed(self, phase="booting")
        for phase, startup, ready in (("booting", 503, 503), ("starting", 503, 503),
                                      ("running", 200, 200), ("draining", 200, 503),
                                      ("stopping", 200, 503), ("stopped", 200, 503)):
            bed.do(f"phase {phase}")
            seen = {path: bed.get(path).status
                    for path in ("/startupz", "/readyz", "/health", "/livez", "/metrics")}
            self.assertEqual(seen, {"/startupz": startup, "/readyz": ready, "/health": ready,
                                    "/livez": 200, "/metrics": 200}, phase)
            self.assertEqual(bed.health()["checks"]["instance:phase"][0]["observedValue"], phase)
            self.assertEqual(bed.metrics()[f'holdfast_phase{{phase="{phase}"}}'], 1)

    def test_a_unit_fails_and_comes_back(self):
        bed = Bed(self)
        bed.do("text 0 cannot_bind", "unit 0 failed exit-code")
        answer = bed.get("/readyz")
        self.assertEqual(answer.status, 503)
        self.assertIn(b"[-]web.service failed\n", answer.body)
        self.assertIn(b"[+]db.service ok\n", answer.body)
        self.assertNotIn(b"extra.service", answer.body)
        self.assertEqual(bed.get("/health").status, 503)
        check = bed.health()["checks"]["web.service:state"][0]
        self.assertEqual((check["status"], check["output"]), ("fail", "exit-code: cannot_bind"))
        self.assertEqual(bed.get("/readyz?exclude=web.service").status, 200)
        self.assertEqual(bed.get("/readyz?exclude=web%2Eservice").body, b"ok\n")
        self.assertEqual(bed.get("/readyz?exclude=units").status, 200)
        self.assertEqual(bed.get("/readyz?exclude=db.service").status, 503)
        bed.do("unit 0 running success 1")
        self.assertEqual(bed.get("/readyz").status, 200)
        self.assertEqual(bed.get("/health").status, 200)
        # One that nobody asked for is a warning, and the instance stays in service.
        bed.do("unit 3 failed signal")
        self.assertEqual(bed.get("/readyz").status, 200)
        self.assertEqual((bed.get("/health").status, bed.health()["status"]), (200, "warn"))

    def test_verbose(self):
        bed = Bed(self)
        self.assertEqual(bed.get("/readyz?verbose").body,
                         b"[+]startup ok\n[+]shutdown ok\n[+]web.service ok\n[+]db.service ok\n"
                         b"[+]migrate.service ok\n[+]net.target ok\n[+]units ok\n"
                         b"readyz check passed\n")
        self.assertEqual(bed.get("/livez?verbose&exclude=init").body,
                         b"[+]init excluded: ok\n[+]supervisor ok\nlivez check passed\n")
        self.assertEqual(bed.get("/startupz?verbose=1").body,
                         b"[+]startup ok\nstartupz check passed\n")

    def test_head_is_get_without_a_body(self):
        bed = Bed(self)
        for path in ("/health", "/livez", "/readyz", "/startupz", "/metrics", "/nothing",
                     "/readyz?verbose"):
            get, head = bed.get(path), bed.get(path, "HEAD")
            self.assertEqual((head.status, head.headers), (get.status, get.headers), path)
            with bed.connect() as client:
                client.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                client.answer("HEAD")
                self.assertTrue(client.is_closed(), path)

    def test_both_families(self):
        bed = Bed(self, addresses=["127.0.0.1:PORT", "[::1]:PORT"])
        self.assertEqual(bed.get("/readyz", host="::1").status, 200)
        self.assertIn("checks", json.loads(bed.get("/health", host="::1").body))

    def test_what_is_rendered_follows_the_board(self):
        bed = Bed(self)
        restarts = 'systemd_service_restart_total{name="db.service"}'
        with bed.connect() as client:
            for n in range(5):
                bed.do(f"restarts 1 {n}")
                for _ in range(2):
                    client.send(b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n")
                    found = parse_metrics(client.answer().body.decode())
                    self.assertEqual(found[restarts], n)


class Details(harness.Case):
    def outside(self, bed, path):
        """From an address in the bed's own network namespace that is not loopback."""
        return subprocess.run(["nsenter", "-n", f"-t{bed.pid}", "curl", "-s", "-m", "10", "-w",
                               "\n%{http_code}", f"http://10.99.0.1:{bed.port}{path}"],
                              capture_output=True, text=True, check=True).stdout.rsplit("\n", 1)

    def bed_with_outside(self, detail):
        if not harness.is_root():
            self.skipTest("a network namespace needs root")
        bed = Bed(self, detail=detail, addresses=["0.0.0.0:PORT"], start=False,
                  wrap=["unshare", "-n", "sh", "-c",
                        'ip link set lo up && ip addr add 10.99.0.1/32 dev lo && exec "$0" "$@"'])
        bed.start()
        return bed

    def test_outsiders_learn_the_status_alone(self):
        bed = self.bed_with_outside("loopback")
        bed.do("unit 1 failed signal")
        self.assertEqual(self.outside(bed, "/health"), ['{"status":"fail"}\n', "503"])
        body, status = self.outside(bed, "/readyz?verbose")
        self.assertEqual(status, "503")
        self.assertNotIn("db.service", body)
        self.assertIn("[-]units failed", body)
        # Never governed by Detail=: a scraper is no loopback peer.
        self.assertIn("db.service", self.outside(bed, "/metrics")[0])
        local = subprocess.run(["nsenter", "-n", f"-t{bed.pid}", "curl", "-s", "-m", "10",
                                f"http://127.0.0.1:{bed.port}/health"],
                               capture_output=True, text=True, check=True).stdout
        self.assertIn("db.service:state", json.loads(local)["checks"])

    def test_detail_all(self):
        bed = self.bed_with_outside("all")
        self.assertIn("checks", json.loads(self.outside(bed, "/health")[0]))

    def test_detail_none(self):
        bed = Bed(self, detail="none")
        self.assertEqual(bed.get("/health").body, b'{"status":"pass"}\n')
        self.assertNotIn(b"web.service", bed.get("/readyz?verbose").body)
        self.assertIn("node_systemd_unit_state", bed.get("/metrics").body.decode())


class Liveness(harness.Case):
    def test_who_does_not_answer_is_named(self):
        bed = Bed(self)
        for who in ("init", "supervisor"):
            bed.do(f"answer {who} off")
            start = time.monotonic()
            answer = bed.get("/livez")
            self.assertGreaterEqual(time.monotonic() - start, 0.45)
            self.assertEqual(answer.status, 503)
            self.assertIn(f"[-]{who} failed\n".encode(), answer.body)
            self.assertEqual(answer.body.count(b"[-]"), 1)
            self.assertEqual(bed.get(f"/livez?exclude={who}").status, 200)
            bed.do(f"answer {who} on")
            self.assertEqual(bed.get("/livez").body, b"ok\n")

    def test_waiting_holds_nobody_up(self):
        """While many wait in vain, others are served, and all have their answer in time."""
        bed = Bed(self)
        bed.do("answer supervisor off")
        start = time.monotonic()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(bed.connect()) for _ in range(50)]
            for client in clients:
                client.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            self.assertEqual(bed.get("/readyz").status, 200)
            self.assertLess(time.monotonic() - start, 0.4)
            for client in clients:
                self.assertEqual(client.answer().status, 503)
        self.assertLess(time.monotonic() - start, 1.5)

    def test_more_askers_than_slots(self):
        """All slots wait for an answer: later ones stay in the backlog and get theirs too."""
        bed = Bed(self)
        bed.do("answer supervisor off")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(bed.connect()) for _ in range(300)]
            for client in clients:
                client.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            for client in clients:
                self.assertEqual(client.answer().status, 503)

    def test_who_comes_late_has_the_whole_time(self):
        """A question of one's own, though an older one was lost."""
        bed = Bed(self)
        bed.do("answer init off")
        with bed.connect() as first:
            first.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            self.assertEqual(bed.get("/readyz").status, 200)
            bed.do("answer init on")
            self.assertEqual(bed.get("/livez").status, 200)
            # And an answer is an answer: it also frees whoever still waits.
            self.assertEqual(first.answer().status, 200)

    def test_one_who_leaves_early(self):
        bed = Bed(self)
        bed.do("answer init off")
        for _ in range(5):
            with bed.connect() as client:
                client.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(bed.get("/livez").status, 503)
        bed.do("answer init on")
        self.assertEqual(bed.get("/livez").status, 200)


class Metrics(harness.Case):
    def test_families(self):
        bed = Bed(self, units=30)
        found = bed.metrics()
        self.assertEqual(found['node_systemd_unit_state{name="web.service",state="active",type="notify"}'], 1)
        self.assertEqual(found['node_systemd_unit_state{name="net.target",state="active",type=""}'], 1)
        self.assertEqual(found['holdfast_protection_level{protection="secrets-memory",rung="/dev/shm"}'], 1)
        self.assertEqual(found["holdfast_ready"], 1)
        self.assertAlmostEqual(found["holdfast_boot_time_seconds"], time.time(), delta=60)
        self.assertNotIn("holdfast_log_lines_total", found)
        for unit in range(31):
            states = [v for k, v in found.items() if k.startswith("node_systemd_unit_state") and
                      f"fill-{unit:04}" in k]
            self.assertIn(sum(states), (0, 1))
        bed.do("deaths 3", "deaths 3", "log 7")
        found = bed.metrics()
        self.assertEqual(found['holdfast_process_deaths_total{process="holdfast-log"}'], 2)
        self.assertEqual((found["holdfast_log_lines_total"], found["holdfast_log_pending_lines"]),
                         (7, 7))
        bed.do("dropped 3")
        found = bed.metrics()
        self.assertEqual((found["holdfast_log_dropped_lines_total"],
                          found["holdfast_log_pending_lines"]), (3, 0))
        health = bed.health()
        self.assertEqual(health["status"], "warn")
        self.assertEqual(health["checks"]["log:dropped"][0]["observedValue"], 3)

    def test_promtool(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed (Debian: prometheus)")
        bed = Bed(self, units=12)
        bed.do("log 2")
        done = subprocess.run(["promtool", "check", "metrics"], input=bed.get("/metrics").body,
                              capture_output=True, check=False)
        complaints = (done.stdout + done.stderr).decode().splitlines()
        self.assertEqual((complaints, done.returncode), ([], 0))

    def test_a_thousand_units(self):
        bed = Bed(self, units=1500)
        found = bed.metrics()
        self.assertEqual(sum(k.startswith("node_systemd_unit_state") for k in found), 7500)
        self.assertEqual(len(bed.health()["checks"]), 1504)
        self.assertEqual(bed.get("/readyz?verbose").body.count(b"\n"), 1503)

    def slow_reader(self, bed):
        """A connection that has asked for a large body and taken none of it yet."""
        slow = socket.socket()
        self.addCleanup(slow.close)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(harness.DEADLINE)
        slow.connect(("127.0.0.1", bed.port))
        slow.sendall(b"GET /metrics HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        select.select([slow], [], [], harness.DEADLINE)
        return slow

    def rest_of(self, slow):
        """(length as announced, body as it came)"""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := slow.recv(1 << 16):
                data += chunk
        head, body = data.split(b"\r\n\r\n", 1)
        return int(re.search(rb"Content-Length: (\d+)", head).group(1)), body

    def test_slow_readers(self):
        """Who reads slowly gets the text that its length was for, though the board changes; who is
        two texts behind is cut off, for the third must be written somewhere."""
        restarts = 'systemd_service_restart_total{name="db.service"}'
        bed = Bed(self, units=1000, wrap=["env", "HEALTHBED_SNDBUF=65536"])
        first = self.slow_reader(bed)
        bed.do("restarts 1 77")
        second = self.slow_reader(bed)
        bed.do("restarts 1 78")
        self.assertEqual(bed.metrics()[restarts], 78)
        length, body = self.rest_of(second)
        self.assertEqual(len(body), length)
        self.assertEqual(parse_metrics(body.decode())[restarts], 77)
        length, body = self.rest_of(first)
        self.assertLess(len(body), length)
        self.assertEqual(bed.metrics()[restarts], 78)


class Requests(harness.Case):
    LINE = b"GET /readyz HTTP/1.1\r\n"
    ROWS = (
        (LINE + HOST + b"\r\n", 200),
        (b"GET /readyz HTTP/1.0\r\n\r\n", 200),
        (LINE.replace(b"\r", b"") + HOST + b"\r\n", 400),
        (LINE + b"\r\n", 400),
        (LINE + HOST + HOST + b"\r\n", 400),
        (LINE + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400),
        (LINE.replace(b"z", b"\0") + HOST + b"\r\n", 400),
        (LINE + HOST + b"X: a\r\n b\r\n\r\n", 400),
        (LINE + HOST + b"Content-Length: 3\r\n\r\nabc", 413),
        (LINE + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 413),
        (b"POST /readyz HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc", 405),
        (b"DELETE /readyz HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"get /readyz HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (LINE.replace(b"1.1", b"2.0") + HOST + b"\r\n", 505),
        (LINE + HOST + b"X: " + b"a" * 20000 + b"\r\n\r\n", 431),
        (LINE + HOST + b"X: y\r\n" * 100 + b"\r\n", 431),
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET /%2e%2e/readyz HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"GET //readyz HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"GET /<script>alert</script> HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    )

    def test_malformed(self):
        bed = Bed(self)
        for request, status in self.ROWS:
            with bed.connect() as client:
                client.send(request)
                answer = client.answer()
                self.assertEqual(answer.status, status, request[:60])
                self.assertNotIn(b"script", answer.body)
                if status == 405:
                    self.assertEqual(answer.headers["Allow"], "GET, HEAD")
                if status in (400, 413, 414, 431, 505):
                    self.assertEqual(answer.headers["Connection"], "close")
                    self.assertTrue(client.is_closed(), request[:60])

    def test_byte_by_byte(self):
        bed = Bed(self)
        with bed.connect() as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in self.LINE + HOST + b"\r\n":
                client.send(bytes([byte]))
            self.assertEqual(client.answer().status, 200)

    def test_pipelining(self):
        bed = Bed(self)
        paths = [b"/readyz", b"/livez", b"/nothing", b"/metrics", b"/startupz", b"/livez?verbose"] * 40
        with bed.connect() as client:
            client.send(b"".join(b"GET %s HTTP/1.1\r\n" % p + HOST + b"\r\n" for p in paths))
            for path in paths:
                answer = client.answer()
                self.assertEqual(answer.status, 404 if path == b"/nothing" else 200, path)
                self.assertEqual(b"holdfast_ready" in answer.body, path == b"/metrics")
            self.assertEqual(client.data, b"")
            # A last one that asks for the end gets it, and what stands behind is not served.
            client.send(self.LINE + HOST + b"Connection: close\r\n\r\n" + self.LINE + HOST + b"\r\n")
            self.assertEqual(client.answer().status, 200)
            self.assertTrue(client.is_closed())

    def test_a_connection_ends_some_time(self):
        bed = Bed(self)
        with bed.connect() as client:
            for n in range(1, 2000):
                client.send(self.LINE + HOST + b"\r\n")
                if client.answer().headers["Connection"] == "close":
                    break
            self.assertEqual(n, 1000)
            self.assertTrue(client.is_closed())


class Crowds(harness.Case):
    def test_slow_clients(self):
        """1500 unfinished requests and 1500 that only connect: each of 40 probes is answered."""
        bed = Bed(self)
        with contextlib.ExitStack() as stack:
            for n in range(3000):
                s = stack.enter_context(socket.socket())
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", bed.port))
                if n % 2:
                    with contextlib.suppress(BlockingIOError):
                        s.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\nX: ")
                if n % 75 == 0:
                    start = time.monotonic()
                    self.assertEqual(bed.get("/readyz").status, 200)
                    self.assertLess(time.monotonic() - start, 1, n)

    def test_all_kinds_at_once(self):
        """2000 clients that do as they like, by a fixed seed, against the ASan build: afterwards every
        connection is gone and every probe is answered."""
        program = f"{harness.ASAN_BIN}/holdfast-health"
        if not os.path.exists(program):
            self.skipTest("the ASan build is not there")
        bed = Bed(self, program=program, units=1000, uid=NO_UID)

        def n_fds():
            # As any other uid, /proc/PID/fd of a process that is not dumpable is closed to us.
            return len(os.listdir(f"/proc/{bed.pid}/fd")) if harness.is_root() else 0

        at_rest = n_fds()
        chance = random.Random(7)
        requests = [r for r, _ in Requests.ROWS] + [
            b"GET %s HTTP/1.1\r\n" % path + HOST + b"\r\n"
            for path in (b"/metrics", b"/health", b"/livez", b"/readyz?verbose", b"/livez?exclude=init")]
        clients = []
        for n in range(2000):
            s = socket.socket()
            s.setblocking(False)
            if chance.random() < 0.3:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect_ex(("127.0.0.1", bed.port))
            clients.append(s)
            for _ in range(chance.randrange(4)):
                data = b"".join(chance.choices(requests, k=chance.randrange(1, 6)))
                with contextlib.suppress(OSError):
                    s.send(data[:chance.randrange(1, len(data) + 1)])
            if n % 40 == 0:
                bed.do(chance.choice(("restarts 1 %d" % n, "answer init off", "answer init on",
                                      "unit 0 failed signal", "unit 0 running success 1", "log 1")))
                self.assertEqual(bed.get("/startupz").status, 200)
            if chance.random() < 0.7:
                victim = clients.pop(chance.randrange(len(clients)))
                if chance.random() < 0.3:
                    victim.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                elif chance.random() < 0.5:
                    with contextlib.suppress(OSError):
                        victim.recv(1 << 16)
                victim.close()
        bed.do("answer init on", "unit 0 running success 1")
        self.assertEqual(bed.get("/livez").status, 200)
        for client in clients:
            client.close()
        self.assertEqual(bed.get("/readyz").status, 200)
        harness.wait_until(lambda: n_fds() == at_rest, "all connections are closed")
        self.assertNotIn("ERROR: ", bed.process.text)

    def test_deadlines(self):
        """A request that never ends is dropped, however lively it drips."""
        bed = Bed(self)
        with bed.connect() as client:
            client.send(b"GET /readyz HTTP/1.1\r\nX: ")
            start = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while not select.select([client.socket], [], [], 0.2)[0]:
                    client.send(b"a")
                    self.assertLess(time.monotonic() - start, 8)
                self.assertEqual(client.socket.recv(100), b"")
            self.assertGreater(time.monotonic() - start, 4)

    def test_many_keep_alive(self):
        """More idle connections than there are slots: the newest is always served."""
        bed = Bed(self)
        with contextlib.ExitStack() as stack:
            for _ in range(400):
                client = stack.enter_context(bed.connect())
                client.send(b"GET /readyz HTTP/1.1\r\n" + HOST + b"\r\n")
                self.assertEqual(client.answer().status, 200)


class Process(harness.Case):
    def test_killed_with_a_backlog(self):
        """Requests that come between death and respawn wait in the listener and are answered."""
        bed = Bed(self)
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                self.assertEqual(bed.get("/readyz").status, 200)
                bed.stop()
                clients = [stack.enter_context(bed.connect()) for _ in range(20)]
                for client in clients:
                    client.send(b"GET /readyz HTTP/1.1\r\n" + HOST + b"\r\n")
                bed.start()
                for client in clients:
                    self.assertEqual(client.answer().status, 200)

    def test_locked_in(self):
        bed = Bed(self)
        self.assertEqual(status_field(bed.pid, "Seccomp"), ["2"])
        self.assertEqual(status_field(bed.pid, "NoNewPrivs"), ["1"])
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(status_field(bed.pid, name)[0], 16), 0, name)
        self.assertEqual(status_field(bed.pid, "Threads"), ["1"])
        if harness.is_root():
            self.assertEqual(status_field(bed.pid, "Uid"), [str(UID)] * 4)
            self.assertEqual(status_field(bed.pid, "Gid"), [str(UID)] * 4)
            self.assertEqual(status_field(bed.pid, "Groups"), [])
            # Not dumpable: its /proc belongs to root.
            self.assertEqual(os.stat(f"/proc/{bed.pid}/fd").st_uid, 0)
            self.assertNotIn("missing", bed.process.text)

    def test_holds_nothing_but_its_own(self):
        if not harness.is_root():
            self.skipTest("its /proc/PID/fd is root's")
        bed = Bed(self)
        self.assertEqual(bed.get("/metrics").status, 200)

        def listing():
            found = {}
            for n in os.listdir(f"/proc/{bed.pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    found[n] = os.readlink(f"/proc/{bed.pid}/fd/{n}").replace(" (deleted)", "")
            # The listener alone: the connection above is closed by now, or soon.
            return sum(f.startswith("socket:") for f in found.values()) == 1 and found

        fds = harness.wait_until(listing, "only the listener is left")
        self.assertEqual(sorted(f for f in fds.values() if f.startswith("/memfd:")),
                         ["/memfd:board", "/memfd:holdfast-store", "/memfd:journal", "/memfd:plan",
                          "/memfd:ring"])
        self.assertEqual(sum(f == "anon_inode:[eventfd]" for f in fds.values()), 3)
        others = {f for f in fds.values() if not re.match("/memfd:|anon_inode:|socket:|pipe:", f)}
        self.assertEqual(others, {"/dev/null"} & others)
        for n, target in fds.items():
            if target in ("/memfd:board", "/memfd:journal", "/memfd:ring"):
                with open(f"/proc/{bed.pid}/fdinfo/{n}", encoding="ascii") as f:
                    flags = int(re.search(r"flags:\s*(\d+)", f.read()).group(1), 8)
                self.assertEqual(flags & os.O_ACCMODE, os.O_RDONLY, target)

    def test_idle_makes_no_wakeups(self):
        bed = Bed(self)
        self.assertEqual(bed.get("/readyz").status, 200)

        def switches():
            return (int(status_field(bed.pid, "voluntary_ctxt_switches")[0]) +
                    int(status_field(bed.pid, "nonvoluntary_ctxt_switches")[0]))

        def asleep():
            with open(f"/proc/{bed.pid}/stat", encoding="ascii") as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "S"

        harness.wait_until(asleep, "health sleeps")
        before = switches()
        # The board, the journal and the log may change: nobody asked.
        bed.do("unit 0 failed exit-code", "deaths 3", "log 100", "unit 0 running success 1")
        select.select([], [], [], 1.5)
        self.assertEqual(switches(), before)
        self.assertEqual(bed.get("/readyz").status, 200)

    def test_ends_with_its_parent(self):
        bed = Bed(self)
        harness.become_subreaper()
        os.kill(bed.process.pid, 9)
        bed.process.child.wait()
        _, status = os.waitpid(bed.pid, 0)
        self.assertEqual(os.WTERMSIG(status), 9)

    def test_not_started_by_hand(self):
        done = subprocess.run([HEALTH], capture_output=True, check=False, close_fds=True)
        self.assertEqual(done.returncode, 64)
        self.assertIn(b"holdfast starts this program", done.stderr)


class Elsewhere(harness.Case):
    """With less than this machine gives."""

    def look(self, bed):
        for path in ("/readyz", "/livez", "/startupz", "/health", "/metrics"):
            self.assertEqual(bed.get(path).status, 200, path)

    def test_old_kernel(self):
        self.look(Bed(self, wrap=[f"{harness.APPS}/enosys", "--"]))

    def test_no_seccomp_call(self):
        """seccomp(2) hidden by a profile: prctl(2) enters the same filter."""
        bed = Bed(self, wrap=[f"{harness.APPS}/enosys", "-e", "seccomp", "--"])
        self.look(bed)
        self.assertEqual(status_field(bed.pid, "Seccomp"), ["2"])
        self.assertNotRegex(bed.process.text, "missing:[^\"]*seccomp")

    def test_no_privilege(self):
        """uid 1000 without a capability: no own uid, and that is said."""
        if not harness.is_root():
            self.skipTest("already so")
        os.chmod(self.dir, 0o777)
        bed = Bed(self, wrap=["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups",
                              "--inh-caps=-all", "--no-new-privs"])
        self.look(bed)
        self.assertEqual(status_field(bed.pid, "Uid"), ["1000"] * 4)
        self.assertEqual(status_field(bed.pid, "Seccomp"), ["2"])
        self.assertIn("missing: own uid", bed.process.text)

    def test_root_that_cannot_change_ids(self):
        """A container with all capabilities dropped: root, but no CAP_SETUID."""
        if not harness.is_root():
            self.skipTest("needs root")
        bed = Bed(self, wrap=["setpriv", "--bounding-set=-all", "--inh-caps=-all"])
        self.look(bed)
        self.assertIn("missing: own uid", bed.process.text)

    def test_under_sanitizers(self):
        """The same requests against the ASan build, for what the release build would not notice."""
        program = f"{harness.ASAN_BIN}/holdfast-health"
        if not os.path.exists(program):
            self.skipTest("the ASan build is not there")
        bed = Bed(self, program=program, units=200, uid=NO_UID)
        self.look(bed)
        bed.do("log 3")
        for request, status in Requests.ROWS:
            with bed.connect() as client:
                client.send(request)
                self.assertEqual(client.answer().status, status, request[:60])
        self.look(bed)
        self.assertNotIn("ERROR: ", bed.process.text)


if __name__ == "__main__":
    harness.main()
