#!/usr/bin/env python3
"""ssm: and asm: against a server that checks every signature: what arrives, who we are for AWS, what is
refused, faults, refreshes, and what must not leak."""
import ctypes
import os
import socket
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
from remote import CONFIG, ENVIRONMENT, FD, FILE, OPTIONAL, PATH, REFRESH, Remote
from servers.aws import Aws, Bucket, Parameter, Secret
from servers.pki import Authority

PLANTED = "pl4nted-Kae7Oovo-value"


class Base(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        cls.authority = Authority(cls.folder.name)
        cls.certificate = cls.authority.issue("aws")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.aws = Aws(self.authority, certificate=self.certificate)
        self.addCleanup(self.aws.close)
        self.remote = Remote(self.dir, self.settings())
        self.addCleanup(self.remote.close)

    def settings(self):
        return {"AWS_ENDPOINT_URL": self.aws.url, "AWS_CA_BUNDLE": self.authority.ca, "AWS_REGION": self.aws.region,
                "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

    def good(self, *items, **options):
        result = self.remote.run(*items, **options)
        self.assertEqual(result.status, 0, result.err)
        self.assertEqual(result.report.status, 0)
        return result

    def bad(self, status, *items, says="", **options):
        result = self.remote.run(*items, **options)
        self.assertEqual((result.status, result.raw), (status, b""), result.err)
        self.assertEqual(result.report.status, status)
        errors = [e["msg"] for e in result.events if e["level"] == "error"]
        self.assertTrue(errors, result.err)
        self.assertIn(says, errors[0])
        return result


class ParameterStore(Base):
    def test_a_hundred_by_ten_over_at_most_four_connections(self):
        for i in range(100):
            self.aws.parameters[f"/app/p{i}"] = [Parameter(f"value {i}", "SecureString")]
        self.aws.delay = 0.02
        result = self.good(*[(f"P{i}", f"ssm:/app/p{i}") for i in range(100)])
        self.assertEqual(result.values, {f"P{i}": f"value {i}" for i in range(100)})
        self.assertEqual(self.aws.counts(), {"GetParameters": 10})
        self.assertGreater(self.aws.flying_most, 1)
        self.assertLessEqual(self.aws.api.accepted, 4)
        self.assertEqual({i["version"] for i in result.report.items}, {"1"})

    def test_versions_and_labels(self):
        self.aws.parameters["/app/x"] = [Parameter("one"), Parameter("two", labels=["prod"]), Parameter("three")]
        result = self.good(("A", "ssm:/app/x:1"), ("B", "ssm:/app/x:prod"), ("C", "ssm:/app/x"),
                           ("D", "ssm:/app/x"), ("x.txt", "ssm:/app/x:2", FILE))
        self.assertEqual(result.values, {"A": "one", "B": "two", "C": "three", "D": "three", "x.txt": "two"})
        self.assertEqual([i["version"] for i in result.report.items], ["1", "2", "3", "3", "2"])

    def test_an_arn_is_a_name(self):
        self.aws.parameters["/app/x"] = [Parameter("one"), Parameter("two")]
        arn = f"arn:aws:ssm:{self.aws.region}:111122223333:parameter/app/x"
        self.assertEqual(self.good(("A", f"ssm:{arn}"), ("B", f"ssm:{arn}:1")).values, {"A": "two", "B": "one"})

    def host_asked_for(self, reference):
        """Where the call would go, as a proxy is told."""
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            proxy.settimeout(harness.DEADLINE)
            asked = []

            def take():
                client = proxy.accept()[0]
                with client:
                    asked.append(client.recv(4096).split()[1].decode())

            thread = threading.Thread(target=take)
            thread.start()
            self.remote.run(("A", reference), deadline_ms=300, AWS_ENDPOINT_URL=None,
                            HTTPS_PROXY=f"http://127.0.0.1:{proxy.getsockname()[1]}")
            thread.join()
        return asked[0]

    def test_an_arn_is_asked_for_in_its_region(self):
        """Signed for it, in calls of their own, and at that region's endpoint where none is set."""
        self.aws.regions["us-west-2"] = []
        self.aws.parameters.update({"/app/x": [Parameter("one")], "/app/y": [Parameter("two")]})
        self.aws.secrets.update(a=Secret("three"), b=Secret("four"))
        arn = "arn:aws:{}:us-west-2:111122223333:{}"
        items = [("A", "ssm:/app/x"), ("B", "ssm:" + arn.format("ssm", "parameter/app/x")),
                 ("C", "ssm:" + arn.format("ssm", "parameter/app/y")),
                 ("D", "asm:" + arn.format("secretsmanager", "secret:a")), ("E", "asm:b"),
                 ("F", "asm:" + arn.format("secretsmanager", "secret:b"))]
        self.assertEqual(self.good(*items).values, {"A": "one", "B": "one", "C": "two", "D": "three", "E": "four", "F": "four"})
        self.assertEqual({name: sorted(asked) for name, asked in self.aws.regions.items()},
                         {"eu-central-1": ["GetParameters", "GetSecretValue"],
                          "us-west-2": ["BatchGetSecretValue", "GetParameters"]})
        for reference in (items[1][1], items[3][1]):
            self.assertRegex(self.host_asked_for(reference), r"^(ssm|secretsmanager)\.us-west-2\.amazonaws\.com:443$")
        self.bad(78, ("A", "ssm:arn:aws:ssm::111122223333:parameter/x"), says="to name a region")
        self.bad(78, ("A", "asm:arn:aws:secretsmanager:EU:111122223333:secret:x"), says="to name a region")

    def test_what_is_missing(self):
        self.aws.parameters["/app/x"] = [Parameter("one")]
        for reference in ("ssm:/app/none", "ssm:/app/x:7", "ssm:/app/x:nolabel"):
            result = self.bad(66, ("A", "ssm:/app/x"), ("B", reference), says="no such parameter")
            self.assertEqual([i["outcome"] for i in result.report.items], ["ok", "not-found"])
        result = self.good(("A", "ssm:/app/x"), ("B", "ssm:/app/none", ENVIRONMENT, OPTIONAL))
        self.assertEqual(result.values, {"A": "one"})
        self.assertEqual(result.report.items[1]["flags"], {"absent"})

    def test_a_string_is_configuration_or_asked_for_as_a_secret_and_a_secure_string_is_secret(self):
        self.aws.parameters["level"] = [Parameter("debug", "String")]
        self.aws.parameters["key"] = [Parameter(PLANTED, "SecureString")]
        result = self.good(("A", "ssm:level"), ("B", "ssm:level", ENVIRONMENT, CONFIG))
        self.assertEqual(result.values, {"A": "debug", "B": "debug"})
        self.assertEqual([i["flags"] - {"changed"} for i in result.report.items], [set(), {"config"}])
        self.bad(78, ("A", "ssm:key", ENVIRONMENT, CONFIG), says="use Secret=")

    def test_by_path_paged_with_empty_pages_and_names_mapped(self):
        self.aws.page_size, self.aws.empty_pages = 3, True
        for name in ("db_password", "db-host", "cache/url", "9lives", "a", "b", "c", "tls.key"):
            self.aws.parameters[f"/app/prod/{name}"] = [Parameter(name)]
        self.aws.parameters["/app/production"] = [Parameter("not below")]
        result = self.good(("all", "ssm:/app/prod/", ENVIRONMENT, PATH))
        self.assertEqual(result.values, {"DB_PASSWORD": "db_password", "DB_HOST": "db-host", "CACHE_URL": "cache/url",
                                         "_9LIVES": "9lives", "A": "a", "B": "b", "C": "c", "TLS_KEY": "tls.key"})
        self.assertGreater(self.aws.counts()["GetParametersByPath"], 3)
        self.assertEqual(result.report.items[0]["length"], 8)
        self.bad(66, ("all", "ssm:/nothing/", ENVIRONMENT, PATH), says="no parameter below")

    def test_explicit_beats_path_and_a_later_path_an_earlier_one(self):
        for name in ("/base/a", "/base/b", "/base/c", "/more/b", "/more/c", "/own/c"):
            self.aws.parameters[name] = [Parameter(name)]
        result = self.good(("C", "ssm:/own/c"), ("p", "ssm:/base/", ENVIRONMENT, PATH),
                           ("q", "ssm:/more", ENVIRONMENT, PATH))
        self.assertEqual(result.values, {"A": "/base/a", "B": "/more/b", "C": "/own/c"})
        self.assertEqual(sorted(e["msg"] for e in result.events if e["event"] == "secret-replaced"),
                         ["/base/b gives way to /more/b: both are called B", "/base/c gives way to ssm:/own/c: both are called C",
                          "/more/c gives way to ssm:/own/c: both are called C"])

    def test_two_of_a_path_with_one_name_are_named(self):
        self.aws.parameters["/app/a-b"] = [Parameter("1")]
        self.aws.parameters["/app/a_b"] = [Parameter("2")]
        self.bad(78, ("p", "ssm:/app/", ENVIRONMENT, PATH), says="/app/a-b and /app/a_b would both be called A_B")

    def test_one_that_may_not_be_read_is_told_from_the_nine_that_may(self):
        for i in range(10):
            self.aws.parameters[f"/app/p{i}"] = [Parameter("x")]
        self.aws.denied.add("/app/p4")
        result = self.bad(77, *[(f"P{i}", f"ssm:/app/p{i}") for i in range(10)], says="secret P4 (ssm:/app/p4)")
        self.assertEqual([i["outcome"] for i in result.report.items], ["ok"] * 4 + ["denied"] + ["ok"] * 5)
        self.assertIn("ssm:GetParameters", result.event("secret-denied")["msg"])

    def test_references_that_are_none(self):
        for reference, flags, says in (("ssm:", 0, "name of a parameter"), ("ssm:a b", 0, "name of a parameter"),
                                       ("ssm:/app/", 0, "use SecretPath="), ("ssm:/a:", 0, ":VERSION"),
                                       ("ssm:/a:1:2", 0, ":VERSION"), ("ssm:app/", PATH, "starts with /"),
                                       ("asm:", 0, "name or ARN"), ("asm:a b", 0, "name or ARN"),
                                       ("asm:a#", 0, "key of a JSON"), ("asm:a@", 0, "stage or a"),
                                       ("asm:a", PATH, "no paths"), ("asm:a", CONFIG, "use Secret="),
                                       ("env:A", PATH, "SecretPath="), ("consul:x", 0, "starts with")):
            with self.subTest(reference=reference):
                self.bad(78, ("A", reference, ENVIRONMENT, flags), says=says)
        self.assertEqual(self.aws.calls, [])

    def test_the_environment_takes_what_it_can_hold(self):
        self.aws.parameters["line"] = [Parameter("x\n")]
        result = self.good(("A", "ssm:line"), ("a", "ssm:line", FILE), ("F", "ssm:line", FD))
        self.assertEqual(result.values, {"A": "x", "a": "x\n", "F": "x\n"})


    def test_the_first_end_of_a_certificate_is_reported(self):
        longer = self.authority.issue("longer", days=30)[0]
        texts = []
        for path in (longer, self.certificate[1], self.certificate[0]):
            with open(path, encoding="ascii") as f:
                texts.append(f.read())
        self.aws.parameters["chain"] = [Parameter("".join(texts), "SecureString")]
        self.aws.parameters["broken"] = [Parameter("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
        items = [("chain.pem", "ssm:chain", FILE), ("broken.pem", "ssm:broken", FILE)]
        for result in (self.good(*items), self.good(*items, operation=REFRESH)):
            ends = [item["expires"] for item in result.report.items]
            self.assertAlmostEqual(ends[0], time.time() + 86400, delta=3600)
            self.assertEqual(ends[1], 0)


class SecretsManager(Base):
    def test_whole_by_key_binary_by_stage_and_by_version(self):
        self.aws.secrets["db"] = Secret('{"user":"app","port":5432,"big":12345678901234567890,"e":1.10e3,'
                                        '"on":true,"opts":{"a":[1]},"\\u006bey":"\\u00e9\\ud83d\\ude00"}')
        self.aws.secrets["blob"] = Secret(bytes(range(256)))
        self.aws.secrets["turned"] = Secret("old")
        first = next(iter(self.aws.secrets["turned"].versions))
        self.aws.secrets["turned"].versions[first] = ("old", ["AWSPREVIOUS"])
        self.aws.secrets["turned"].put("new")
        result = self.good(("A", "asm:db#user"), ("B", "asm:db#port"), ("C", "asm:db#big"), ("D", "asm:db#e"),
                           ("E", "asm:db#on"), ("F", "asm:db#opts"), ("G", "asm:db#key"), ("H", "asm:turned"),
                           ("I", "asm:turned@AWSPREVIOUS"), ("J", f"asm:turned@{first}"),
                           ("blob", "asm:blob", FILE), ("K", f"asm:{self.aws.asm_arn('db')[:-7]}#user@AWSCURRENT"))
        self.assertEqual(result.values, {
            "A": "app", "B": "5432", "C": "12345678901234567890", "D": "1.10e3", "E": "true", "F": '{"a":[1]}',
            "G": "é😀", "H": "new", "I": "old", "J": "old", "K": "app",
            "blob": bytes(range(256)).decode(errors="surrogateescape")})
        self.assertEqual(result.report.items[9]["version"], first)
        self.assertEqual(self.aws.counts(), {"BatchGetSecretValue": 1, "GetSecretValue": 3})

    def test_what_a_key_cannot_be_taken_of(self):
        for text, status, says in (('{"a":1}', 66, 'no key "k"'), ('{"k":null}', 78, "null"), ("plain", 78, "JSON"),
                                   ('{"k":"1","k":"2"}', 78, "twice"), ('{"k":"a\\u0000b"}', 78, "NUL"),
                                   ('{"K":"1"}', 66, 'no key "k"'), ('{"k":1} x', 78, "behind its end"),
                                   ('{"k":"\\ud800"}', 78, "surrogate"), ("[" * 100 + "]" * 100, 78, "nested")):
            with self.subTest(text=text):
                self.aws.secrets["s"] = Secret(text)
                result = self.bad(status, ("A", "asm:s#k"), says=says)
                self.assertEqual(len(result.events), 1)
        self.aws.secrets["s"] = Secret(b"\x00\x01")
        self.bad(78, ("A", "asm:s#k"), says="binary")
        self.bad(78, ("A", "asm:s"), says="NUL")

    def test_twenty_a_call_and_errors_of_single_ones(self):
        for i in range(25):
            self.aws.secrets[f"s{i}"] = Secret(f"v{i}")
        result = self.good(*[(f"S{i}", f"asm:s{i}") for i in range(25)],
                           ("N", "asm:none", ENVIRONMENT, OPTIONAL))
        self.assertEqual(result.values, {f"S{i}": f"v{i}" for i in range(25)})
        self.assertEqual(self.aws.counts(), {"BatchGetSecretValue": 2})
        self.aws.denied.add("s3")
        result = self.bad(77, *[(f"S{i}", f"asm:s{i}") for i in range(5)], says="secret S3 (asm:s3)")
        self.assertEqual([i["outcome"] for i in result.report.items], ["ok"] * 3 + ["denied", "ok"])
        self.bad(66, ("A", "asm:s1"), ("B", "asm:none"), says="secret B (asm:none)")

    def test_who_may_not_batch_asks_one_by_one_and_remembers(self):
        self.aws.secrets.update(a=Secret("1"), b=Secret("2"))
        self.aws.denied.add("BatchGetSecretValue")
        items = [("A", "asm:a"), ("B", "asm:b")]
        self.assertEqual(self.good(*items).values, {"A": "1", "B": "2"})
        self.assertEqual(self.aws.counts(), {"BatchGetSecretValue": 1, "GetSecretValue": 2})
        self.good(*items)
        self.assertEqual(self.aws.counts(), {"BatchGetSecretValue": 1, "GetSecretValue": 4})


    def batch(self):
        self.aws.secrets.update({f"s{i}": Secret(f"v{i}") for i in range(5)})
        return [(f"S{i}", f"asm:s{i}") for i in range(5)], {f"S{i}": f"v{i}" for i in range(5)}

    def test_a_batch_that_is_slowed_down_gives_way_to_single_calls_at_once(self):
        """Batches have a hundredth of the single calls' quota: waiting for it helps nobody."""
        items, values = self.batch()
        self.aws.fault("BatchGetSecretValue", type="ThrottlingException", times=99)
        result = self.good(*items)
        self.assertEqual((result.values, result.report.retries), (values, 0))
        self.assertEqual(self.aws.counts(), {"BatchGetSecretValue": 1, "GetSecretValue": 5})
        self.assertIn("one by one", result.event("secrets-throttled")["msg"])
        # It is no refusal: the next run tries it again.
        self.aws.faults.clear()
        self.aws.forget()
        self.assertEqual(self.good(*items).values, values)
        self.assertEqual(self.aws.counts(), {"BatchGetSecretValue": 1})

    def test_single_calls_after_a_batch_keep_the_pace(self):
        items, values = self.batch()
        for operation in ("BatchGetSecretValue", "GetSecretValue"):
            self.aws.fault(operation, type="ThrottlingException")
        result = self.good(*items)
        self.assertEqual((result.values, result.report.retries), (values, 1))
        self.assertEqual(self.aws.counts(), {"BatchGetSecretValue": 1, "GetSecretValue": 6})

    def test_a_batch_that_fails_is_a_batch_again(self):
        items, values = self.batch()
        for fault in ({"kind": "status", "status": 503}, {"kind": "close"}, {"kind": "cut"}):
            self.aws.forget()
            self.aws.fault("BatchGetSecretValue", **fault)
            result = self.good(*items)
            self.assertEqual((result.values, result.report.retries), (values, 1))
            self.assertEqual(self.aws.counts(), {"BatchGetSecretValue": 2})

    def test_what_a_batch_fails_to_say_is_asked_for_alone(self):
        items, values = self.batch()
        self.aws.batch_errors = {"s1": "InternalServiceError", "s2": "ThrottlingException", "s3": None}
        self.assertEqual(self.good(*items).values, values)
        self.assertEqual(self.aws.counts(), {"BatchGetSecretValue": 1, "GetSecretValue": 3})
        asked = {body["SecretId"] for operation, body, _ in self.aws.calls if operation == "GetSecretValue"}
        self.assertEqual(asked, {"s1", "s2", "s3"})


class Refresh(Base):
    def test_a_refresh_describes_and_fetches_what_changed(self):
        self.aws.secrets.update(a=Secret("one\n"), b=Secret('{"k":"two"}'))
        items = [("A", "asm:a"), ("B", "asm:b#k")]
        self.assertEqual(self.good(*items).report.flags, {"changed"})
        self.aws.forget()
        result = self.good(*items, operation=REFRESH)
        self.assertEqual((result.report.flags, result.values), (set(), {"A": "one", "B": "two"}))
        self.assertEqual(self.aws.counts(), {"DescribeSecret": 2})
        self.aws.forget()
        self.aws.secrets["a"].put("three")
        result = self.good(*items, operation=REFRESH)
        self.assertEqual((result.report.flags, result.values), ({"changed"}, {"A": "three", "B": "two"}))
        self.assertEqual([i["flags"] for i in result.report.items], [{"changed"}, set()])
        self.assertEqual(self.aws.counts(), {"DescribeSecret": 2, "GetSecretValue": 1})

    def test_a_run_that_failed_does_not_hide_a_change(self):
        self.aws.secrets["a"] = Secret("one")
        self.aws.parameters["p"] = [Parameter("x")]
        items = [("A", "asm:a"), ("P", "ssm:p")]
        self.good(*items)
        self.aws.secrets["a"].put("two")
        self.aws.denied.add("p")
        self.bad(77, *items)  # it saw version two, and nothing was delivered
        self.aws.denied.clear()
        self.assertEqual(self.good(*items, operation=REFRESH).values["A"], "two")

    def test_parameters_change_only_when_they_do(self):
        self.aws.parameters["/a/x"] = [Parameter("1")]
        self.aws.parameters["/b/y"] = [Parameter("2")]
        items = [("A", "ssm:/a/x"), ("b", "ssm:/b/", ENVIRONMENT, PATH)]
        self.good(*items)
        self.assertEqual(self.good(*items, operation=REFRESH).report.flags, set())
        self.aws.parameters["/b/z"] = [Parameter("3")]
        self.assertEqual(self.good(*items, operation=REFRESH).report.flags, {"changed"})
        del self.aws.parameters["/b/z"]
        self.assertEqual(self.good(*items, operation=REFRESH).report.flags, {"changed"})

    def test_the_last_known_good_is_kept_through_an_outage(self):
        self.aws.parameters["/a/x"] = [Parameter("1")]
        self.aws.parameters["/b/y"] = [Parameter("2")]
        self.aws.secrets["s"] = Secret("3")
        items = [("A", "ssm:/a/x"), ("b", "ssm:/b/", ENVIRONMENT, PATH), ("S", "asm:s")]
        self.good(*items)
        self.aws.close()
        result = self.good(*items, operation=REFRESH, deadline_ms=700)
        self.assertEqual(result.values, {"A": "1", "Y": "2", "S": "3"})
        self.assertEqual(result.report.flags, {"kept"})
        self.assertEqual([i["outcome"] for i in result.report.items], ["unreachable"] * 3)
        self.assertEqual({e["event"] for e in result.events}, {"secret-kept", "secrets-read"})

    def test_what_was_absent_stays_so_through_an_outage(self):
        self.aws.parameters["/a/x"] = [Parameter("1")]
        for items in ([("A", "ssm:/a/x"), ("B", "ssm:/a/none", ENVIRONMENT, OPTIONAL)],
                      [("B", "ssm:/a/none", ENVIRONMENT, OPTIONAL)]):
            with self.subTest(n=len(items)):
                before = self.good(*items).values
                result = self.good(*items, operation=REFRESH, deadline_ms=700, AWS_ENDPOINT_URL="http://127.0.0.1:1")
                self.assertEqual((result.values, result.report.flags), (before, {"kept"}))
                self.assertEqual(result.report.items[-1]["flags"], {"kept", "absent"})
        # An outage is no reason to start without what was there.
        self.bad(69, ("A", "ssm:/a/x", ENVIRONMENT, OPTIONAL), deadline_ms=700, AWS_ENDPOINT_URL="http://127.0.0.1:1")


class WithoutKeys(Base):
    """Keys of the environment are in none of the settings."""

    def settings(self):
        return {**super().settings(), "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None,
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.aws.metadata_url}

    def setUp(self):
        super().setUp()
        self.aws.parameters["x"] = [Parameter("v")]

    def fetch(self, **settings):
        self.assertEqual(self.good(("A", "ssm:x"), **settings).values, {"A": "v"})


class Credentials(WithoutKeys):
    def test_the_environment_with_a_session_token(self):
        got = self.aws.issue()
        self.remote.environment = {"AWS_ACCESS_KEY_ID": got["AccessKeyId"], "AWS_SESSION_TOKEN": got["Token"],
                                   "AWS_SECRET_ACCESS_KEY": got["SecretAccessKey"]}
        self.fetch()
        self.bad(77, ("A", "ssm:x"), AWS_SESSION_TOKEN="another", says="UnrecognizedClientException")
        self.bad(77, ("A", "ssm:x"), AWS_SECRET_ACCESS_KEY="wrong", says="InvalidSignatureException")
        self.remote.environment.pop("AWS_SECRET_ACCESS_KEY")
        self.bad(77, ("A", "ssm:x"), says="AWS_SECRET_ACCESS_KEY is not")

    def test_web_identity_is_unsigned_and_its_token_read_each_time(self):
        path = self.write("token", self.aws.identity_token + "\n", mode=0o400)
        chain = {"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/web", "AWS_WEB_IDENTITY_TOKEN_FILE": path}
        self.aws.lifetime = 600  # under the advisory quarter of an hour: not taken from the state
        self.fetch(**chain)
        self.aws.identity_token = self.write("token", "turned", mode=0o400) and "turned"
        self.fetch(**chain)
        self.assertEqual(self.aws.counts(), {"AssumeRoleWithWebIdentity": 2, "GetParameters": 2})
        self.aws.identity_token = "another"
        self.bad(77, ("A", "ssm:x"), says="InvalidIdentityToken", **chain)
        self.bad(77, ("A", "ssm:x"), says="/nonexistent", **{**chain, "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent"})
        self.bad(77, ("A", "ssm:x"), says="belong together", AWS_WEB_IDENTITY_TOKEN_FILE=path)

    def test_a_container_by_its_full_uri_with_the_token_file_first(self):
        self.aws.container_token = "Basic abc"
        self.aws.lifetime = 600
        path = self.write("token", "Basic abc", mode=0o400)
        chain = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.aws.metadata_url}/container/credentials",
                 "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": path, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong"}
        self.fetch(**chain)
        self.aws.container_token = "turned"
        self.bad(77, ("A", "ssm:x"), says="refused (status 403)", **chain)
        self.write("token", "turned", mode=0o400)
        self.fetch(**chain)
        self.write("token", "turned\r\nX-Evil: 1", mode=0o400)
        self.bad(78, ("A", "ssm:x"), says="line end", **chain)
        chain.pop("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        self.fetch(**{**chain, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "turned"})

    def test_plain_http_goes_nowhere_but_to_this_machine(self):
        for url in ("http://192.0.2.1/x", "http://169.254.169.253/x", "http://[fd00:ec2::25]/x"):
            self.bad(78, ("A", "ssm:x"), says="use https", AWS_CONTAINER_CREDENTIALS_FULL_URI=url)
        for url in ("ftp://127.0.0.1/x", "nonsense", "file:///etc/passwd"):
            self.bad(78, ("A", "ssm:x"), says="no http or https URL", AWS_CONTAINER_CREDENTIALS_FULL_URI=url)
        self.bad(78, ("A", "ssm:x"), says="use https", AWS_ENDPOINT_URL_SSM="http://192.0.2.1", **super().settings())

    def test_the_instance_by_imdsv2_with_its_region(self):
        self.fetch(AWS_REGION=None)
        self.assertEqual(self.aws.metadata_calls, [
            "PUT /latest/api/token", "GET /latest/meta-data/placement/region",
            "GET /latest/meta-data/iam/security-credentials/",
            "GET /latest/meta-data/iam/security-credentials/web-role"])
        self.aws.forget()
        self.fetch()
        self.assertEqual(self.aws.metadata_calls, [], "credentials with an hour to go are in the state")

    def test_a_token_that_is_refused_is_fetched_again_once(self):
        self.aws.imds_forgets = 1
        self.fetch()
        self.assertEqual(self.aws.metadata_calls.count("PUT /latest/api/token"), 2)

    def test_credentials_of_the_state_that_are_refused_are_replaced(self):
        self.fetch()
        self.aws.keys.clear()
        self.fetch()
        self.assertEqual(self.aws.counts(), {"GetParameters": 3})

    def test_no_reply_of_the_instance_names_the_hop_limit(self):
        self.aws.metadata_hangs = True
        result = self.bad(69, ("A", "ssm:x"), says="hop limit")
        self.assertNotIn("GET", " ".join(self.aws.metadata_calls), "the first version is never tried")
        self.assertIn("AWS_EC2_METADATA_DISABLED", result.events[0]["msg"])

    def test_an_instance_that_may_not_be_asked(self):
        self.aws.metadata_status = 403
        self.bad(77, ("A", "ssm:x"), says="switched off")
        self.aws.forget()
        self.bad(77, ("A", "ssm:x"), says="no credentials", AWS_EC2_METADATA_DISABLED="true")
        self.bad(78, ("A", "ssm:x"), says="set AWS_REGION", AWS_EC2_METADATA_DISABLED="true", AWS_REGION=None)
        self.bad(78, ("A", "ssm:x"), says="no name of one", AWS_REGION="eu/../x")
        self.assertEqual(self.aws.metadata_calls, [])

    def test_the_link_local_addresses_in_a_namespace_of_their_own(self):
        """169.254.170.2 for the container's relative URI, 169.254.169.254 for the instance."""
        def inside():
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(0x40000000) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            subprocess.run("ip link set lo up && ip addr add 169.254.170.2/32 dev lo && "
                           "ip addr add 169.254.169.254/32 dev lo", shell=True, check=True)
            for host, settings in (("169.254.170.2", {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/container/x"}),
                                   ("169.254.169.254", {"AWS_REGION": None})):
                with tempfile.TemporaryDirectory() as folder:
                    aws = Aws(self.authority, certificate=self.certificate, metadata_address=(host, 80))
                    aws.parameters["x"] = [Parameter("v")]
                    remote = Remote(folder, {"AWS_ENDPOINT_URL": aws.url, "AWS_CA_BUNDLE": self.authority.ca,
                                             "AWS_REGION": aws.region})
                    remote.environment = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
                    results.append(remote.run(("A", "ssm:x"), **settings))
                    remote.close()
                    aws.close()
        results = []
        thread = threading.Thread(target=inside)
        thread.start()
        thread.join(harness.DEADLINE)
        self.assertEqual([(r.status, r.values) for r in results], [(0, {"A": "v"})] * 2, results and results[-1].err)


class Faults(Base):
    def setUp(self):
        super().setUp()
        self.aws.parameters["x"] = [Parameter("v")]

    def fetch(self, **options):
        result = self.good(("A", "ssm:x"), **options)
        self.assertEqual(result.values, {"A": "v"})
        return result

    def test_throttling_by_http_400_is_repeated_and_said(self):
        for kind in ("ThrottlingException", "com.amazonaws.ssm#TooManyRequestsException"):
            self.aws.fault("GetParameters", type=kind)
        result = self.fetch()
        self.assertEqual(result.report.retries, 2)
        self.assertEqual([e["event"] for e in result.events], ["secrets-throttled", "secrets-read"])

    def test_a_broken_server_is_asked_again(self):
        for fault in ({"kind": "status", "status": 503}, {"kind": "cut"}, {"kind": "close"}):
            self.aws.fault("GetParameters", **fault)
            self.assertEqual(self.fetch().report.retries, 1)

    def test_what_lasts_beyond_the_deadline(self):
        """Of so many refusals nobody would see the end otherwise."""
        self.aws.fault("GetParameters", type="ThrottlingException", times=9999)
        result = self.bad(75, ("A", "ssm:x"), deadline_ms=1000, says="ThrottlingException")
        self.assertEqual(result.report.items[0]["outcome"], "temporary")

    def test_retry_after_is_passed_on_when_there_is_no_time_for_it(self):
        self.aws.fault("GetParameters", kind="status", status=503, headers={"Retry-After": "7"})
        result = self.bad(75, ("A", "ssm:x"), deadline_ms=3000)
        self.assertEqual(result.report.retry_ms, 7000)
        self.aws.fault("GetParameters", kind="status", status=503, headers={"Retry-After": "0"})
        self.assertEqual(self.bad(75, ("A", "ssm:x"), deadline_ms=900).report.retry_ms, 1000)

    def test_no_answer_ends_by_the_deadline(self):
        self.aws.fault("GetParameters", kind="hang", times=99)
        self.bad(69, ("A", "ssm:x"), deadline_ms=600)
        self.assertEqual(self.aws.counts()["GetParameters"], 1, "it ended before a call's own time was over")

    def test_nobody_there(self):
        self.aws.close()
        self.bad(69, ("A", "ssm:x"), deadline_ms=600)
        self.bad(69, ("A", "ssm:x"), deadline_ms=600, says="cannot be resolved",
                 AWS_ENDPOINT_URL="https://nowhere.invalid")

    def test_a_certificate_that_is_not_for_it(self):
        self.bad(69, ("A", "ssm:x"), AWS_CA_BUNDLE=None, says="cannot be trusted")
        other = Aws(self.authority, certificate=self.authority.issue("other", "DNS:elsewhere.example"))
        self.addCleanup(other.close)
        self.bad(69, ("A", "ssm:x"), AWS_ENDPOINT_URL=other.url, says="cannot be trusted")
        self.assertEqual(other.calls, [])
        self.bad(77, ("A", "ssm:x"), AWS_CA_BUNDLE="/nonexistent/ca.pem", says="/nonexistent/ca.pem")

    def test_an_answer_without_end_is_cut_off(self):
        self.aws.fault("GetParameters", kind="huge")
        self.bad(78, ("A", "ssm:x"), says="more than 8388608 bytes")

    def test_no_redirect_is_followed(self):
        self.aws.fault("GetParameters", kind="status", status=307, headers={"Location": self.aws.url + "/stolen"})
        self.bad(78, ("A", "ssm:x"), says="redirected")
        self.assertEqual(self.aws.counts(), {"GetParameters": 1})

    def test_a_wrong_clock_is_corrected_by_the_date_and_remembered(self):
        self.aws.offset = 3600
        result = self.fetch()
        self.assertAlmostEqual(result.event("clock-skewed")["seconds"], 3600, delta=60)
        self.assertEqual(self.aws.counts(), {"GetParameters": 2})
        self.fetch()
        self.assertEqual(self.aws.counts(), {"GetParameters": 3})
        # A wrong key is no clock's fault: one try.
        self.bad(77, ("A", "ssm:x"), AWS_SECRET_ACCESS_KEY="wrong")
        self.assertEqual(self.aws.counts(), {"GetParameters": 4})

    def test_replies_that_are_no_answers(self):
        for body, status in ((b"<html>", 75), (b"{", 75), (b'{"Parameters":[{"Name":"x"}]}', 75),
                             (b'{"Parameters":{}}', 75), (b'{"Parameters":[1,null]}', 66), (b"[]", 75)):
            with self.subTest(body=body):
                self.aws.faults.clear()
                self.aws.fault("GetParameters", kind="status", status=200, body=body, times=9)
                self.bad(status, ("A", "ssm:x"), deadline_ms=500)


class Pace(Base):
    """What the server sees of the waits. Only what load cannot change is asserted: counts, and that
    nothing comes sooner than it may; test_pace.c has the other bounds."""

    def setUp(self):
        super().setUp()
        for i in range(100):
            self.aws.parameters[f"/app/p{i}"] = [Parameter(f"v{i}")]

    def items(self, n):
        return [(f"P{i}", f"ssm:/app/p{i}") for i in range(n)]

    def test_after_a_throttled_round_one_call_comes_back_and_answers_open_the_window(self):
        self.aws.fault("GetParameters", type="ThrottlingException", times=4, barrier=threading.Barrier(4),
                       headers={"Retry-After": "2"})
        result = self.good(*self.items(100))
        served = self.aws.served
        self.assertEqual([s.throttled for s in served], [True] * 4 + [False] * 10)
        self.assertEqual(result.report.retries, 4)
        quiet = max(s.went for s in served[:4]) + 2
        for call in served[4:]:
            self.assertGreaterEqual(call.came, quiet - 0.01)
            n_answered = sum(other.went <= call.came for other in served[4:])
            self.assertLessEqual(call.flying, min(4, 1 + n_answered))
        self.assertEqual(served[4].flying, 1)
        self.assertEqual(len([e for e in result.events if e["event"] == "secrets-throttled"]), 1)

    def test_retry_after_0_is_at_least_a_second(self):
        self.aws.fault("GetParameters", kind="status", status=503, headers={"Retry-After": "0"})
        self.good(*self.items(1))
        first, second = self.aws.served
        self.assertGreaterEqual(second.came - first.went, 0.99)

    def test_there_are_waits_between_tries(self):
        self.aws.fault("GetParameters", type="ThrottlingException", times=2)
        self.good(*self.items(1))
        served = self.aws.served
        self.assertEqual([s.throttled for s in served], [True, True, False])
        # Below 1 s and below 2 s by chance: that both are next to nothing is one in 100,000.
        self.assertGreater(served[2].came - served[0].went, 0.005)

    def test_a_quota_is_kept_until_all_is_there(self):
        self.aws.quotas["GetParameters"] = Bucket(2, 1)
        result = self.good(*self.items(30))
        self.assertEqual(result.values, {f"P{i}": f"v{i}" for i in range(30)})
        throttled = [s for s in self.aws.served if s.throttled]
        self.assertEqual(len(self.aws.served), 3 + len(throttled))
        self.assertEqual(result.report.retries, len(throttled))
        self.assertGreater(len(throttled), 0)


class MachineCas(Base):
    """Without AWS_CA_BUNDLE=: the CAs where libcurl was built to look, in a mount namespace of their own."""

    def machine(self, in_bundle, in_folder, hashes):
        """A folder as /etc/ssl/certs: whose CAs its bundle has, and whose it has by their hash."""
        folder = tempfile.mkdtemp(dir=self.dir)
        os.chmod(folder, 0o755)
        with open(f"{folder}/ca-certificates.crt", "w", encoding="ascii") as bundle:
            for ca in in_bundle:
                with open(ca, encoding="ascii") as f:
                    bundle.write(f.read())
        for i, ca in enumerate(in_folder):
            shutil.copy(ca, f"{folder}/{i}.pem")
        if hashes:
            subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
        return folder

    def fetch_on(self, machine):
        results = []

        def inside():
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(0x00020000) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            subprocess.run(f"mount --make-rprivate / && mount --bind {machine} /etc/ssl/certs", shell=True, check=True)
            results.append(self.remote.run(("A", "ssm:x"), AWS_CA_BUNDLE=None))
        thread = threading.Thread(target=inside)
        before = self.aws.api.accepted
        thread.start()
        thread.join(harness.DEADLINE)
        return results[0], self.aws.api.accepted - before

    def test_by_hash_in_the_bundle_in_both_and_in_neither(self):
        self.aws.parameters["x"] = [Parameter("v")]
        ours = self.authority.ca
        others = Authority(f"{self.dir}/others", "others").ca
        for in_bundle, in_folder, hashes, handshakes in (
                ([others], [ours, others], True, 1),    # by its hash, and the bundle is not read
                ([others, ours], [], False, 1),         # an image that has the bundle alone
                ([others, ours], [others], True, 2)):   # what the folder does not have the bundle may
            with self.subTest(in_bundle=in_bundle, in_folder=in_folder):
                result, accepted = self.fetch_on(self.machine(in_bundle, in_folder, hashes))
                self.assertEqual((result.status, result.values, accepted), (0, {"A": "v"}, handshakes), result.err)
                self.assertEqual(result.report.retries, 0)
        for hashes in (True, False):
            result, _ = self.fetch_on(self.machine([others], [others], hashes))
            self.assertEqual((result.status, result.raw), (69, b""), result.err)
            self.assertIn("cannot be trusted", result.err)
        self.assertEqual(self.aws.counts(), {"GetParameters": 3})

    def test_a_bundle_without_a_certificate_is_said(self):
        self.bad(78, ("A", "ssm:x"), says="no certificate in it", AWS_CA_BUNDLE=self.write("empty.pem", "nothing\n"))


class Safety(Base):
    def test_nothing_of_a_value_or_a_key_is_said(self):
        self.aws.parameters["x"] = [Parameter(PLANTED, "SecureString")]
        self.aws.secrets["s"] = Secret('{"k":"' + PLANTED + '","n":null}')
        key = self.settings()["AWS_SECRET_ACCESS_KEY"]
        for result in (self.remote.run(("A", "ssm:x"), ("B", "asm:s#k")), self.remote.run(("A", "asm:s#n")),
                       self.remote.run(("A", "ssm:x", ENVIRONMENT, CONFIG)),
                       self.remote.run(("A", "ssm:x"), AWS_REGION="us-east-1")):
            self.assertTrue(result.events)
            for text in (result.err.encode("latin-1"), result.report_raw, result.state):
                self.assertNotIn(PLANTED.encode(), text)
                self.assertNotIn(key.encode(), text)

    def test_while_it_waits_it_is_locked_in(self):
        self.aws.fault("GetParameters", kind="hang")
        self.aws.parameters["x"] = [Parameter("v")]
        results = []
        thread = threading.Thread(target=lambda: results.append(self.remote.run(("A", "ssm:x"))))
        thread.start()
        harness.wait_until(lambda: self.aws.counts().get("GetParameters"), "the call")
        pid = self.remote.helper()
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        self.assertEqual((status["Uid"].split(), status["Gid"].split()), (["990"] * 4, ["990"] * 4))
        self.assertEqual((int(status["CapEff"], 16), status["NoNewPrivs"], status["Seccomp"]), (0, "1", "2"))
        self.assertEqual(status["Threads"], "1")
        self.assertEqual(os.stat(f"/proc/{pid}/mem").st_uid, 0)
        with open(f"/proc/{pid}/limits", encoding="ascii") as f:
            core = next(line for line in f if line.startswith("Max core file size"))
        self.assertEqual(core.split()[4:6], ["0", "0"])
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as f:
                self.assertNotIn(b"wJalr", f.read())
        self.aws.released.set()
        thread.join(harness.DEADLINE)
        self.assertEqual(results[0].status, 0, results[0].err)


if __name__ == "__main__":
    harness.main()
