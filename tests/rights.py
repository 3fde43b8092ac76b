"""What a process may do, as /proc tells it, and what it answers itself where /proc is silent (tests/inject.py)."""
import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import re
import stat
import struct
import subprocess

import harness
import inject

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
GET_DUMPABLE, GET_SECUREBITS = 3, 27
GET_SEALS, SEAL_WRITE, SEAL_FUTURE_WRITE = 1034, 0x8, 0x10
STORE_FD, STORE_HEAD, STORE_ENTRY = 3, 16 + 4 * 8 + 8, struct.Struct("=IIiI")


@dataclasses.dataclass
class Rights:
    """Of one thread. None: could not be looked at (it is held by the kernel meanwhile)."""
    uids: tuple
    gids: tuple
    groups: tuple
    capabilities: dict   # by the names of SETS
    no_new_privs: bool
    n_filters: int
    namespaces: dict
    oom_score_adj: int
    securebits: int = None
    is_dumpable: bool = None
    opens: tuple = None  # of the paths that were tried those that it could


def status_of(path):
    with open(f"{path}/status", encoding="ascii", errors="replace") as f:
        return dict(line.split(":", 1) for line in f.read().splitlines())


def numbers(text, base=10):
    return tuple(int(n, base) for n in text.split())


def filters_of(status):
    """Before 5.9 the kernel says whether, not how many."""
    if "Seccomp_filters" in status:
        return int(status["Seccomp_filters"])
    return 1 if int(status["Seccomp"]) == 2 else 0


def threads(pid):
    return [int(t) for t in os.listdir(f"/proc/{pid}/task")]


def seen(thread):
    """From outside."""
    path = f"/proc/{thread}"
    status = status_of(path)
    return Rights(uids=numbers(status["Uid"]), gids=numbers(status["Gid"]), groups=numbers(status["Groups"]),
                  capabilities={name: int(status[name], 16) for name in SETS},
                  no_new_privs=status["NoNewPrivs"].strip() == "1", n_filters=filters_of(status),
                  namespaces={name: os.readlink(f"{path}/ns/{name}") for name in os.listdir(f"{path}/ns")
                              if not name.endswith("_for_children")},
                  oom_score_adj=int(open(f"{path}/oom_score_adj", encoding="ascii").read()))


def asked(thread, paths=()):
    """From outside, and what it says itself with its filters out of the way: Landlock has no file in /proc."""
    found = seen(thread)
    if not inject.IS_POSSIBLE:
        return found
    with inject.Puppet(thread) as puppet:
        puppet.suspend_filters()
        found.securebits = puppet.call("prctl", GET_SECUREBITS)
        found.is_dumpable = puppet.call("prctl", GET_DUMPABLE) != 0
        opened = []
        for path in paths:
            fd = puppet.call("openat", -100, path, os.O_RDONLY | os.O_CLOEXEC)
            if fd >= 0:
                puppet.call("close", fd)
                opened.append(path)
            elif fd not in (-errno.EACCES, -errno.ENOENT):
                raise AssertionError(f"{path}: {os.strerror(-fd)}")
        found.opens = tuple(opened)
    return found


# ---- fds

@dataclasses.dataclass(frozen=True)
class Fd:
    number: int
    target: str
    mode: int  # os.O_ACCMODE of it, or os.O_PATH
    inode: tuple
    is_cloexec: bool
    seals: int  # of a file in memory; else 0

    @property
    def is_writable_memory(self):
        """Whether whoever holds it can change what others map."""
        is_memory = self.inode[2] == stat.S_IFREG and self.mode == os.O_RDWR
        return is_memory and not self.seals & (SEAL_WRITE | SEAL_FUTURE_WRITE)


def seals_of(path):
    # Others have none, and to open them may wait for ever: who is held is held by one.
    if not os.readlink(path).startswith("/memfd:"):
        return 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl.fcntl(fd, GET_SEALS)
    finally:
        os.close(fd)


def fds(pid):
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as f:
                flags = int(re.search(r"^flags:\s+(\d+)", f.read(), re.M)[1], 8)
            st = os.stat(f"/proc/{pid}/fd/{name}")
            found[int(name)] = Fd(int(name), os.readlink(f"/proc/{pid}/fd/{name}"),
                                  os.O_PATH if flags & os.O_PATH else flags & os.O_ACCMODE,
                                  (st.st_dev, st.st_ino, stat.S_IFMT(st.st_mode)), bool(flags & os.O_CLOEXEC),
                                  seals_of(f"/proc/{pid}/fd/{name}"))
    return found


def kinds():
    """{number: name} of the store's kinds, from its header."""
    with open(f"{harness.ROOT}/lib/store.h", encoding="utf-8") as f:
        body = re.search(r"enum store_kind \{(.*?)\};", f.read(), re.S)[1]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    return dict(enumerate(name.strip() for name in body.split(",") if name.strip()))


def grants():
    """{program: names of the kinds of the store that it is handed}, from the table of the programs themselves."""
    masks = json.loads(subprocess.run([f"{harness.APPS}/grants"], stdout=subprocess.PIPE, check=True).stdout)
    names = kinds()
    return {program: {name for kind, name in names.items() if mask >> kind & 1} for program, mask in masks.items()}


def store(init):
    """{fd number: name of its kind} of what PID 1 keeps now."""
    with open(f"/proc/{init}/fd/{STORE_FD}", "rb") as f:
        data = f.read()
    count, = struct.unpack_from("=I", data, STORE_HEAD - 8)
    names = kinds()
    entries = (STORE_ENTRY.unpack_from(data, STORE_HEAD + i * STORE_ENTRY.size) for i in range(count))
    return {fd: names[kind] for kind, _, fd, _ in entries if names[kind] != "STORE_NONE"}
