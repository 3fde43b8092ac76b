#!/usr/bin/env python3
"""The image of images/container, run by podman as its users run it: as root with a container's
default capabilities, and as uid 1000 with nothing at all."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
import podman

from network import Network
from servers import dns
from servers.aws import Aws, Parameter
from servers.dns import Dns
from servers.pki import Authority

ns = podman.ns

APPS = ("service", "selfie", "sigecho")
CTL = "/usr/lib/holdfast/holdfastctl"
ROOT = ("--read-only",)
BARE = ("--read-only", "--read-only-tmpfs=false")  # as Docker has it: no /run, no /tmp
RESTRICTED = ("--user", "1000:1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", *BARE)
RUNGS = {"root": ROOT, "root, no tmpfs": BARE, "restricted": RESTRICTED,
         "restricted, /tmp": (*RESTRICTED, "--tmpfs", "/tmp:size=1m")}
# Where a tmpfs more or less decides nothing.
MAIN_RUNGS = {name: RUNGS[name] for name in ("root", "restricted")}
IMAGE = "holdfast-test"
_podman = None


def setUpModule():
    """One storage, with one image: the folder that users copy, and the tests' applications in it."""
    global _podman
    _podman = podman.of_module()
    context = podman.copy_image(f"{_podman.dir}/image")
    for name in APPS:
        shutil.copy(f"{harness.APPS}/{name}", f"{context}/root/usr/bin/{name}")
    shutil.copy(f"{harness.APPS}/service", f"{context}/root/usr/bin/app")
    _podman.build(IMAGE, context)


class ContainerCase(harness.Case):
    def run_container(self, *command, options=ROOT):
        container = _podman.run(IMAGE, *command, options=options)
        self.addCleanup(container.remove)
        return container

    def configured(self, units, conf="", wanted=None, options=ROOT, command=()):
        """A container with this configuration in the place of the image's."""
        folder = os.path.join(self.dir, f"etc{_podman.n_containers}")
        podman.write_configuration(folder, units, f"[Health]\nListen=:9180\n{conf}", wanted)
        return self.run_container(*command, options=(*options, "--volume",
                                                     f"{folder}:/etc/holdfast:ro"))

    def secret_file(self, text, mode=0o400, owner=0):
        """A file on memory, as Kubernetes and podman's secrets have it."""
        memory = os.path.join(self.dir, f"memory{_podman.n_containers}")
        os.mkdir(memory)
        ns.mount("tmpfs", memory, "tmpfs", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC, "mode=0755")
        self.addCleanup(subprocess.run, ["umount", "--lazy", memory], check=False)
        with open(f"{memory}/secret", "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(f"{memory}/secret", mode)
        os.chown(f"{memory}/secret", owner, owner)
        return f"{memory}/secret"

    def member(self, container, program):
        """The pid of one of holdfast's own processes, as seen from here."""
        init = container.init
        return harness.wait_until(lambda: harness.child_named(init, program), f"{program} runs")

    def status(self, container):
        code, out, _ = container.exec(CTL, "status", "--json")
        self.assertEqual(code, 0, out)
        return json.loads(out)

    def assert_sound_log(self, container):
        """Every line is an object, and no seq is missing or twice."""
        out, err = container.logs
        lines = [json.loads(line) for line in out.splitlines()]
        for line in err.splitlines():
            self.assertIn("event", json.loads(line))
        numbers = [line["holdfast"]["seq"] for line in lines]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)), out)
        return lines

    def assert_gone(self, pids, what):
        harness.wait_until(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids), what)


