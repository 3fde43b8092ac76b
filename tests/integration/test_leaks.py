#!/usr/bin/env python3
"""Planted values of secrets, from each source and by each delivery, and all that holdfast itself logs in
with, are searched for in what a core dump, /proc or an open fd of holdfast's processes would show: a value
is in the service that owns it, and in the memory files that are there to carry it; a token is in no service."""
import os
import re
import resource
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import held
import inject
import instance
from network import Network
from servers import dns
from servers.aws import Aws, Parameter, Secret
from servers.dns import Dns
from servers.pki import Authority
from servers.vault import Vault

CTL = f"{harness.BIN}/holdfastctl"
SOURCES = ("file", "env", "cred", "ssm", "path", "asm", "vault")
VALUES = {source: f"l3aked-{source}-Aiw6eeph" for source in SOURCES}
LOCAL, REMOTE = SOURCES[:3], SOURCES[3:]
# What holdfast logs in with, as it was given.
SECRET_ID, AGENT_TOKEN = "l3aked-secret-id-Aiw6eeph", "l3aked-agent-token-Aiw6eeph"
OWN = ("holdfast-supervisor", "holdfast-log", "holdfast-health")
HELPER = "holdfast-secrets-remote"
# The environment as PID 1 was given it, a unit's values and sessions; who holds them does not map them.
CARRIERS = re.compile(r"/memfd:holdfast-(environ|secret)\b|/credentials/\S+ \(deleted\)$|/l3aked-source$")
CARRIER_HOLDERS = ("holdfast", "holdfast-supervisor")

LOCAL_SCRIPT = """#!/bin/sh
[ "$FILE_ENV" = l3aked-file-Aiw6eeph ] && [ "$ENV_ENV" = l3aked-env-Aiw6eeph ] || exit 1
[ "$CRED_ENV" = l3aked-cred-Aiw6eeph ] && [ "$(cat /proc/self/fd/$FILE_FD)" = "$FILE_ENV" ] || exit 1
[ "$(cat $CREDENTIALS_DIRECTORY/file)" = "$FILE_ENV" ] && [ "$(cat $CREDENTIALS_DIRECTORY/env)" = "$ENV_ENV" ] || exit 1
echo local has all
exec sleep 1000
"""
# As nobody it looks for what its neighbours hold, too.
REMOTE_SCRIPT = """#!/bin/sh
[ "$SSM" = l3aked-ssm-Aiw6eeph ] && [ "$PATHED" = l3aked-path-Aiw6eeph ] && [ "$ASM" = l3aked-asm-Aiw6eeph ] || exit 1
[ "$VAULT" = l3aked-vault-Aiw6eeph ] && [ -n "$(cat $CREDENTIALS_DIRECTORY/lease)" ] || exit 1
for p in /proc/[0-9]*; do
	case $(cat $p/comm) in
	holdfast*) ls $p/fd >/dev/null 2>&1 || cat $p/environ $p/mem >/dev/null 2>&1 || continue; echo "$p is open"; exit 1;;
	esac
done
echo remote has all
exec sleep 1000
"""


def fds_holding(pid, needles):
    """{name of a regular file that the process has open: the needles in it}"""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        try:
            name = os.readlink(path)
            if not os.path.isfile(path):
                continue
            with open(path, "rb") as f:
                data = f.read()
        except OSError:
            continue
        held = {needle for needle in needles if needle in data}
        if held:
            found[name] = found.get(name, set()) | held
    return found


