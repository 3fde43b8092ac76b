#!/usr/bin/env python3
"""What holdfast costs in the place of tini and dumb-init: time of a whole run, memory of PID 1.

Time: each init runs a command that ends at once, in turns, ROUNDS times; the ratios are medians of
the quotients within each round, to the bare static program that vforks, executes and waits.
Memory: one sleeping command under each, as PID 1 of a PID namespace of its own (as root).
"""
import os
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

ROUNDS = int(os.environ.get("ROUNDS", "3000"))
BARE = f"{harness.APPS}/spawn"
NOTHING = f"{harness.APPS}/nothing"
PEERS = {
    "tini": ["-s", "--"],
    "tini-static": ["-s", "--"],
    "dumb-init": [],
    "catatonit": ["--"],
}


def inits():
    """(name, argv before the command), the bare one first."""
    yield "bare vfork+exec", [BARE]
    yield "holdfast", [harness.HOLDFAST, "--"]
    for name, options in PEERS.items():
        path = shutil.which(name)
        if path:
            yield name, [path, *options]


def measure_time(chosen):
    command = [f"{harness.APPS}/stopwatch", str(ROUNDS)]
    for i, (_, argv) in enumerate(chosen):
        command += ([":::"] if i else []) + [*argv, NOTHING]
    # catatonit and tini complain of not being PID 1.
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    rounds = [[float(x) for x in line.split()] for line in out.decode().splitlines()]
    for i, column in enumerate(zip(*rounds)):
        ratios = [row[i] / row[0] for row in rounds]
        yield statistics.median(column), statistics.median(ratios), min(column)


def memory_of(argv):
    """(RSS, private dirty) in kB of PID 1 that waits for a sleeping command."""
    outer = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"]
    with harness.Process([*outer, *argv, "/bin/sh", "-c", "echo up; exec sleep 1000"]) as process:
        process.wait_for("up")
        init = harness.children(process.pid)[0]
        fields = {}
        with open(f"/proc/{init}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                words = line.split()
                if len(words) == 3:
                    fields[words[0]] = int(words[1])
        return fields["Rss:"], fields["Private_Dirty:"]


def main():
    # Pages of a program that was just built count as dirty until they are on the disk.
    os.sync()
    chosen = list(inits())
    print(f"{'':18}{'median':>10}{'ratio':>8}{'least':>10}{'RSS':>10}{'private dirty':>16}")
    for (name, argv), (median, ratio, least) in zip(chosen, measure_time(chosen)):
        memory = "{:>7} kB{:>13} kB".format(*memory_of(argv)) if harness.is_root() else ""
        print(f"{name:18}{median:>7.0f} µs{ratio:>8.2f}{least:>7.0f} µs{memory}")


if __name__ == "__main__":
    main()