class Command(ContainerCase):
    """`holdfast -- CMD`, where tini or dumb-init stood."""

    def test_the_status_is_the_commands(self):
        for rung, options in MAIN_RUNGS.items():
            for command, status in ((("/usr/bin/service", "-e", "7"), 7),
                                    (("/usr/bin/service", "-k", "9"), 137),
                                    (("/nowhere",), 127), (("/etc",), 126)):
                with self.subTest(rung=rung, command=command):
                    done = _podman("run", "--rm", *options, IMAGE, "--", *command, check=False)
                    self.assertEqual(done.returncode, status, done)

    def test_stop_and_signals_reach_the_command(self):
        for rung, options in MAIN_RUNGS.items():
            with self.subTest(rung=rung):
                container = self.run_container("--", "/usr/bin/sigecho", "-q", "15", options=options)
                container.wait_for("ready 2 ")
                container.signal("USR1")
                container.wait_for("got 10")
                self.assertEqual(container.stop(), 0)
                self.assertEqual(container.logs, ("ready 2 2 1\ngot 10\ngot 15\n", ""))

    def test_orphans_are_reaped(self):
        for rung, options in MAIN_RUNGS.items():
            with self.subTest(rung=rung):
                container = self.run_container("--", "/usr/bin/service", options=options)
                init = container.init
                command = harness.wait_until(lambda i=init: harness.children(i), "the command runs")
                for _ in range(3):
                    self.assertEqual(container.exec("/usr/bin/service", "-d", "/dev/shm/pid")[0], 0)
                orphans = set(harness.children(init)) - set(command)
                self.assertEqual(len(orphans), 3)
                for pid in orphans:
                    os.kill(pid, signal.SIGKILL)
                self.assert_gone(orphans, "no orphan is left, nor its zombie")
                self.assertEqual(harness.children(init), command)
                self.assertEqual(container.stop(), 0)

    def test_under_the_supervisor_with_health(self):
        for rung, options in MAIN_RUNGS.items():
            with self.subTest(rung=rung):
                container = self.configured({}, wanted=["unused.service"], options=options, command=(
                    "--health=:9180", "--", "/usr/bin/service", "-f", "/dev/stdout", "-n", "main"))
                harness.wait_until(container.healthcheck, "it is healthy")
                self.assertEqual(container.stop(), 0)
                # Its stdout is its own, as it is without a supervisor.
                self.assertRegex(container.logs[0], r"\Amain start \d+\nmain stop \d+\n\Z")

    def test_under_the_supervisor_the_status_is_the_commands(self):
        for rung, options in MAIN_RUNGS.items():
            for arguments, status in ((("-e", "7"), 7), (("-k", "9"), 137)):
                with self.subTest(rung=rung, status=status):
                    container = self.run_container("--health", "--", "/usr/bin/service", *arguments,
                                                   options=options)
                    self.assertEqual(container.wait(), status, container.raw_log)


