#!/usr/bin/env python3
"""holdfast-explain: a sentence for each way to end, the first cause first, and hostile dumps."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

EXPLAIN = f"{harness.ASAN_BIN}/holdfast-explain"


def unit(name="web.service", result="exit-code", since=1, **more):
    line = {"type": "unit", "unit": name, "state": "failed", "result": result, "up": False, "wanted": True,
            "since": f"2026-01-02T03:04:{since:02}.000000Z", "exec_error": 0, "restarts": 0}
    if result == "success":
        line |= {"state": "running", "up": True}
    return line | more


def exited(status, **more):
    return unit(exit_code=1, exit_status=status, **more)


def killed(signal, result="signal", **more):
    return unit(result=result, exit_code=2, exit_status=signal, **more)


def event(name, message, /, level="error", **more):
    return {"type": "event", "ts": "2026-01-02T03:04:00.000000Z", "seq": 1, "by": "holdfast-supervisor",
            "json": {"level": level, "event": name, "by": "holdfast-supervisor", "msg": message} | more}


def log(name, text, stream="stderr"):
    return {"type": "log", "ts": "2026-01-02T03:04:00.000000Z", "seq": 2, "unit": name, "stream": stream, "msg": text}


def dump(*lines, end=True):
    lines = [{"type": "dump", "schema": 1, "ts": "2026-01-02T03:04:05.000000Z", "version": "0"}, *lines]
    if end:
        lines.append({"type": "end", "lines": len(lines) + 1})
    return "".join(json.dumps(line) + "\n" for line in lines)


class Explain(harness.Case):
    def explain(self, text, status=0):
        data = text if isinstance(text, bytes) else text.encode()
        done = subprocess.run([EXPLAIN, "-"], input=data, capture_output=True, check=False,
                              timeout=harness.DEADLINE)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return done.stdout.decode()

    def test_a_sentence_for_each_end_of_a_unit(self):
        cases = [
            (exited(3), "web.service exited with status 3."),
            (exited(127), "does not find a program"),
            (exited(126), "may not execute a program"),
            (killed(9), "web.service was killed by SIGKILL (9).\n  Who sends SIGKILL is mostly the kernel"),
            (killed(11), "web.service was killed by SIGSEGV (11).\n  It crashed"),
            (killed(31), "web.service was killed by a filter of system calls (SIGSYS)."),
            (killed(31, result="core-dump"), "web.service was killed by a filter of system calls (SIGSYS)."),
            (killed(15), "another process sent the signal"),
            (killed(6, result="core-dump"), "web.service crashed with SIGABRT (6)."),
            (killed(9, result="oom-kill"), "killed by the kernel because memory ran out"),
            (unit(result="timeout", was_active=False), "did not come up in time and was stopped (TimeoutStartSec=)"),
            (unit(result="timeout", was_active=True), "did not stop in time and was killed (TimeoutStopSec=)"),
            (unit(result="watchdog"), "no WATCHDOG=1 came within its WatchdogSec="),
            (exited(1, result="start-limit-hit", restarts=5), "restarted too often (5 times) and given up"),
            (exited(1, result="start-limit-hit", restarts=5), "Its last run exited with status 1."),
            (unit(result="protocol"), "ended before it was ready"),
            (unit(result="resources"), "no process, memory or descriptor"),
            (unit(result="assert"), "Assert...= does not hold"),
            (unit(result="probe"), "failed its probe too often"),
            (unit(result="secrets"), "its secrets could not be had"),
            (unit(result="dependency"), "which this dump does not show"),
            (exited(203, exec_error=203), "never ran: its set-up failed with status 203.\n  Its program could not be executed"),
            (exited(217, exec_error=217), "User= does not exist in the image"),
            (exited(216, exec_error=216), "does Group= exist"),
            (exited(243, exec_error=243), "Its credentials could not be put into place"),
            (exited(200, exec_error=200), "WorkingDirectory="),
            (exited(226, exec_error=226), "Its mounts could not be set up"),
            (exited(238, exec_error=238), "StateDirectory="),
            (exited(250, exec_error=250), "Its process could not be set up."),
        ]
        for line, says in cases:
            with self.subTest(says=says):
                text = self.explain(dump(line))
                self.assertTrue(text.startswith("First: web.service "), text)
                self.assertIn(says, text)
                self.assertIn("That was at 2026-01-02T03:04:01.000000Z", text)

    def test_the_set_up_step_and_its_error_are_quoted(self):
        text = self.explain(dump(exited(203, exec_error=203), event(
            "setup-failed", "cannot execute: /app/x: Permission denied (exit status 203/EXEC)", unit="web.service")))
        self.assertIn("It was not permitted", text)
        self.assertIn("holdfast said: cannot execute: /app/x: Permission denied", text)

    def test_a_secret_that_failed_is_named(self):
        for kind, says in (("secret-not-found", "was not found"), ("secret-denied", "may not be read"),
                           ("secret-malformed", "is not what it must be")):
            text = self.explain(dump(unit(result="secrets"), event(
                kind, "why it is", unit="web.service", name="DB", reference="file:/run/db")))
            self.assertIn(f"The secret DB (file:/run/db) {says}: why it is", text)

    def test_a_unit_that_never_ran_for_its_secrets_is_not_only_restarted_too_often(self):
        """As holdfast-secrets words it."""
        text = self.explain(dump(unit(result="start-limit-hit", restarts=5), event(
            "secret-malformed", "secret DB (vault:a/b#c): nothing says where Vault is", unit="web.service",
            name="DB", reference="vault:a/b#c")))
        self.assertIn("restarted too often (5 times)", text)
        self.assertIn("  The secret DB (vault:a/b#c) is not what it must be: nothing says where Vault is\n", text)

    def test_a_probe_is_told_behind_what_it_led_to(self):
        failed = event("probe-failed", "the liveness probe failed 3 times", unit="web.service")
        for result in ("probe", "start-limit-hit"):
            self.assertIn("  holdfast said: the liveness probe failed 3 times\n",
                          self.explain(dump(killed(15, result=result), failed)))

    def test_readiness_that_failed_and_came_back_is_nothing_wrong(self):
        failed = event("probe-failed", "the readiness probe fails: it answered 503", level="warning", unit="web.service")
        passed = event("probe-passed", "the readiness probe passes", level="info", unit="web.service")
        up = unit(result="success")
        self.assertIn("it answered 503", self.explain(dump(up, failed)))
        self.explain(dump(up, failed, passed), status=1)

    def test_errors_that_ended_nothing_are_told(self):
        """A unit whose secrets are tried again and again is starting, and no failure."""
        again = event("secret-unreachable", "secret DB (vault:a/b#c): no route", unit="web.service")
        text = self.explain(dump(unit(result="success", state="fetching"), again, event("x", "fine", level="info"), again))
        self.assertEqual(text, "Nothing has ended, but this went wrong:\n"
                               "  2026-01-02T03:04:00.000000Z web.service: secret DB (vault:a/b#c): no route\n")

    def test_what_may_be_written_is_said_to_who_tried(self):
        text = self.explain(dump(exited(1), log("web.service", "cannot open /var/log/x: Read-only file system")))
        self.assertIn("  Nothing can be written here but what is declared: [Scratch]", text)

    def test_memory_is_named_where_the_kernel_counted_it(self):
        limit = {"type": "cgroup", "of": "web.service", "path": "/x", "memory.events": {"oom_kill": 1}}
        self.assertIn("Its cgroup counts an oom_kill", self.explain(dump(killed(9), limit)))
        kernel = {"type": "kernel", "msg": "Out of memory: Killed process 7 (node)"}
        self.assertIn("The kernel ran out of memory: Out of memory: Killed process 7 (node)",
                      self.explain(dump(killed(9), kernel)))

    def test_the_root_comes_first_with_its_lines_and_what_followed(self):
        text = self.explain(dump(
            unit("api.service", "dependency", since=9, requires=["web.service"]),
            unit("web.service", "dependency", since=8, requires=["cache.service", "db.service"]),
            unit("cache.service", "success", since=1),
            exited(1, name="db.service", since=5, restarts=2),
            exited(7, name="other.service", since=6),
            log("db.service", "FATAL: no space"), log("web.service", "unrelated"),
            {"type": "cause", "unit": "api.service", "result": "dependency", "exit_status": 1}))
        self.assertEqual(text, """\
