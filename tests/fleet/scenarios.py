"""What is simulated: an account's quotas, and fleets that boot against them.

The quotas are AWS's defaults for an account and region; docs/fleet.md says which page has each. A
bucket holds what flows in within one second.
"""
import dataclasses
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measured import MEASURED  # noqa: E402
from shipped import FETCH_TIMEOUT, IDS_PER_CALL, NAMES_PER_CALL, SHIPPED  # noqa: E402
from simulator import Policy, Quota, Scenario, batches  # noqa: E402


def per_second(rate):
    return Quota(rate, rate)


DEFAULT = per_second(40)          # the three reads of Parameter Store together
HIGHER_NAMES = per_second(1000)   # the paid tier: GetParameters
HIGHER_PATH = per_second(100)     # … and GetParametersByPath
SECRET_VALUE = per_second(10_000)  # Secrets Manager: GetSecretValue
SECRET_BATCH = per_second(100)    # … and BatchGetSecretValue
KMS = per_second(5500)            # the least of its quotas for symmetric keys

# As the first version had it: each call waits for itself, at most eight times, and a run of 30 s that
# ends without all loses what it has.
FIRST = Policy(attempts_max=8, run_deadline=30)
# Full jitter for each call, but in one run without an end.
FULL = Policy()


def ssm(n, policy=SHIPPED, calls=DEFAULT, size=NAMES_PER_CALL, is_path=False, **more):
    return Scenario(batches(n, size, is_path), calls, KMS, policy=policy, durations=MEASURED,
                    horizon=4 * 3600, **more)


def with_(policy, **changes):
    return dataclasses.replace(policy, **changes)


# name: (what it is, scenario, the fraction of its size at which it is run)
HOW = {
    "names-1": ("by name, 1 secret", ssm(1), 1),
    "names-10": ("by name, 10", ssm(10), 1),
    "names-30": ("by name, 30", ssm(30), 1),
    "path-10": ("by path, 10", ssm(10, is_path=True), 1),
    "path-30": ("by path, 30", ssm(30, is_path=True), 1),
    "singles-10": ("one call for each, 10", ssm(10, size=1), 0.1),
    "singles-30": ("one call for each, 30", ssm(30, size=1), 0.1),
}
TIER = {
    "higher-30": ("higher tier, by name, 30", ssm(30, calls=HIGHER_NAMES), 1),
    "higher-path-30": ("higher tier, by path, 30", ssm(30, calls=HIGHER_PATH, is_path=True), 1),
    "higher-waves": ("higher tier, by name, 30, in six waves", ssm(30, calls=HIGHER_NAMES, waves=6), 1),
    "asm-30": ("Secrets Manager, 30 single calls", ssm(30, calls=SECRET_VALUE, size=1), 0.1),
    "asm-batch-30": ("Secrets Manager, 30 in batches of 20, else singly",
                     ssm(30, calls=SECRET_BATCH, size=IDS_PER_CALL, singles=SECRET_VALUE), 0.1),
    "asm-wait-30": ("the same, if batches were waited for", ssm(30, calls=SECRET_BATCH, size=IDS_PER_CALL), 0.1),
    "asm-one": ("Secrets Manager, one secret with 30 keys", ssm(1, calls=SECRET_VALUE), 1),
}
POLICY = {
    "shipped": ("holdfast", ssm(30), 1),
    "full": ("full jitter for each call, one run", ssm(30, FULL), 0.1),
    "first": ("the same, 8 tries, runs of 30 s", dataclasses.replace(ssm(30, FIRST), horizon=3600), 0.1),
    "cap-40": ("holdfast, waits up to 40 s", ssm(30, with_(SHIPPED, backoff_cap=40)), 1),
    "cap-5": ("holdfast, waits up to 5 s", ssm(30, with_(SHIPPED, backoff_cap=5)), 0.1),
    "splay": ("holdfast, splayed over a minute more", ssm(30, with_(SHIPPED, splay=60)), 1),
    "waves": ("holdfast, boots in six waves", ssm(30, waves=6), 1),
    "no-jitter": ("the same, without jitter", ssm(30, with_(SHIPPED, jitter="none"), waves=6), 0.1),
}
DEADLINE = {
    f"deadline-{seconds}-{n}": (f"FetchTimeoutSec={seconds}, {n} secret{'s' * (n > 1)}",
                                ssm(n, with_(SHIPPED, fetch_deadline=seconds)), 0.1)
    for n in (1, 30) for seconds in (90, FETCH_TIMEOUT, 1200)
}
TABLES = {"how": HOW, "tier": TIER, "policy": POLICY, "deadline": DEADLINE}
assert math.isinf(SHIPPED.fetch_deadline)
