#!/usr/bin/env python3
"""PID 1 in managed mode, with puppets (tests/apps/puppet.c) in the place of every other program: each
test is told of every start of each of them, and says what they do."""
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

PROGRAMS = ["holdfast-boot", "holdfast-supervisor", "holdfast-log", "holdfast-health",
            "holdfast-gate", "holdfast-secrets", "holdfastctl"]
CRASH = f"{harness.ROOT}/build/crash/bin/holdfast"
AS_NOBODY = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--bounding-set=-all",
             "--inh-caps=-all", "--no-new-privs"]

HELLO, PUT, DROP, BOOTED, FAILED = 1, 2, 3, 4, 5


def store_kinds():
    """The numbers of enum store_kind, from the header itself."""
    with open(f"{harness.ROOT}/lib/store.h", encoding="utf-8") as f:
        body = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S).split("enum store_kind {")[1]
    return {name: n for n, name in enumerate(re.findall(r"STORE_(\w+)", body.split("}")[0]))}


KINDS = store_kinds()
(EXEC, PLAN, BOARD, JOURNAL, RING, CAPTURE, ENVIRON, OUTPUT, PIPE_READ, PIPE_WRITE, LISTEN, SECRET,
 CHANNEL) = (KINDS[name] for name in (
     "EXEC", "PLAN", "BOARD", "JOURNAL", "RING", "CAPTURE", "ENVIRON", "OUTPUT", "PIPE_READ",
     "PIPE_WRITE", "LISTEN", "SECRET", "CHANNEL"))
DRAINING, STOPPED = 3, 5
SLOTS = 4  # a unit
EXITED = 1  # CLD_EXITED
BUDGET = 25_000_000


class Puppet:
    """One running program of PID 1's, on its strings."""

    def __init__(self, connection):
        self.connection = connection
        connection.settimeout(harness.DEADLINE)
        self.pid = struct.unpack("iii", connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        words = self._receive().split()
        assert words[0] == "hello", words
        self.name, self.blocked, self.argv = words[1], int(words[2], 16), words[3:]

    def _receive(self):
        return self.connection.recv(1 << 17).decode()

    def say(self, command):
        self.connection.send(command.encode())

    def do(self, command):
        self.say(command)
        answer = self._receive()
        assert answer and answer != "unknown", f"{command}: {answer!r}"
        return answer

    def wait_gone(self):
        """Until its end of the strings is closed: it is dead, or about to be reaped."""
        with self.connection:
            assert self.connection.recv(1) == b""

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)
        self.wait_gone()


def status_line(pid, key):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(l.split(None, 1)[1].strip() for l in f if l.startswith(key + ":"))


def open_files(pid):
    found = []
    for fd in sorted(os.listdir(f"/proc/{pid}/fd"), key=int):
        link = os.readlink(f"/proc/{pid}/fd/{fd}")
        # Sockets are new ones each time, and programs are unlinked on the way.
        found.append((int(fd), link.split(":[")[0].removesuffix(" (deleted)")))
    return found


