#!/usr/bin/env python3
"""[Identity] of a whole instance: ${VAR} from the metadata service of EC2, which boot has asked by the
program that fetches secrets."""
import json
import os
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

    def check_lines(self, whole):
        """Boot has no log yet: what the program says goes out as it is, and looks like all else there."""
        said = [json.loads(line) for line in whole.text.splitlines() if '"by":"holdfast-secrets-remote"' in line]
        self.assertTrue(said)
        self.assertEqual([line for line in said if "ts" not in line], [])

    def test_for_people_its_lines_are_theirs_too(self):
        self.refuse(69, "the metadata service refuses", conf="MetadataDisabled=yes\n[Holdfast]\nLogFormat=plain\n", is_plain=True)

    def test_tags_and_user_data_stand_in_references(self):
        whole = self.start_one("STAGE=imds:tags/instance/STAGE\nTIER=imds:user-data#TIER\nOTHER=imds:tags/instance/OTHER", "${STAGE}/${TIER}")
        whole.wait_for("got v1")
        self.assertEqual(whole.stop(), 0)
        self.check_lines(whole)
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

    def refuse(self, status, words, identity="STAGE=imds:tags/instance/STAGE", is_plain=False, **more):
        whole = self.start_one(identity, "${STAGE}/web", **more)
        self.assertEqual(whole.wait(), status, whole.text)
        if is_plain:
            self.assertIn("\nholdfast: [Identity]: secret STAGE (imds:tags/instance/STAGE)", "\n" + whole.text)
            self.assertNotIn("{", whole.text)
            return whole.text
        failed = whole.events("boot-failed")[0]["msg"]
        self.assertIn(f"holdfast.conf:8:7: [Identity] {identity}: {words}", failed)
        return whole.text

    def test_what_cannot_be_had_names_the_variable(self):
        del self.aws.pages["/latest/meta-data/tags/instance/STAGE"]
        self.assertIn("InstanceMetadataTags=enabled", self.refuse(78, "there is none"))
        self.refuse(78, "there is none", "STAGE=imds:user-data#STAGE")
        self.refuse(69, "the metadata service refuses", conf="MetadataDisabled=yes\n")
        self.aws.metadata_status = 403
        self.refuse(69, "the metadata service refuses")

    def test_what_is_no_value_of_a_variable(self):
        self.aws.pages["/latest/meta-data/tags/instance/STAGE"] = "blue\nINJECTED=x"
        self.assertNotIn("INJECTED", self.refuse(78, "expected one line of text"))

    def test_nobody_answers(self):
        self.aws.close()
        self.refuse(69, "the metadata service cannot be reached")

    def test_without_the_program(self):
        folder = f"{self.dir}/bin"
        os.mkdir(folder)
        for name in instance.PROGRAMS:
            if name != "holdfast-secrets-remote":
                subprocess.run(["cp", f"{harness.BIN}/{name}", folder], check=True)
        self.refuse(78, "this needs the program holdfast-secrets-remote", bin_dir=folder)
        self.assertEqual(self.aws.metadata_calls, [])


if __name__ == "__main__":
    harness.main()
