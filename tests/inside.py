#!/usr/bin/env python3
"""Runs a command as process 1 of a tree in namespaces of its own, with as much or as little as a
runtime would give: the ground that boot's tests stand on.

  inside.py [option...] ROOT -- COMMAND [ARG...]
    --over TREE              TREE with all that is mounted in it is bound at ROOT first
    --writable               the root stays writable
    --runtime                /proc, /sys, /dev and /dev/shm are given, as container runtimes do
    --foreign-proc           /proc is the machine's: the mounts may be its, too
    --cgroup                 a cgroup of its own, where the machine has cgroup2
    --tmpfs PATH:OPTIONS     the runtime's memory at PATH
    --file PATH:TEXT         a file on memory of its own, bind-mounted at PATH (which exists)
    --bind FILE:PATH         the machine's FILE, at PATH
    --capabilities LIST      numbers of those that are left in the bounding set
    --uid N                  that user, no capability, no_new_privs
    --child                  not process 1, but its child
    --same-network           the network of whoever calls
"""
import argparse
import ctypes
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "images"))
import namespace as ns

_libc = ctypes.CDLL(None, use_errno=True)
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
STRICT = ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC
DEVICES = (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9))


def give_runtime_mounts(root):
    ns.mount("proc", f"{root}/proc", "proc", STRICT)
    ns.mount("sysfs", f"{root}/sys", "sysfs", STRICT | ns.MS_RDONLY)
    ns.mount("tmpfs", f"{root}/dev", "tmpfs", ns.MS_NOSUID, "mode=0755,size=64k")
    for name, minor in DEVICES:
        os.mknod(f"{root}/dev/{name}", 0o20666, os.makedev(1, minor))
        os.chmod(f"{root}/dev/{name}", 0o666)
    os.mkdir(f"{root}/dev/shm")
    ns.mount("tmpfs", f"{root}/dev/shm", "tmpfs", STRICT, "mode=1777,size=16m")


def give_file(root, number, spec):
    path, _, text = spec.partition(":")
    memory = f"{root}/.memory{number}"
    os.makedirs(memory, exist_ok=True)
    ns.mount("tmpfs", memory, "tmpfs", STRICT, "mode=0700")
    with open(f"{memory}/file", "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(f"{memory}/file", 0o400)
    ns.mount(f"{memory}/file", f"{root}{path}", None, ns.MS_BIND)


def give_bind(root, spec):
    source, _, path = spec.partition(":")
    if not os.path.exists(f"{root}{path}"):
        with open(f"{root}{path}", "w", encoding="utf-8"):
            pass
    ns.mount(source, f"{root}{path}", None, ns.MS_BIND)


def prepare(arguments):
    root = arguments.root
    ns.mount(None, "/", None, ns.MS_REC | ns.MS_PRIVATE)
    ns.mount(arguments.over or root, root, None, ns.MS_BIND | (ns.MS_REC if arguments.over else 0))
    if arguments.runtime:
        give_runtime_mounts(root)
    if arguments.foreign_proc:
        ns.mount("/proc", f"{root}/proc", None, ns.MS_BIND | ns.MS_REC)
    for spec in arguments.tmpfs:
        path, _, options = spec.partition(":")
        ns.mount("tmpfs", f"{root}{path}", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, options or None)
    for number, spec in enumerate(arguments.file):
        give_file(root, number, spec)
    for spec in arguments.bind:
        give_bind(root, spec)
    if not arguments.writable:
        ns.mount(None, root, None, ns.MS_BIND | ns.MS_REMOUNT | ns.MS_RDONLY)
    ns.loopback_up()
    ns.pivot(root)


def drop(arguments):
    if arguments.capabilities is not None:
        left = {int(n) for n in arguments.capabilities.split(",") if n}
        for capability in range(64):
            if capability not in left:
                _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if arguments.uid:
        os.setgroups([])
        os.setgid(arguments.uid)
        os.setuid(arguments.uid)
        _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        ns.die_with_parent()  # the change of ids has cleared it (prctl(2))


def follow(pid, cgroup):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda n, _: os.kill(pid, n))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if cgroup:
        for left in ns.cgroup_remove(cgroup):
            print(f"left: {left}")
    return status if status >= 0 else 128 - status


def main():
    options = argparse.ArgumentParser()
    for flag in ("--writable", "--runtime", "--foreign-proc", "--cgroup", "--child", "--same-network"):
        options.add_argument(flag, action="store_true")
    for flag in ("--tmpfs", "--file", "--bind"):
        options.add_argument(flag, action="append", default=[])
    options.add_argument("--over")
    options.add_argument("--capabilities")
    options.add_argument("--uid", type=int)
    options.add_argument("root")
    # argparse would take every "--" out of the command, too.
    split = sys.argv.index("--")
    arguments = options.parse_args(sys.argv[1:split])
    arguments.command = sys.argv[split + 1:]
    cgroup = ns.cgroup_make(f"holdfast-test-{os.getpid()}") if arguments.cgroup else None
    ns.unshare(ns.NEWPID)
    pid = os.fork()
    if pid:
        return follow(pid, cgroup)
    ns.die_with_parent()
    if cgroup:
        ns.cgroup_enter(cgroup)
    network = 0 if arguments.same_network else ns.NEWNET
    ns.unshare(ns.NEWNS | ns.NEWIPC | ns.NEWUTS | ns.NEWCGROUP | network)
    prepare(arguments)
    if arguments.child:
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    drop(arguments)
    os.execve(arguments.command[0], arguments.command, os.environ)
    return 127


if __name__ == "__main__":
    sys.exit(main())
