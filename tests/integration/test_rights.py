#!/usr/bin/env python3
"""What each of holdfast's own processes has left, on each rung: ids, capabilities, filters, Landlock, fds.
TABLE says what it needs; anything beyond is a failure, as is anything that the table promises and is not so.
What it may hold of the store comes from the programs' own table (store_grants in lib/store.c)."""
import contextlib
import dataclasses
import os
import re
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import held
import instance
import rights
from servers.aws import Aws, Parameter
from servers.pki import Authority

LOG, HEALTH, SECRETS, LEASE = 64901, 64902, 64903, 64904
SETUID, SETGID, SETPCAP = 1 << 7, 1 << 6, 1 << 8
# NOROOT, NO_CAP_AMBIENT_RAISE; these and the others locked (capabilities(7)).
SECUREBITS = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x80
WRITES = ("1", "20")  # write(2), writev(2), in /proc/PID/syscall


@dataclasses.dataclass(frozen=True)
class Row:
    """What one has. A uid: its own, where ids can be changed, and then everything else is gone as well. None:
    it is what the runtime made PID 1, as its children have to be all that units ask for."""
    uid: int = None
    keeps: int = None    # of the capabilities, where it is locked in and has no uid of its own
    needs: int = 0       # without these it keeps all
    has_filter: bool = False
    has_files: bool = True
    is_dumpable: bool = False
    writes: tuple = ()   # of the store's memory that it is handed
    makes: str = ""      # what it opens itself, or is passed
    own: str = ""        # of that: memory that it may write to


PIPE, SOCKET, NULL = r"pipe:\[\d+\]", r"socket:\[\d+\]", "/dev/null"
INOTIFY = r"anon_inode:inotify"
KILL, PTRACE = 1 << 5, 1 << 19
MARK = 1 << 2 | 1 << 21  # dac_read_search, sys_admin: to mark mounts, where there is an exec gate
DUMP = 1 << 2 | 1 << 19 | 1 << 34  # dac_read_search, sys_ptrace, syslog
MEMORY = ("STORE_SECRET", "STORE_SECRET_OTHER", "STORE_SECRET_STATE", "STORE_SECRET_REPORT")
# One unit's: what is asked for, the values, what the last run left for the next one.
ONE_UNIT = r"/memfd:holdfast-(request|report|secret) \(deleted\)|/run/holdfast/credentials/#\d+ \(deleted\)"
LOOP = r"anon_inode:\[eventpoll\]|anon_inode:\[signalfd\]"
TABLE = {
    "holdfast": Row(makes=rf"{LOOP}|{NULL}|{SOCKET}|/proc|/dev/termination-log"),
    "holdfast-boot": Row(makes=r"/.*"),
    "holdfast-supervisor": Row(writes=("STORE_BOARD", "STORE_BOARD_FILE", "STORE_FINGERPRINTS", *MEMORY),
                               makes=rf"{LOOP}|anon_inode:\[pidfd\]|{NULL}"),
    # To see which file another user's process executes, the kernel asks for the one or for all that it has.
    "holdfast-gate": Row(keeps=KILL | PTRACE | MARK, needs=PTRACE, has_filter=True, writes=("STORE_GATE",),
                         makes=rf"{LOOP}|{INOTIFY}|/proc(/loadavg|/1/ns/pid|/\d+/mountinfo)?|(pid|mnt):\[\d+\]|/"),
    "holdfastctl": Row(keeps=DUMP, makes=r"/proc"),
    "holdfast-log": Row(LOG, has_files=False, writes=("STORE_RING", "STORE_CAPTURE"), makes=rf"{LOOP}|anon_inode:\[eventfd\]"),
    "holdfast-health": Row(HEALTH, has_files=False, makes=rf"{LOOP}"),
    "holdfast-secrets": Row(SECRETS, has_files=False, writes=("STORE_FINGERPRINTS",), own=ONE_UNIT, makes=ONE_UNIT),
    "holdfast-secrets-remote": Row(SECRETS, has_files=False, writes=("STORE_FINGERPRINTS",), own=ONE_UNIT,
                                   makes=rf"{ONE_UNIT}|{SOCKET}|{PIPE}|anon_inode:\[eventfd\]"),
    "holdfast-lease": Row(LEASE),
}
# Not in Landlock's list for the remote program either.
PATHS = ("/", "/dev/null", "/proc/self/status", "/etc/passwd")


@dataclasses.dataclass(frozen=True)
class Base:
    """What the runtime gave: what no process of ours may exceed."""
    uid: int
    held: int        # permitted and effective
    bounding: int
    no_new_privs: bool
    n_filters: int

    def may(self, capabilities):
        return self.held & capabilities == capabilities


