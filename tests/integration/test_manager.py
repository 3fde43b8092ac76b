#!/usr/bin/env python3
"""Units as an operator knows them: types, order, dependencies, restarts, time limits, ends."""
import http.client
import http.server
import os
import signal
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

NOT_ESSENTIAL = "[X-Holdfast]\nEssential=no\n"


class Starts(instance.Case):
    def test_after_and_before_order_starts_and_reverse_the_stops(self):
        units = {
            "a.service": f"[Unit]\nAfter=b.service\n[Service]\nType=notify\n"
                         f"ExecStart={self.service('-n', word='a')}\n",
            "b.service": f"[Unit]\nBefore=a.service\nAfter=c.service\n[Service]\nType=notify\n"
                         f"ExecStart={self.service('-n', word='b')}\n",
            "c.service": f"[Service]\nType=oneshot\nRemainAfterExit=yes\n"
                         f"ExecStart={self.service('-e', '0', word='c')}\n"
                         f"ExecStop={self.service('-e', '0', word='c-stop')}\n",
        }
        run = self.instance(units, sorted(units))
        run.wait_running()
        self.assertEqual(run.stop(), 0)
        self.assertEqual(self.notes(), ["c run", "b start", "a start", "a stop", "b stop", "c-stop run"])

    def test_a_target_pulls_in_what_it_wants(self):
        units = {
            "all.target": "[Unit]\nWants=a.service\nRequires=b.service\n",
            "a.service": f"[Service]\nExecStart={self.service(word='a')}\n",
            "b.service": f"[Service]\nExecStart={self.service(word='b')}\n",
        }
        run = self.instance(units, ["all.target"])
        run.wait_running()
        self.wait_notes("a start", "b start")
        self.assertEqual(run.stop(), 0)
        self.assertEqual(sorted(self.notes()), ["a start", "a stop", "b start", "b stop"])

    def test_commands_before_after_and_ignored_failures(self):
        units = {"a.service": "[Service]\n"
                              f"ExecStartPre=-{self.service('-e', '3', word='pre1')}\n"
                              f"ExecStartPre={self.service('-e', '0', word='pre2')}\n"
                              f"ExecStart={self.service(word='main')}\n"
                              f"ExecStartPost={self.service('-e', '0', word='post')}\n"
                              f"ExecStopPost={self.service('-e', '0', word='after')}\n"}
        run = self.instance(units, ["a.service"])
        run.wait_running()
        self.wait_notes("main start")
        self.assertEqual(run.stop(), 0)
        notes = self.notes()
        self.assertEqual(notes[:2], ["pre1 run", "pre2 run"])
        self.assertEqual(sorted(notes[2:4]), ["main start", "post run"])
        self.assertEqual(notes[4:], ["main stop", "after run"])

    def test_a_condition_that_does_not_hold_skips_and_is_no_failure(self):
        units = {
            "a.service": f"[Unit]\nConditionPathExists=/nonexistent\n[Service]\n"
                         f"ExecStart={self.service(word='a')}\n",
            "b.service": f"[Unit]\nRequires=a.service\nAfter=a.service\n[Service]\n"
                         f"ExecStart={self.service(word='b')}\n",
        }
        run = self.instance(units, sorted(units))
        run.wait_running()
        self.wait_notes("b start")
        self.assertEqual(run.stop(), 0)
        self.assertEqual(self.notes(), ["b start", "b stop"])

    def test_a_condition_command_may_say_no(self):
        units = {
            "no.service": f"[Service]\nRestart=always\nExecCondition={self.service('-e', '1', word='no')}\n"
                          f"ExecStart={self.service(word='never')}\n",
            "yes.service": f"[Service]\nExecCondition={self.service('-e', '0', word='yes')}\n"
                           f"ExecStart={self.service(word='main')}\n",
        }
        run = self.instance(units, sorted(units))
        run.wait_running()
        self.wait_notes("main start")
        self.assertEqual(run.stop(), 0)
        self.assertEqual(sorted(self.notes()), ["main start", "main stop", "no run", "yes run"])

    def test_a_condition_command_that_fails_is_a_failure(self):
        units = {"a.service": f"[Service]\nExecCondition={self.service('-e', '255')}\n"
                              f"ExecStart={self.service(word='never')}\n"}
        run = self.instance(units, ["a.service"])
        self.assertEqual(run.wait(), 255)
        self.assertEqual(self.notes("never"), [])

    def test_an_assertion_that_does_not_hold_fails_the_unit_and_who_requires_it(self):
        units = {
            "a.service": f"[Unit]\nAssertPathExists=/nonexistent\n[Service]\n"
                         f"ExecStart={self.service(word='a')}\n{NOT_ESSENTIAL}",
            "b.service": f"[Unit]\nRequires=a.service\nAfter=a.service\n[Service]\n"
                         f"ExecStart={self.service(word='b')}\n",
        }
        run = self.instance(units, sorted(units))
        self.assertEqual(run.wait(), 1)
        self.assertEqual(self.notes(), [])
        self.assertIn("dependency", run.text)

    def test_a_socket_starts_its_service_at_the_first_connection(self):
        path = f"{self.dir}/sock"
        units = {
            "a.socket": f"[Socket]\nListenStream={path}\n",
            "a.service": f"[Service]\nExecStart={self.service(word='a')}\n",
        }
        run = self.instance(units, ["a.socket"])
        run.wait_running()
        self.assertEqual(self.notes(), [])
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            harness.wait_until(lambda: self.notes() == ["a start"], "the service was started")
        self.assertEqual(run.stop(), 0)


