#!/usr/bin/env python3
"""[Identity] of a whole instance: ${VAR} from the metadata service of EC2, which a unit of holdfast's own asks
for before the units that need it."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance
from servers.aws import Aws


class Identity(instance.Case):
    def setUp(self):
        super().setUp()
        self.aws = Aws()
        self.addCleanup(self.aws.close)
        self.aws.pages = {
            "/latest/meta-data/tags/instance/STAGE": "blue",
            "/latest/meta-data/placement/availability-zone": "eu-central-1a",
            "/latest/user-data": '#cloud-config\nTIER = "web"\n',
            "/latest/dynamic/instance-identity/document": '{"accountId": "123", "region": "eu-central-1"}'}

    def start_one(self, identity, reference, env=None, conf="", **options):
        self.write("secrets/blue/web", "v1")
        self.write("secrets/green/web", "v2")
        script = self.write("service.sh", "#!/bin/sh\necho got $A\nexec sleep 1000\n", mode=0o755)
        unit = f"[Service]\nExecStart={script}\n[X-Holdfast]\nConfig=A file:{self.dir}/secrets/{reference}\n"
        return self.instance({"web.service": unit}, ["web.service"], env=env, conf=f"[Identity]\n{identity}\n"
                             f"[Secrets]\nMetadataEndpoint={self.aws.metadata_url}\n{conf}", **options)

    def test_tags_and_user_data_stand_in_references(self):
        whole = self.start_one("STAGE=imds:tags/instance/STAGE\nTIER=imds:user-data#TIER\nOTHER=imds:tags/instance/OTHER", "${STAGE}/${TIER}")
        whole.wait_for("got v1")
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(self.aws.metadata_calls, ["PUT /latest/api/token", "GET /latest/meta-data/tags/instance/STAGE",
                                                   "GET /latest/user-data"])

    def test_every_form_of_path(self):
        for reference, value in (("imds:placement/availability-zone", "eu-central-1a"), ("imds:meta-data/tags/instance/STAGE", "blue"),
                                 ("imds:dynamic/instance-identity/document#region", "eu-central-1")):
            with self.subTest(reference=reference):
                self.write(f"secrets/{value}/form", f"is {value}")
                whole = self.start_one(f"V={reference}", "${V}/form")
                whole.wait_for(f"got is {value}")
                self.assertEqual(whole.stop(), 0)

    def test_the_environment_of_a_container_comes_first(self):
        whole = self.start_one("STAGE=imds:tags/instance/STAGE", "${STAGE}/web", env={"STAGE": "green"})
        whole.wait_for("got v2")
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(self.aws.metadata_calls, [])

    def refuse(self, status, words, identity="STAGE=imds:tags/instance/STAGE", reference="${STAGE}/web", **more):
        """It ends with the status, says why, where the variable stands and who needs it; nothing was started."""
        whole = self.start_one(identity, reference, **more)
        self.assertEqual(whole.wait(), status, whole.text)
        # PID 1 has an event of that name, too, and its lines may come before the supervisor's.
        said = {e["by"]: e["msg"] for e in whole.events("instance-ends")}
        self.assertIn(words, said["holdfast-supervisor"])
        missing = whole.events("identity-missing")[0]["msg"]
        self.assertIn(f"holdfast.conf:8: [Identity] {identity} cannot be had; ", missing)
        self.assertIn(f"web.service:4 needs it for file:{self.dir}/secrets/{reference}", missing)
        self.assertNotIn('"msg":"got', whole.text)
        return whole

    def test_what_cannot_be_had_names_the_variable(self):
        del self.aws.pages["/latest/meta-data/tags/instance/STAGE"]
        self.refuse(78, "InstanceMetadataTags=enabled")
        self.refuse(78, "expected a JSON object or lines KEY=VALUE", "STAGE=imds:user-data#STAGE")
        self.refuse(77, "AWS_EC2_METADATA_DISABLED", conf="MetadataDisabled=yes\n")
        self.aws.metadata_status = 403
        self.refuse(77, "it is switched off for this instance")

    def test_what_is_no_value_of_a_variable(self):
        for value in ("blue\nINJECTED=x", "a\x1b[2J", "x" * 1025, "\0"):
            with self.subTest(value=value[:20]):
                self.aws.pages["/latest/meta-data/tags/instance/STAGE"] = value
                self.assertNotIn("INJECTED", self.refuse(78, "expected one line of text").text)

    def test_an_answer_without_an_end_and_one_that_does_not_come(self):
        self.aws.pages["/latest/meta-data/tags/instance/STAGE"] = "x" * 100000
        self.refuse(78, "it answered with more than 65536 bytes")
        self.aws.metadata_hangs = True
        # By whose clock it ends, the call's or the run's, is a matter of how busy the machine is.
        whole = self.start_one("STAGE=imds:tags/instance/STAGE", "${STAGE}/web", conf="FetchTimeoutSec=5\n")
        self.assertEqual(whole.wait(), 69, whole.text)
        self.assertIn("hop limit", whole.text)

    def test_nothing_is_filled_in_twice(self):
        """A value that looks like a variable is itself; what makes another kind of thing of it is refused."""
        self.write("secrets/${TIER}/web", "literal")
        self.aws.pages["/latest/meta-data/tags/instance/STAGE"] = "${TIER}"
        whole = self.start_one("STAGE=imds:tags/instance/STAGE\nTIER=imds:user-data#TIER", "${STAGE}/${TIER}")
        whole.wait_for("got literal")
        self.assertEqual(whole.stop(), 0)

    def test_a_value_cannot_lead_elsewhere(self):
        self.aws.pages["/latest/meta-data/tags/instance/STAGE"] = "x/../../../../etc"
        whole = self.start_one("STAGE=imds:tags/instance/STAGE", "${STAGE}/hostname")
        self.assertEqual(whole.wait(), 78, whole.text)
        failed = next(e["msg"] for e in whole.events("secrets-failed") if e.get("unit") == "web.service")
        self.assertIn(f"web.service:4: secret A: file:{self.dir}/secrets/${{STAGE}}/hostname: with what [Identity] "
                      "says it is none: expected file: and an absolute path", failed)

    def test_nobody_answers(self):
        self.aws.close()
        whole = self.refuse(69, "metadata service", conf="FetchTimeoutSec=5\n")
        # In words, at once, and not only in the end.
        self.assertIn("Outside EC2", next(e["msg"] for e in whole.events() if e.get("by") == "holdfast-secrets-remote"))

    def test_who_needs_nothing_does_not_wait(self):
        self.aws.close()
        self.write("secrets/blue/web", "v1")
        say = self.write("say.sh", "#!/bin/sh\necho up without\nexec sleep 1000\n", mode=0o755)
        asks = f"[Service]\nExecStart={say}\n[X-Holdfast]\nEssential=no\nSecret=A file:{self.dir}/secrets/${{STAGE}}/web\n"
        whole = self.instance({"free.service": f"[Service]\nExecStart={say}\n", "asks.service": asks},
                              ["free.service", "asks.service"],
                              conf="[Identity]\nSTAGE=imds:tags/instance/STAGE\n[Secrets]\nFetchTimeoutSec=3\n"
                                   f"MetadataEndpoint={self.aws.metadata_url}\n")
        whole.wait_for("up without")
        self.assertEqual(whole.events("identity-missing"), [])
        whole.wait_for("identity-missing")
        # Nobody essential needs it: its failure is asks.service's alone.
        whole.wait_running()
        self.assertEqual(whole.text.count('"msg":"up without"'), 1)
        self.assertEqual(whole.stop(), 0)

    def test_it_is_asked_once_and_outlives_the_supervisor(self):
        whole = self.start_one("STAGE=imds:tags/instance/STAGE", "${STAGE}/web")
        whole.wait_running()
        asked = list(self.aws.metadata_calls)
        first = whole.member("holdfast-supervisor")
        os.kill(first, signal.SIGKILL)
        harness.wait_until(lambda: whole.member("holdfast-supervisor") != first, "another supervisor")
        status = json.loads(whole.inside(f"{harness.BIN}/holdfastctl", "status", "--json").stdout)
        unit = next(u for u in status["units"] if u.get("unit", u.get("name")) == "holdfast-identity.service")
        self.assertEqual(unit["state"], "exited")
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(self.aws.metadata_calls, asked)

    def test_without_the_program(self):
        folder = f"{self.dir}/bin"
        os.mkdir(folder)
        for name in harness.PROGRAMS:
            if name != "holdfast-secrets-remote":
                subprocess.run(["cp", f"{harness.BIN}/{name}", folder], check=True)
        whole = self.start_one("STAGE=imds:tags/instance/STAGE", "${STAGE}/web", bin_dir=folder)
        self.assertEqual(whole.wait(), 78, whole.text)
        self.assertIn("holdfast.conf:8: secret STAGE: imds:tags/instance/STAGE needs the program "
                      "holdfast-secrets-remote", whole.events("boot-failed")[0]["msg"])
        self.assertEqual(self.aws.metadata_calls, [])


if __name__ == "__main__":
    harness.main()
