#!/usr/bin/env python3
"""tools/mkfilter.c: what a list of calls may say, and what it is told when it says something else.
What the filters do is tests/unit/test_sandbox.c's to show."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402

MKFILTER = f"{harness.ROOT}/build/host/bin/mkfilter"


class Lists(harness.Case):
    def run_list(self, text):
        return subprocess.run([MKFILTER, self.write("x.list", text), "x"], capture_output=True,
                              text=True, check=False)

    def test_accepted(self):
        for text in ("read\n", "# nothing but read\n\n\tread   # why\n", "mmap arg2&4==0\n",
                     "fcntl arg1==1|2|0x3 arg0!=5\n", "ioctl arg1<=10 arg0>=2\n",
                     "kill: execve\nread\n",
                     # Exists elsewhere only: skipped, on one machine or the other.
                     "read\nsocketcall\n_llseek\n"):
            done = self.run_list(text)
            self.assertEqual((done.returncode, done.stderr), (0, ""), text)
            self.assertEqual(len(re.findall(r"^static const struct sock_filter x_filter\[\] = \{$",
                                            done.stdout, re.M)), 2)

    def test_refused(self):
        for text, complaint in (("read\nraed\n", ":2: \"raed\" is no system call"),
                                ("read arg6==1\n", ":1: arg0 to arg5 was expected"),
                                ("read fd==1\n", ":1: arg0 to arg5 was expected"),
                                ("read arg0=1\n", "a comparison"),
                                ("read arg0==x\n", "a number was expected"),
                                ("read arg0==1x\n", "\"x\" is too much"),
                                ("read arg0&3<1\n", "a mask goes with =="),
                                ("read arg0&3==1|2\n", "alternatives go with one plain =="),
                                ("read arg0<1|2\n", "alternatives go with one plain =="),
                                ("read arg0>1 arg0<9\n", "one comparison for each argument"),
                                ("read\nkill: read\n", ":2: the call stands twice"),
                                ("kill: read arg0==1\nread\n", ":2: the call stands twice"),
                                ("kill:\n", ":1: a call was expected"),
                                ("read # " + "x" * 600 + "\n", ":1: at most"),
                                ("read", ":1: at most")):
            done = self.run_list(text)
            self.assertEqual(done.returncode, 1, text)
            self.assertIn(complaint, done.stderr, text)

    def test_lists_of_what_is_denied(self):
        """Two filters, the groups' names, and a return for each group and error."""
        text = ("# why\n\ndefault: allow\n[tty]\nioctl arg1&0xffffffff==0x5412\n[x]\nptrace\n"
                "enosys: clone3\nstime\n[foreign]\nenosys: other-abis\n")
        done = self.run_list(text)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        names = re.findall(r"^static const .* (x_\w+)\[\] = ", done.stdout, re.M)
        self.assertEqual(names, ["x_filter", "x_foreign_filter", "x_groups"])
        self.assertIn('{"tty", "x", "foreign"}', done.stdout)
        self.assertNotIn("HOLDFAST_CRASH_POINTS", done.stdout)
        plain, foreign = done.stdout.split("x_foreign_filter")
        for part in (plain, foreign):
            returns = set(re.findall(r"\{0x0006, 0, 0, (0x\w+)\}", part))
            self.assertEqual(returns, {"0x7fff0000", "0x00050002", "0x00050004", "0x00050005",
                                       "0x00050007"})
        self.assertGreater(foreign.count("{0x"), plain.count("{0x"))

    def test_refused_lists_of_what_is_denied(self):
        abis = "[foreign]\nenosys: other-abis\n"
        for text, complaint in (("[tty]\nread\n", ":1: groups are for a list that begins"),
                                ("read\ndefault: allow\n", ":2: \"default:\" is no system call"),
                                ("enosys: read\n", ":1: \"enosys:\" is no system call"),
                                ("default: allow\nread\n" + abis, ":2: a group was expected first"),
                                ("default: allow\n[]\n", ":2: a group was expected: [name]"),
                                ("default: allow\n[tty\n", ":2: a group was expected: [name]"),
                                ("default: allow\n[" + "x" * 40 + "]\n", ":2: a group was expected"),
                                ("default: allow\n[a]\n[a]\n", ":3: the group stands twice"),
                                ("default: allow\n[a]\nread\n[b]\nread\n", ":5: the call stands twice"),
                                ("default: allow\n[a]\nenosys:\n", ":3: a call was expected after"),
                                ("default: allow\n[a]\nkill: read\n", "\"kill:\" is no system call"),
                                ("default: allow\n[a]\nread\n", "must say so of other-abis"),
                                ("default: allow\n" + "".join(f"[g{i}]\n" for i in range(33)),
                                 ":34: at most 32 groups")):
            done = self.run_list(text)
            self.assertEqual(done.returncode, 1, text)
            self.assertIn(complaint, done.stderr, text)

    def test_crash_flavour_can_crash(self):
        """It may do what a crash point does, even where the list would kill it for that."""
        crash, release = self.run_list("read\nkill: openat\n").stdout.split("#else")
        self.assertIn("0x80000000", release)
        self.assertGreater(crash.count("{0x"), release.count("{0x") - 1)
        self.assertNotEqual(re.findall(r"\{0x0015.*", crash), re.findall(r"\{0x0015.*", release))

    def test_crash_flavour_dies_of_what_nobody_thought_of(self):
        crash, release = self.run_list("read\n").stdout.split("#else")
        self.assertIn("0x00050001", release)
        self.assertNotIn("0x00050001", crash)

    def test_missing_list(self):
        done = subprocess.run([MKFILTER, f"{self.dir}/none", "x"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No such file", done.stderr)


if __name__ == "__main__":
    harness.main()
