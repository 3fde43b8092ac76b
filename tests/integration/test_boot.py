#!/usr/bin/env python3
"""holdfast-boot, run by a stand-in for PID 1 (tests/apps/bootbed.c) in trees of its own: what it
hands over, what it mounts, what it refuses and with which words, at every rung of privilege."""
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness


def store_kinds():
    """enum store_kind, as the C code has it."""
    with open(f"{harness.ROOT}/lib/store.h", encoding="utf-8") as f:
        body = f.read().split("enum store_kind {")[1].split("};")[0]
    names = re.findall(r"^\s*(STORE_\w+),", re.sub(r"/\*.*?\*/", "", body, flags=re.S), re.M)
    return {name.removeprefix("STORE_"): number for number, name in enumerate(names)}


KIND = store_kinds()
SEAL_ALL = 0x1 | 0x2 | 0x4 | 0x8
SEAL_SIZE = 0x1 | 0x2 | 0x4
RDONLY, RDWR = os.O_RDONLY, os.O_RDWR
# chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, sys_chroot,
# setfcap: podman's default, with which nothing can be mounted.
PODMAN = "0,1,3,4,5,6,7,8,10,18,31"
FOLDERS = ("proc", "sys", "dev", "run", "tmp", "etc/holdfast/units", "var/lib", "var/log",
           "var/cache", "usr/lib/holdfast", "scratch", "dev/shm")
SERVICE = """\
[Service]
ExecStart=/app
"""


class Boot:
    """What one boot gave."""

    def __init__(self, process):
        self.status = process.wait()
        self.text = process.text
        self.events, self.packets, self.lines = [], [], {}
        for line in self.text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if "event" in entry:
                self.events.append(entry)
            elif entry.get("type") in ("hello", "put", "booted", "failed"):
                self.packets.append(entry)
            elif "type" in entry:
                self.lines[entry["type"]] = entry
        if "exit" not in self.lines:
            raise AssertionError(f"bootbed did not end well ({self.status}):\n{self.text}")
        self.exit = self.lines["exit"]["status"]
        self.plan = self.lines.get("plan")
        self.failure = next((p for p in self.packets if p["type"] == "failed"), None)

    def puts(self, kind):
        return [p for p in self.packets if p["type"] == "put" and p["kind"] == kind]

    def mount(self, point):
        """(flags of the mount, type, options of the file system) of the topmost mount there."""
        found = None
        for line in self.lines["mounts"]["text"].splitlines():
            left, _, right = line.partition(" - ")
            if left.split()[4] == point:
                found = (set(left.split()[5].split(",")), right.split()[0],
                         set(right.split()[-1].split(",")))
        return found

    def has_event(self, name, text=""):
        return any(e["event"] == name and text in e["msg"] for e in self.events)


@unittest.skipUnless(harness.is_root(), "namespaces and mounts need root")
class BootCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.root = os.path.join(self.dir, "root")
        for folder in FOLDERS:
            os.makedirs(os.path.join(self.root, folder))
        shutil.copy(f"{harness.APPS}/bootbed", f"{self.root}/bootbed")
        shutil.copy(f"{harness.BIN}/holdfast-boot", f"{self.root}/usr/lib/holdfast/holdfast-boot")
        self.write("root/app", "not run", 0o755)
        self.write("root/etc/passwd", "root:x:0:0::/:/x\napp:x:1000:1000::/:/x\n")
        self.write("root/etc/group", "root:x:0:\napp:x:1000:\n")

    def conf(self, text="", holdfast="", units="a.service"):
        self.write("root/etc/holdfast/holdfast.conf",
                   f"[Holdfast]\nUnits={units}\n{holdfast}\n{text}\n")

    def unit(self, name, text):
        self.write(f"root/etc/holdfast/units/{name}", text)

    def boot(self, *options, arguments=(), environment=None):
        return Boot(self.start(sys.executable, f"{harness.ROOT}/tests/inside.py", *options,
                               self.root, "--", "/bootbed", "/usr/lib/holdfast/holdfast-boot",
                               *arguments, env={"PATH": "/usr/bin:/bin", **(environment or {})}))

    def assert_booted(self, boot):
        self.assertEqual(boot.exit, 0, boot.text)
        self.assertEqual(boot.packets[0]["type"], "hello")
        self.assertEqual(boot.packets[-1]["type"], "booted", boot.text)

    def assert_refused(self, boot, status, *words):
        self.assertIsNotNone(boot.failure, boot.text)
        self.assertEqual(boot.failure["value"], status, boot.text)
        self.assertEqual(boot.exit, status)
        for word in words:
            self.assertIn(word, boot.failure["text"])

    def protection(self, boot, name):
        return boot.plan["protections"][name]


