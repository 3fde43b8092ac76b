#!/usr/bin/env python3
"""PID 1 in managed mode, on other rungs: as the init of a PID namespace, without any right, on a kernel
that lacks calls or forbids them, and under the sanitizers. The tests are those of test_keeper.py."""
import os
import signal
import sys

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
