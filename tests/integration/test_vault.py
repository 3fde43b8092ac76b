#!/usr/bin/env python3
"""vault: references against a server that speaks Vault's API: each row of what is known of Vault, each way of
logging in, leases over hours (by a time namespace, where the helper's clock has to move), and what goes wrong."""
import base64
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance
from servers import pki, vault

BED = f"{harness.APPS}/remotebed"
PROGRAM = f"{harness.BIN}/holdfast-secrets-remote"
FETCH, REFRESH, REVOKE = "0", "1", "2"
ENVIRONMENT, FILE = "0", "1"
OPTIONAL, CONFIG, PATH = 1, 2, 4
REMOTE = 8
CHANGED, KEPT = 1, 2
ITEM_KEPT, ITEM_ABSENT, ITEM_CHANGED = 2, 4, 8
NEVER = 2**64 - 1
PLANTED = "pl4nted-Kae7Oovo-value"
HOUR = 3600


class Result:
    """What one run left: its exit status, events, report, and the values."""

    def __init__(self, done, folder):
        self.status, self.err = done.returncode, done.stderr
        self.events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        with open(f"{folder}/values", "rb") as f:
            self.raw = f.read()
        with open(f"{folder}/report", "rb") as f:
            self.report = f.read()
        if len(self.report) < 432:
            self.flags = self.items = None
            return
        (_, _, count, self.report_status, self.flags, self.next_ms, self.lease_end_ms, self.retry_ms,
         self.n_retries) = struct.unpack_from("=QIIiIQQII", self.report)
        self.items = []
        for i in range(count):
            outcome, flags, length, lease, expires, version = struct.unpack_from("=IIIIq64s", self.report, 432 + i * 88)
            self.items.append({"outcome": outcome, "flags": flags, "length": length, "lease": lease,
                               "version": version.split(b"\0")[0].decode()})

    @property
    def values(self):
        found, at = {}, 0
        while at < len(self.raw):
            name, value = struct.unpack_from("=II", self.raw, at)
            text = self.raw[at + 8:at + 8 + name + 1 + value]
            found[text[:name].decode()] = text[name + 1:].decode()
            at += 8 + (name + value + 2 + 3 & ~3)
        return found

    def event(self, name):
        found = [e for e in self.events if e["event"] == name]
        assert found, f"no {name} in {self.err}"
        return found[0]


class Unit:
    """A unit's secrets over several runs, as the supervisor hands them on. `age` seconds have passed for it since
    the last run: each later run has a clock that is so much ahead."""

    def __init__(self, test, items, settings, environ=None, name="web.service", program=PROGRAM):
        self.test, self.items, self.settings, self.environ = test, items, settings, environ or {}
        self.name, self.program = name, program
        self.folder = os.path.join(test.dir, f"unit-{len(test.units)}")
        os.mkdir(self.folder)
        test.units.append(self)
        self.ahead = 0

    def command(self, operation, deadline_ms):
        arguments = []
        for item in self.items:
            name, reference, *rest = item
            delivery, flags = (rest + [ENVIRONMENT, 0][len(rest):])
            arguments += [name, reference, delivery, str(flags | REMOTE)]
        clock = ["unshare", "--time", "--boottime", str(self.ahead), "--"] if self.ahead else []
        return [*clock, BED, self.program, self.folder, self.name, self.test.uid, operation, str(deadline_ms),
                *[f"{k}={v}" for k, v in self.settings.items()], "--", *arguments]

    def run(self, operation=FETCH, deadline_ms=20000):
        done = subprocess.run(self.command(operation, deadline_ms), env=self.environ, capture_output=True, text=True,
                              timeout=60, check=False)
        result = Result(done, self.folder)
        self.test.assertNotIn(PLANTED, result.err)
        for secret in self.test.planted:
            self.test.assertNotIn(secret, result.err)
            self.test.assertNotIn(secret.encode(), result.report)
        return result

    def fetch(self):
        """Succeeds, and what it gave is what the unit has from now on."""
        return self.settle(self.run(FETCH))

    def refresh(self, after=0):
        """Succeeds, `after` seconds later, for Vault as for the helper."""
        self.pass_time(after)
        return self.settle(self.run(REFRESH))

    def pass_time(self, seconds):
        self.ahead += seconds
        self.test.vault.advance(seconds)

    def settle(self, result):
        self.test.assertEqual(result.status, 0, result.err)
        shutil.copyfile(f"{self.folder}/values", f"{self.folder}/old")
        return result

    def state(self):
        with open(f"{self.folder}/state", "rb") as f:
            return f.read()


class VaultCase(harness.Case):
    uid = "990"

    @classmethod
    def setUpClass(cls):
        cls.folder = os.path.join("/tmp", f"holdfast-vault-{os.getpid()}-{cls.__name__}")
        cls.authority = pki.Authority(cls.folder)
        cls.certificate = cls.authority.issue("vault")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def setUp(self):
        super().setUp()
        self.units, self.planted = [], []
        self.vault = self.server()
        self.vault.mount("secret", "kv", version=2)
        self.vault.mount("old", "kv", version=1)
        self.vault.mount("database", "database")
        self.settings = {"VAULT_ADDR": self.vault.address, "VAULT_CACERT": self.authority.ca}

    def server(self, **options):
        made = vault.Vault(self.authority, **{"certificate": self.certificate, **options})
        self.addCleanup(made.close)
        return made

    def unit(self, *items, token=None, settings=None, environ=None):
        """With a token of an hour that may be held for a day, unless settings say how to log in."""
        settings = {**self.settings, **(settings or {})}
        environ = dict(environ or {})
        if "HOLDFAST_VAULT_AUTH" not in settings:
            environ["VAULT_TOKEN"] = token or self.vault.token(ttl=0, renewable=False)
            self.planted.append(environ["VAULT_TOKEN"])
        return Unit(self, items, {k: v for k, v in settings.items() if v is not None}, environ)

    def refused(self, unit, status, says, event=None, operation=FETCH):
        result = unit.run(operation)
        self.assertEqual(result.status, status, result.err)
        self.assertEqual(result.raw, b"")
        line = result.event(event or {66: "secret-not-found", 77: "secret-denied", 78: "secret-malformed",
                                      75: "secret-unavailable", 69: "secret-unreachable"}[status])
        self.assertIn(says, line["msg"])
        return result


