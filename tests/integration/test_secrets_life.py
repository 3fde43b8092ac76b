#!/usr/bin/env python3
"""The life of a unit's secrets, with a program in holdfast-secrets-remote's place that does what a
script says: tries, refreshes, changes, leases, what is given back, and the supervisor's death in the
midst of each."""
import datetime
import json
import os
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

CRASH_BIN = f"{harness.ROOT}/build/crash/bin"
FETCH, REFRESH, REVOKE = "0", "1", "2"
CONF = "[Secrets]\nRegion=eu-test-1\nChangeSplaySec=0\n"


class SecretsLife(instance.Case):
    def setUp(self):
        super().setUp()
        # Where /tmp is another mount, what lies there was brought along and is not executed.
        self.bin = self.enterContext(tempfile.TemporaryDirectory(dir=f"{harness.ROOT}/build"))
        os.chmod(self.bin, 0o755)
        for name in harness.PROGRAMS:
            os.link(f"{CRASH_BIN}/{name}", f"{self.bin}/{name}")
        shutil.copy(f"{harness.APPS}/fakeremote", f"{self.bin}/holdfast-secrets-remote")

    def script(self, *lines, name="a"):
        """The references of a script."""
        path = self.write(name, "".join(f"{line}\n" for line in lines))
        return f"ssm:{path}", f"vault:{path.lstrip('/')}#key"

    def runs(self, name="a"):
        """The runs so far: operation, region, old values."""
        try:
            with open(f"{self.dir}/{name}.runs", encoding="utf-8") as f:
                return [line.split() for line in f.read().splitlines()]
        except FileNotFoundError:
            return []

    def wait_runs(self, n, name="a"):
        return harness.wait_until(lambda: self.runs(name)[n - 1:] and self.runs(name), f"run {n} of {name}")

    def unit(self, *lines, service="", name="web"):
        """A service that notes its start, what it was given, and each HUP."""
        return f"[Service]\nExecStart={harness.APPS}/secretuser {self.notes_path} {name}\n{service}[X-Holdfast]\n" + "".join(f"{line}\n" for line in lines)

    def start(self, units, conf=CONF, env=None, wanted=None, **options):
        return self.instance(units, wanted or list(units), conf=conf, bin_dir=self.bin,
                             env={"PATH": os.environ["PATH"], **(env or {})}, **options)

    # ---- the first fetch

    def test_it_is_tried_again_until_it_is_there(self):
        ref, _ = self.script("status=75 outcome=4", "status=69 outcome=5 retry=10", "value=one version=7")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}")})
        self.wait_notes("web start one")
        self.assertEqual(self.runs(), [[FETCH, "eu-test-1"]] * 3)
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(len(whole.events("secrets-retry")), 2, whole.text)

    def test_what_no_retry_mends_ends_it_at_once(self):
        for outcome, status, why in ((1, 66, "was not found"), (2, 77, "may not be read"),
                                     (3, 78, "is not what it must be")):
            with self.subTest(status=status):
                ref, _ = self.script(f"status={status} outcome={outcome}", name=f"s{status}")
                whole = self.start({"web.service": self.unit(f"Secret=A {ref}")})
                self.assertEqual(whole.wait(), status, whole.text)
                self.assertIn(f"web.service ended (secrets) after 0 restarts; the instance ends with status {status}: "
                              f"secret A ({ref}) {why}", whole.text)
                self.assertEqual(len(self.runs(f"s{status}")), 1)

    def test_the_deadline_ends_it(self):
        ref, _ = self.script("hang")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}")}, conf=CONF + "FetchTimeoutSec=1\n")
        self.assertEqual(whole.wait(), 75, whole.text)
        self.assertIn("did not come within FetchTimeoutSec=", whole.text)
        self.assertEqual(self.notes(), [])

    def test_tries_end_with_the_deadline(self):
        ref, _ = self.script("status=69 outcome=5 retry=5000")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}")}, conf=CONF + "FetchTimeoutSec=2\n")
        self.assertEqual(whole.wait(), 69, whole.text)
        self.assertIn("a service that cannot be reached", whole.text)
        self.assertEqual(whole.events("secrets-retry"), [], "one that would be too late is not waited for")
        self.assertEqual(len(self.runs()), 1)

    def test_a_program_that_is_missing_ends_the_boot(self):
        os.unlink(f"{self.bin}/holdfast-secrets-remote")
        whole = self.start({"web.service": self.unit("Secret=A ssm:/x")})
        self.assertEqual(whole.wait(), 78, whole.text)
        self.assertIn("web.service:4: secret A: ssm:/x needs the program holdfast-secrets-remote", whole.text)

    def test_who_hangs_holds_nobody_elses_turn(self):
        """Ten units ask services that do not answer; the one whose service lives starts at once."""
        hang, lent_hang = self.script("hang", name="hang")
        live, lent_live = self.script("value=one", name="live")
        for dead, alive in ((hang, lent_live), (lent_hang, live)):
            with self.subTest(alive=alive):
                units = {f"dead{i}.service": self.unit(f"Secret=A {dead}", name=f"dead{i}") for i in range(10)}
                whole = self.start({**units, "last.service": self.unit(f"Secret=A {alive}", name="last")})
                self.wait_notes("last start one")
                self.assertEqual(len(self.wait_runs(4, "hang")), 4)
                self.assertEqual(whole.stop(), 0)
                os.unlink(self.notes_path)
                os.unlink(f"{self.dir}/hang.runs")

    def test_who_hangs_beside_others_holds_no_turn_either(self):
        """Units that need a dead service beside others: whatever they are together, who needs it not goes on."""
        hang, lent_hang = self.script("hang", name="hang")
        other = hang.replace("ssm:", "asm:")
        live = [self.script("value=one", name=f"live{i}")[1] for i in range(2)]
        units = {}
        for n, more in enumerate(([], [other], [lent_hang], [other, lent_hang])):
            for i in range(4):
                lines = [f"Secret={name} {ref}" for name, ref in zip("ABC", [hang, *more])]
                units[f"dead{n}{i}.service"] = self.unit(*lines, name=f"dead{n}{i}")
        units |= {f"live{i}.service": self.unit(f"Secret=A {ref}", name=f"live{i}")
                  for i, ref in enumerate(live)}
        whole = self.start(units)
        self.wait_notes("live0 start one", "live1 start one")
        self.wait_runs(16, "hang")
        self.assertEqual(whole.stop(), 0)

    def test_who_fetches_first_holds_no_renewals_turn(self):
        hang, _ = self.script("hang", name="hang")
        live, _ = self.script("value=one next=1", "value=two changed", name="live")
        units = {f"dead{i}.service": "[Unit]\nAfter=live.service\n" + self.unit(f"Secret=A {hang}", name=f"dead{i}") for i in range(4)}
        whole = self.start({**units, "live.service": self.unit(f"Secret=A {live}", "OnChange=restart", name="live")})
        self.wait_runs(4, "hang")
        self.wait_notes("live start one", "live start two")
        self.assertEqual(whole.stop(), 0)

    def test_a_path_replaces_no_variable_that_somebody_wrote_down(self):
        """The fake program calls what it finds FOUND."""
        _, ref = self.script("value=one")
        path = ref.partition("#")[0]
        for service in ("Environment=FOUND=mine\n", "PassEnvironment=FOUND\n"):
            with self.subTest(service=service):
                whole = self.start({"web.service": self.unit(f"SecretPath={path}", service=service)}, env={"FOUND": "given"})
                self.assertEqual(whole.wait(), 243, whole.text)
                self.assertIn("a SecretPath= brings FOUND, which Environment= or holdfast itself sets", whole.text)
                self.assertEqual(self.notes(), [])
        _, named = self.script("value=one", name="named")
        whole = self.start({"web.service": self.unit(f"Secret=A {named}", service="Environment=A=mine\n")})
        self.wait_notes("web start one")
        self.assertEqual(whole.stop(), 0)

    # ---- beside the running unit

    def test_nobody_looks_without_being_told(self):
        ref, _ = self.script("value=one")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}")})
        self.wait_notes("web start one")
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(len(self.runs()), 1)

    def test_a_change_is_noted_and_the_next_start_gets_it(self):
        ref, _ = self.script("value=one next=1", "value=two changed")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}", service="Restart=on-failure\nRestartSec=10ms\n")})
        whole.wait_for("it goes on with the old values")
        self.assertEqual(self.runs(), [[FETCH, "eu-test-1"], [REFRESH, "eu-test-1", "A=one"]])
        self.assertEqual(self.notes(), ["web start one"])
        os.kill(self.main_pid(whole), signal.SIGKILL)
        self.wait_notes("web start two")
        self.assertEqual(whole.stop(), 0)

    def main_pid(self, whole):
        return harness.wait_until(lambda: harness.child_named(whole.init, "secretuser"), "the service runs")

    def test_a_change_restarts_it(self):
        ref, _ = self.script("value=one next=1", "value=one next=1", "value=two changed next=1", "value=two")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}", "OnChange=restart")})
        self.wait_notes("web start two")
        self.wait_runs(4)
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(self.notes(), ["web start one", "web stop one", "web start two", "web stop two"])

    def test_restarts_for_a_change_are_not_counted(self):
        ref, _ = self.script("value=0 next=1", *(f"value={n} changed next=1" for n in range(1, 4)), "value=3")
        whole = self.start({"web.service": "[Unit]\nStartLimitBurst=1\nStartLimitIntervalSec=1h\n" + self.unit(
            f"Secret=A {ref}", "OnChange=restart", service="RestartSec=1h\n")})
        self.wait_notes("web start 3")
        self.assertEqual(whole.stop(), 0)

    def test_a_change_is_delivered_and_signalled(self):
        ref, _ = self.script("value=one next=1", "value=two changed next=1", "value=three changed")
        whole = self.start({"web.service": self.unit(f"SecretFile=key {ref}", "OnChange=signal:HUP")})
        self.wait_notes("web start one", "web hup two", "web hup three")
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(self.notes("web start"), ["web start one"])

    def test_a_template_is_filled_in_anew(self):
        template = self.write("key.in", "is-{{ value }}")
        ref, _ = self.script("value=one next=1", "value=two changed next=1", "value=three changed")
        whole = self.start({"web.service": self.unit(f"SecretFile=value {ref}", "OnChange=signal:HUP", "[X-Templates]",
                                                     f"key={template} format=raw")})
        self.wait_notes("web start is-one", "web hup is-two", "web hup is-three")
        self.assertEqual(whole.stop(), 0)

    def test_a_delivery_that_fails_is_tried_again_soon(self):
        """Later each time, and what comes with the next change ends it."""
        template = self.write("key.json.in", "{{ value | number }}")
        ref, _ = self.script("value=7 next=1", "value=x changed next=2500", "value=8 changed")
        whole = self.start({"web.service": self.unit(f"SecretFile=value {ref}", "OnChange=signal:HUP", "[X-Templates]",
                                                     f"key={template} format=json")})
        self.wait_notes("web start 7", "web hup 8")
        whole.wait_for("and it was told")
        self.assertGreater(len(whole.events("secrets-not-delivered")), 1, whole.text)
        self.assertEqual(whole.stop(), 0)

    def test_an_outage_changes_nothing_until_the_lease_ends(self):
        ref, _ = self.script("value=one next=1 lease=2000", "status=69 outcome=5")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}")}, conf=CONF + "FetchTimeoutSec=1\n")
        whole.wait_for("the values that it has are kept")
        self.assertEqual(self.notes(), ["web start one"])
        # Whoever waits for the service again gets it; this one never does.
        self.assertEqual(whole.wait(), 69, whole.text)
        self.assertEqual(self.notes(), ["web start one", "web stop one"])
        self.assertEqual(len(whole.events("secrets-expired")), 1, whole.text)

    def test_the_end_of_a_lease_starts_it_afresh(self):
        ref, _ = self.script("value=one next=60000 lease=1500", "value=two")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}")})
        self.wait_notes("web start one", "web stop one", "web start two")
        self.assertEqual(whole.stop(), 0)
        self.assertIn("secrets-expired", whole.text)
        self.assertEqual([run[0] for run in self.runs()], [FETCH, FETCH])

    def test_a_helper_that_dies_or_says_nothing_is_a_failed_look(self):
        ref, _ = self.script("value=one next=1", "lose", "value=two changed")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}", "OnChange=restart")})
        self.wait_notes("web start one", "web start two")
        whole.wait_for("left no report")
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(self.notes("web start"), ["web start one", "web start two"])

    def test_a_change_is_applied_at_random_within_the_splay(self):
        """One secret of many units changes at once: they are told at different moments."""
        refs = {f"u{i:02}": self.script("value=one next=1", "value=two changed", name=f"u{i:02}")[0] for i in range(12)}
        whole = self.start({f"{name}.service": self.unit(f"SecretFile=key {ref}", "OnChange=signal:HUP", name=name)
                            for name, ref in refs.items()}, conf="[Secrets]\nRegion=eu-test-1\nChangeSplaySec=2\n")
        self.wait_notes(*(f"{name} hup two" for name in refs))
        self.assertEqual(whole.stop(), 0)
        def times(event):
            return {e["unit"]: datetime.datetime.fromisoformat(e["ts"]).timestamp() for e in whole.events(event)}
        changed = times("secrets-changed")
        waits = sorted(at - changed[unit] for unit, at in times("secrets-delivered").items())
        self.assertEqual(len(waits), 12)
        # All of them in one quarter of the time comes once in 300,000 runs.
        self.assertGreater(waits[-1] - waits[0], 0.5, waits)

    def test_changes_that_wait_are_one_and_a_start_in_between_has_the_last(self):
        ref, _ = self.script("value=one next=1", "value=two changed next=1", "value=three changed")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}", "OnChange=restart", service="Restart=on-failure\nRestartSec=10ms\n")},
                           conf="[Secrets]\nChangeSplaySec=1h\n")
        harness.wait_until(lambda: whole.read().count('"secrets-changed"') == 2, "two changes")
        self.assertEqual(self.notes(), ["web start one"])
        os.kill(self.main_pid(whole), signal.SIGKILL)
        self.wait_notes("web start three")
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(self.notes("web start"), ["web start one", "web start three"])

    def test_one_after_the_other(self):
        """Two units whose secrets change at once: the second goes down when the first is up again."""
        refs = [self.script("value=one next=1", "value=two changed", name=name)[0] for name in "ab"]
        whole = self.start({f"{name}.service": self.unit(f"Secret=A {ref}", "OnChange=restart", name=name)
                            for name, ref in zip("ab", refs)})
        self.wait_notes("a start two", "b start two")
        self.assertEqual(whole.stop(), 0)
        # By what the supervisor says: it takes a simple service for up before that has noted anything.
        said = [(e["event"], e.get("unit", "")[:1]) for e in whole.events() if e["event"] in ("unit-stopping", "unit-up")]
        first, second = [name for event, name in said if event == "unit-stopping"][:2]
        again = len(said) - 1 - said[::-1].index(("unit-up", first))
        self.assertLess(again, said.index(("unit-stopping", second)), said)

    def test_what_was_lent_is_given_back(self):
        _, ref = self.script("value=one")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}")})
        self.wait_notes("web start one")
        self.assertEqual(whole.stop(), 0)
        self.assertEqual([run[0] for run in self.runs()], [FETCH, REVOKE])
        self.assertEqual(self.notes()[-1], "web stop one")

    def test_giving_back_does_not_hold_the_stop(self):
        _, ref = self.script("value=one", "hang")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}")}, options=("--stop-timeout", "3"))
        self.wait_notes("web start one")
        self.assertEqual(whole.stop(), 0)
        self.assertEqual([run[0] for run in self.runs()], [FETCH, REVOKE])

    # ---- who looks

    def test_all_who_look_are_told(self):
        soon, late = int(time.time()) + 86400, int(time.time()) + 90 * 86400
        ref, _ = self.script(f"value=pl4nted version=7 expires={late} next=1", f"value=other version=8 expires={soon} changed")
        gone, _ = self.script("outcome=1 absent", name="b")
        whole = self.start({"web.service": self.unit(f"SecretFile=key {ref}", f"Secret=B {gone} optional")}, health=True)
        whole.wait_for("it goes on with the old values")
        ctl = f"{self.bin}/holdfastctl"
        told = json.loads(whole.inside(ctl, "status", "--json").stdout)["secrets"]
        self.assertEqual([(s["name"], s["state"], s.get("version")) for s in told],
                         [("key", "stale", "8"), ("B", "absent", None)])
        self.assertRegex(whole.inside(ctl, "status").stdout.decode(),
                         r"\nkey +stale +ssm of web.service, version 8, fetched \S+ ago, certificate until \d{4}-")
        lines = [json.loads(line) for line in whole.inside(ctl, "dump").stdout.splitlines()]
        self.assertEqual([(s["name"], s["source"], s["state"], s.get("bytes")) for s in lines if s["type"] == "secret"],
                         [("key", "ssm", "stale", 5), ("B", "ssm", "absent", None)])
        status, body = whole.get("/health")
        check = json.loads(body)["checks"]["web.service:secrets"][0]
        self.assertEqual((status, check["status"], check["observedValue"], check["output"]),
                         (200, "warn", "stale", "a certificate ends within 7 days"))
        metrics = whole.get("/metrics")[1]
        for line in ('holdfast_secret_stale{name="web.service"} 1', 'holdfast_secret_fetch_failures_total{name="web.service"} 0',
                     f'holdfast_secret_certificate_expiry_time_seconds{{name="web.service",secret="key"}} {soon}'):
            self.assertIn(f"\n{line}\n", metrics)
        self.assertRegex(metrics, r'\nholdfast_secret_fetched_time_seconds\{name="web.service"\} \d{10}\.')
        self.assertEqual(whole.get("/readyz")[0], 200)
        self.assertEqual(whole.stop(), 0)
        self.assertNotIn("pl4nted", whole.text)

    def test_fetching_is_seen(self):
        ref, _ = self.script("hang")
        whole = self.start({"web.service": self.unit(f"Secret=A {ref}")}, health=True)
        self.wait_runs(1)
        told = json.loads(whole.inside(f"{self.bin}/holdfastctl", "status", "--json").stdout)
        self.assertEqual((told["units"][0]["state"], told["secrets"][0]["state"]), ("fetching", "waiting"))
        self.assertEqual(whole.get("/readyz")[0], 503)
        self.assertIn('"observedValue":"fetching"', whole.get("/health")[1])
        self.assertEqual(whole.stop(), 0)

    # ---- the supervisor's death

    def test_each_place_of_this_life_survives_a_death(self):
        points = ("fetch-put", "fetch-spawned", "life-published", "delivery-spawned", "change-signalled")
        for point in points:
            for nth in (1, 2, 3):
                with self.subTest(point=point, passing=nth):
                    self.live_through(point, nth)

    def live_through(self, point, nth):
        marker = f"{self.dir}/marker-{point}-{nth}"
        for name in ("a", "b"):
            for path in (f"{self.dir}/{name}.runs", self.notes_path):
                if os.path.exists(path):
                    os.unlink(path)
        files, _ = self.script("value=one next=1", "value=two changed", "value=two", name="a")
        _, lent = self.script("value=one next=1", "value=two changed", "value=two", name="b")
        with instance.Instance(self.dir, {
                "f.service": self.unit(f"SecretFile=key {files}", "OnChange=signal:HUP", name="f"),
                "r.service": self.unit(f"Secret=A {lent}", "OnChange=restart", name="r")},
                ["f.service", "r.service"], conf=CONF, bin_dir=self.bin,
                env={"HOLDFAST_CRASH": f"{point}:{nth}:{marker}"}) as whole:
            self.wait_notes("f start one", "f hup two", "r start one", "r start two")
            self.assertEqual(whole.stop(), 0, whole.text)
            self.assertEqual(self.notes("f start"), ["f start one"])
            self.assertEqual(self.notes("r start"), ["r start one", "r start two"])
            self.assertIn(REVOKE, [run[0] for run in self.runs("b")])
            self.assertTrue(os.path.exists(marker) or nth > 1, point)


if __name__ == "__main__":
    harness.main()