First: db.service exited with status 1.
  That was at 2026-01-02T03:04:05.000000Z, after 2 restarts.
  The last lines that it wrote:
    2026-01-02T03:04:00.000000Z FATAL: no space
  Because of it web.service was not started.
  Because of it api.service was not started (it requires web.service).
Then: other.service exited with status 7.
  That was at 2026-01-02T03:04:06.000000Z.
The instance ended with exit status 1 because api.service failed.
""")

    def test_a_circle_of_requirements_ends(self):
        text = self.explain(dump(unit("a.service", "dependency", requires=["b.service"]),
                                 unit("b.service", "dependency", requires=["a.service"])))
        self.assertIn("First: ", text)

    def test_a_failed_boot_without_a_dump(self):
        lines = [
            {"level": "error", "event": "config-error", "by": "holdfast-boot", "file": "/etc/holdfast/units/w.service",
             "line": 3, "column": 7, "msg": "Restart= wants one of no, always"},
            {"level": "error", "event": "boot-failed", "by": "holdfast-boot", "msg": "1 error in the configuration"},
        ]
        text = self.explain("not json\n" + "".join(json.dumps(l) + "\n" for l in lines))
        self.assertEqual(text, """\
First: holdfast refused to start: 1 error in the configuration
  /etc/holdfast/units/w.service:3:7: Restart= wants one of no, always