class Reading(VaultCase):
    # ---- key/value stores

    def test_kv2_by_the_mount_that_vault_names(self):
        self.vault.put("secret", "app/db", {"password": PLANTED, "port": 5432})
        result = self.unit(("DB_PASSWORD", "vault:secret/app/db#password"), ("PORT", "vault:secret/app/db#port")).fetch()
        self.assertEqual(result.values, {"DB_PASSWORD": PLANTED, "PORT": "5432"})
        self.assertEqual(self.vault.paths()[-2:], ["GET sys/internal/ui/mounts/secret/app/db", "GET secret/data/app/db"])
        self.assertEqual([i["version"] for i in result.items], ["1", "1"])
        self.assertEqual((result.next_ms, result.lease_end_ms), (NEVER, NEVER))

    def test_every_request_says_that_it_is_one(self):
        self.vault.put("secret", "a", {"k": "v"})
        self.unit(("A", "vault:secret/a#k")).fetch()
        for request in self.vault.requests:
            self.assertEqual(request.headers.get("X-Vault-Request"), "true")

    def test_kv1_has_a_duration_and_no_lease(self):
        self.vault.put("old", "app", {"k": "v"})
        result = self.unit(("A", "vault:old/app#k")).fetch()
        self.assertEqual(result.values, {"A": "v"})
        self.assertEqual(self.vault.paths()[-1], "GET old/app")
        self.assertEqual((result.items[0]["lease"], result.next_ms, result.lease_end_ms), (0, NEVER, NEVER))

    def test_an_older_version(self):
        for value in ("one", "two", "three"):
            self.vault.put("secret", "app", {"k": value})
        result = self.unit(("A", "vault:secret/app?version=2#k"), ("B", "vault:secret/app#k")).fetch()
        self.assertEqual(result.values, {"A": "two", "B": "three"})
        self.assertEqual([i["version"] for i in result.items], ["2", "3"])
        self.refused(self.unit(("A", "vault:secret/app?version=9#k")), 66, "nothing there")
        self.vault.put("old", "app", {"k": "v"})
        self.refused(self.unit(("A", "vault:old/app?version=1#k")), 78, "KV of version 2")

    def test_deleted_is_told_from_what_never_was(self):
        self.vault.put("secret", "app", {"k": "one"})
        self.vault.put("secret", "app", {"k": "two"})
        self.vault.delete("secret", "app")
        self.refused(self.unit(("A", "vault:secret/app#k")), 66, "its version 2 was deleted at 20")
        self.vault.delete("secret", "app", destroy=True)
        self.refused(self.unit(("A", "vault:secret/app#k")), 66, "its version 2 was destroyed")
        self.refused(self.unit(("A", "vault:secret/none#k")), 66, "Vault has nothing there (404, GET secret/data/none)")
        self.assertEqual(self.unit(("A", "vault:secret/app?version=1#k")).fetch().values, {"A": "one"})

    def test_a_key_that_is_not_there_is_named_with_those_that_are(self):
        self.vault.put("secret", "app", {"user": "u", "pass": PLANTED})
        self.refused(self.unit(("A", "vault:secret/app#password")), 66, "no key password; it has user, pass")

    def test_optional_speaks_of_what_is_not_there_alone(self):
        self.vault.put("secret", "app", {"k": "v"})
        unit = self.unit(("A", "vault:secret/none#k", ENVIRONMENT, OPTIONAL), ("B", "vault:secret/app#k"),
                         ("C", "vault:secret/app#none", ENVIRONMENT, OPTIONAL))
        result = unit.fetch()
        self.assertEqual(result.values, {"B": "v"})
        self.assertEqual([i["flags"] & ITEM_ABSENT for i in result.items], [ITEM_ABSENT, 0, ITEM_ABSENT])
        self.vault.denied.add("secret/data/none")
        self.refused(unit, 77, "denies it")

    def test_values_are_strict_json(self):
        self.vault.put("secret", "app", {"number": 0, "yes": True, "null": None, "object": {"a": [1]}})
        body = (b'{"lease_id":"","data":{"data":{"big":12345678901234567890,"dec":1.10,"uni":"\\u00e9"},'
                b'"metadata":{"version":4}}}')
        self.vault.fault("secret/data/raw", body=body, times=1)
        result = self.unit(("BIG", "vault:secret/raw#big"), ("DEC", "vault:secret/raw#dec"), ("UNI", "vault:secret/raw#uni"),
                           ("YES", "vault:secret/app#yes"), ("OBJ", "vault:secret/app#object")).fetch()
        self.assertEqual(result.values, {"BIG": "12345678901234567890", "DEC": "1.10", "UNI": "é", "YES": "true",
                                         "OBJ": '{"a": [1]}'})
        self.refused(self.unit(("A", "vault:secret/app#null")), 78, "is null")
        for wrong in (b'{"data":{"data":{"k":"a\\u0000b"}}}', b'{"data":{"data":{"k":"1","k":"2"}}}',
                      b'{"data":{"data":{"k":"1"}}} trailing', b"<html>hello</html>"):
            self.vault.fault("secret/data/raw", body=wrong)
            self.refused(self.unit(("A", "vault:secret/raw#k")), 69, "is not Vault")

    def test_a_path_gives_each_of_its_keys(self):
        self.vault.put("secret", "app/all", {"db-password": PLANTED, "url": "x", "9lives": "y"})
        self.vault.put("secret", "app/more", {"URL": "explicit"})
        result = self.unit(("p", "vault:secret/app/all", ENVIRONMENT, PATH), ("URL", "vault:secret/app/more#URL")).fetch()
        self.assertEqual(result.values, {"DB_PASSWORD": PLANTED, "URL": "explicit", "_9LIVES": "y"})
        self.vault.put("secret", "app/twice", {"a-b": "1", "a_b": "2"})
        self.refused(self.unit(("p", "vault:secret/app/twice", ENVIRONMENT, PATH)), 78, "a-b")

    def test_one_read_serves_all_keys_of_a_path(self):
        self.vault.put("secret", "app", {str(i): str(i) for i in range(40)})
        for i in range(40):
            self.vault.put("secret", f"many/{i}", {"k": str(i)})
        unit = self.unit(*[(f"A{i}", f"vault:secret/app#{i}") for i in range(40)],
                         *[(f"B{i}", f"vault:secret/many/{i}#k") for i in range(40)])
        result = unit.fetch()
        self.assertEqual(result.values["A7"], "7")
        self.assertEqual(result.values["B39"], "39")
        self.assertEqual(self.vault.count("secret/data/app"), 1)
        self.assertEqual(sum("sys/internal" in p for p in self.vault.paths()), 1)

    def test_paths_are_escaped(self):
        self.vault.put("secret", "with space/ä+b", {"k": "v"})
        self.assertEqual(self.unit(("A", "vault:secret/with space/ä+b#k")).fetch().values, {"A": "v"})

    def test_references_that_name_nothing(self):
        for reference, says in (("vault:secret/app", "names no key"), ("vault:secret#k", "names a mount"),
                                ("vault:sys/seal#k", "Vault's own"), ("vault:secret/../sys/x#k", ". or .."),
                                ("vault:secret/app#k?version=2", "in front of #KEY")):
            self.refused(self.unit(("A", reference)), 78, says)
        self.assertEqual(self.vault.requests, [])

    # ---- namespaces, redirects, addresses

    def test_a_namespace(self):
        self.vault.mount("secret", "kv", version=2, namespace="team/a")
        self.vault.put("secret", "app", {"k": "of a"}, namespace="team/a")
        token = self.vault.token(namespace="team/a")
        unit = self.unit(("A", "vault:secret/app#k"), token=token, settings={"VAULT_NAMESPACE": "team/a"})
        self.assertEqual(unit.fetch().values, {"A": "of a"})
        self.assertEqual({r.namespace for r in self.vault.requests}, {"team/a"})
        self.refused(self.unit(("A", "vault:secret/app#k"), token=token), 77, "denies it")

    def test_a_standby_redirects_once(self):
        self.vault.put("secret", "app", {"k": "v"})
        standby = self.server()
        standby.standby_of = self.vault.address
        unit = self.unit(("A", "vault:secret/app#k"), settings={"VAULT_ADDR": standby.address})
        self.assertEqual(unit.fetch().values, {"A": "v"})
        # It is remembered for the run.
        self.assertEqual(len(standby.requests), 1)
        second = self.server()
        second.standby_of = standby.address
        self.refused(self.unit(("A", "vault:secret/app#k"), settings={"VAULT_ADDR": second.address}), 69, "a second time")

    def test_the_token_goes_nowhere_else(self):
        self.vault.put("secret", "app", {"k": "v"})
        plain = self.server(plain=True, certificate=None)
        for location in (f"{plain.address}/v1/auth/token/lookup-self", f"{self.vault.address}/v1/other/path",
                         "/v1/auth/token/lookup-self", "https://user@127.0.0.1/v1/auth/token/lookup-self",
                         f"{self.vault.address}/v1/auth/token/lookup-self?x=1", "ftp://127.0.0.1/"):
            standby = self.server()
            standby.fault(status=307, headers={"Location": location})
            before = len(self.vault.requests) + len(plain.requests)
            self.refused(self.unit(("A", "vault:secret/app#k"), settings={"VAULT_ADDR": standby.address}), 69,
                         "the token is not sent there")
            self.assertEqual(len(self.vault.requests) + len(plain.requests), before, location)

    def test_other_redirects_are_none_of_vaults(self):
        self.vault.fault(status=302, headers={"Location": f"{self.vault.address}/v1/auth/token/lookup-self"})
        self.refused(self.unit(("A", "vault:secret/app#k")), 69, "redirects with 302")

    # ---- what goes wrong

    def test_statuses(self):
        self.vault.put("secret", "app", {"k": "v"})
        unit = self.unit(("A", "vault:secret/app#k"))
        for status, exit_status, says in ((400, 78, "(400, GET secret/data/app): a fault of 400"), (403, 77, "(403,"),
                                          (405, 78, "cannot be read"), (473, 75, "standby"), (501, 69, "not initialized"),
                                          (418, 78, "418")):
            self.vault.fault("secret/data/app", status=status)
            before = self.vault.count("secret/data/app")
            self.refused(unit, exit_status, says)
            self.assertEqual(self.vault.count("secret/data/app") - before, 1, f"{status} is never repeated")

    def test_a_missing_and_a_bad_token(self):
        self.vault.put("secret", "app", {"k": "v"})
        self.refused(self.unit(("A", "vault:secret/app#k"), settings={"HOLDFAST_VAULT_AUTH": "none"}), 78,
                     "missing client token")
        self.refused(self.unit(("A", "vault:secret/app#k"), token="hvs.not-one-of-ours"), 77, "permission denied")
        self.refused(self.unit(("A", "vault:secret/app#k"), settings={"HOLDFAST_VAULT_AUTH": "token"}), 78,
                     "VAULT_TOKEN in the environment or VaultTokenFile=")

    def test_what_passes_is_tried_again(self):
        self.vault.put("secret", "app", {"k": "v"})
        for status in (412, 429, 500, 502, 503):
            self.vault.fault("secret/data/app", status=status)
            result = self.unit(("A", "vault:secret/app#k")).fetch()
            self.assertEqual((result.values, result.n_retries), ({"A": "v"}, 1), status)
        self.vault.fault("secret/data/app", action="close")
        self.assertEqual(self.unit(("A", "vault:secret/app#k")).fetch().values, {"A": "v"})

    def test_retry_after_zero_has_a_floor(self):
        self.vault.put("secret", "app", {"k": "v"})
        self.vault.fault("secret/data/app", status=429, headers={"Retry-After": "0"}, times=99)
        unit = self.unit(("A", "vault:secret/app#k"), settings={"VAULT_MAX_RETRIES": "1"})
        result = self.refused(unit, 75, "quota for requests is used up (429")
        self.assertEqual(self.vault.count("secret/data/app"), 2)
        self.assertGreaterEqual(result.retry_ms, 500)

    def test_sealed(self):
        self.vault.is_sealed = True
        unit = self.unit(("A", "vault:secret/app#k"), settings={"VAULT_MAX_RETRIES": "0"})
        self.refused(unit, 75, "sealed or in maintenance (503, GET auth/token/lookup-self): Vault is sealed")

    def test_answers_that_are_none(self):
        unit = self.unit(("A", "vault:secret/app#k"), settings={"VAULT_MAX_RETRIES": "0"})
        self.vault.fault(action="truncate")
        self.refused(unit, 69, "")
        self.vault.fault(action="huge")
        self.refused(unit, 78, "more than")

    def test_nobody_there(self):
        port = harness.free_port()
        unit = self.unit(("A", "vault:secret/app#k"), settings={"VAULT_ADDR": f"https://127.0.0.1:{port}",
                                                                "VAULT_MAX_RETRIES": "0"})
        self.refused(unit, 69, "onnect")

    def test_the_deadline_holds_whatever_vault_does(self):
        self.vault.fault(delay=15, times=9)
        result = self.unit(("A", "vault:secret/app#k")).run(deadline_ms=700)
        self.assertIn(result.status, (69, 75), result.err)

    def test_an_error_that_echoes_the_token_is_not_shown(self):
        unit = self.unit(("A", "vault:secret/app#k"))
        self.vault.fault("secret/data/app", status=400, body={"errors": [f"bad token {self.planted[-1]}"]})
        self.refused(unit, 78, "refuses the request (400, GET secret/data/app)")

    def test_control_characters_of_an_error_are_not_shown(self):
        self.vault.fault("secret/data/app", status=400, body={"errors": ["1 error:\n\t* a\x1b[31mb\n\n"]})
        self.refused(self.unit(("A", "vault:secret/app#k")), 78, "1 error: * a?[31mb")

    # ---- TLS

    def test_a_certificate_that_cannot_be_trusted(self):
        with_system_cas = self.unit(("A", "vault:secret/app#k"), settings={"VAULT_CACERT": None})
        self.refused(with_system_cas, 69, "certificate")
        self.assertEqual(self.vault.requests, [])

    def test_skip_verify_is_the_images_to_say(self):
        self.vault.put("secret", "app", {"k": "v"})
        item = ("A", "vault:secret/app#k")
        self.refused(self.unit(item, settings={"VAULT_CACERT": None}, environ={"VAULT_SKIP_VERIFY": "1"}), 78,
                     "only VaultSkipVerify=yes of the image's own holdfast.conf")
        self.assertEqual(self.vault.requests, [])
        result = self.unit(item, settings={"VAULT_CACERT": None, "VAULT_SKIP_VERIFY": "true"}).fetch()
        self.assertEqual(result.values, {"A": "v"})
        self.assertEqual(result.event("vault-unverified")["level"], "warning")

    def test_a_directory_of_certificates(self):
        self.vault.put("secret", "app", {"k": "v"})
        shutil.copy(self.authority.ca, self.write("cas/0.pem", ""))
        unit = self.unit(("A", "vault:secret/app#k"), settings={"VAULT_CACERT": None, "VAULT_CAPATH": f"{self.dir}/cas"})
        self.assertEqual(unit.fetch().values, {"A": "v"})

    def test_a_certificate_for_another_name(self):
        other = self.server(certificate=self.authority.issue("vault.internal", "DNS:vault.internal"))
        other.mount("secret", "kv", version=2)
        other.put("secret", "app", {"k": "v"})
        settings = {"VAULT_ADDR": f"https://127.0.0.1:{other.port}"}
        unit = self.unit(("A", "vault:secret/app#k"), token=other.token(), settings=settings)
        self.refused(unit, 69, "certificate")
        settings = {"VAULT_ADDR": f"https://127.0.0.1:{other.port}", "VAULT_TLS_SERVER_NAME": "vault.internal"}
        unit = self.unit(("A", "vault:secret/app#k"), token=other.token(), settings=settings)
        self.assertEqual(unit.fetch().values, {"A": "v"})

    def test_settings_that_are_wrong(self):
        item = ("A", "vault:secret/app#k")
        for settings, says in (({"VAULT_ADDR": None}, "where Vault is"), ({"VAULT_ADDR": "vault:8200"}, "https://HOST"),
                               ({"VAULT_ADDR": "https://u:p@vault"}, "without user"),
                               ({"VAULT_MAX_RETRIES": "many"}, "VAULT_MAX_RETRIES"),
                               ({"HOLDFAST_VAULT_AUTH": "ldap"}, "token, approle"),
                               ({"VAULT_CLIENT_CERT": self.authority.ca}, "go together")):
            self.refused(self.unit(item, settings=settings), 78, says)
        self.refused(self.unit(item, settings={"VAULT_CACERT": "/nonexistent/ca.pem"}), 66, "/nonexistent/ca.pem")
        self.assertEqual(self.vault.requests, [])


