#!/usr/bin/env python3
"""Runs a program beside an instance's processes, with the ids and capabilities that its PID 1 has, as a
runtime does: enter.py PID MOUNT-NAMESPACE PROGRAM [ARG...]. nsenter(1) leaves it all that root has here."""
import ctypes
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "images"))
import namespace as ns

_libc = ctypes.CDLL(None, use_errno=True)
PR_CAPBSET_DROP = 24
VERSION_3 = 0x20080522


def set_capabilities(held):
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    low, high = held & 0xffffffff, held >> 32
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    if _libc.capset(header, data) < 0:
        raise OSError(ctypes.get_errno(), "capset")


def main():
    target, mounts, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(f"/proc/{target}/status", encoding="ascii") as f:
        status = dict(re.findall(r"^(\w+):\s*(.*)$", f.read(), re.M))
    bounding, held = int(status["CapBnd"], 16), int(status["CapEff"], 16)
    uid, gid = int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
    fds = [(os.open(f"/proc/{target}/ns/{name}", os.O_RDONLY), kind) for name, kind in (("pid", ns.NEWPID), ("net", ns.NEWNET))]
    fds.append((os.open(mounts, os.O_RDONLY), ns.NEWNS))
    for fd, kind in fds:
        ns.enter(fd, kind)
    for capability in range(64):
        if not bounding >> capability & 1:
            _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if uid:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    else:
        set_capabilities(held)
    pid = os.fork()
    if pid == 0:
        os.execvp(command[0], command)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main())