""")

    def test_the_instance_itself(self):
        for name, says in (("daemon-hopeless", "could not be kept alive"), ("stop-deadline", "stop budget")):
            text = self.explain(dump(event(name, "and so on"), unit(result="success")))
            self.assertTrue(text.startswith("First: "))
            self.assertIn(says, text)
            self.assertIn("and so on", text)
        text = self.explain(dump(unit(result="success", killed=True)))
        self.assertIn("did not stop when it was asked to and was killed", text)

    def test_who_was_kept_out(self):
        def killed_one(exe, uid):
            return event("intruder-killed", "a process", level="warning", exe=exe, uid=uid)
        text = self.explain(dump(unit(result="success"), killed_one("/bin/dash", 0), killed_one("/bin/busybox", 1000),
                                 killed_one("/bin/dash", 7), {"type": "gate", "gate": {"killed": 5, "denied": 0}}))
        self.assertEqual(text, """\
Kept out: 5 processes came in from outside (podman exec, kubectl exec, nsenter, a container beside it) and were killed.
  They ran /bin/dash, /bin/busybox; the last of them at 2026-01-02T03:04:00.000000Z, as uid 7.
  Whoever needs to look into this instance has holdfastctl, executed as it is.
""")
        text = self.explain(dump(killed_one("/bin/dash", 0)))
        self.assertIn("Kept out: 1 process came in", text)
        text = self.explain(dump(*(killed_one(f"/bin/{i}", 0) for i in range(9))))
        self.assertIn("They ran /bin/0, /bin/1, /bin/2, /bin/3 and others;", text)

    def test_who_was_turned_away(self):
        text = self.explain(dump(event("shell-refused", "no", level="warning", name="sh"), event("entry-refused", "no", name="?"),
                                 {"type": "gate", "gate": {"turned_away": 3}}))
        self.assertEqual(text, "Turned away: 3 times somebody came in from outside and found nothing to execute, asking for sh.\n")

    def test_what_was_not_executed(self):
        def refused(reason, exe, asker=""):
            return event("exec-refused", "no", level="warning", reason=reason, exe=exe, asker=asker, uid=0)
        for reason, says in (("outside", "executions were asked for from outside and refused: /bin/a, /bin/b.\n"),
                             ("brought-along", "by services were refused, of files that are not the image's: /bin/a, /bin/b (asked for by /x)"),
                             ("loader", "of a program loader by itself were refused: /bin/a, /bin/b (asked for by /x)"),
                             ("foreign-mount", "lie in no namespace of their own: /bin/a, /bin/b (asked for by /x)")):
            text = self.explain(dump(refused(reason, "/bin/a", "/x"), refused(reason, "/bin/b"),
                                     {"type": "gate", "gate": {"denied": 12}}))
            self.assertTrue(text.startswith("Refused: 2 "), text)
            self.assertIn(says, text)
            self.assertIn("Refused: 10 more executions, of which no line is left.", text)

    def test_who_was_only_seen(self):
        text = self.explain(dump(event("intruder-seen", "seen", level="warning", exe="/bin/sh", uid=0)))
        self.assertIn("Not kept out: holdfast saw 1 process from outside, or an execution", text)
        self.assertIn("With Shells=warn it only reports.", text)

    def test_refused_system_calls(self):
        counted = {"type": "refused_call", "unit": "web.service", "call": "ptrace", "count": 3, "killed": False, "program": "nginx",
                   "allow": "ptrace"}
        text = self.explain(dump(unit(result="success"), counted, counted | {"unit": "", "call": "reboot", "count": 1, "allow": ""},
                                 counted | {"call": "bpf", "killed": True, "count": 1, "allow": "bpf"}))
        self.assertEqual(text, """\
Refused: web.service was refused ptrace 3 times (it calls itself nginx).
  If it needs that: SandboxAllow=ptrace in its [X-Holdfast] allows it.
Refused: nginx (of no unit that is known) was refused reboot 1 time.
Refused: web.service was killed by the system call filter for bpf 1 time (it calls itself nginx).
  If it needs that: SandboxAllow=bpf in its [X-Holdfast] allows it.
