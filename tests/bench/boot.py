#!/usr/bin/env python3
"""A machine's boot with holdfast, with busybox init and with Debian's systemd: the same kernel, initramfs
(with dm-verity) and kind of disk, the same nginx with the same configuration, in QEMU without KVM.

From the kernel's hand-over to its first program (tests/apps/bootwatch.c, which measures within the
machine) until nginx answers with 200, and /health where there is one; then, three seconds later, what
memory is in use, and how much of it is init's and what comes with it. Machines boot in turns, so that
what disturbs one disturbs all. Figures are medians; ratios are medians of the ratios of each round.
Behind them stands what a busy machine hardly changes: instructions of the one processor.

busybox init is the least that can be done: its script mounts four times and sets the loopback up. Of
systemd there is what a minimal Debian has (init, journald, udevd, dbus, logind, a getty).

    tests/bench/boot.py [ROUNDS]
"""
import os
import re
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), path)
                for path in ("..", "../boot", "../../images")]
import harness
import initramfs
import kernel
import qemu

DEBIAN = f"{harness.ROOT}/build/bench/debian.tar"
PACKAGES = "systemd-sysv,udev,dbus,nginx"
SCRATCH = ("/tmp", "/var/log/nginx", "/var/lib/nginx")
NGINX = "/usr/sbin/nginx -g 'daemon off;'"
UNIT = f"[Unit]\nDescription=nginx\n[Service]\nExecStart={NGINX}\n"
SITE = "etc/nginx/sites-enabled/demo"
HANDOVER = "usr/lib/holdfast/holdfast"  # what holdfast-initramfs becomes
COUNTED_BOOTS = 3
ICOUNT_SHIFT = 1  # an instruction takes 2 ns of the machine's time
# Which processes are the services and not what manages them.
SERVICES = {"nginx"}


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


def log_to_file(tree):
    """A service of systemd's has a socket for its stdout, which nginx cannot open by a name."""
    with open(f"{tree}/{SITE}", encoding="utf-8") as f:
        text = f.read()
    write(f"{tree}/{SITE}", text.replace("/dev/stdout", "/var/log/nginx/access.log")
          .replace("/dev/stderr", "/var/log/nginx/error.log"))


def link_handover(tree):
    os.makedirs(os.path.dirname(f"{tree}/{HANDOVER}"), exist_ok=True)
    shutil.copy(f"{harness.APPS}/bootwatch", f"{tree}/{HANDOVER}")


# ---------------------------------------------------------------- the roots

def holdfast(folder):
    """The demo, with this one unit."""
    image = f"{folder}/demo"
    shutil.copytree(f"{harness.ROOT}/images/demo", image)
    log_to_file(f"{image}/root")
    etc = f"{image}/root/etc/holdfast"
    # As a unit of the distribution has it, which this one is in place of.
    write(f"{etc}/units/web.service", f"{UNIT}[X-Holdfast]\nSandbox=unit\n")
    with open(f"{etc}/holdfast.conf", encoding="utf-8") as f:
        conf = re.sub(r"^Units=.*$", "Units=web.service", f.read(), flags=re.M)
    write(f"{etc}/holdfast.conf", re.sub(r"(?ms)^\[Network\]\n[^\[]*", "", conf))
    subprocess.run([f"{harness.ROOT}/images/build", "--image", image, "--to", f"{folder}/to", "--only",
                    "erofs"], check=True, stdout=subprocess.DEVNULL)
    return f"{folder}/to/root"


def busybox(folder, demo):
    """The demo's files, and busybox in the place of holdfast."""
    tree = f"{folder}/busybox"
    subprocess.run(["cp", "-a", demo, tree], check=True)
    shutil.rmtree(f"{tree}/usr/lib/holdfast")
    shutil.copy(shutil.which("busybox", path="/usr/bin:/bin"), f"{tree}/usr/bin/busybox")
    for name in ("bin/sh", "bin/mount", "sbin/ifconfig", "sbin/init"):
        os.symlink("/usr/bin/busybox", f"{tree}/usr/{name}")
    mounts = "".join(f"mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 tmpfs {path}\n"
                     for path in ("/run", *SCRATCH))
    write(f"{tree}/etc/rcS", f"#!/bin/sh\n{mounts}ifconfig lo up\n", 0o755)
    write(f"{tree}/etc/inittab", f"::sysinit:/etc/rcS\n::respawn:{NGINX}\n")
    link_handover(tree)
    return tree


def fetch_debian():
    if not os.path.exists(DEBIAN):
        os.makedirs(os.path.dirname(DEBIAN), exist_ok=True)
        print("fetching Debian with systemd, once", flush=True)
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}",
                        "bookworm", f"{DEBIAN}.partial.tar"], check=True)
        os.rename(f"{DEBIAN}.partial.tar", DEBIAN)


