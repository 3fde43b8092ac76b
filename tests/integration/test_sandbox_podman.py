#!/usr/bin/env python3
"""A strict service's sandbox in containers as Podman starts them: root with the default capabilities, a
user without no_new_privs, and one with nothing. tests/apps/denied.c tries each call."""
import errno
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import instance
import podman

BARE = ("--read-only", "--read-only-tmpfs=false")
RUNGS = {"root": BARE, "uid 1000": ("--user", "1000:1000", *BARE),
         "restricted": ("--user", "1000:1000", "--cap-drop", "ALL",
                        "--security-opt", "no-new-privileges", *BARE)}
ALLOWED = {"tiocgwinsz": errno.ENOTTY, "setsid": 0, "clone": 0, "thread": 0,
           "execveat-path": errno.ENOENT, "personality-asked": 0, "prlimit-own": errno.EINVAL}
ENOSYS = ("clone3", "memfd_create", "memfd_secret", "io_uring_setup", "int80", "x32")
# The runtime's own filter looks at no flag there, and the kernel may not have the other.
NOT_OURS = ("unshare-fs", "memfd_create-noexec")
IMAGE = "holdfast-sandbox"
_podman = None


def setUpModule():
    global _podman
    _podman = podman.of_module()
    context = f"{_podman.dir}/image"
    root = instance.make_tree(context, harness.BIN, apps=("denied",))
    podman.write_configuration(f"{root}/etc/holdfast", {
        "x.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/denied\n",
    }, "[Health]\nListen=\n")
    with open(f"{context}/Dockerfile", "w", encoding="utf-8") as f:
        f.write("FROM scratch\nCOPY root/ /\nENTRYPOINT [\"/usr/lib/holdfast/holdfast\"]\n")
    _podman.build(IMAGE, context)


class InPodman(harness.Case):
    def told(self, options):
        container = _podman.run(IMAGE, options=options)
        self.addCleanup(container.remove)
        container.wait_for('"calls":')
        container.wait_for("the instance is running")
        self.assertEqual(container.stop(), 0, container.raw_log)
        lines = [json.loads(line) for text in container.logs for line in text.splitlines()]
        return next(line for line in lines if "calls" in line), \
            next(line for line in lines
                 if line.get("event") == "protection" and line["name"] == "services")

    def test_every_call_in_every_container(self):
        for rung, options in RUNGS.items():
            with self.subTest(rung=rung):
                one, said = self.told(options)
                for word, number in one["calls"].items():
                    if word not in NOT_OURS:
                        denied = errno.ENOSYS if word in ENOSYS else errno.EPERM
                        self.assertEqual(number, ALLOWED.get(word, denied), word)
                # The runtime's, and ours.
                self.assertEqual((one["Seccomp_filters"], one["NoNewPrivs"]), ("2", "1"))
                # Without CAP_SETPCAP no_new_privs stands in for the bounding set.
                self.assertEqual(int(one["CapEff"], 16) & ~(0x405fb if rung == "root" else 0), 0)
                if rung == "root":
                    self.assertEqual(int(one["CapBnd"], 16) & ~0x405fb, 0)
                self.assertEqual(said["level"], "full", said)
                self.assertIn("strict 1; with a filter 1 of 1", json.dumps(said))


if __name__ == "__main__":
    harness.main()