class Failures(instance.Case):
    def test_an_essential_unit_ends_the_instance_with_its_status(self):
        units = {"a.service": f"[Service]\nExecStart={self.service('-e', '7')}\n",
                 "b.service": f"[Service]\nExecStart={self.service(word='b')}\n"}
        run = self.instance(units, sorted(units))
        self.assertEqual(run.wait(), 7)
        self.assertIn("instance-ends", run.text)
        self.assertIn('"type":"dump"', run.text)

    def test_a_signal_gives_128_plus_its_number(self):
        units = {"a.service": f"[Service]\nExecStart={self.service('-k', '9')}\n"}
        run = self.instance(units, ["a.service"])
        self.assertEqual(run.wait(), 137)

    def test_a_missing_program_gives_203(self):
        units = {"a.service": "[Service]\nExecStart=/nonexistent/program\n"}
        run = self.instance(units, ["a.service"])
        self.assertIn(run.wait(), (78, 203))

    def test_a_unit_that_is_not_essential_ends_nothing(self):
        units = {"a.service": f"[Service]\nExecStart={self.service('-e', '7')}\n{NOT_ESSENTIAL}",
                 "b.service": f"[Service]\nExecStart={self.service(word='b')}\n"}
        run = self.instance(units, sorted(units))
        run.wait_for('"unit-failed"').wait_running()
        self.assertEqual(run.stop(), 0)

    def test_restarts_with_a_limit_then_on_failure_units(self):
        units = {
            "a.service": "[Unit]\nOnFailure=b.service\nStartLimitBurst=3\n"
                         f"[Service]\nRestart=always\nRestartSec=1ms\n"
                         f"ExecStart={self.service('-e', '0', word='a')}\n{NOT_ESSENTIAL}",
            "b.service": f"[Service]\nExecStart={self.service(word='b')}\n",
            "c.service": f"[Service]\nExecStart={self.service(word='c')}\n",
        }
        run = self.instance(units, ["a.service", "c.service"])
        run.wait_for("start-limit-hit")
        harness.wait_until(lambda: "b start" in self.notes(), "OnFailure= was started")
        self.assertEqual(self.notes("a"), ["a run"] * 3)
        self.assertEqual(run.stop(), 0)

    def test_main_pid_may_not_name_what_is_not_the_services(self):
        """Whatever is a main process is signalled by the supervisor, with the supervisor's rights."""
        message = f"{self.dir}/message"
        units = {"a.service": f"[Service]\nType=notify\nUser=nobody\nExecStart={instance.SERVICE} -n -m "
                              f"{message}\n",
                 "b.service": f"[Service]\nType=notify\nExecStart={instance.SERVICE} -n -m {message}\n"}
        run = self.instance(units, sorted(units))
        run.wait_running()
        pids = {e["unit"]: str(e["pid"]) for e in run.events("unit-up")}
        for unit, program in (("a", "holdfast-log"), ("a", "holdfast-supervisor"), ("b", "holdfast-supervisor")):
            with self.subTest(unit=unit, program=program):
                with open(f"/proc/{run.member(program)}/status", encoding="utf-8") as f:
                    pid = next(l for l in f if l.startswith("NSpid:")).split()[-1]
                self.write("message", f"MAINPID={pid}")
                start = len(run.output)
                run.kill(signal.SIGUSR1, pids[f"{unit}.service"])
                run.wait_for("main-pid-refused", start=start)
        self.assertEqual(run.stop(), 0)

    def test_a_pid_file_that_is_a_fifo_keeps_nobody_waiting(self):
        os.mkfifo(f"{self.dir}/a.pid")
        units = {"a.service": f"[Service]\nType=forking\nPIDFile={self.dir}/a.pid\nTimeoutStartSec=200ms\n"
                              f"ExecStart={self.service('-e', '0', word='a')}\n{NOT_ESSENTIAL}",
                 "b.service": f"[Service]\nExecStart={self.service(word='b')}\n"}
        run = self.instance(units, sorted(units))
        run.wait_for("a.service has failed")
        self.assertEqual(run.stop(), 0)
        self.assertNotIn("supervisor-hung", run.text)

    def test_a_start_that_takes_too_long_fails(self):
        units = {"a.service": "[Service]\nType=notify\nTimeoutStartSec=200ms\n"
                              f"ExecStart={self.service(word='a')}\n"}
        run = self.instance(units, ["a.service"])
        self.assertEqual(run.wait(), 1)
        self.assertEqual(self.notes(), ["a start", "a stop"])
        self.assertIn("timeout", run.text)

    def test_the_watchdog_bites_and_the_service_is_started_again(self):
        units = {"a.service": "[Unit]\nStartLimitBurst=2\n[Service]\nType=notify\nWatchdogSec=200ms\n"
                              "Restart=on-watchdog\nRestartSec=1ms\nWatchdogSignal=SIGTERM\n"
                              f"ExecStart={self.service('-w', '-n', word='a')}\n{NOT_ESSENTIAL}",
                 "b.service": f"[Service]\nExecStart={self.service(word='b')}\n"}
        run = self.instance(units, sorted(units))
        run.wait_for("start-limit-hit")
        self.assertEqual(self.notes("a start"), ["a start"] * 2)
        self.assertEqual(run.stop(), 0)

    def test_a_failed_command_before_the_start_prevents_it(self):
        units = {"a.service": f"[Service]\nExecStartPre={self.service('-e', '5', word='pre')}\n"
                              f"ExecStart={self.service(word='a')}\n"
                              f"ExecStopPost={self.service('-e', '0', word='after')}\n"}
        run = self.instance(units, ["a.service"])
        self.assertEqual(run.wait(), 5)
        self.assertEqual(self.notes(), ["pre run", "after run"])

    def test_a_notifying_service_that_ends_before_it_is_ready_has_broken_the_protocol(self):
        units = {"a.service": f"[Service]\nType=notify\nExecStart={self.service('-e', '0')}\n"}
        run = self.instance(units, ["a.service"])
        self.assertEqual(run.wait(), 1)
        self.assertIn("protocol", run.text)

    def test_bound_units_go_and_come_with_what_they_are_bound_to(self):
        units = {
            "a.service": "[Service]\nRestart=always\nRestartSec=50ms\n"
                         f"ExecStart={self.service(word='a')}\n",
            "b.service": "[Unit]\nBindsTo=a.service\nAfter=a.service\n[Service]\n"
                         f"ExecStart={self.service(word='b')}\n",
        }
        run = self.instance(units, sorted(units))
        run.wait_running()
        harness.wait_until(lambda: self.notes("a start"), "a simple service has got so far")
        with open(self.notes_path, encoding="utf-8") as f:
            pid = [line.split()[2] for line in f if line.startswith("a start")][0]
        run.kill(signal.SIGKILL, pid)
        harness.wait_until(lambda: self.notes("b start") == ["b start"] * 2, "b came back")
        self.assertEqual(self.notes("b stop"), ["b stop"])
        self.assertEqual(run.stop(), 0)

    def test_a_finished_oneshot_ends_an_instance_that_has_nothing_else(self):
        units = {"a.service": f"[Service]\nType=oneshot\nExecStart={self.service('-e', '0')}\n"}
        run = self.instance(units, ["a.service"])
        self.assertEqual(run.wait(), 0)


