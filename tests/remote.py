"""holdfast-secrets-remote alone, as the supervisor starts it: a request with every field, memory for
values, state, report and old values, and what came of it."""
import fcntl
import json
import os
import struct
import subprocess

import harness

BED = f"{harness.APPS}/secretsbed"
PROGRAM = f"{harness.BIN}/holdfast-secrets-remote"
MAGIC = 0x7473657571657273
FETCH, REFRESH, REVOKE = 0, 1, 2
FOR_LOG = 3
ENVIRONMENT, FILE, FD = 0, 1, 2
OPTIONAL, CONFIG, PATH = 1, 2, 4
NEVER = (1 << 64) - 1
OUTCOMES = ("ok", "not-found", "denied", "malformed", "temporary", "unreachable", "failed")
RUN_FLAGS = {"changed": 1, "kept": 2}
ITEM_FLAGS = {"config": 1, "kept": 2, "absent": 4, "changed": 8}


def memory(data=b""):
    """A memfd far above the numbers that a store takes for itself."""
    low = os.memfd_create("test", 0)
    fd = fcntl.fcntl(low, fcntl.F_DUPFD, 100)
    os.close(low)
    os.write(fd, data)
    return fd


def content(fd):
    return os.pread(fd, os.fstat(fd).st_size, 0)


def padded(data):
    return data + b"\0" * (-len(data) % 8)


def encode(items, settings, operation, deadline_ms, fds, uid=990, unit="web.service"):
    name = unit.encode() + b"\0"
    parts = padded(name)
    for setting in settings:
        text = setting.encode() + b"\0"
        parts += padded(struct.pack("=I", len(text)) + text)
    for name_, reference, delivery, flags in items:
        texts = [name_.encode() + b"\0", reference.encode() + b"\0"]
        head = struct.pack("=IIIiII", delivery, flags, 0o400, -1, *map(len, texts))
        parts += padded(head + b"".join(texts))
    return struct.pack("=QIIQIIIIiiiIII", MAGIC, 3, len(items), 64 + len(parts), uid, len(name), operation,
                       deadline_ms, *fds, len(settings), FOR_LOG, 0) + parts


def records(raw):
    found, at = {}, 0
    while at < len(raw):
        name, value = struct.unpack_from("=II", raw, at)
        text = raw[at + 8:at + 8 + name + 1 + value]
        found[text[:name].decode()] = text[name + 1:]
        at += 8 + (name + value + 2 + 3 & ~3)
    return found


def names_of(flags, names):
    return {name for name, bit in names.items() if flags & bit}


class Report:
    def __init__(self, raw):
        (_, _, self.count, self.status, flags, self.next_ms, self.lease_end_ms, self.retry_ms,
         self.retries) = struct.unpack_from("=QIIiIQQII", raw)
        self.flags = names_of(flags, RUN_FLAGS)
        self.items = []
        for i in range(self.count):
            outcome, item_flags, length, lease, expires, version = struct.unpack_from("=IIIIq64s", raw, 432 + 88 * i)
            self.items.append({"outcome": OUTCOMES[outcome], "flags": names_of(item_flags, ITEM_FLAGS),
                               "length": length, "lease": lease, "expires": expires,
                               "version": version.rstrip(b"\0").decode()})


class Result:
    def __init__(self, done, raw, report, state):
        self.err, self.raw, self.state = done.stderr, raw, state
        self.events = [json.loads(line) for line in done.stderr.splitlines()]
        self.status = int(done.stdout.split("exit ")[1])
        self.report = Report(report) if report else None
        self.report_raw = report
        self.values = {name: value.decode(errors="surrogateescape") for name, value in records(raw).items()}

    def event(self, name):
        return next(e for e in self.events if e["event"] == name)


class Remote:
    """A unit's secrets over several runs: the state and the values of the last good one are kept."""

    def __init__(self, folder, settings=(), environment=None, program=PROGRAM, uid=990, wrap=()):
        self.folder, self.program, self.uid, self.wrap = folder, program, uid, wrap
        self.settings, self.environment = dict(settings), environment or {}
        self.state, self.values = memory(), None

    def close(self):
        for fd in (self.state, self.values):
            if fd is not None:
                os.close(fd)

    def helper(self):
        """The pid of the helper that runs now, by what it has open."""
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.readlink(f"/proc/{entry}/exe").endswith(os.path.basename(self.program)) and \
                        os.stat(f"/proc/{entry}/fd/{self.state}").st_ino == os.fstat(self.state).st_ino:
                    return int(entry)
            except OSError:
                continue
        raise AssertionError("no helper runs")

    def run(self, *items, operation=FETCH, deadline_ms=15000, **settings):
        """Items are (name, reference[, delivery[, flags]])."""
        filled = [(*item, *((ENVIRONMENT, 0)[len(item) - 2:])) for item in items]
        report = memory()
        old = self.values if operation != FETCH and self.values is not None else -1
        chosen = {**self.settings, **settings}
        request = encode(filled, [f"{k}={v}" for k, v in chosen.items() if v is not None], operation, deadline_ms,
                         (self.state, report, old), uid=self.uid)
        output = os.path.join(self.folder, "values")
        done = subprocess.run([*self.wrap, BED, self.program, output, "-", "0"], input=request.decode("latin-1"),
                              encoding="latin-1", env=self.environment, capture_output=True, check=True,
                              timeout=harness.DEADLINE + 10,
                              pass_fds=[fd for fd in (self.state, report, old) if fd >= 0])
        with open(output, "rb") as f:
            raw = f.read()
        os.unlink(output)
        result = Result(done, raw, content(report), content(self.state))
        os.close(report)
        if result.status == 0 and operation != REVOKE:
            if self.values is not None:
                os.close(self.values)
            self.values = memory(raw)
        return result