class LoggingIn(VaultCase):
    def setUp(self):
        super().setUp()
        self.vault.put("secret", "app", {"k": "v"})
        self.item = ("A", "vault:secret/app#k")

    def login(self, auth, **settings):
        return self.unit(self.item, settings={"HOLDFAST_VAULT_AUTH": auth, **settings})

    def test_token_file_read_as_who_started_it(self):
        token = self.vault.token()
        path = self.write("token", token + "\n", mode=0o400)
        unit = self.unit(self.item, settings={"HOLDFAST_VAULT_AUTH": "token", "HOLDFAST_VAULT_TOKEN_FILE": path})
        self.assertEqual(unit.fetch().values, {"A": "v"})
        # Whoever gave it may want to go on using it.
        unit.run(REVOKE)
        self.assertTrue(self.vault.tokens[token].lives(self.vault.now()))
        self.assertEqual(self.vault.count("auth/token/revoke-self"), 0)
        missing = self.unit(self.item, settings={"HOLDFAST_VAULT_AUTH": "token", "HOLDFAST_VAULT_TOKEN_FILE": "/none"})
        self.refused(missing, 66, "the token file /none")
        self.write("token", "two words\n", mode=0o600)
        self.refused(unit.test.unit(self.item, settings=unit.settings), 78, "one line of printable")

    def approle(self, **options):
        self.vault.enable("approle", role_id="role-1", secret_ids={PLANTED}, **options)
        path = self.write("secret-id", PLANTED + "\n", mode=0o400)
        return {"HOLDFAST_VAULT_ROLE_ID": "role-1", "HOLDFAST_VAULT_SECRET_ID_FILE": path}

    def test_approle(self):
        settings = self.approle()
        unit = self.login("approle", **settings)
        self.assertEqual(unit.fetch().values, {"A": "v"})
        self.assertEqual(self.vault.counts["logins"], 1)
        # The session outlives the run, and serves the next.
        unit.refresh()
        self.assertEqual(self.vault.counts["logins"], 1)
        settings["HOLDFAST_VAULT_SECRET_ID_FILE"] = self.write("bad", "not-it")
        self.refused(self.login("approle", **settings), 77, "logging in to Vault by approle: Vault refuses the request "
                     "(400, POST auth/approle/login): invalid role or secret ID")
        self.refused(self.login("approle"), 78, "VaultRoleId=")

    def test_approle_elsewhere_and_by_variable(self):
        self.approle(path="team/approle")
        unit = self.unit(self.item, settings={"HOLDFAST_VAULT_AUTH": "approle", "HOLDFAST_VAULT_ROLE_ID": "role-1",
                                              "HOLDFAST_VAULT_AUTH_MOUNT": "team/approle"},
                         environ={"HOLDFAST_VAULT_SECRET_ID": PLANTED})
        self.assertEqual(unit.fetch().values, {"A": "v"})
        self.assertEqual(self.vault.count("auth/team/approle/login"), 1)
        unit = self.login("approle", HOLDFAST_VAULT_ROLE_ID="role-1")
        self.refused(unit, 78, "auth/approle/login")

    def wrapped(self, path="auth/approle/role/web/secret-id"):
        settings = self.approle()
        token = self.vault.wrap(path, vault.wrapped_secret_id(PLANTED))
        settings["HOLDFAST_VAULT_SECRET_ID_FILE"] = self.write("wrapped", token)
        self.planted.append(token)
        return self.login("approle", HOLDFAST_VAULT_WRAPPED="true", **settings), token

    def test_a_wrapped_secret_id(self):
        unit, _ = self.wrapped()
        self.assertEqual(unit.fetch().values, {"A": "v"})
        self.assertEqual(self.vault.counts["unwraps"], 1)
        # The session has ended: the secret_id that was taken out serves again.
        unit.refresh(after=3 * HOUR)
        self.assertEqual((self.vault.counts["unwraps"], self.vault.counts["logins"]), (1, 2))

    def test_a_wrapped_secret_id_that_somebody_took(self):
        unit, token = self.wrapped()
        del self.vault.wrapped[token]
        result = self.refused(unit, 77, "used before")
        self.assertEqual(result.event("vault-wrapping-tampered")["level"], "error")
        self.assertEqual(self.vault.counts["logins"], 0)

    def test_a_wrapped_secret_id_that_is_taken_between(self):
        unit, _ = self.wrapped()
        self.vault.fault("sys/wrapping/unwrap", status=400, body={"errors": ["wrapping token is not valid"]})
        result = self.refused(unit, 77, "by somebody just now")
        self.assertEqual(result.event("vault-wrapping-tampered")["level"], "error")

    def test_a_wrapped_secret_id_that_was_made_elsewhere(self):
        for path in ("sys/wrapping/wrap", "auth/approle/role/web/secret-id/x", "auth/other/role/web/secret-id",
                     "auth/approle/role//secret-id"):
            unit, token = self.wrapped(path)
            result = self.refused(unit, 77, "not wrapped by auth/approle/role/*/secret-id")
            self.assertEqual(result.event("vault-wrapping-tampered")["level"], "error")
            self.assertIn(token, self.vault.wrapped, "it was not taken out")
        unit, _ = self.wrapped()
        unit.settings["HOLDFAST_VAULT_ROLE"] = "api"
        self.refused(unit, 77, "not wrapped by auth/approle/role/api/secret-id")
        unit.settings["HOLDFAST_VAULT_WRAPPED_PATH"] = "auth/approle/role/web/secret-id"
        self.assertEqual(unit.fetch().values, {"A": "v"})

    def test_a_reply_that_is_lost_is_said_to_be_one_of_ours(self):
        unit, token = self.wrapped()
        self.vault.fault("sys/wrapping/unwrap", action="close")
        self.refused(unit, 69, "unwrapping the secret_id")
        self.assertEqual(self.vault.count("sys/wrapping/unwrap"), 1, "never twice by itself")
        del self.vault.wrapped[token]
        self.refused(unit, 77, "an earlier try of this unit was cut off")

    def test_kubernetes_reads_the_token_each_time(self):
        self.vault.enable("kubernetes", role="web", jwts={"jwt-one", "jwt-two"}, ttl=60, max_ttl=60)
        path = self.write("jwt", "jwt-one")
        unit = self.login("kubernetes", HOLDFAST_VAULT_ROLE="web", HOLDFAST_VAULT_JWT_FILE=path)
        unit.fetch()
        self.write("jwt", "jwt-two\n")
        unit.refresh(after=100)
        bodies = [r.body for r in self.vault.requests if r.path == "auth/kubernetes/login"]
        self.assertEqual(bodies, [{"role": "web", "jwt": "jwt-one"}, {"role": "web", "jwt": "jwt-two"}])
        self.write("jwt", PLANTED)
        self.refused(self.login("kubernetes", HOLDFAST_VAULT_ROLE="web", HOLDFAST_VAULT_JWT_FILE=path), 77,
                     "by kubernetes as role web: Vault denies it (403")
        self.refused(self.login("kubernetes", HOLDFAST_VAULT_JWT_FILE=path), 78, "VaultRole=")

    def test_jwt(self):
        self.vault.enable("jwt", role="ci", jwts={"e30.e30.sig"})
        path = self.write("jwt", "e30.e30.sig\n")
        self.assertEqual(self.login("jwt", HOLDFAST_VAULT_ROLE="ci", HOLDFAST_VAULT_JWT_FILE=path).fetch().values,
                         {"A": "v"})
        self.refused(self.login("jwt", HOLDFAST_VAULT_ROLE="ci"), 78, "VaultJwtFile=")
        self.refused(self.login("jwt", HOLDFAST_VAULT_ROLE="no", HOLDFAST_VAULT_JWT_FILE=path), 77, "invalid role name")

    def test_a_tls_certificate(self):
        self.vault.enable("cert", names={"web-client"}, role="web")
        certificate, key = self.authority.issue("web-client")
        os.chmod(key, 0o400)
        settings = {"VAULT_CLIENT_CERT": certificate, "VAULT_CLIENT_KEY": key, "HOLDFAST_VAULT_ROLE": "web"}
        self.assertEqual(self.login("cert", **settings).fetch().values, {"A": "v"})
        certificate, key = self.authority.issue("stranger")
        self.refused(self.login("cert", VAULT_CLIENT_CERT=certificate, VAULT_CLIENT_KEY=key), 77, "invalid certificate")
        self.refused(self.login("cert"), 78, "VaultClientCert=")

    def aws(self, **options):
        """Credentials of the environment, with which botocore makes the same signature."""
        self.vault.enable("aws", role="web", hosts={options.pop("host", "sts.amazonaws.com")},
                          credentials=("AKIDEXAMPLE", PLANTED, "sess10n-token-Kae7Oovo"), **options)
        self.planted.append("sess10n-token-Kae7Oovo")
        return {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": PLANTED,
                "AWS_SESSION_TOKEN": "sess10n-token-Kae7Oovo"}

    def test_aws_iam(self):
        environ = self.aws(server_id="vault.example.com")
        settings = {"HOLDFAST_VAULT_AUTH": "aws", "HOLDFAST_VAULT_ROLE": "web",
                    "HOLDFAST_VAULT_IAM_SERVER_ID": "vault.example.com"}
        self.assertEqual(self.unit(self.item, settings=settings, environ=environ).fetch().values, {"A": "v"})
        wrong = {**settings, "HOLDFAST_VAULT_IAM_SERVER_ID": "other.example.com"}
        self.refused(self.unit(self.item, settings=wrong, environ=environ), 77, "X-Vault-AWS-IAM-Server-ID")
        forged = {**environ, "AWS_SECRET_ACCESS_KEY": "another"}
        self.refused(self.unit(self.item, settings=settings, environ=forged), 77, "403 from STS")
        self.refused(self.unit(self.item, settings={"HOLDFAST_VAULT_AUTH": "aws"}, environ=environ), 78, "VaultRole=")

    def test_aws_iam_with_a_clock_that_is_wrong(self):
        """What is signed for another time STS refuses: Vault's Date tells by how much, and the state remembers it."""
        environ = self.aws()
        settings = {"HOLDFAST_VAULT_AUTH": "aws", "HOLDFAST_VAULT_ROLE": "web"}
        self.vault.advance(3600)
        unit = self.unit(self.item, settings=settings, environ=environ)
        result = unit.fetch()
        self.assertEqual(result.values, {"A": "v"})
        self.assertLess(abs(result.event("clock-skewed")["seconds"] - 3600), 60)
        self.assertEqual(self.vault.count("auth/aws/login"), 2)
        for token in self.vault.live_tokens():
            token.is_revoked = True
        unit.fetch()
        self.assertEqual(self.vault.count("auth/aws/login"), 3)
        # Another key is no clock's fault.
        self.refused(self.unit(self.item, settings=settings, environ={**environ, "AWS_SECRET_ACCESS_KEY": "another"}), 77, "STS")
        self.assertEqual(self.vault.count("auth/aws/login"), 5)

    def test_aws_iam_in_a_region(self):
        environ = self.aws(host="sts.eu-west-1.amazonaws.com")
        settings = {"HOLDFAST_VAULT_AUTH": "aws", "HOLDFAST_VAULT_ROLE": "web"}
        unit = self.unit(self.item, settings={**settings, "HOLDFAST_VAULT_IAM_REGION": "eu-west-1"}, environ=environ)
        self.assertEqual(unit.fetch().values, {"A": "v"})
        self.refused(self.unit(self.item, settings=settings, environ=environ), 77, "not for the STS endpoint")

    def test_an_agent_puts_its_token_in(self):
        agent = self.server(plain=True, certificate=None)
        agent.mount("secret", "kv", version=2)
        agent.put("secret", "app", {"k": "by an agent"})
        agent.caller = lambda request: None
        unit = self.login("none", VAULT_ADDR=agent.address, VAULT_CACERT=None)
        self.assertEqual(unit.fetch().values, {"A": "by an agent"})
        self.assertEqual({r.token for r in agent.requests}, {""})

    def test_a_login_whose_answer_has_no_token(self):
        settings = self.approle()
        self.vault.fault("auth/approle/login", body={"auth": {"client_token": "two\r\nlines"}})
        self.refused(self.login("approle", **settings), 69, "no token in it")

    def test_a_session_that_was_revoked_is_replaced(self):
        unit = self.login("approle", **self.approle())
        unit.fetch()
        for token in self.vault.live_tokens():
            token.is_revoked = True
        self.assertEqual(unit.refresh().values, {"A": "v"})
        self.assertEqual(self.vault.counts["logins"], 2)
        # What is denied is denied: no login helps, and none is tried.
        self.vault.denied.add("secret/data/app")
        unit.run(REFRESH)
        self.assertEqual(self.vault.counts["logins"], 2)

    def test_a_session_goes_on_when_its_credential_is_gone(self):
        settings = self.approle()
        unit = self.login("approle", **settings)
        unit.fetch()
        os.unlink(settings["HOLDFAST_VAULT_SECRET_ID_FILE"])
        self.assertEqual(unit.refresh().values, {"A": "v"})

    def test_revoked_at_the_end(self):
        unit = self.login("approle", **self.approle())
        unit.fetch()
        self.assertEqual(len(self.vault.live_tokens()), 1)
        token = self.vault.live_tokens()[0].value
        self.assertIn(token.encode(), unit.state())
        result = unit.run(REVOKE)
        self.assertEqual(result.status, 0, result.err)
        self.assertEqual(result.event("vault-revoked")["level"], "info")
        self.assertEqual(self.vault.live_tokens(), [])
        self.assertNotIn(token.encode(), unit.state())
        # Nothing is left to give back.
        self.assertEqual(unit.run(REVOKE).status, 0)
        self.assertEqual(self.vault.count("auth/token/revoke-self"), 1)

    def test_revoking_is_best_effort_and_bounded(self):
        unit = self.login("approle", **self.approle())
        unit.fetch()
        self.vault.fault("auth/token/revoke-self", delay=10, times=9)
        result = unit.run(REVOKE, deadline_ms=600)
        self.assertIn(result.status, (0, 69), result.err)

    def test_values_and_tokens_stand_in_no_line(self):
        """Of all runs of this class: Unit.run looks, and this makes sure that there is something to find."""
        unit = self.login("approle", **self.approle())
        result = unit.fetch()
        self.assertTrue(result.events)
        self.assertIn(b"vault.token", unit.state())