class Keeper(harness.Case):
    wrap = []
    program = harness.HOLDFAST

    def setUp(self):
        super().setUp()
        harness.become_subreaper()
        self.bin = f"{self.dir}/bin"
        os.mkdir(self.bin)
        shutil.copy(self.program, f"{self.bin}/holdfast")
        for name in PROGRAMS:
            shutil.copy(f"{harness.APPS}/puppet", f"{self.bin}/{name}")
        os.mkfifo(f"{self.bin}/gate")
        self.strings = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.strings.bind(f"{self.bin}/puppets")
        self.strings.listen(64)
        os.chmod(f"{self.bin}/puppets", 0o777)
        os.chmod(f"{self.bin}/gate", 0o666)
        self.addCleanup(self.strings.close)
        self.waiting = []
        self.held = []
        self.init = None

    # ---- the strings

    def expect(self, name, deadline=harness.DEADLINE):
        """The next start of that program."""
        end = time.monotonic() + deadline
        while True:
            for puppet in self.waiting:
                if puppet.name == name:
                    self.waiting.remove(puppet)
                    self.held.append(puppet)
                    return puppet
            ready, _, _ = select.select([self.strings], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise harness.Timeout(f"{name} was not started:\n{self.output()}")
            self.waiting.append(Puppet(self.strings.accept()[0]))

    def output(self):
        self.main._read(0)
        return self.main.text

    def holdfast(self, *args, **options):
        self.main = self.start(*self.wrap, f"{self.bin}/holdfast", *args, **options)
        return self.main

    def boot(self, n_units=2, n_listen=1, budget=BUDGET, **options):
        """Up to three daemons that run."""
        self.holdfast(**options)
        boot = self.expect("holdfast-boot")
        boot.do(f"world {n_units} {n_listen}")
        boot.do(f"packet {BOOTED} 0 0 {budget} 0")
        boot.say("exit 0")
        self.log = self.expect("holdfast-log")
        self.health = self.expect("holdfast-health") if n_listen else None
        self.gate = self.expect("holdfast-gate") if "--pid" in self.wrap else None
        self.supervisor = self.expect("holdfast-supervisor")
        with open(f"/proc/{self.log.pid}/stat", encoding="ascii") as f:
            self.init = int(f.read().rsplit(")", 1)[1].split()[1])
        self.n_units = n_units

    def own_lines(self):
        """What PID 1 wrote to its own stream: the puppet of log reads it."""
        return self.log.do(f"read {2 * self.n_units}")

    def stop_in_order(self, status=0):
        self.supervisor.do(f"phase {STOPPED} {status}")
        self.supervisor.say("exit 0")
        return self.main.wait()

    def exhaust_supervisors(self):
        for _ in range(4):
            self.supervisor.kill()
            self.supervisor = self.expect("holdfast-supervisor")
        self.supervisor.kill()

    def open_gate(self):
        fd = os.open(f"{self.bin}/gate", os.O_WRONLY)
        self.addCleanup(os.close, fd)

    def zombies(self):
        return [p for p in harness.children(self.init) if status_line(p, "State")[0] == "Z"]


class Boot(Keeper):
    def test_failed_status(self):
        self.holdfast("--units", "/nowhere")
        boot = self.expect("holdfast-boot")
        self.assertEqual(boot.argv, [f"{self.bin}/holdfast", "--units", "/nowhere"])
        boot.do(f"packet {HELLO} 0 0 1 0")
        boot.do(f"packet {FAILED} 0 0 78 0 nonsense-at-line-3")
        boot.say("exit 78")
        self.assertEqual(self.main.wait(), 78)
        self.assertIn("nonsense-at-line-3", self.main.text)
        self.assertEqual(self.waiting, [])

    def test_death_is_70(self):
        for command in ("exit 0", "exit 1"):
            with self.subTest(command=command):
                self.holdfast()
                self.expect("holdfast-boot").say(command)
                self.assertEqual(self.main.wait(), 70)
        self.holdfast()
        self.expect("holdfast-boot").kill()
        self.assertEqual(self.main.wait(), 70)

    def test_booted_but_exit_1(self):
        self.holdfast()
        boot = self.expect("holdfast-boot")
        boot.do("world 1 0")
        boot.do(f"packet {BOOTED} 0 0 {BUDGET} 0")
        boot.say("exit 1")
        self.assertEqual(self.main.wait(), 70)

    def test_missing_entry(self):
        self.holdfast()
        boot = self.expect("holdfast-boot")
        boot.do(f"packet {HELLO} 0 0 1 0")
        boot.do(f"packet {PUT} {RING} 0 0 1")
        boot.do(f"packet {BOOTED} 0 0 {BUDGET} 0")
        boot.say("exit 0")
        self.assertEqual(self.main.wait(), 70)
        self.assertIn("what boot had to put", self.main.text)

    def test_plan_that_is_none(self):
        self.holdfast()
        boot = self.expect("holdfast-boot")
        boot.do("world 1 0")
        boot.do(f"packet {PUT} {PLAN} 0 0 1")
        boot.do(f"packet {BOOTED} 0 0 {BUDGET} 0")
        boot.say("exit 0")
        self.assertEqual(self.main.wait(), 70)
        self.assertIn("the plan", self.main.text)

    def test_bad_packets(self):
        hello = f"packet {HELLO} 0 0 1 0"
        for commands in (
                [f"packet {PUT} {RING} 0 0 1"],                    # before HELLO
                [f"packet {HELLO} 0 0 2 0"],                       # another version
                [hello, hello],
                [hello, f"packet {PUT} {RING} 0 0 0"],             # without an fd
                [hello, f"packet {BOOTED} 0 0 1 1"],               # with one
                [hello, f"packet {PUT} {JOURNAL} 0 0 1"],          # not boot's to put
                [hello, f"packet {PUT} 4000000000 0 0 1"],
                [hello, f"packet {PUT} {RING} 4000000000 0 1"],
                [hello, f"packet {FAILED} 0 0 256 0"],
                [hello, f"packet {DROP} {RING} 0 0 0"],
                [hello, "packet 77 0 0 0 0"],
                [hello, "junk 10"],
                [hello, "junk 5000"]):
            with self.subTest(commands=commands):
                self.holdfast()
                boot = self.expect("holdfast-boot")
                for command in commands:
                    boot.say(command)
                self.assertEqual(self.main.wait(), 70)

    def test_term_while_booting(self):
        self.holdfast()
        boot = self.expect("holdfast-boot")
        self.main.send(signal.SIGTERM)
        boot.wait_gone()
        self.assertEqual(self.main.wait(), 0)

    def test_second_term_while_booting(self):
        self.holdfast()
        boot = self.expect("holdfast-boot")
        boot.do(f"ignore {signal.SIGTERM:d}")
        self.main.send(signal.SIGTERM)
        self.main.wait_for("stop-asked")
        self.main.send(signal.SIGTERM)
        self.assertEqual(self.main.wait(), 0)

    def test_a_boot_that_does_not_hear_term(self):
        self.holdfast()
        boot = self.expect("holdfast-boot")
        boot.do(f"ignore {signal.SIGTERM:d}")
        self.main.send(signal.SIGTERM)
        self.assertEqual(self.main.wait(), 0)  # nothing had run

    def test_what_boot_inherits(self):
        secret = "s3cr3t-value-of-the-environment"
        self.holdfast(env={"TOKEN": secret})
        boot = self.expect("holdfast-boot")
        with open(f"/proc/{boot.pid}/environ", "rb") as f:
            self.assertEqual(f.read(), b"")
        with open(f"/proc/{self.main.pid}/environ", "rb") as f:
            self.assertNotIn(secret.encode(), f.read())
        with open(f"/proc/{self.main.pid}/fd/{self.kept_fd(ENVIRON)}", "rb") as f:
            self.assertEqual(f.read(), f"TOKEN={secret}\0".encode())
        # The programs, because [Identity] may need one of them.
        self.assertEqual({fd for fd in boot.do("fds").split() if not fd.startswith(f"{EXEC}:")},
                         {f"{ENVIRON}:0", f"{CHANNEL}:0"})
        self.assertEqual(boot.blocked, 0)
        self.assertEqual(boot.do("write 1 to-stdout"), "0")
        self.assertEqual(boot.do("write 2 to-stderr"), "0")
        self.main.wait_for("to-stdout").wait_for("to-stderr")

    def kept_fd(self, kind):
        with open(f"/proc/{self.main.pid}/fd/3", "rb") as f:
            table = f.read(1 << 16)
        head = 8 + 4 + 4 + 4 * 8 + 4 + 4  # struct store_table up to its entries
        entries = (struct.unpack_from("IIi", table, at) for at in range(head, len(table) - 16, 16))
        return next(fd for found, index, fd in entries if (found, index) == (kind, 0))

    def test_memory_does_not_keep_the_environment(self):
        secret = b"only-once-in-all-of-memory"
        self.holdfast(env={"TOKEN": secret.decode()})
        self.expect("holdfast-boot")
        with open(f"/proc/{self.main.pid}/maps", encoding="ascii") as maps:
            with open(f"/proc/{self.main.pid}/mem", "rb") as mem:
                for line in maps:
                    if not line.split()[1].startswith("rw") or "[v" in line:
                        continue
                    start, end = (int(x, 16) for x in line.split()[0].split("-"))
                    mem.seek(start)
                    self.assertNotIn(secret, mem.read(end - start), line)


class Daemons(Keeper):
    def test_start(self):
        self.boot()
        # Each start is a process later than the one before it.
        self.assertLess(self.log.pid, self.health.pid)
        self.assertLess(self.health.pid, self.supervisor.pid)
        for puppet in (self.log, self.health, self.supervisor):
            self.assertEqual(puppet.argv, [puppet.name])
            # TERM waits until log can take it.
            self.assertEqual(puppet.blocked, 1 << signal.SIGTERM - 1 if puppet is self.log else 0)
            self.assertEqual(int(status_line(puppet.pid, "SigIgn"), 16), 0)
            self.assertEqual(os.readlink(f"/proc/{puppet.pid}/fd/1"), "/dev/null")
            with open(f"/proc/{puppet.pid}/environ", "rb") as f:
                self.assertEqual(f.read(), b"")
        self.assertEqual(self.stop_in_order(3), 3)

    def test_grants(self):
        self.boot(n_units=1)
        held = {p.name: {int(w.split(":")[0]) for w in p.do("fds").split()}
                for p in (self.log, self.health, self.supervisor)}
        self.assertIn(OUTPUT, held["holdfast-log"])
        self.assertIn(PIPE_READ, held["holdfast-log"])
        for kind in (ENVIRON, JOURNAL, PLAN, BOARD, PIPE_WRITE, CHANNEL):
            self.assertNotIn(kind, held["holdfast-log"])
            self.assertNotIn(kind, held["holdfast-health"])
        for kind in (OUTPUT, JOURNAL, RING, CAPTURE, PIPE_READ, LISTEN):
            self.assertNotIn(kind, held["holdfast-supervisor"])
        self.assertLess({EXEC, PLAN, BOARD, ENVIRON, CHANNEL}, held["holdfast-supervisor"])

    def test_streams(self):
        """stderr of each is its own pipe; a full one blocks nobody; what was written outlives both."""
        self.boot(n_units=1)
        self.assertEqual(self.supervisor.do("write 2 said-before-death"), "0")
        self.supervisor.kill()
        self.log.kill()
        log = self.log = self.expect("holdfast-log")
        self.assertEqual(log.do(f"read {2 + 2}"), "said-before-death")
        self.assertIn("daemon-died", log.do("read 2"))
        supervisor = self.expect("holdfast-supervisor")
        filled = 0
        while supervisor.do("write 2 " + "x" * 4000) == "0":
            filled += 1
        self.assertGreater(filled, 10)

    def test_no_health_without_an_address(self):
        self.boot(n_listen=0)
        self.assertEqual(self.stop_in_order(), 0)
        self.assertEqual([p.name for p in self.waiting], [])

    def test_stdin_is_the_supervisors(self):
        ours, theirs = os.pipe()
        self.addCleanup(os.close, theirs)
        self.boot(stdin=ours)
        os.close(ours)
        want = os.readlink(f"/proc/self/fd/{theirs}")
        self.assertEqual(os.readlink(f"/proc/{self.supervisor.pid}/fd/0"), want)
        self.assertEqual(os.readlink(f"/proc/{self.log.pid}/fd/0"), "/dev/null")

    def test_what_services_get_back(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

        def prepare():
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
            signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR2])
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self.boot(preexec_fn=prepare)
        mask, ignored, was_soft, was_hard = self.supervisor.do("inherited").split()
        self.assertEqual(int(mask, 16), 1 << signal.SIGUSR2 - 1)
        self.assertTrue(int(ignored, 16) & 1 << signal.SIGPIPE - 1)
        self.assertEqual(int(was_soft), 200)
        self.assertEqual(int(was_hard) & (1 << 63) - 1, hard & (1 << 63) - 1)
        self.assertIn(f" {hard} ", open(f"/proc/{self.init}/limits", encoding="ascii").read()
                      .split("Max open files")[1].split("\n")[0].replace("  ", " ") + " ")
        self.assertEqual(soft, resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def test_non_dumpable(self):
        self.boot()
        self.assertEqual(os.stat(f"/proc/{self.init}/fd").st_uid, 0)
        if harness.is_root():
            pid = os.fork()
            if pid == 0:
                os.setgroups([])
                os.setresgid(1000, 1000, 1000)
                os.setresuid(1000, 1000, 1000)
                try:
                    os.listdir(f"/proc/{self.init}/fd")
                    os._exit(1)
                except PermissionError:
                    os._exit(0)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def test_answers(self):
        self.boot()
        self.assertEqual([self.health.do("ask") for _ in range(3)], ["1", "2", "3"])

    def test_two_thousand_pipes(self):
        self.boot(n_units=1000, n_listen=0)
        self.assertGreater(len(os.listdir(f"/proc/{self.init}/fd")), 4000)
        self.assertEqual(self.stop_in_order(), 0)

    def test_pipes_beyond_the_limit(self):
        self.holdfast(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
        boot = self.expect("holdfast-boot")
        boot.do("world 100 0")
        boot.do(f"packet {BOOTED} 0 0 {BUDGET} 0")
        boot.say("exit 0")
        self.assertEqual(self.main.wait(), 70)
        self.assertIn("RLIMIT_NOFILE", self.main.text)


class Deaths(Keeper):
    program = CRASH  # in it who lived 20 ms starts afresh, so that many deaths take no minutes

    def lived(self, puppet):
        """When the keeper will take its death for the first."""
        with open(f"/proc/{puppet.pid}/stat", encoding="ascii") as f:
            started = int(f.read().rsplit(")", 1)[1].split()[19])
        harness.wait_until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * 100 > started + 4,
                           "it has lived")

    def test_fifty_deaths_of_each(self):
        self.boot()
        self.supervisor.do("spawn 0 1 stay")
        before, memory = open_files(self.init), status_line(self.init, "VmData")
        for name in PROGRAMS[1:4]:
            os.unlink(f"{self.bin}/{name}")
            puppet = {"holdfast-log": self.log, "holdfast-health": self.health,
                      "holdfast-supervisor": self.supervisor}[name]
            for _ in range(50):
                self.lived(puppet)
                puppet.kill()
                puppet = self.expect(name)
                self.assertIn("(deleted)", os.readlink(f"/proc/{puppet.pid}/exe"))
            setattr(self, name.split("-")[1], puppet)
        harness.wait_until(lambda: not self.zombies(), "all are reaped")
        self.assertEqual(open_files(self.init), before)
        self.assertEqual(status_line(self.init, "VmData"), memory)
        self.assertEqual(self.supervisor.do("apply 10"), "-")
        self.assertEqual(self.stop_in_order(), 0)

    def test_secret_outlives_the_supervisor(self):
        self.boot()
        self.supervisor.do(f"packet {PUT} {SECRET} 1 0 1")
        self.supervisor.kill()
        self.supervisor = self.expect("holdfast-supervisor")
        self.assertIn(f"{SECRET}:1", self.supervisor.do("fds"))
        before = open_files(self.init)
        self.supervisor.do(f"packet {PUT} {SECRET} 1 0 1")
        self.supervisor.do(f"packet {DROP} {SECRET} 0 0 0")
        self.health.do("ask")  # PID 1 has taken its turn
        # Which number a new one gets is a matter of when an old one was closed.
        self.assertEqual(sorted(name for _, name in open_files(self.init)), sorted(name for _, name in before))
        self.supervisor.do(f"packet {DROP} {SECRET} 1 0 0")
        harness.wait_until(lambda: len(open_files(self.init)) == len(before) - 1, "it is dropped")

    def test_bad_packet_kills_the_supervisor(self):
        self.boot()
        for bad in (f"packet {PUT} {BOARD} 0 0 1", f"packet {PUT} {SECRET} 0 0 0", "junk 100",
                    f"packet {BOOTED} 0 0 0 0", f"packet {HELLO} 0 0 1 0"):
            with self.subTest(packet=bad):
                self.lived(self.supervisor)
                self.supervisor.say(bad)
                self.supervisor = self.expect("holdfast-supervisor")
        self.assertEqual(self.stop_in_order(), 0)


class Limits(Keeper):
    """As released."""

    def test_five_deaths_end_the_instance(self):
        for name in ("supervisor", "log"):
            with self.subTest(name=name):
                self.boot()
                os.mkfifo(f"{self.dir}/{name}")
                self.supervisor.do("spawn 0 2 stay")
                for _ in range(5):
                    puppet = getattr(self, name)
                    puppet.kill()
                    if _ < 4:
                        setattr(self, name, self.expect(f"holdfast-{name}"))
                ctl = self.expect("holdfastctl")
                self.assertEqual(ctl.argv, ["holdfastctl", "dump"])
                ctl.do("write 1 THE-DUMP")
                self.assertEqual(harness.children(self.init), [ctl.pid])
                ctl.say("exit 0")
                self.assertEqual(self.main.wait(), 70)
                self.assertIn("THE-DUMP", self.main.text)
                if name == "log":
                    self.assertIn("holdfast-log cannot be kept alive", self.main.text)

    def test_grace_when_the_supervisor_is_hopeless(self):
        """What it left behind has TERM, and a second, before KILL."""
        self.boot(budget=500_000)
        self.supervisor.do("spawn 0 2 stubborn")
        start = time.monotonic()
        self.exhaust_supervisors()
        ctl = self.expect("holdfastctl")
        self.assertGreater(time.monotonic() - start, 0.9)
        self.assertEqual(harness.children(self.init), [ctl.pid])
        ctl.say("exit 0")
        self.assertEqual(self.main.wait(), 70)
        self.assertLess(time.monotonic() - start, 15)

    def test_log_that_is_down_at_the_end(self):
        """It would be started again only later: the end starts it for what stands in the pipes."""
        self.boot()
        for _ in range(3):
            self.log.kill()
            self.log = self.expect("holdfast-log")
        self.log.kill()
        harness.wait_until(lambda: self.log.pid not in harness.children(self.init), "it is reaped")
        self.supervisor.do(f"phase {STOPPED} 0")
        self.supervisor.say("exit 0")
        self.log = self.expect("holdfast-log")
        self.assertEqual(self.main.wait(), 0)

    def test_nothing_is_started_at_the_end(self):
        self.boot(budget=500_000)
        for _ in range(3):
            self.health.kill()
            self.health = self.expect("holdfast-health")
        self.health.kill()  # due again in 400 ms
        self.supervisor.do("spawn 0 1 stubborn")
        self.assertEqual(self.stop_in_order(), 0)  # takes a second
        self.assertEqual(self.waiting, [])
        self.assertEqual(select.select([self.strings], [], [], 0)[0], [])

    @unittest.skipUnless(harness.is_root(), "only root can become another")
    def test_no_process_to_be_had(self):
        """A limit on processes is no death: what cannot be started is started when it can."""
        uid = str(3_000_000 + os.getpid())
        self.wrap = ["setpriv", f"--reuid={uid}", "--clear-groups", "--inh-caps=-all", "--"]
        other = self.start(*self.wrap, "sleep", "1000")
        self.holdfast(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (3, 3)))
        boot = self.expect("holdfast-boot")
        boot.do("world 1 0")
        boot.do(f"packet {BOOTED} 0 0 {BUDGET} 0")
        boot.say("exit 0")
        self.log, self.n_units = self.expect("holdfast-log"), 1
        harness.wait_until(lambda: "daemon-not-started" in self.own_lines(), "a failed fork")
        other.close()
        self.supervisor = self.expect("holdfast-supervisor")
        self.assertEqual(self.stop_in_order(), 0)

    def test_dump_that_hangs(self):
        self.boot()
        self.exhaust_supervisors()
        self.expect("holdfastctl")
        start = time.monotonic()
        self.assertEqual(self.main.wait(), 70)
        self.assertLess(time.monotonic() - start, 15)

    def test_health_may_die_for_ever(self):
        self.boot()
        for _ in range(5):
            self.health.kill()
            self.health = self.expect("holdfast-health")
        self.assertEqual(self.stop_in_order(), 0)

    def test_hung_supervisor(self):
        self.boot()
        os.kill(self.supervisor.pid, signal.SIGSTOP)
        os.kill(self.init, signal.SIGHUP)
        start = time.monotonic()
        successor = self.expect("holdfast-supervisor")
        self.assertGreater(time.monotonic() - start, 4.5)
        self.assertIn("supervisor-hung", self.own_lines())
        self.assertEqual(successor.do("apply 10").split()[0].split(",")[3], str(int(signal.SIGHUP)))

    def test_supervisor_exit_without_stop_is_a_death(self):
        self.boot()
        self.supervisor.say("exit 0")
        self.supervisor = self.expect("holdfast-supervisor")
        self.assertEqual(self.stop_in_order(), 0)


