"""What a run of the demo shows to whoever started it, and how it hears Ctrl-C: shared by images/run
(namespaces) and images/machine (QEMU)."""
import contextlib
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request

import namespace as ns

# Name and port in the image, and what to show of it.
PORTS = (("health", 9180, "/health"), ("nginx", 8080, "/"), ("api", 8081, "/"))


def say(text):
    print(f"{os.path.relpath(sys.argv[0])}: {text}", file=sys.stderr, flush=True)


def publish(port_base):
    """[(name, socket bound to a port of the host, port inside, path)]"""
    published = []
    for i, (name, inside, path) in enumerate(PORTS):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port_base + i if port_base else inside))
        except OSError as error:
            if port_base:
                raise SystemExit(f"{os.path.relpath(sys.argv[0])}: port {port_base + i}: {error.strerror}") from error
            s.bind(("127.0.0.1", 0))
        published.append((name, s, inside, path))
    return published


@contextlib.contextmanager
def terminal():
    """Takes the terminal, so that Ctrl-C reaches this process alone: make, which waits for it, would
    report an interrupt in place of the instance's status."""
    if not os.isatty(0):
        yield
        return
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # tcsetpgrp(3) from the background
    before = os.tcgetpgrp(0)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(0, before)


def kill(pid):
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def summarize(health):
    """/health for people: its head, then a line for each check, where it is told to us."""
    rows = [f"  {key:12} {value}" for key, value in health.items() if isinstance(value, str)]
    for name, (check, *_) in health.get("checks", {}).items():
        rows.append(f"  {name:32} {check['status']:5} {check.get('observedValue', '')}")
    return "\n".join(rows)


def watch_health(url, seconds=30):
    """A process of its own: prints /health once it says pass."""
    pid = os.fork()
    if pid:
        return pid
    ns.die_with_parent()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                say(f"GET {url} -> {answer.status}\n{summarize(json.load(answer))}")
                os._exit(0)
        except (OSError, urllib.error.URLError, ValueError):
            time.sleep(0.1)
    say(f"GET {url}: no 200 within {seconds} s")
    os._exit(1)
