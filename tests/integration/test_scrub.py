#!/usr/bin/env python3
"""What a service prints of its secrets is hidden: in the output, the ring, the dump, status and health."""
import base64
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

CTL = f"{harness.BIN}/holdfastctl"
# With what JSON, URLs and shells escape; and lines, as keys have them.
ODD = 'pl4nted "quo\\te" <&> caf\u00e9/1'
PLAIN = "pl4nted-eiPhoh7o"
KEY = "-----BEGIN KEY-----\npl4ntedMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAo\npl4ntedQDc2Xk=\n-----END KEY-----\n"
CONFIG = "not-a-secret-at-all"

SERVICE = r'''#!%s
import base64, json, os, signal, socket, sys, urllib.parse
odd, plain, key = os.environ["ODD"], os.environ["PLAIN"], os.environ["KEY"]
def say(text, fd=1):
    while text:
        text = text[os.write(fd, text):]
say(b"line " + odd.encode() + b" " + plain.encode() + b"\n")
say(plain.encode()[:9]); say(plain.encode()[9:] + b"\n")
say(plain.encode() + b"\n", 2)
say(b"environment " + repr(dict(os.environ)).encode() + b"\n")
for ascii in (True, False):
    inner = json.dumps({"odd": odd, "key": key}, ensure_ascii=ascii)
    say(json.dumps({"kept": "yes", "plain": plain, "inner": inner, "odd": [odd, key]}, ensure_ascii=ascii).encode() + b"\n")
say(b"GET /?q=" + urllib.parse.quote(odd, safe="").encode() + b"\n")
say(b"Authorization: Basic " + base64.b64encode(b"user:" + plain.encode()) + b"\n")
say(key.encode())
for at in (15340, 15350, 15359):
    say(b"." * at + plain.encode() + b"." * 3000 + b"\n")
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
address = os.environ["NOTIFY_SOCKET"]
notify.connect("\0" + address[1:] if address[0] == "@" else address)
notify.send(b"READY=1\nSTATUS=connected with " + plain.encode() + b" to " + os.environ["CONFIG"].encode())
say(b"config " + os.environ["CONFIG"].encode() + b"\nall is said\n")
signal.pause()
''' % sys.executable


class Scrubbing(instance.Case):
    def start(self, log_format):
        script = self.write("service.py", SERVICE, mode=0o755)
        self.write("credentials/key", KEY)
        unit = (f"[Service]\nType=notify\nExecStart={script}\n[X-Holdfast]\n"
                f"Secret=ODD file:{self.write('odd', ODD)}\nSecret=PLAIN env:GIVEN\nSecret=KEY cred:key\n"
                f"Config=CONFIG file:{self.write('config', CONFIG)}\nSecret=SHORT file:{self.write('short', 'tiny')}\n")
        return self.instance({"web.service": unit}, ["web.service"], health=True,
                             env={"HOLDFAST_LOG_FORMAT": log_format, "GIVEN": PLAIN, "CREDENTIALS_DIRECTORY": f"{self.dir}/credentials"})

    def assert_clean(self, text, where):
        text = text if isinstance(text, bytes) else text.encode()
        base = base64.b64encode(b"user:" + PLAIN.encode())[8:-4]
        for needle in (b"pl4nted", b"eiPhoh7o", b"quo", b"MIIEvQ", b"Dc2Xk", base):
            at = text.find(needle)
            self.assertEqual(at, -1, f"{where}: ...{text[max(0, at - 60):at + 60]!r}...")

    def check(self, log_format):
        whole = self.start(log_format)
        whole.wait_for("all is said")
        status = harness.wait_until(lambda: (lambda out: b"connected" in out and out)(whole.inside(CTL, "status").stdout),
                                    "the service's STATUS= is shown")
        self.assertIn(b"connected with [secret] to " + CONFIG.encode(), status)
        dump = whole.inside(CTL, "dump").stdout
        self.assertIn(b"[secret]", dump)
        self.assertIn(b"log-scrubbing", dump)
        for where, text in (("output", whole.text), ("dump", dump), ("status", status),
                            ("status --json", whole.inside(CTL, "status", "--json").stdout),
                            ("health", str(whole.get("/health"))), ("metrics", str(whole.get("/metrics"))),
                            ("ring", whole.read_file("/run/holdfast/ring")),
                            ("board", whole.read_file("/run/holdfast/board")),
                            ("plan", whole.read_file("/run/holdfast/plan"))):
            self.assert_clean(text, where)
        self.assertRegex(str(whole.get("/metrics")), r"holdfast_log_scrubbed_total [1-9]")
        self.assertIn(f"config {CONFIG}", whole.text)
        self.assertIn("SHORT of 4 bytes is too short to be hidden", whole.text)
        self.assertEqual(whole.stop(), 0)
        self.assert_clean(whole.text, "output")
        return whole.text

    def test_json(self):
        lines = [json.loads(line) for line in self.check("json").splitlines()]
        kept = [line for line in lines if line.get("kept") == "yes"]
        self.assertEqual(len(kept), 2)
        for line in kept:
            self.assertEqual(line["plain"], "[secret]")
            self.assertEqual(line["odd"][0], "[secret]")
            self.assertEqual(json.loads(line["inner"])["odd"], "[secret]")

    def test_plain(self):
        self.assertIn("GET /?q=[secret]", self.check("plain"))

    def test_raw(self):
        self.assertIn("\n[secret]\n", self.check("raw"))


if __name__ == "__main__":
    harness.main()