class Ends(instance.Case):
    def test_every_stop_signal_stops(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGPWR,
                       signal.SIGRTMIN + 3):
            with self.subTest(signal=number):
                units = {"a.service": f"[Service]\nExecStart={self.service()}\n"}
                with instance.Instance(self.dir, units, ["a.service"]) as run:
                    run.wait_running()
                    self.assertEqual(run.stop(number), 0)

    def test_hup_changes_nothing(self):
        units = {"a.service": f"[Service]\nExecStart={self.service()}\n"}
        run = self.instance(units, ["a.service"])
        run.wait_running()
        self.wait_notes("service start")
        os.kill(run.init, signal.SIGHUP)
        run.wait_for("signal-ignored")
        self.assertEqual(self.notes(), ["service start"])
        self.assertEqual(run.stop(), 0)

    def test_usr1_writes_the_dump(self):
        units = {"a.service": f"[Service]\nExecStart={self.service()}\n"}
        run = self.instance(units, ["a.service"])
        run.wait_running()
        os.kill(run.init, signal.SIGUSR1)
        run.wait_for('"type":"end"')
        self.assertEqual(run.stop(), 0)

    def test_a_drain_comes_first_and_a_second_signal_skips_it(self):
        units = {"a.service": f"[Service]\nExecStart={self.service()}\n"}
        run = self.instance(units, ["a.service"], options=["--stop-timeout", "60"],
                            conf="[Holdfast]\nDrainSec=20\n")
        run.wait_running()
        self.wait_notes("service start")
        os.kill(run.init, signal.SIGTERM)
        run.wait_for("the instance is draining")
        self.assertEqual(self.notes(), ["service start"])
        self.assertEqual(run.stop(), 0)

    def test_a_service_that_does_not_end_is_killed_within_the_budget_and_gives_137(self):
        units = {"a.service": f"[Service]\nExecStart={self.service('-t')}\n"}
        run = self.instance(units, ["a.service"], options=["--stop-timeout", "3"])
        run.wait_running()
        harness.wait_until(lambda: "service start" in self.notes(), "it ignores TERM")
        self.assertEqual(run.stop(), 137)
        self.assertIn("service ignored", self.notes())

    def test_processes_that_a_service_leaves_behind_end_with_it(self):
        units = {"a.service": f"[Service]\nTimeoutStopSec=200ms\nExecStart={self.service('-c')}\n"}
        run = self.instance(units, ["a.service"])
        run.wait_running()
        harness.wait_until(lambda: "service child" in self.notes(), "it has a child")
        child = [p for p in harness.descendants(run.init)
                 if os.readlink(f"/proc/{p}/exe") == instance.SERVICE]
        self.assertEqual(len(child), 2)
        run.stop()
        self.assertFalse(any(os.path.exists(f"/proc/{p}") for p in child))

    def test_kill_mode_mixed_sends_term_to_the_main_process_alone(self):
        units = {"a.service": "[Service]\nKillMode=mixed\nTimeoutStopSec=300ms\n"
                              f"ExecStart={self.service('-c')}\n"}
        run = self.instance(units, ["a.service"])
        run.wait_running()
        harness.wait_until(lambda: "service child" in self.notes(), "it has a child")
        run.stop()
        self.assertEqual(self.notes("service stop"), ["service stop"])


    def test_kill_mode_mixed_waits_for_nobody_once_the_main_process_is_gone(self):
        units = {"a.service": "[Service]\nKillMode=mixed\nTimeoutStopSec=1h\nRestart=always\n"
                              f"ExecStart={self.service('-c')}\n"}
        run = self.instance(units, ["a.service"])
        run.wait_running()
        harness.wait_until(lambda: "service child" in self.notes(), "it has a child")
        os.kill(next(p for p in harness.children(run.init)
                     if os.readlink(f"/proc/{p}/exe") == instance.SERVICE), signal.SIGKILL)
        harness.wait_until(lambda: self.notes("service start") == ["service start"] * 2,
                           "it is started again")
        self.assertEqual(run.events("unit-killing"), [])


