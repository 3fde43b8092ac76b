#!/usr/bin/env python3
"""holdfast-check: what it says of units, configuration and images; and distributions' own units."""
import glob
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402

CHECK = os.environ.get("HOLDFAST_CHECK", f"{harness.ROOT}/build/asan/bin/holdfast-check")

GOOD = "[Service]\nExecStart=/usr/bin/app\n"


class Check(harness.Case):
    def run_check(self, *arguments, cwd=None):
        return subprocess.run([CHECK, *arguments], capture_output=True, text=True, timeout=60,
                              check=False, cwd=cwd or self.dir)

    def json(self, *arguments):
        done = self.run_check("--json", *arguments)
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout), done.returncode

    def image(self, **files):
        """A tree with one program, one user and holdfast.conf, beside what is asked for."""
        self.write("usr/bin/app", "x", 0o755)
        self.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/false\n")
        self.write("etc/group", "root:x:0:\nweb:x:33:\n")
        self.write("etc/holdfast/holdfast.conf", "[Holdfast]\nUnits=a.service\n")
        for name, text in files.items():
            self.write(f"etc/holdfast/units/{name.replace('_', '.')}", text)


class CommandLine(Check):
    def test_a_good_image_is_fine(self):
        self.image(a_service=GOOD + "User=web\n")
        done = self.run_check("--root", self.dir)
        self.assertEqual((done.returncode, done.stdout), (0, "1 unit, 0 errors, 0 warnings\n"))

    def test_an_error_names_file_line_and_column(self):
        self.image(a_service=GOOD + "Restart=allways\n")
        done = self.run_check("--root", self.dir)
        self.assertEqual(done.returncode, 78)
        self.assertRegex(done.stdout, r"(?m)^/etc/holdfast/units/a\.service:3:9: error: Restart=: "
                                      r'"allways": expected no, .* or always$')
        self.assertIn("1 unit, 1 error, 0 warnings", done.stdout)

    def test_what_systemd_analyze_lets_pass_is_an_error(self):
        for line, place in (("User=nouser", "3:6"), ("KillSignal=NOPE", "3:12"),
                            ("LimitNOFILE=many", "3:13"), ("Environment=1=2", "3:13")):
            self.image(a_service=GOOD + line + "\n")
            done = self.run_check("--root", self.dir)
            self.assertEqual(done.returncode, 78, line)
            self.assertIn(f"a.service:{place}: error: ", done.stdout)

    def test_a_secret_that_is_too_short_to_be_hidden_is_said(self):
        for value, secret, warned in (("1234567\n", "Secret=A", True), ("12345678", "Secret=A", False),
                                      ("x" * 100, "SecretFile=A", False), ("1234567\n", "Config=A", False)):
            self.image(a_service=GOOD + f"[X-Holdfast]\n{secret} file:/etc/a\n")
            self.write("etc/a", value)
            done = self.run_check("--root", self.dir)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertEqual("A: its value has 7 bytes" in done.stdout, warned, done.stdout)

    def test_a_program_that_the_image_lacks(self):
        """Where holdfast is in the tree, what it needs to follow a reference has to lie beside it."""
        self.image(a_service=GOOD + "[X-Holdfast]\nSecret=A asm:app/${STAGE}\nSecretPath=ssm:/app/\nSecret=B env:B\n")
        with open(f"{self.dir}/etc/holdfast/holdfast.conf", "a", encoding="ascii") as f:
            f.write("[Identity]\nSTAGE=imds:tags/instance/STAGE\n")
        self.assertEqual(self.run_check("--root", self.dir).returncode, 0, "holdfast comes from elsewhere")
        self.write("opt/hf/holdfast", "x", 0o755)
        os.makedirs(f"{self.dir}/sbin")
        os.symlink("/opt/hf/holdfast", f"{self.dir}/sbin/init")
        done = self.run_check("--root", self.dir)
        lines = done.stdout.splitlines()
        self.assertEqual((done.returncode, len(lines)), (78, 4), done.stdout)
        for line, place in zip(lines, ("units/a.service:4:8: error: asm: is fetched by",
                                       "units/a.service:5:12: error: ssm: is fetched by",
                                       "holdfast.conf:4:7: warning: [Identity] STAGE=: is asked for by")):
            self.assertTrue(line.startswith(f"/etc/holdfast/{place} holdfast-secrets-remote, which is not in /opt/hf/"), line)
        self.write("opt/hf/holdfast-secrets-remote", "x", 0o755)
        done = self.run_check("--root", self.dir)
        self.assertEqual((done.returncode, done.stdout), (0, "2 units, 0 errors, 0 warnings\n"))

    def test_strict_makes_unknown_keys_errors(self):
        self.image(a_service=GOOD + "Restrat=no\nCPUAffinity=1\n")
        self.assertEqual(self.run_check("--root", self.dir).returncode, 0)
        done = self.run_check("--root", self.dir, "--strict")
        self.assertEqual(done.returncode, 78)
        self.assertIn("3:1: error: unknown key Restrat= in [Service]: did you mean Restart=?",
                      done.stdout)
        self.assertIn("4:1: warning: CPUAffinity=", done.stdout)

    def test_json(self):
        self.image(a_service="[Unit]\nWants=network-online.target\n" + GOOD + "Type=fork\n")
        found, status = self.json("--root", self.dir)
        self.assertEqual((status, found["errors"], found["warnings"]), (78, 1, 0))
        diag = found["diagnostics"][0]
        self.assertEqual((diag["file"], diag["line"], diag["column"], diag["level"], diag["status"]),
                         ("/etc/holdfast/units/a.service", 5, 6, "error", 78))
        self.assertEqual([(u["name"], u["wanted"], u["essential"]) for u in found["units"]],
                         [("a.service", True, True), ("network-online.target", True, False)])
        self.assertIn("Holdfast.StopTimeoutSec=25000ms", found["config"])

    def test_a_file_is_checked_where_it_lies(self):
        path = self.write("a@.service", GOOD.replace("/usr/bin/app", "/bin/true %i"))
        self.write("a@.service.d/x.conf", "[Service]\nUser=no-such-user\n")
        for argument, cwd in ((path, "/"), ("./a@.service", self.dir)):
            done = self.run_check(argument, cwd=cwd)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("a@.service.d/x.conf:2:6: warning: User=: no user", done.stdout)

    def test_paths_are_named_from_here(self):
        self.write("my/b.service", GOOD.replace("/usr/bin/app", "/bin/true"))
        self.write("my.conf", "[Holdfast]\nUnits=b.service\n")
        done = self.run_check("--conf", "my.conf", "--units", "./my")
        self.assertEqual(done.stdout, "1 unit, 0 errors, 0 warnings\n")

    def test_usage(self):
        self.assertEqual(self.run_check("--nonsense").returncode, 64)
        self.assertEqual(self.run_check("--root", f"{self.dir}/none").returncode, 66)
        self.assertEqual(self.run_check("none/x.service").returncode, 66)
        self.assertIn("usage:", self.run_check("--help").stdout)

    def test_conf_and_units_can_lie_elsewhere(self):
        self.image()
        self.write("etc/other.conf", "[Holdfast]\nUnits=b.service\nShells=perhaps\n")
        self.write("my/b.service", GOOD)
        done = self.run_check("--root", self.dir, "--conf", "/etc/other.conf", "--units", "/my")
        self.assertEqual(done.stdout.splitlines()[0],
                         '/etc/other.conf:3:8: error: Shells=: "perhaps": expected refuse or warn')
        self.assertEqual(len(done.stdout.splitlines()), 2)

    def test_no_link_leads_out_of_the_tree(self):
        self.image(a_service=GOOD + "EnvironmentFile=/etc/env\n")
        outside = f"{self.dir}-outside"
        with open(outside, "w", encoding="ascii") as f:
            f.write("broken line\n")
        self.addCleanup(os.unlink, outside)
        os.symlink(outside, f"{self.dir}/etc/env")
        os.makedirs(f"{self.dir}/etc/systemd/system/a.service.d")
        os.symlink("../" * 12 + outside[1:], f"{self.dir}/etc/systemd/system/a.service.d/x.conf")
        done = self.run_check("--root", self.dir)
        self.assertIn("/etc/env cannot be read: No such file", done.stdout)
        self.assertIn("x.conf: error: cannot be read: No such file", done.stdout)
        self.assertNotIn("broken", done.stdout)

    def test_hostile_files(self):
        """Big, endless, not text: refused in so many words."""
        self.image(a_service="x" * (1 << 20) + "y")
        self.assertIn("too big: expected at most 1048576 bytes",
                      self.run_check("--root", self.dir).stdout)
        self.image(a_service=GOOD + "X=\0\n")
        self.assertIn("a.service:3:3: error: a NUL byte", self.run_check("--root", self.dir).stdout)
        os.unlink(f"{self.dir}/etc/holdfast/units/a.service")
        os.mkfifo(f"{self.dir}/etc/holdfast/units/a.service")
        self.assertEqual(self.run_check("--root", self.dir).returncode, 78)

    def test_a_thousand_units(self):
        """And a chain through all of them, in bounded time and without deep trouble."""
        self.image()
        self.write("etc/holdfast/holdfast.conf", "[Holdfast]\nUnits=u0.service\n")
        for i in range(1000):
            after = f"[Unit]\nWants=u{i + 1}.service\nAfter=u{i + 1}.service\n" if i < 999 else ""
            self.write(f"etc/holdfast/units/u{i}.service", after + GOOD)
        done = self.run_check("--root", self.dir)
        self.assertEqual(done.stdout, "1000 units, 0 errors, 0 warnings\n")


