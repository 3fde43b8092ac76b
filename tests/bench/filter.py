#!/usr/bin/env python3
"""What a service's sandbox costs: system calls under the whole list of what is denied, as multiples of
the same without a filter; and starting UNITS idle units with a filter that denies nothing, with the list,
and with the list and root's bounding set, as multiples of starting them with none. Medians of ROUNDS
quotients, the two of a quotient measured one after the other.
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
BED = f"{harness.APPS}/spawnbed"
# A supervisor without CAP_SYS_ADMIN, so that only no_new_privs brings a filter.
CAPABILITIES = "capabilities=0x405fb"
NO_NEW_PRIVS, BOUNDING = 1 << 6, 1 << 17  # UNIT_NO_NEW_PRIVILEGES, UNIT_BOUNDING (lib/plan.h)
NONE = [CAPABILITIES]
LIST = [CAPABILITIES, f"flags={NO_NEW_PRIVS}", "denied=0xffffffff"]
VARIANTS = {
    "a filter that denies nothing": [CAPABILITIES, f"flags={NO_NEW_PRIVS}"],
    "the list": LIST,
    "the list and a bounding set": [CAPABILITIES, f"flags={NO_NEW_PRIVS | BOUNDING}",
                                    "denied=0xffffffff", "bounding=0x405fb"],
}


def bed(*argv):
    out = subprocess.run([BED, *argv], check=True, stdout=subprocess.PIPE,
                         stdin=subprocess.DEVNULL).stdout
    return json.loads(out)


def calls(keys):
    return json.loads(bed("run", *keys, "--", f"{harness.APPS}/callcost", "20")["stdout"])


def spawn_us(keys):
    result = bed("bench", str(UNITS), f"{harness.APPS}/idle", *keys)
    return result["spawn_us"] / result["bare_us"]


def main():
    by_call, by_variant = {}, {name: [] for name in VARIANTS}
    for _ in range(ROUNDS):
        without, under = calls(NONE), calls(LIST)
        for name, ns in under.items():
            by_call.setdefault(name, []).append((ns / without[name], ns - without[name]))
        for name, keys in VARIANTS.items():
            by_variant[name].append(spawn_us(keys) / spawn_us(NONE))
    for name, found in by_call.items():
        ratio, more = (statistics.median(column) for column in zip(*found))
        print(f"{name + ' under the list':40} {ratio:.2f} ({more:+.0f} ns)")
    for name, found in by_variant.items():
        print(f"{'a start with ' + name:40} {statistics.median(found):.2f} (best {min(found):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