class Shipped(ContainerCase):
    """The image as it is, and one application in it."""

    PROTECTIONS = {
        "root": {"ids": "full", "root": "full", "writes": "reduced", "scratch": "full",
                 "public-files": "full", "secrets-memory": "reduced"},
        "root, no tmpfs": {"ids": "full", "root": "full", "writes": "full", "scratch": "full",
                           "public-files": "reduced", "secrets-memory": "reduced"},
        "restricted": {"ids": "reduced", "root": "full", "writes": "full", "scratch": "full",
                       "public-files": "reduced", "secrets-memory": "reduced"},
        "restricted, /tmp": {"ids": "reduced", "root": "full", "writes": "reduced",
                             "scratch": "full", "public-files": "reduced",
                             "secrets-memory": "reduced"},
    }

    def test_it_is_six_lines_long(self):
        with open(f"{harness.ROOT}/images/container/Dockerfile", encoding="utf-8") as f:
            lines = [line for line in f if line.strip() and not line.startswith("#")]
        self.assertEqual(len(lines), 6)

    def test_from_start_to_stop(self):
        for rung, options in RUNGS.items():
            with self.subTest(rung=rung):
                container = self.run_container(options=options)
                container.wait_for("the instance is running")
                self.assertTrue(container.healthcheck())
                self.assertEqual(container.inspect("{{.State.Health.Status}}"), "healthy")
                status = self.status(container)
                self.assertEqual((status["phase"], status["units"][0]["state"]), ("running", "running"))
                found = {p["name"]: p["level"] for p in status["protections"]}
                self.assertEqual(found, found | self.PROTECTIONS[rung])
                self.assertNotEqual(found["cgroups"], "full")
                self.assertEqual(container.stop(), 0)
                lines = self.assert_sound_log(container)
                self.assertEqual(lines[-1]["event"], "instance-ends")

    def test_what_holds_is_said_in_words(self):
        container = self.run_container(options=RESTRICTED)
        container.wait_for("the instance is running")
        code, out, _ = container.exec(CTL, "status")
        self.assertEqual(code, 0)
        for words in (r"^app\.service +running ", r"^root +enforced +read-only, proven$",
                      r"^ids +in part .*uid 1000", r"^cgroups +(in part|NOT ENFORCED) "):
            self.assertRegex(out, re.compile(words, re.M))

    def test_the_dump_of_a_running_one(self):
        for rung, options in RUNGS.items():
            with self.subTest(rung=rung):
                container = self.run_container(options=options)
                container.wait_for("the instance is running")
                code, out, err = container.exec(CTL, "dump")
                self.assertEqual((code, err), (0, ""))
                lines = [json.loads(line) for line in out.splitlines()]
                self.assertEqual((lines[0]["type"], lines[-1]["type"]), ("dump", "end"))
                self.assertEqual(lines[-1]["lines"], len(lines))
                names = {p["name"] for p in lines if p["type"] == "protection"}
                self.assertLessEqual({"root", "ids", "scratch", "secrets-memory", "cgroups"}, names)

    def test_a_writable_root_is_refused_and_the_flag_is_named(self):
        for options in ((), ("--user", "1000:1000", "--cap-drop", "ALL")):
            with self.subTest(options=options):
                termination = self.write("termination", "", 0o666)
                container = self.run_container(options=(*options, "--volume",
                                                        f"{termination}:/dev/termination-log"))
                self.assertEqual(container.wait(), 71)
                with open(termination, encoding="utf-8") as f:
                    cause = f.read()
                for words in ("--read-only", "readOnlyRootFilesystem: true"):
                    self.assertIn(words, cause)
                    self.assertIn(words, container.raw_log)

    def test_the_environment_does_not_weaken_what_the_image_does_not_allow(self):
        container = self.run_container(options=("--env", "HOLDFAST_READ_ONLY_ROOT=warn"))
        self.assertIn(container.wait(), (71, 78))
        self.assertIn("HOLDFAST_READ_ONLY_ROOT", container.raw_log)

    def test_the_deaths_of_holdfasts_own_processes(self):
        for rung, options in RUNGS.items():
            with self.subTest(rung=rung):
                container = self.configured(
                    {"app.service": "[Service]\nExecStart=/usr/bin/service -f /dev/stdout app\n"},
                    options=options)
                container.wait_for("the instance is running")
                container.wait_for("app start")
                service = harness.child_named(container.init, "service")
                for program in ("holdfast-supervisor", "holdfast-log", "holdfast-health"):
                    old = self.member(container, program)
                    os.kill(old, signal.SIGKILL)
                    self.assert_gone([old], f"{program} is gone")
                    self.member(container, program)
                harness.wait_until(container.healthcheck, "it is healthy again")
                self.assertEqual(harness.child_named(container.init, "service"), service)
                self.assertEqual(container.stop(), 0)
                for note in ("app start", "app stop"):
                    self.assertEqual(container.raw_log.count(note), 1, container.raw_log)
                self.assertIn("supervisor-adopted", container.raw_log)


