#!/usr/bin/env python3
"""[X-Templates] in a whole instance: a configuration file of the image, filled in, on each rung."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

CHECK = f"{harness.BIN}/holdfast-check".replace("release", "host")
EXPLAIN = f"{harness.ASAN_BIN}/holdfast-explain"
PLANTED = "pl4nted-\"x\\y\" #z"


class Templates(instance.Case):
    """In a service's credentials directory; a template's file belongs to the service's user."""

    def unit(self, templates, script, secrets=("Secret=DB env:GIVEN",)):
        path = self.write("service.sh", f"#!/bin/sh\n{script}\n", mode=0o755)
        return (f"[Service]\nExecStart={path}\nUser=nobody\n[X-Holdfast]\n" + "".join(f"{s}\n" for s in secrets)
                + "[X-Templates]\n" + "".join(f"{t}\n" for t in templates))

    def test_each_format_reaches_the_service(self):
        source = self.write("app.json.in", '{"db": {"password": "{{ DB }}"}, "port": {{ PORT | number }}}\n')
        env = self.write("app.env", "PASSWORD={{ DB }}\nQUOTED=\"{{ DB }}\"\nKEY=\"{{ tls.key }}\"\n")
        key = self.write("key", "line 1\nline 2\n", mode=0o400)
        # Out of the log's sight, which hides values, escaped ones too.
        os.mkdir(f"{self.dir}/out")
        os.chmod(f"{self.dir}/out", 0o777)
        whole = self.instance({"web.service": self.unit(
            [f"app.json={source}", f"app.env={env} mode=0440"],
            f"cd $CREDENTIALS_DIRECTORY || exit 1; stat -c 'mode %n %a %U' app.json app.env; cp app.json app.env {self.dir}/out; "
            "echo end; exec sleep 1000", ["Secret=DB env:GIVEN", "Config=PORT env:PORT", f"SecretFile=tls.key file:{key}"])},
            ["web.service"], conf="[Holdfast]\nLogFormat=raw\n", env={"GIVEN": PLANTED, "PORT": "5432"})
        whole.wait_for("end\n")
        self.assertIn("mode app.json 400 nobody\nmode app.env 440 nobody\n", whole.text)
        with open(f"{self.dir}/out/app.json", encoding="utf-8") as f:
            self.assertEqual(json.load(f), {"db": {"password": PLANTED}, "port": 5432})
        with open(f"{self.dir}/out/app.env", encoding="utf-8") as f:
            self.assertEqual(f.read(), 'PASSWORD=pl4nted-\\"x\\\\y\\"\\ \\#z\nQUOTED="pl4nted-\\"x\\\\y\\" #z"\n'
                                       'KEY="line 1\nline 2"\n')
        self.assertEqual(whole.stop(), 0)

    def test_a_value_that_does_not_fit_ends_the_unit(self):
        """243, and the sentence names file, line, column and name, and never the value."""
        source = self.write("app.conf", "[db]\n  password = {{ DB }}\n")
        whole = self.instance({"web.service": self.unit([f"app.conf={source}"], "echo it-has-begun")}, ["web.service"],
                              env={"GIVEN": "pl4nted\nadmin = yes"})
        self.assertNotEqual(whole.wait(), 0)
        failed = whole.events("setup-failed")[0]
        self.assertEqual(failed["status"], 243)
        self.assertIn(f"{source}:2:14: {{{{ DB }}}}: its value cannot stand in an INI file", failed["msg"])
        self.assertIn("set-up step CREDENTIALS", whole.text)
        for word in ("it-has-begun", "pl4nted", "admin"):
            self.assertNotIn(word, whole.text)
        done = subprocess.run([EXPLAIN], input=whole.text, capture_output=True, text=True, check=False, timeout=harness.DEADLINE)
        self.assertIn(f"{source}:2:14", done.stdout)

    def test_boot_and_check_refuse_a_bad_template(self):
        source = self.write("app.conf", "a\nb = {{ NAME }}\n")
        unit = self.unit([f"app.conf={source}"], "true")
        whole = self.instance({"web.service": unit}, ["web.service"], env={"GIVEN": "x"})
        self.assertEqual(whole.wait(), 78)
        self.assertIn(f"{source}:2:5: template of web.service: {{{{ NAME }}}}: the unit has no Secret=", whole.text)
        done = subprocess.run([CHECK, f"{self.dir}/units/web.service"], capture_output=True, text=True, check=False,
                              timeout=harness.DEADLINE)
        self.assertEqual(done.returncode, 78, done.stdout + done.stderr)
        self.assertIn(f"{source}:2:5: error: template of web.service: {{{{ NAME }}}}", done.stdout + done.stderr)

    def test_a_template_needs_no_secret(self):
        source = self.write("plain.ini", "a = {{{{\n")
        whole = self.instance({"web.service": self.unit(
            [f"x.ini={source}"], "cat $CREDENTIALS_DIRECTORY/x.ini; exec sleep 1000", [])}, ["web.service"])
        whole.wait_for('"msg":"a = {{"')
        self.assertEqual(whole.stop(), 0)


    def refused(self, source, says):
        whole = self.instance({"web.service": self.unit([f"x.ini={source}"], "echo it-has-begun")}, ["web.service"],
                              env={"GIVEN": "x"})
        self.assertEqual(whole.wait(), 78, whole.text)
        self.assertRegex(whole.text, r"web\.service:\d+:\d+: \[X-Templates\] x\.ini=: " + re.escape(says))
        self.assertNotIn("it-has-begun", whole.text)

    def test_a_source_that_somebody_else_may_have_put_there_is_refused(self):
        """It is read with root's rights: a link to what root alone may read would be handed to the service."""
        open_dir, theirs, shared = f"{self.dir}/open", f"{self.dir}/theirs", f"{self.dir}/shared"
        secret = self.write("secret", "hidden-from-all\n", mode=0o400)
        for path in (open_dir, theirs, shared):
            os.mkdir(path)
        for path in (f"{open_dir}/x.ini", f"{theirs}/x.ini", f"{shared}/x.ini", f"{shared}/own.ini"):
            with open(path, "w", encoding="utf-8") as f:
                f.write("a = {{ DB }}\n")
        os.chmod(open_dir, 0o777)
        os.chown(theirs, 65534, 65534)
        os.chmod(shared, 0o1777)
        os.symlink(secret, f"{shared}/link")
        os.chown(f"{shared}/link", 65534, 65534, follow_symlinks=False)
        os.link(secret, f"{shared}/second")
        os.chown(f"{shared}/own.ini", 65534, 65534)
        self.refused(f"{open_dir}/x.ini", f"{open_dir} may be written by others than root")
        self.refused(f"{theirs}/x.ini", f"{theirs} belongs to somebody else than root")
        self.refused(f"{shared}/own.ini", f"{shared}/own.ini belongs to somebody else")
        self.refused(f"{shared}/link", f"{shared}/link belongs to somebody else")
        self.refused(f"{shared}/second", f"{shared}/second has a second name")
        # Root's own links, and a directory like /tmp, are nothing to be afraid of; but it is said.
        os.symlink("../shared/../shared/x.ini", f"{shared}/good")
        whole = self.instance({"web.service": self.unit([f"x.ini={shared}/good"],
                                                        "cat $CREDENTIALS_DIRECTORY/x.ini; exec sleep 1000")}, ["web.service"],
                              env={"GIVEN": "value"})
        whole.wait_for('"msg":"a = ')
        self.assertIn("lies on a mount that is writable: a service of root could replace it", whole.text)
        self.assertEqual(whole.stop(), 0)

    def test_a_source_that_is_opened_up_later_is_refused_then(self):
        os.mkdir(f"{self.dir}/dir")
        source = self.write("dir/x.ini", "a = 1\n")
        before = self.write("before.sh", f"#!/bin/sh\nchmod 777 {self.dir}/dir\n", mode=0o755)
        whole = self.instance({
            "before.service": f"[Service]\nType=oneshot\nExecStart={before}\n",
            "web.service": "[Unit]\nRequires=before.service\nAfter=before.service\n" +
                           self.unit([f"x.ini={source}"], "echo it-has-begun")},
            ["web.service"], env={"GIVEN": "x"})
        self.assertEqual(whole.wait(), 243, whole.text)
        self.assertIn(f"{self.dir}/dir may be written by others than root", whole.text)
        self.assertNotIn("it-has-begun", whole.text)