class Good(BootCase):
    def test_everything_is_handed_over(self):
        self.conf("[Health]\nListen=:9180\nListen=127.0.0.1:9181", "StopTimeoutSec=7")
        self.unit("a.service", SERVICE + "Environment=PASS=marker-of-a-value\n")
        boot = self.boot()
        self.assert_booted(boot)
        self.assertEqual(boot.packets[-1]["value"], 7_000_000)
        for name in ("PLAN", "PLAN_PUBLIC", "BOARD", "BOARD_PUBLIC", "RING", "RING_PUBLIC",
                     "CAPTURE", "NOTIFY", "CREDENTIALS"):
            self.assertEqual(len(boot.puts(KIND[name])), 1, name)
        plan = boot.puts(KIND["PLAN"])[0]
        self.assertEqual(plan["seals"] & SEAL_ALL, SEAL_ALL)
        self.assertTrue(plan["link"].startswith("/memfd:"))
        for kind, access in (("BOARD", RDWR), ("BOARD_PUBLIC", RDONLY)):
            put = boot.puts(KIND[kind])[0]
            self.assertTrue(put["link"].startswith("/memfd:"))
            self.assertEqual(put["access"], access)
            self.assertEqual(put["seals"] & SEAL_SIZE, SEAL_SIZE)
            self.assertEqual(stat.S_IMODE(put["mode"]), 0o400)
        public = boot.puts(KIND["PLAN_PUBLIC"])[0]
        self.assertEqual((public["seals"] & SEAL_ALL, public["access"]), (SEAL_ALL, RDONLY))
        for kind, name, access in (("BOARD_FILE", "board", RDWR), ("RING", "ring", RDWR),
                                   ("RING_PUBLIC", "ring", RDONLY)):
            put = boot.puts(KIND[kind])[0]
            self.assertEqual(put["link"], f"/run/holdfast/{name}")
            self.assertEqual(put["access"], access)
            self.assertEqual(stat.S_IMODE(put["mode"]), 0o444)
        self.assertEqual(boot.puts(KIND["RING"])[0]["size"], 0)
        notify = boot.puts(KIND["NOTIFY"])[0]
        self.assertEqual((notify["socket_type"], notify["passcred"]), (2, 1))
        self.assertEqual([(p["index"], p["listens"]) for p in boot.puts(KIND["LISTEN"])], [(0, 1), (1, 1)])
        header = boot.plan
        self.assertEqual(header["units"], ["a.service"])
        self.assertEqual(header["notify_address"], "/run/holdfast/notify")
        self.assertEqual((header["n_listen"], header["health_port"]), (2, 9180))
        self.assertEqual(header["uid_log"], 64901)

    def test_values_stand_in_the_plan_and_not_in_the_public_one(self):
        self.conf()
        self.unit("a.service", SERVICE + "Environment=PASS=marker-of-a-value\n")
        boot = self.boot()
        self.assert_booted(boot)
        self.assertIn("marker-of-a-value", boot.plan["bytes"])
        self.assertNotIn("marker-of-a-value", boot.lines["public"]["bytes"])
        self.assertEqual(boot.lines["public"]["units"], ["a.service"])

    def test_a_bare_namespace_gets_what_is_missing(self):
        self.conf()
        self.unit("a.service", SERVICE)
        boot = self.boot()
        self.assert_booted(boot)
        strict = {"nosuid", "nodev", "noexec"}
        self.assertLessEqual(strict | {"rw"}, boot.mount("/proc")[0])
        self.assertLessEqual(strict | {"ro"}, boot.mount("/sys")[0])
        self.assertLessEqual({"nosuid", "noexec", "ro"}, boot.mount("/dev")[0])
        self.assertLessEqual(strict | {"rw"}, boot.mount("/dev/shm")[0])
        self.assertLessEqual(strict | {"rw"}, boot.mount("/run")[0])
        self.assertIsNone(boot.mount("/dev/pts"))
        self.assertIn("ro", boot.mount("/")[0])
        flags, kind, options = boot.mount("/run/holdfast/credentials")
        self.assertLessEqual(strict, flags)
        self.assertTrue(kind == "ramfs" or "noswap" in options, (kind, options))
        for name in ("root", "ids", "writes", "scratch", "secrets-memory", "public-files"):
            self.assertEqual(self.protection(boot, name)[0], "full", name)
        self.assertEqual(self.protection(boot, "root")[1], "read-only, proven")

    def test_a_root_in_memory(self):
        """As from an initramfs: that /run is on a tmpfs does not mean that it can be written."""
        self.conf()
        self.unit("a.service", SERVICE)
        memory = f"{self.dir}/memory"
        os.mkdir(memory)
        subprocess.run(["mount", "-t", "tmpfs", "none", memory], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", memory], check=True)
        self.root = shutil.copytree(self.root, memory, dirs_exist_ok=True)
        boot = self.boot()
        self.assert_booted(boot)
        self.assertLessEqual({"rw", "nosuid", "nodev", "noexec"}, boot.mount("/run")[0])
        self.assertEqual(self.protection(boot, "public-files"), ["full", "/run/holdfast", ""])

    def test_device_nodes_of_the_image_are_covered(self):
        # debootstrap leaves them, ptmx among them, and no file system for /dev/shm.
        os.mknod(f"{self.root}/dev/null", 0o20666, os.makedev(1, 3))
        self.conf()
        self.unit("a.service", SERVICE)
        boot = self.boot()
        self.assert_booted(boot)
        self.assertLessEqual({"nosuid", "noexec", "ro"}, boot.mount("/dev")[0])
        self.assertEqual(boot.mount("/dev/shm")[1], "tmpfs")

    def test_what_a_runtime_gave_is_left_alone(self):
        self.conf()
        self.unit("a.service", SERVICE)
        boot = self.boot("--runtime")
        self.assert_booted(boot)
        mounts = boot.lines["mounts"]["text"]
        for point in ("/proc", "/sys", "/dev", "/dev/shm"):
            self.assertEqual(len(re.findall(rf"^\S+ \S+ \S+ \S+ {point} ", mounts, re.M)), 1, point)

    def test_what_the_runtime_mounted_below_run_is_kept(self):
        self.conf()
        self.write("root/run/secrets/db", "")
        self.unit("a.service", SERVICE + "[X-Holdfast]\nSecretFile=db file:/run/secrets/db\n")
        boot = self.boot("--file", "/run/secrets/db:the-secret-itself")
        self.assert_booted(boot)
        self.assertEqual(boot.mount("/run/secrets/db")[1], "tmpfs")
        self.assertEqual(boot.puts(KIND["SECRET_FILE"])[0]["size"], len("the-secret-itself"))
        self.assertNotIn("the-secret-itself", boot.text)

    def test_a_child_of_another_init_mounts_nothing(self):
        self.conf()
        self.unit("a.service", SERVICE)
        boot = self.boot("--runtime", "--child", "--tmpfs", "/run:mode=0755")
        self.assert_booted(boot)
        self.assertRegex(boot.plan["run_directory"], r"^/run/holdfast\.\d+$")
        self.assertIsNone(boot.mount(boot.plan["run_directory"] + "/credentials"))
        self.assertEqual(self.protection(boot, "secrets-memory")[0], "reduced")
        self.assertEqual(boot.plan["flags"] & 4, 0)

    def test_where_the_mounts_may_be_the_machines_nothing_is_mounted(self):
        self.conf()
        self.unit("a.service", SERVICE)
        boot = self.boot("--foreign-proc", "--tmpfs", "/dev/shm:mode=1777")
        self.assert_booted(boot)
        points = {line.split()[4] for line in boot.lines["mounts"]["text"].splitlines()
                  if not line.split()[4].startswith("/proc")}
        self.assertEqual(points, {"/", "/dev/shm"})
        self.assertEqual(boot.plan["run_directory"], "/dev/shm/holdfast")

    @unittest.skipUnless(" cgroup2 " in open("/proc/mounts", encoding="utf-8").read(),
                         "this machine has no cgroup2")
    def test_a_cgroup_of_our_own(self):
        self.conf()
        self.unit("a.service", SERVICE)
        boot = self.boot("--cgroup")
        self.assert_booted(boot)
        self.assertEqual(boot.puts(KIND["CGROUP"])[0]["link"], "/sys/fs/cgroup/units")
        self.assertEqual(self.protection(boot, "cgroups")[1], "own cgroup2 subtree")
        self.assertEqual(boot.mount("/sys/fs/cgroup")[1], "cgroup2")
        self.assertNotIn("left:", boot.text)

    def test_a_cgroup_tree_that_is_not_ours_is_not_touched(self):
        self.conf()
        self.unit("a.service", SERVICE)
        boot = self.boot("--runtime")
        self.assert_booted(boot)
        self.assertEqual(boot.puts(KIND["CGROUP"]), [])
        self.assertEqual(self.protection(boot, "cgroups")[0], "reduced")

    def test_sockets_of_units(self):
        self.conf(units="s.socket")
        self.unit("s.service", SERVICE)
        self.unit("s.socket", "[Socket]\nListenStream=/run/app/s.sock\nListenStream=7000\n"
                              "ListenDatagram=127.0.0.1:7001\nSocketMode=0600\n")
        boot = self.boot()
        self.assert_booted(boot)
        puts = boot.puts(KIND["SOCKET"])
        self.assertEqual([(p["socket_type"], p["listens"]) for p in puts], [(1, 1), (1, 1), (2, 0)])


class Configuration(BootCase):
    def test_an_error_names_file_line_and_column(self):
        self.conf()
        self.unit("a.service", "[Service]\nExecStart=/app\nRestart=sometimes\n")
        boot = self.boot()
        self.assert_refused(boot, 78)
        self.assertRegex(boot.failure["text"], r"^/etc/holdfast/units/a\.service:3:\d+: ")
        error = next(e for e in boot.events if e["event"] == "config-error")
        self.assertEqual((error["file"], error["line"]), ("/etc/holdfast/units/a.service", 3))
        self.assertGreater(error["column"], 0)

    def test_every_error_is_said_and_the_first_is_the_cause(self):
        self.conf()
        self.unit("a.service", "[Service]\nExecStart=/app\nRestart=sometimes\nType=strange\n")
        boot = self.boot()
        self.assert_refused(boot, 78, ":3:")
        self.assertEqual(sum(e["event"] == "config-error" for e in boot.events), 2)

    def test_an_undefined_variable(self):
        self.conf()
        self.unit("a.service", SERVICE + "[X-Holdfast]\nSecret=A file:/run/${NOT_THERE}/a\n")
        self.assert_refused(self.boot(), 78, "NOT_THERE")

    def test_a_missing_secret_file_and_one_that_would_block(self):
        self.conf()
        self.unit("a.service", SERVICE + "[X-Holdfast]\nSecretFile=k file:/etc/k\n")
        self.assert_refused(self.boot(), 66, "/etc/holdfast/units/a.service:4", "/etc/k")
        os.mkfifo(f"{self.root}/etc/k")
        self.assert_refused(self.boot(), 78, "/etc/k", "regular file")

    def test_a_missing_secret_of_a_unit_that_does_not_start_now(self):
        self.conf()
        for secret in ("SecretFile=k file:/etc/k", "Secret=K env:NOT_THERE"):
            for condition, is_needed in (("PathExists=/etc/k", False), ("PathExists=/nowhere", False),
                                         ("PathExists=/etc", True), ("Virtualization=no", False),
                                         ("Virtualization=yes", True), ("PathExists=|/etc", True)):
                for word in ("Condition", "Assert"):
                    with self.subTest(secret=secret, condition=condition, word=word):
                        self.unit("a.service", f"[Unit]\n{word}{condition}\n{SERVICE}[X-Holdfast]\n{secret}\n")
                        if is_needed:
                            self.assert_refused(self.boot(), 66, "/etc/holdfast/units/a.service:6")
                        else:
                            self.assert_booted(self.boot())

    def test_a_socket_of_a_unit_that_is_skipped_is_not_opened(self):
        self.conf()
        self.unit("a.service", SERVICE)
        for condition, opens in (("", True), ("[Unit]\nConditionVirtualization=no\n", False)):
            # The root is read-only.
            self.unit("a.socket", f"{condition}[Socket]\nListenStream=/etc/a\n")
            self.unit("a.service", f"[Unit]\nWants=a.socket\n{SERVICE}")
            with self.subTest(condition=condition):
                if opens:
                    self.assert_refused(self.boot(), 69, "a.socket: cannot listen")
                else:
                    self.assert_booted(self.boot())

    def test_an_optional_secret_may_be_missing(self):
        self.conf()
        self.unit("a.service", SERVICE + "[X-Holdfast]\nSecretFile=k file:/etc/k optional\n")
        boot = self.boot()
        self.assert_booted(boot)
        self.assertEqual(boot.puts(KIND["SECRET_FILE"]), [])

    def test_the_environment_and_flags_override_the_file(self):
        self.conf("[Health]\nListen=:9180", "StopTimeoutSec=7")
        self.unit("a.service", SERVICE)
        environment = {"HOLDFAST_STOP_TIMEOUT": "8", "HOLDFAST_HEALTH_LISTEN": "127.0.0.1:9999",
                       "HOLDFAST_NO_SUCH": "1"}
        boot = self.boot(environment=environment)
        self.assert_booted(boot)
        self.assertEqual(boot.plan["stop_timeout_us"], 8_000_000)
        self.assertEqual(boot.plan["health_port"], 9999)
        self.assertTrue(boot.has_event("unknown-variable", "HOLDFAST_NO_SUCH"))
        boot = self.boot(arguments=("--stop-timeout", "9"), environment=environment)
        self.assertEqual(boot.plan["stop_timeout_us"], 9_000_000)

    def test_a_command_with_options(self):
        os.unlink(f"{self.root}/app")
        self.write("root/app", "\x7fELF", 0o755)
        self.write("root/etc/k", "value", 0o400)
        boot = self.boot(arguments=("--health=:9300", "--secret", "A=file:/etc/k", "--scratch",
                                    "/scratch:size=1M", "-g", "--", "/app", "x"))
        self.assert_booted(boot)
        self.assertEqual(boot.plan["units"], ["main.service"])
        self.assertEqual(boot.plan["flags"] & 8, 8)
        self.assertEqual(boot.plan["health_port"], 9300)
        self.assertIn("size=1024k", boot.mount("/scratch")[2])
        self.assertEqual(len(boot.puts(KIND["SECRET_FILE"])), 1)

    def test_usage(self):
        self.conf()
        self.unit("a.service", SERVICE)
        for arguments, word in (((("--secret", "A", "--", "/app")), "NAME=REFERENCE"),
                                (("--user", "app"), "--user"),
                                (("--as", "a.service"), "--as")):
            self.assert_refused(self.boot(arguments=arguments), 64, word)

    def test_an_address_that_is_taken_or_malformed(self):
        self.unit("a.service", SERVICE)
        self.conf("[Health]\nListen=:9180\nListen=127.0.0.1:9180")
        self.assert_refused(self.boot(), 78, "holdfast.conf:6:8: ", 'holdfast.conf:5 has \":9180\" already')
        # Which [::] is IPv4's, too, the kernel alone knows.
        self.conf("[Health]\nListen=[::]:9180\nListen=0.0.0.0:9180")
        self.assert_refused(self.boot(), 69, "0.0.0.0:9180", "another program")
        self.conf("[Health]\nListen=nowhere")
        self.assert_refused(self.boot(), 78, "nowhere")
        self.conf("[Health]\nListen=192.0.2.1:9180")
        self.assert_refused(self.boot(), 69, "192.0.2.1:9180", "no interface")

    def test_every_key_of_the_file_has_its_variable(self):
        with open(f"{harness.ROOT}/units/conf.c", encoding="utf-8") as f:
            body = f.read().split("conf_directives[] = {")[1].split("};")[0]
        keys = set(re.findall(r'\{"(\w+)", "(\w+)"', body)) - {("Holdfast", "Allow")}
        # A host's environment is the kernel's, and sets nothing.
        keys = {(section, key) for section, key in keys if section != "Modules"}
        with open(f"{harness.ROOT}/units/conf_secrets.c", encoding="utf-8") as f:
            keys |= {("Secrets", key) for key in re.findall(r'^\t\{"([A-Z][a-z]\w+)", ', f.read(), re.M)}
        keys -= {("Secrets", "VaultSkipVerify")}  # the image's word, as Allow= is
        with open(f"{harness.ROOT}/init/boot/request.c", encoding="utf-8") as f:
            found = re.findall(r'\{"(HOLDFAST_\w+)", "(\w+)", "(\w+)"\}', f.read())
        self.assertEqual({(section, key) for _, section, key in found}, keys)
        for name, section, key in found:
            words = re.findall("[A-Z][a-z]+", key.removesuffix("Sec"))
            plain, full = ("_".join(["HOLDFAST", *w]).upper() for w in (words, [section, *words]))
            self.assertIn(name, {"Holdfast": [plain], "Secrets": [plain, full]}.get(section, [full]))

    def test_a_configuration_that_would_block(self):
        os.mkfifo(f"{self.root}/etc/holdfast/holdfast.conf")
        boot = self.boot()
        self.assertIsNotNone(boot.failure, boot.text)
        self.assertIn("/etc/holdfast/holdfast.conf", boot.failure["text"])

    def test_by_hand_it_refuses(self):
        done = subprocess.run([f"{harness.BIN}/holdfast-boot"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 64)
        self.assertIn("PID 1", done.stderr)


class Root(BootCase):
    def setUp(self):
        super().setUp()
        self.conf()
        self.unit("a.service", SERVICE)

    def test_a_writable_root_is_remounted_where_that_is_possible(self):
        boot = self.boot("--writable")
        self.assert_booted(boot)
        self.assertIn("ro", boot.mount("/")[0])
        self.assertEqual(self.protection(boot, "root")[:2], ["full", "remounted read-only, proven"])

    def test_a_writable_root_is_refused_where_it_cannot_be_remounted(self):
        boot = self.boot("--writable", "--runtime", "--capabilities", PODMAN)
        self.assert_refused(boot, 71, "--read-only", "readOnlyRootFilesystem: true", "ReadOnlyRoot=warn")

    def test_a_root_that_only_this_user_cannot_write_is_no_proof(self):
        boot = self.boot("--writable", "--runtime", "--uid", "1000")
        self.assert_refused(boot, 71, "not read-only")

    def test_from_outside_it_is_weakened_only_where_the_image_allows_it(self):
        weak = {"HOLDFAST_READ_ONLY_ROOT": "warn"}
        options = ("--writable", "--runtime", "--capabilities", PODMAN)
        self.assert_refused(self.boot(*options, environment=weak), 78, "HOLDFAST_READ_ONLY_ROOT",
                            "Allow=ReadOnlyRoot")
        self.conf(holdfast="Allow=ReadOnlyRoot")
        self.assert_booted(self.boot(*options, environment=weak))

    def test_a_warning_goes_on_and_says_so(self):
        self.conf(holdfast="ReadOnlyRoot=warn")
        boot = self.boot("--writable", "--runtime", "--capabilities", PODMAN)
        self.assert_booted(boot)
        self.assertEqual(self.protection(boot, "root")[0], "none")
        self.assertTrue(any(e["event"] == "protection" and e["level"] == "warning" or
                            e.get("name") == "root" for e in boot.events))


class Folders(BootCase):
    """tmpfiles.d. Where nothing can be mounted, what was made is still there to be looked at."""

    def boot_writable(self, lines):
        self.conf(holdfast="ReadOnlyRoot=warn")
        self.unit("a.service", SERVICE)
        self.write("root/usr/lib/tmpfiles.d/x.conf", lines)
        boot = self.boot("--runtime", "--capabilities", PODMAN, "--writable")
        self.assert_booted(boot)
        return boot

    def test_what_packages_ask_for_is_made(self):
        boot = self.boot_writable("d /run/x/y 2775 app app -\n")
        self.assertFalse(boot.has_event("folders-missing"), boot.text)
        above, found = os.stat(f"{self.root}/run/x"), os.stat(f"{self.root}/run/x/y")
        self.assertEqual((above.st_mode & 0o7777, above.st_uid), (0o755, 0))
        self.assertEqual((found.st_mode & 0o7777, found.st_uid, found.st_gid), (0o2775, 1000, 1000))

    def test_a_link_in_its_place_is_not_followed(self):
        os.symlink("/etc", f"{self.root}/run/x")
        boot = self.boot_writable("d /run/x 0777 app app -\n")
        self.assertTrue(boot.has_event("folders-missing", "/run/x: "), boot.text)
        self.assertEqual(os.stat(f"{self.root}/etc").st_uid, 0)

    def test_one_line_says_what_could_not_be_made(self):
        self.write("root/run/x", "a file")
        boot = self.boot_writable("d /run/x\nd /run/y\nd /run/x/z\n")
        self.assertTrue(boot.has_event("folders-missing",
                                       "2 of the 3 folders that tmpfiles.d asks for are missing; "
                                       "the first is /run/x: "), boot.text)
        self.assertTrue(os.path.isdir(f"{self.root}/run/y"))


class Scratch(BootCase):
    def setUp(self):
        super().setUp()
        self.unit("a.service", SERVICE)
        self.conf("[Scratch]\n/scratch=size=3M,mode=0750,nr_inodes=100")

    def test_size_mode_inodes_and_flags(self):
        boot = self.boot()
        self.assert_booted(boot)
        flags, kind, options = boot.mount("/scratch")
        self.assertEqual(kind, "tmpfs")
        self.assertLessEqual({"rw", "nosuid", "nodev", "noexec"}, flags)
        self.assertLessEqual({"size=3072k", "mode=750", "nr_inodes=100"}, options)

    def test_what_lies_below_another_is_mounted_after_it(self):
        os.mkdir(f"{self.root}/scratch/below")
        self.conf("[Scratch]\n/scratch/below=size=1M\n/scratch=size=3M")
        boot = self.boot()
        self.assert_booted(boot)
        points = [line.split()[4] for line in boot.lines["mounts"]["text"].splitlines()]
        self.assertLess(points.index("/scratch"), points.index("/scratch/below"))

    def test_the_images_folders_have_to_fit(self):
        for n in range(99):
            os.mkdir(f"{self.root}/scratch/{n}")
        boot = self.boot()
        self.assert_booted(boot)
        os.mkdir(f"{self.root}/scratch/one-more")
        boot = self.boot()
        self.assert_refused(boot, 71, "/scratch", "nr_inodes=")

    def test_exec_is_given_where_it_is_asked_for(self):
        self.conf("[Scratch]\n/scratch=size=3M,exec")
        boot = self.boot()
        self.assert_booted(boot)
        self.assertNotIn("noexec", boot.mount("/scratch")[0])
        self.assertLessEqual({"nosuid", "nodev"}, boot.mount("/scratch")[0])

    def test_without_rights_and_mount_it_prints_what_to_write(self):
        boot = self.boot("--runtime", "--capabilities", PODMAN)
        self.assert_refused(boot, 71, "/scratch", "emptyDir: {medium: Memory, sizeLimit: 3Mi}",
                            "mountPath: /scratch", "--tmpfs /scratch:size=3M,mode=0750")

    def test_the_mode_of_what_is_there_is_printed_where_none_was_declared(self):
        self.conf("[Scratch]\n/tmp=size=3M")
        os.chmod(f"{self.root}/tmp", 0o1777)
        boot = self.boot("--runtime", "--capabilities", PODMAN)
        self.assert_refused(boot, 71, "--tmpfs /tmp:size=3M,mode=1777")

    def test_without_rights_and_folder_it_prints_what_makes_both(self):
        os.rmdir(f"{self.root}/scratch")
        boot = self.boot("--runtime", "--capabilities", PODMAN)
        self.assert_refused(boot, 71, "mountPath: /scratch", "--tmpfs /scratch:size=3M,mode=0750")

    def test_the_runtimes_mount_of_the_right_size_will_do(self):
        boot = self.boot("--runtime", "--capabilities", PODMAN, "--tmpfs", "/scratch:size=3m")
        self.assert_booted(boot)
        self.assertEqual(self.protection(boot, "scratch")[:2], ["reduced", "the runtime's mounts"])

    def test_a_mount_that_this_user_cannot_write_is_none(self):
        # A runtime's tmpfs is root's, and podman knows no uid= for it.
        rung = ("--runtime", "--uid", "1000")
        boot = self.boot(*rung)
        self.assert_refused(boot, 71, "--tmpfs /scratch:size=3M,mode=1777")
        boot = self.boot(*rung, "--tmpfs", "/scratch:size=3m,mode=0755")
        self.assert_refused(boot, 71, "uid 1000 cannot write",
                            "--tmpfs /scratch:size=3M,mode=1777")
        boot = self.boot(*rung, "--tmpfs", "/scratch:size=3m,mode=1777")
        self.assert_booted(boot)

    def test_a_larger_mount_bounds_nothing(self):
        boot = self.boot("--runtime", "--capabilities", PODMAN, "--tmpfs", "/scratch:size=4m")
        self.assert_refused(boot, 71, "larger", "sizeLimit: 3Mi")

    def test_a_smaller_mount_is_said(self):
        boot = self.boot("--runtime", "--capabilities", PODMAN, "--tmpfs", "/scratch:size=2m")
        self.assert_booted(boot)
        self.assertTrue(boot.has_event("scratch-smaller", "/scratch"))

    def test_other_writable_mounts_are_said(self):
        boot = self.boot("--tmpfs", "/var/cache")
        self.assert_booted(boot)
        level, _, why = self.protection(boot, "writes")
        self.assertEqual((level, why), ("reduced",
                                        "writable and not declared in [Scratch]: /var/cache"))

    def test_a_folder_that_the_image_lacks(self):
        self.conf("[Scratch]\n/not/there=size=1M")
        self.assert_refused(self.boot(), 71, "/not/there", "add an empty one")


class Directories(BootCase):
    def test_a_units_directory_gets_memory_where_the_image_left_room(self):
        self.conf()
        self.unit("a.service", SERVICE + "StateDirectory=a\nRuntimeDirectory=a\n")
        boot = self.boot()
        self.assert_booted(boot)
        self.assertEqual(boot.mount("/var/lib")[1], "tmpfs")
        self.assertTrue(boot.has_event("scratch-implied", "/var/lib"))
        self.assertIsNone(boot.mount("/var/log"))

    def test_files_of_the_image_are_never_hidden(self):
        self.conf()
        self.unit("a.service", SERVICE + "StateDirectory=a\n")
        self.write("root/var/lib/of-the-image", "x")
        self.assert_refused(self.boot(), 71, "a.service", "StateDirectory=", "[Scratch] /var/lib/a=")
        os.mkdir(f"{self.root}/var/lib/a")
        boot = self.boot()
        self.assert_booted(boot)
        self.assertEqual(boot.mount("/var/lib/a")[1], "tmpfs")

    def test_a_unit_that_a_condition_skips_needs_nothing(self):
        """What cannot change while the instance lives; a namespace of our own is a container."""
        self.conf()
        needy = SERVICE + "StateDirectory=a\n"
        skipped = ("ConditionVirtualization=!container", "ConditionVirtualization=vm",
                   "AssertVirtualization=no", "ConditionArchitecture=|vax\nConditionVirtualization=|no")
        started = ("", "ConditionVirtualization=container", "ConditionPathExists=/nowhere",
                   "ConditionArchitecture=|vax\nConditionPathExists=|/nowhere")
        self.write("root/var/lib/of-the-image", "x")
        lacking = ("User=nobody-there\nEnvironmentFile=/etc/nowhere\nExecStartPre=/usr/bin/nowhere\n"
                   "[X-Holdfast]\nSecret=A file:/etc/nowhere\nSecret=B env:NOT_THERE\n"
                   "[X-Templates]\na.conf=/etc/nowhere\n")
        for condition in skipped:
            with self.subTest(condition=condition):
                self.unit("a.service", f"[Unit]\n{condition}\n{needy}{lacking}")
                boot = self.boot()
                self.assert_booted(boot)
                self.assertEqual([e for e in boot.events if e["event"].startswith("config-")], [])
        for condition in started:
            with self.subTest(condition=condition):
                self.unit("a.service", f"[Unit]\n{condition}\n{needy}")
                self.assert_refused(self.boot(), 71, "a.service", "StateDirectory=")

    def test_without_rights_the_runtime_is_asked(self):
        self.conf()
        self.unit("a.service", SERVICE + "CacheDirectory=a\n")
        boot = self.boot("--runtime", "--capabilities", PODMAN)
        self.assert_refused(boot, 71, "read-only", "mountPath: /var/cache/a", "emptyDir")

    def test_memory_that_this_user_may_not_write_is_no_help(self):
        self.conf()
        self.unit("a.service", SERVICE + "CacheDirectory=a\n")
        boot = self.boot("--runtime", "--uid", "1000", "--tmpfs", "/var/cache:mode=0755")
        self.assert_refused(boot, 71, "Permission denied", "mountPath: /var/cache/a")
        boot = self.boot("--runtime", "--uid", "1000", "--tmpfs", "/var/cache:mode=0755,uid=1000")
        self.assert_booted(boot)


class Unprivileged(BootCase):
    def test_uid_1000_with_nothing(self):
        self.conf("[Health]\nListen=:9180")
        self.unit("a.service", SERVICE)
        boot = self.boot("--runtime", "--uid", "1000")
        self.assert_booted(boot)
        self.assertEqual(boot.plan["run_directory"], "/dev/shm/holdfast")
        self.assertEqual(boot.plan["notify_address"], "/dev/shm/holdfast/notify")
        self.assertEqual(boot.plan["uid_log"], 0xFFFFFFFF)
        self.assertEqual(self.protection(boot, "ids")[0], "reduced")
        self.assertEqual(self.protection(boot, "root")[:2], ["full", "read-only, proven"])
        self.assertEqual(self.protection(boot, "secrets-memory")[:2],
                         ["reduced", "the runtime's tmpfs"])

    def test_somebody_elses_directory_is_not_trusted(self):
        self.conf()
        self.unit("a.service", SERVICE)
        self.write("root/shm/holdfast/x", "")
        # The root stays read-only; /dev/shm is the image's folder, owned by root.
        boot = self.boot("--runtime", "--uid", "1000", "--tmpfs", "/dev/shm:mode=0755")
        self.assert_booted(boot)
        self.assertEqual(boot.plan["run_directory"], "")
        self.assertEqual(self.protection(boot, "public-files")[0], "none")
        self.assertRegex(boot.plan["notify_address"], "^@holdfast-notify-[0-9a-f]{16}$")
        self.assertTrue(boot.puts(KIND["BOARD"])[0]["link"].startswith("/memfd:"))
        self.assertEqual(boot.puts(KIND["BOARD_PUBLIC"])[0]["access"], RDONLY)
        self.assertEqual(boot.plan["credentials_directory"], "")


class Sanitized(BootCase):
    """The same program under AddressSanitizer and UBSan. It needs libraries, so its root is the
    machine's, read-only in a mount namespace of its own."""

    def boot_sanitized(self, *arguments, environment=None):
        os.makedirs(f"{self.dir}/over", exist_ok=True)
        return Boot(self.start(sys.executable, f"{harness.ROOT}/tests/inside.py", "--over", "/",
                               "--runtime", "--tmpfs", "/run:mode=0755", f"{self.dir}/over", "--",
                               f"{harness.APPS}/bootbed", f"{harness.ASAN_BIN}/holdfast-boot",
                               "--conf", f"{self.root}/etc/holdfast/holdfast.conf",
                               "--units", f"{self.root}/etc/holdfast/units", *arguments,
                               env=environment or {}))

    def test_a_boot_with_all_of_it(self):
        self.conf(f"[Health]\nListen=:9180\n[Scratch]\n{self.root}/scratch=size=1M", units="s.socket")
        self.write("key", "value")
        self.unit("s.service", "[Service]\nExecStart=/bin/true\nRuntimeDirectory=s\n"
                               f"[X-Holdfast]\nSecretFile=k file:{self.dir}/key\n")
        self.unit("s.socket", "[Socket]\nListenStream=/run/s/s.sock\nListenStream=7000\n")
        boot = self.boot_sanitized(environment={"HOLDFAST_DRAIN": "1", "HOLDFAST_NOT": "1"})
        self.assert_booted(boot)
        self.assertEqual(len(boot.puts(KIND["SECRET_FILE"])), 1)
        self.assertEqual(len(boot.puts(KIND["SOCKET"])), 2)
        self.assertNotIn("Sanitizer", boot.text)

    def test_a_refusal(self):
        self.conf()
        self.unit("a.service", "[Service]\nExecStart=/bin/true\nRestart=sometimes\n")
        boot = self.boot_sanitized("--stop-timeout", "9")
        self.assert_refused(boot, 78, ":3:")
        self.assertNotIn("Sanitizer", boot.text)


if __name__ == "__main__":
    harness.main()
