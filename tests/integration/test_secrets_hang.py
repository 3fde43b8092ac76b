#!/usr/bin/env python3
"""A service that takes calls and never answers, with the real helper: whoever does not need it goes on,
a stop is not held up, and the supervisor's death changes nothing."""
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance
from servers.aws import Aws, Parameter
from servers.pki import Authority

CTL = f"{harness.BIN}/holdfastctl"
HELPER = "holdfast-secrets-remote"


class Hanging(instance.Case):
    def setUp(self):
        super().setUp()
        authority = Authority(f"{self.dir}/pki")
        self.aws = Aws(authority)
        self.addCleanup(self.aws.close)
        self.aws.parameters["/app/x"] = [Parameter("value", "SecureString")]
        self.env = {"AWS_ENDPOINT_URL": self.aws.url, "AWS_CA_BUNDLE": authority.ca, "AWS_REGION": self.aws.region,
                    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

    def unit(self, name):
        return (f"[Service]\nExecStart={harness.APPS}/secretuser {self.notes_path} {name}\n"
                "[X-Holdfast]\nSecret=A ssm:/app/x\n")

    def launch(self, *names, conf="", **options):
        """An instance with units that hang, and one that has no secrets."""
        units = {f"{name}.service": self.unit(name) for name in names}
        units["other.service"] = f"[Service]\nExecStart={self.service(word='other')}\n"
        return self.instance(units, list(units), env={"PATH": os.environ["PATH"], **self.env}, conf=conf, **options)

    def start(self, *names, **options):
        """Until their calls have come."""
        whole = self.launch(*names, **options)
        harness.wait_until(lambda: self.aws.counts().get("GetParameters", 0) >= len(names), "calls that hang")
        return whole

    def helpers(self, whole):
        found = []
        for pid in harness.children(whole.init):
            try:
                if os.readlink(f"/proc/{pid}/exe").endswith(HELPER):
                    found.append(pid)
            except OSError:
                pass
        return sorted(found)

    def states(self, whole):
        told = json.loads(whole.inside(CTL, "status", "--json").stdout)
        return {unit["name"]: unit["state"] for unit in told["units"]}

    def termination_log(self):
        """(words before PID 1 that give it a termination log, its path here)."""
        path = self.write("termination", "")
        return ("sh", "-c", "mount -t tmpfs t /dev && mknod -m 666 /dev/null c 1 3 && : >/dev/termination-log && "
                f'mount --bind {path} /dev/termination-log && exec "$0" "$@"'), path

    def read(self, path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    def test_whoever_needs_no_secret_goes_on_and_all_who_ask_are_answered(self):
        self.aws.fault("GetParameters", kind="hang", times=99)
        whole = self.start("a", "b", health=True)
        self.wait_notes("other start")
        states = self.states(whole)
        self.assertEqual((states["a.service"], states["b.service"]), ("fetching", "fetching"))
        self.assertNotEqual(states["other.service"], "fetching")
        self.assertEqual(len(self.helpers(whole)), 2)
        self.assertEqual([whole.get(path)[0] for path in ("/livez", "/readyz", "/health")], [200, 503, 503])
        self.assertEqual(whole.stop(), 0)
        self.assertIn("other stop", self.notes())
        self.assertEqual([note for note in self.notes() if note[0] in "ab"], [])

    def test_a_stop_is_not_held_up(self):
        """Neither by the fetch's deadline of 300 s, a call's of 10 s, nor the budget of a minute."""
        words, path = self.termination_log()
        for sent in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=sent):
                self.aws.forget()
                self.aws.fault("GetParameters", kind="hang", times=99)
                whole = self.start("a", "b", options=("--stop-timeout", "60"), wrap=words)
                helpers = self.helpers(whole)
                self.assertEqual(len(helpers), 2)
                self.assertEqual(whole.stop(sent, deadline=harness.DEADLINE), 0, whole.text)
                self.assertEqual(self.read(path), "", "a stop that was asked for is no failure with a cause")
                self.assertEqual([pid for pid in helpers if os.path.exists(f"/proc/{pid}")], [])
                self.assertEqual([e for e in whole.events() if e["level"] == "error"], [], whole.text)
                self.assertEqual([e["status"] for e in whole.events("instance-ends")], [0], whole.text)

    def test_a_fetch_that_hangs_to_its_end_is_the_cause(self):
        words, path = self.termination_log()
        self.aws.fault("GetParameters", kind="hang", times=99)
        whole = self.launch("a", conf="[Secrets]\nFetchTimeoutSec=1\n", wrap=words)
        status = whole.wait()
        self.assertIn(status, (69, 75), whole.text)
        self.assertRegex(self.read(path), rf"a\.service ended \(secrets\) .* the instance ends with status {status}")

    def test_the_death_of_the_supervisor_does_not_end_a_fetch(self):
        self.aws.fault("GetParameters", kind="wait")
        whole = self.start("a")
        before = self.helpers(whole)
        self.assertEqual(len(before), 1)
        old = whole.member("holdfast-supervisor")
        os.kill(old, signal.SIGKILL)
        harness.wait_until(lambda: harness.child_named(whole.init, "holdfast-supervisor") not in (None, old),
                           "another supervisor")
        self.assertEqual(harness.wait_until(lambda: self.states(whole).get("a.service"), "it tells"), "fetching")
        self.assertEqual(self.helpers(whole), before, "it is adopted and not started anew")
        self.aws.released.set()
        self.wait_notes("a start value")
        self.assertEqual(whole.stop(), 0)

    def test_the_death_of_the_helper_is_a_try_that_failed(self):
        self.aws.fault("GetParameters", kind="hang")
        whole = self.start("a")
        os.kill(self.helpers(whole)[0], signal.SIGKILL)
        self.wait_notes("a start value")
        self.assertEqual(whole.stop(), 0)
        self.assertEqual(len(whole.events("secrets-retry")), 1, whole.text)


if __name__ == "__main__":
    harness.main()
