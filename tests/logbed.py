"""What stands around one holdfast-log in tests and benchmarks: the store as PID 1 would make it, with
plan, board, ring, capture area, output and a pipe for every stream.
"""
import collections
import fcntl
import json
import os
import re
import resource
import signal
import struct
import subprocess
import termios
import threading
import time

import harness

STORE_FD = 3
NO_ID = 0xFFFFFFFF
Entry = collections.namedtuple("Entry", "seq wall unit stream pid flags part_id part text")
ENTRY = struct.Struct("<QQIIiIQII")
RING = struct.Struct("<QIIQQQQII")  # up to the two emissions
IS_JSON, IS_OWN, PART, NO_END, LAST, HAS_KEY = (1 << n for n in range(6))


def _enum(name):
    with open(f"{harness.ROOT}/lib/store.h", encoding="utf-8") as f:
        body = re.search(r"enum %s \{(.*?)\};" % name, f.read(), re.S).group(1)
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    return {word: n for n, word in enumerate(re.findall(r"[A-Z_]+", body))}


KINDS, ROLES = _enum("store_kind"), _enum("role")


def _reserve_store_fd():
    """Nobody else in this process may get the one number that the store must have."""
    try:
        os.fstat(STORE_FD)
    except OSError:
        os.dup2(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), STORE_FD)


_reserve_store_fd()


class Reader(threading.Thread):
    """Reads an fd to its end and keeps all of it; it can be held, so that the pipe fills."""

    def __init__(self, fd):
        super().__init__(daemon=True)
        self.fd = fd
        self.data = bytearray()
        self.changed = threading.Condition()
        self.start()

    def run(self):
        while True:
            try:
                data = os.read(self.fd, 1 << 20)
            except OSError:
                data = b""
            if not data:
                return
            with self.changed:
                self.data += data
                self.changed.notify_all()

    def wait_for(self, needle, deadline=harness.DEADLINE):
        needle = needle.encode() if isinstance(needle, str) else needle
        with self.changed:
            start = 0
            end = time.monotonic() + deadline
            while self.data.find(needle, start) < 0:
                start = max(0, len(self.data) - len(needle))
                if not self.changed.wait(max(0, end - time.monotonic())):
                    raise harness.Timeout(f"no {needle!r} in: ...{bytes(self.data[-2000:])!r}")

    def lines(self):
        with self.changed:
            return bytes(self.data).split(b"\n")

    def objects(self):
        """Every line as JSON; an empty one is what ends a torn line."""
        return [json.loads(line) for line in self.lines() if line]


