#!/usr/bin/env python3
"""holdfast-secrets as the supervisor starts it: every source, every error, and what must not leak."""
import fcntl
import json
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

BED = f"{harness.APPS}/secretsbed"
PROGRAM = f"{harness.BIN}/holdfast-secrets"
ENVIRONMENT, FILE, FD = "0", "1", "2"
OPTIONAL, CONFIG = "1", "2"
STAY = str(0xFFFFFFFF)
PLANTED = "pl4nted-Kae7Oovo-value"


class Result:
    def __init__(self, done, output):
        self.text = done.stdout
        self.err = done.stderr
        self.events = [json.loads(line) for line in done.stderr.splitlines()]
        self.status = int(done.stdout.split("exit ")[1])
        self.seals = int(done.stdout.split("seals ")[1].split()[0])
        with open(output, "rb") as f:
            self.raw = f.read()
        os.unlink(output)

    @property
    def records(self):
        found, at = {}, 0
        while at < len(self.raw):
            name, value = struct.unpack_from("=II", self.raw, at)
            text = self.raw[at + 8:at + 8 + name + 1 + value]
            found[text[:name].decode()] = text[name + 1:]
            at += 8 + (name + value + 2 + 3 & ~3)
        return found


class Secrets(harness.Case):
    def run_bed(self, *items, env=None, uid="990"):
        output = os.path.join(self.dir, "out")
        arguments = []
        for name, reference, *rest in items:
            arguments += [name, reference, *(rest + [ENVIRONMENT, "0", "-"][len(rest):])]
        done = subprocess.run([BED, PROGRAM, output, "web.service", uid, *arguments], env=env or {},
                              capture_output=True, text=True, check=True, timeout=harness.DEADLINE)
        return Result(done, output)

    def refused(self, status, event, *items, says="", **options):
        """One event line names unit, name and reference; nothing is delivered."""
        result = self.run_bed(*items, **options)
        self.assertEqual(result.status, status, result.err)
        self.assertEqual(result.raw, b"")
        self.assertEqual([e["event"] for e in result.events], [event])
        line = result.events[0]
        self.assertEqual((line["level"], line["unit"]), ("error", "web.service"))
        self.assertIn((line["name"], line["reference"]), [(i[0], i[1]) for i in items])
        self.assertIn(says, line["msg"])
        self.assertNotIn(PLANTED, result.err)
        return result

    # ---- what arrives

    def test_each_source_delivers(self):
        path = self.write("password", PLANTED)
        self.write("credentials/tls", "cert")
        result = self.run_bed(("A", f"file:{path}"), ("B", "env:DB"), ("tls.crt", "cred:tls", FILE),
                              env={"DB": "hunter2", "CREDENTIALS_DIRECTORY": f"{self.dir}/credentials"})
        self.assertEqual(result.status, 0, result.err)
        self.assertEqual(result.records, {"A": PLANTED.encode(), "B": b"hunter2", "tls.crt": b"cert"})
        self.assertEqual(result.events[-1]["event"], "secrets-read")
        self.assertEqual(result.events[-1]["count"], 3)

    def test_one_newline_is_stripped_for_the_environment_alone(self):
        path = self.write("password", "two\n\n")
        result = self.run_bed(("A", f"file:{path}"), ("a", f"file:{path}", FILE), ("F", f"file:{path}", FD),
                              ("E", "env:LINE"), env={"LINE": "x\n"})
        self.assertEqual(result.records, {"A": b"two\n", "a": b"two\n\n", "F": b"two\n\n", "E": b"x"})

    def test_files_and_fds_may_hold_any_byte(self):
        value = bytes(range(256)) * 4
        path = os.path.join(self.dir, "keytab")
        with open(path, "wb") as f:
            f.write(value)
        result = self.run_bed(("krb5.keytab", f"file:{path}", FILE), ("KEY", f"file:{path}", FD))
        self.assertEqual(result.records, {"krb5.keytab": value, "KEY": value})

    def test_an_empty_value_is_a_value(self):
        path = self.write("empty", "")
        result = self.run_bed(("A", f"file:{path}"), ("B", "env:NOTHING"), env={"NOTHING": ""})
        self.assertEqual((result.status, result.records), (0, {"A": b"", "B": b""}))

    def test_an_optional_one_that_is_missing_is_left_out(self):
        path = self.write("there", "x")
        result = self.run_bed(("A", "file:/nonexistent/a", ENVIRONMENT, OPTIONAL),
                              ("B", f"file:{path}"), ("C", "env:UNSET", ENVIRONMENT, OPTIONAL))
        self.assertEqual((result.status, result.records), (0, {"B": b"x"}))
        self.assertEqual([e["event"] for e in result.events],
                         ["secret-absent", "secret-absent", "secrets-read"])
        self.assertEqual(result.events[0]["level"], "info")

    def test_no_secrets_are_fine(self):
        self.assertEqual(self.run_bed().status, 0)

    def test_a_file_that_only_root_reads_is_opened_before_the_ids_are_dropped(self):
        path = self.write("root-only", PLANTED, mode=0o400)
        result = self.run_bed(("A", f"file:{path}"), uid="990")
        self.assertEqual(result.records, {"A": PLANTED.encode()})

    def test_an_inherited_file_is_read_from_its_start(self):
        path = self.write("handed-over", PLANTED)
        result = self.run_bed(("A", "file:/gone", ENVIRONMENT, "0", path),
                              ("B", "file:/gone-too", ENVIRONMENT, "0", path))
        self.assertEqual(result.records, {"A": PLANTED.encode(), "B": PLANTED.encode()})

    def test_the_memory_is_sealed(self):
        self.assertEqual(self.run_bed(("A", "env:X"), env={"X": "y"}).seals & 0xF, 0xF)

    def test_the_largest_value_and_the_largest_string(self):
        big = self.write("big", "x" * (1 << 20))
        string = self.write("string", "s" * (128 * 1024 - 3))
        result = self.run_bed(("big", f"file:{big}", FILE), ("S", f"file:{string}"))
        self.assertEqual(result.status, 0, result.err)
        self.assertEqual(len(result.records["big"]), 1 << 20)
        # What was accepted is what execve(2) accepts.
        value = result.records["S"].decode()
        subprocess.run(["/bin/true"], env={"S": value}, check=True)
        with self.assertRaises(OSError):
            subprocess.run(["/bin/true"], env={"S": value + "s"}, check=True)

    # ---- what is refused

    def test_what_is_not_there(self):
        for reference in ("file:/nonexistent/x", f"file:{self.write('plain', '')}/below", "env:UNSET", "cred:none"):
            self.refused(66, "secret-not-found", ("A", reference))
        os.mkdir(f"{self.dir}/c")
        self.refused(66, "secret-not-found", ("A", "cred:none"), env={"CREDENTIALS_DIRECTORY": f"{self.dir}/c"},
                     says=f"{self.dir}/c/none")

    def test_what_may_not_be_read_names_the_path_and_who_asked(self):
        """Optional speaks of what is not there, not of what is refused."""
        os.chmod(self.dir, 0o777)
        path = self.write("locked", PLANTED, mode=0o400)
        output = os.path.join(self.dir, "out")
        done = subprocess.run(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", BED, PROGRAM, output,
                               "web.service", STAY, "A", f"file:{path}", ENVIRONMENT, OPTIONAL, "-"],
                              capture_output=True, text=True, check=True, timeout=harness.DEADLINE)
        result = Result(done, output)
        self.assertEqual(result.status, 77, result.err)
        self.assertIn(f"{path} cannot be opened by uid 1000", result.events[0]["msg"])
        self.assertEqual(result.raw, b"")

    def test_what_is_malformed(self):
        nul = self.write("nul", PLANTED + "\0" + PLANTED)
        fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(fifo)
        loop = os.path.join(self.dir, "loop")
        os.symlink("loop", loop)
        big = self.write("big", "x" * ((1 << 20) + 1))
        string = self.write("string", "s" * (128 * 1024 - 2))
        cases = [
            (("A", f"file:{nul}"), "NUL"),
            (("A", f"file:{string}"), "too large for the environment"),
            (("A", f"file:{big}", FILE), "larger than 1 MiB"),
            (("A", f"file:{self.dir}"), "a directory"),
            (("A", f"file:{fifo}"), "a file was expected"),
            (("A", f"file:{loop}"), "cannot be opened"),
            (("A", "file:relative"), "absolute path"),
            (("A", "cred:../x"), "name of a credential"),
            (("A", "ssm:/app/x"), "file:, env: or cred:"),
            (("A", ""), "file:, env: or cred:"),
            (("1A", "env:X"), "variable"),
            (("A-B", "env:X"), "variable"),
            (("", "env:X"), "variable"),
            (("../x", "env:X", FILE), "file name"),
            (("..", "env:X", FILE), "file name"),
            (("a=b", "env:X", FILE), "file name"),
        ]
        for item, says in cases:
            with self.subTest(item=item):
                self.refused(78, "secret-malformed", item, says=says, env={"X": "y"})

    def test_a_name_twice_is_a_collision(self):
        self.refused(78, "secret-malformed", ("A", "env:X"), ("A", "env:Y"), env={"X": "1", "Y": "2"},
                     says="two secrets of that name")

    def test_all_together_are_bounded(self):
        big = self.write("big", "x" * (1 << 20))
        items = [(f"f{i}", f"file:{big}", FILE) for i in range(9)]
        self.refused(78, "secret-malformed", *items, says="8 MiB together")

    def test_all_or_none_and_every_failure_is_said(self):
        path = self.write("good", PLANTED)
        result = self.run_bed(("A", f"file:{path}"), ("B", "env:UNSET"), ("C", "ssm:/x"), ("D", f"file:{path}"))
        self.assertEqual(result.status, 66)
        self.assertEqual([(e["event"], e["name"]) for e in result.events],
                         [("secret-not-found", "B"), ("secret-malformed", "C")])
        self.assertEqual(result.raw, b"")

    def test_bad_requests_and_starts_end_it(self):
        output = os.path.join(self.dir, "out")
        for data in (b"", b"x" * 100, os.urandom(4096), b"\0" * (1 << 21)):
            done = subprocess.run([BED, PROGRAM, output, "-", STAY], input=data, env={}, capture_output=True,
                                  check=True, timeout=harness.DEADLINE)
            self.assertIn(b"exit 70", done.stdout)
            self.assertEqual(json.loads(done.stderr)["event"], "secrets-failed")
        done = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=False, timeout=10)
        self.assertEqual(done.returncode, 64)
        done = subprocess.run([PROGRAM], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=10)
        self.assertEqual((done.returncode, json.loads(done.stderr)["event"]), (70, "secrets-failed"))

    # ---- what must not leak

    def test_held_at_its_last_line_it_shows_nothing(self):
        """Its stderr is full, so it stands in the write of its last line: then all that others could
        look at is searched for the value that it has just delivered."""
        path = self.write("password", PLANTED)
        read_end, write_end = os.pipe()
        size = fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
        os.write(write_end, b"\n" * size)
        output = os.path.join(self.dir, "out")
        bed = self.start(BED, PROGRAM, output, "web.service", "990", "A", f"file:{path}", ENVIRONMENT, "0", "-",
                         "B", f"file:{path}", FILE, "0", "-", stderr=write_end, env={"UNRELATED": PLANTED})
        os.close(write_end)
        bed.wait_for("\n")
        pid = int(bed.text.split()[1])

        def in_write():
            with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
                return f.read().split()[1:2] == ["0x2"]
        harness.wait_until(in_write, "the write of its last line")

        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        self.assertEqual(status["Uid"].split(), ["990"] * 4)
        self.assertEqual(status["Gid"].split(), ["990"] * 4)
        self.assertEqual(status["Groups"].strip(), "")
        self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16), 0)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertGreater(int(status["VmLck"].split()[0]), 0)
        with open(f"/proc/{pid}/limits", encoding="ascii") as f:
            core = next(line for line in f if line.startswith("Max core file size"))
        self.assertEqual(core.split()[4:6], ["0", "0"])
        # Non-dumpable: what would belong to uid 990 belongs to root.
        self.assertEqual(os.stat(f"/proc/{pid}/mem").st_uid, 0)

        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as f:
                self.assertNotIn(PLANTED.encode(), f.read(), name)
        self.assertEqual(self.private_memory_holding(pid, PLANTED.encode()), [])
        # The search does find what is there.
        self.assertNotEqual(self.private_memory_holding(pid, b"secrets-read"), [])

        got = b""
        while b"secrets-read" not in got:
            got += os.read(read_end, 65536)
        self.assertNotIn(PLANTED.encode(), got)
        self.assertEqual(bed.wait(), 0)
        self.assertIn("exit 0", bed.text)
        os.close(read_end)

    @staticmethod
    def private_memory_holding(pid, needle):
        """The writable mappings of the process in which needle stands."""
        found = []
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
            for line in maps:
                span, mode, *_ = line.split()
                if "w" not in mode:
                    continue
                start, end = (int(x, 16) for x in span.split("-"))
                mem.seek(start)
                if needle in mem.read(end - start):
                    found.append(line)
        return found


if __name__ == "__main__":
    harness.main()
