#!/usr/bin/env python3
"""Runs every test and ends with one line, "N passed, N failed[, N skipped]".

What counts as a test: each test of each unit binary, each fuzzer's corpus, each lint rule, each test
method of tests/integration/test_*.py and tests/boot/test_*.py, and that meanwhile no program met its own filter. Arguments are substrings: only jobs whose name has one
of them run. Each job is a process of its own that ends with such a line itself.

A job that fails while others keep the machine busy is run once more, alone: what passes then is
counted as passed and named as unsteady, with what it said, so that it is looked into and stops
nobody meanwhile.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINE = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
LINES_MAX = 40  # of a failure's beginning, and of its end
LINE_MAX = 200
JOB_SECONDS = int(os.environ.get("JOB_SECONDS", "600"))


def jobs():
    """(name, command, how to count) of everything there is."""
    for path in sorted(glob.glob(f"{ROOT}/tests/unit/test_*.c")):
        name = os.path.basename(path)[:-2]
        yield f"unit/{name}", [f"build/asan/tests/{name}"], count_cmocka
    for path in sorted(glob.glob(f"{ROOT}/tests/fuzz/fuzz_*.c")):
        name = os.path.basename(path)[:-2]
        corpus = sorted(glob.glob(f"{ROOT}/tests/fuzz/corpus/{name[5:]}/*"))
        yield f"fuzz/{name}", [f"build/fuzz/bin/{name}", "-timeout=10", *corpus], count_fuzz(len(corpus))
    yield "lint", [sys.executable, "tests/lint/run.py"], count_line
    for path in sorted(glob.glob(f"{ROOT}/tests/integration/test_*.py")):
        name = os.path.basename(path)[:-3]
        # Random, so that it finds what nobody thought of: `make soak`, or by its name.
        if name == "test_chaos" and not any(w in name for w in sys.argv[1:]):
            continue
        yield f"integration/{name}", [sys.executable, path], count_line
    for path in sorted(glob.glob(f"{ROOT}/tests/boot/test_*.py")):
        yield f"boot/{os.path.basename(path)[:-3]}", [sys.executable, path], count_line


def count_cmocka(code, out):
    passed = len(re.findall(r"^\[       OK \]", out, re.M))
    failed = len(set(re.findall(r"^\[  FAILED  \] (\S+)$", out, re.M)))
    skipped = len(set(re.findall(r"^\[  SKIPPED \] (\S+)$", out, re.M)))
    if code != 0 and failed == 0:
        failed = 1
    if passed + failed == 0:
        failed = 1
    return passed, failed, skipped


def count_fuzz(n_files):
    def count(code, _out):
        # A fuzzer without a corpus proves nothing.
        return (1, 0, 0) if code == 0 and n_files > 0 else (0, 1, 0)
    return count


def count_line(code, out):
    found = LINE.findall(out)
    if not found:
        return 0, 1, 0
    passed, failed, skipped = (int(n or 0) for n in found[-1])
    if code != 0 and failed == 0:
        failed = 1
    return passed, failed, skipped


def run(job):
    name, command, count = job
    start = time.monotonic()
    try:
        # Under nohup(1) the hang-up of a terminal is ignored, which whoever we start would inherit.
        done = subprocess.run(["env", "--default-signal", *command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=JOB_SECONDS, check=False)
        code, out = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as error:
        code, out = -1, (error.stdout or b"").decode(errors="replace") + "\nTIMEOUT\n"
    except OSError as error:
        code, out = -1, f"{error}\n"
    return name, count(code, out), out, time.monotonic() - start


def report(result):
    name, counts, out, seconds = result
    print(f"{'ok  ' if counts[1] == 0 else 'FAIL'} {name}: {counts[0]} passed, "
          f"{counts[1]} failed, {counts[2]} skipped ({seconds:.1f} s)")
    for reason in re.findall(r"^skipped: .*$", out, re.M):
        print(f"     {reason}")
    if counts[1]:
        print_failure(out)
    sys.stdout.flush()


def print_failure(out):
    """What matters of it: a line may be long and a log have thousands."""
    lines = [line[:LINE_MAX] for line in out.splitlines()]
    if len(lines) > 2 * LINES_MAX:
        lines = [*lines[:LINES_MAX], "...", *lines[-LINES_MAX:]]
    print("\n".join("     | " + line for line in lines))


def run_again(job):
    result = run(job)
    if result[1][1] == 0:
        print(f"UNSTEADY {job[0]}: it failed beside others and passed alone")
    return result


def open_kernel_log():
    """From now on; None where it may not be read."""
    try:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(log, 0, os.SEEK_END)
        return log
    except OSError:
        return None


def refused_calls(log):
    """Records of calls that a seccomp filter refused to a program of this build. Who tests the filters
    themselves does it with a program that lies elsewhere."""
    ours = re.compile(rf' exe="{re.escape(ROOT)}/build/\w+/bin/')
    while True:
        try:
            record = os.read(log, 8192).decode(errors="replace")
        except BlockingIOError:
            return
        except BrokenPipeError:  # overwritten before it was read
            continue
        if "type=1326" in record and ours.search(record):
            yield record.partition(";")[2].splitlines()[0]


def check_filters(log):
    """No program may meet its own filter: what one refuses fails in ways that no test looks for."""
    if log is None:
        return "filters", (0, 0, 1), "skipped: filters: the kernel's log may not be read\n", 0
    refused = list(refused_calls(log))
    return "filters", (0, 1, 0) if refused else (1, 0, 0), "\n".join(refused), 0


def is_hidden():
    """Whether others than its owner cannot reach this tree: homes have mode 0700, and tests run our programs as uid 1000."""
    folder = ROOT
    while folder != "/":
        if os.stat(folder).st_mode & 0o001 == 0:
            return True
        folder = os.path.dirname(folder)
    return False


def run_where_all_can_reach():
    """This run once more, in a mount namespace in which the tree lies below /tmp as well."""
    with tempfile.TemporaryDirectory(prefix="holdfast-tree-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        tree = f"{folder}/tree"
        os.mkdir(tree)
        bind = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        return subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", bind, "sh", ROOT, tree,
                               sys.executable, f"{tree}/tests/run.py", *sys.argv[1:]], check=False).returncode


def main():
    if is_hidden() and os.geteuid() == 0:
        return run_where_all_can_reach()
    log = open_kernel_log()
    wanted = sys.argv[1:]
    chosen = {j[0]: j for j in jobs() if not wanted or any(w in j[0] for w in wanted)}
    results = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=int(os.environ.get("JOBS", "3"))) as pool:
        for done in concurrent.futures.as_completed(pool.submit(run, j) for j in chosen.values()):
            result = done.result()
            results[result[0]] = result
            report(result)
    for name in [n for n, result in results.items() if result[1][1] and len(chosen) > 1]:
        results[name] = run_again(chosen[name])
        report(results[name])
    results["filters"] = check_filters(log)
    report(results["filters"])
    total = [sum(result[1][i] for result in results.values()) for i in range(3)]
    skipped = f", {total[2]} skipped" if total[2] else ""
    print(f"{total[0]} passed, {total[1]} failed{skipped}")
    return 1 if total[1] or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