def own_status():
    return rights.status_of("/proc/self")


def base_of(rung):
    mine = own_status()
    held_, bounding = int(mine["CapEff"], 16), int(mine["CapBnd"], 16)
    if rung is instance.CONTAINER:
        held_ = bounding = sum(1 << int(n) for n in instance.CONTAINER_CAPABILITIES.split(","))
    if rung is instance.NOTHING:
        held_ = 0
    return Base(rung.uid, held_, bounding, rung is instance.NOTHING, rights.filters_of(mine))


@unittest.skipUnless(harness.is_root(), "namespaces need root, and so does the sight of other processes")
class RightsCase(instance.Case):
    def setUp(self):
        super().setUp()
        self.grants = rights.grants()
        with open("/proc/self/oom_score_adj", encoding="ascii") as f:
            self.oom_score = int(f.read())

    def check_thread(self, name, base, found, row, files=PATHS):
        is_own = row.uid is not None or row.keeps is not None
        uid = row.uid if row.uid is not None and base.may(SETUID | SETGID) else base.uid
        self.assertEqual(found.uids, (uid,) * 4)
        self.assertEqual(found.gids, (uid,) * 4)
        self.assertEqual(found.groups, ())
        held_ = base.held if not is_own or not base.may(row.needs) else base.held & (row.keeps or 0)
        self.assertEqual(found.capabilities, {
            "CapInh": 0, "CapAmb": 0, "CapPrm": held_, "CapEff": held_,
            "CapBnd": 0 if is_own and base.may(SETPCAP) else base.bounding})
        self.assertEqual(found.no_new_privs, is_own or base.no_new_privs)
        self.assertEqual(found.n_filters, base.n_filters + (row.uid is not None or row.has_filter))
        self.assertEqual(found.oom_score_adj, self.oom_score)
        if found.securebits is None:
            return
        self.assertEqual(found.securebits, SECUREBITS if is_own and base.may(SETPCAP) else 0)
        self.assertEqual(found.is_dumpable, row.is_dumpable)
        self.assertEqual(found.opens, files if row.has_files else ())

    def check_process(self, name, pid, base, is_held=False):
        row, files = TABLE[name], PATHS
        if name == "holdfast" and not os.path.exists(f"/proc/{pid}/root/etc"):
            files = PATHS[:3] if os.path.exists(f"/proc/{pid}/root/proc") else PATHS[:1]  # in its room
        for thread in rights.threads(pid):
            found = rights.seen(thread) if is_held else rights.asked(thread, PATHS)
            with self.subTest(process=name, thread=thread):
                self.check_thread(name, base, found, row, files)
        with self.subTest(process=name, what="folders"):
            # Boot is alone with PID 1, which moves out later (test_room.py).
            other = self.whole.init if name in ("holdfast", "holdfast-boot") else harness.resident(self.whole.init)
            for folder in ("cwd", "root"):
                self.assertTrue(os.path.samefile(f"/proc/{pid}/{folder}", f"/proc/{other}/{folder}"))
        self.check_fds(name, pid, row)

    def check_fds(self, name, pid, row):
        kept, of_init, has = rights.store(self.whole.init), rights.fds(self.whole.init), rights.fds(pid)
        granted = {of_init[number] for number, kind in kept.items() if kind in self.grants[name]}
        granted.add(of_init[rights.STORE_FD])
        if name == "holdfast":
            granted |= {of_init[number] for number in (*kept, 0, 1, 2)}
        same = {(fd.inode, fd.mode) for fd in granted}
        writable = {of_init[number].inode for number, kind in kept.items() if kind in row.writes}
        for number, fd in has.items():
            with self.subTest(process=name, fd=number, target=fd.target, kind=kept.get(number)):
                if number > 2:
                    self.assertTrue(fd.is_cloexec or row.uid is not None, "a service would inherit it")
                    if (fd.inode, fd.mode) not in same:
                        self.assertRegex(fd.target, f"^({row.makes or 'nothing'})$")
                if fd.is_writable_memory and name != "holdfast" and not re.fullmatch(row.own, fd.target):
                    self.assertIn(fd.inode, writable, "others read what it can write")


UNIT = {"a.service": "[Service]\nExecStart=/usr/bin/service -f /proc/self/fd/1 a\n"}
DAEMONS = ("holdfast-supervisor", "holdfast-gate", "holdfast-log", "holdfast-health")