class Exits(Keeper):
    def applied(self, want):
        """Applies until that many exits have come: [(pid, number, code, status)]."""
        found = []

        def more():
            answer = self.supervisor.do("apply 300")
            if answer != "-":
                found.extend(tuple(int(n) for n in e.split(",")) for e in answer.split())
            return len(found) >= want
        harness.wait_until(more, f"{want} exits")
        return [e[1:] for e in found if e[0] == 1]

    def test_one(self):
        self.boot()
        pid = int(self.supervisor.do("spawn 5 1 exit"))
        (entry,) = self.applied(1)
        self.assertEqual(entry[1:], (5, EXITED, 5))
        self.assertNotIn(pid, harness.children(self.init))

    def test_flood_with_the_journal_full(self):
        """Each of 2000 exits comes exactly once, though the supervisor stands still meanwhile."""
        self.boot(n_units=500)
        pids = []
        for first in range(0, 2000, 250):
            pids += self.supervisor.do(f"spawn {first} 250 gate").split()
        os.kill(self.supervisor.pid, signal.SIGSTOP)
        self.open_gate()
        # 1024 less the reserve are journalled; the others wait in the kernel.
        harness.wait_until(lambda: len(harness.children(self.init)) == 3 + 2000 - 1008 and
                           len(self.zombies()) == 2000 - 1008, "the journal is full")
        # What is ours is seen all the same, and a stop too.
        self.health.kill()
        self.expect("holdfast-health")
        os.kill(self.init, signal.SIGTERM)
        os.kill(self.supervisor.pid, signal.SIGCONT)
        found = self.applied(2001)
        self.assertEqual(len(found), 2000)
        self.assertEqual({e[1] for e in found}, set(range(2000)))
        self.assertTrue(all(e[2:] == (EXITED, e[1] % 100) for e in found))
        harness.wait_until(lambda: not self.zombies(), "no zombie is left")

    def test_exits_while_the_supervisor_is_dead(self):
        self.boot(n_units=100)
        pids = self.supervisor.do("spawn 0 400 gate").split()
        self.supervisor.kill()
        self.open_gate()
        self.supervisor = self.expect("holdfast-supervisor")
        found = self.applied(400)
        self.assertEqual(sorted(e[1] for e in found), list(range(400)))
        self.assertEqual(len(pids), 400)

    def test_foreign_orphans(self):
        self.boot()
        self.supervisor.do("orphans 100 gate")
        harness.wait_until(lambda: len(harness.children(self.init)) == 103, "they are ours")
        self.open_gate()
        harness.wait_until(lambda: len(harness.children(self.init)) == 3, "they are reaped")
        self.assertEqual(self.supervisor.do("apply 10"), "-")

    def test_killed_and_usage(self):
        self.boot()
        pid = int(self.supervisor.do("spawn 0 1 stay").split()[0])
        child = next(p for p in harness.children(self.init)
                     if p not in (self.log.pid, self.health.pid, self.supervisor.pid))
        os.kill(child, signal.SIGKILL)
        (entry,) = self.applied(1)
        self.assertEqual(entry, (pid, 0, 2, 9))


