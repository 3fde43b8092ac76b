#!/usr/bin/env python3
"""holdfast-log: what it makes of lines, and that nothing is lost by kills, slow readers or floods."""
import collections
import glob
import json
import os
import random
import re
import select
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import logbed
from harness import wait_until

CRASH_LOG = f"{harness.ROOT}/build/crash/bin/holdfast-log"
ENOSYS = f"{harness.APPS}/enosys"
LINE_MAX = 16384
NOBODY_ELSE = 64871  # a uid that no other process has
BIG_RING = 64 << 20


class Case(harness.Case):
    def bed(self, **options):
        bed = logbed.Bed(self.dir, **options)
        self.addCleanup(bed.close)
        return bed

    def run_through(self, data, stream=0, **options):
        """Lines of one stream, from the pipe to the end of the output."""
        bed = self.bed(**options)
        reader = bed.read_output()
        bed.start(ASAN_OPTIONS="detect_leaks=0")  # which needs ptrace; we are not dumpable
        writer = threading.Thread(target=write_all, args=(bed.unit(0, stream), data), daemon=True)
        writer.start()
        writer.join(harness.DEADLINE)
        self.assertFalse(writer.is_alive(), "the writer was blocked")
        self.assertEqual(bed.stop(), 0)
        bed.close_output()
        return reader


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def of_unit(objects, unit="unit-0000.service"):
    return [o for o in objects if o.get("holdfast", {}).get("unit") == unit]


