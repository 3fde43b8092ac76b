#!/usr/bin/env python3
"""Planted values of secrets, from each source and by each delivery, are searched for in all that a core
dump, /proc or an open fd of holdfast's processes would show: they are in the service, and in the two
kinds of memory files that are there to carry them."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

CTL = f"{harness.BIN}/holdfastctl"
VALUES = {source: f"l3aked-{source}-Aiw6eeph" for source in ("file", "env", "cred")}
NEEDLES = [value.encode() for value in VALUES.values()]
OWN = ("holdfast-supervisor", "holdfast-log", "holdfast-health")
# The environment as PID 1 was given it, and a unit's values; who holds them does not map them.
CARRIERS = re.compile(r"/memfd:holdfast-(environ|secrets?)\b|/credentials/\S+ \(deleted\)$|/l3aked-source$")
CARRIER_HOLDERS = ("holdfast", "holdfast-supervisor")

SERVICE = """#!/bin/sh
[ "$FILE_ENV" = l3aked-file-Aiw6eeph ] && [ "$ENV_ENV" = l3aked-env-Aiw6eeph ] || exit 1
[ "$CRED_ENV" = l3aked-cred-Aiw6eeph ] && [ "$(cat /proc/self/fd/$FILE_FD)" = "$FILE_ENV" ] || exit 1
[ "$(cat $CREDENTIALS_DIRECTORY/file)" = "$FILE_ENV" ] && [ "$(cat $CREDENTIALS_DIRECTORY/env)" = "$ENV_ENV" ] || exit 1
echo it has all
exec sleep 1000
"""


def fds_holding(pid, needles):
    """Names of the regular files that the process has open and that have a needle in them."""
    found = set()
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
        if any(needle in data for needle in needles):
            found.add(name)
    return found


class Leaks(instance.Case):
    def start(self):
        script = self.write("service.sh", SERVICE, mode=0o755)
        source = self.write("l3aked-source", VALUES["file"], mode=0o400)
        self.write("credentials/secret", VALUES["cred"])
        unit = (f"[Service]\nExecStart={script}\n[X-Holdfast]\n"
                f"Secret=FILE_ENV file:{source}\nSecret=ENV_ENV env:GIVEN\nSecret=CRED_ENV cred:secret\n"
                f"SecretFile=file file:{source}\nSecretFile=env env:GIVEN\nSecretFd=FILE_FD file:{source}\n")
        whole = self.instance({"web.service": unit}, ["web.service"], health=True,
                              env={"GIVEN": VALUES["env"], "CREDENTIALS_DIRECTORY": f"{self.dir}/credentials"})
        whole.wait_running().wait_for('"it has all"')
        return whole

    def check_process(self, name, pid):
        for part in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{part}", "rb") as f:
                data = f.read()
            for needle in NEEDLES:
                self.assertNotIn(needle, data, (name, part))
        self.assertEqual(harness.memory_holding(pid, NEEDLES), [], name)
        for held in fds_holding(pid, NEEDLES):
            self.assertIn(name, CARRIER_HOLDERS, held)
            self.assertRegex(held, CARRIERS, name)

    def test_no_process_of_ours_would_leak_one(self):
        whole = self.start()
        members = {"holdfast": whole.init, **{name: whole.member(name) for name in OWN}}
        for name, pid in members.items():
            self.check_process(name, pid)
        # The search finds what is there: the service has all three.
        service = next(pid for pid in harness.children(whole.init) if pid not in members.values())
        self.assertEqual({needle for _, needle in harness.memory_holding(service, NEEDLES)}, set(NEEDLES))
        # And PID 1's own environment was moved, not lost: its carrier has what env: is read from.
        self.assertTrue(any("memfd" in held for held in fds_holding(whole.init, [VALUES["env"].encode()])))
        self.assertEqual(whole.stop(), 0)

    def test_successors_hold_no_more_than_the_first(self):
        whole = self.start()
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
        whole = self.start()
        shown = {"dump": whole.inside(CTL, "dump").stdout, "status": whole.inside(CTL, "status", "--json").stdout,
                 "health": str(whole.get("/health")).encode(), "metrics": str(whole.get("/metrics")).encode()}
        for name in ("plan", "board", "ring"):
            shown[name] = whole.inside("cat", f"/run/holdfast/{name}").stdout
        self.assertEqual(whole.stop(), 0)
        shown["output"] = whole.text.encode()
        for where, text in shown.items():
            for needle in NEEDLES:
                self.assertNotIn(needle, text, where)


if __name__ == "__main__":
    harness.main()
