"""Namespaces, mounts and pivot_root from Python: what a container runtime does around its PID 1.

images/run boots the demo with it, and the tests boot their own trees. Everything raises OSError
that names what failed.
"""
import ctypes
import fcntl
import os
import signal
import socket
import struct

_libc = ctypes.CDLL(None, use_errno=True)

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWPID, NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _bytes(text):
    return None if text is None else os.fsencode(text)


def unshare(flags):
    _check(_libc.unshare(flags), "unshare")


def enter(fd, kind):
    _check(_libc.setns(fd, kind), "setns")


def mount(source, target, kind=None, flags=0, options=None):
    _check(_libc.mount(_bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags),
                       _bytes(options)), f"mount {target}")


def pivot(root):
    """Makes root, a mount point, the root of this process, and lets go of the old one."""
    os.chdir(root)
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")


def loopback_up():
    """Sets lo up, which in a new network namespace is down (netdevice(7))."""
    get_flags, set_flags, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = fcntl.ioctl(s, get_flags, struct.pack("16sh22x", b"lo", 0))
        flags = struct.unpack("16sh22x", request)[1] | up
        fcntl.ioctl(s, set_flags, struct.pack("16sh22x", b"lo", flags))


def die_with_parent():
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def cgroup_make(name):
    """A new cgroup at the top of the machine's cgroup2, or None. Its mounts stay as they are."""
    with open("/proc/mounts", encoding="utf-8") as f:
        tops = [line.split()[1] for line in f if line.split()[2] == "cgroup2"]
    if not tops:
        return None
    path = f"{tops[0]}/{name}"
    try:
        os.mkdir(path)
    except OSError:
        return None
    return path


def cgroup_enter(path):
    with open(f"{path}/cgroup.procs", "w", encoding="ascii") as f:
        f.write("0")


def cgroup_remove(path):
    """Removes it and all below it; the folders that are left, where processes live on."""
    left = []
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            left.append(folder)
    return left
