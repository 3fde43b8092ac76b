#!/usr/bin/env python3
"""holdfastctl against the public files of an instance: good, changing, hostile and missing ones."""
import http.server
import json
import os
import re
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

CTL = f"{harness.BIN}/holdfastctl"
BED = f"{harness.APPS}/ctlbed"


def unit_states():
    """The numbers of enum unit_state, from the list that it is made of."""
    with open(f"{harness.ROOT}/lib/board.h", encoding="utf-8") as f:
        names = re.findall(r'X\((\w+), "[\w-]+", "\w+"\)', f.read())
    return {name: number for number, name in enumerate(names)}


INACTIVE, RUNNING, EXITED, FAILED = (unit_states()[n] for n in
                                     ("INACTIVE", "RUNNING", "EXITED", "FAILED"))
SUCCESS, EXIT_CODE, SIGNAL, DEPENDENCY = 0, 3, 4, 12
READY, MAIN_EXITED, CONDITION_UNMET = 1, 8, 16
IS_JSON, IS_OWN, PART = 1, 2, 4
DB, WEB, MIGRATE, EXTRA, PROBED = range(5)


class Bed(harness.Case):
    def setUp(self):
        super().setUp()
        self.run_dir = os.path.join(self.dir, "run")
        os.mkdir(self.run_dir)
        self.bed = self.start(BED, self.run_dir, stdin=subprocess.PIPE)
        self.answers = 1
        self.bed.wait_for("ok\n")

    def tell(self, *commands):
        for command in commands:
            start = len(self.bed.output)
            self.bed.child.stdin.write(command.encode() + b"\n")
            self.bed.child.stdin.flush()
            self.bed.wait_for("ok\n", start=start)

    def set_unit(self, index, state, result=SUCCESS, flags=0, code=0, status=0, exec_error=0, restarts=0, pid=0):
        self.tell(f"unit {index} {state} {result} {flags} {code} {status} {exec_error} {restarts} {pid}")

    def all_up(self):
        self.tell("phase 2")
        self.set_unit(DB, RUNNING, flags=READY, pid=os.getpid())
        self.set_unit(WEB, RUNNING, flags=READY)
        self.set_unit(MIGRATE, INACTIVE, flags=MAIN_EXITED)
        self.set_unit(PROBED, RUNNING, flags=READY)

    def ctl(self, *arguments, env=None, program=CTL):
        return subprocess.run([program, "--run", self.run_dir, *arguments], capture_output=True, text=True,
                              check=False, timeout=harness.DEADLINE, env=env)

    def dump(self, *arguments, **options):
        done = self.ctl("dump", *arguments, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.endswith("\n"))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(lines[0]["type"], "dump")
        self.assertEqual(lines[0]["schema"], 1)
        self.assertEqual(lines[-1], {"type": "end", "lines": len(lines)})
        return lines


def of_type(lines, *kinds):
    return [line for line in lines if line["type"] in kinds]