class Manual(Check):
    def test_every_directive_is_in_the_manual(self):
        # The list is printed from the schema by a unit test, which keeps it equal.
        with open(f"{harness.ROOT}/docs/directives.md", encoding="utf-8") as f:
            keys = set(re.findall(r"^\| [\w-]+ \| (\w+)= \|", f.read(), re.M))
        with open(f"{harness.ROOT}/docs/man/holdfast.unit.5", encoding="utf-8") as f:
            manual = set(re.findall(r"[A-Za-z][A-Za-z0-9-]+", f.read()))
        # Spellings that systemd itself has given up.
        keys -= {"RequiresOverridable", "RequisiteOverridable", "BindTo"}
        # Conditions and assertions are told of as one family.
        keys = {k for k in keys if not k.startswith(("Condition", "Assert"))}
        self.assertGreater(len(keys), 300)
        self.assertEqual(sorted(keys - manual), [])

    def test_every_directive_of_systemd_is_known(self):
        """By the list that systemd itself gives out, where it is installed."""
        systemd = "/lib/systemd/systemd"
        if not os.path.exists(systemd):
            self.skipTest("systemd is not installed, so there is no list to compare with")
        dump = subprocess.run([systemd, "--dump-configuration-items"], capture_output=True,
                              text=True, check=True).stdout
        section, lines = None, {"Unit": [], "Service": []}
        for line in dump.splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif "=" in line and section in lines:
                lines[section].append(line.split("=")[0] + "=")
        # Empty values: only whether the key is known is asked.
        text = "[Unit]\n" + "\n".join(lines["Unit"]) + "\n[Service]\n" + "\n".join(lines["Service"])
        path = self.write("all.service", text + "\nType=simple\nExecStart=/bin/true\n")
        found, _ = self.json(path)
        unknown = [d["message"] for d in found["diagnostics"] if d["unknown"]]
        self.assertGreater(len(lines["Service"]), 200)
        self.assertEqual(unknown, [])


    def test_every_word_of_systemd_is_known(self):
        """Exit statuses and capabilities, as systemd-analyze lists them."""
        words = {}
        for verb in ("exit-status", "capability"):
            try:
                out = subprocess.run(["systemd-analyze", verb], capture_output=True, text=True,
                                     check=True).stdout
            except (OSError, subprocess.CalledProcessError) as error:
                self.skipTest(f"systemd-analyze {verb}: {error}")
            words[verb] = [line.split()[0] for line in out.splitlines()[1:] if line.split()[1:]]
            self.assertGreater(len(words[verb]), 30)
        path = self.write("a.service", "[Service]\nExecStart=/bin/true\nSuccessExitStatus="
                          + " ".join(words["exit-status"]) + "\nCapabilityBoundingSet="
                          + " ".join(words["capability"]) + "\n")
        found, status = self.json(path)
        self.assertEqual((found["diagnostics"], status), ([], 0))


