#!/usr/bin/env python3
"""How often one who is very quick gets a word out: `sh -c "echo ..."`, which is over before 100 ms are, and so
may be over before it is found where nothing but the detector stands in its way. By the way in, on each rung;
TRIES of each (100). As root. Whoever lives longer is killed: tests/integration/test_intruders.py.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "integration")]
import test_intruders as bed  # noqa: E402

TRIES = int(os.environ.get("TRIES", "100"))
QUICK = ("/bin/sh", "-c", "echo $((21*2))-escaped")
WAYS = {"exec": bed.by_exec(*QUICK), "nsenter": bed.enter("-a", argv=QUICK)}


def main():
    machine = bed.make_bed()
    try:
        bed.build_victim(f"{machine.dir}/image")
        for rung in bed.RUNGS:
            for runtime in ("crun", "runc"):
                victim = bed.Victim(bed.RUNGS[rung], runtime=runtime)
                for name, way in WAYS.items():
                    if name == "nsenter" and runtime == "runc":
                        continue
                    escaped = sum(bed.ESCAPED in way(victim, 0) for _ in range(TRIES))
                    print(f"{rung}, {name if name == 'nsenter' else runtime}: {escaped} of {TRIES}", flush=True)
                victim.container.remove()
    finally:
        machine.close()


if __name__ == "__main__":
    main()
