#!/usr/bin/env python3
"""Attacks on whole instances: wrong configuration, an environment that refuses everything, services
that behave as badly as they can, signals, and stops at the worst moment."""
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

HOSTILE = f"{harness.APPS}/hostile"
CTL = f"{harness.BIN}/holdfastctl"
CRASH_BIN = f"{harness.ROOT}/build/crash/bin"
NOT_ESSENTIAL = "[X-Holdfast]\nEssential=no\n"
PLACE = re.compile(r"[\w./-]+:\d+:\d+: ")


class Attack(instance.Case):
    def good(self, word="good"):
        return {f"{word}.service": f"[Service]\nExecStart={self.service(word=word)}\n"}

    def hostile(self, *words, user="", options=""):
        user = f"User={user}\n" if user else ""
        return {"bad.service": f"[Service]\n{user}{options}"
                               f"ExecStart={HOSTILE} {self.dir}/bad {' '.join(map(str, words))}\n"
                               f"{NOT_ESSENTIAL}"}

    def await_done(self, run, what="done"):
        def has():
            run.pump()
            return os.path.exists(f"{self.dir}/bad") and what in \
                open(f"{self.dir}/bad", encoding="utf-8").read()
        harness.wait_until(has, f"the attack is over: {run.text[-2000:]}")

    def attacked(self, *words, **options):
        """An instance in which the attack is over, with a good service beside it."""
        open(f"{self.dir}/bad", "w", encoding="utf-8").close()
        os.chmod(f"{self.dir}/bad", 0o666)
        units = {**self.good(), **self.hostile(*words, **options)}
        run = self.instance(units, sorted(units))
        run.wait_for("the instance is running")
        self.await_done(run)
        return run

    def ends_well(self, run):
        harness.wait_until(lambda: "good start" in self.notes("good"), "it has begun")
        self.assertEqual(run.stop(), 0)
        self.assertEqual(self.notes("good"), ["good start", "good stop"])

    def shell(self, script):
        """Runs a script in the instance's namespaces just before holdfast."""
        return ("sh", "-c", script + '; exec "$0" "$@"')