class Rungs(RightsCase):
    def check_all(self, rung):
        self.whole = self.instance(UNIT, sorted(UNIT), rung=rung)
        self.whole.wait_running()
        base = base_of(rung)
        self.check_process("holdfast", self.whole.init, base)
        namespaces = rights.seen(self.whole.member("holdfast-supervisor")).namespaces
        of_init = rights.seen(self.whole.init).namespaces
        # It may sit in a room of its own; all others are where the services are.
        self.assertEqual({**of_init, "mnt": None}, {**namespaces, "mnt": None})
        for name in DAEMONS:
            pid = self.whole.member(name)
            self.check_process(name, pid, base)
            mounts = rights.seen(harness.resident(self.whole.init)).namespaces["mnt"]
            self.assertEqual(rights.seen(pid).namespaces, {**namespaces, "mnt": mounts})
        self.assertEqual(self.whole.get("/readyz")[0], 200)
        self.assertEqual(self.whole.events("daemon-died"), [])
        self.assertEqual(self.whole.stop(), 0)

    def test_everything(self):
        self.check_all(instance.EVERYTHING)

    def test_a_default_container(self):
        self.check_all(instance.CONTAINER)

    def test_uid_1000_with_nothing(self):
        self.check_all(instance.NOTHING)

class Held(RightsCase):
    """Those that live for a moment only, held where they are."""

    def launch(self, units, **options):
        self.whole = self.instance(units, sorted(units), **options)
        return self.whole

    def writing(self, find):
        """The pid, once it waits for a reader."""
        def waits():
            pid = find()
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
                    return f.read().split()[0] in WRITES and pid
            return None
        return harness.wait_until(waits, "it writes and nobody reads")

    def base(self, rung=instance.EVERYTHING):
        return base_of(rung)

    def secret_unit(self, reference):
        return {"a.service": f"[Service]\nExecStart={self.service(word='a')}\n[X-Holdfast]\nSecret=A {reference}\n"}

    def test_boot(self):
        path = self.write("units/a.service.d/held.conf", "[Service]\nUMask=077\n")
        with held.Opening(path) as opening:
            self.launch({"a.service": f"[Service]\nExecStart={self.service(word='a')}\n"})
            self.check_process("holdfast-boot", opening.wait(), self.base(), is_held=True)
        self.whole.wait_running()
        self.assertEqual(self.whole.stop(), 0)

    def test_secrets(self):
        source = self.write("source", "a value", mode=0o400)
        with held.Reading(source) as reading:
            self.launch(self.secret_unit(f"file:{source}"))
            self.check_process("holdfast-secrets", reading.wait(), self.base(), is_held=True)
        self.whole.wait_running()
        self.assertEqual(self.whole.stop(), 0)

    def test_secrets_of_services(self):
        authority = Authority(self.dir)
        aws = Aws(authority)
        self.addCleanup(aws.close)
        aws.parameters["x"] = [Parameter("v")]
        aws.fault("GetParameters", kind="hang")
        self.launch(self.secret_unit("ssm:x"), env={
            "AWS_ENDPOINT_URL": aws.url, "AWS_CA_BUNDLE": authority.ca, "AWS_REGION": aws.region,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": aws.keys["AKIDEXAMPLE"][0]})
        harness.wait_until(lambda: aws.counts().get("GetParameters"), "the call that hangs")
        self.check_process("holdfast-secrets-remote", self.whole.member("holdfast-secrets-remote"), self.base())
        aws.released.set()
        self.whole.wait_running()
        self.assertEqual(self.whole.stop(), 0)

    def test_the_dump(self):
        """Nobody reads what it writes."""
        self.launch({"a.service": f"[Service]\nExecStart={self.service('-l', '4000', word='a')}\n"})
        self.whole.wait_for('"msg":"a line 4000"')
        self.whole.wait_running()
        os.kill(self.whole.init, signal.SIGUSR1)
        pid = self.writing(lambda: harness.child_named(self.whole.init, "holdfastctl"))
        self.check_process("holdfastctl", pid, self.base())
        self.whole.wait_for('"type":"end"')
        self.assertEqual(self.whole.stop(), 0)

    def test_the_lease(self):
        """As dhcpcd runs it. What it says of a call without any news finds no room."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
        run = self.start_as(LEASE, f"{harness.BIN}/holdfast-lease", stderr=writer)
        os.close(writer)
        pid = self.writing(lambda: run.pid)
        base = dataclasses.replace(self.base(), uid=LEASE, held=0)
        for thread in rights.threads(pid):
            self.check_thread("holdfast-lease", base, rights.asked(thread, PATHS), TABLE["holdfast-lease"])
        self.assertEqual(sorted(rights.fds(pid)), [0, 1, 2])

    def start_as(self, uid, program, **options):
        return self.start("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", program,
                                  env={}, **options)


if __name__ == "__main__":
    harness.main()
