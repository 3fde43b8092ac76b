#!/usr/bin/env python3
"""The README's sixty seconds: its commands are run, and what it shows is what they print.

A line "$ …" in a console block is a command, "> …" goes on with it, all else is output. "…" in an
output stands for anything. What differs from run to run (ids, times, durations, widths of columns)
is compared by its shape. With WRITE=1 the output as printed replaces that of the README.
"""
import difflib
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import podman

README = f"{harness.ROOT}/README.md"
SECTION = "## Sixty seconds"
# In the place of `podman`: storage, cgroup and log of the test's own.
WRAPPER = """\
#!/bin/bash
case $1 in
run) set -- run --cgroup-parent /{cgroup} "${{@:2}}" ;;
build) set -- build --isolation chroot "${{@:2}}" ;;
esac
export {exports}
exec {podman} --root {dir}/root --runroot {dir}/run --tmpdir {dir}/tmp "$@"
"""
# Of holdfastctl's table, with the pid as the second group.
ROW = re.compile(r"^(app\.service +running +\S+ +)(\d+)", re.M)
SHAPES = (
    (r"\b[0-9a-f]{64}\b", "ID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "TIME"),
    (r"\b\d+(ms|s)\b", "SPAN"),
    (r"\b\d+(\.\d)?K\b", "SIZE"),
    # A service's last lines may be read when it has gone and has no pid any more.
    (r'"pid":\d+,"stream"', '"stream"'),
    (r'("(?:pid|ms|seq|sender)":)\d+', r"\1N"),
    (r" {2,}", "  "),
    (ROW.pattern, r"\1PID"),
)


def blocks(text):
    """(start, end) of each console block's inside in the section, as offsets into text."""
    begin = text.index(SECTION)
    end = text.index("\n## ", begin + 1)
    for found in re.finditer(r"^```console\n(.*?)^```$", text[begin:end], re.M | re.S):
        yield begin + found.start(1), begin + found.end(1)


def steps(block):
    """[[lines of a command], [lines of its output]]"""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append(([line], []))
        elif found and not found[-1][1] and re.match(r"> |>$", line):
            found[-1][0].append(line)
        elif found:
            found[-1][1].append(line)
        else:
            raise AssertionError(f"output before a command: {line}")
    return found


def normalize(lines):
    text = "\n".join(line.rstrip() for line in lines)
    for pattern, shape in SHAPES:
        text = re.sub(pattern, shape, text, flags=re.M)
    return text


def matches(shown, printed):
    pattern = ".*".join(re.escape(part) for part in normalize(shown).split("…"))
    return re.fullmatch(pattern, normalize(printed), re.S) is not None


class Readme(harness.Case):
    def setUp(self):
        super().setUp()
        if not harness.is_root():
            self.skipTest("podman has its own storage and mounts only as root")
        self.podman = podman.Podman()
        self.addCleanup(self.podman.close)
        podman.ns.unshare(podman.ns.NEWNET)  # the ports are free here
        podman.ns.loopback_up()
        self.make_folder()

    def make_folder(self):
        """Where the commands run: what they read of the sources, and a build/ of its own."""
        os.makedirs(f"{self.dir}/bin")
        os.makedirs(f"{self.dir}/src/build")
        os.symlink(f"{harness.ROOT}/images", f"{self.dir}/src/images")
        os.symlink(f"{harness.ROOT}/build/release", f"{self.dir}/src/build/release")
        exports = " ".join(f"{name}='{value}'" for name, value in self.podman.environment.items()
                           if name != "PATH")
        real = subprocess.run(["which", "podman"], stdout=subprocess.PIPE, text=True, check=True)
        self.script("podman", WRAPPER.format(cgroup=self.podman.cgroup, exports=exports,
                                             podman=real.stdout.strip(), dir=self.podman.dir))
        # In the sources' own folder, where all is built already.
        self.script("make", f'#!/bin/sh\nunset MAKEFLAGS\nexec /usr/bin/make -C {harness.ROOT} "$@"\n')

    def script(self, name, text):
        with open(f"{self.dir}/bin/{name}", "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(f"{self.dir}/bin/{name}", 0o755)

    def run_step(self, command):
        text = "\n".join(line[2:] for line in command)
        done = subprocess.run(
            ["bash", "-c", text], cwd=f"{self.dir}/src", stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": f"{self.dir}/bin:{os.environ['PATH']}"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        return done.stdout.splitlines()

    def test_it_prints_what_it_shows(self):
        with open(README, encoding="utf-8") as f:
            text = f.read()
        complaints, fresh, at, pids = [], "", 0, []
        for start, end in blocks(text):
            fresh += text[at:start]
            at = end
            for command, shown in steps(text[start:end]):
                printed = self.run_step(command)
                pids += [row.group(2) for row in ROW.finditer("\n".join(printed))]
                is_same = matches(shown, printed)
                if not is_same:
                    complaints += command
                    complaints += difflib.unified_diff(shown, printed, "README", "printed", lineterm="")
                fresh += "\n".join([*command, *(shown if is_same else printed)]) + "\n"
        if os.environ.get("WRITE"):
            with open(README, "w", encoding="utf-8") as f:
                f.write(fresh + text[at:])
        self.assertGreater(at, 0, "no console block in the section")
        self.assertEqual((len(pids), len(set(pids))), (2, 1), "one process before and after the kill")
        self.assertEqual(complaints, [], "\n" + "\n".join(complaints))
        self.check_pod(text)

    def check_pod(self, text):
        """Of the image that the console blocks made. It shares the test's network, where they had the ports."""
        pod = re.search(r"^```yaml\n(apiVersion.*?)^```$", text, re.M | re.S).group(1)
        self.write("pod.yaml", pod.replace("spec:\n", "spec:\n  hostNetwork: true\n", 1))
        self.addCleanup(self.podman, "pod", "rm", "--all", "--force", "--time", "0", check=False)
        started = self.run_step([f"$ podman play kube {self.dir}/pod.yaml"])
        probes = re.findall(r"path: (/\w+), port: (\d+)", pod)
        self.assertEqual(len(probes), 3)
        for path, port in probes:
            answer = self.run_step([f"$ curl -sf --retry 10 --retry-all-errors localhost:{port}{path}"])
            self.assertEqual(answer, ["ok"], started)
        status = self.run_step(["$ podman exec hello-app /usr/lib/holdfast/holdfastctl status"])
        self.assertRegex("\n".join(status), r"(?m)^app\.service +running[^\0]*^root +enforced")


if __name__ == "__main__":
    harness.main()