class Stop(Keeper):
    def signals(self, want):
        found = []

        def more():
            answer = self.supervisor.do("apply 100")
            if answer != "-":
                found.extend(int(e.split(",")[3]) for e in answer.split() if e[0] == "2")
            return len(found) >= want
        harness.wait_until(more, f"{want} signals")
        return found

    def test_signals_are_journalled(self):
        self.boot()
        numbers = [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGPWR, 37]
        for number in numbers:
            os.kill(self.init, number)
            self.assertEqual(self.signals(1), [number])
        self.assertIn("stop-asked", self.own_lines())
        self.assertEqual(self.stop_in_order(), 0)

    def test_others_are_ignored(self):
        self.boot()
        others = set(range(1, 65)) - {9, 19, 17, 1, 2, 3, 10, 15, 30, 37}
        for number in sorted(others):
            os.kill(self.init, number)
        self.health.do("ask")
        self.assertEqual(self.supervisor.do("apply 100"), "-")

    def test_burst(self):
        self.boot()
        for _ in range(20000):
            os.kill(self.init, signal.SIGTERM)
            os.kill(self.init, signal.SIGHUP)
        for _ in range(2000):
            os.kill(self.init, 40)
        self.health.do("ask")
        self.assertEqual(self.stop_in_order(), 0)

    def test_deadline(self):
        """A supervisor that does nothing keeps nobody: budget + 1 s, then KILL and 137."""
        self.boot(budget=500_000)
        self.supervisor.do(f"ignore {signal.SIGTERM:d}")
        self.supervisor.do("spawn 0 3 stubborn")
        self.supervisor.do("orphans 3 stubborn")
        start = time.monotonic()
        os.kill(self.init, signal.SIGTERM)
        self.assertEqual(self.main.wait(), 137)
        self.assertGreater(time.monotonic() - start, 1.4)
        self.assertLess(time.monotonic() - start, 15)
        self.assertEqual(self.left(), [])

    def test_deadline_of_a_stop_that_it_began_itself(self):
        self.boot(budget=100_000)
        self.supervisor.do(f"phase {DRAINING} 9 0 3")
        self.assertEqual(self.main.wait(), 9)

    def test_stopped_but_does_not_exit(self):
        self.boot()
        self.supervisor.do(f"ignore {signal.SIGTERM:d}")
        self.supervisor.do(f"phase {STOPPED} 5")
        self.assertEqual(self.main.wait(), 5)

    def left(self):
        found = []
        for pid in os.listdir("/proc"):
            try:
                if pid.isdigit() and os.readlink(f"/proc/{pid}/exe").startswith(self.bin):
                    found.append(pid)
            except OSError:
                pass
        return found

    def test_what_ignores_term_is_killed(self):
        self.boot()
        self.supervisor.do("orphans 20 stubborn")
        self.supervisor.do("spawn 0 4 stubborn")
        self.health.do(f"ignore {signal.SIGTERM:d}")
        self.assertEqual(self.stop_in_order(4), 4)
        self.assertEqual(self.left(), [])

    def test_stopped_ones_get_term_too(self):
        """Where what is left has 23 s, a process that was stopped goes at once all the same."""
        self.boot()
        os.kill(self.health.pid, signal.SIGSTOP)
        self.exhaust_supervisors()
        self.expect("holdfastctl", 15).say("exit 0")
        self.assertEqual(self.main.wait(), 70)

    def test_log_goes_last_and_has_a_second(self):
        self.boot()
        self.log.do(f"ignore {signal.SIGTERM:d}")
        start = time.monotonic()
        self.supervisor.do(f"phase {STOPPED} 0")
        self.supervisor.say("exit 0")
        harness.wait_until(lambda: "instance-ends" in self.own_lines(), "the last line")
        self.assertEqual(harness.children(self.init), [self.log.pid])
        self.assertEqual(self.main.wait(), 0)
        self.assertLess(time.monotonic() - start, 15)

    def test_dump_on_usr1(self):
        self.boot()
        os.kill(self.init, signal.SIGUSR1)
        ctl = self.expect("holdfastctl")
        os.kill(self.init, signal.SIGUSR1)
        self.health.do("ask")
        ctl.do("write 1 ASKED-FOR")
        self.main.wait_for("ASKED-FOR")
        self.assertEqual(self.waiting, [])
        ctl.say("exit 0")
        ctl.wait_gone()
        harness.wait_until(lambda: ctl.pid not in harness.children(self.init), "it is reaped")
        os.kill(self.init, signal.SIGUSR1)
        self.expect("holdfastctl")
        self.assertEqual(self.stop_in_order(), 0)

    def test_dump_when_a_unit_failed(self):
        self.boot()
        self.supervisor.do(f"phase {STOPPED} 42 1 4")
        self.supervisor.say("exit 0")
        ctl = self.expect("holdfastctl")
        self.assertEqual(harness.children(self.init), [ctl.pid])
        ctl.say("exit 0")
        self.assertEqual(self.main.wait(), 42)

    def test_stdout_that_nobody_reads(self):
        """Our own last lines never keep us."""
        self.boot()
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            while os.write(writer, b"x" * 4096):
                pass
        except BlockingIOError:
            pass
        os.set_blocking(writer, True)
        second = self.start(f"{self.bin}/holdfast", stderr=writer)
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        boot = self.expect("holdfast-boot")
        boot.kill()
        self.assertEqual(second.wait(), 70)


class Idle(Keeper):
    def test_no_wakes(self):
        """While 200 other things happen on the machine, PID 1 is not scheduled once."""
        self.boot()
        self.supervisor.do("spawn 0 1 exit")
        harness.wait_until(lambda: self.supervisor.do("apply 10") != "-", "an exit")

        def switches():
            return status_line(self.init, "voluntary_ctxt_switches")
        # TIMER_HUNG looks once, 5 s after the last entry; then there is nothing to wait for.
        before = switches()
        harness.wait_until(lambda: switches() != before, "the one look after an entry", 8)
        before = switches()
        for _ in range(200):
            self.health.do("fds")
            self.supervisor.do("write 2 busy")
        self.assertEqual(switches(), before)


class Lines(Keeper):
    def test_every_line_is_json(self):
        self.boot()
        self.supervisor.kill()
        self.supervisor = self.expect("holdfast-supervisor")
        self.stop_in_order()
        for line in self.main.text.splitlines():
            self.assertEqual(json.loads(line)["by"], "holdfast")


if __name__ == "__main__":
    harness.main()