def systemd(folder):
    fetch_debian()
    tree = f"{folder}/systemd"
    os.mkdir(tree)
    subprocess.run(["tar", "-xf", DEBIAN, "-C", tree, "--exclude=./dev/*", "--exclude=./usr/share/doc",
                    "--exclude=./var/lib/apt/lists", "--exclude=./var/cache"], check=True)
    write(f"{tree}/etc/systemd/system/web.service", UNIT)
    wants = f"{tree}/etc/systemd/system/multi-user.target.wants"
    os.unlink(f"{wants}/nginx.service")  # the same nginx is started in the same way by all
    os.symlink("../web.service", f"{wants}/web.service")
    os.unlink(f"{tree}/etc/nginx/sites-enabled/default")
    for path in (SITE, "var/www/html/index.html"):
        shutil.copy(f"{harness.ROOT}/images/demo/root/{path}", f"{tree}/{path}")
    log_to_file(tree)
    write(f"{tree}/etc/fstab", "".join(
        f"tmpfs {path} tmpfs nosuid,nodev,noexec,mode=1777 0 0\n" for path in (*SCRATCH, "/var/lib/systemd")))
    write(f"{tree}/etc/machine-id", "")
    link_handover(tree)
    return tree


# ---------------------------------------------------------------- the boots

class Contender:
    def __init__(self, folder, name, tree, targets):
        self.name, self.folder = name, f"{folder}/boot-{name}"
        os.mkdir(self.folder)
        self.disk = qemu.Disk(f"{self.folder}/disk", tree, size=None)
        with open(f"{harness.BIN}/holdfast-initramfs", "rb") as f:
            own = f.read()
        self.initrd = f"{self.folder}/initrd"
        watched = "".join(f"{port} {path}\n" for port, path in targets).encode()
        with open(self.initrd, "wb") as f:
            f.write(initramfs.build(
                kernel.find().modules, qemu.MODULES, f"{harness.APPS}/bootwatch",
                cmdline=self.disk.words(),
                extra=[("init.real", stat.S_IFREG | 0o755, own), ("watch", stat.S_IFREG | 0o444, watched)]))
        self.boots = []

    def boot(self, more=()):
        with qemu.Machine(self.folder, self.initrd, [self.disk.path], more=more) as machine:
            machine.wait_for("bootwatch: done", qemu.DEADLINE)
            text = machine.text
        times = {int(p): int(us) / 1e3 for p, us in re.findall(r"^bootwatch: 200 (\d+) (\d+)", text, re.M)}
        memory = [(n, int(kb)) for n, kb in re.findall(r"^bootwatch: memory (.+) (\d+)", text, re.M)]
        known = dict(memory)
        own = [(n, kb) for n, kb in memory if not n.endswith(":") and n not in SERVICES]
        return {"nginx": times[8080], "health": times.get(9180), "own": sum(kb for _, kb in own),
                "used": known["MemTotal:"] - known["MemAvailable:"],
                "processes": int(re.search(r"^bootwatch: processes (\d+)", text, re.M)[1]),
                "who": ", ".join(f"{n} {kb}" for n, kb in own)}

    def count(self):
        """Millions of instructions until nginx answers. What the disk makes it wait counts as if it ran,
        so it is the least of some boots that says what the machine does."""
        return min(self.boot(["-icount", f"shift={ICOUNT_SHIFT},sleep=off"])["nginx"]
                   for _ in range(COUNTED_BOOTS)) / (1 << ICOUNT_SHIFT)

    def median(self, key):
        return statistics.median(b[key] for b in self.boots)


def report(contenders):
    base = contenders[0]
    counted = [c.count() for c in contenders]
    print(f"{'':12}{'until 200':>12}{'ratio':>8}{'/health':>12}{'PSS of init':>14}{'memory used':>14}"
          f"{'root':>10}{'processes':>11}{'instructions':>14}{'ratio':>7}")
    for c, n in zip(contenders, counted):
        ratio = statistics.median(b["nginx"] / o["nginx"] for b, o in zip(c.boots, base.boots))
        health = f"{c.median('health'):.0f} ms" if c.boots[0]["health"] else ""
        print(f"{c.name:12}{c.median('nginx'):>9.0f} ms{ratio:>8.2f}{health:>12}{c.median('own'):>11.0f} kB"
              f"{c.median('used') / 1024:>11.1f} MB{c.disk.blocks * 4096 / 1e6:>7.1f} MB"
              f"{c.median('processes'):>11.0f}{n:>12.0f} M{n / counted[0]:>7.2f}")
    for c in contenders:
        print(f"  {c.name}: kB of {c.boots[-1]['who']}")


def main():
    if not harness.is_root():
        raise SystemExit("making images needs root")
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    harness.make("build/image/demo-api")
    with tempfile.TemporaryDirectory(prefix="holdfast-boot-") as folder:
        demo = holdfast(folder)
        contenders = [Contender(folder, "busybox", busybox(folder, demo), [(8080, "/")]),
                      Contender(folder, "holdfast", demo, [(8080, "/"), (9180, "/health")]),
                      Contender(folder, "systemd", systemd(folder), [(8080, "/")])]
        for _ in range(rounds):
            for c in contenders:
                c.boots.append(c.boot())
        report(contenders)


if __name__ == "__main__":
    main()
