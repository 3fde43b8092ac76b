"""Tests of vault: references: one run after another of holdfast-secrets-remote for a unit, as the supervisor hands
its files on, against tests/servers/vault.py."""
import json
import os
import shutil
import struct
import subprocess

import harness
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
        self.ahead, self.wrap = 0, []

    def command(self, operation, deadline_ms):
        arguments = []
        for item in self.items:
            name, reference, *rest = item
            delivery, flags = (rest + [ENVIRONMENT, 0][len(rest):])
            arguments += [name, reference, delivery, str(flags | REMOTE)]
        clock = ["unshare", "--time", "--boottime", str(self.ahead), "--"] if self.ahead else []
        return [*self.wrap, *clock, BED, self.program, self.folder, self.name, self.test.uid, operation, str(deadline_ms),
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