class Shapes(ContainerCase):
    """Ways of running it that users have."""

    def live(self, *options):
        container = self.run_container(options=options)
        container.wait_for("the instance is running")
        self.assertTrue(container.healthcheck())
        rungs = {p["name"]: p["rung"] for p in self.status(container)["protections"]}
        self.assertEqual(container.stop(), 0)
        return container, rungs

    def test_with_the_right_to_mount_a_writable_root_becomes_read_only(self):
        for options in (("--privileged",), ("--cap-add", "SYS_ADMIN")):
            with self.subTest(options=options):
                container, rungs = self.live(*options)
                self.assertEqual(rungs["root"], "remounted read-only, proven")
                self.assert_sound_log(container)

    def test_root_without_any_capability(self):
        container, rungs = self.live("--cap-drop", "ALL", *ROOT)
        self.assertEqual(rungs["ids"], "one uid for all")
        self.assert_sound_log(container)

    def test_root_of_a_user_namespace(self):
        container, rungs = self.live("--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", *ROOT)
        self.assertEqual(rungs["ids"], "own uid each")
        self.assert_sound_log(container)

    def test_below_another_init(self):
        container, rungs = self.live("--init", *ROOT)
        self.assertRegex(rungs["public-files"], r"^/run/holdfast\.\d+$")
        self.assert_sound_log(container)

    def test_among_the_hosts_processes(self):
        # podman then sends TERM to everything in the container, holdfast's own processes included.
        self.live("--pid", "host", *ROOT)

    def test_with_a_terminal(self):
        self.live("--tty", "--interactive", *ROOT)

    def test_with_little_memory_and_few_processes(self):
        container, _ = self.live("--memory", "16m", "--pids-limit", "10", *ROOT)
        self.assert_sound_log(container)


class Rooms(ContainerCase):
    """Where PID 1 is not in the image's root, `podman exec` finds what the room has."""

    UNIT = {"app.service": "[Service]\nExecStart=/usr/bin/app stay\nUser=1000\n"}
    REFUSED = "refused: this instance has no shell; use holdfastctl dump\n"

    def live(self, room, *options):
        container = self.configured(self.UNIT, f"[Holdfast]\nRoom={room}\n", options=(*ROOT, *options))
        container.wait_for("the instance is running")
        return container

    def test_where_nothing_can_be_executed(self):
        for options in (("--privileged",), (), RESTRICTED):
            with self.subTest(options=options):
                container = self.live("empty", *options)
                for argv, how in ((("/bin/sh", "-c", "id"), ()), (("/bin/sh", "-c", "id"), ("--user", "0")),
                                  (("sh",), ("-i",)), (("/bin/sh",), ("-i", "-t")), (("/bin/sh",), ("--privileged",)),
                                  ((CTL, "status"), ()), (("/usr/bin/app", "-e", "0"), ())):
                    code, out, err = container.exec(*argv, options=how)
                    self.assertNotEqual(code, 0, (argv, err))
                    self.assertEqual(out, "", argv)
                self.assertFalse(container.healthcheck())
                self.assertEqual(container.stop(), 0)

    def test_where_only_holdfastctl_can(self):
        for room, options in (("ctl", ("--privileged",)), ("yes", ("--cap-add", "SYS_ADMIN", "--workdir", "/etc"))):
            with self.subTest(room=room, options=options):
                container = self.live(room, *options)
                self.assertTrue(container.healthcheck())
                status = self.status(container)
                self.assertIn("ctl room", {p["rung"] for p in status["protections"]})
                self.assertEqual(container.exec("holdfastctl", "probe")[0], 0)
                code, out, _ = container.exec(CTL, "dump")
                self.assertEqual((code, json.loads(out.splitlines()[-1])["type"]), (0, "end"))
                for argv, how in ((("/bin/sh", "-c", "id"), ()), (("bash",), ("-i",)), (("env",), ("--user", "1000"))):
                    self.assertEqual(container.exec(*argv, options=how), (126, "", self.REFUSED), argv)
                code, out, _ = container.exec("/usr/bin/app", "-e", "0")
                self.assertEqual((code, out), (127, ""))
                self.assertEqual(container.stop(), 0)

    def test_where_there_is_none(self):
        for room in ("yes", "ctl"):
            with self.subTest(room=room):
                container = self.live(room)
                self.assertTrue(container.healthcheck())
                self.assertEqual(container.stop(), 0)