class Configuration(Attack):
    def refused(self, units, wanted, place=True, status=78, **options):
        run = self.instance({**self.good(), **units}, ["good.service", *wanted], **options)
        self.assertEqual(run.wait(), status, run.text)
        self.assertEqual(self.notes(), [])
        if place:
            self.assertRegex(run.text, PLACE)
        return run.text

    def test_what_is_wrong_is_named_with_its_place(self):
        start = f"ExecStart={self.service(word='a')}\n"
        for text in (f"[Service]\n{start}Restart=sometimes\n",
                     f"[Service]\n{start}TimeoutStopSec=-5 parsecs\n",
                     f"[Service\n{start}",
                     f"Service\n{start}",
                     f"[Service]\n{start}this is no assignment\n",
                     "[Service]\nExecStart=relative/path\n",
                     "[Service]\nExecStart=/bin/true 'unbalanced\n",
                     f"[Service]\nType=oneshot-ish\n{start}",
                     f"[Service]\n{start}User=nobody-of-that-name\n",
                     f"[Service]\n{start}[X-Holdfast]\nSecret=A ssm:${{UNDEFINED_VARIABLE}}/x\n",
                     f"[Unit]\nAfter=b.service\n[Service]\n{start}"):
            with self.subTest(text=text):
                units = {"a.service": text,
                         "b.service": f"[Unit]\nAfter=a.service\nRequires=a.service\n[Service]\n{start}"}
                self.refused(units, ["a.service", "b.service"])

    def test_a_unit_that_is_missing(self):
        self.assertIn("nowhere.service", self.refused({}, ["nowhere.service"]))

    def test_a_cycle_among_many(self):
        units = {f"u{i}.service": f"[Unit]\nAfter=u{(i + 1) % 1000}.service\n"
                                  f"[Service]\nExecStart={self.service(word='u')}\n"
                 for i in range(1000)}
        self.assertIn("cycle", self.refused(units, sorted(units)))

    def special(self, make, name="a.service"):
        os.makedirs(f"{self.dir}/units", exist_ok=True)
        make(f"{self.dir}/units/{name}")

    def test_a_folder_in_place_of_a_unit(self):
        self.special(os.mkdir)
        self.refused({}, ["a.service"], place=False, status=78)

    def test_a_fifo_in_place_of_a_unit(self):
        self.special(os.mkfifo)
        self.assertIn("no regular file",
                      self.refused({}, ["a.service"], place=False, status=78))

    def test_a_fifo_in_place_of_an_environment_file(self):
        os.mkfifo(f"{self.dir}/env")
        self.refused({"a.service": f"[Service]\nEnvironmentFile={self.dir}/env\n"
                                   f"ExecStart={self.service(word='a')}\n"}, ["a.service"],
                     place=False, status=78)

    def test_a_fifo_in_place_of_a_secret(self):
        os.mkfifo(f"{self.dir}/secret")
        run = self.instance({"a.service": f"[Service]\nExecStart={self.service(word='a')}\n"
                                          f"[X-Holdfast]\nSecret=A file:{self.dir}/secret\n"},
                            ["a.service"])
        self.assertIn(run.wait(), (66, 78), run.text)
        self.assertEqual(self.notes(), [])

    def test_ten_megabytes_of_a_unit(self):
        self.refused({"a.service": "[Service]\n" + "# " + "x" * 100 + "\n" * 1 +
                      ("Environment=A=" + "y" * 1000 + "\n") * 10000 +
                      f"ExecStart={self.service(word='a')}\n"}, ["a.service"], place=False)

    def test_a_configuration_file_that_is_none(self):
        for make in (os.mkdir, os.mkfifo):
            with self.subTest(make=make.__name__):
                path = f"{self.dir}/{make.__name__}.conf"
                make(path)
                run = self.start(harness.HOLDFAST, "--conf", path)
                self.assertEqual(run.wait(), 78, run.text)
                self.assertIn(path, run.text)


