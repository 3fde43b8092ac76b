#!/usr/bin/env python3
"""Who we are for AWS, source by source: which one it is, what it is asked, what it means when it fails;
and what a refusal says to whoever has to mend it."""
import json
import os
import ssl
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import test_aws
from network import Network
from remote import CONFIG, ENVIRONMENT, OPTIONAL, PATH, REFRESH
from servers.aws import Aws, MetadataHandler, Parameter, Secret

ITEM = ("A", "ssm:x")
ROLE = "arn:aws:iam::111122223333:role/web"
STS_ERROR = "<ErrorResponse><Error><Code>{}</Code></Error></ErrorResponse>"
OF_ROLE = "/latest/meta-data/iam/security-credentials/"


class Base(test_aws.WithoutKeys):
    def web_identity(self):
        return {"AWS_ROLE_ARN": ROLE,
                "AWS_WEB_IDENTITY_TOKEN_FILE": self.write("identity", self.aws.identity_token, mode=0o400)}

    def container(self):
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.aws.metadata_url}/container/full"}


class Order(Base):
    def test_environment_then_web_identity_then_container_then_instance(self):
        everything = {**super().settings(), **self.web_identity(), **self.container()}
        self.aws.lifetime = 600
        keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
        self.fetch(**{**everything, **keys})
        self.assertEqual((self.aws.counts(), self.aws.metadata_calls), ({"GetParameters": 1}, []))
        self.fetch(**everything)
        self.assertEqual((self.aws.counts()["AssumeRoleWithWebIdentity"], self.aws.metadata_calls), (1, []))
        everything.pop("AWS_WEB_IDENTITY_TOKEN_FILE")
        self.fetch(**everything)
        self.assertEqual(self.aws.metadata_calls, ["GET /container/full"])
        self.aws.forget()
        self.fetch()
        self.assertEqual(self.aws.metadata_calls[-1], f"GET {OF_ROLE}web-role")
        self.assertEqual(self.aws.counts(), {"GetParameters": 1})

    def test_the_relative_uri_before_the_full_one(self):
        """It is asked for at 169.254.170.2, which is not in this network."""
        network = Network()
        self.addCleanup(network.close)
        aws = network.run(Aws)
        self.addCleanup(aws.close)
        uris = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "container/x",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{aws.metadata_url}/container/full"}
        result = network.run(self.remote.run, ITEM, **uris)
        self.assertEqual((result.status, aws.metadata_calls), (69, []), result.err)
        self.assertIn("169.254.170.2", result.err)

    def test_the_region_and_its_default(self):
        region = self.aws.region
        self.fetch(AWS_REGION=None, AWS_DEFAULT_REGION=region)
        self.assertNotIn("GET /latest/meta-data/placement/region", self.aws.metadata_calls)
        self.fetch(AWS_REGION=region, AWS_DEFAULT_REGION="us-east-1")

    def test_credentials_that_end_soon_serve_on_while_no_better_can_be_had(self):
        """From a quarter of an hour before their end fresh ones are asked for, from ten minutes on they have to be."""
        for lifetime, status in ((700, 0), (590, 69)):
            with self.subTest(lifetime=lifetime):
                self.aws.metadata_hangs, self.aws.lifetime = False, lifetime
                self.fetch()
                self.aws.forget()
                self.aws.metadata_hangs = True
                result = self.remote.run(ITEM)
                self.assertEqual(result.status, status, result.err)
                self.assertIn("PUT /latest/api/token", self.aws.metadata_calls)


