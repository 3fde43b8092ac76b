#!/usr/bin/env python3
"""PID 1 in managed mode, on other rungs: as the init of a PID namespace, without any right, on a kernel
that lacks calls or forbids them, and under the sanitizers. The tests are those of test_keeper.py."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import test_keeper as keeper

ENOSYS = f"{harness.APPS}/enosys"
UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


class Sanitized(keeper.Exits):
    """The same under AddressSanitizer and UBSan."""
    program = f"{harness.ASAN_BIN}/holdfast"

    def tearDown(self):
        self.assertEqual(self.stop_in_order(), 0)
        self.assertNotIn("runtime error", self.main.text)
        super().tearDown()


class Namespace(keeper.Stop):
    """The same as PID 1 of a PID namespace: signals without a handler do not reach an init."""
    wrap = UNSHARE

    def test_a_sent_fault_is_no_crash(self):
        """The kernel lets no such signal through to an init without a handler; we have one."""
        self.boot()
        status = keeper.status_line(self.init, "NSpid").split()
        self.assertEqual(status[1], "1")
        os.kill(self.init, signal.SIGSEGV)
        os.kill(self.init, signal.SIGABRT)
        self.assertEqual(self.health.do("ask"), "1")


class Gate(keeper.Keeper):
    """holdfast-gate is started where holdfast is the first of a PID namespace; how it ends says what
    follows (lib/gateboard.h)."""
    wrap = UNSHARE

    def test_it_is_kept(self):
        self.boot()
        self.gate.kill()
        self.gate = self.expect("holdfast-gate")
        self.assertIn("daemon-died", self.own_lines())
        self.assertEqual({int(w.split(":")[0]) for w in self.gate.do("fds").split()},
                         {keeper.KINDS[k] for k in ("EXEC", "PLAN_PUBLIC", "BOARD_PUBLIC",
                                                    "JOURNAL_READ", "GATE")})
        self.assertEqual(self.stop_in_order(3), 3)

    def test_it_may_have_nothing_to_do(self):
        self.boot()
        self.gate.say("exit 0")
        self.gate.wait_gone()
        harness.wait_until(lambda: self.gate.pid not in harness.children(self.init), "it is reaped")
        self.assertEqual(self.stop_in_order(), 0)
        self.assertEqual(self.waiting, [])

    def test_without_it_nothing_runs(self):
        self.boot()
        for _ in range(4):
            self.gate.kill()
            self.gate = self.expect("holdfast-gate")
        self.gate.kill()
        self.expect("holdfastctl").say("exit 0")
        self.assertEqual(self.main.wait(), 70)

    def test_who_cannot_be_killed_ends_the_instance(self):
        """At once: what ignores TERM is not waited for, and no dump is written first."""
        self.boot()
        self.supervisor.do("spawn 0 2 stubborn")
        self.log.do(f"ignore {signal.SIGTERM:d}")
        start = time.monotonic()
        self.gate.say("exit 99")
        harness.wait_until(lambda: "intruder-ends-instance" in self.own_lines(), "the last line")
        self.log.say("exit 0")
        self.assertEqual(self.main.wait(), 70)
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(self.waiting, [])


class Unprivileged(keeper.Keeper):
    wrap = keeper.AS_NOBODY

    def setUp(self):
        if not harness.is_root():
            self.skipTest("only root can become uid 1000 without capabilities")
        super().setUp()

    def test_life(self):
        self.boot()
        self.supervisor.do("spawn 0 1 exit")
        harness.wait_until(lambda: self.supervisor.do("apply 10") != "-", "an exit")
        self.supervisor.kill()
        self.supervisor = self.expect("holdfast-supervisor")
        self.supervisor.do("orphans 3 stubborn")
        self.assertEqual(self.stop_in_order(6), 6)


class UnprivilegedNamespace(Unprivileged):
    wrap = [*UNSHARE, *keeper.AS_NOBODY]


class OldKernel(keeper.Keeper):
    wrap = [ENOSYS, "execveat", "pidfd_open", "pidfd_send_signal", "close_range", "clone3", "--"]

    def test_life(self):
        self.boot()
        os.unlink(f"{self.bin}/holdfast-supervisor")
        self.supervisor.kill()
        self.supervisor = self.expect("holdfast-supervisor")
        self.supervisor.do("orphans 3 stubborn")
        self.assertEqual(self.stop_in_order(6), 6)


class ForbiddenCalls(OldKernel):
    wrap = [ENOSYS, "-e", "execveat", "pidfd_open", "pidfd_send_signal", "close_range", "clone3", "--"]


class UnprivilegedOldKernel(Unprivileged):
    wrap = [*keeper.AS_NOBODY, ENOSYS, "-e", "execveat", "pidfd_open", "pidfd_send_signal", "close_range", "--"]


if __name__ == "__main__":
    harness.main()