class Lines(Case):
    """What one line becomes."""

    def test_plain_and_structured_lines(self):
        bed = self.bed(n_units=2)
        reader = bed.read_output()
        bed.set_pid(0, 4711)
        bed.start()
        os.write(bed.unit(0), b'hello\n\n{"level":"info","x":[1,{"y":null}]}\n \t{} \r\n')
        reader.wait_for('"seq":5')
        os.write(bed.unit(1, 1), b'{"a":1\n"text"\nnul\0 \xff \xe2\x82\xac "\\\n')
        reader.wait_for('"nul')
        lines = of_unit(reader.objects())
        envelope = {"unit": "unit-0000.service", "pid": 4711, "stream": "stdout"}
        seqs = [o["holdfast"].pop("seq") for o in lines]
        self.assertEqual(seqs, list(range(seqs[0], seqs[0] + 4)))
        for o in lines[:2]:
            self.assertRegex(o.pop("ts"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(lines, [
            {"msg": "hello", "holdfast": envelope}, {"msg": "", "holdfast": envelope},
            {"level": "info", "x": [1, {"y": None}], "holdfast": envelope}, {"holdfast": envelope}])
        others = of_unit(reader.objects(), "unit-0001.service")
        self.assertEqual([o["msg"] for o in others], ['{"a":1', '"text"', 'nul\0 \ufffd € "\\'])
        self.assertEqual([o["holdfast"]["stream"] for o in others], ["stderr"] * 3)
        self.assertNotIn("pid", others[0]["holdfast"])

    def test_an_application_keeps_its_own_holdfast_key(self):
        reader = self.run_through(b'{"holdfast":1,"a":2}\n{"h\\u006fldfast":3}\n'
                                  b'{"holdfast":1,"_holdfast":2}\n{"x":{"holdfast":1}}\n')
        first, escaped, both, nested = [o for o in reader.objects() if "event" not in o]
        self.assertEqual((first["holdfast"], first["_holdfast"]["unit"]), (1, "unit-0000.service"))
        self.assertEqual((escaped["holdfast"], "_holdfast" in escaped), (3, True))
        self.assertEqual(both["msg"], '{"holdfast":1,"_holdfast":2}')
        self.assertEqual(nested["holdfast"]["unit"], "unit-0000.service")

    def test_events_of_holdfast(self):
        bed = self.bed()
        reader = bed.read_output()
        bed.start()
        os.write(bed.own("ROLE_SUPERVISOR"),
                 b'{"level":"info","event":"unit-started","by":"holdfast-supervisor","msg":"m"}\n'
                 b'Assertion failed\n')
        reader.wait_for("Assertion")
        started, = [o for o in reader.objects() if o["event"] == "unit-started"]
        self.assertEqual(list(started), ["ts", "level", "event", "by", "msg", "holdfast"])
        self.assertEqual(list(started["holdfast"]), ["seq"])
        stray, = [o for o in reader.objects() if o["event"] == "unstructured"]
        self.assertEqual((stray["by"], stray["msg"], stray["level"]),
                         ("holdfast-supervisor", "Assertion failed", "warning"))

    def test_long_lines_come_in_parts(self):
        texts = ["x" * (1 << 20), "€" * 40000, "\x01\"\\" * 9000, "a" * 15360, "b" * 15361, "c" * LINE_MAX]
        reader = self.run_through("".join(t + "\n" for t in texts).encode(), ring_bytes=BIG_RING)
        lines = of_unit(reader.objects())
        self.assertLessEqual(max(len(line) for line in reader.lines()), LINE_MAX)
        got, parts = [], []
        for o in lines:
            parts.append(o)
            if "id" in o["holdfast"] and "of" not in o["holdfast"]:
                continue
            if len(parts) > 1:
                self.assertEqual({p["holdfast"]["id"] for p in parts}, {parts[0]["holdfast"]["seq"]})
                self.assertEqual([p["holdfast"]["n"] for p in parts], list(range(1, len(parts) + 1)))
                self.assertEqual(o["holdfast"]["of"], len(parts))
            got.append("".join(p["msg"] for p in parts))
            parts = []
        self.assertEqual(got, texts)

    def test_an_object_is_kept_whole_up_to_the_limit(self):
        whole = {"k" + str(n): '"' for n in range(1240)}
        long = {"k": "v" * 20000}
        data = "".join(json.dumps(o, separators=(",", ":")) + "\n" for o in (whole, long)).encode()
        self.assertGreater(len(data.split(b"\n")[0]), 14000)
        lines = of_unit(self.run_through(data).objects())
        del lines[0]["holdfast"]
        self.assertEqual(lines[0], whole)
        self.assertEqual("".join(o["msg"] for o in lines[1:]).encode(), data.split(b"\n")[1])

    def test_object_like_lines_that_are_none(self):
        """Gathered by length, then cut by what their text takes up, out of the slot."""
        texts = ["{" + "\"" * 15000, "{" + "\x02" * 15000, "{" + "\\" * 30000, "{" + "y" * 15000]
        bed = self.bed(ring_bytes=BIG_RING)
        reader = bed.read_output()
        bed.start()
        for text in texts:
            data = (text + "\n").encode()
            for at in range(0, len(data), 700):
                os.write(bed.unit(0), data[at:at + 700])
        self.assertEqual(bed.stop(), 0)
        bed.close_output()
        got = [""]
        for o in of_unit(reader.objects()):
            got[-1] += o["msg"]
            if "id" not in o["holdfast"] or "of" in o["holdfast"]:
                got.append("")
        self.assertEqual(got[:-1], texts)

    def test_garbage_stays_valid(self):
        data = random.Random(7).randbytes(1 << 20)
        for folder in (harness.BIN, harness.ASAN_BIN):
            reader = self.run_through(data, ring_bytes=BIG_RING, program=f"{folder}/holdfast-log")
            lines = [line for line in reader.lines() if line]
            self.assertLessEqual(max(map(len, lines)), LINE_MAX)
            units = of_unit([json.loads(line) for line in lines])
            self.assertGreater(len(units), data.count(b"\n"))

    def test_raw_is_what_was_written(self):
        data = random.Random(8).randbytes(1 << 20) + b"\n" + b"z" * 100000 + b"\nend\n"
        reader = self.run_through(data, log_format="raw", ring_bytes=BIG_RING)
        self.assertEqual(bytes(reader.data), data)

    def test_raw_ends_a_line_that_another_one_interrupts(self):
        bed = self.bed(n_units=2, log_format="raw")
        reader = bed.read_output()
        bed.start()
        os.write(bed.unit(0), b"a" * 20000)
        reader.wait_for("aaa")
        os.write(bed.unit(1), b"other\n")
        reader.wait_for("other\n")
        os.write(bed.own("ROLE_SUPERVISOR"), b'{"level":"info","msg":"not for raw"}\n'
                                             b'{"level":"error","msg":"said \\"aloud\\""}\n')
        reader.wait_for("aloud")
        self.assertEqual(bed.stop(), 0)
        bed.close_output()
        self.assertEqual(bytes(reader.data), b"a" * 15360 + b"\nother\nholdfast: said \"aloud\"\n"
                         + b"a" * 4640 + b"\n")

    def test_plain_is_for_people(self):
        bed = self.bed(log_format="plain")
        reader = bed.read_output()
        bed.set_pid(0, 12)
        bed.start()
        os.write(bed.unit(0), b"hello\n")
        reader.wait_for("hello")
        reader.wait_for("holdfast: taking lines")
        self.assertRegex(reader.data.decode(), r"(?m)^\d{4}-\S+Z unit-0000\.service\[12\]: hello$")

    def test_a_new_process_does_not_finish_the_old_ones_line(self):
        bed = self.bed()
        reader = bed.read_output()
        bed.set_pid(0, 100)
        bed.start()
        os.write(bed.unit(0), b"first\nlast words")
        reader.wait_for("first")
        wait_until(lambda: bed.is_pipe_empty(0), "the words are taken")
        bed.set_pid(0, 101)
        os.write(bed.unit(0), b"a new start\n")
        reader.wait_for("a new start")
        first, cut, new = of_unit(reader.objects())
        self.assertEqual((cut["msg"], cut["holdfast"]["pid"], cut["holdfast"]["cut"]),
                         ("last words", 100, True))
        self.assertEqual((new["msg"], new["holdfast"]["pid"]), ("a new start", 101))
        self.assertNotIn("cut", first["holdfast"])


def crash_points():
    names = set()
    for path in glob.glob(f"{harness.ROOT}/log/*.c") + [f"{harness.ROOT}/lib/ring.c"]:
        with open(path, encoding="utf-8") as f:
            names.update(re.findall(r'CRASH_POINT\("([\w-]+)"\)', f.read()))
    return sorted(names)


class Feeder(threading.Thread):
    """Numbered lines of one shape, as far as it is allowed."""

    def __init__(self, fd, name, shape):
        super().__init__(daemon=True)
        self.fd, self.word, self.shape = fd, name, shape
        self.allowed = threading.Semaphore(0)
        self.done = 0
        self.is_over = False
        self.start()

    def allow(self, count):
        for _ in range(count):
            self.allowed.release()

    def run(self):
        while True:
            self.allowed.acquire()
            if self.is_over:
                return
            for piece in self.shape(self.word, self.done + 1):
                write_all(self.fd, piece.encode())
            self.done += 1


SHAPES = [
    lambda w, n: [f"{w} {n} \n"],
    lambda w, n: [json.dumps({"w": w, "n": n, "t": "v" * (n % 50)}) + "\n"],
    lambda w, n: [f"{w} {n} ", "in ", "pieces\n"],
    lambda w, n: [f"{w} {n} " + "l" * (40000 if n % 40 == 0 else 300) + "\n"],
]


class Kills(Case):
    def feed(self, bed):
        feeders = [Feeder(bed.unit(i), f"w{i}", shape) for i, shape in enumerate(SHAPES)]
        self.addCleanup(lambda: [setattr(f, "is_over", True) or f.allow(1) for f in feeders])
        return feeders

    def finish(self, bed, feeders, reader):
        """All that was allowed is written; the log ends; the output is read to its end."""
        for f in feeders:
            wait_until(lambda f=f: f.done == f.goal, f"{f.word} is written")
        self.assertEqual(bed.stop(), 0)
        bed.close_output()
        return self.complete(reader, feeders)

    def complete(self, reader, feeders):
        """Each line is there; what came twice has the same seq. Returns (torn, doubled)."""
        by_seq, torn, doubled = {}, 0, 0
        for line in reader.lines():
            try:
                o = json.loads(line) if line else {}
            except ValueError:
                torn += 1
                continue
            seq = o.get("holdfast", {}).get("seq")
            if seq is None:
                continue
            if seq in by_seq:
                self.assertEqual(by_seq[seq], o)
                doubled += 1
            by_seq[seq] = o
        self.assertEqual(sorted(by_seq), list(range(1, max(by_seq) + 1)), "a seq is missing")
        numbers = collections.defaultdict(list)
        parts = collections.defaultdict(str)
        for _, o in sorted(by_seq.items()):
            envelope = o["holdfast"]
            if "event" in o:
                self.assertNotIn(o["event"], ("log-dropped", "log-state-lost"))
                continue
            if "w" in o:
                numbers[o["w"]].append(o["n"])
                self.assertEqual(o["t"], "v" * (o["n"] % 50))
                continue
            self.assertNotIn("cut", envelope)
            parts[envelope["unit"]] += o["msg"]
            if "id" in envelope and "of" not in envelope:
                continue
            word, n, rest = parts.pop(envelope["unit"]).split(" ", 2)
            numbers[word].append(int(n))
            self.assertEqual(f"{word} {n} {rest}\n", "".join(SHAPES[int(word[1:])](word, int(n))))
        for f in feeders:
            self.assertEqual(numbers[f.word], list(range(1, f.goal + 1)), f.word)
        return torn, doubled

    def test_three_hundred_kills_at_random(self):
        rng = random.Random(os.environ.get("SEED", "1"))
        bed = self.bed(n_units=len(SHAPES), ring_bytes=BIG_RING)
        reader = bed.read_output()
        feeders = self.feed(bed)
        for f in feeders:
            f.goal = 0
        for _ in range(300):
            bed.start()
            for f in feeders:
                f.goal += 60
                f.allow(60)
            chosen = rng.choice(feeders)
            target = chosen.goal - 60 + rng.randrange(60)
            extra = rng.randrange(3000)
            wait_until(lambda: chosen.done >= target, "progress", step=0)
            # From here it runs on by itself: a random number of turns of our own.
            for _ in range(extra):
                pass
            bed.kill()
        bed.start()
        torn, doubled = self.finish(bed, feeders, reader)
        self.assertLessEqual(torn, 300)
        print(f"300 kills: {sum(f.goal for f in feeders)} lines, {doubled} in flight came twice, "
              f"{torn} torn")

    def test_a_kill_at_each_crash_point(self):
        failed = []
        for name in crash_points():
            for passing in (1, 2, 9):
                try:
                    self.crash_at(name, passing)
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    failed.append(f"{name}:{passing}: {str(error)[:300]}")
        self.assertEqual(failed, [])

    def crash_at(self, name, passing):
        # Some need a batch for each line, or a ring that wraps: there a line is fed when the output
        # has all those before it. How often a line comes in parts is the scheduler's: on until it was passed.
        marker = f"{self.dir}/{name}-{passing}"
        is_small = name.startswith("ring-tail")
        is_paced = is_small or not name.startswith(("log-line", "ring"))
        bed = logbed.Bed(self.dir, n_units=len(SHAPES), ring_bytes=1 << 16 if is_small else BIG_RING,
                         program=CRASH_LOG)
        try:
            reader = bed.read_output()
            feeders = self.feed(bed)
            bed.start(HOLDFAST_CRASH=f"{name}:{passing}:{marker}")
            for goal in range(1, 1601):
                if goal > 160 and (not is_paced or os.path.exists(marker)):
                    break
                for f in feeders:
                    f.goal = goal
                    f.allow(1)
                if is_paced:
                    self.pace(bed, feeders)
            if not is_paced:
                self.assertEqual(bed.log.wait(harness.DEADLINE), -signal.SIGKILL, "never passed")
                bed.start()
            self.assertTrue(os.path.exists(marker), "never passed")
            torn, _ = self.finish(bed, feeders, reader)
            self.assertLessEqual(torn, 1)
        finally:
            bed.close()

    def pace(self, bed, feeders):
        wait_until(lambda: bed.log.poll() is not None or
                   all(f.done == f.goal for f in feeders) and bed.is_all_out(), "all is out")
        if bed.log.poll() is not None:
            bed.start()
            wait_until(lambda: all(f.done == f.goal for f in feeders) and bed.is_all_out(),
                       "the rest is out")

class Output(Case):
    def test_a_blocked_output_blocks_nobody(self):
        bed = self.bed(n_units=2, ring_bytes=1 << 20)
        bed.start()
        total = 60000
        writers = [logbed.Writer(bed.unit(i), f"w{i}", total) for i in range(2)]
        for w in writers:
            w.join(60)
            self.assertEqual(w.done, total, "a writer was blocked")
        wait_until(lambda: bed.is_pipe_empty(0) and bed.is_pipe_empty(2), "all is taken")
        wait_until(lambda: bed.ring_header()["last_seq"] == 2 * total + 1, "all is in the ring")
        # The ring has the newest, without a gap.
        entries = bed.ring_entries()
        self.assertEqual([e.seq for e in entries],
                         list(range(entries[0].seq, 2 * total + 2)))
        self.assertIn(entries[-1].text, {b"w%d %d" % (i, total) for i in range(2)})
        self.assertLess(bed.emission()["seq"], entries[0].seq)
        reader = bed.read_output()
        reader.wait_for(f'"seq":{2 * total + 1}}}')
        objects = reader.objects()
        dropped = [o for o in objects if o.get("event") == "log-dropped"]
        self.assertEqual(len(dropped), 1)
        lost = dropped[0]
        self.assertEqual(lost["msg"].split(" ")[0], str(lost["count"]))
        self.assertEqual(lost["last_seq"] - lost["first_seq"] + 1, lost["count"])
        self.assertEqual(len(objects) - 1 + lost["count"], 2 * total + 1)
        # It stands where the lines would have stood.
        seqs = [o["holdfast"]["seq"] for o in objects]
        self.assertEqual(seqs, sorted(seqs))
        self.assertEqual(seqs[objects.index(lost)], lost["last_seq"])
        wait_until(lambda: bed.emission()["seq"] == 2 * total + 1, "counted")
        self.assertEqual(bed.emission()["n_dropped"], lost["count"])

    def test_killed_while_blocked(self):
        """What was in flight comes again, and the count of what was lost is still right."""
        bed = self.bed(ring_bytes=1 << 16)
        bed.start()
        writer = logbed.Writer(bed.unit(0), "w", 20000)
        writer.join(60)
        wait_until(lambda: bed.ring_header()["last_seq"] == 20001, "all is in the ring")
        bed.kill()
        bed.start()
        reader = bed.read_output()
        reader.wait_for('"seq":20002}')
        lines = {}
        for line in reader.lines():
            if line.startswith(b"{") and line.endswith(b"}"):
                o = json.loads(line)
                lines[o["holdfast"]["seq"]] = o
        lost = [o for o in lines.values() if o.get("event") == "log-dropped"]
        wait_until(lambda: bed.emission()["seq"] == 20002, "counted")
        gone = {seq for o in lost for seq in range(o["first_seq"], o["last_seq"] + 1)}
        self.assertGreater(len(gone), 0)
        self.assertEqual(bed.emission()["n_dropped"], len(gone))
        self.assertEqual(set(range(1, 20003)) - set(lines), gone - set(lines))

    def test_a_slow_reader_gets_all(self):
        bed = self.bed(ring_bytes=8 << 20)
        bed.start()
        writer = logbed.Writer(bed.unit(0), "w", 20000)
        writer.join(60)
        self.assertEqual(writer.done, 20000)
        data = b""
        while data.count(b"\n") < 20001:
            data += os.read(bed.output_read, 777)
        numbers = [int(o["msg"].split()[1]) for o in of_unit(map(json.loads, data.splitlines()))]
        self.assertEqual(numbers, list(range(1, 20001)))

    def test_an_output_without_a_reader_comes_back(self):
        fifo = f"{self.dir}/fifo"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        bed = self.bed(output_fd=os.open(fifo, os.O_WRONLY))
        bed.start()
        os.write(bed.unit(0), b"one\n")
        wait_until(lambda: b"one" in read_some(reader), "the first line")
        os.close(reader)
        os.write(bed.unit(0), b"two\n")
        wait_until(lambda: any(b'"log-output-failed"' in e.text for e in bed.ring_entries()), "it says so")
        os.write(bed.unit(0), b"three\n")
        wait_until(lambda: any(e.text == b"three" for e in bed.ring_entries()), "the ring goes on")
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        got = b""

        def is_back():
            nonlocal got
            os.write(bed.unit(0), b"again\n")
            got += read_some(reader)
            return b"log-output-back" in got
        wait_until(is_back, "it is tried again", step=0.05)
        for word in (b'"two"', b'"three"', b'"again"', b"log-output-failed"):
            self.assertIn(word, got)
        self.assertEqual(got.count(b"log-output-failed"), 1)

    def test_no_output_at_all(self):
        bed = self.bed(output_fd=-1)
        bed.start()
        os.write(bed.unit(0), b"kept\n")
        wait_until(lambda: any(e.text == b"kept" for e in bed.ring_entries()), "it is in the ring")
        self.assertEqual(bed.stop(), 0)

    def test_an_output_that_is_non_blocking_already(self):
        bed = self.bed(ring_bytes=8 << 20)
        os.set_blocking(bed.output, False)
        bed.start()
        logbed.Writer(bed.unit(0), "w", 20000).join(60)
        reader = bed.read_output()
        reader.wait_for("w 20000")
        self.assertFalse(os.get_blocking(bed.output))
        self.assertEqual(len(of_unit(reader.objects())), 20000)

    def test_term_writes_out_everything(self):
        """Pipes that were full before it even started, and a line without an end."""
        bed = self.bed(n_units=50)
        reader = bed.read_output()
        for i in range(50):
            os.write(bed.unit(i), b"".join(b"%d %d\n" % (i, n) for n in range(1000)) + b"no end")
        bed.start()
        self.assertEqual(bed.stop(), 0)
        bed.close_output()
        got = collections.Counter(o["holdfast"]["unit"] for o in reader.objects() if "event" not in o)
        self.assertEqual(set(got.values()), {1001})
        cut = [o for o in reader.objects() if o["holdfast"].get("cut")]
        self.assertEqual((len(cut), {o["msg"] for o in cut}), (50, {"no end"}))

    def test_a_term_of_somebody_else_is_not_the_end(self):
        bed = self.bed()
        reader = bed.read_output()
        bed.start()
        reader.wait_for("log-started")
        subprocess.run(["kill", "-TERM", str(bed.log.pid)], check=True)
        os.write(bed.unit(0), b"still here\n")
        reader.wait_for("still here")
        self.assertEqual(bed.stop(), 0)

    def test_term_does_not_wait_for_a_blocked_reader(self):
        bed = self.bed()
        bed.start()
        logbed.Writer(bed.unit(0), "w", 20000).join(60)
        self.assertEqual(bed.stop(), 1)


def read_some(fd):
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


class Scale(Case):
    def test_a_flood_does_not_starve_others(self):
        bed = self.bed(n_units=3)
        bed.start()
        flood = subprocess.Popen(["yes", "f" * 100], stdout=bed.unit(0))
        self.addCleanup(lambda: flood.kill() or flood.wait())
        behind = []
        for n in range(20):
            os.write(bed.unit(1), b"slow %d.\n" % n)
            behind.append(self.read_until(bed, b"slow %d." % n))
        self.assertIsNone(flood.poll())
        print(f"beside a flood a line comes after {sorted(behind)[len(behind) // 2] >> 10} KiB of it")

    def read_until(self, bed, needle):
        """Throws the output away up to needle. How much that was."""
        last, total, end = b"", 0, time.monotonic() + harness.DEADLINE
        while True:
            data = os.read(bed.output_read, 1 << 20)
            total += len(data)
            if needle in last + data:
                return total
            last = data[-len(needle):]
            self.assertLess(time.monotonic(), end, f"no {needle} in {total} bytes of output")

    def test_two_thousand_streams(self):
        bed = self.bed(n_units=1000, ring_bytes=8 << 20)
        reader = bed.read_output()
        bed.start()
        for n in range(3):
            for i in range(1000):
                for stream in range(2):
                    os.write(bed.unit(i, stream), b"line %d\n" % n)
        self.assertEqual(bed.stop(), 0)
        bed.close_output()
        got = collections.defaultdict(list)
        for o in reader.objects():
            if "event" not in o:
                got[o["holdfast"]["unit"], o["holdfast"]["stream"]].append(o["msg"])
        self.assertEqual(len(got), 2000)
        self.assertEqual(set(map(tuple, got.values())), {("line 0", "line 1", "line 2")})

    def test_small_and_still_when_idle(self):
        bed = self.bed(n_units=1000)
        reader = bed.read_output()
        bed.start()
        for i in range(1000):
            os.write(bed.unit(i), b"up\n")
        wait_until(lambda: len(of_unit(reader.objects(), "unit-0999.service")) == 1, "all came")
        wait_until(lambda: bed.emission()["seq"] == 1001, "all is out")
        private = self.own_memory(bed)
        # Two buffers of 64 KiB are touched as far as the longest burst went: 128 kB to 230 of it.
        self.assertLess(private, 256)
        print(f"1000 units, idle: {private} kB private dirty")
        before = self.switches(bed)
        # Idleness can only be watched: nothing happens for a while, and nothing must.
        select.select([], [], [], 1.5)
        self.assertEqual(self.switches(bed), before)

    def own_memory(self, bed):
        """Private and dirty, in kB, but for the ring's lines and what it only reads."""
        total, name = 0, ""
        with open(f"/proc/{bed.log.pid}/smaps", encoding="ascii") as f:
            for line in f:
                if re.match(r"[0-9a-f]+-", line):
                    name = line
                found = re.match(r"Private_Dirty: +(\d+)", line)
                if found and not re.search(r"/(plan|board|memfd:store|memfd:ring)\b", name):
                    total += int(found.group(1))
        return total

    def switches(self, bed):
        total = 0
        for path in glob.glob(f"/proc/{bed.log.pid}/task/*/status"):
            with open(path, encoding="ascii") as f:
                total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", f.read()))
        return total


class Rights(Case):
    def status(self, bed):
        with open(f"/proc/{bed.log.pid}/status", encoding="ascii") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

    @unittest.skipUnless(harness.is_root(), "needs root")
    def test_own_uid_no_capabilities_seccomp(self):
        bed = self.bed(uid=NOBODY_ELSE, ring_bytes=BIG_RING)
        reader = bed.read_output()
        bed.start()
        os.write(bed.unit(0), b"hello\n" + b"x" * 100000 + b"\n")
        reader.wait_for("hello")
        status = self.status(bed)
        self.assertEqual(status["Uid"].split(), [str(NOBODY_ELSE)] * 4)
        self.assertEqual(status["Gid"].split(), [str(NOBODY_ELSE)] * 4)
        self.assertEqual(int(status["CapPrm"], 16) | int(status["CapEff"], 16), 0)
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
        for path in glob.glob(f"/proc/{bed.log.pid}/task/*/status"):
            with open(path, encoding="ascii") as f:
                self.assertRegex(f.read(), r"(?m)^Seccomp:\t2$")
        # Whatever it did so far, no call of it was refused.
        self.assertEqual(bed.stop(), 0)
        bed.close_output()
        self.assertEqual(len([o for o in of_unit(reader.objects())]), 1 + 7)

    @unittest.skipUnless(harness.is_root(), "needs root")
    def test_shared_uid(self):
        bed = self.bed(user=1000)
        reader = bed.read_output()
        bed.start()
        os.write(bed.unit(0), b"hello\n")
        reader.wait_for("hello")
        self.assertEqual(self.status(bed)["Uid"].split(), ["1000"] * 4)
        self.assertEqual(bed.stop(), 0)

    def test_old_kernels_and_profiles(self):
        for calls in ((), ("splice",), ("seccomp", "prctl")):
            with self.subTest(calls=calls):
                bed = logbed.Bed(self.dir)
                try:
                    reader = bed.read_output()
                    bed.start(ENOSYS, *calls, "--")
                    os.write(bed.unit(0), b"hello\nwhole " + b"x" * 40000 + b"\n")
                    reader.wait_for("hello")
                    self.assertEqual(bed.stop(), 0)
                    bed.close_output()
                    self.assertEqual(len(of_unit(reader.objects())), 4)
                    warned = any(o.get("event") == "log-without-splice" for o in reader.objects())
                    self.assertEqual(warned, "splice" in calls)
                finally:
                    bed.close()

    def test_started_by_hand(self):
        done = subprocess.run([f"{harness.BIN}/holdfast-log"], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=harness.DEADLINE, check=False)
        self.assertEqual(done.returncode, 70)
        self.assertIn(b"holdfast starts this program", done.stderr)


class State(Case):
    def test_a_ring_that_makes_no_sense_is_made_anew(self):
        bed = self.bed()
        os.write(bed.ring, b"garbage" * 1000)
        os.write(bed.capture, b"garbage" * 1000)
        reader = bed.read_output()
        bed.start()
        os.write(bed.unit(0), b"hello\n")
        reader.wait_for("hello")
        reader.wait_for("log-state-lost")

    def test_a_successor_goes_on(self):
        bed = self.bed()
        reader = bed.read_output()
        bed.start()
        os.write(bed.unit(0), b"one\nhalf a ")
        reader.wait_for("one")
        wait_until(lambda: bed.is_pipe_empty(0), "the half is taken")
        bed.kill()
        os.write(bed.unit(0), b"line\n")
        bed.start()
        reader.wait_for("half a line")
        self.assertEqual(len({o["holdfast"]["seq"] for o in reader.objects()}), 4)


if __name__ == "__main__":
    harness.main()