class Environment(Attack):
    def run_in(self, script, **options):
        run = self.instance(self.good(), ["good.service"], wrap=self.shell(script), **options)
        run.wait_running()
        return run

    def test_run_is_full(self):
        run = self.instance(self.good(), ["good.service"], wrap=self.shell(
            "mount -t tmpfs shm /dev/shm; mount -o remount,size=8k run /run; dd if=/dev/zero of=/run/fill bs=4k count=9 2>/dev/null"))
        run.wait_running()
        self.assertRegex(run.text, "public-files: (/dev/shm/holdfast|none)")
        self.ends_well(run)

    def test_run_is_filled_later(self):
        run = self.run_in("mount -o remount,size=16m run /run", health=True)
        with contextlib.suppress(OSError), open(run.at("/run/fill"), "wb", buffering=0) as f:
            while f.write(bytes(1 << 16)):
                pass
        for _ in range(200):
            os.kill(run.init, signal.SIGHUP)
        run.wait_for("signal-ignored")
        self.assertEqual(run.inside(CTL, "dump").returncode, 0)
        self.assertEqual(run.events("daemon-died"), [])
        self.ends_well(run)

    def test_run_and_shm_are_read_only(self):
        run = self.run_in("mount -o remount,ro run /run; mount -t tmpfs -o ro shm /dev/shm")
        self.assertIn("public-files: none", run.text)
        # The dump that PID 1 asks for needs no public file: its store has what is shared.
        os.kill(run.init, signal.SIGUSR1)
        run.wait_for('{"type":"end"')
        self.assertRegex(run.text, r'"type":"unit".*"good.service"')
        self.ends_well(run)

    def test_few_file_descriptors(self):
        for limit in (4, 16, 24, 32, 48):
            with self.subTest(limit=limit):
                if os.path.exists(self.notes_path):
                    os.unlink(self.notes_path)
                run = self.instance(self.good(), ["good.service"],
                                    wrap=("prlimit", f"--nofile={limit}:{limit}"))
                status = run.finish_or_stop()
                self.assertIn(status, (0, 70, 71, 78, 127), run.text)
                if status:
                    self.assertNotEqual(run.text.strip(), "")

    def test_no_process_is_to_be_had(self):
        """The PID namespace's own limit is reached by a service: nothing dies of it."""
        open(f"{self.dir}/bad", "w", encoding="utf-8").close()
        units = {**self.good(), **self.hostile("orphans", 1200)}
        run = self.instance(units, sorted(units), wrap=self.shell(
            "echo 400 >/proc/sys/kernel/pid_max || exit 99"), bin_dir=CRASH_BIN)
        self.await_done(run)
        log = run.member("holdfast-log")
        os.kill(log, signal.SIGKILL)
        harness.wait_until(lambda: not os.path.exists(f"/proc/{log}"), "it is gone")
        self.assertEqual(run.stop(), 0, run.text[-3000:])
        self.assertIn("holdfast-log has died", run.text)
        self.assertNotIn("daemon-hopeless", run.text)
        self.assertEqual(self.notes("good"), ["good start", "good stop"])

    def test_standard_output_is_closed_or_full(self):
        for where in (">&- 2>&-", ">/dev/full 2>/dev/full", "<&-"):
            with self.subTest(where=where):
                if os.path.exists(self.notes_path):
                    os.unlink(self.notes_path)
                run = self.instance(self.good(), ["good.service"],
                                    wrap=("sh", "-c", f'exec "$0" "$@" {where}'))
                harness.wait_until(lambda: self.notes() == ["good start"], "it runs")
                os.kill(run.init, signal.SIGTERM)
                self.assertEqual(run.child.wait(harness.DEADLINE), 0)
                self.assertEqual(self.notes(), ["good start", "good stop"])

    def test_nobody_reads_the_output(self):
        units = {**self.good()}
        for i in range(3):
            units[f"flood{i}.service"] = (f"[Service]\nExecStart={HOSTILE} {self.dir}/bad firehose 50\n"
                                          f"{NOT_ESSENTIAL}")
        run = self.instance(units, sorted(units))
        harness.wait_until(lambda: os.path.exists(f"{self.dir}/bad") and
                           open(f"{self.dir}/bad", encoding="utf-8").read().count("done") == 3,
                           "nobody waits for a reader")
        os.kill(run.init, signal.SIGTERM)
        harness.wait_until(lambda: "good stop" in self.notes(), "the stop goes on")
        harness.wait_until(lambda: not harness.children(run.pid), "PID 1 does not wait for a reader")
        self.assertEqual(run.wait(), 0)

    def test_uid_1000_with_nothing(self):
        os.chmod(self.dir, 0o777)
        run = self.instance(self.good(), ["good.service"], wrap=(
            "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=-all",
            "--bounding-set=-all", "--no-new-privs"))
        run.wait_running()
        self.ends_well(run)