class WebIdentity(Base):
    def test_the_session_has_a_name(self):
        self.aws.lifetime = 600
        self.fetch(AWS_ROLE_SESSION_NAME="me & you", **self.web_identity())
        self.fetch(**self.web_identity())
        self.assertEqual(self.aws.session_names[0], "me & you")
        self.assertRegex(self.aws.session_names[1], r"^holdfast-\d+$")

    def test_sts_that_is_busy_is_asked_again(self):
        chain = self.web_identity()
        self.aws.lifetime = 500
        for status, code in ((503, "ServiceUnavailable"), (400, "Throttling"), (400, "IDPCommunicationError")):
            with self.subTest(code=code):
                self.aws.fault("AssumeRoleWithWebIdentity", kind="status", status=status, body=STS_ERROR.format(code).encode())
                self.assertEqual(self.good(ITEM, **chain).report.retries, 1)
        self.aws.fault("AssumeRoleWithWebIdentity", kind="status", status=400, times=99,
                       body=STS_ERROR.format("Throttling").encode())
        self.bad(75, ITEM, deadline_ms=1500, says="it answered Throttling (status 400)", **chain)

    def test_a_refusal_names_the_role(self):
        self.aws.fault("AssumeRoleWithWebIdentity", kind="status", status=403, body=STS_ERROR.format("AccessDenied").encode())
        self.bad(77, ITEM, says=f"sts:AssumeRoleWithWebIdentity is refused for {ROLE}, the role of AWS_ROLE_ARN: "
                                "AccessDenied (status 403)", **self.web_identity())

    def test_a_reply_without_credentials(self):
        self.aws.fault("AssumeRoleWithWebIdentity", kind="status", status=200, body=b"<html>fine</html>")
        self.bad(75, ITEM, says="no credentials", **self.web_identity())


