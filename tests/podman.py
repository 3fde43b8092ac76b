"""Podman with storage of its own: no image, container or cgroup of the machine is seen or left.

It works on a hybrid cgroup tree, where crun only starts without the unified part: that is unmounted
in a mount namespace of this process, so whoever makes a Podman is in one from then on.
"""
import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import harness

sys.path.insert(0, f"{harness.ROOT}/images")
import namespace as ns

HYBRID = "/sys/fs/cgroup/unified"
# Quotas that any root may give; podman's own defaults need CAP_SYS_RESOURCE.
CONF = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=1024:1024"]
log_driver = "k8s-file"
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
runtime = "crun"
"""


def of_module():
    """For setUpModule: a Podman that is closed behind the module's tests, which need root."""
    if not harness.is_root():
        raise unittest.SkipTest("podman has its own storage and mounts only as root")
    machine = Podman()
    unittest.addModuleCleanup(machine.close)
    return machine


def copy_image(context):
    """images/container as users copy it, with our programs, and an empty root/usr/bin: the folder."""
    shutil.copytree(f"{harness.ROOT}/images/container", context)
    os.makedirs(f"{context}/root/usr/bin")
    os.mkdir(f"{context}/holdfast")
    for name in harness.PROGRAMS:
        shutil.copy(f"{harness.BIN}/{name}", f"{context}/holdfast/{name}")
    return context


def write_configuration(folder, units, conf, wanted=None):
    """What /etc/holdfast holds. units: {file name: text}; conf stands behind Units=."""
    os.makedirs(f"{folder}/units", exist_ok=True)
    for name, text in units.items():
        with open(f"{folder}/units/{name}", "w", encoding="utf-8") as f:
            f.write(text)
    with open(f"{folder}/holdfast.conf", "w", encoding="utf-8") as f:
        f.write(f"[Holdfast]\nUnits={' '.join(wanted or sorted(units))}\n{conf}")


class Podman:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="holdfast-podman-")
        self.cgroup = f"holdfast-podman-{os.getpid()}"
        self.n_containers = 0
        with open(f"{self.dir}/containers.conf", "w", encoding="utf-8") as f:
            f.write(CONF)
        # Health checks are run by hand and not by timers of systemd.
        self.environment = {"PATH": os.environ["PATH"], "DISABLE_HC_SYSTEMD": "true",
                            "CONTAINERS_CONF": f"{self.dir}/containers.conf"}
        ns.unshare(ns.NEWNS)
        ns.mount(None, "/", None, ns.MS_REC | ns.MS_PRIVATE)
        if os.path.ismount(HYBRID):
            subprocess.run(["umount", HYBRID], check=True)
            # crun writes there what it takes for a cgroup: not onto the machine's tmpfs.
            ns.mount("tmpfs", HYBRID, "tmpfs", 0, "size=1m")

    def command(self, *argv):
        """For a process with self.environment."""
        return ["podman", "--root", f"{self.dir}/root", "--runroot", f"{self.dir}/run", "--tmpdir", f"{self.dir}/tmp", *argv]

    def __call__(self, *argv, check=True, timeout=60):
        """One podman command; its output as text. Without check: the CompletedProcess."""
        done = subprocess.run(
            self.command(*argv), env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout, check=False)
        if not check:
            return done
        if done.returncode != 0:
            raise AssertionError(f"podman {' '.join(argv)}: {done.returncode}\n{done.stderr}")
        return done.stdout

    def build(self, tag, context):
        # HEALTHCHECK and STOPSIGNAL only exist in Docker's format.
        self("build", "--isolation", "chroot", "--format", "docker", "-q", "-t", tag, context)

    def run(self, image, *command, options=(), runtime="crun"):
        self.n_containers += 1
        return Container(self, f"c{self.n_containers}", image, command, options, runtime)

    def _remove_cgroups(self):
        tops = ["/sys/fs/cgroup", *(e.path for e in os.scandir("/sys/fs/cgroup")
                                    if e.is_dir() and e.path != HYBRID)]
        return not any([ns.cgroup_remove(f"{top}/{self.cgroup}") for top in tops])

    def close(self):
        self("rm", "--all", "--force", "--time", "0", check=False)
        for mounted in ("root/overlay", "root"):
            subprocess.run(["umount", "--lazy", f"{self.dir}/{mounted}"], check=False,
                           stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir, ignore_errors=True)
        # conmon outlives its container by a moment, in a cgroup of its own.
        harness.wait_until(self._remove_cgroups, "no process of podman's is left")
        # Those of pods, for which nobody can say where.
        for pattern in ("libpod_parent/*/", "libpod_parent"):
            for path in glob.glob(f"/sys/fs/cgroup/*/{pattern}"):
                with contextlib.suppress(OSError):
                    os.rmdir(path)


class Container:
    """A detached container, started. Without --network it has a loopback alone."""

    def __init__(self, podman, name, image, command, options, runtime):
        self.podman, self.name = podman, name
        self.log_path = f"{podman.dir}/{name}.log"
        podman("--runtime", runtime, "run", "--detach", "--name", name, "--cgroup-parent", f"/{podman.cgroup}",
               "--log-opt", f"path={self.log_path}", *options, image, *command)

    def inspect(self, template):
        return self.podman("inspect", "--format", template, self.name).strip()

    @property
    def init(self):
        """PID 1's pid as seen from here."""
        return int(self.inspect("{{.State.Pid}}"))

    def exec(self, *argv, options=()):
        """As `podman exec`: (status, stdout, stderr)."""
        done = self.podman("exec", *options, self.name, *argv, check=False)
        return done.returncode, done.stdout, done.stderr

    def healthcheck(self):
        """True when the image's HEALTHCHECK passes."""
        return self.podman("healthcheck", "run", self.name, check=False).returncode == 0

    def signal(self, name):
        self.podman("kill", "--signal", name, self.name)

    def stop(self, seconds=30):
        """`podman stop`, and the container's exit status."""
        self.podman("stop", "--time", str(seconds), self.name)
        return self.wait()

    def wait(self, deadline=harness.DEADLINE):
        """Until it has ended; its exit status."""
        return int(self.podman("wait", "--interval", "20ms", self.name, timeout=deadline))

    @property
    def raw_log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def wait_for(self, text, deadline=harness.DEADLINE):
        try:
            harness.wait_until(lambda: text in self.raw_log, f"{text!r} in the log", deadline, 0.02)
        except harness.Timeout as error:
            raise AssertionError(f"{error}\n{self.raw_log}") from None
        return self

    @property
    def logs(self):
        """`podman logs`: what came on stdout and on stderr."""
        done = self.podman("logs", self.name, check=False)
        return done.stdout, done.stderr

    def lines(self):
        """The objects of stdout's lines, each of which must be one."""
        return [json.loads(line) for line in self.logs[0].splitlines()]

    def remove(self):
        self.podman("rm", "--force", "--time", "0", self.name, check=False)