class Services(Attack):
    def test_five_hundred_forks(self):
        self.ends_well(self.attacked("forks", 500))

    def test_orphans_are_reaped_and_nothing_is_restarted(self):
        run = self.attacked("orphans", 200)

        def zombies():
            found = []
            for pid in harness.children(run.init):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                        found += [pid] if f.read().rsplit(")", 1)[1][1] == "Z" else []
            return found
        harness.wait_until(lambda: not zombies(), "no zombie is left")
        self.assertEqual(run.events("unit-restarting"), [])
        self.ends_well(run)

    def test_signals_from_inside(self):
        self.ends_well(self.attacked("burst", 10000))

    def test_every_signal_from_inside(self):
        run = self.attacked("signals")
        run.wait_for('"type":"end"')
        self.ends_well(run)

    def test_ten_thousand_stops(self):
        units = {**self.good(), **self.hostile("terms", 10000)}
        run = self.instance(units, sorted(units))
        self.assertEqual(run.wait(), 0, run.text[-3000:])

    def test_garbage_for_the_notify_socket(self):
        run = self.attacked("notify", 10000, options="NotifyAccess=all\n")
        supervisor = run.member("holdfast-supervisor")
        self.assertLess(len(os.listdir(f"/proc/{supervisor}/fd")), 80)
        self.assertEqual(run.events("daemon-died"), [])
        self.assertLess(len(run.events("notify-refused")), 1000)
        self.ends_well(run)

    def test_connections_that_take_an_hour_to_close(self):
        """Sent to the notify socket: whoever takes them closes them."""
        run = self.attacked("linger", 20, options="NotifyAccess=all\n")
        harness.wait_until(lambda: "lingering" in run.inside(f"{harness.BIN}/holdfastctl", "status", "bad").stdout.decode(),
                           "they were taken")
        self.ends_well(run)
        self.assertEqual(run.events("daemon-died") + run.events("supervisor-hung"), [])

    def test_a_closed_stdout(self):
        self.ends_well(self.attacked("mute"))

    def test_murder_as_another_user(self):
        run = self.attacked("murder", user="nobody")
        self.assertEqual(run.events("daemon-died"), [])
        self.ends_well(run)

    def attack_files(self, count, **options):
        """A root service that writes over the public files and cuts them; count: how many it could."""
        notes = "/tmp/bad" if options.get("rung") else f"{self.dir}/bad"
        command = "/usr/bin/hostile" if options.get("rung") else HOSTILE
        units = {"bad.service": f"[Service]\nExecStart={command} {notes} cut\n[X-Holdfast]\nSandbox=none\n"}
        run = self.instance(units, sorted(units), health=True, **options)
        run.wait_running()
        # PID 1 is in its room where it can be, and the others may die of this where it is not.
        resident = run.init if options.get("rung") else harness.resident(run.init)
        path = f"/proc/{resident}/root{notes}"
        harness.wait_until(lambda: os.path.exists(path) and "done" in self.read(path), "it is over")
        self.assertEqual(self.read(path).count("cut"), count)
        supervisor = run.member("holdfast-supervisor")
        # Whoever works by them does so now, log first, which may have to make the ring anew.
        harness.wait_until(lambda: self.answer(run, "/livez") == 200, "it lives")
        os.kill(run.init, signal.SIGHUP)
        run.wait_for("signal-ignored")
        harness.wait_until(lambda: self.answer(run, "/readyz") == 200, "it is ready")
        self.assertEqual(run.member("holdfast-supervisor"), supervisor)
        return run

    def read(self, path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    def answer(self, run, path):
        with contextlib.suppress(OSError, IndexError):
            if run.rung:
                return run.get(path)[0]
            return 200 if run.inside(CTL, "probe", f"http://127.0.0.1:{run.port}{path}").returncode == 0 \
                else None
        return None

    def test_what_holdfast_works_by_is_sealed_even_for_who_opens_its_fds(self):
        run = self.instance(self.good(), ["good.service"])
        run.wait_running()
        sealed = []
        for fd in os.listdir(f"/proc/{run.init}/fd"):
            path = f"/proc/{run.init}/fd/{fd}"
            name = os.readlink(path).removeprefix("/memfd:holdfast-").split(" ")[0]
            if name in ("store", "plan", "plan-public", "board", "journal"):
                with self.assertRaises(PermissionError, msg=name):
                    os.truncate(path, 0)
                sealed.append(name)
        self.assertEqual(set(sealed), {"store", "plan", "plan-public", "board", "journal"})
        self.ends_well(run)

    def test_public_files_are_not_written_to_through_their_mounts(self):
        run = self.attack_files(0)
        self.assertEqual(run.inside(CTL, "status").returncode, 0)
        self.assertEqual(run.events("daemon-died"), [])
        self.assertEqual(run.stop(), 0)

    def test_public_files_that_are_cut_where_nothing_can_be_mounted(self):
        make = f"{self.dir}/root/usr/bin"
        os.makedirs(make)
        shutil.copy(HOSTILE, make)
        rung = dataclasses.replace(instance.CONTAINER,
                                   options=(*instance.CONTAINER.options, "--tmpfs", "/tmp:size=1m"))
        run = self.attack_files(3, rung=rung)
        for event in run.events("daemon-died"):
            self.assertRegex(event["msg"], "holdfast-(log|health) has")
        self.assertEqual(run.stop(), 0)

    def test_a_gigabyte(self):
        open(f"{self.dir}/bad", "w", encoding="utf-8").close()
        units = {**self.good(), **self.hostile("firehose", 1024)}
        run = self.instance(units, sorted(units), wrap=("sh", "-c", 'exec "$0" "$@" >/dev/null 2>&1'),
                            health=True)
        self.await_done(run)
        self.assertEqual(run.inside(CTL, "probe", f"http://127.0.0.1:{run.port}/livez").returncode, 0)
        os.kill(run.init, signal.SIGTERM)
        self.assertEqual(run.child.wait(harness.DEADLINE), 0)
        self.assertEqual(self.notes(), ["good start", "good stop"])


class Signals(Attack):
    def test_no_signal_but_those_of_the_table_ends_it(self):
        run = self.instance(self.good(), ["good.service"])
        run.wait_running()
        ends = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGPWR, signal.SIGRTMIN + 3,
                signal.SIGKILL, signal.SIGSTOP}
        for number in range(1, 65):
            if number not in ends:
                os.kill(run.init, number)
        run.wait_for("signal-ignored").wait_for('"type":"end"')
        self.ends_well(run)

    def test_holdfast_s_own_processes_stand_still_for_a_while(self):
        run = self.instance(self.good(), ["good.service"], health=True)
        run.wait_running()
        own = [run.init] + [run.member(n) for n in
                            ("holdfast-supervisor", "holdfast-log", "holdfast-health")]
        for pid in own:
            os.kill(pid, signal.SIGSTOP)
            os.kill(run.init, signal.SIGHUP)
            self.assertEqual(run.inside(CTL, "status").returncode, 0)
            os.kill(pid, signal.SIGCONT)
            run.wait_for("signal-ignored", start=len(run.output))
        self.assertEqual(run.events("daemon-died"), [])
        self.ends_well(run)