class Leases(VaultCase):
    """Dynamic secrets, hours in seconds: Vault's clock is moved, and the helper's by a time namespace."""

    def setUp(self):
        super().setUp()
        if subprocess.run(["unshare", "--time", "--boottime", "1", "--", "true"], check=False).returncode:
            self.skipTest("no time namespaces here")
        self.vault.enable("approle", role_id="r", ttl=24 * HOUR, max_ttl=32 * HOUR)
        self.items = (("DB_USER", "vault:database/creds/app#username"), ("DB_PASSWORD", "vault:database/creds/app#password"))

    def role(self, **options):
        self.vault.dynamic("database", "app", **options)
        return self.unit(*self.items, settings={"HOLDFAST_VAULT_AUTH": "approle", "HOLDFAST_VAULT_ROLE_ID": "r"})

    def pair(self, result):
        """Name and password are of one lease, and that one lives."""
        pairs = [lease.data for lease in self.vault.live_leases()]
        got = {"username": result.values["DB_USER"], "password": result.values["DB_PASSWORD"]}
        self.assertIn(got, pairs)
        return got

    def between(self, value, low, high):
        self.assertGreaterEqual(value, low)
        self.assertLessEqual(value, high)

    def test_user_and_password_are_of_one_lease(self):
        result = self.role().fetch()
        self.pair(result)
        self.assertEqual(self.vault.counts["leases"], 1)
        self.between(result.next_ms, 2390_000, 2761_000)
        self.between(result.lease_end_ms, 3590_000, 3600_000)
        self.assertTrue(all(3590 <= item["lease"] <= 3600 for item in result.items))
        self.assertTrue(result.items[0]["version"].startswith("lease "))

    def test_nothing_is_done_before_it_is_due(self):
        unit = self.role()
        before = self.pair(unit.fetch())
        asked = len(self.vault.requests)
        result = unit.refresh(after=600)
        self.assertEqual(self.pair(result), before)
        self.assertEqual(len(self.vault.requests), asked, "Vault was not asked at all")
        self.assertEqual(result.flags, 0)
        self.between(result.next_ms, 1790_000, 2161_000)
        self.between(result.lease_end_ms, 2990_000, 3000_000)

    def test_renewed_at_two_thirds_and_fetched_anew_at_its_maximum(self):
        unit = self.role(ttl=HOUR, max_ttl=2 * HOUR)
        first = self.pair(unit.fetch())
        result = unit.refresh(after=2761)
        self.assertEqual((self.pair(result), result.flags), (first, 0))
        self.assertEqual(self.vault.counts["renewals"], 1)
        self.between(result.lease_end_ms, 3590_000, 3600_000)
        # The second is capped: it ends at two hours, and the third gains nothing.
        result = unit.refresh(after=2761)
        self.assertEqual((self.pair(result), self.vault.counts["renewals"]), (first, 2))
        self.between(result.lease_end_ms, 1670_000, 1680_000)
        result = unit.refresh(after=1300)
        second = self.pair(result)
        self.assertNotEqual(second, first)
        self.assertEqual(result.flags, CHANGED)
        self.assertTrue(all(item["flags"] & ITEM_CHANGED for item in result.items))
        self.assertEqual((self.vault.counts["renewals"], self.vault.counts["leases"]), (3, 2))
        self.between(result.lease_end_ms, 3590_000, 3600_000)

    def test_what_cannot_be_renewed_is_fetched_anew_at_85_percent(self):
        unit = self.role(ttl=1000, renewable=False)
        result = unit.fetch()
        first = self.pair(result)
        self.between(result.next_ms, 820_000, 876_000)
        result = unit.refresh(after=876)
        self.assertNotEqual(self.pair(result), first)
        self.assertEqual(self.vault.count("sys/leases/renew"), 0)

    def test_a_lease_that_vault_has_lost_is_fetched_anew(self):
        unit = self.role()
        first = self.pair(unit.fetch())
        for lease in self.vault.live_leases():
            lease.is_revoked = True
        result = unit.refresh(after=2761)
        self.assertNotEqual(self.pair(result), first)
        self.assertEqual(result.flags, CHANGED)

    def test_kept_through_an_outage_until_the_lease_ends(self):
        unit = self.role()
        first = unit.fetch().values
        unit.settings["VAULT_MAX_RETRIES"] = "0"
        self.vault.is_sealed = True
        result = unit.refresh(after=2761)
        self.assertEqual((result.values, result.flags), (first, KEPT))
        self.assertTrue(all(item["flags"] & ITEM_KEPT for item in result.items))
        self.assertEqual(result.event("secret-kept")["level"], "warning")
        self.between(result.next_ms, 5_000, 60_000)
        self.between(result.lease_end_ms, 830_000, 839_000)
        result = unit.refresh(after=600)
        self.assertEqual((result.values, result.flags), (first, KEPT))
        unit.pass_time(400)
        self.refused(unit, 75, "sealed", operation=REFRESH)
        self.vault.is_sealed = False
        self.assertNotEqual(self.pair(unit.refresh()), first)

    def beside_a_service_that_hangs(self, unit):
        hangs = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(hangs.close)
        unit.items = (("A", "ssm:x"), *unit.items)
        unit.settings.update({"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": f"https://127.0.0.1:{hangs.getsockname()[1]}"})
        unit.environ.update({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})

    def test_another_service_that_hangs_leaves_time_for_a_renewal(self):
        unit = self.role()
        unit.fetch()
        self.beside_a_service_that_hangs(unit)
        unit.pass_time(2761)
        result = unit.run(REFRESH, deadline_ms=2000)
        self.assertEqual((result.status, self.vault.counts["renewals"]), (69, 1), result.err)
        self.assertEqual([item["outcome"] for item in result.items], [5, 0, 0])

    def test_nothing_is_lent_to_a_unit_that_cannot_start_yet(self):
        unit = self.role()
        self.beside_a_service_that_hangs(unit)
        result = unit.run(FETCH, deadline_ms=1000)
        self.assertEqual((result.status, self.vault.counts["leases"]), (69, 0), result.err)
        self.assertIn("was not asked", result.err)

    def test_an_outage_that_ends_in_time_is_no_change(self):
        unit = self.role()
        first = self.pair(unit.fetch())
        unit.settings["VAULT_MAX_RETRIES"] = "0"
        self.vault.is_sealed = True
        unit.refresh(after=2761)
        self.vault.is_sealed = False
        result = unit.refresh(after=30)
        self.assertEqual((self.pair(result), result.flags), (first, 0))

    def test_leases_end_with_the_token_so_a_new_one_means_new_leases(self):
        self.vault.auth["", "approle"][1].update(ttl=HOUR, max_ttl=2 * HOUR)
        unit = self.role(ttl=12 * HOUR, max_ttl=24 * HOUR)
        result = unit.fetch()
        first = self.pair(result)
        # The token ends before the lease does.
        self.between(result.lease_end_ms, 3590_000, 3600_000)
        self.between(result.next_ms, 2390_000, 2761_000)
        result = unit.refresh(after=2761)
        self.assertEqual((self.pair(result), self.vault.counts["token-renewals"]), (first, 1))
        unit.refresh(after=2761)
        result = unit.refresh(after=1300)
        self.assertNotEqual(self.pair(result), first)
        self.assertEqual((self.vault.counts["logins"], self.vault.counts["leases"]), (2, 2))

    def test_a_token_that_was_given_is_renewed_and_then_said_to_end(self):
        token = self.vault.token(ttl=HOUR, max_ttl=2 * HOUR)
        self.vault.dynamic("database", "app", ttl=12 * HOUR, max_ttl=24 * HOUR)
        unit = self.unit(*self.items, token=token)
        result = unit.fetch()
        self.between(result.next_ms, 2390_000, 2761_000)
        unit.refresh(after=2761)
        self.assertEqual(self.vault.counts["token-renewals"], 1)
        unit.refresh(after=2761)
        result = unit.refresh(after=1300)
        self.assertEqual(result.event("vault-token-ends")["level"], "warning")
        self.between(result.next_ms, 300_000, 345_000)

    def test_a_token_file_that_is_written_anew(self):
        token = self.vault.token(ttl=HOUR, max_ttl=HOUR, renewable=False)
        path = self.write("token", token)
        self.vault.dynamic("database", "app", ttl=12 * HOUR, max_ttl=24 * HOUR)
        unit = self.unit(*self.items, settings={"HOLDFAST_VAULT_AUTH": "token", "HOLDFAST_VAULT_TOKEN_FILE": path})
        first = self.pair(unit.fetch())
        self.write("token", self.vault.token())
        result = unit.refresh(after=1800)
        self.assertNotEqual(self.pair(result), first)

    def test_key_values_beside_leases_are_read_again(self):
        self.vault.put("secret", "app", {"k": "one"})
        self.items += (("K", "vault:secret/app#k"),)
        unit = self.role()
        first = unit.fetch()
        self.vault.put("secret", "app", {"k": "two"})
        result = unit.refresh(after=60)
        self.assertEqual((result.values["K"], result.values["DB_USER"]), ("two", first.values["DB_USER"]))
        self.assertEqual([item["flags"] & ITEM_CHANGED for item in result.items], [0, 0, ITEM_CHANGED])
        self.assertEqual(result.items[2]["version"], "2")
        unchanged = unit.refresh(after=60)
        self.assertEqual(unchanged.flags, 0)

    def test_a_session_that_was_revoked_takes_its_leases_along(self):
        self.vault.put("secret", "app", {"k": "one"})
        self.items += (("K", "vault:secret/app#k"),)
        unit = self.role()
        first = self.pair(unit.fetch())
        for token in self.vault.live_tokens():
            token.is_revoked = True
        # Found out while reading the key, when the pair was kept already: the next run has to come soon.
        result = unit.refresh(after=60)
        self.assertLessEqual(result.next_ms, 5_000)
        self.assertNotEqual(self.pair(unit.refresh(after=5)), first)

    def test_a_fetch_starts_over(self):
        unit = self.role()
        first = self.pair(unit.fetch())
        second = self.pair(unit.fetch())
        self.assertNotEqual(first, second)
        self.assertEqual(self.vault.counts["logins"], 1)

    def test_revoking_the_session_ends_its_leases(self):
        unit = self.role()
        unit.fetch()
        self.assertEqual(len(self.vault.live_leases()), 1)
        unit.run(REVOKE)
        self.assertEqual(self.vault.live_leases(), [])
        self.assertEqual(self.vault.count("sys/leases/revoke"), 0)

    def test_a_role_that_is_not_there(self):
        unit = self.unit(("A", "vault:database/creds/none#username"), settings={"HOLDFAST_VAULT_AUTH": "approle",
                                                                                "HOLDFAST_VAULT_ROLE_ID": "r"})
        self.refused(unit, 78, "unknown role: none")

    def test_without_leases_nobody_is_woken_up(self):
        self.vault.put("secret", "app", {"k": "v"})
        unit = self.unit(("A", "vault:secret/app#k"), settings={"HOLDFAST_VAULT_AUTH": "approle",
                                                                "HOLDFAST_VAULT_ROLE_ID": "r"})
        self.assertEqual(unit.fetch().next_ms, NEVER)


