#!/usr/bin/env python3
"""holdfast has every behaviour that tests/peers/compare.py tells inits apart by, and the comparison
can tell: a peer is known to lack one."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
from peers import compare


class TestPeers(harness.Case):
    def setUp(self):
        super().setUp()
        if not harness.is_root():
            self.skipTest("needs root for PID namespaces")

    def test_holdfast_has_them_all(self):
        init = compare.inits()["holdfast"]
        for behaviour in compare.BEHAVIOURS:
            with self.subTest(behaviour.__doc__):
                self.assertTrue(behaviour(init))

    def test_the_comparison_can_tell(self):
        for name, lacks in (("tini", compare.survives_eperm),
                            ("dumb-init", compare.leaves_ignored_signals_alone),
                            ("catatonit", compare.leaves_the_mask_alone)):
            if not shutil.which(name):
                self.skipTest(f"{name} is not installed")
            self.assertFalse(lacks(compare.inits()[name]), name)


if __name__ == "__main__":
    harness.become_subreaper()
    harness.main()
