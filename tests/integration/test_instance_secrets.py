#!/usr/bin/env python3
"""Secrets in a whole instance: they reach the service, and are nowhere else."""
import json
import os
import re
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

CTL = f"{harness.BIN}/holdfastctl"
EXPLAIN = f"{harness.ASAN_BIN}/holdfast-explain"
PLANTED = "pl4nted-eiPhoh7o"


class InstanceSecrets(instance.Case):
    def unit(self, secrets, script="exec sleep 1000", **keys):
        """A service that puts what it was given into a file of its own, and stays."""
        more = "".join(f"{key}={value}\n" for key, value in keys.items())
        lines = "".join(f"{line}\n" for line in secrets)
        script = self.write("service.sh", f"#!/bin/sh\n{script}\n", mode=0o755)
        return f"[Service]\nExecStart={script}\n{more}[X-Holdfast]\n{lines}"

    def given(self):
        """The script's part that notes the environment, the credentials and that it is done."""
        return (f"env >{self.dir}/env; for f in $CREDENTIALS_DIRECTORY/*; do "
                f"cp $f {self.dir}/got-${{f##*/}}; stat -c '%a %U' $f >{self.dir}/mode-${{f##*/}}; done; echo ready; exec sleep 1000")

    def read(self, name):
        with open(f"{self.dir}/{name}", encoding="utf-8") as f:
            return f.read()

    def test_each_source_and_delivery_reaches_the_service(self):
        path = self.write("password", f"{PLANTED}\n", mode=0o400)
        self.write("credentials/cert", "certificate\n")
        whole = self.instance({"web.service": self.unit([
            f"Secret=DB file:{path}", "Secret=FROM_ENV env:GIVEN", "Secret=CERT cred:cert", "Secret=MISSING env:UNSET optional",
            f"SecretFile=key file:{path}"], self.given())},
            ["web.service"], env={"GIVEN": "from-env", "CREDENTIALS_DIRECTORY": f"{self.dir}/credentials"})
        whole.wait_for('"msg":"ready"')
        environment = dict(line.split("=", 1) for line in self.read("env").splitlines() if "=" in line)
        self.assertEqual((environment["DB"], environment["FROM_ENV"], environment["CERT"]), (PLANTED, "from-env", "certificate"))
        self.assertNotIn("MISSING", environment)
        self.assertNotIn("GIVEN", environment)
        self.assertEqual(self.read("got-key"), f"{PLANTED}\n")
        self.assertRegex(self.read("mode-key"), r"^400 root")
        self.assertEqual(whole.stop(), 0)

    def test_a_secret_that_a_condition_waits_for_is_read_when_it_is_there(self):
        path = f"{self.dir}/password"
        whole = self.instance({
            "web.service": f"[Unit]\nConditionPathExists={path}\n" + self.unit([f"Secret=DB file:{path}"], self.given()),
            "web.socket": f"[Socket]\nListenStream={self.dir}/sock\n"}, ["web.socket"])
        whole.wait_running()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{self.dir}/sock")
            whole.wait_for("ConditionPathExists=")
            whole.wait_for("ConditionPathExists=", start=len(whole.output))
            self.write("password", f"{PLANTED}\n", mode=0o400)
            whole.wait_for('"msg":"ready"')
        self.assertIn(f"DB={PLANTED}\n", self.read("env"))
        # Who waits is not asked about without a pause.
        self.assertLess(whole.text.count("ConditionPathExists="), 20)
        self.assertEqual(whole.stop(), 0)

    def certificate(self, name, *options):
        """One of openssl's own, that signs itself; its text and when it ends."""
        path = f"{self.dir}/{name}"
        subprocess.run(["openssl", "req", "-x509", "-nodes", "-keyout", f"{path}.key", "-out", path, "-subj", "/CN=x", *options],
                       check=True, capture_output=True, timeout=harness.DEADLINE)
        told = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", path], check=True, capture_output=True, text=True)
        with open(path, encoding="ascii") as f:
            return f.read(), ssl.cert_time_to_seconds(told.stdout.strip().removeprefix("notAfter="))

    def test_the_end_of_a_certificate_that_is_here_is_shown(self):
        soon, soon_ends = self.certificate("soon.pem", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2")
        # From 2050 on the date has another form.
        _, late_ends = self.certificate("late.pem", "-newkey", "rsa:2048", "-days", "20000")
        other, other_ends = self.certificate("other.pem", "-newkey", "ed25519", "-days", "90")
        self.write("credentials/chain", f"{other}some words\n{soon}")
        whole = self.instance({"web.service": self.unit(
            [f"SecretFile=late file:{self.dir}/late.pem", "SecretFile=chain cred:chain", "Secret=OTHER env:GIVEN",
             f"SecretFile=key file:{self.dir}/soon.pem.key"])},
            ["web.service"], env={"GIVEN": other, "CREDENTIALS_DIRECTORY": f"{self.dir}/credentials"}, health=True)
        whole.wait_running()
        found = re.findall(r'\nholdfast_secret_certificate_expiry_time_seconds\{name="web.service",secret="(\w+)"\} (\d+)',
                           whole.get("/metrics")[1])
        self.assertEqual({name: int(end) for name, end in found}, {"late": late_ends, "chain": soon_ends, "OTHER": other_ends})
        self.assertRegex(whole.inside(CTL, "status").stdout.decode(), r"\nchain +\S+ +cred of web.service, .*certificate until \d{4}-")
        check = json.loads(whole.get("/health")[1])["checks"]["web.service:secrets"][0]
        self.assertEqual((check["status"], check["output"]), ("warn", "a certificate ends within 7 days"))
        self.assertEqual(whole.stop(), 0)

    def test_a_value_is_nowhere_but_in_the_service(self):
        """PID 1, the supervisor, log and health: neither command line, environment nor memory; nor
        the output, the dump, the table of units or a file of the run directory."""
        path = self.write("password", PLANTED, mode=0o400)
        whole = self.instance({"web.service": self.unit(
            [f"Secret=DB file:{path}", "Secret=OTHER env:GIVEN", f"SecretFile=key file:{path}"], "echo ready; exec sleep 1000")},
            ["web.service"], env={"GIVEN": PLANTED}, health=True)
        whole.wait_running().wait_for('"msg":"ready"')
        needle = PLANTED.encode()
        members = [whole.init] + [whole.member(name) for name in (
            "holdfast-supervisor", "holdfast-log", "holdfast-health", "holdfast-gate")]
        for pid in members:
            for name in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    self.assertNotIn(needle, f.read(), (pid, name))
            # STORE_ENVIRON, where env: secrets come from, is a memfd that PID 1 holds and does not map.
            self.assertEqual(harness.memory_holding(pid, [needle]), [], pid)
        service = next(pid for pid in harness.children(whole.init) if pid not in members)
        self.assertNotEqual(harness.memory_holding(service, [needle]), [])
        for arguments in (("dump",), ("status",), ("status", "--json")):
            self.assertNotIn(b"pl4nted", whole.inside(CTL, *arguments).stdout)
        for name in ("plan", "board", "ring"):
            self.assertNotIn(needle, whole.read_file(f"/run/holdfast/{name}"))
        secrets = [json.loads(l) for l in whole.inside(CTL, "dump").stdout.splitlines() if b'"type":"secret"' in l]
        self.assertEqual([(s["name"], s["source"]) for s in secrets], [("DB", "file"), ("OTHER", "env"), ("key", "file")])
        self.assertEqual(whole.stop(), 0)
        self.assertNotIn("pl4nted", whole.text)

    def test_what_fails_ends_the_instance_and_is_explained(self):
        nul = self.write("nul", f"{PLANTED}\0x")
        for line, status, says in (("Secret=A env:UNSET", 66, r"holdfast refused to start: .*UNSET is not set"),
                                   ("Secret=A cred:none", None, r"The secret A \(cred:none\) was not found"),
                                   (f"Secret=A file:{nul}", None, r"The secret A \(file:.*/nul\) is not what it must be: .*NUL"),
                                   ("Secret=A file:/nonexistent/x", 66, r"holdfast refused to start: .*/nonexistent/x")):
            with self.subTest(line=line):
                whole = self.instance({"web.service": self.unit([line])}, ["web.service"])
                ended = whole.wait()
                self.assertNotEqual(ended, 0)
                if status is not None:
                    self.assertEqual(ended, status)
                self.assertNotIn(PLANTED, whole.text)
                done = subprocess.run([EXPLAIN], input=whole.text, capture_output=True, text=True, check=False,
                                      timeout=harness.DEADLINE)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertTrue(re.search(says, done.stdout), done.stdout)


if __name__ == "__main__":
    harness.main()
