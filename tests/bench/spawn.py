#!/usr/bin/env python3
"""What starting a unit costs: UNITS idle units one after another, as a multiple of a bare loop of
vfork and execve in a process that has nothing but its standard streams. The two take turns, and the
medians of single spawns are compared; of ROUNDS such quotients the median, and the goal for a plain
unit.
"""
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

ROUNDS = int(os.environ.get("ROUNDS", "5"))
UNITS = int(os.environ.get("UNITS", "1000"))
GOAL = 1.3
IDLE = f"{harness.APPS}/idle"
BED = [f"{harness.APPS}/spawnbed", "bench", str(UNITS), IDLE]
ENOSYS = f"{harness.APPS}/enosys"
COPY = "flags=128"  # UNIT_INHERIT_ENVIRONMENT: memory is copied, as for units with secrets

VARIANTS = {
    "plain unit": BED,
    "with User=": [*BED, "uid=1234", "gid=1234"],
    "with secrets (copied)": [*BED, COPY],
    "plain, without clone3": [ENOSYS, "clone3", "--", *BED],
    "plain, without clone3 and close_range": [ENOSYS, "clone3", "close_range", "--", *BED],
}


def main():
    ratios = {name: [] for name in VARIANTS}
    for _ in range(ROUNDS):
        for name, argv in VARIANTS.items():
            out = subprocess.run(argv, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout
            result = json.loads(out)
            ratios[name].append(result["spawn_us"] / result["bare_us"])
    for name, values in ratios.items():
        print(f"{name:40} {statistics.median(values):.2f} (best {min(values):.2f})")
    plain = statistics.median(ratios["plain unit"])
    print(f"{UNITS} idle units: {plain:.2f} x a bare vfork+exec loop, goal {GOAL}")
    return 0 if plain <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
