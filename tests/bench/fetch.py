#!/usr/bin/env python3
"""100 secrets from a service that takes 8 ms for each answer: holdfast-secrets-remote as the supervisor
starts it, beside the AWS CLI and a bare program over libcurl that makes the same calls over as many
connections (tests/apps/curlbare.c). Time of a whole process, from its start to its end.

The service is tests/apps/slowaws.c: TLS on loopback, a thread for each connection, an answer 8 ms after
its request whatever else goes on. So what is left beside the waiting is the client's. Rounds run in
turns; ratios are medians of the quotients within each round. The CLI is so much slower that it runs
fewer times, and makes what calls a script would: ten names or one secret in each, four of it at once.

--measure writes what the helper takes for each part of a fetch to tests/fleet/measured.py, which the
simulation of a fleet is fed with: from its start to its first connection, from there to a connection's
first request, from one request to the next, and from the last answer to its end.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "..", "images")]
import harness  # noqa: E402
import namespace as ns  # noqa: E402
from remote import ENVIRONMENT, PATH, PROGRAM  # noqa: E402
from servers.pki import Authority  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "60"))
CLI_ROUNDS = int(os.environ.get("CLI_ROUNDS", "3"))
N = 100
DELAY_US = 8000
CONNECTIONS = 4
REGION = "eu-central-1"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}
STOPWATCH, BED = f"{harness.APPS}/stopwatch", f"{harness.APPS}/remotebed"
BARE, SLOW_AWS = f"{harness.APPS}/curlbare", f"{harness.APPS}/slowaws"
SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"

# What is fetched: (items of the request, how curlbare calls it, the calls of the CLI).
WAYS = {
    "ssm, by name": ([(f"P{i}", f"ssm:/bench/p{i}", ENVIRONMENT, 0) for i in range(N)], "names",
                     ["ssm get-parameters --with-decryption --names "
                      + " ".join(f"/bench/p{i}" for i in range(first, first + 10)) for first in range(0, N, 10)]),
    "ssm, by path": ([("all", "ssm:/bench/", ENVIRONMENT, PATH)], "path",
                     ["ssm get-parameters-by-path --recursive --with-decryption --path /bench"]),
    "asm": ([(f"S{i}", f"asm:bench/s{i}", ENVIRONMENT, 0) for i in range(N)], "secrets",
            [f"secretsmanager get-secret-value --secret-id bench/s{i}" for i in range(N)]),
}


class Service:
    """slowaws, and what its connections say of a run."""

    def __init__(self, authority):
        self.trace = os.path.join(authority.folder, "trace")
        self.process = harness.Process([SLOW_AWS, *authority.issue("aws"), str(DELAY_US), str(N), self.trace])
        self.process.wait_for("port ").wait_for("\n")
        self.url = f"https://localhost:{self.process.text.split()[1]}"

    def lines(self):
        with open(self.trace, encoding="ascii") as f:
            return [line.split() for line in f.read().splitlines()]

    def all_closed(self):
        words = [line[0] for line in self.lines()]
        return words.count("accept") == words.count("connection")

    def watch(self, command):
        """Runs a command: (when it was started and had ended, of each of its connections when it was
        accepted, shaken hands over and closed, and [(a request came, its answer went)]). Seconds."""
        harness.wait_until(self.all_closed, "slowaws sees the end of earlier connections")
        os.truncate(self.trace, 0)
        begin = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic()
        harness.wait_until(self.all_closed, "slowaws sees the connections' end")
        found = []
        for _, accepted, shaken, closed, *requests in (x for x in self.lines() if x[0] == "connection"):
            found.append((int(accepted) / 1e6, int(shaken) / 1e6, int(closed) / 1e6,
                          [tuple(int(t) / 1e6 for t in request.split("-")) for request in requests]))
        return (begin, end), found

    def close(self):
        self.process.close()


class Clients:
    """Command lines of each, for one service."""

    def __init__(self, service, folder, ca):
        self.service, self.folder, self.ca = service, folder, ca

    def helper(self, way):
        settings = {"AWS_ENDPOINT_URL": self.service.url, "AWS_REGION": REGION, "AWS_CA_BUNDLE": self.ca, **KEYS}
        items = [str(word) for item in WAYS[way][0] for word in item]
        return [BED, PROGRAM, self.folder, "bench.service", "990", "0", "30000",
                *(f"{name}={value}" for name, value in settings.items() if value), "--", *items]

    def bare(self, way):
        return [BARE, self.service.url, self.ca or "-", str(CONNECTIONS), WAYS[way][1], str(N)]

    def cli(self, way):
        lines = os.path.join(self.folder, "calls")
        with open(lines, "w", encoding="ascii") as f:
            f.writelines(f"{call}\n" for call in WAYS[way][2])
        # xargs ends with 123 when one call has failed.
        return ["/bin/sh", "-c", f'exec xargs -a "{lines}" -P {CONNECTIONS} -L 1 "$@" >/dev/null', "-",
                shutil.which("aws"), "--endpoint-url", self.service.url, "--region", REGION,
                "--ca-bundle", self.ca or SYSTEM_CAS, "--output", "json"]


def in_turns(rounds, *commands):
    """Seconds: of each round, of each command."""
    argv = [STOPWATCH, str(rounds)]
    for i, command in enumerate(commands):
        argv += ([":::"] if i else []) + command
    out = subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return [[float(x) / 1e6 for x in line.split()] for line in out.decode().splitlines()]


def row(name, base, times, connections):
    ratio = statistics.median(t / b for t, b in zip(times, base))
    calls = sum(len(requests) for _, _, _, requests in connections)
    print(f"{name:26}{statistics.median(times) * 1e3:>9.1f} ms{ratio:>8.2f}{min(times) * 1e3:>9.1f} ms"
          f"{max(times) * 1e3:>9.1f} ms{calls:>7}{len(connections):>13}", flush=True)


def compare(title, clients, ways, with_cli):
    print(f"\n{title:26}{'median':>12}{'ratio':>8}{'least':>12}{'most':>12}{'calls':>7}{'connections':>13}")
    for way in ways:
        commands = [clients.bare(way), clients.helper(way)]
        seen = [clients.service.watch(command)[1] for command in commands]
        base, mine = zip(*in_turns(ROUNDS, *commands))
        row(f"{way}: bare libcurl", base, base, seen[0])
        row(f"{way}: holdfast", base, mine, seen[1])
        if with_cli and shutil.which("aws"):
            commands = [clients.bare(way), clients.cli(way)]
            base, theirs = zip(*in_turns(CLI_ROUNDS if len(WAYS[way][2]) <= 10 else 1, *commands))
            row(f"{way}: AWS CLI", base, theirs, clients.service.watch(commands[1])[1])


def add_to_system(authority, folder):
    """From here on this process and its children see the machine's CAs with ours among them, in the
    bundle and by its hash."""
    copy = os.path.join(folder, "certs")
    shutil.copytree(os.path.dirname(SYSTEM_CAS), copy, symlinks=True)
    shutil.copy(authority.ca, os.path.join(copy, "bench.pem"))
    subprocess.run(["openssl", "rehash", copy], check=True, stderr=subprocess.DEVNULL)
    with open(authority.ca, encoding="ascii") as ours, \
         open(os.path.join(copy, os.path.basename(SYSTEM_CAS)), "a", encoding="ascii") as bundle:
        bundle.write(ours.read())
    os.chmod(folder, 0o755)
    ns.unshare(ns.NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--bind", copy, os.path.dirname(SYSTEM_CAS)], check=True)


MEASURED = os.path.join(HERE, "..", "fleet", "measured.py")


def parts_of(times, connections):
    """Seconds of a run: (to its first connection, [of each handshake], [of each call], to its end)."""
    begin, end = times
    handshakes = [requests[0][0] - accepted for accepted, _, _, requests in connections]
    calls = [after[0] - before[0] for _, _, _, requests in connections
             for before, after in zip(requests, requests[1:])]
    return (min(c[0] for c in connections) - begin, handshakes, calls,
            end - max(c[3][-1][1] for c in connections))


def measure(clients):
    runs = [parts_of(*clients.service.watch(clients.helper("ssm, by name"))) for _ in range(ROUNDS)]
    starts, handshakes, calls, ends = zip(*runs)
    values = {"start": statistics.median(starts), "handshake": statistics.median(sum(handshakes, [])),
              "call": statistics.median(sum(calls, [])), "end": statistics.median(ends)}
    with open(MEASURED, "w", encoding="ascii") as f:
        f.write('"""What a fetch takes: written by tests/bench/fetch.py --measure, by medians of '
                f'{len(runs)} runs."""\nfrom simulator import Durations\n\n'
                f'DATE = "{time.strftime("%Y-%m-%d", time.gmtime())}"\n'
                f"# {N} parameters by name from a service that takes {DELAY_US // 1000} ms for an answer; seconds.\n"
                "MEASURED = Durations("
                + ", ".join(f"{name}={value:.4f}" for name, value in values.items()) + ")\n")
    print(values)


def main():
    # Whatever the machine's environment says of CAs and proxies is not to be measured.
    path = os.environ["PATH"]
    os.environ.clear()
    os.environ.update(KEYS, PATH=path, HOME="/nonexistent", AWS_EC2_METADATA_DISABLED="true", AWS_PAGER="")
    if not shutil.which("aws"):
        print("the AWS CLI is not installed: tests/deps.sh bench")
    # Values, state and report are memory files when the supervisor starts it, and so on no disk here.
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir="/dev/shm") as folder:
        authority = Authority(folder)
        service = Service(authority)
        if sys.argv[1:] == ["--measure"]:
            measure(Clients(service, folder, authority.ca))
            service.close()
            return
        compare("one CA, AWS_CA_BUNDLE=", Clients(service, folder, authority.ca), WAYS, True)
        if harness.is_root() and os.path.exists(SYSTEM_CAS):
            add_to_system(authority, folder)
            with open(SYSTEM_CAS, encoding="ascii") as f:
                n = f.read().count("BEGIN CERTIFICATE")
            compare(f"the machine's {n} CAs", Clients(service, folder, None), ["ssm, by name"], False)
        service.close()


if __name__ == "__main__":
    main()
