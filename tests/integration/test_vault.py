#!/usr/bin/env python3
"""What vault: references read, against a server that speaks Vault's API: mounts, versions, namespaces, redirects,
what each status means, TLS and settings."""
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
from vaultcase import ENVIRONMENT, ITEM_ABSENT, NEVER, OPTIONAL, PATH, PLANTED, VaultCase


class Reading(VaultCase):
    # ---- key/value stores

    def test_kv2_by_the_mount_that_vault_names(self):
        self.vault.put("secret", "app/db", {"password": PLANTED, "port": 5432})
        result = self.unit(("DB_PASSWORD", "vault:secret/app/db#password"), ("PORT", "vault:secret/app/db#port")).fetch()
        self.assertEqual(result.values, {"DB_PASSWORD": PLANTED, "PORT": "5432"})
        self.assertEqual(self.vault.paths()[-2:], ["GET sys/internal/ui/mounts/secret/app/db", "GET secret/data/app/db"])
        self.assertEqual([i["version"] for i in result.items], ["1", "1"])
        self.assertEqual((result.next_ms, result.lease_end_ms), (NEVER, NEVER))

    def test_a_mount_of_two_parts_and_two_versions(self):
        self.vault.mount("team/kv", "kv", version=2)
        self.vault.mount("team/old", "kv", version=1)
        self.vault.put("team/kv", "app/db", {"k": "new"})
        self.vault.put("team/old", "app/db", {"k": "old"})
        unit = self.unit(("A", "vault:team/kv/app/db#k"), ("B", "vault:team/old/app/db#k"))
        self.assertEqual(unit.fetch().values, {"A": "new", "B": "old"})
        self.assertLessEqual({"GET team/kv/data/app/db", "GET team/old/app/db"}, set(self.vault.paths()))

    def test_a_mount_that_one_may_not_see_or_ask_for(self):
        """Who has a right to anything below a mount may ask for it; a Vault that cannot be asked is too old for KV 2."""
        self.vault.put("old", "app", {"k": "v"})
        self.refused(self.unit(("A", "vault:other/app#k")), 77, "asking Vault for the mount: Vault denies it (403")
        self.vault.fault("sys/internal/ui/mounts/", status=404, body={"errors": []})
        self.assertEqual(self.unit(("A", "vault:old/app#k")).fetch().values, {"A": "v"})
        self.vault.fault("sys/internal/ui/mounts/", body={"data": {"path": "elsewhere/", "type": "kv"}})
        self.refused(self.unit(("A", "vault:old/app#k")), 69, "about the mount is not as it should be")

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
                         f"{self.vault.address}/v1/auth/token/lookup-evil",
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

    def test_retry_after_is_passed_on_when_there_is_no_time_for_it(self):
        self.vault.fault("secret/data/app", status=429, headers={"Retry-After": "7"}, times=9)
        result = self.unit(("A", "vault:secret/app#k")).run(deadline_ms=3000)
        self.assertEqual((result.status, result.retry_ms, self.vault.count("secret/data/app")), (75, 7000, 1), result.err)

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
        for yes in ("1", "T", "y", "on"):
            self.refused(self.unit(item, settings={"VAULT_CACERT": None}, environ={"VAULT_SKIP_VERIFY": yes}), 78,
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

    def test_settings_of_the_environment(self):
        """VAULT_* as every client of Vault has them; what the image's file says comes first."""
        other = self.server(certificate=self.authority.issue("env", "DNS:vault.internal"))
        other.mount("secret", "kv", version=2, namespace="team")
        other.put("secret", "app", {"k": "v"}, namespace="team")
        certificate, key = self.authority.issue("client")
        given = {"VAULT_ADDR": other.address + "/", "VAULT_CACERT": self.authority.ca, "VAULT_NAMESPACE": "team",
                 "VAULT_TLS_SERVER_NAME": "vault.internal", "VAULT_MAX_RETRIES": "0", "VAULT_CLIENT_CERT": certificate,
                 "VAULT_CLIENT_KEY": key}
        item, nothing = ("A", "vault:secret/app#k"), dict.fromkeys(self.settings)
        self.assertEqual(self.unit(item, settings=nothing, token=other.token(), environ=given).fetch().values, {"A": "v"})
        self.assertEqual(self.vault.requests, [])
        unit = self.unit(item, settings={**nothing, "VAULT_ADDR": other.address}, token=other.token(),
                         environ={**given, "VAULT_ADDR": self.vault.address})
        self.assertEqual(unit.fetch().values, {"A": "v"})
        other.fault(status=503)
        self.refused(self.unit(item, settings=nothing, token=other.token(), environ=given), 75, "sealed")

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


if __name__ == "__main__":
    harness.main()
