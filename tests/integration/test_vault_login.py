#!/usr/bin/env python3
"""Each way of logging in to Vault, what is kept of a session and what is given back."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
from servers import vault
from vaultcase import HOUR, PLANTED, REFRESH, REVOKE, VaultCase


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
        login = next(r for r in self.vault.requests if r.path == "auth/approle/login")
        self.assertEqual((login.method, login.token, login.body), ("POST", "", {"role_id": "role-1", "secret_id": PLANTED}))
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

    def test_in_a_namespace(self):
        self.approle(namespace="team")
        self.vault.mount("secret", "kv", version=2, namespace="team")
        self.vault.put("secret", "app", {"k": "of the team"}, namespace="team")
        unit = self.unit(self.item, settings={"HOLDFAST_VAULT_AUTH": "approle", "HOLDFAST_VAULT_ROLE_ID": "role-1",
                                              "VAULT_NAMESPACE": "team"}, environ={"HOLDFAST_VAULT_SECRET_ID": PLANTED})
        self.assertEqual(unit.fetch().values, {"A": "of the team"})
        unit.run(REVOKE)
        self.assertEqual({r.namespace for r in self.vault.requests}, {"team"})
        self.assertEqual(self.vault.live_tokens(), [])

    def wrapped(self, path="auth/approle/role/web/secret-id"):
        settings = self.approle()
        token = self.vault.wrap(path, vault.wrapped_secret_id(PLANTED))
        settings["HOLDFAST_VAULT_SECRET_ID_FILE"] = self.write("wrapped", token)
        self.planted.append(token)
        return self.login("approle", HOLDFAST_VAULT_WRAPPED="true", **settings), token

    def test_a_wrapped_secret_id(self):
        unit, _ = self.wrapped()
        unit.settings["HOLDFAST_VAULT_WRAPPED"] = "Y"  # as the loader reads it
        self.assertEqual(unit.fetch().values, {"A": "v"})
        self.assertEqual(self.vault.counts["unwraps"], 1)
        token = self.planted[-1]
        self.assertEqual([(r.path, r.token, r.body) for r in self.vault.requests if "wrapping" in r.path],
                         [("sys/wrapping/lookup", "", {"token": token}), ("sys/wrapping/unwrap", token, {})])
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

    def test_the_service_account_where_kubernetes_puts_it(self):
        self.vault.enable("kubernetes", role="web", jwts={"jwt-mounted"})
        folder = "/run/secrets/kubernetes.io/serviceaccount"
        unit = self.login("kubernetes", HOLDFAST_VAULT_ROLE="web")
        unit.wrap = ["unshare", "-m", "sh", "-c", f"mount -t tmpfs t /run && mkdir -p {folder} && "
                     f'printf %s jwt-mounted >{folder}/token && chmod 400 {folder}/token && exec "$@"', "sh"]
        self.assertEqual(unit.fetch().values, {"A": "v"})

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


if __name__ == "__main__":
    harness.main()
