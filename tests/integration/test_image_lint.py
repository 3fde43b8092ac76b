#!/usr/bin/env python3
"""holdfast-check --root: what no image may have, in a tree, in layers and in archives."""
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
import podman  # noqa: E402

CHECK = os.environ.get("HOLDFAST_CHECK", f"{harness.ROOT}/build/asan/bin/holdfast-check")
CONF = "[Holdfast]\nUnits=a.service\n"
UNIT = "[Service]\nExecStart=/usr/bin/app\n"
GOOD = {"usr/bin/app": ("app", 0o755), "etc/passwd": ("root:x:0:0::/root:/bin/sh\n", 0o644),
        "etc/holdfast/holdfast.conf": (CONF, 0o644),
        "etc/holdfast/units/a.service": (UNIT, 0o644)}
KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEH\n" * 3


class Lint(harness.Case):
    def setUp(self):
        super().setUp()
        self.scratch = f"{self.dir}/scratch"  # TMPDIR: nothing may be left in it
        os.mkdir(self.scratch)
        self.addCleanup(lambda: self.assertEqual(os.listdir(self.scratch), []))

    def check(self, path, *arguments):
        return subprocess.run([CHECK, "--root", path, *arguments], capture_output=True, text=True,
                              timeout=120, check=False, env={"TMPDIR": self.scratch})

    def found(self, path, *arguments):
        """{(rule, path)} of what is not allowed."""
        done = self.check(path, "--json", *arguments)
        self.assertEqual(done.stderr, "")
        report = json.loads(done.stdout)
        self.assertEqual(report["diagnostics"], [])
        findings = [f for f in report["findings"] if not f["allowed"]]
        errors = [f for f in findings if f["level"] == "error"]
        self.assertEqual((report["errors"], report["warnings"]),
                         (len(errors), len(findings) - len(errors)))
        self.assertEqual(done.returncode, 78 if errors else 0)
        return {(f["rule"], f["path"]) for f in findings}