""")
        lines = [{"level": "warning", "event": "call-refused", "by": "holdfast-gate", "unit": "web.service", "call": "ptrace",
                  "count": n, "allow": "ptrace", "name": "nginx", "msg": "no"} for n in (1, 10)]
        self.assertIn("web.service was refused ptrace 10 times", self.explain("".join(json.dumps(l) + "\n" for l in lines)))
        many = [counted | {"call": f"call {n}"} for n in range(300)]
        self.assertEqual(self.explain(dump(*many)).count("Refused: "), 128)

    def test_who_could_not_be_killed(self):
        text = self.explain(dump(event("intruder-not-killed", "cannot", exe="/bin/sh", uid=0),
                                 event("intruder-ends-instance", "somebody got in"), killed(9)))
        self.assertTrue(text.startswith("First: The instance ended itself: somebody got in\n  They ran /bin/sh;"), text)
        self.assertIn("as its own user", text)

    def test_what_the_gate_did_not_see(self):
        for name, says in (("mounts-opened", "Somebody may have read or written files here: so it is"),
                           ("gate-failed", "The gate could not do its work: so it is"),
                           ("exec-refused-unseen", "nobody can name: so it is"),
                           ("exec-gate-mount", "does not see everything: so it is")):
            self.assertIn(says, self.explain(dump(event(name, "so it is"))))

    def test_nothing_wrong(self):
        self.assertEqual(self.explain(dump(unit(result="success")), status=1),
                         "Nothing went wrong that is written here.\n")
        self.explain(dump(unit(result="condition", state="inactive")), status=1)

    def test_lost_lines_and_cut_dumps_are_said(self):
        whole = dump(exited(3), {"type": "log_state", "lines": 90, "dropped": 12})
        self.assertIn("12 log lines were dropped", self.explain(whole))
        cut = self.explain(whole[:-10])
        self.assertIn("web.service exited with status 3", cut)
        self.assertIn("The dump is cut", cut)
        lines = whole.splitlines(True)
        self.assertIn("The dump is damaged: it says that it has 4 lines, and has 3", self.explain("".join(
            [lines[0], *lines[2:]]), status=1))

    def test_the_last_dump_in_an_instances_output_counts(self):
        output = "starting\n" + json.dumps({"msg": "hi", "holdfast": {"unit": "web.service"}}) + "\n"
        text = self.explain(output + dump(exited(3)) + output + dump(exited(4)) + output)
        self.assertIn("status 4", text)
        self.assertNotIn("status 3", text)

    def test_control_characters_do_not_reach_the_terminal(self):
        text = self.explain(dump(exited(3, name="w\x1b[2J.service"), log("w\x1b[2J.service", "\x1b]0;x\x07 \u009b1m")))
        self.assertFalse([c for c in text if (ord(c) < 32 and c != "\n") or 0x7f <= ord(c) < 0xa0], text)

    def test_what_is_no_dump(self):
        for text in ("", "hello\n", "{}\n", "[1]\n", '{"type":"unit","unit":"x"}\n', dump().replace('"schema": 1', '"schema": 2'),
                     '{"type":"dump","schema":1} x\n', b"\0\0\0\n", b"\xff" * 100, "{" * 100000,
                     '{"type":"dump","schema":1,"x":' + "[" * 5000 + "]" * 5000 + "}\n"):
            self.explain(text, status=65)
        done = subprocess.run([EXPLAIN, "/nonexistent"], capture_output=True, check=False, timeout=10)
        self.assertEqual(done.returncode, 66)
        done = subprocess.run([EXPLAIN, "a", "b"], capture_output=True, check=False, timeout=10)
        self.assertEqual(done.returncode, 64)

    def test_what_has_other_types_than_it_should(self):
        text = self.explain(dump(
            {"type": "unit"}, {"type": "unit", "unit": 5}, {"type": "unit", "unit": "x", "requires": [1, {}, None]},
            {"type": "unit", "unit": "y", "state": "failed", "result": "exit-code", "exit_code": "1", "exit_status": 1e300},
            {"type": "event", "json": []}, {"type": "log", "unit": "y", "json": {"a": [1]}}, {"type": 5}, {"type": "new"}))
        self.assertIn("y exited with status 0", text)
        self.assertIn('{"a":[1]}', text)

    def test_many_lines_take_bounded_time_and_memory(self):
        lines = [log("web.service", f"line {i}") for i in range(20000)]
        text = self.explain(dump(exited(3), *lines))
        self.assertIn("line 19999", text)
        self.assertNotIn("line 19991\n", text)


if __name__ == "__main__":
    harness.main()