class Bed:
    def __init__(self, directory, n_units=1, log_format="json", ring_bytes=1 << 20, uid=NO_ID,
                 output_fd=None, program=None, user=None, n_secrets=0):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        made = subprocess.run([f"{harness.APPS}/logbed", directory, str(n_units), log_format,
                               str(ring_bytes), str(uid), str(n_secrets)], check=True, capture_output=True, text=True)
        self.slots_at, self.slot_step, *self.table_at = (int(n) for n in made.stdout.split())
        self.program = program or f"{harness.BIN}/holdfast-log"
        self.user = user
        self.n_units = n_units
        self.log = None
        self.output_read = None
        self.reader = None
        if output_fd is None:
            self.output_read, output_fd = os.pipe()
        self.plan = os.open(f"{directory}/plan", os.O_RDONLY)
        self.board = os.open(f"{directory}/board", os.O_RDWR)
        self.fingerprints = os.open(f"{directory}/fingerprints", os.O_RDONLY)
        self.key = os.open(f"{directory}/key", os.O_RDONLY)
        self.ring = os.memfd_create("ring")
        self.capture = os.memfd_create("capture")
        self.output = output_fd
        self.pipes = [os.pipe() for _ in range(n_units * 2 + len(ROLES) - 1)]
        own = self.own("ROLE_LOG")
        flags = fcntl.fcntl(own, fcntl.F_GETFL)
        fcntl.fcntl(own, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        self._make_store(f"{directory}/store")

    def _make_store(self, path):
        entries = [("PLAN_PUBLIC", 0, self.plan), ("BOARD_PUBLIC", 0, self.board),
                   ("RING", 0, self.ring), ("CAPTURE", 0, self.capture),
                   ("FINGERPRINTS_READ", 0, self.fingerprints), ("FINGERPRINT_KEY", 0, self.key)]
        if self.output >= 0:
            entries.append(("OUTPUT", 0, self.output))
        entries += [("PIPE_READ", i, read) for i, (read, _) in enumerate(self.pipes)]
        with open(path, "rb") as f:
            table = f.read()
        for kind, index, fd in entries:
            table += struct.pack("<IIiI", KINDS["STORE_" + kind], index, fd, 0)
        self.table = os.memfd_create("store")
        os.write(self.table, table)
        for at in self.table_at:
            os.pwrite(self.table, struct.pack("<I", len(entries)), at)
        self.fds = [STORE_FD] + [fd for _, _, fd in entries]

    def read_output(self):
        self.reader = Reader(self.output_read)
        return self.reader

    def unit(self, unit, stream=0):
        return self.pipes[unit * 2 + stream][1]

    def own(self, role):
        return self.pipes[self.n_units * 2 + ROLES[role]][1]

    def set_pid(self, unit, pid):
        os.pwrite(self.board, struct.pack("<i", pid), self.slots_at + unit * self.slot_step)

    def is_pipe_empty(self, stream):
        return fcntl.ioctl(self.pipes[stream][0], termios.FIONREAD, b"\0" * 4) == b"\0" * 4

    def is_all_out(self):
        """Nothing in the pipes, and the output has all that is in the ring."""
        return (all(self.is_pipe_empty(i) for i in range(len(self.pipes))) and
                self.emission()["seq"] == self.ring_header()["last_seq"])

    def start(self, *prefix, **environment):
        os.dup2(self.table, STORE_FD, inheritable=True)
        options = {"user": self.user, "group": self.user} if self.user else {}
        # As PID 1 starts it: a TERM that comes early waits.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        self.log = subprocess.Popen([*prefix, self.program], pass_fds=self.fds, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=self.own("ROLE_LOG"),
                                    env={**os.environ, **environment}, **options)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return self

    def kill(self):
        self.log.kill()
        self.log.wait()

    def stop(self, deadline=harness.DEADLINE):
        """SIGTERM, as PID 1 ends it. Its exit status."""
        self.log.send_signal(signal.SIGTERM)
        return self.log.wait(deadline)

    def close_output(self):
        """No more can come: lets the reader see the end."""
        os.close(self.output)
        self.output = -1
        if self.reader:
            self.reader.join(harness.DEADLINE)

    def close(self):
        if self.log and self.log.poll() is None:
            self.kill()
        if self.output >= 0:
            os.close(self.output)
            self.output = -1
        if self.reader:
            self.reader.join(harness.DEADLINE)
        fds = {fd for pair in self.pipes for fd in pair}
        fds |= {self.plan, self.board, self.ring, self.capture, self.table,
                self.fingerprints, self.key}
        if self.output_read is not None:
            fds.add(self.output_read)
        for fd in fds:
            os.close(fd)

    # ---- what stands in the ring, read as a dump would

    def ring_header(self):
        names = "magic version header_size size head tail last_seq emission reserved"
        data = os.pread(self.ring, RING.size, 0).ljust(RING.size, b"\0")
        return dict(zip(names.split(), RING.unpack(data)))

    def emission(self):
        index = self.ring_header()["emission"] & 1
        values = struct.unpack("<QQQQ", os.pread(self.ring, 32, RING.size + index * 32))
        return dict(zip("position seq n_dropped open_id".split(), values))

    def ring_entries(self):
        """Only while nothing is written."""
        header = self.ring_header()
        data = os.pread(self.ring, header["size"], header["header_size"])
        data += data
        position, entries = header["tail"], []
        while position < header["head"]:
            at = position % header["size"]
            *fields, length = ENTRY.unpack_from(data, at)
            entries.append(Entry(*fields, data[at + ENTRY.size:at + ENTRY.size + length]))
            position += (ENTRY.size + length + 7) & ~7
        return entries


class Writer(threading.Thread):
    """Writes numbered lines; how far it got shows whether it was blocked."""

    def __init__(self, fd, name, count, tail=lambda n: ""):
        super().__init__(daemon=True)
        self.fd, self.name_, self.count, self.tail = fd, name, count, tail
        self.done = 0
        self.start()

    def run(self):
        for n in range(1, self.count + 1):
            data = f"{self.name_} {n}{self.tail(n)}\n".encode()
            while data:
                data = data[os.write(self.fd, data):]
            self.done = n