class Tree(Lint):
    def setUp(self):
        super().setUp()
        self.tree = f"{self.dir}/tree"
        for name, (text, mode) in GOOD.items():
            self.add(name, text, mode)

    def add(self, name, text="", mode=0o644):
        return self.write(f"tree/{name}", text, mode)

    def copy(self, program, name, mode=0o755):
        to = self.add(name, "", mode)
        shutil.copyfile(program, to)
        return to

    def link(self, target, name):
        path = f"{self.tree}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)

    def test_a_good_tree_has_nothing(self):
        self.assertEqual(self.found(self.tree), set())

    def test_shells_by_their_names_and_by_what_is_in_them(self):
        self.copy("/bin/dash", "opt/runner/worker", 0o644)  # renamed, and not executable
        self.copy("/bin/bash", "usr/bin/bash")
        self.copy("/bin/busybox", "usr/bin/tools")
        self.add("usr/local/bin/fish", "x", 0o755)
        self.link("/usr/bin/app", "bin/sh")
        self.link("/nowhere", "bin/ash")  # leads to nothing, and so gives nobody a shell
        self.assertEqual(self.found(self.tree),
                         {("shell", p) for p in ("/opt/runner/worker", "/usr/bin/bash",
                                                 "/usr/bin/tools", "/usr/local/bin/fish",
                                                 "/bin/sh")})

    def test_logins(self):
        self.copy("/usr/sbin/dropbear", "usr/bin/metrics-agent")
        self.copy("/usr/bin/dbclient", "usr/bin/upload")  # a client lets nobody in
        for name in ("usr/sbin/sshd", "sbin/agetty", "usr/bin/su", "usr/bin/sudo", "bin/login"):
            self.add(name, "x", 0o755)
        self.add("root/.ssh/authorized_keys", "ssh-ed25519 AAAA me\n")
        self.assertEqual(self.found(self.tree),
                         {("login", p) for p in ("/usr/bin/metrics-agent", "/usr/sbin/sshd",
                                                 "/sbin/agetty", "/usr/bin/su", "/usr/bin/sudo",
                                                 "/bin/login", "/root/.ssh/authorized_keys")})

    def test_tools_for_whoever_got_in(self):
        for name in ("usr/bin/apt-get", "usr/bin/dpkg", "sbin/apk", "usr/bin/gdb",
                     "usr/bin/strace", "usr/bin/gcc-12", "usr/bin/as", "usr/bin/python3.11",
                     "usr/local/bin/node", "opt/as", "srv/go"):
            self.add(name, "x", 0o755)
        self.add("usr/share/doc/gdb", "a text", 0o644)
        self.assertEqual(self.found(self.tree), {
            ("package-manager", "/usr/bin/apt-get"), ("package-manager", "/usr/bin/dpkg"),
            ("package-manager", "/sbin/apk"), ("debugger", "/usr/bin/gdb"),
            ("debugger", "/usr/bin/strace"), ("compiler", "/usr/bin/gcc-12"),
            ("compiler", "/usr/bin/as"), ("interpreter", "/usr/bin/python3.11"),
            ("interpreter", "/usr/local/bin/node")})

    def test_a_script_is_a_warning_that_names_who_runs_it(self):
        self.add("usr/bin/start", "#! /bin/sh -e\nexec app\n", 0o755)
        self.assertEqual(self.found(self.tree), {("script", "/usr/bin/start")})
        self.assertIn("/usr/bin/start: warning: a script, run by /bin/sh -e: expected a program "
                      "[script]\n", self.check(self.tree).stdout)

    def test_rights_that_nobody_gave_on_purpose(self):
        self.add("usr/bin/ping", "x", 0o4755)
        self.add("usr/bin/wall", "x", 0o2755)
        self.add("etc/app.conf", "x", 0o666)
        os.mkdir(f"{self.tree}/srv")
        os.chmod(f"{self.tree}/srv", 0o777)
        os.mkdir(f"{self.tree}/tmp")
        os.chmod(f"{self.tree}/tmp", 0o1777)
        os.setxattr(self.add("usr/bin/tool", "x", 0o755), "security.capability",
                    bytes.fromhex("0100000200040000000000000000000000000000"))
        self.assertEqual(self.found(self.tree), {
            ("set-id", "/usr/bin/ping"), ("set-id", "/usr/bin/wall"),
            ("world-writable", "/etc/app.conf"), ("world-writable", "/srv"),
            ("file-capabilities", "/usr/bin/tool")})

    def test_configuration_that_others_can_write(self):
        os.chown(f"{self.tree}/etc/holdfast/units/a.service", 33, 0)
        os.chmod(f"{self.tree}/etc/holdfast/holdfast.conf", 0o664)
        os.chown(f"{self.tree}/etc/holdfast/holdfast.conf", 0, 33)
        self.assertEqual(self.found(self.tree), {
            ("configuration", "/etc/holdfast/units/a.service"),
            ("configuration", "/etc/holdfast/holdfast.conf")})

    def test_passwords(self):
        self.add("etc/shadow", "root::19000:0:99999:7:::\nbin:*:19000::::::\nweb:!:19000::::::\n"
                               "app:$6$salt$hash:19000::::::\nlocked:!$6$salt$hash:19000::::::\n",
                 0o640)
        self.assertEqual(self.found(self.tree), {("password", "/etc/shadow")})
        text = self.check(self.tree).stdout
        self.assertIn('"root" needs no password', text)
        self.assertIn('"app" has a password', text)
        self.assertEqual(text.count("[password]"), 2)
        self.assertNotIn("$6$", text)

    def test_secrets_by_name_and_by_content(self):
        wanted = {
            "app/.env": "DB=1\n", "app/.env.production": "DB=1\n",
            "root/.aws/credentials": "[default]\naws_secret_access_key = x\n",
            "root/.docker/config.json": '{"auths":{"r":{"auth":"eA=="}}}',
            "root/.npmrc": "//r/:_authToken=x\n", "root/.pgpass": "h:5432:d:u:p\n",
            "root/.netrc": "machine h login u password p\n",
            "root/.git-credentials": "https://u:p@h\n", "root/.vault-token": "x",
            "etc/tls/server.pem": "text before\n" + KEY,
            "app/account.json": json.dumps({"private_key": KEY}),
            "etc/tls/old.key": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nx\n",
            "app/a.js": 'k="AKIAIOSFODNN7ABCDEFG"\n', "app/b.js": "ghp_" + "a1B2" * 9 + "\n",
            "app/c.js": "token: hvs." + "Ab3_" * 7 + "\n", "app/d.js": "xoxb-" + "1a" * 12,
        }
        for name, text in wanted.items():
            self.add(name, text)
        for name, text in {
                "app/.env.example": "DB=\n", "app/.npmrc": "registry=https://r\n",
                "root/.docker/other.json": "{}", "doc/tls": "it begins with -----BEGIN PRIVATE "
                "KEY-----, then base64\n", "app/e.js": "AKIAIOSFODNN7EXAMPLE", "app/f.js":
                "ghp_short", "etc/cert.pem": KEY.replace("PRIVATE KEY", "CERTIFICATE")}.items():
            self.add(name, text)
        self.copy("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "usr/lib/libcrypto.so.3", 0o644)
        self.assertEqual(self.found(self.tree), {("secret", f"/{name}") for name in wanted})

    def test_what_is_allowed_is_counted_no_more_and_still_told_to_programs(self):
        self.copy("/bin/dash", "usr/bin/dash")
        self.copy("/bin/dash", "opt/dash")
        self.assertEqual(self.found(self.tree, "--allow", "shell:/usr/bin/*"),
                         {("shell", "/opt/dash")})
        self.assertEqual(self.found(self.tree, "--allow", "shell"), set())
        report = json.loads(self.check(self.tree, "--json", "--allow", "shell").stdout)
        self.assertEqual([f["allowed"] for f in report["findings"]], [True, True])
        done = self.check(self.tree, "--allow", "shells")
        self.assertEqual((done.returncode, done.stdout), (64, ""))
        self.assertIn("--allow shells: no such rule", done.stderr)

    def test_names_cannot_write_to_a_terminal(self):
        self.add("usr/bin/\x1b[2Jx", "x", 0o4755)
        text = self.check(self.tree).stdout
        self.assertIn("/usr/bin/?[2Jx: error: ", text)
        self.assertNotIn("\x1b", text)


def member(archive, name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(data))


def tar(*members, mode="w", **files):
    """A tar's bytes: the good image's files, then members as (name, data, fields)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as archive:
        if files.get("good", True):
            for name, (text, bits) in GOOD.items():
                member(archive, name, text.encode(), mode=bits)
        for name, data, fields in members:
            member(archive, name, data, **fields)
    return out.getvalue()


def program(path):
    with open(path, "rb") as f:
        return f.read()


class Archive(Lint):
    def put(self, data, name="image.tar"):
        path = f"{self.dir}/{name}"
        with open(path, "wb") as f:
            f.write(data)
        return path

    def test_a_root_file_system_in_each_compression(self):
        shell = ("usr/bin/worker", program("/bin/dash"), {"mode": 0o755, "uid": 33})
        owned = ("etc/holdfast/units/b.service", UNIT.encode(), {"uid": 1000})
        plain = tar(shell, owned)
        packed = {"none": plain, "gzip": gzip.compress(plain)}
        for tool in ("xz", "zstd", "bzip2"):
            packed[tool] = subprocess.run([tool, "-c"], input=plain, capture_output=True,
                                          check=True).stdout
        for name, data in packed.items():
            with self.subTest(name):
                self.assertEqual(self.found(self.put(data)),
                                 {("shell", "/usr/bin/worker"),
                                  ("configuration", "/etc/holdfast/units/b.service")})

    def test_what_only_the_archive_knows(self):
        caps = {"pax_headers": {"SCHILY.xattr.security.capability":
                                "\x01\x00\x00\x02\x00\x04" + "\x00" * 14}}
        path = self.put(tar(("usr/bin/a", b"x", {"mode": 0o4755}), ("usr/bin/b", b"x", caps),
                            ("usr/bin/c", b"", {"type": tarfile.LNKTYPE, "linkname": "usr/bin/a",
                                                "mode": 0o4755}),
                            ("dev/null", b"", {"type": tarfile.CHRTYPE, "devmajor": 1,
                                               "devminor": 3, "mode": 0o666})))
        self.assertEqual(self.found(path), {
            ("set-id", "/usr/bin/a"), ("set-id", "/usr/bin/c"),
            ("file-capabilities", "/usr/bin/b")})

    def test_units_are_read_as_in_a_tree(self):
        path = self.put(tar(("etc/holdfast/units/a.service", b"[Service]\nExecStart=/usr/bin/none\n",
                             {})))
        done = self.check(path)
        self.assertEqual(done.returncode, 78)
        self.assertIn("/etc/holdfast/units/a.service:2:", done.stdout)

    def test_nothing_is_written_outside(self):
        outside = f"{self.dir}/outside"
        os.mkdir(outside)
        for case in ([("../../outside/x", b"x", {})], [(f"a/../../{outside}/x", b"x", {})],
                     [("l", b"", {"type": tarfile.SYMTYPE, "linkname": outside}),
                      ("l/x", b"x", {})],
                     [("l", b"", {"type": tarfile.SYMTYPE, "linkname": "../../../.."}),
                      (f"l{outside}/x", b"x", {})],
                     [("h", b"", {"type": tarfile.LNKTYPE, "linkname": "../../../etc/passwd"})],
                     [("h", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/hostname"})],
                     [("p/" * 3000 + "x", b"x", {})]):
            with self.subTest(case[-1][0][:40]):
                done = self.check(self.put(tar(*case)))
                self.assertIn(done.returncode, (0, 65, 66), done.stdout)
                self.assertEqual(os.listdir(outside), [])

    def test_an_absolute_name_is_one_of_the_image(self):
        path = self.put(tar((f"{self.dir}/outside", b"x", {"mode": 0o666})))
        self.assertEqual(self.found(path), {("world-writable", f"{self.dir}/outside")})
        self.assertFalse(os.path.exists(f"{self.dir}/outside"))

    def test_no_error_is_lost_behind_many_warnings(self):
        scripts = [(f"usr/bin/s{i}", b"#!/x", {"mode": 0o755}) for i in range(10000)]
        found = self.found(self.put(tar(*scripts, ("usr/bin/zsh", b"x", {"mode": 0o755}))))
        self.assertEqual((len(found), ("shell", "/usr/bin/zsh") in found), (10001, True))

    def test_a_deep_tree_is_read_and_removed(self):
        self.assertEqual(self.found(self.put(tar(("d/" * 1500 + "x", b"x", {"mode": 0o666})))),
                         {("world-writable", "/" + "d/" * 1500 + "x")})

    def test_what_is_no_archive_is_told(self):
        good = tar(("big", b"x" * 100000, {}))
        for data in (b"no archive at all" * 100, good[:len(good) // 2], gzip.compress(good)[:-100]):
            done = self.check(self.put(data))
            self.assertEqual((done.returncode, done.stdout), (65, ""))
            self.assertRegex(done.stderr, r"holdfast-check: .*/image\.tar: .+\n")
        self.assertEqual(self.check(f"{self.dir}/none").returncode, 66)
        self.assertEqual(self.check("/dev/null").returncode, 65)


class Layout(Lint):
    """OCI layouts and docker-save's archives, made by hand, so that they can be wrong."""

    def blob(self, data):
        digest = hashlib.sha256(data).hexdigest()
        self.write("oci/blobs/sha256/.keep", "")
        with open(f"{self.dir}/oci/blobs/sha256/{digest}", "wb") as f:
            f.write(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def manifest(self, *layers, annotations=None, **config):
        config = {"Entrypoint": ["/usr/bin/holdfast"], **config}
        return self.blob(json.dumps({
            "schemaVersion": 2, "annotations": annotations or {},
            "config": self.blob(json.dumps({"config": config}).encode()),
            "layers": [self.blob(layer) for layer in layers]}).encode())

    def index(self, *manifests):
        self.write("oci/oci-layout", '{"imageLayoutVersion": "1.0.0"}')
        self.write("oci/index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}))
        return f"{self.dir}/oci"

    def tagged(self, tag, manifest, **more):
        return {**manifest, "annotations": {"org.opencontainers.image.ref.name": tag}, **more}

    def test_a_later_layer_hides_all_but_secrets(self):
        shell = ("usr/bin/dash", program("/bin/dash"), {"mode": 0o755})
        key = ("etc/tls/server.key", KEY.encode(), {})
        gone = [("usr/bin/.wh.dash", b"", {}), ("etc/tls/.wh..wh..opq", b"", {}),
                ("etc/tls/ca.pem", b"x", {}), ("etc/.wh.late", b"", {})]
        path = self.index(self.manifest(tar(shell, key, ("etc/late", b"x", {"mode": 0o666})),
                                        gzip.compress(tar(*gone, good=False))))
        self.assertEqual(self.found(path), {("secret", "/etc/tls/server.key")})
        self.assertIn("/etc/tls/server.key: error: a private key, in layer 1, though a later one "
                      "hides it [secret]\n", self.check(path).stdout)

    def test_a_layer_of_its_own_is_not_hidden_by_its_whiteouts(self):
        both = [("usr/bin/ping", b"x", {"mode": 0o4755}), ("usr/bin/.wh.ping", b"", {}),
                ("usr/.wh..wh..opq", b"", {})]
        path = self.index(self.manifest(tar(), tar(*both)))
        self.assertEqual(self.found(path), {("set-id", "/usr/bin/ping")})

    def test_a_file_that_is_replaced_is_judged_as_it_is_last(self):
        merged = ("bin", b"", {"type": tarfile.SYMTYPE, "linkname": "usr/bin"})
        path = self.index(self.manifest(
            tar(merged, ("usr/bin/ping", b"x", {"mode": 0o4755}), ("usr/bin/top", b"x", {})),
            tar(("bin/ping", b"x", {"mode": 0o755}), ("bin/top", b"x", {"mode": 0o4755}),
                good=False)))
        self.assertEqual(self.found(path), {("set-id", "/usr/bin/top")})

    def test_what_an_image_says_of_itself(self):
        manifest = self.manifest(
            tar(), Entrypoint=["/bin/sh", "-c"], Cmd=["exec app"],
            annotations={"org.opencontainers.image.base.name": "docker.io/library/debian:12"},
            Env=["PATH=/usr/bin", "DB_PASSWORD=hunter2", "API_KEY=abc", "GITHUB_TOKEN=x",
                 "npm_config_token=x", "PASSWORD_FILE=/run/x", "TOKEN_URL=https://x", "SECRET=",
                 "PWD=/app", "OLDPWD=/", "SECRET_ARN=arn:x", "TOKENIZER=bpe",
                 "KEYS=AKIAIOSFODNN7ABCDEFG"])
        path = self.index(self.tagged("latest", manifest))
        self.assertEqual(self.found(path), {
            ("shell", "ENTRYPOINT"), ("secret", "ENV"), ("mutable-tag", "latest"),
            ("mutable-tag", "docker.io/library/debian:12")})
        text = self.check(path).stdout
        for name in ("DB_PASSWORD", "API_KEY", "GITHUB_TOKEN", "npm_config_token",
                     "the id of a lasting AWS key"):
            self.assertIn(f"ENV: error: {name}", text)
        self.assertEqual(text.count("[secret]"), 5)
        self.assertNotIn("hunter2", text)
        other = self.index(self.manifest(tar(), Entrypoint=["/usr/bin/app"]))
        self.assertEqual(self.found(other), {("entrypoint", "ENTRYPOINT")})

    def test_one_command_needs_no_units(self):
        layer = tar(("usr/bin/app", b"x", {"mode": 0o755}), good=False)
        path = self.index(self.manifest(layer, Entrypoint=["holdfast", "--"], Cmd=["/usr/bin/app"]))
        self.assertEqual(self.found(path), set())
        path = self.index(self.manifest(layer, Entrypoint=["holdfast"]))
        self.assertIn("nothing to run", self.check(path).stdout)

    def test_one_of_several_images(self):
        bad = self.manifest(tar(("usr/bin/ping", b"x", {"mode": 0o4755})))
        inner = self.blob(json.dumps({"manifests": [
            {**bad, "platform": {"os": "linux", "architecture": "mips"}},
            {**self.manifest(tar()), "platform": {"os": "linux", "architecture": "amd64"}},
            {**bad, "platform": {"os": "linux", "architecture": "arm64"}}]}).encode())
        path = self.index(self.tagged("1.0", bad), self.tagged("2.0", inner),
                          {**bad, "platform": {"os": "unknown"}})
        done = self.check(path)
        self.assertEqual(done.returncode, 64)
        self.assertIn("several images: expected PATH:TAG, with one of 1.0 2.0", done.stderr)
        self.assertEqual(self.found(f"{path}:1.0"), {("set-id", "/usr/bin/ping")})
        if os.uname().machine == "x86_64":
            self.assertEqual(self.found(f"{path}:2.0"), set())
        self.assertEqual(self.check(f"{path}:3.0").returncode, 66)

    def test_a_layout_that_is_wrong(self):
        for text in ("no json", "[]", "{}", '{"manifests": 1}', '{"manifests": [{}]}',
                     '{"manifests": [{"digest": "sha256:../../../../etc/passwd"}]}',
                     '{"manifests": [{"digest": "sha256:' + "0" * 64 + '"}]}'):
            self.index()
            self.write("oci/index.json", text)
            done = self.check(f"{self.dir}/oci")
            self.assertIn(done.returncode, (65, 66), text)
            self.assertRegex(done.stderr, r"^holdfast-check: .*/oci: .+\n$")
        path = self.index({**self.manifest(b"not a layer" * 100)})
        self.assertEqual(self.check(path).returncode, 65)


class Podman(Lint):
    def test_what_podman_saves_in_each_format(self):
        # The last layer takes away what the first one has: in the image it is all the same.
        machine = podman.Podman()
        self.addCleanup(machine.close)
        self.write("context/Dockerfile",
                   "FROM scratch\nCOPY root /\nCOPY none /etc/none\nENV API_TOKEN=x\n"
                   'ENTRYPOINT ["/usr/bin/holdfast"]\n')
        self.write("context/none", "")
        for name, (text, mode) in GOOD.items():
            self.write(f"context/root/{name}", text, mode)
        shutil.copy("/bin/dash", f"{self.dir}/context/root/usr/bin/worker")
        self.write("context/root/etc/tls.key", KEY)
        machine.build("localhost/app:1.2", f"{self.dir}/context")
        wanted = {("shell", "/usr/bin/worker"), ("secret", "/etc/tls.key"), ("secret", "ENV")}
        for form in ("oci-archive", "oci-dir", "docker-archive"):
            with self.subTest(form):
                machine("save", "--format", form, "-o", f"{self.dir}/{form}", "localhost/app:1.2")
                self.assertEqual(self.found(f"{self.dir}/{form}"), wanted)


if __name__ == "__main__":
    harness.main()
