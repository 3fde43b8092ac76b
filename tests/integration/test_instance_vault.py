#!/usr/bin/env python3
"""A whole instance whose units have references to Vault."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance
from servers import pki, vault
from vaultcase import PLANTED


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

    def test_a_unit_waits_while_vault_is_sealed(self):
        self.vault.put("secret", "app", {"k": "one"})
        self.vault.is_sealed = True
        whole = self.instance({"web.service": self.unit("Secret=A vault:secret/app#k")}, ["web.service"], conf=self.conf(),
                              env=self.environ, health=True)
        self.vault.wait_for(lambda: len(self.vault.requests) > 1)
        self.assertIn('"observedValue":"fetching"', whole.get("/health")[1])
        self.vault.is_sealed = False
        self.wait_notes("web start one")
        harness.wait_until(lambda: whole.get("/readyz")[0] == 200, "it is ready")
        self.assertEqual(whole.stop(), 0)

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

    def test_a_command_beside_the_unit_leaves_its_wrapped_secret_id_alone(self):
        """It would find it used and call that tampering, or be first, and the unit would be without."""
        self.vault.put("secret", "app", {"k": "one"})
        wrapped = self.write("wrapped", self.vault.wrap("auth/approle/role/web/secret-id", vault.wrapped_secret_id(PLANTED)))
        conf = self.conf(f"VaultWrapped=yes\nVaultSecretIdFile={wrapped}\n") + "[Holdfast]\nShells=warn\n"  # to get in
        whole = self.instance({"web.service": self.unit("Secret=A vault:secret/app#k")}, ["web.service"], conf=conf,
                              env={"PATH": os.environ["PATH"]})
        self.wait_notes("web start one")
        command = ["--conf", f"{self.dir}/holdfast.conf", "--units", f"{self.dir}/units", "--as", "web.service", "--",
                   f"{harness.APPS}/secretuser", self.notes_path, "job"]
        asked = len(self.vault.requests)
        done = whole.inside("env", f"{harness.BIN}/holdfast", *command)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn("web.service:4: secret A: an instance that runs here asks Vault, too, and a wrapped secret_id "
                      "(VaultWrapped=) can be taken out once: expected a login of this command's own", done.stderr.decode())
        self.assertEqual(len(self.vault.requests), asked)
        for own in (("HOLDFAST_VAULT_AUTH=token", f"VAULT_TOKEN={self.vault.token()}"),
                    ("HOLDFAST_VAULT_WRAPPED=no", f"HOLDFAST_VAULT_SECRET_ID_FILE={self.write('own', PLANTED)}")):
            done = whole.inside("env", *own, f"{harness.BIN}/holdfast", *command[:-3], "/usr/bin/env")
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.vault.counts["unwraps"], 1)
        self.assertEqual(whole.stop(), 0)
        # Alone, as a migration before a deployment, it has the secret_id for itself.
        self.write("wrapped", self.vault.wrap("auth/approle/role/web/secret-id", vault.wrapped_secret_id(PLANTED)))
        alone = self.instance({"web.service": self.unit("Secret=A vault:secret/app#k")}, [], conf=conf,
                              env={"PATH": os.environ["PATH"]}, options=["--as", "web.service", "--", "/usr/bin/env"])
        self.assertEqual(alone.wait(), 0, alone.text)
        self.assertEqual(self.vault.counts["unwraps"], 2)

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