class Container(Base):
    def agent(self, address, certificate=None):
        network = Network(addresses=(address,))
        self.addCleanup(network.close)
        context = None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.authority.issue("agent", f"IP:{address}"))
        aws = network.run(Aws, self.authority, certificate=self.certificate)
        self.addCleanup(aws.close)
        aws.parameters["x"] = [Parameter("v")]
        port = network.run(aws.start, MetadataHandler, context, (address, 80 if not certificate else 443)).server_address[1]
        return network, aws, f"{'https' if certificate else 'http'}://{address}:{port}"

    def test_eks_pod_identity(self):
        """The agent's own address, and a token that is turned over while we live."""
        network, aws, url = self.agent("169.254.170.23")
        aws.container_token, aws.lifetime = "first", 600
        settings = {"AWS_ENDPOINT_URL": aws.url, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/container/v1/credentials"}
        for token in ("first", "second"):
            aws.container_token = token
            settings["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = self.write("token", token, mode=0o400)
            result = network.run(self.remote.run, ITEM, **settings)
            self.assertEqual((result.status, result.values), (0, {"A": "v"}), result.err)
        self.assertEqual(aws.metadata_calls, ["GET /container/v1/credentials"] * 2)

    def test_by_https_anywhere(self):
        network, aws, url = self.agent("192.0.2.1", certificate=True)
        result = network.run(self.remote.run, ITEM, AWS_ENDPOINT_URL=aws.url, AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{url}/container/x")
        self.assertEqual((result.status, result.values), (0, {"A": "v"}), result.err)

    def test_three_attempts(self):
        self.aws.container_fails, self.aws.lifetime = 2, 500
        self.fetch(**self.container())
        self.assertEqual(len(self.aws.metadata_calls), 3)
        self.aws.forget()
        self.aws.container_fails = 9
        self.bad(75, ITEM, says="the container's credentials: it answered with status 503", **self.container())
        self.assertEqual(len(self.aws.metadata_calls), 3)

    def test_what_is_given_is_none(self):
        self.aws.container_says = {"Token": 7}
        self.bad(77, ITEM, says="what the container's agent gives are no credentials", **self.container())


class Instance(Base):
    def test_by_ipv6(self):
        network = Network(addresses=("fd00:ec2::254",))
        self.addCleanup(network.close)
        aws = network.run(Aws, self.authority, certificate=self.certificate, metadata_address=("fd00:ec2::254", 80))
        self.addCleanup(aws.close)
        aws.parameters["x"] = [Parameter("v")]
        result = network.run(self.remote.run, ITEM, AWS_ENDPOINT_URL=aws.url, AWS_EC2_METADATA_SERVICE_ENDPOINT=None,
                             AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE="IPv6")
        self.assertEqual((result.status, result.values), (0, {"A": "v"}), result.err)

    def test_no_token_will_do(self):
        self.aws.imds_forgets = 9
        self.bad(77, ITEM, says="status 401: it takes none of the tokens that it gave")
        self.assertEqual(self.aws.metadata_calls.count("PUT /latest/api/token"), 2)

    def test_no_role_or_one_that_may_not_be_assumed(self):
        self.aws.pages = {OF_ROLE: ""}
        self.bad(77, ITEM, says="the instance has no role")
        self.aws.pages = {OF_ROLE + "web-role": json.dumps({"Code": "AssumeRoleUnauthorizedAccess"})}
        self.bad(77, ITEM, says="no credentials: AssumeRoleUnauthorizedAccess")

    def test_a_role_is_no_path(self):
        for role in ("../../user-data", "a b", "a?b", "a%2fb"):
            self.aws.pages = {OF_ROLE: role}
            self.bad(77, ITEM, says="names no role")

    def test_its_answers_are_bounded(self):
        self.aws.pages = {OF_ROLE: "x" * 70000}
        self.bad(78, ITEM, says="more than 65536 bytes")


class Refusals(Base):
    def test_who_lacks_which_action(self):
        self.aws.denied.update(("x", "s", "/p"))
        self.aws.secrets["s"] = Secret("v")
        items = ((ITEM, "ssm:GetParameters"), (("p", "ssm:/p/", ENVIRONMENT, PATH), "ssm:GetParametersByPath"),
                 (("S", "asm:s"), "secretsmanager:GetSecretValue"))
        keys = super().settings() | {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                                     "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
        self.aws.container_says = {"RoleArn": ROLE}
        for who, settings in (("the instance's role web-role", {}), ("whoever has AWS_ACCESS_KEY_ID=AKIDEXAMPLE", keys),
                              (f"the role {ROLE}", self.web_identity()), (f"the container's role {ROLE}", self.container())):
            for item, action in items:
                self.bad(77, item, says=f"AccessDeniedException (status 400); {who} needs {action}", **settings)

    def test_the_key_that_is_lacking(self):
        for says in ("User: arn:aws:sts::1:assumed-role/web is not authorized to perform: kms:Decrypt on resource: x",
                     "Access to KMS is not allowed"):
            self.aws.denied.add("x")
            self.aws.denied_says = says
            self.bad(77, ITEM, says="the instance's role web-role needs kms:Decrypt")

    def test_what_is_marked_for_deletion_is_gone(self):
        self.aws.secrets["s"] = Secret("v")
        self.aws.secrets["s"].is_deleted = True
        self.bad(66, ("S", "asm:s"), says="no such secret")
        self.assertEqual(self.good(ITEM, ("S", "asm:s", ENVIRONMENT, OPTIONAL)).values, {"A": "v"})

    def test_each_status_that_is_worth_another_try(self):
        for i in range(40):
            self.aws.parameters[f"p{i}"] = [Parameter("v")]
        for status in (500, 502, 504, 429):
            self.aws.fault("GetParameters", kind="status", status=status, body=b"")
        self.assertEqual(self.good(*[(f"P{i}", f"ssm:p{i}") for i in range(40)]).report.retries, 4)


class Values(Base):
    def test_a_list_is_its_text(self):
        self.aws.parameters["x"] = [Parameter("a,b", "StringList")]
        self.assertEqual(self.good(("A", "ssm:x", ENVIRONMENT, CONFIG)).values, {"A": "a,b"})

    def test_an_answer_of_another_version_is_none(self):
        shown = {"Name": "x", "Type": "String", "Value": "wrong", "Version": 9}
        for selector in (":9", "9", None):
            one = {**shown, "Selector": selector} if selector else shown
            self.aws.fault("GetParameters", kind="status", status=200, body=json.dumps({"Parameters": [one]}).encode())
            self.bad(66, ("A", "ssm:x:1"), says="no such version")

    def test_what_a_refresh_asks_of_stages_and_versions(self):
        """A version never changes; of a stage it is asked which one has it."""
        secret = self.aws.secrets["s"] = Secret("one")
        first = next(iter(secret.versions))
        secret.versions[first] = ("one", ["AWSPREVIOUS"])
        secret.put("two")
        items = (("V", f"asm:s@{first}"), ("P", "asm:s@AWSPREVIOUS"))
        self.good(*items)
        self.aws.forget()
        self.assertEqual(self.good(*items, operation=REFRESH).report.flags, set())
        self.assertEqual(self.aws.counts(), {"DescribeSecret": 1})
        # The stage moves to the other.
        self.aws.forget()
        secret.versions[first] = ("one", [])
        second = next(v for v in secret.versions if v != first)
        secret.versions[second] = ("two", ["AWSCURRENT", "AWSPREVIOUS"])
        result = self.good(*items, operation=REFRESH)
        self.assertEqual((result.report.flags, result.values), ({"changed"}, {"V": "one", "P": "two"}))
        self.assertEqual(self.aws.counts(), {"DescribeSecret": 1, "GetSecretValue": 1})


if __name__ == "__main__":
    harness.main()
