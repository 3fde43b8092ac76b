#!/usr/bin/env python3
"""What Vault lends: renewed, fetched anew, kept through an outage, over hours (by a time namespace, where the
helper's clock has to move)."""
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
from servers.aws import Aws, Parameter
from vaultcase import CHANGED, FETCH, HOUR, ITEM_CHANGED, ITEM_KEPT, KEPT, NEVER, REFRESH, REVOKE, VaultCase


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
        asked = next(r for r in self.vault.requests if r.path == "sys/leases/renew")
        self.assertEqual((asked.method, asked.body), ("PUT", {"lease_id": self.vault.live_leases()[0].id, "increment": "3600s"}))
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

    def test_vault_that_hangs_holds_up_no_change_of_another_service(self):
        aws = Aws(self.authority)
        self.addCleanup(aws.close)
        aws.parameters["x"] = [Parameter("one")]
        self.items = (("A", "ssm:x"), *self.items)
        unit = self.role()
        unit.settings.update({"AWS_REGION": aws.region, "AWS_ENDPOINT_URL": aws.url, "AWS_CA_BUNDLE": self.authority.ca})
        unit.environ.update({"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"})
        first = unit.fetch().values
        aws.parameters["x"] = [Parameter("two")]
        self.vault.fault(delay=15, times=99)
        unit.pass_time(2761)
        result = unit.settle(unit.run(REFRESH, deadline_ms=3000))
        self.assertEqual((result.values, result.flags), ({**first, "A": "two"}, CHANGED | KEPT))
        self.assertEqual([item["flags"] & (ITEM_CHANGED | ITEM_KEPT) for item in result.items], [ITEM_CHANGED, ITEM_KEPT, ITEM_KEPT])

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
        asked = next(r for r in self.vault.requests if r.path == "auth/token/renew-self")
        self.assertEqual((asked.method, asked.body), ("POST", {"increment": "3600s"}))
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


if __name__ == "__main__":
    harness.main()
