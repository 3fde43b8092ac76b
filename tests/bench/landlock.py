#!/usr/bin/env python3
"""What it costs to hold a service to its files: entering a rule set that is there (what most starts
do), making one first (a unit with directories or mounts of its own), each in microseconds beside a
fork; and open(2) under the rules, as a multiple of one without. The rules are as many as a strict unit
has on a small image, and on one with Debian's PostgreSQL."""
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

ROUNDS = int(os.environ.get("ROUNDS", "5"))
FORKS = int(os.environ.get("FORKS", "500"))
FILE = "/usr/share/zoneinfo/Europe/Berlin"
GOAL_OPEN = 2


def paths(count):
    """FILE's own hierarchy and other folders of this machine."""
    found = ["/usr/share"]
    for folder, folders, _ in os.walk("/usr/lib"):
        found += [f"{folder}/{name}" for name in folders if not os.path.islink(f"{folder}/{name}")]
        if len(found) >= count:
            break
    return found[:count]


def main():
    worst = 0
    for count in (30, 150):
        argv = [f"{harness.APPS}/landbench", str(FORKS), FILE, *paths(count)]
        runs = [json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)
                for _ in range(ROUNDS)]
        enter, make, ratio = (statistics.median(values) for values in (
            [r["enter"] - r["fork"] for r in runs], [r["make"] - r["fork"] for r in runs],
            [r["open_held"] / r["open"] for r in runs]))
        print(f"{count:4} rules: entering {enter:.0f} us, making and entering {make:.0f} us, "
              f"open x {ratio:.2f}")
        worst = max(worst, ratio)
    print(f"open under rules: {worst:.2f} x, goal {GOAL_OPEN}")
    return 0 if worst <= GOAL_OPEN else 1


if __name__ == "__main__":
    sys.exit(main())
