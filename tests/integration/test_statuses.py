#!/usr/bin/env python3
"""The exit statuses of the design's section 3, each by an instance that ends with it, and the cause in
/dev/termination-log."""
import json
import os
import re
import resource
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

# Ignores signals that libc keeps for itself (32 and 33, and musl 34), as whoever starts us may.
IGNORE = """import ctypes, os, sys
libc = ctypes.CDLL(None)
action = (ctypes.c_ulong * 8)(1)
rt_sigaction = {"x86_64": 13, "aarch64": 134}[os.uname().machine]
for number in (32, 33, 34):
    assert libc.syscall(rt_sigaction, number, action, None, 8) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""

# A /dev of the instance's own with a file for the cause, as Kubernetes gives one.
DEV = ('mkdir -p "{0}/dev" && mount -t tmpfs -o mode=755 dev "{0}/dev" && for f in null zero full random '
       'urandom; do touch "{0}/dev/$f" && mount --bind /dev/$f "{0}/dev/$f" || exit 99; done && '
       'touch "{0}/termination" "{0}/dev/termination-log" && mkdir -p "{0}/dev/shm" && '
       'mount --bind "{0}/termination" "{0}/dev/termination-log" && mount --rbind "{0}/dev" /dev && '
       'exec "$0" "$@"')


class Statuses(instance.Case):
    def run_units(self, text, cause, become="", before="", **options):
        units = {"a.service": text}
        script = before + DEV.format(self.dir).replace("exec", f"exec {become}")
        run = self.instance(units, ["a.service"], wrap=("sh", "-c", script), **options)
        status = run.wait()
        with open(f"{self.dir}/termination", encoding="utf-8") as f:
            written = f.read()
        self.assertLessEqual(len(written), 4096)
        self.assertIn(cause, written, run.text)
        return status

    def service_text(self, *options):
        return f"[Service]\nExecStart={self.service(*options)}\n"

    def test_its_own(self):
        self.assertEqual(self.run_units(self.service_text("-e", "42"), "a.service"), 42)

    def test_a_signal(self):
        self.assertEqual(self.run_units(self.service_text("-k", "6"), "a.service"), 134)

    def test_203_exec(self):
        program = self.write("text", "no program\n", 0o755)
        self.assertEqual(self.run_units(f"[Service]\nExecStart={program}\n", "EXEC"), 203)

    def test_200_chdir(self):
        text = self.service_text() + "WorkingDirectory=/nonexistent\n"
        self.assertEqual(self.run_units(text, "enter the working directory: /nonexistent: No such file"), 200)

    def run_without(self, capability, text, cause):
        return self.run_units(text, cause, become=f"setpriv --bounding-set=-{capability} --")

    def test_216_group(self):
        text = self.service_text() + "User=nobody\n"
        self.assertEqual(self.run_without("setgid", text, "this needs CAP_SETGID"), 216)

    def test_217_user(self):
        text = self.service_text() + "User=nobody\n"
        cause = "without CAP_SETUID only our own, 0, can be had: run the container as the unit's user"
        self.assertEqual(self.run_without("setuid", text, cause), 217)

    def test_218_capabilities(self):
        text = self.service_text() + "User=nobody\nAmbientCapabilities=CAP_SYS_TIME\n"
        self.assertEqual(self.run_without("sys_time", text, "AmbientCapabilities= asks for"), 218)

    def test_226_namespace(self):
        text = self.service_text() + "TemporaryFileSystem=/proc/nowhere\n"
        self.assertEqual(self.run_units(text, "set up mounts: /proc/nowhere"), 226)

    def test_78_configuration(self):
        self.assertEqual(self.run_units(self.service_text() + "Restart=perhaps\n", "a.service:3:9"), 78)

    def test_a_command_before_the_main_process(self):
        """Its set-up fails as that of the main process does, and is told in the same words."""
        program = self.write("text", "no program\n", 0o755)
        text = f"{self.service_text()}ExecStartPre={program}\n"
        self.assertEqual(self.run_units(text, f"cannot execute: {program}: Exec format error"), 203)
        text = f"{self.service_text()}ExecStartPre={self.service('-e', '7', word='before')}\n"
        self.assertEqual(self.run_units(text, "exit-code, status 7"), 7)
        self.assertNotIn("service start", self.notes())

    def test_238_to_240_directories_of_its_own(self):
        for kind, path, status in (("State", "lib", 238), ("Cache", "cache", 239), ("Logs", "log", 240)):
            with self.subTest(kind=kind):
                text = f"{self.service_text()}{kind}Directory=of-a-test\n"
                cause = f"set-up step {kind.upper()}_DIRECTORY) after 0 restarts; the instance ends with status {status}: cannot "
                self.assertEqual(self.run_units(text, cause, before=f"mount -t tmpfs none /var/{path} && touch /var/{path}/of-a-test && "), status)

    def test_243_credentials(self):
        source = self.write("app.ini", "[db]\npassword = {{ DB }}\n")
        text = f"{self.service_text()}[X-Holdfast]\nConfig=DB env:GIVEN\n[X-Templates]\napp.ini={source}\n"
        cause = f"set-up step CREDENTIALS) after 0 restarts; the instance ends with status 243: cannot write the credentials: {source}:2:12"
        self.assertEqual(self.run_units(text, cause, env={"GIVEN": "two\nlines"}), 243)

    def test_66_a_required_secret(self):
        text = self.service_text() + "[X-Holdfast]\nSecret=A file:/nonexistent/secret\n"
        self.assertEqual(self.run_units(text, "/nonexistent/secret"), 66)

    def test_a_helper_says_why(self):
        """What it said of the first secret that failed, and not only that it did."""
        text = self.service_text() + "[X-Holdfast]\nSecret=A cred:key\n"
        cause = "secret A (cred:key) was not found: holdfast itself was given no credentials"
        self.assertEqual(self.run_units(text, cause), 66)

    def test_66_a_required_file(self):
        text = self.service_text() + "EnvironmentFile=/nonexistent/file\n"
        self.assertEqual(self.run_units(text, "/nonexistent/file"), 66)

    def test_78_what_is_there_and_is_no_file(self):
        """66 says that something is missing; here it is of the wrong kind."""
        os.mkfifo(f"{self.dir}/fifo")
        os.makedirs(f"{self.dir}/units/a.service")
        run = instance.Instance(self.dir, {}, ["a.service"])
        self.addCleanup(run.close)
        self.assertEqual(run.wait(), 78, run.text)
        os.rmdir(f"{self.dir}/units/a.service")
        for text in (f"EnvironmentFile={self.dir}/fifo\n", f"EnvironmentFile={self.dir}\n",
                     f"[X-Holdfast]\nSecret=A file:{self.dir}/fifo\n"):
            with self.subTest(text=text):
                run = self.instance({"a.service": self.service_text() + text}, ["a.service"])
                self.assertEqual(run.wait(), 78, run.text)
                self.assertIn("a.service", run.text)
        run = self.start(harness.HOLDFAST, "--conf", f"{self.dir}/fifo", "--stop-timeout", "5")
        self.assertEqual(run.wait(), 78, run.text)

    def test_78_names_the_section_that_lacks_a_command(self):
        text = "[Unit]\nDescription=x\n\n[Service]\nType=exec\n"
        self.assertEqual(self.run_units(text, "a.service:4:1: a.service: no ExecStart="), 78)

    def test_71_a_root_that_is_writable_and_cannot_be_made_read_only(self):
        self.write("termination", "", 0o666)
        os.chmod(f"{self.dir}/termination", 0o666)
        status = self.run_units(self.service_text(), "root", conf="[Holdfast]\nReadOnlyRoot=enforce\n",
                                become="setpriv --reuid=1000 --regid=1000 --clear-groups "
                                       "--bounding-set=-all --inh-caps=-all --no-new-privs")
        self.assertEqual(status, 71)
        self.assertEqual(self.notes(), [])

    def test_signals_that_libc_hides_are_handed_on_as_they_came(self):
        units = {"a.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nIgnoreSIGPIPE=no\n"
                              f"ExecStart={harness.APPS}/selfie\n"}
        run = self.instance(units, ["a.service"], wrap=(sys.executable, "-c", IGNORE))
        run.wait_running()
        with open(f"/proc/{run.init}/status", encoding="utf-8") as f:
            own = re.search(r"SigIgn:\t(\w+)", f.read())[1]
        self.assertEqual(int(own, 16), 0)
        self.assertEqual(run.stop(), 0, run.text)
        said = next(json.loads(line) for line in run.text.splitlines() if '"SigIgn"' in line)
        self.assertEqual(int(said["SigIgn"], 16) >> 31, 7)

    def test_69_an_address_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            run = self.instance({"a.service": self.service_text()}, ["a.service"],
                                conf=f"[Health]\nListen=127.0.0.1:{port}\n")
            self.assertEqual(run.wait(), 69, run.text)
            self.assertIn(f"127.0.0.1:{port}", run.text)
        self.assertEqual(self.notes(), [])

    def test_70_a_daemon_that_cannot_be_kept_alive(self):
        run = self.instance({"a.service": self.service_text()}, ["a.service"])
        run.wait_running()
        # Five deaths in ten seconds; each start again waits for twice as long as the last one.
        for died in range(1, 6):
            os.kill(run.member("holdfast-supervisor"), signal.SIGKILL)
            harness.wait_until(lambda n=died: (run.pump(), len(run.events("daemon-died")) >= n)[1],
                               "its death is seen")
        self.assertEqual(run.wait(), 70, run.text)
        self.assertIn("holdfast-supervisor cannot be kept alive: it died 5 times in 10 s, at last by signal 9", run.text)
        self.assertIn("service stop", self.notes())

    def test_77_a_secret_that_may_not_be_read(self):
        os.chmod(self.dir, 0o711)
        secret = self.write("secret", "value", 0o000)
        run = self.instance({"a.service": self.service_text() +
                             f"[X-Holdfast]\nSecret=A file:{secret}\n"}, ["a.service"],
                            wrap=("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"))
        self.assertEqual(run.wait(), 77, run.text)
        self.assertIn(secret, run.text)

    def test_daemons_that_are_told_to_end_with_us_are_no_accident(self):
        """podman with --pid=host sends TERM to every process of the container."""
        run = self.instance({"a.service": self.service_text()}, ["a.service"], health=True)
        run.wait_running()
        told = [run.init, run.member("holdfast-health"), run.member("holdfast-supervisor")]
        os.kill(run.init, signal.SIGSTOP)
        for pid in told:
            os.kill(pid, signal.SIGTERM)
        os.kill(run.init, signal.SIGCONT)
        self.assertEqual(run.wait(), 0, run.text)
        self.assertEqual([e for e in run.events("daemon-died") if e["level"] != "info"], [])

    def test_71_too_few_open_files(self):
        for limit, words in ((100, "open files, and the hard limit is 100"), (30, "must be 64 or more")):
            with self.subTest(limit=limit):
                run = self.instance({"a.service": self.service_text()}, ["a.service"],
                                    wrap=["prlimit", f"--nofile={limit}"])
                self.assertEqual(run.wait(), 71, run.text)
                self.assertIn(words, run.text)

    def test_few_open_files_are_more_where_the_hard_limit_allows(self):
        """The service still gets what holdfast was started with."""
        units = {"a.service": f"[Service]\nType=oneshot\nExecStart={harness.APPS}/selfie\n"}
        run = self.instance(units, ["a.service"], wrap=["prlimit", "--nofile=20:4096"])
        self.assertEqual(run.wait(), 0, run.text)
        said = next(json.loads(line) for line in run.text.splitlines() if '"limits"' in line)
        self.assertEqual(said["limits"][resource.RLIMIT_NOFILE], [20, 4096])

    def protections(self, **options):
        run = self.instance({"a.service": self.service_text("-e", "0")}, ["a.service"], **options)
        self.assertEqual(run.wait(), 0, run.text)
        return {e["name"]: (e["level"], e["msg"]) for e in run.events("protection")}

    def test_what_a_unit_asks_for_and_cannot_have_is_said(self):
        units = {"a.service": self.service_text("-e", "0") + "OOMScoreAdjust=-500\nNice=-5\n"}
        run = self.instance(units, ["a.service"],
                            wrap=("setpriv", "--bounding-set=-sys_resource,-sys_nice", "--"))
        self.assertEqual(run.wait(), 0, run.text)
        said = " ".join(e["msg"] for e in run.events("setup-weakened"))
        self.assertIn("OOMScoreAdjust=-500 cannot be had without CAP_SYS_RESOURCE", said)
        self.assertIn("Nice=-5 cannot be had without CAP_SYS_NICE", said)

    def test_what_the_kernel_took_away_is_said(self):
        self.assertNotIn("clone3", self.protections()["kernel"][1])
        for error in ((), ("-e",)):
            level, text = self.protections(wrap=(f"{harness.APPS}/enosys", *error, "clone3",
                                                 "pidfd_open", "--"))["kernel"]
            self.assertEqual(level, "reduced")
            self.assertRegex(text, r"^kernel: reduced; without clone3, pidfd_open(, landlock)?: ")

    def test_how_far_shells_are_refused_is_said(self):
        level, text = self.protections()["shells"]
        self.assertEqual(level, "reduced")
        self.assertIn("refused in units; for whoever comes from outside", text)
        level, text = self.protections(conf="[Holdfast]\nShells=warn\n")["shells"]
        self.assertEqual(level, "none")
        self.assertIn("warned of in units", text)

    def test_a_writable_root_that_is_accepted_is_left_alone(self):
        run = self.instance({"a.service": self.service_text("-e", "0")}, ["a.service"])
        self.assertEqual(run.wait(), 0, run.text)
        self.assertIn("ReadOnlyRoot=warn leaves it as it is", run.text)
        self.assertNotIn("remount", run.text)

    def test_the_log_s_format_holds_from_the_first_line(self):
        """Also of a boot that fails: as soon as whatever asked for the format could be read."""
        wrong = {"a.service": "[Service]\nExecStart=x\n"}
        for log_format, says_its_end in (("json", True), ("plain", True), ("raw", False)):
            for source in ("environment", "file"):
                with self.subTest(log_format=log_format, source=source):
                    env = {"HOLDFAST_LOG_FORMAT": log_format} if source == "environment" else {}
                    conf = "" if env else f"[Holdfast]\nLogFormat={log_format}\n"
                    run = self.instance(wrong, ["a.service"], env=env, conf=conf)
                    self.assertEqual(run.wait(), 78)
                    self.assertEqual(len(run.events()), len(run.text.splitlines()) * (log_format == "json"))
                    for event in run.events():
                        self.assertRegex(event["ts"], r"^20\d\d-\d\d-\d\dT[\d:.]{15}Z$")
                    self.assertEqual(run.text.count("a.service:2:11: "), 1, run.text)
                    self.assertEqual(run.text.count("exits with 78"), says_its_end)

    def test_a_command_that_cannot_be_run_is_told_in_plain_words(self):
        run = self.start(*"unshare --pid --fork --kill-child --mount-proc --mount".split(),
                         harness.HOLDFAST, "--secret", f"A=file:{self.dir}/none", "--", "/bin/true",
                         env={"HOLDFAST_NO_KEY": "1"})
        self.assertEqual(run.wait(), 66)
        unknown, cause = run.text.splitlines()
        self.assertEqual(unknown, "holdfast: HOLDFAST_NO_KEY stands for no key of holdfast.conf and is ignored")
        self.assertRegex(cause, "^holdfast: .*/none: No such file or directory$")

    def test_64_usage(self):
        run = self.start(harness.HOLDFAST, "--no-such-option")
        self.assertEqual(run.wait(), 64, run.text)

    def managed(self, *command):
        run = instance.Instance(self.dir, {}, [], options=[
            f"--health=127.0.0.1:{harness.free_port()}", "--", *command])
        self.addCleanup(run.close)
        return run

    def test_a_command_under_the_supervisor(self):
        script = self.write("script", "no program\n", 0o644)
        for command, status in ((["/nonexistent/program"], 127), ([script], 126),
                                ([instance.SERVICE, "-e", "9"], 9),
                                ([instance.SERVICE, "-k", "9"], 137)):
            with self.subTest(command=command):
                run = self.managed(*command)
                self.assertEqual(run.wait(), status, run.text)

    def test_one_budget_for_the_whole_stop(self):
        """Five units in a chain, each of which would take its 90 s, get the budget together."""
        units = {f"u{i}.service": (f"[Unit]\nAfter=u{i - 1}.service\n" if i else "") +
                 f"[Service]\nExecStart={self.service('-t', word=f'u{i}')}\n" for i in range(5)}
        run = self.instance(units, sorted(units), options=["--stop-timeout", "4"])
        run.wait_running()
        harness.wait_until(lambda: len(self.notes()) == 5, "all have begun")
        start = time.monotonic()
        self.assertEqual(run.stop(), 137)
        self.assertLess(time.monotonic() - start, 10)
        self.assertEqual(self.notes("u4")[:2], ["u4 start", "u4 ignored"])


if __name__ == "__main__":
    harness.main()
