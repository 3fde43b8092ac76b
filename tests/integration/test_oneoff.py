#!/usr/bin/env python3
"""`holdfast --as UNIT -- CMD`, a migration before a deployment: CMD as that unit would run, and nothing
else of the instance."""
import dataclasses
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

SELFIE = "/usr/bin/selfie"
SERVICE = "/usr/bin/service"
# The service needs another one, and would note each of its own commands.
UNITS = {
    "db.service": f"[Service]\nExecStart={SERVICE} -f /proc/self/fd/1 db\n",
    "web.service": f"[Unit]\nRequires=db.service\nAfter=db.service\nConditionPathExists=/nonexistent\n"
                   f"[Service]\nType=notify\nRestart=always\nUser=app\nLimitNOFILE=77:99\nUMask=0027\n"
                   f"NoNewPrivileges=yes\nEnvironment=MODE=%p\nRuntimeDirectory=%p\n"
                   f"ExecStartPre={SERVICE} -f /proc/self/fd/1 -e 0 pre\nExecStart={SERVICE} -f /proc/self/fd/1 -n web\n"
                   f"ExecStopPost={SERVICE} -f /proc/self/fd/1 -e 0 post\n"
                   "[X-Holdfast]\nSecret=DB env:GIVEN\nSecretFile=key file:/etc/key\n"
                   "[X-Templates]\napp.json=/etc/app.json\n"}
# A runtime that gives memory where the unit asks for a directory.
CONTAINER, NOTHING = (dataclasses.replace(rung, options=(*rung.options, "--tmpfs", "/run:mode=1777"))
                      for rung in (instance.CONTAINER, instance.NOTHING))
HEALTH = "[Health]\nListen=127.0.0.1:9180\n"


class OneOff(instance.Case):
    rungs = (instance.EVERYTHING, CONTAINER, NOTHING)

    def run_as(self, rung, *options, conf=HEALTH, given="v4l", **more):
        tree = instance.make_tree(self.dir, harness.BIN)
        self.write("root/etc/key", "k3y\n", 0o400)
        os.chown(f"{tree}/etc/key", rung.uid, rung.uid)
        self.write("root/etc/app.json", '{"p": "{{ DB }}"}')
        return self.instance(UNITS, ["db.service", "web.service"], rung=rung, conf=conf, options=options,
                             env={"GIVEN": given}, **more)

    def test_the_command_is_as_the_unit_would_be(self):
        for rung in self.rungs:
            with self.subTest(rung=rung.name):
                run = self.run_as(rung, "--as", "web.service", "--", SELFIE, "--exit", "7")
                self.assertEqual(run.wait(), 7, run.text)
                me = next(json.loads(line) for line in run.text.splitlines() if line.startswith('{"fds"') or '"argv":' in line)
                env = dict(word.split("=", 1) for word in me["env"])
                self.assertEqual((env["MODE"], env["DB"], env["USER"], env["RUNTIME_DIRECTORY"]), ("web", "v4l", "app", "/run/web"))
                self.assertNotIn("GIVEN", env)
                self.assertTrue(env["CREDENTIALS_DIRECTORY"].endswith("/main.service"), env)
                self.assertEqual(me["limits"][7], [77, 99])
                self.assertEqual(me["cwd"], "/")
                self.assertEqual(me["NoNewPrivs"], "1")
                for word in ("db", "pre", "web", "post"):
                    self.assertNotIn(f"{word} start", run.text)
                self.assertEqual(run.events("listening"), [])

    def test_its_files_are_there(self):
        run = self.run_as(instance.EVERYTHING, "--as", "web.service", "--", SELFIE, "--read", "/run/holdfast/credentials/main.service/app.json",
                          "--read", "/run/holdfast/credentials/main.service/key")
        self.assertEqual(run.wait(), 0, run.text)
        me = next(json.loads(line) for line in run.text.splitlines() if '"argv":' in line)
        self.assertEqual({key.rsplit("/", 1)[1]: (v["content"], v["mode"]) for key, v in me.items() if "/credentials/" in key},
                         {"app.json": ('{"p": "v4l"}', 0o400), "key": ("k3y", 0o400)})

    def test_its_status_is_ours(self):
        for command, status in ((("-e", "0"), 0), (("-e", "3"), 3), (("-k", "9"), 137)):
            with self.subTest(command=command):
                run = self.run_as(CONTAINER, "--as", "web.service", "--", SERVICE, *command)
                self.assertEqual(run.wait(), status, run.text)
        run = self.run_as(CONTAINER, "--as", "web.service", "--", "/nonexistent")
        self.assertEqual(run.wait(), 127, run.text)

    def test_a_stop_stops_it(self):
        run = self.run_as(CONTAINER, "--as", "web.service", "--", SERVICE, "-f", "/proc/self/fd/1", "job")
        run.wait_for("job start")
        self.assertEqual(run.stop(signal.SIGTERM), 0, run.text)
        self.assertIn("job stop", run.text)

    def test_health_where_it_is_asked_for(self):
        run = self.run_as(CONTAINER, "--health=127.0.0.1:9180", "--as", "web.service", "--", SERVICE, "-f", "/proc/self/fd/1", "job")
        run.wait_for("job start")
        harness.wait_until(lambda: run.get("/readyz")[0] == 200, "it is ready")
        body = run.get("/health")[1]
        self.assertIn("main.service", body)
        self.assertNotIn("db.service", body)
        self.assertEqual(run.stop(), 0)

    def test_refusals(self):
        for options, status, words in (
                (("--as", "gone.service", "--", SELFIE), 78, "--as: gone.service does not exist"),
                (("--as", "web", "--", SELFIE), 64, '--as: "web": expected the name of a service, such as web.service'),
                (("--as", "web.service"), 64, "--as is for a command, and there is no -- COMMAND"),
                (("--as", "web.service", "--as", "db.service", "--", SELFIE), 64, "--as stands there twice")):
            with self.subTest(options=options):
                run = self.run_as(CONTAINER, *options)
                self.assertEqual(run.wait(), status, run.text)
                self.assertIn(words, run.text)

    def test_what_it_prints_of_its_secrets_is_hidden(self):
        """Its output goes through log, in each format, with the unit's secrets or with its own."""
        instance.make_tree(self.dir, harness.BIN)
        for log_format in ("", "raw", "plain", "json"):
            for options in (("--as", "web.service"), ("--secret", "DB=env:GIVEN")):
                with self.subTest(format=log_format, options=options):
                    conf = f"[Holdfast]\nLogFormat={log_format}\n" if log_format else ""
                    run = self.run_as(CONTAINER, *options, "--", SELFIE, conf=conf, given="pl4nted-and-long")
                    self.assertEqual(run.wait(), 0, run.text)
                    self.assertIn("DB=[secret]", run.text)
                    self.assertNotIn("pl4nted", run.text)
                    self.assertRegex(run.text.replace("\\", ""), r'"1":"pipe:')

    def test_what_the_unit_cannot_have_ends_it(self):
        run = self.run_as(CONTAINER, "--as", "web.service", "--secret", "MORE=env:UNSET", "--", SELFIE)
        self.assertEqual(run.wait(), 66, run.text)
        self.assertIn("UNSET is not set", run.text)


if __name__ == "__main__":
    harness.main()