class Status(Bed):
    def row(self, text, name):
        return next(line for line in text.splitlines() if line.startswith(name)).split()

    def test_all_is_well(self):
        self.all_up()
        done = self.ctl("status")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.splitlines()[0].split(),
                         ["UNIT", "STATE", "SINCE", "PID", "RESTARTS", "MEMORY", "LAST", "EXIT", "WHY"])
        row = self.row(done.stdout, "db.service")
        self.assertEqual((row[1], row[3], row[4]), ("running", str(os.getpid()), "0"))
        self.assertRegex(row[5], r"^\d+(\.\d)?[KMG]$")
        self.assertIn("The instance is running, up for ", done.stdout)
        self.assertIn("image shop 2026.1", done.stdout)

    def test_what_is_enforced_and_what_is_not(self):
        text = self.ctl("status").stdout
        self.assertRegex(text, r"\nroot +enforced +read-only mount\n")
        self.assertRegex(text, r"\nshells +NOT ENFORCED +none: no CAP_SYS_ADMIN\n")

    def test_a_wanted_unit_that_is_not_up_is_status_3(self):
        self.all_up()
        for index, state, result, flags, expected in (
                (WEB, FAILED, EXIT_CODE, MAIN_EXITED, 3), (EXTRA, FAILED, EXIT_CODE, 0, 0), (MIGRATE, INACTIVE, SUCCESS, 0, 3),
                (MIGRATE, EXITED, SUCCESS, 0, 0), (DB, INACTIVE, SUCCESS, CONDITION_UNMET, 0), (PROBED, RUNNING, SUCCESS, 0, 3)):
            with self.subTest(index=index, state=state, flags=flags):
                self.all_up()
                self.set_unit(index, state, result, flags, code=1, status=1)
                self.assertEqual(self.ctl("status").returncode, expected)
                self.assertEqual(self.ctl("status", "--json").returncode, expected)

    def test_named_units(self):
        self.all_up()
        done = self.ctl("status", "db.service")
        self.assertEqual(done.returncode, 0)
        self.assertNotIn("web.service", done.stdout)
        self.assertEqual(self.ctl("status", "db").returncode, 0)
        self.assertEqual(self.ctl("status", "extra").returncode, 3)
        done = self.ctl("status", "nosuch.service")
        self.assertEqual((done.returncode, done.stdout), (4, ""))
        self.assertIn("nosuch.service", done.stderr)

    def test_why_and_the_last_exit(self):
        cases = [
            (dict(state=FAILED, result=EXIT_CODE, code=1, status=7), "exited 7", "it ended with a failure"),
            (dict(state=FAILED, result=SIGNAL, code=2, status=11), "SIGSEGV", "it was killed by a signal"),
            (dict(state=FAILED, result=EXIT_CODE, code=1, status=203, exec_error=203), "203/EXEC", "its program cannot be executed"),
            (dict(state=FAILED, result=EXIT_CODE, code=1, status=217, exec_error=217), "217/USER", "its process could not be set up"),
        ]
        for case, last, why in cases:
            self.set_unit(WEB, **case)
            line = next(l for l in self.ctl("status").stdout.splitlines() if l.startswith("web.service"))
            self.assertIn(f"  {last}  ", line)
            self.assertTrue(line.endswith(why), line)
        self.set_unit(DB, FAILED, EXIT_CODE)
        self.set_unit(WEB, FAILED, DEPENDENCY)
        self.assertIn("db.service, which it requires, failed", self.ctl("status").stdout)

    def test_json(self):
        self.all_up()
        self.set_unit(WEB, FAILED, SIGNAL, MAIN_EXITED, code=2, status=9, restarts=4)
        self.tell("text 1 busy \x1b[2J \u00e9", "cause 1 4 137")
        done = self.ctl("status", "--json")
        status = json.loads(done.stdout)
        self.assertEqual((status["phase"], status["started"], status["cause_unit"], status["exit_status"]),
                         ("running", True, "web.service", 137))
        web = next(u for u in status["units"] if u["name"] == "web.service")
        self.assertEqual((web["state"], web["active"], web["up"], web["wanted"], web["restarts"], web["last_exit"]),
                         ("failed", "failed", False, True, 4, "SIGKILL"))
        self.assertEqual(web["text"], "busy ?[2J \u00e9")
        self.assertEqual([p["level"] for p in status["protections"]], ["full", "none"])
        only = json.loads(self.ctl("status", "--json", "db", "web").stdout)
        self.assertEqual([u["name"] for u in only["units"]], ["db.service", "web.service"])

    def test_a_services_text_moves_no_cursor(self):
        self.tell("text 1 \x1b]0;x\x07 \u009b31m \x7f", "text 0 " + "\u00e9" * 60)
        text = self.ctl("status").stdout
        self.assertFalse([c for c in text if (ord(c) < 32 and c != "\n") or 0x7f <= ord(c) < 0xa0])

    def test_states_are_never_torn(self):
        """While the writer publishes as fast as it can, every state that is read is one that was
        published: three fields agree; and every line of the log is whole."""
        self.bed.child.stdin.write(b"flip\n")
        self.bed.child.stdin.flush()
        seen, n_lines = set(), 0
        end = time.monotonic() + 3
        while time.monotonic() < end and len(seen) < 150:
            status = json.loads(self.ctl("status", "--json", "db").stdout)["units"][0]
            self.assertEqual(status["last_exit"] or "exited 0", f"exited {status['restarts']}")
            seconds = time.mktime(time.strptime(status["since"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
            if status["restarts"]:
                self.assertEqual(int(seconds), status["restarts"])
            seen.add(status["restarts"])
        end = time.monotonic() + harness.DEADLINE
        while n_lines < 500 and time.monotonic() < end:
            lines = of_type(self.dump(), "log")
            last = 0
            for line in lines:
                self.assertGreater(line["seq"], last)
                last = line["seq"]
                if "lost" not in line:
                    self.assertRegex(line["msg"], rf"^<{line['seq']}>0+$")
                    n_lines += 1
                else:
                    last += line["lost"] - 1
        self.assertGreater(len(seen), 10)
        self.assertGreaterEqual(n_lines, 500)
        self.tell("phase 2")


class Dump(Bed):
    def test_every_part_is_there(self):
        self.all_up()
        self.tell(f"line {IS_JSON | IS_OWN} 2 0 1000 " + '{"level":"info","event":"unit-started","msg":"up"}',
                  f"line {IS_JSON} 0 1 1000 " + '{"a":[1,{"b":null}],"t":"\u00e9"}', f"line {PART} 1 0 1000 plain \t\x01 text")
        lines = self.dump()
        kinds = {line["type"] for line in lines}
        self.assertLessEqual({"dump", "image", "config", "protection", "unit", "event", "log", "mount", "process", "secret",
                              "scratch", "log_state", "end"}, kinds)
        event = of_type(lines, "event")[0]
        self.assertEqual((event["by"], event["json"]["event"]), ("holdfast-supervisor", "unit-started"))
        first, second = of_type(lines, "log")
        self.assertEqual((first["unit"], first["stream"], first["json"]), ("db.service", "stderr", {"a": [1, {"b": None}], "t": "\u00e9"}))
        self.assertEqual((second["unit"], second["msg"], second["part"]), ("web.service", "plain \t\x01 text", 0))
        me = next(p for p in of_type(lines, "process") if p["pid"] == os.getpid())
        self.assertEqual(me["unit"], "db.service")
        self.assertGreater(me["rss_bytes"], 1 << 20)
        self.assertEqual(next(u for u in of_type(lines, "unit") if u["unit"] == "web.service")["requires"], ["db.service"])
        self.assertIn("/", [m["path"] for m in of_type(lines, "mount")])

    def test_the_cause_comes_right_behind_the_head(self):
        self.set_unit(WEB, FAILED, EXIT_CODE, MAIN_EXITED, code=1, status=3)
        self.assertEqual(of_type(self.dump(), "cause"), [])
        self.tell(f"cause {WEB} {EXIT_CODE} 3")
        cause = self.dump()[1]
        self.assertEqual((cause["type"], cause["unit"], cause["result"], cause["exit_status"]), ("cause", "web.service", "exit-code", 3))

    def test_no_secret_and_no_foreign_variable(self):
        planted = "pl4nted-Ahz8aeng"
        child = self.start("/bin/sh", "-c", "read x", planted, stdin=subprocess.PIPE, env={"SECRET": planted})
        self.set_unit(DB, RUNNING, pid=child.pid)
        env = {"DB_PASSWORD": planted, "AWS_SECRET_ACCESS_KEY": planted, "VAULT_TOKEN": planted, "HOLDFAST_SECRET": planted,
               "AWS_REGION": "eu-central-1", "TZ": "UTC"}
        done = self.ctl("dump", env=env)
        self.assertNotIn("pl4nted", done.stdout)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(of_type(lines, "config")[0]["environment"], {"AWS_REGION": "eu-central-1", "TZ": "UTC"})
        secrets = of_type(lines, "secret")
        self.assertEqual([(s["unit"], s["name"], s.get("source"), s["secret"], s["optional"]) for s in secrets],
                         [("web.service", "DB_PASSWORD", "file", True, False), ("web.service", "LOG_LEVEL", None, False, True)])
        self.assertNotIn("pl4nted", self.ctl("status", env=env).stdout)

    def test_since(self):
        hour = 3600 * 1000000
        self.tell(f"line 0 0 0 {2 * hour} old", f"line {IS_OWN} 2 0 {2 * hour} older", f"line 0 0 0 {hour // 60} new")
        cases = [((), ["old", "older", "new"]), (("--since", "5min"), ["new"]), (("--since", "90min"), ["new"]),
                 (("--since", "1d"), ["old", "older", "new"]), (("--since", "1970-01-01T00:00:00Z"), ["old", "older", "new"]),
                 (("--since", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 600))), ["new"]),
                 (("--since", time.strftime("%Y-%m-%dT%H:%M:%S.25+05:30", time.gmtime(time.time() - 600 + 19800))), ["new"]),
                 (("--since", "2100-01-01T00:00:00Z"), [])]
        for arguments, expected in cases:
            self.assertEqual([l["msg"] for l in of_type(self.dump(*arguments), "log", "event")], expected, arguments)
        for bad in ("", "yesterday", "5 min", "-5min", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "99999999999d"):
            done = self.ctl("dump", "--since", bad)
            self.assertEqual((done.returncode, done.stdout), (64, ""), bad)

    def test_what_claims_to_be_json_is_looked_at(self):
        bad = ['{"a":1', '{"a":1}}', '{"a":1}x', '{a:1}', '{"a":01}', '{"a":"\x01"}', '[1]', 'x', '{"a":1,}', '{"a":[1,]}', '{"":"\\x"}',
               '{"a":tru}', '{"a"}', '{"a":' + "[" * 32 + "]" * 32 + "}", '{"type":"end","lines":1', '{"a":-}', '{"a":1.}', '{"a":1e}']
        good = ['{}', '{"a":{}}', '{"a":[]}', ' { "a" : [ 1 , -2.5e+3 , true , false , null , "\\u00e9\\n" ] } ', '{"a":' + "[" * 31 + "]" * 31 + "}"]
        self.tell(*[f"line {IS_JSON} 0 0 0 {text}" for text in bad], *[f"line {IS_JSON} 0 0 0 {text}" for text in good])
        lines = of_type(self.dump(), "log")
        self.assertEqual([l.get("msg") for l in lines[:len(bad)]], bad)
        # (the bed drops the white space in front)
        self.assertEqual([l["json"] for l in lines[len(bad):]], [json.loads(text) for text in good])

    def test_a_full_ring_of_the_longest_lines(self):
        self.tell(*["line 0 0 0 0 " + "\x01" * 16384] * 6)
        lines = of_type(self.dump(), "log")
        self.assertGreaterEqual(len(lines), 2)
        self.assertTrue(all(l["msg"] == "\x01" * 16384 for l in lines))

    def test_it_works_while_everything_is_stopped(self):
        self.tell("line 0 0 0 0 hello")
        self.bed.send(signal.SIGSTOP)
        try:
            self.assertEqual(of_type(self.dump(), "log")[0]["msg"], "hello")
            self.assertEqual(self.ctl("status").returncode, 3)
        finally:
            self.bed.send(signal.SIGCONT)
        self.bed.close()
        self.assertEqual(of_type(self.dump(), "log")[0]["msg"], "hello")

    def test_a_reader_that_goes_away_and_a_full_disk(self):
        done = subprocess.run(["/bin/sh", "-c", f'"{CTL}" --run "{self.run_dir}" dump | head -1'], capture_output=True,
                              text=True, check=False, timeout=harness.DEADLINE)
        self.assertEqual((json.loads(done.stdout)["type"], done.stderr), ("dump", ""))
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([CTL, "--run", self.run_dir, "dump"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=10)
        self.assertEqual(done.returncode, 74)

    def test_a_pipe_that_others_write_to_as_well(self):
        """Non-blocking, full, and with another writer: lines of up to PIPE_BUF bytes stay whole."""
        self.tell(*["line 0 0 0 0 " + "x" * 1000] * 50)
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        children = [subprocess.Popen([CTL, "--run", self.run_dir, "dump"], stdout=write_end) for _ in range(3)]
        os.close(write_end)
        with open(read_end, "rb") as f:
            lines = [json.loads(line) for line in f]
        self.assertEqual([child.wait(harness.DEADLINE) for child in children], [0, 0, 0])
        ends = of_type(lines, "end")
        self.assertEqual(len(ends), 3)
        self.assertEqual(sum(e["lines"] for e in ends), len(lines))

    def test_it_is_explained(self):
        self.all_up()
        self.tell(f"line 0 {DB} 1 5000 no space left")
        self.set_unit(DB, FAILED, EXIT_CODE, MAIN_EXITED, code=1, status=3)
        self.set_unit(WEB, FAILED, DEPENDENCY)
        self.tell(f"cause {WEB} {DEPENDENCY} 1")
        done = subprocess.run([f"{harness.ASAN_BIN}/holdfast-explain"], input=self.ctl("dump").stdout, capture_output=True,
                              text=True, check=False, timeout=harness.DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "First: db.service exited with status 3.")
        self.assertIn("no space left", done.stdout)
        self.assertIn("Because of it web.service was not started.", done.stdout)
        self.assertIn("The instance ended with exit status 1 because web.service, which is essential, failed.", done.stdout)

    def test_seal_and_other_options_are_refused(self):
        for arguments in (("--seal", "key"), ("--nonsense",), ("x",), ("--since",)):
            done = self.ctl("dump", *arguments)
            self.assertEqual((done.returncode, done.stdout), (64, ""))
            self.assertTrue(done.stderr.startswith("holdfastctl: "))


class Hostile(Bed):
    def test_damaged_files_never_crash_it(self):
        """Cut, emptied and overwritten at random: an answer or a refusal, never a signal, and what is
        printed is valid JSON."""
        rng = random.Random(7)
        self.all_up()
        self.tell("line 0 0 0 0 hello")
        self.bed.close()
        good = {}
        for name in ("plan", "board", "ring"):
            with open(f"{self.run_dir}/{name}", "rb") as f:
                good[name] = f.read()
        outcomes = set()
        for i in range(120):
            name = ("plan", "board", "ring")[i % 3]
            data = bytearray(good[name])
            if i % 10 == 0:
                data = data[:rng.randrange(len(data))]
            for _ in range(rng.randrange(1, 6)):
                if data:
                    at = rng.randrange(min(len(data), 8192))
                    data[at] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
            with open(f"{self.run_dir}/{name}", "wb") as f:
                f.write(data)
            for arguments in (("status", "--json"), ("dump",)):
                done = subprocess.run([f"{harness.ASAN_BIN}/holdfastctl", "--run", self.run_dir, *arguments],
                                      capture_output=True, check=False, timeout=harness.DEADLINE)
                self.assertIn(done.returncode, (0, 3, 69), done.stderr)
                outcomes.add(done.returncode)
                if done.returncode == 69:
                    self.assertEqual(done.stdout, b"")
                elif arguments == ("dump",):
                    lines = [json.loads(line) for line in done.stdout.splitlines()]
                    self.assertEqual(lines[-1]["lines"], len(lines))
                else:
                    json.loads(done.stdout)
            with open(f"{self.run_dir}/{name}", "wb") as f:
                f.write(good[name])
        # Whether chance meets a unit's state (3) is the layout's.
        self.assertLessEqual({0, 69}, outcomes)

    def test_without_its_log_the_rest_is_still_told(self):
        os.truncate(f"{self.run_dir}/ring", 4096)
        self.assertEqual(len(of_type(self.dump(), "log_state")), 0)
        self.assertEqual(self.ctl("status").returncode, 3)

    def test_files_of_another_instance_do_not_mix(self):
        with open(f"{self.run_dir}/board", "r+b") as f:
            data = f.read()
            f.seek(0)
            f.truncate()
            f.write(data[:100])
        done = self.ctl("status")
        self.assertEqual((done.returncode, done.stdout), (69, ""))
        self.assertIn("not those of this version, or damaged", done.stderr)

    def test_links_and_devices_are_not_followed(self):
        os.rename(f"{self.run_dir}/plan", f"{self.dir}/plan")
        os.symlink(f"{self.dir}/plan", f"{self.run_dir}/plan")
        self.assertEqual(self.ctl("status").returncode, 69)
        os.unlink(f"{self.run_dir}/plan")
        os.mkfifo(f"{self.run_dir}/plan")
        self.assertEqual(self.ctl("status").returncode, 69)


class Search(Bed):
    def inside(self, script):
        """In a mount namespace whose /run and /dev/shm are ours alone."""
        return subprocess.run(["unshare", "-m", "--propagation", "private", "/bin/sh", "-ec",
                               f"mount -t tmpfs none /run; mount -t tmpfs none /dev/shm; {script}"],
                              capture_output=True, text=True, check=False, timeout=harness.DEADLINE)

    def test_where_it_looks(self):
        status = f'"{CTL}" status --json db'
        cases = [
            (f"cp -r {self.run_dir} /run/holdfast; {status}", 3),
            (f"cp -r {self.run_dir} /dev/shm/holdfast; {status}", 3),
            (f"cp -r {self.run_dir} /run/holdfast.$$; {status}", 3),
            (f"cp -r {self.run_dir} /run/holdfast.99999999; {status}", 69),
            (f"cp -r {self.run_dir} /run/holdfast.$$; cp -r {self.run_dir} /run/holdfast.1; {status}", 69),
            (status, 69),
        ]
        for script, expected in cases:
            done = self.inside(script)
            self.assertEqual(done.returncode, expected, (script, done.stderr))
        self.assertIn("no instance runs here", done.stderr)
        done = self.inside(f'"{CTL}" dump')
        self.assertEqual((done.returncode, done.stdout), (69, ""))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        status = {"/no": 503, "/moved": 302, "/big": 500}.get(self.path, 200)
        body = b"[-]db failed\x1b[2J\n" if status != 500 else b"x" * 100000
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Probe(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.seen = []
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def probe(self, *arguments, env=None):
        return subprocess.run([CTL, "--run", self.dir, "probe", *arguments], capture_output=True, text=True, check=False,
                              timeout=harness.DEADLINE, env=env or {})

    def test_urls(self):
        url = f"http://127.0.0.1:{self.port}"
        for path, expected in (("/ok?a=b", 0), ("/moved", 0), ("/no", 1), ("/big", 1), ("", 0), ("#x", 0)):
            done = self.probe(url + path)
            self.assertEqual(done.returncode, expected, done.stderr)
            if expected == 0:
                self.assertEqual((done.stdout, done.stderr), ("", ""))
        done = self.probe(url + "/no")
        self.assertEqual(done.stdout, "[-]db failed?[2J\n")
        self.assertIn("/no answered 503", done.stderr)
        self.assertEqual(len(self.probe(url + "/big").stdout), 4096)
        path, headers = self.server.seen[0]
        self.assertEqual((path, headers["Host"], headers["Connection"]), ("/ok?a=b", f"127.0.0.1:{self.port}", "close"))

    def test_health_of_this_instance(self):
        env = {"HOLDFAST_HEALTH_LISTEN": f"0.0.0.0:{self.port}"}
        for arguments, path in (((), "/readyz"), (("--ready",), "/readyz"), (("--live",), "/livez")):
            self.assertEqual(self.probe(*arguments, env=env).returncode, 0)
            self.assertEqual(self.server.seen[-1][0], path)

    @unittest.skipUnless(harness.is_root(), "namespaces and mounts need root")
    def test_localhost_in_an_image_without_a_hosts_file(self):
        hosts = self.write("hosts", "")
        done = subprocess.run(["unshare", "--mount", "sh", "-c", f"mount --bind {hosts} /etc/hosts && exec \"$@\"", "sh",
                               CTL, "--run", self.dir, "probe", f"http://localhost:{self.port}/ok"],
                              capture_output=True, text=True, check=False, timeout=harness.DEADLINE)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_who_does_not_answer(self):
        with socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))
            dead.listen(8)
            port = dead.getsockname()[1]
            start = time.monotonic()
            done = self.probe("--timeout", "300ms", f"http://127.0.0.1:{port}/")
            self.assertEqual(done.returncode, 1)
            self.assertLess(time.monotonic() - start, 2)
            self.assertIn("gave no answer", done.stderr)
        done = self.probe(f"http://127.0.0.1:{port}/")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot connect", done.stderr)

    def answers(self, data):
        """What the probe says of a server that sends data and closes."""
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(1)
            child = self.start(CTL, "probe", "--timeout", "5s", f"http://127.0.0.1:{server.getsockname()[1]}/")
            peer, _ = server.accept()
            with peer:
                got = b""
                while b"\r\n\r\n" not in got:
                    got += peer.recv(4096)
                peer.sendall(data)
                peer.shutdown(socket.SHUT_WR)
                status = child.wait()
        return status, child.text

    def test_answers_that_are_none(self):
        for data in (b"", b"HTTP/1.1", b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 099 x\r\n\r\n", b"\0" * 5000):
            status, text = self.answers(data)
            self.assertEqual(status, 1, data)
            self.assertIn("does not speak HTTP", text)
        self.assertEqual(self.answers(b"HTTP/1.0 200 OK\r\n\r\n")[0], 0)
        self.assertEqual(self.answers(b"HTTP/1.1 503 x\r\nContent-Length: 99999999999999999999\r\n\r\nwhy")[0], 1)

    def test_usage(self):
        for arguments in (("ftp://x/",), ("https://x/",), ("http://",), ("http://x:0/",), ("http://x:99999/",), ("http://[::1/",), ("--nonsense",),
                          ("--ready", "--live"), ("http://x/", "http://y/"), ("--timeout", "0"), ("--timeout", "x"), ("--timeout",),
                          ("http://x/a b",), ("http://x/a\r\nHost: y",), ("http://" + "h" * 300,), ("http://x/" + "p" * 3000,)):
            self.assertEqual(self.probe(*arguments).returncode, 64, arguments)


class Small(harness.Case):
    def ctl(self, *arguments):
        return subprocess.run([CTL, *arguments], capture_output=True, text=True, check=False, timeout=harness.DEADLINE)

    def test_version(self):
        with open(f"{harness.ROOT}/VERSION", encoding="ascii") as f:
            version = f.read().strip()
        self.assertEqual(self.ctl("version").stdout, f"holdfast {version}\n")
        self.assertEqual(self.ctl("version", "x").returncode, 64)
        with open("/dev/full", "w", encoding="ascii") as full:
            self.assertEqual(subprocess.run([CTL, "version"], stdout=full, check=False).returncode, 74)

    def test_sleep(self):
        start = time.monotonic()
        self.assertEqual(self.ctl("sleep", "0.2").returncode, 0)
        self.assertGreaterEqual(time.monotonic() - start, 0.2)
        self.assertEqual(self.ctl("sleep", "1ms").returncode, 0)
        for arguments in ((), ("x",), ("-1",), ("1", "2"), ("1x",), (".5",), ("1.",), ("99999999999999999999",)):
            self.assertEqual(self.ctl("sleep", *arguments).returncode, 64, arguments)
        child = self.start(CTL, "sleep", "1h")
        child.send(signal.SIGTERM)
        self.assertEqual(child.wait(), -signal.SIGTERM)

    def test_usage(self):
        for arguments in ((), ("nonsense",), ("--run",), ("--run", "x"), ("status", "--nonsense")):
            done = self.ctl(*arguments)
            self.assertEqual((done.returncode, done.stdout), (64, ""))
            self.assertNotEqual(done.stderr, "")
        self.assertEqual(self.ctl("--help").returncode, 0)


if __name__ == "__main__":
    harness.main()
