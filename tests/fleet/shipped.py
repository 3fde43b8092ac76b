"""What holdfast does, as numbers, read from its sources: the simulation repeats none of them."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from simulator import Policy  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def constant(path, name):
    """The first number of a #define."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        found = re.search(rf"^#define\s+{name}\s+\(?(\d+)", f.read(), re.M)
    if not found:
        raise ValueError(f"{path}: no #define {name} with a number; the simulation needs it")
    return int(found.group(1))


NAMES_PER_CALL = constant("secrets/ssm.c", "NAMES_PER_CALL")
IDS_PER_CALL = constant("secrets/asm.c", "IDS_PER_CALL")
FETCH_TIMEOUT = constant("units/conf.c", "FETCH_TIMEOUT_US")  # times USEC_PER_SEC

# The first fetch is one run up to the deadline (supervisor/secrets.c).
SHIPPED = Policy(
    connections=constant("secrets/http.h", "HTTP_CONNECTIONS"),
    backoff_base=constant("secrets/pace.h", "PACE_FIRST_MS") / 1000,
    backoff_cap=constant("secrets/pace.h", "PACE_MAX_MS") / 1000,
    cap_after=constant("secrets/pace.h", "PACE_BEGUN_MS") / 1000,
    retry_base=constant("supervisor/spread.c", "BACKOFF_FIRST_US"),
    retry_cap=constant("supervisor/report.c", "BACKOFF_FETCH_US"),
    is_paced=True)
