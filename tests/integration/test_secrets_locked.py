#!/usr/bin/env python3
"""The program that fetches secrets, taken over: while it waits for an answer with values in hand, it is made
to do what an intruder would, and what it could not do before."""
import errno
import os
import shutil
import signal
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
from inject import IS_POSSIBLE, Killed, Puppet
from remote import PROGRAM, Remote
from servers.aws import Aws, Parameter, Secret
from servers.pki import Authority

READ, WRITE, CREATE = os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_CREAT
AT_FDCWD = -100
# What it answers with instead of doing it, and goes on.
REFUSED = (("setuid", 0), ("prctl", 4, 1), ("unlinkat", AT_FDCWD, "/etc/hosts", 0), ("openat", AT_FDCWD, "/etc/hosts", WRITE),
           ("openat", AT_FDCWD, "/tmp/holdfast-intruder", CREATE, 0o600), ("open", "/etc/hosts", os.O_RDWR, 0),
           ("mmap", 0, 4096, 7, 0x22, -1, 0), ("socket", 17, 3, 0))
# What it dies of.
KILLED = (("execve", "/bin/true", 0, 0), ("execveat", AT_FDCWD, "/bin/true", 0, 0, 0), ("fork",), ("clone", 17, 0, 0, 0, 0),
          ("ptrace", 16, 1, 0, 0), ("process_vm_readv", 1, 0, 0, 0, 0, 0), ("pidfd_getfd", 0, 0, 0),
          ("mount", "none", "/tmp", "tmpfs", 0, 0))
READABLE = ("/etc/hosts", "/etc/ssl/certs/ca-certificates.crt", "/lib64/ld-linux-x86-64.so.2")
OTHER = ("/usr/bin/env", "/etc/passwd", "/proc/self/environ")  # of a kind that any uid may read


@unittest.skipUnless(IS_POSSIBLE and harness.is_root(), "it is written for x86-64, and traces as root")
class Locked(harness.Case):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        authority = Authority(folder.name)
        self.aws = Aws(authority)
        self.addCleanup(self.aws.close)
        self.aws.parameters["x"] = [Parameter("v")]
        self.aws.secrets["s"] = Secret("w")
        self.settings = {"AWS_ENDPOINT_URL": self.aws.url, "AWS_CA_BUNDLE": authority.ca, "AWS_REGION": self.aws.region,
                         "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": self.aws.keys["AKIDEXAMPLE"][0]}

    def taken_over(self, work, wrap=()):
        """work(puppet) while the helper waits for its second service; the result of the run."""
        self.aws.forget()
        self.aws.released.clear()
        self.aws.fault("GetSecretValue", kind="hang")
        # A copy: what a filter refuses to our programs where they were built fails tests/run.py.
        program = shutil.copy(PROGRAM, self.dir)
        remote = Remote(self.dir, self.settings, program=program, wrap=wrap)
        self.addCleanup(remote.close)
        results = []
        thread = threading.Thread(target=lambda: results.append(remote.run(("A", "ssm:x"), ("B", "asm:s"))))
        thread.start()
        try:
            harness.wait_until(lambda: self.aws.counts().get("GetSecretValue"), "the call that hangs")
            with Puppet(remote.helper()) as puppet:
                work(puppet)
        finally:
            self.aws.released.set()
            thread.join(harness.DEADLINE)
        return results[0]

    def test_what_is_refused(self):
        def work(puppet):
            for call in REFUSED:
                with self.subTest(call=call):
                    self.assertEqual(puppet.call(*call), -errno.EPERM)
        # As if nothing had been: it fetches the second one anew.
        result = self.taken_over(work)
        self.assertEqual((result.status, result.values), (0, {"A": "v", "B": "w"}), result.err)
        self.assertFalse(os.path.exists("/tmp/holdfast-intruder"))

    def test_what_ends_it(self):
        for call in KILLED:
            with self.subTest(call=call):
                def work(puppet, call=call):
                    with self.assertRaises(Killed) as killed:
                        puppet.call(*call)
                    self.assertEqual(killed.exception.args, (signal.SIGSYS,))
                result = self.taken_over(work)
                self.assertEqual((result.status, result.raw), (-signal.SIGSYS, b""))

    def opened(self, puppet, path):
        found = puppet.call("openat", AT_FDCWD, path, READ)
        return 0 if found >= 0 else found

    def test_what_it_may_read(self):
        source = self.write("readable", "for everybody")
        has_landlock = []
        def work(puppet):
            for path in READABLE:
                self.assertEqual(self.opened(puppet, path), 0, path)
            has_landlock.append(self.opened(puppet, source) == -errno.EACCES)
            for path in OTHER:
                self.assertEqual(self.opened(puppet, path), -errno.EACCES if has_landlock[0] else 0, path)
            self.assertEqual(self.opened(puppet, "/etc/shadow"), -errno.EACCES)
        result = self.taken_over(work)
        said = [event["event"] for event in result.events].count("sandbox-reduced")
        self.assertEqual(said, 0 if has_landlock[0] else 1)

    def test_without_landlock_it_reads_what_its_uid_may_and_says_so(self):
        source = self.write("readable", "for everybody")
        def work(puppet):
            self.assertEqual(self.opened(puppet, source), 0)
            self.assertEqual(self.opened(puppet, "/etc/shadow"), -errno.EACCES)
            self.assertEqual(puppet.call("openat", AT_FDCWD, source, WRITE), -errno.EPERM)
        result = self.taken_over(work, wrap=(f"{harness.APPS}/enosys", "landlock_create_ruleset", "--"))
        self.assertEqual(result.status, 0, result.err)
        self.assertIn("Landlock cannot be had (the kernel has none)", result.event("sandbox-reduced")["msg"])


if __name__ == "__main__":
    harness.main()