class OnRungs(instance.Case):
    UNIT = ("[Service]\nType=oneshot\nRemainAfterExit=yes\nUser=%s\nExecStart=/usr/bin/selfie --read %%d/app.json\n"
            "[X-Holdfast]\nConfig=DB env:GIVEN\n[X-Templates]\napp.json=/etc/app.json\n")

    def test_it_is_filled_in_and_is_its_users(self):
        for rung in (instance.EVERYTHING, instance.CONTAINER, instance.NOTHING):
            with self.subTest(rung=rung.name):
                instance.make_tree(self.dir, harness.BIN)
                path = self.write("root/etc/app.json", '{"db": "{{ DB }}"}\n')
                # On a root that is read-only it does not matter whose it is; and without rights none are lent.
                os.chown(path, 1000, -1)
                whole = self.instance({"show.service": self.UNIT % "app"}, ["show.service"], rung=rung, env={"GIVEN": 'a"b'})
                whole.wait_running()
                path, file = next((k, v) for k, v in whole.told().items() if k.endswith("/app.json"))
                self.assertIn("credentials", path)
                self.assertEqual((file["content"], file["mode"], file["uid"]), ('{"db": "a\\"b"}', 0o400, 1000))
                self.assertEqual(whole.stop(), 0)


if __name__ == "__main__":
    harness.main()
