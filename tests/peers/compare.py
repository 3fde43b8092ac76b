#!/usr/bin/env python3
"""What each init does where facts tell them apart: one row a behaviour, one column an init.

Every init runs as PID 1 of a PID namespace (as root). A behaviour is a function of the words that
start the init, and says whether it has it. tests/integration/test_peers.py asks holdfast for all.
"""
import contextlib
import os
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"]
SIGECHO = f"{harness.APPS}/sigecho"


def inits():
    """{name: words before the command}, of those that are installed."""
    found = {"holdfast": [harness.HOLDFAST, "-w", "--"]}
    for name, options in (("tini", ["--"]), ("dumb-init", []), ("catatonit", ["--"])):
        path = shutil.which(name)
        if path:
            found[name] = [path, *options]
    return found


@contextlib.contextmanager
def running(init, *command, before=(), **options):
    """(process, pid of the init as seen from here)"""
    with harness.Process([*NAMESPACE, *before, *init, *command], **options) as process:
        yield process, lambda: harness.wait_until(lambda: harness.children(process.pid), "PID 1")[0]


def status(init, *command, **options):
    with running(init, *command, **options) as (process, _):
        return process.wait()


def output(init, *command, **options):
    with running(init, *command, **options) as (process, _):
        process.wait()
        return process.text


def is_waiting(pid):
    """Asleep, and nothing pending."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            fields = dict(line.split(":", 1) for line in f)
        return fields["State"].split()[0] == "S" and int(fields["ShdPnd"], 16) == 0
    return True


def settled(pid):
    harness.wait_until(lambda: is_waiting(pid), "the init to wait")


def passes_signals_on(init, numbers=(1, 2, 3, 10, 12, 14, 28)):
    """passes on the usual signals"""
    with running(init, SIGECHO, "-q", "15") as (process, pid):
        process.wait_for("ready")
        try:
            for number in (*numbers, 15):
                os.kill(pid(), number)
                process.wait_for(f"got {number}\n", deadline=5)
        except harness.Timeout:
            return False
        return process.wait() == 0


def passes_real_time_signals_on(init):
    """passes on real-time signals (RTMIN+3, RTMAX)"""
    return passes_signals_on(init, (37, 64))


def reports_status(init):
    """exits with the command's status, or 128+n"""
    return status(init, "sh", "-c", "exit 7") == 7 and status(init, "sh", "-c", "kill $$") == 143


def tells_not_found_from_not_executable(init):
    """127 for not found, 126 for not executable"""
    return status(init, "/no/such") == 127 and status(init, "/") == 126


def reaps_in_a_crowd(init):
    """finds the command's exit among many at once"""
    crowd = "i=0; while [ $i -lt 50 ]; do sleep 1000 & i=$((i+1)); done; kill -9 0"
    return status(init, "sh", "-c", crowd) == 137


def _signals_of_command(init, preexec):
    text = output(init, "cat", "/proc/self/status", preexec_fn=preexec)
    return {l.split(":")[0]: int(l.split()[1], 16) for l in text.splitlines() 
            if l.startswith(("SigBlk", "SigIgn"))}


def leaves_the_mask_alone(init):
    """the command's signal mask is the inherited one"""
    wanted = {signal.SIGUSR1, signal.SIGTERM, 40}
    return all(_signals_of_command(init, lambda m=m: signal.pthread_sigmask(signal.SIG_SETMASK, m))
               .get("SigBlk") == sum(1 << (n - 1) for n in m) for m in (wanted, set()))


def leaves_ignored_signals_alone(init):
    """signals that were ignored stay ignored"""
    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    ignored = _signals_of_command(init, ignore).get("SigIgn", 0)
    return bool(ignored & 1) and bool(ignored >> 11 & 1)


def survives_eperm(init):
    """goes on where it may not signal the command"""
    before = ["setpriv", "--inh-caps=-kill", "--bounding-set=-kill"]
    with running(init, "setpriv", "--reuid", "1001", "--clear-groups", SIGECHO, "-q", "12",
                 before=before) as (process, pid):
        process.wait_for("ready")
        init_pid = pid()
        command = harness.children(init_pid)[0]
        os.kill(init_pid, signal.SIGUSR1)
        # Whoever gave up ends now, and the namespace with it.
        with contextlib.suppress(ProcessLookupError):
            settled(init_pid)
            os.kill(command, signal.SIGUSR2)
        return process.wait() == 0


def gives_grace(init):
    """what the command leaves behind gets TERM and time"""
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(f"{folder}/up")
        with running(init, "sh", "-c", f"setsid {SIGECHO} -q 15 & read x <{folder}/up; exit 3"
                     ) as (process, _):
            process.wait_for("ready")
            with open(f"{folder}/up", "w", encoding="ascii") as f:
                f.write("\n")
            return process.wait() == 3 and "got 15" in process.text


def pins_no_directory(init):
    """holds no working directory"""
    with running(init, "sh", "-c", "echo up; exec sleep 1000", cwd="/tmp") as (process, pid):
        process.wait_for("up")
        settled(pid())
        return os.readlink(f"/proc/{pid()}/cwd") == "/"


def keeps_no_files(init):
    """holds none of the command's files open"""
    read, write = os.pipe()
    try:
        with running(init, "sh", "-c", "echo up; exec sleep 1000", pass_fds=[write]) as (process, pid):
            process.wait_for("up")
            settled(pid())
            return str(write) not in os.listdir(f"/proc/{pid()}/fd")
    finally:
        os.close(read)
        os.close(write)


def passes_sockets_on(init):
    """rewrites LISTEN_PID for the command"""
    text = output(init, "sh", "-c", 'echo "$LISTEN_PID" $$', env={**os.environ, "LISTEN_PID": "1"})
    return len(set(text.split())) == 1 and len(text.split()) == 2


BEHAVIOURS = [passes_signals_on, passes_real_time_signals_on, reports_status,
              tells_not_found_from_not_executable, reaps_in_a_crowd, leaves_the_mask_alone,
              leaves_ignored_signals_alone, survives_eperm, gives_grace, pins_no_directory,
              keeps_no_files, passes_sockets_on]


def main():
    columns = inits()
    print(f"{'':52}" + "".join(f"{name:>11}" for name in columns))
    for behaviour in BEHAVIOURS:
        marks = ["yes" if behaviour(words) else "-" for words in columns.values()]
        print(f"{behaviour.__doc__:52}" + "".join(f"{mark:>11}" for mark in marks))


if __name__ == "__main__":
    harness.become_subreaper()
    main()
