#!/usr/bin/env python3
"""What a probe and a scrape cost: CPU time of holdfast-health a request, beside nginx that returns a
constant. Ratios, as the machine's own speed means nothing to others.

wrk keeps 64 connections busy for SECONDS; what counts is the server's own run time
(/proc/PID/schedstat) divided by the requests that were answered. With keep-alive, and with a new
connection for each request. Rounds alternate between the servers; medians are shown.
"""
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402

SECONDS = int(os.environ.get("SECONDS", "2"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
N_UNITS = 20
NO_UID = 2**32 - 1

NGINX = """
daemon off; master_process off; error_log stderr crit; pid {dir}/nginx.pid;
events {{ }}
http {{
	access_log off; keepalive_requests 1000;
	client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
	uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
	server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 "ok\\n"; }} }}
}}
"""


def run_time(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0])


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s*(\d+)", f.read()).group(1))


def measure(pid, url, is_closing):
    """µs of the server's CPU a request."""
    command = ["wrk", "-t1", "-c64", f"-d{SECONDS}s", *(["-H", "Connection: close"] if is_closing else []),
               url]
    before = run_time(pid)
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = run_time(pid) - before
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if bad:
        sys.exit(f"{url}: {bad.group(1)} answers were no 200")
    return used / 1000 / int(re.search(r"(\d+) requests in", out).group(1))


def start_health(directory):
    port = harness.free_port()
    bed = harness.Process([f"{harness.APPS}/healthbed", f"{harness.BIN}/holdfast-health", directory,
                           str(N_UNITS), "loopback", str(NO_UID), f"127.0.0.1:{port}"],
                          stdin=subprocess.PIPE)
    bed.wait_for("bed ready")
    bed.child.stdin.write(b"phase running\nall\nstart\n")
    bed.child.stdin.flush()
    bed.wait_for('"event":"health-listening"')
    return bed, int(re.findall(r"done pid (\d+)", bed.text)[-1]), port


def start_nginx(directory):
    path = shutil.which("nginx", path="/usr/sbin:/usr/bin:" + os.environ.get("PATH", ""))
    if not path:
        return None, None, None
    port = harness.free_port()
    conf = os.path.join(directory, "nginx.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(NGINX.format(dir=directory, port=port))
    nginx = harness.Process([path, "-e", "stderr", "-c", conf])
    harness.wait_until(lambda: subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"],
                                              capture_output=True, check=False).returncode == 0,
                       "nginx answers")
    return nginx, nginx.pid, port


def main():
    if not shutil.which("wrk"):
        print("wrk is not installed: apt-get install wrk nginx-light")
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as directory:
        bed, health, health_port = start_health(directory)
        nginx, nginx_pid, nginx_port = start_nginx(directory)
        rows = [(f"holdfast {p}", health, f"http://127.0.0.1:{health_port}{p}")
                for p in ("/readyz", "/livez", "/health", "/metrics")]
        if nginx:
            rows.insert(0, ("nginx return 200", nginx_pid, f"http://127.0.0.1:{nginx_port}/"))
        found = {(name, c): [] for name, _, _ in rows for c in (False, True)}
        for _ in range(ROUNDS):
            for name, pid, url in rows:
                for is_closing in (False, True):
                    found[name, is_closing].append(measure(pid, url, is_closing))
        base = {c: statistics.median(found[rows[0][0], c]) for c in (False, True)}
        print(f"{'CPU a request':20}{'keep-alive':>12}{'ratio':>8}{'close':>12}{'ratio':>8}{'RSS':>12}")
        for name, pid, _ in rows:
            line = f"{name:20}"
            for is_closing in (False, True):
                value = statistics.median(found[name, is_closing])
                line += f"{value:>9.1f} µs{value / base[is_closing]:>8.2f}"
            print(f"{line}{rss_kb(pid):>9} kB")
        for process in (bed, nginx):
            if process:
                process.close()


if __name__ == "__main__":
    main()