class Needs(ContainerCase):
    """What an application asks for, and what the runtime must give for it."""

    VALUE = "a-secret-of-the-runtime"

    def reader(self, keys, arguments=""):
        return {"app.service": f"[Service]\nExecStart=/usr/bin/selfie --hold {arguments}\n"
                               f"[X-Holdfast]\n{keys}\n"}

    def seen(self, container):
        """What the application said of itself."""
        container.wait_for('"argv":')
        return next(line for line in container.lines() if "argv" in line)

    def assert_only_the_application_said(self, value, container):
        for line in [*container.lines(), *container.logs[1].splitlines()]:
            if "argv" not in line:
                self.assertNotIn(value, str(line))

    def test_a_secret_file_of_the_runtime(self):
        for rung, options in RUNGS.items():
            owner = 1000 if "1000:1000" in options else 0
            with self.subTest(rung=rung):
                # Too short to be scrubbed from the log, where the test reads it.
                value = "s3cr3t"
                path = self.secret_file(value, owner=owner)
                container = self.configured(
                    self.reader("SecretFile=token file:/run/secrets/token mode=0400",
                                "--read %d/token"),
                    options=(*options, "--volume", f"{path}:/run/secrets/token:ro"))
                found = self.seen(container)
                directory = next(e for e in found["env"] if e.startswith("CREDENTIALS_DIRECTORY="))
                file = found[directory.split("=", 1)[1] + "/token"]
                self.assertEqual((file["mode"], file["uid"]), (0o400, owner))
                self.assertEqual(file["content"], value)
                self.assertEqual(container.stop(), 0)
                self.assert_only_the_application_said(value, container)

    def test_a_secret_file_that_may_not_be_read(self):
        path = self.secret_file("s3cr3t", owner=0)
        container = self.configured(self.reader("SecretFile=token file:/run/secrets/token"),
                                    options=(*RESTRICTED, "--volume", f"{path}:/run/secrets/token:ro"))
        self.assertEqual(container.wait(), 77, container.raw_log)
        self.assertIn("/run/secrets/token: Permission denied", container.raw_log)

    def test_a_secret_of_the_environment(self):
        for rung, options in MAIN_RUNGS.items():
            with self.subTest(rung=rung):
                container = self.configured(
                    self.reader("Secret=PASSWORD env:DB_PASSWORD\nSecret=PIN env:DB_PIN"),
                    options=(*options, "--env", f"DB_PASSWORD={self.VALUE}", "--env", "DB_PIN=1234"))
                found = self.seen(container)
                self.assertIn("PIN=1234", found["env"])
                names = {e.split("=", 1)[0] for e in found["env"]}
                self.assertIn("PASSWORD", names)
                self.assertNotIn("DB_PASSWORD", names)
                for pid in [container.init, *harness.children(container.init)]:
                    if pid == harness.child_named(container.init, "selfie"):
                        continue
                    with open(f"/proc/{pid}/environ", "rb") as f:
                        self.assertNotIn(self.VALUE.encode(), f.read())
                self.assert_only_the_application_said(self.VALUE, container)

    def test_a_reference_to_a_variable_that_is_not_set(self):
        for rung, options in MAIN_RUNGS.items():
            with self.subTest(rung=rung):
                termination = self.write("termination", "", 0o666)
                container = self.configured(
                    self.reader("Secret=PASSWORD env:${STAGE}_PASSWORD"),
                    options=(*options, "--volume", f"{termination}:/dev/termination-log"))
                self.assertEqual(container.wait(), 78)
                with open(termination, encoding="utf-8") as f:
                    cause = f.read()
                for words in ("/etc/holdfast/units/app.service:4", "STAGE"):
                    self.assertIn(words, cause)
                    self.assertIn(words, container.raw_log)

    def test_a_secret_that_is_missing(self):
        for rung, options in MAIN_RUNGS.items():
            with self.subTest(rung=rung):
                container = self.configured(self.reader("SecretFile=token file:/run/secrets/none"),
                                            options=options)
                self.assertEqual(container.wait(), 66)
                self.assertIn("/run/secrets/none", container.raw_log)

    def test_scratch_is_refused_with_the_option_that_helps(self):
        units = {"app.service": "[Service]\nExecStart=/usr/bin/service -d /scratch/pid\nType=forking\n"
                                "PIDFile=/scratch/pid\n"}
        for rung, options in MAIN_RUNGS.items():
            with self.subTest(rung=rung):
                conf = "[Scratch]\n/scratch=size=1M,mode=0750\n"
                container = self.configured(units, conf, options=options)
                self.assertEqual(container.wait(), 71)
                advice = re.search(r"--tmpfs (/scratch:[a-zA-Z0-9=,]+)", container.raw_log)
                self.assertTrue(advice, container.raw_log)
                container = self.configured(units, conf, options=(*options, "--tmpfs", advice[1]))
                container.wait_for("the instance is running")
                levels = {p["name"]: p["level"] for p in self.status(container)["protections"]}
                self.assertEqual(levels["scratch"], "reduced")
                self.assertEqual(container.stop(), 0)