class Whole(instance.Case):
    """An instance with a unit whose user of the database is leased for seconds that really pass."""

    def setUp(self):
        super().setUp()
        self.authority = pki.Authority(f"{self.dir}/pki")
        self.vault = vault.Vault(self.authority)
        self.addCleanup(self.vault.close)
        self.vault.mount("database", "database")
        self.vault.mount("secret", "kv", version=2)
        self.vault.enable("approle", role_id="r", secret_ids={PLANTED})
        self.environ = {"PATH": os.environ["PATH"], "HOLDFAST_VAULT_SECRET_ID": PLANTED}

    def conf(self, more=""):
        return (f"[Secrets]\nVaultAddress={self.vault.address}\nVaultCaFile={self.authority.ca}\nVaultAuth=approle\n"
                f"VaultRoleId=r\nChangeSplaySec=0\n{more}")

    def unit(self, *lines):
        return (f"[Service]\nExecStart={harness.APPS}/secretuser {self.notes_path} web\n[X-Holdfast]\n" +
                "".join(f"{line}\n" for line in lines))

    def test_a_lease_is_renewed_fetched_anew_and_given_back(self):
        self.vault.dynamic("database", "app", ttl=3, max_ttl=5)
        whole = self.instance({"web.service": self.unit("Secret=A vault:database/creds/app#username",
                                                        "Secret=B vault:database/creds/app#password",
                                                        "OnChange=restart")},
                              ["web.service"], conf=self.conf(), env=self.environ)
        self.vault.wait_for(lambda: self.vault.counts["leases"] == 1 and self.vault.counts["renewals"] >= 1)
        first = next(iter(self.vault.leases.values()))
        self.wait_notes(f"web start {first.data['username']}")
        self.vault.wait_for(lambda: self.vault.counts["leases"] == 2)
        second = list(self.vault.leases.values())[1]
        self.wait_notes(f"web start {second.data['username']}")
        self.assertGreater(self.vault.now(), first.issued + 3, "it was renewed before")
        self.assertEqual(self.vault.counts["logins"], 1)
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(self.vault.counts["revocations"], 1)
        self.assertEqual((self.vault.live_tokens(), self.vault.live_leases()), ([], []))
        self.assertEqual(whole.events("unknown-variable"), [], "HOLDFAST_VAULT_SECRET_ID is one that is read")
        for secret in (PLANTED, first.data["password"], second.data["password"], *self.vault.tokens):
            self.assertNotIn(secret, whole.text)

    def test_a_version_a_path_and_what_the_file_says(self):
        for value in ("one", "two"):
            self.vault.put("secret", "app", {"k": value})
        self.vault.put("secret", "all", {"a": "from a path"})
        for line, wanted in (("Secret=A vault:secret/app?version=1#k", "one"), ("Secret=A vault:secret/app#k", "two"),
                             ("SecretPath=vault:secret/all", "from a path")):
            with self.subTest(line=line):
                whole = self.instance({"web.service": self.unit(line)}, ["web.service"], conf=self.conf(), env=self.environ)
                self.wait_notes(f"web start {wanted}")
                self.assertEqual(whole.stop(), 0)

    def test_a_command_does_not_inherit_what_holdfast_logs_in_with(self):
        self.vault.put("secret", "app", {"k": "one"})
        environ = {**self.environ, "VAULT_TOKEN": self.vault.token(), "VAULT_ADDR": self.vault.address, "OTHER": "stays"}
        for option, wanted in (("--secret=A=vault:secret/app#k", []),
                               ("--secret=A=env:OTHER", [f"VAULT_TOKEN={environ['VAULT_TOKEN']}"])):
            with self.subTest(option=option):
                whole = self.instance({}, [], env=environ, conf=self.conf("VaultAuth=token\n"), options=[
                    option, "--", "/usr/bin/env"])
                self.assertEqual(whole.wait(), 0, whole.text)
                lines = [line for line in whole.text.splitlines() if not line.startswith("{")]
                self.assertIn("OTHER=stays", lines)
                self.assertEqual([line for line in lines if "TOKEN" in line or "SECRET_ID" in line], wanted)

    def test_skipping_the_check_is_for_the_image_to_say(self):
        self.vault.put("secret", "app", {"k": "one"})
        unit = self.unit("Secret=A vault:secret/app#k")
        whole = self.instance({"web.service": unit}, ["web.service"], conf=self.conf(),
                              env={**self.environ, "VAULT_SKIP_VERIFY": "1"})
        self.assertEqual(whole.wait(), 78, whole.text)
        whole = self.instance({"web.service": unit}, ["web.service"], env=self.environ,
                              conf=self.conf("VaultCaFile=\nVaultSkipVerify=yes\n"))
        self.wait_notes("web start one")
        self.assertEqual(whole.stop(), 0)


if __name__ == "__main__":
    harness.main()
