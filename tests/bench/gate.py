#!/usr/bin/env python3
"""What the exec gate costs a service that executes programs: a loop of spawns below an instance that has the gate,
and below one that is no init of a PID namespace and so has none, in turns. Everything else is the same for both.

TURNS turns of ROUNDS spawns of a static program (one question) and of a dynamic one (two); the ratio is that of the
medians of all rounds. As root, in the first user namespace."""
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import instance

TURNS = int(os.environ.get("TURNS", "5"))
ROUNDS = int(os.environ.get("ROUNDS", "1000"))
PROGRAMS = {"static": f"{harness.APPS}/nothing", "dynamic": "/bin/true"}
# A shell that stays PID 1, so that holdfast is not.
BELOW = ("sh", "-c", '"$@"; exit $?', "sh")
UNIT = ("[Service]\nType=oneshot\nExecStart=/bin/sh -c '{stopwatch} {rounds} {program} >{out}'\n"
        "[X-Holdfast]\nSandbox=none\n")


def measure(folder, program, wrap):
    """The microseconds of each round, and whether there was a gate."""
    out = f"{folder}/out"
    unit = UNIT.format(stopwatch=f"{harness.APPS}/stopwatch", rounds=ROUNDS, program=program, out=out)
    with instance.Instance(folder, {"loop.service": unit}, ["loop.service"], wrap=wrap) as run:
        status = run.wait(120)
        if status != 0:
            raise SystemExit(f"the instance ended with {status}:\n{run.text}")
        is_gated = '"gate-started"' in run.text
    with open(out, encoding="ascii") as f:
        return [float(line.split()[0]) for line in f], is_gated


def main():
    if not harness.is_root():
        raise SystemExit("as root: fanotify(7) needs it")
    print(f"{'':10}{'none':>10}{'gate':>10}{'ratio':>8}")
    for name, program in PROGRAMS.items():
        times = {False: [], True: []}
        for _ in range(TURNS):
            for wrap in (BELOW, ()):
                with tempfile.TemporaryDirectory() as folder:
                    rounds, is_gated = measure(folder, program, wrap)
                assert is_gated == (wrap == ()), "one with, one without"
                times[is_gated] += rounds
        none, gate = (statistics.median(times[g]) for g in (False, True))
        print(f"{name:10}{none:>7.0f} µs{gate:>7.0f} µs{gate / none:>8.2f}")


if __name__ == "__main__":
    main()