class Answers(http.server.BaseHTTPRequestHandler):
    """What the probed service would say; the test decides."""
    status = 200

    def do_GET(self):  # pylint: disable=invalid-name
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


class Probes(instance.Case):
    """The probed address is the test's own server: the namespace shares the network."""

    def setUp(self):
        super().setUp()
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
        self.server.status = 503
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ready"

    def unit(self, section, question=None, service="", keys=""):
        return (f"[Service]\nExecStart={self.service()}\n{service}\n[{section}]\n"
                f"{question or 'HTTPGet=' + self.url}\nPeriodSec=100ms\n{keys}\n")

    def readyz(self, run):
        connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=harness.DEADLINE)
        connection.request("GET", "/readyz")
        return connection.getresponse().status

    def test_readiness_follows_the_answers(self):
        run = self.instance({"a.service": self.unit("X-Readiness", keys="FailureThreshold=2")},
                            ["a.service"], health=True)
        run.wait_for(f"the readiness probe fails: {self.url}: it answered 503")
        self.assertEqual(self.readyz(run), 503)
        self.server.status = 204
        run.wait_for("the readiness probe passes")
        self.assertEqual(self.readyz(run), 200)
        self.server.status = 500
        run.wait_for("it answered 500")
        self.assertEqual(self.readyz(run), 503)
        self.assertEqual(len(run.events("probe-failed")), 2)
        self.assertEqual(run.stop(), 0)
        self.assertEqual(self.notes("service start"), ["service start"])

    def test_startup_holds_the_instance_back(self):
        run = self.instance({"a.service": self.unit("X-Startup", keys="FailureThreshold=1000")},
                            ["a.service"])
        run.wait_for('"unit-up"')
        self.assertNotIn("the instance is running", run.text)
        self.server.status = 200
        run.wait_running()
        self.assertEqual(run.stop(), 0)

    def test_liveness_is_a_failure_of_the_service(self):
        units = {"a.service": "[Unit]\nStartLimitBurst=2\n" +
                              self.unit("X-Liveness", service="Restart=on-failure\nRestartSec=1ms",
                                        keys="FailureThreshold=2")}
        run = self.instance(units, ["a.service"])
        run.wait_for('"probe-failed"').wait_for("start-limit-hit")
        self.assertEqual(run.wait(), 1)
        self.assertEqual(self.notes("service start"), ["service start"] * 2)

    def test_a_closed_port_a_silent_one_and_a_command(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            for section, question, sign in (
                    ("X-Readiness", f"TCPSocket={port}", "the readiness probe passes"),
                    ("X-Liveness", f"HTTPGet=http://127.0.0.1:{port}/\nTimeoutSec=100ms",
                     "no answer within TimeoutSec= (0.1 s)"),
                    ("X-Liveness", f"TCPSocket={harness.free_port()}", "so the service has failed: 127.0.0.1"),
                    ("X-Readiness", f"Exec={instance.SERVICE} -e 0", "the readiness probe passes"),
                    ("X-Liveness", f"Exec={instance.SERVICE} -e 1", "it ended with status 1")):
                with self.subTest(question=question), instance.Instance(
                        self.dir, {"a.service": self.unit(section, question)}, ["a.service"]) as run:
                    run.wait_for(sign)

    def test_a_new_supervisor_goes_on_probing(self):
        self.server.status = 200
        run = self.instance({"a.service": self.unit("X-Readiness", keys="FailureThreshold=1")},
                            ["a.service"], health=True)
        run.wait_for("the readiness probe passes")
        os.kill(run.member("holdfast-supervisor"), signal.SIGKILL)
        run.wait_for("supervisor-adopted")
        self.assertEqual(self.readyz(run), 200)
        self.server.status = 500
        run.wait_for("the readiness probe fails")
        self.assertEqual(run.stop(), 0)


if __name__ == "__main__":
    harness.main()
