"""What a fetch takes: written by tests/bench/fetch.py --measure, by medians of 60 runs."""
from simulator import Durations

DATE = "2026-11-21"
# 100 parameters by name from a service that takes 8 ms for an answer; seconds.
MEASURED = Durations(start=0.0231, handshake=0.0090, call=0.0084, end=0.0037)
