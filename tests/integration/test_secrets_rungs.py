#!/usr/bin/env python3
"""Secrets of a service, and [Identity], in a minimal image on each rung: nothing in it but holdfast, what
images/remote adds, and the tests' applications."""
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance
from network import Network
from servers import dns
from servers.aws import Aws, Parameter
from servers.dns import Dns
from servers.pki import Authority

REGION = "eu-central-1"
SYSTEM = "etc/ssl/certs/ca-certificates.crt"
PLANTED = "pl4nted-Kae7Oovo-value"
REMOTE = "holdfast-secrets-remote"
RUNGS = [dataclasses.replace(rung, options=(*rung.options, "--same-network"))
         for rung in (instance.EVERYTHING, instance.CONTAINER, instance.NOTHING)]
UNIT = ("[Service]\nType=oneshot\nRemainAfterExit=yes\nUser=app\nExecStart=/usr/bin/selfie --read %d/key "
        "--read /proc/1/environ --read /proc/1/maps\n[X-Holdfast]\nSecret=DB ssm:/shop/${STAGE}/db\n"
        "Config=LEVEL ssm:/shop/${STAGE}/level\nSecretFile=key ssm:/shop/${STAGE}/level\n")
IDENTITY = "[Identity]\nSTAGE=imds:tags/instance/STAGE\n"


class Rungs(instance.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.image = tempfile.mkdtemp(prefix="holdfast-image-")
        tree = instance.make_tree(cls.image, harness.BIN)
        shutil.copy(f"{harness.BIN}/{REMOTE}", f"{tree}/usr/lib/holdfast")
        subprocess.run([f"{harness.ROOT}/images/remote", tree], check=True)
        cls.authority = Authority(f"{cls.image}/pki")
        shutil.copy(cls.authority.ca, f"{tree}/{SYSTEM}")
        with open(f"{tree}/etc/resolv.conf", "w", encoding="ascii") as f:
            f.write(dns.CONF)
        cls.certificate = cls.authority.issue("aws", f"DNS:*.{REGION}.amazonaws.com")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.image)
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        os.chmod(self.image, 0o755)
        self.network = Network(addresses=("169.254.169.254",))
        self.addCleanup(self.network.close)
        self.addCleanup(self.network.run(Dns, {f"ssm.{REGION}.amazonaws.com": ["127.0.0.1"]}).close)
        self.aws = self.network.run(Aws, self.authority, region=REGION, address=("127.0.0.1", 443),
                                    metadata_address=("169.254.169.254", 80), certificate=self.certificate)
        self.addCleanup(self.aws.close)
        self.aws.pages["/latest/meta-data/tags/instance/STAGE"] = "blue"
        self.aws.parameters = {"/shop/blue/db": [Parameter(PLANTED, "SecureString")],
                               "/shop/blue/level": [Parameter("debug")]}

    def start_on(self, rung, unit=UNIT, **options):
        def make():
            made = instance.Instance(self.image, {"web.service": unit}, ["web.service"], rung=rung, conf=IDENTITY, **options)
            self.addCleanup(made.close)
            return made
        return self.network.run(make)

    def test_identity_and_a_secret(self):
        for rung in RUNGS:
            with self.subTest(rung=rung.name):
                self.aws.forget()
                whole = self.start_on(rung).wait_running()
                me = whole.told()
                env = dict(word.split("=", 1) for word in me["env"])
                self.assertEqual((env["LEVEL"], env["DB"]), ("debug", "[secret]"), "it has it, and log hides it")
                path, key = next((k, v) for k, v in me.items() if k.endswith("/key"))
                self.assertIn("credentials", path)
                self.assertEqual((key["content"], key["uid"]), ("debug", 1000))
                self.check_closed(me)
                self.assertEqual(self.aws.metadata_calls[:2], ["PUT /latest/api/token",
                                                               "GET /latest/meta-data/tags/instance/STAGE"])
                if "landlock" not in next(e for e in whole.events("protection") if e["name"] == "kernel")["msg"]:
                    self.assertEqual(whole.events("sandbox-reduced"), [])
                self.assertEqual(whole.stop(), 0)
                self.assertNotIn(PLANTED, whole.text)

    def check_closed(self, me):
        """Of the same uid or of another: PID 1 does not let itself be looked into."""
        for part in ("environ", "maps"):
            self.assertNotIn("content", me.get(f"/proc/1/{part}") or {})

    def test_a_service_that_is_root_in_a_default_container(self):
        for rung in RUNGS[1::-1]:
            whole = self.start_on(rung, UNIT.replace("User=app\n", "")).wait_running()
            me = whole.told()
            self.assertEqual(me["uids"][0], 0)
            if rung is RUNGS[1]:
                self.check_closed(me)
            else:
                self.assertIn("holdfast", me["/proc/1/maps"]["content"], "with CAP_SYS_PTRACE it is open")
            self.assertEqual(whole.stop(), 0)

    def test_a_kernel_without_landlock_is_told_of(self):
        for rung in RUNGS[1:]:
            with self.subTest(rung=rung.name):
                rung = dataclasses.replace(rung, wrap=("/usr/bin/enosys", "landlock_create_ruleset", "--"))
                whole = self.start_on(rung).wait_running()
                self.assertEqual({e["by"] for e in whole.events("sandbox-reduced")}, {REMOTE})
                self.assertIn("Landlock cannot be had (the kernel has none)", whole.text)
                kernel = next(e for e in whole.events("protection") if e["name"] == "kernel")
                self.assertEqual(kernel["level"], "reduced")
                self.assertIn("landlock: services and the remote secrets helper see every file", kernel["msg"])
                status = whole.inside("/usr/lib/holdfast/holdfastctl", "status").stdout.decode()
                self.assertRegex(status, r"\nkernel +in part +reduced: without landlock: ")
                self.assertEqual(dict(w.split("=", 1) for w in whole.told()["env"])["LEVEL"], "debug")
                self.assertEqual(whole.stop(), 0)

    def test_the_termination_log_names_what_was_refused(self):
        self.aws.denied.add("/shop/blue/db")
        for rung in RUNGS[1:]:
            with self.subTest(rung=rung.name):
                log = self.write("termination", "", 0o666)
                rung = dataclasses.replace(rung, options=(*rung.options, "--bind", f"{log}:/dev/termination-log"))
                whole = self.start_on(rung)
                self.assertEqual(whole.wait(), 77, whole.text)
                with open(log, encoding="utf-8") as f:
                    text = f.read()
                self.assertIn("secret DB (ssm:/shop/blue/db)", text)
                keys = [part for pair in self.aws.keys.values() for part in pair if part]
                for secret in (PLANTED, *keys, self.aws.imds_token):
                    self.assertNotIn(secret, text + whole.text)


if __name__ == "__main__":
    harness.main()