class Remote(ContainerCase):
    """The same image and what images/remote adds: a secret over TLS, by the name of the service."""
    UNIT = ("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/selfie\n[X-Holdfast]\n"
            "Secret=DB ssm:db\nConfig=LEVEL ssm:level\n")

    def build(self, authority):
        context = f"{self.dir}/image"
        os.makedirs(f"{context}/holdfast")
        os.makedirs(f"{context}/root")
        shutil.copy(f"{harness.BIN}/holdfast-secrets-remote", f"{context}/holdfast")
        subprocess.run([f"{harness.ROOT}/images/remote", f"{context}/root"], check=True)
        shutil.copy(authority.ca, f"{context}/root/etc/ssl/certs/ca-certificates.crt")
        with open(f"{context}/Dockerfile", "w", encoding="utf-8") as f:
            f.write(f"FROM {IMAGE}\nCOPY holdfast/ /usr/lib/holdfast/\nCOPY root/ /\n")
        _podman.build("holdfast-remote", context)

    def test_an_image_with_what_the_remote_program_needs(self):
        authority = Authority(f"{self.dir}/pki")
        self.build(authority)
        network = Network(files={"/etc/resolv.conf": dns.CONF})
        self.addCleanup(network.close)
        self.addCleanup(network.run(Dns, {"ssm.eu-central-1.amazonaws.com": ["127.0.0.1"]}).close)
        aws = network.run(Aws, authority, address=("127.0.0.1", 443),
                          certificate=authority.issue("aws", "DNS:*.eu-central-1.amazonaws.com"))
        self.addCleanup(aws.close)
        aws.parameters = {"db": [Parameter("pl4nted-value", "SecureString")], "level": [Parameter("debug")]}
        etc = f"{self.dir}/etc"
        self.write("etc/units/web.service", self.UNIT)
        self.write("etc/holdfast.conf", f"[Holdfast]\nUnits=web.service\n[Secrets]\nRegion={aws.region}\n"
                   f"MetadataEndpoint={aws.metadata_url}\n")
        for name, options in MAIN_RUNGS.items():
            with self.subTest(rung=name):
                container = network.run(_podman.run, "holdfast-remote", options=(
                    *options, "--network", "host", "--volume", f"{etc}:/etc/holdfast:ro"))
                self.addCleanup(container.remove)
                container.wait_for("the instance is running")
                container.wait_for('"argv":')
                me = next(line for line in container.lines() if "argv" in line)
                env = dict(word.split("=", 1) for word in me["env"])
                self.assertEqual((env["LEVEL"], env["DB"]), ("debug", "[secret]"))
                self.assertEqual(container.stop(), 0)
                self.assertNotIn("pl4nted", container.raw_log)


if __name__ == "__main__":
    harness.main()
