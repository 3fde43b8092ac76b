#!/usr/bin/env python3
"""1000 idle services: start to the last main(), memory, wake-ups when idle, stop, processor time.

Contenders run in turns, so that what disturbs the machine disturbs all alike, each in namespaces of
its own with the tree of an image as their root (s6 in the machine's, as it needs its libraries). Figures are medians over the rounds, and ratios to a bare vfork+exec loop;
beside it stands the same loop with two pipes for each service, the least for whoever captures what
they write. Processor time is user and system of everything, the services and their exec included;
below it stands what holdfast's own processes had used when all was quiet, and what an image grows by.

    tests/bench/units.py [COUNT [ROUNDS]]
"""
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import inside
import instance

TALLY, HERD = "/usr/bin/tally", "/usr/bin/herd"
COUNTED = "/srv/tally"  # the file that they count in, as they see it


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def switches(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
            total += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
    return total


def used_ms(pid):
    """Processor time of the process so far, of all its threads (proc(5), schedstat: ns)."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e6


def image_bytes():
    """All programs of an image, stripped as `make install` does."""
    with tempfile.TemporaryDirectory() as folder:
        total = 0
        for name in sorted(os.listdir(f"{harness.BIN}")):
            subprocess.run(["strip", "-o", f"{folder}/{name}", f"{harness.BIN}/{name}"],
                           check=True)
            total += os.stat(f"{folder}/{name}").st_size
        return total


def wait_for_end(child):
    """What it and all that it waited for have used."""
    def ended():
        pid, _, usage = os.wait4(child, os.WNOHANG)
        return usage if pid else None
    return harness.wait_until(ended, "the end", 120)


def bare(_folder, count):
    return [HERD, str(count), TALLY, COUNTED]


def piped(_folder, count):
    return [HERD, "-p", str(count), TALLY, COUNTED]


def make_holdfast(folder, count, keys):
    etc = f"{folder}/root/etc/holdfast"
    os.makedirs(f"{etc}/units", exist_ok=True)
    for i in range(count):
        with open(f"{etc}/units/idle{i}.service", "w", encoding="ascii") as f:
            f.write(f"[Service]\nExecStart={TALLY} {COUNTED}\nReadWritePaths={COUNTED}\n[X-Holdfast]\n{keys}\n")
    names = " ".join(f"idle{i}.service" for i in range(count))
    with open(f"{etc}/holdfast.conf", "w", encoding="ascii") as f:
        f.write(f"[Holdfast]\nUnits={names}\n[Health]\nListen=127.0.0.1:{instance.HEALTH_PORT}\n")
    return ["/usr/lib/holdfast/holdfast"]


def holdfast(folder, count):
    return make_holdfast(folder, count, "Sandbox=strict")


def holdfast_without_sandbox(folder, count):
    return make_holdfast(folder, count, "Sandbox=none")


def s6(folder, count):
    for i in range(count):
        os.makedirs(f"{folder}/s6/idle{i}")
        os.symlink(f"{harness.APPS}/tally", f"{folder}/s6/idle{i}/run")
    return ["s6-svscan", "-c", str(count + 10), f"{folder}/s6"]


CONTENDERS = {"bare vfork+exec loop": bare, "the same with pipes": piped, "holdfast": holdfast,
              "without its sandbox": holdfast_without_sandbox, "s6": s6}


def launch_in_tree(folder, command):
    """As process 1 of the tree; the pid of its parent, which is a fork of ours and costs next to nothing."""
    pid = os.fork()
    if pid:
        return pid
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.environ["TALLY"] = COUNTED
    sys.argv = ["inside", "--runtime", "--tmpfs", "/run:mode=0755", "--bind", f"{folder}/tally:{COUNTED}",
                f"{folder}/root", "--", TALLY, "-s", COUNTED, *command]
    try:
        os._exit(inside.main())
    finally:
        os._exit(1)


def launch_here(folder, command):
    return subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", f"{harness.APPS}/tally", "-s",
         f"{folder}/tally", *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "TALLY": f"{folder}/tally"}).pid


def measure(make, count):
    folder = tempfile.mkdtemp(prefix="holdfast-bench-")
    child = None
    try:
        with open(f"{folder}/tally", "wb") as f:
            f.write(bytes(24))
        instance.make_tree(folder, harness.BIN, apps=("tally", "herd"))
        os.mkdir(f"{folder}/root/srv")
        child = (launch_here if make is s6 else launch_in_tree)(folder, make(folder, count))

        def read():
            with open(f"{folder}/tally", "rb") as f:
                return struct.unpack("QQQ", f.read(24))
        harness.wait_until(lambda: read()[1] >= count, f"{make.__name__}: {count} starts", 60)
        stamp, _, latest = read()
        init = harness.children(child)[0]
        own = [pid for pid in [init, *harness.descendants(init)]
               if os.path.basename(os.readlink(f"/proc/{pid}/exe")) != "tally"]
        time.sleep(1.5)  # a benchmark may wait: it measures that nothing happens
        before = {pid: switches(pid) for pid in own}
        time.sleep(2)
        wakeups = sum(switches(pid) - n for pid, n in before.items())
        memory = sum(pss_kb(pid) for pid in own)
        used = {}
        for pid in own:
            with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                used[f.read().strip()] = used_ms(pid)
        start = time.monotonic()
        os.kill(init, signal.SIGTERM)
        usage = wait_for_end(child)
        child = None
        stop = (time.monotonic() - start) * 1000
        processor = (usage.ru_utime + usage.ru_stime) * 1000
        return ((latest - stamp) / 1000, memory, wakeups / 2, stop, processor), used
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        shutil.rmtree(folder, ignore_errors=True)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    results = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, make in CONTENDERS.items():
            results[name].append(measure(make, count))
    medians = {name: [statistics.median(column) for column in zip(*(row for row, _ in rows))]
               for name, rows in results.items()}
    base = medians["bare vfork+exec loop"]
    print(f"{count} idle services, median of {rounds} rounds (ratio to the bare loop)")
    print(f"{'':22}{'start ms':>16}{'PSS kB':>10}{'wake-ups/s':>12}{'stop ms':>16}"
          f"{'processor ms':>16}")
    for name, (begin, memory, wakeups, stop, processor) in medians.items():
        print(f"{name:22}{begin:9.1f} ({begin / base[0]:4.2f}){memory:10.0f}{wakeups:12.1f}"
              f"{stop:9.1f} ({stop / base[3]:4.2f})"
              f"{processor:9.1f} ({processor / base[4]:4.2f})")
    for name in sorted(results["holdfast"][0][1]):
        ms = statistics.median(used.get(name, 0.0) for _, used in results["holdfast"])
        print(f"  {name}: {ms:.1f} ms of processor time until idle")
    print(f"an image grows by {image_bytes() / 1024:.0f} KiB: all programs, stripped")


if __name__ == "__main__":
    main()
