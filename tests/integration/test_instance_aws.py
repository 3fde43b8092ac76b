#!/usr/bin/env python3
"""A whole instance with secrets of AWS, with no setting but what AWS itself gives a machine or a task: names,
certificates, credentials and region come as they do there (tests/network.py)."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance
from network import Network
from servers import dns
from servers.aws import Aws, MetadataHandler, Parameter, Secret
from servers.dns import Dns
from servers.pki import Authority

CTL = f"{harness.BIN}/holdfastctl"
REGION = "eu-central-1"
SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
PLANTED = [f"pl4nted-{word}-Kae7Oovo" for word in ("db", "key", "path", "file")]
DB, KEY, PATHED, FILE = PLANTED
SHOWN = ("printf '%s\\n' \"start $DB $KEY $API_TOKEN $LEVEL $(cat $CREDENTIALS_DIRECTORY/tls.key) "
         "$(cat $CREDENTIALS_DIRECTORY/app.json) $$\" >>NOTES\n")


class Whole(instance.Case):
    def setUp(self):
        super().setUp()
        self.authority = Authority(f"{self.dir}/pki")
        with open(self.authority.ca, encoding="ascii") as f:
            files = {"/etc/resolv.conf": dns.CONF, SYSTEM: f.read()}
        self.network = Network(addresses=("169.254.169.254", "169.254.170.2"), files=files)
        self.addCleanup(self.network.close)
        names = {f"{service}.{REGION}.amazonaws.com": ["127.0.0.1"] for service in ("ssm", "secretsmanager")}
        self.addCleanup(self.network.run(Dns, names).close)
        self.aws = self.network.run(
            Aws, self.authority, region=REGION, address=("127.0.0.1", 443), metadata_address=("169.254.169.254", 80),
            certificate=self.authority.issue("aws", f"DNS:*.{REGION}.amazonaws.com"))
        self.addCleanup(self.aws.close)
        self.network.run(self.aws.start, MetadataHandler, address=("169.254.170.2", 80))
        self.aws.parameters = {"/shop/blue/db": [Parameter("old"), Parameter(DB, "SecureString", labels=["live"])],
                               "/shop/blue/all/api/token": [Parameter(PATHED, "SecureString")],
                               "/shop/blue/level": [Parameter("debug")]}
        self.aws.secrets = {"blue/keys": Secret(json.dumps({"key": KEY})), "blue/tls": Secret(FILE)}

    def unit(self, *lines, script=SHOWN):
        """Everything at once, by names that the environment completes."""
        script = script.replace("NOTES", self.notes_path)
        path = self.write("service.sh", f"#!/bin/sh\n{script}trap : HUP\nwhile :; do sleep 1000 & wait; {script}done\n", mode=0o755)
        template = self.write("app.json.in", '{"password": "{{ DB }}", "level": "{{ LEVEL }}"}')
        return (f"[Service]\nExecStart={path}\n[X-Holdfast]\nSecret=DB ssm:/shop/${{STAGE}}/db:live\n"
                "Secret=KEY asm:${STAGE}/keys#key\nSecretPath=ssm:/shop/${STAGE}/all/\n"
                "Config=LEVEL ssm:/shop/${STAGE}/level\nSecretFile=tls.key asm:${STAGE}/tls\n" +
                "".join(f"{line}\n" for line in lines) + f"[X-Templates]\napp.json={template}\n")

    def start_one(self, unit, env=None, **options):
        return self.network.run(self.instance, {"web.service": unit}, ["web.service"], health=True,
                                env={"PATH": os.environ["PATH"], "STAGE": "blue", **(env or {})}, **options)

    def shown(self, db=DB, key=KEY):
        return f'start {db} {key} {PATHED} debug {FILE} {{"password": "{db}", "level": "debug"}}'

    def check_unsaid(self, whole):
        keys = [text for name, pair in self.aws.keys.items() if name.startswith("ASIA") for text in pair]
        for text in (*PLANTED, *keys):
            self.assertNotIn(text, whole.text)

    def test_by_the_instances_role(self):
        whole = self.start_one(self.unit())
        self.wait_notes(self.shown())
        whole.wait_running()
        self.assertIn("GET /latest/meta-data/iam/security-credentials/web-role", self.aws.metadata_calls)
        self.assertEqual(self.aws.counts(), {"GetParameters": 1, "GetParametersByPath": 1, "BatchGetSecretValue": 1})
        told = json.loads(whole.inside(CTL, "status", "--json").stdout)
        self.assertEqual([(s["name"], s["state"]) for s in told["secrets"]], [
            ("DB", "fresh"), ("KEY", "fresh"), ("ssm:/shop/${STAGE}/all/", "fresh"), ("LEVEL", "fresh"), ("tls.key", "fresh")])
        self.assertEqual([s.get("version") for s in told["secrets"]][0::3], ["2", "1"])
        self.assertEqual(whole.stop(), 0)
        self.check_unsaid(whole)

    def test_by_the_tasks_role_and_a_change_on_the_way(self):
        whole = self.start_one(self.unit("Refresh=1s", "OnChange=signal:HUP"), conf="[Secrets]\nChangeSplaySec=0\n", env={
            "AWS_REGION": REGION, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/container/task"})
        self.wait_notes(self.shown())
        self.assertEqual(self.aws.metadata_calls, ["GET /container/task"])
        self.aws.fault("GetParameters", type="ThrottlingException")
        self.aws.parameters["/shop/blue/db"].append(Parameter("n3w-value", "SecureString", labels=["live"]))
        self.aws.parameters["/shop/blue/db"][1].labels.clear()
        # Files and templates are written anew; the environment of a running process stays.
        self.wait_notes(self.shown().replace(f'"password": "{DB}"', '"password": "n3w-value"'))
        self.assertEqual(whole.stop(), 0)
        self.check_unsaid(whole)

    def test_a_change_by_a_restart(self):
        whole = self.start_one(self.unit("Refresh=1s", "OnChange=restart"), conf="[Secrets]\nChangeSplaySec=0\n")
        self.wait_notes(self.shown())
        self.aws.secrets["blue/keys"].put('{"key":"turned-over"}')
        self.wait_notes(self.shown(key="turned-over"))
        self.assertGreater(self.aws.counts()["DescribeSecret"], 0)
        self.assertEqual(whole.stop(), 0)

    def test_how_it_ends_when_it_cannot_be_had(self):
        def denied():
            self.aws.denied.add("/shop/blue/db:live")

        def gone():
            self.aws.denied.clear()
            del self.aws.parameters["/shop/blue/db"]

        def busy():
            self.aws.fault("GetParameters", type="ThrottlingException", times=999)

        for change, status, says, conf in ((denied, 77, "DB (ssm:/shop/blue/db:live) may not be read", ""),
                                           (gone, 66, "DB (ssm:/shop/blue/db:live) was not found", ""),
                                           (busy, 75, "", "[Secrets]\nFetchTimeoutSec=2\n")):
            with self.subTest(status=status):
                change()
                whole = self.start_one(self.unit(), conf=conf)
                self.assertEqual(whole.wait(), status, whole.text)
                self.assertIn(says, whole.text)
                self.assertEqual(self.notes(), [])
                self.check_unsaid(whole)

    def test_while_it_waits(self):
        self.aws.fault("BatchGetSecretValue", kind="hang")
        whole = self.start_one(self.unit())
        harness.wait_until(lambda: self.aws.counts().get("BatchGetSecretValue"), "the call that hangs")
        self.assertEqual(json.loads(whole.inside(CTL, "status", "--json").stdout)["units"][0]["state"], "fetching")
        harness.wait_until(lambda: whole.get("/readyz")[0] == 503, "it is not ready")
        self.aws.released.set()
        self.wait_notes(self.shown())
        self.assertEqual(whole.stop(), 0)


if __name__ == "__main__":
    harness.main()