class StopDuringStart(Attack):
    def test_in_each_state(self):
        stay, quick = self.service(word="stay"), self.service("-e", "0", word="quick")
        never = self.service(word="never")
        cases = {
            "start-pre": f"ExecStartPre={stay}\nExecStart={never}\n",
            "start": f"Type=notify\nExecStart={stay}\n",
            "start of a oneshot": f"Type=oneshot\nExecStart={stay}\nExecStart={never}\n",
            "start of a daemon": f"Type=forking\nPIDFile={self.dir}/x\nExecStart={stay}\n",
            "start-post": f"ExecStart={self.service(word='main')}\nExecStartPost={stay}\n"
                          f"ExecStartPost={never}\n",
            "auto-restart": f"Restart=always\nRestartSec=60\nExecStart={stay}\n",
        }
        for name, text in cases.items():
            with self.subTest(state=name):
                if os.path.exists(self.notes_path):
                    os.unlink(self.notes_path)
                units = {"a.service": f"[Service]\n{text}ExecStopPost={quick}\n",
                         "b.service": f"[Unit]\nAfter=a.service\nRequires=a.service\n[Service]\n"
                                      f"ExecStart={never}\n"}
                if name == "auto-restart":
                    units["b.service"] = f"[Service]\nExecStart={self.service(word='b')}\n"
                run = self.instance(units, sorted(units))
                harness.wait_until(lambda: "stay start" in self.notes(), "it came there")
                if name == "auto-restart":
                    for pid in harness.children(run.init):
                        if b"stay" in open(f"/proc/{pid}/cmdline", "rb").read():
                            os.kill(pid, signal.SIGKILL)
                    run.wait_for("will be started again")
                self.assertEqual(run.stop(), 0, run.text)
                self.assertNotIn("never start", self.notes())
                self.assertIn("quick run", self.notes())


if __name__ == "__main__":
    harness.main()