class Leaks(instance.Case):
    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o777)  # a core would be written here, by whichever uid
        self.authority = Authority(f"{self.dir}/pki")
        self.network = Network(files={"/etc/resolv.conf": dns.CONF})
        self.addCleanup(self.network.close)
        self.network.run(os.chdir, self.dir)
        self.dns = self.network.run(Dns, {f"{s}.eu-central-1.amazonaws.com": ["127.0.0.1"] for s in ("ssm", "secretsmanager")})
        self.addCleanup(self.dns.close)
        certificate = self.authority.issue("all", "IP:127.0.0.1,DNS:*.eu-central-1.amazonaws.com")
        self.aws = self.network.run(Aws, self.authority, certificate=certificate, address=("127.0.0.1", 443))
        self.addCleanup(self.aws.close)
        self.aws.container_token = AGENT_TOKEN
        self.aws.parameters = {"/app/x": [Parameter(VALUES["ssm"], "SecureString")],
                               "/all/pathed": [Parameter(VALUES["path"], "SecureString")]}
        self.aws.secrets["db"] = Secret('{"password":"%s"}' % VALUES["asm"])
        self.vault = self.network.run(Vault, self.authority, certificate=certificate)
        self.addCleanup(self.vault.close)
        self.vault.mount("secret", "kv", version=2)
        self.vault.mount("database", "database")
        self.vault.put("secret", "app", {"k": VALUES["vault"]})
        self.vault.dynamic("database", "app")
        self.vault.enable("approle", role_id="r", secret_ids={SECRET_ID})

    def conf(self):
        return (f"[Secrets]\nRegion=eu-central-1\nCaBundle={self.authority.ca}\nVaultAddress={self.vault.address}\n"
                f"VaultCaFile={self.authority.ca}\nVaultAuth=approle\nVaultRoleId=r\n")

    def units(self):
        source = self.write("l3aked-source", VALUES["file"], mode=0o400)
        self.write("credentials/secret", VALUES["cred"])
        return {"local.service": (
            f"[Service]\nExecStart={self.write('local.sh', LOCAL_SCRIPT, mode=0o755)}\nUser=daemon\n[X-Holdfast]\n"
            f"Secret=FILE_ENV file:{source}\nSecret=ENV_ENV env:GIVEN\nSecret=CRED_ENV cred:secret\n"
            f"SecretFile=file file:{source}\nSecretFile=env env:GIVEN\nSecretFd=FILE_FD file:{source}\n"),
            "remote.service": (
            f"[Service]\nExecStart={self.write('remote.sh', REMOTE_SCRIPT, mode=0o755)}\nUser=nobody\n"
            f"WorkingDirectory={self.dir}\n[X-Holdfast]\n"
            "Secret=SSM ssm:/app/x\nSecretPath=ssm:/all/\nSecret=ASM asm:db#password\n"
            "SecretFile=lease vault:database/creds/app#password\nSecret=VAULT vault:secret/app#k\n")}

    def begin(self):
        units = self.units()
        return self.network.run(
            self.instance, units, list(units), health=True, conf=self.conf(),
            env={"GIVEN": VALUES["env"], "CREDENTIALS_DIRECTORY": f"{self.dir}/credentials",
                 "HOLDFAST_VAULT_SECRET_ID": SECRET_ID, "AWS_CONTAINER_AUTHORIZATION_TOKEN": AGENT_TOKEN,
                 "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.aws.metadata_url}/container/x"})

    def start_all(self):
        whole = self.begin()
        return whole.wait_running().wait_for("local has all").wait_for("remote has all")

    def sessions(self):
        """What was lent to holdfast itself: no service gets any of it."""
        keys = [part for key, parts in self.aws.keys.items() if key.startswith("ASIA") for part in (key, *parts)]
        self.assertTrue(keys and self.vault.tokens)
        return {text.encode() for text in (SECRET_ID, AGENT_TOKEN, *keys, *self.vault.tokens)}

    def lease(self):
        return {lease.data["password"].encode() for lease in self.vault.leases.values()}

    def all_needles(self):
        return {value.encode() for value in VALUES.values()} | self.lease() | self.sessions()

    def owned(self, sources):
        return {VALUES[source].encode() for source in sources}

    def check_texts(self, name, pid):
        for part in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{part}", "rb") as f:
                data = f.read()
            for needle in self.all_needles():
                self.assertNotIn(needle, data, (name, part))

    def check_process(self, name, pid):
        """One of holdfast's: nothing in what it maps, and open are carriers at most."""
        self.check_texts(name, pid)
        self.assertEqual(harness.memory_holding(pid, self.all_needles()), [], name)
        for held in fds_holding(pid, self.all_needles()):
            self.assertIn(name, CARRIER_HOLDERS, held)
            self.assertRegex(held, CARRIERS, name)

    def services(self, whole):
        """{unit: pid}, by the users that they have."""
        users = {1: "local.service", 65534: "remote.service"}
        return {users[os.stat(f"/proc/{pid}").st_uid]: pid for pid in harness.children(whole.init)
                if os.stat(f"/proc/{pid}").st_uid in users}

    def test_each_value_is_with_its_service_alone(self):
        whole = self.start_all()
        members = {"holdfast": whole.init, **{name: whole.member(name) for name in OWN}}
        for name, pid in members.items():
            self.check_process(name, pid)
        # PID 1's own environment was moved, not lost, and what it keeps has all: the search does find.
        kept = fds_holding(whole.init, self.all_needles())
        self.assertEqual(set().union(*kept.values()), self.all_needles())
        # Nobody has both: sessions lie apart from what services map.
        for name, held in kept.items():
            self.assertFalse("environ" not in name and held & self.sessions() and held - self.sessions() - self.lease(), name)
        services = self.services(whole)
        for unit, own in (("local.service", self.owned(LOCAL)), ("remote.service", self.owned(REMOTE))):
            found = {needle for _, needle in harness.memory_holding(services[unit], self.all_needles())}
            self.assertEqual(found - self.lease(), own, unit)
            for held in fds_holding(services[unit], self.all_needles()).values():
                self.assertLessEqual(held, own | self.lease(), unit)
        self.assertEqual(whole.stop(), 0)

    def test_successors_hold_no_more_than_the_first(self):
        whole = self.start_all()
        for name in OWN:
            old = whole.member(name)
            os.kill(old, 9)
            harness.wait_until(lambda name=name, old=old: harness.child_named(whole.init, name) not in (None, old),
                               f"a new {name}")
        # Health answers from what both others gave: all have started.
        harness.wait_until(lambda: "200" in str(whole.get("/livez")), "the successors answer")
        for name in OWN:
            self.check_process(name, whole.member(name))
        self.assertEqual(whole.stop(), 0)

    def test_nothing_that_is_shown_has_one(self):
        whole = self.start_all()
        shown = {"dump": whole.inside(CTL, "dump").stdout, "status": whole.inside(CTL, "status", "--json").stdout,
                 "health": str(whole.get("/health")).encode(), "metrics": str(whole.get("/metrics")).encode()}
        for name in ("plan", "board", "ring"):
            shown[name] = whole.read_file(f"/run/holdfast/{name}")
            self.assertTrue(shown[name], name)
        needles = self.all_needles()
        self.assertEqual(whole.stop(), 0)
        shown["output"] = whole.text.encode()
        for where, text in shown.items():
            for needle in needles:
                self.assertNotIn(needle, text, where)
        # What was lent has gone back.
        self.assertEqual(self.vault.live_leases(), [])

    # ---- cores

    def cores(self):
        return [name for name in os.listdir(self.dir) if name.startswith("core")]

    def allow_cores(self):
        """For all that is started from now on: whether one is written is each process's own affair."""
        with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
            elsewhere = f.read()[0] in "|/"
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        if elsewhere or hard == 0:
            self.skipTest("cores of this machine are written elsewhere, or not at all")
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, (soft, hard))

    @unittest.skipUnless(inject.IS_POSSIBLE, "written for x86-64")
    def test_no_process_of_ours_writes_a_core(self):
        self.allow_cores()
        whole = self.start_all()
        for name in OWN:
            old = whole.member(name)
            with inject.Puppet(old) as puppet:
                puppet.crash()
            harness.wait_until(lambda name=name, old=old: harness.child_named(whole.init, name) not in (None, old),
                               f"a new {name}")
        harness.wait_until(lambda: "200" in str(whole.get("/livez")), "the successors answer")
        self.assertEqual(self.cores(), [])
        # A service's own core is where it would be, and has what is the service's: the kernel does write them.
        os.kill(self.services(whole)["remote.service"], signal.SIGSEGV)
        core = harness.wait_until(self.cores, "the core of a service")[0]
        self.assertNotEqual(whole.wait(), 0)
        with open(f"{self.dir}/{core}", "rb") as f:
            data = f.read()
        self.assertEqual({n for n in self.all_needles() if n in data} - self.lease(), self.owned(REMOTE))
        os.unlink(f"{self.dir}/{core}")
        # The death of an essential service ends the instance, with a dump.
        self.assertIn('"type":"dump"', whole.text)
        for needle in self.all_needles():
            self.assertNotIn(needle.decode(), whole.text)

    @unittest.skipUnless(inject.IS_POSSIBLE, "written for x86-64")
    def test_pid_1_writes_none(self):
        self.allow_cores()
        whole = self.start_all()
        # unshare(1), which started it, dies of what its child died of.
        resource.prlimit(whole.pid, resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        with inject.Puppet(whole.init) as puppet:
            puppet.crash()
        whole.wait()
        self.assertEqual(self.cores(), [])
        self.assertIn('"event":"panic"', whole.text)
        for needle in self.all_needles():
            self.assertNotIn(needle.decode(), whole.text)

    def test_the_helper_writes_none_in_the_midst_of_its_values(self):
        self.allow_cores()
        for number in (signal.SIGABRT, signal.SIGSEGV):
            # After the lease and all of AWS: it has every value but one, and every session.
            self.vault.fault("secret/data/app", delay=2, times=1)
            asked = self.vault.count("secret/data/app")
            whole = self.begin()
            self.vault.wait_for(lambda asked=asked: self.vault.count("secret/data/app") > asked)
            pid = whole.member(HELPER)
            self.check_texts(HELPER, pid)
            values = self.owned(("ssm", "path", "asm"))
            self.assertEqual({n for _, n in harness.memory_holding(pid, values)}, values, "it has them")
            with open(f"/proc/{pid}/limits", encoding="ascii") as f:
                core = next(line for line in f if line.startswith("Max core file size"))
            self.assertEqual(core.split()[4:6], ["0", "0"])
            os.kill(pid, number)
            whole.wait_for("secrets-retry")
            self.assertEqual(self.cores(), [])
            whole.finish_or_stop()
            for needle in self.all_needles():
                self.assertNotIn(needle.decode(), whole.text)

    def test_boot_writes_none(self):
        self.allow_cores()
        source = self.write("l3aked-source", VALUES["file"], mode=0o400)
        path = self.write("units/web.service.d/held.conf", "[Service]\nUMask=077\n")
        with held.Opening(path) as opening:
            whole = self.network.run(
                self.instance, {"web.service": f"[Service]\nExecStart=/bin/sleep 1000\n[X-Holdfast]\n"
                                f"Secret=A env:GIVEN\nSecretFile=b file:{source}\n"}, ["web.service"],
                env={"GIVEN": VALUES["env"]})
            boot = opening.wait()
            for part in ("cmdline", "environ"):
                with open(f"/proc/{boot}/{part}", "rb") as f:
                    self.assertNotIn(VALUES["env"].encode(), f.read(), part)
            self.assertEqual(harness.memory_holding(boot, [VALUES["file"].encode()]), [])
            # It reads the environment: this is why its core must not be.
            self.assertTrue(harness.memory_holding(boot, [VALUES["env"].encode()]))
            os.kill(boot, signal.SIGABRT)
        self.assertNotEqual(whole.wait(), 0)
        self.assertEqual(self.cores(), [])
        self.assertNotIn(VALUES["env"], whole.text)


if __name__ == "__main__":
    harness.main()