class Distribution(Check):
    """Debian's units as they are shipped."""
    PACKAGES = ["nginx-common", "php8.2-fpm", "redis-server", "postgresql-common", "mariadb-server",
                "haproxy", "prometheus-node-exporter", "chrony", "memcached", "apache2", "mosquitto",
                "openssh-server", "rsyslog", "unbound", "dnsmasq", "cron"]
    # What cannot be had, and why: everything else must load without an error.
    REASONS = {
        "ssh.service": ["it gives a login, and nobody gets in"],
        "ssh.socket": ["it is the port of SSH, and nobody gets in"],
        # Both names are links that Debian makes when a package is configured.
        "chrony-wait.service": ["Requires=chronyd.service: there is no such unit",
                                "DynamicUser= cannot be honoured"],
        "rsyslog.service": ["Requires=syslog.socket: there is no such unit"],
        "syslog.socket": ["Service=syslog.service: there is no such unit"],
    }

    def packages(self):
        cache = f"{harness.ROOT}/build/debs"
        os.makedirs(cache, exist_ok=True)
        have = {os.path.basename(f).split("_")[0]: f for f in glob.glob(f"{cache}/*.deb")}
        missing = [p for p in self.PACKAGES if p not in have]
        if missing:
            got = subprocess.run(["apt-get", "-q", "download", *missing], cwd=cache,
                                 capture_output=True, text=True, check=False)
            if got.returncode != 0:
                self.skipTest("apt-get download: " + got.stderr.strip()[-200:])
            have = {os.path.basename(f).split("_")[0]: f for f in glob.glob(f"{cache}/*.deb")}
        return [have[p] for p in self.PACKAGES]

    def test_their_units_load(self):
        for package in self.packages():
            subprocess.run(["dpkg-deb", "-x", package, self.dir], check=True)
        files = [f for f in sorted(glob.glob(f"{self.dir}/lib/systemd/system/*.s*"))
                 if f.endswith((".service", ".socket")) and os.path.getsize(f) > 0]
        self.assertGreater(len(files), 25)
        for path in files:
            found, status = self.json(path)
            name = os.path.basename(path)
            errors = [d for d in found["diagnostics"] if d["level"] == "error"]
            unexpected = [d for d in errors
                          if not any(reason in d["message"] for reason
                                     in self.REASONS.get(os.path.basename(d["file"]), []))]
            self.assertEqual(unexpected, [], name)
            self.assertEqual(status, 78 if errors else 0)
            # Not one key of theirs is unknown to us.
            self.assertEqual([d for d in found["diagnostics"] if d["unknown"]], [], name)

    def test_sshd_is_refused_under_any_name(self):
        self.write("innocent.service", "[Service]\nExecStart=/usr/sbin/sshd -D\n")
        found, status = self.json(f"{self.dir}/innocent.service")
        self.assertEqual(status, 78)
        self.assertIn("it gives a login", found["diagnostics"][-1]["message"])


if __name__ == "__main__":
    harness.main()
