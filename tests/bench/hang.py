#!/usr/bin/env python3
"""Whether a fetch that hangs is felt by those who ask: the time of /livez, which is a question to PID 1
and one to the supervisor, and of /readyz, which asks nobody, in an instance with units whose secrets'
service takes calls and never answers, beside the same instance without secrets. As root.

Both run at once, and are asked in turns over connections that stay open; p50 and p99 as ratios.
"""
import os
import socket
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..")]
import harness  # noqa: E402
import instance  # noqa: E402
from servers.aws import Aws  # noqa: E402
from servers.pki import Authority  # noqa: E402

ASKED = int(os.environ.get("ASKED", "4000"))
N_UNITS = 5
PATHS = ("/livez", "/readyz")


def unit(is_hanging):
    secret = "[X-Holdfast]\nSecret=A ssm:/bench/x\n" if is_hanging else ""
    return f"[Service]\nExecStart={harness.APPS}/idle\n{secret}"


def start(folder, name, aws, authority):
    units = {f"plain{i}.service": unit(False) for i in range(N_UNITS)}
    units.update({f"unit{i}.service": unit(aws) for i in range(N_UNITS)})
    os.mkdir(f"{folder}/{name}")
    env = {"AWS_ENDPOINT_URL": aws.url, "AWS_CA_BUNDLE": authority.ca, "AWS_REGION": aws.region,
           "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"} if aws else {}
    return instance.Instance(f"{folder}/{name}", units, list(units), health=True,
                             env={"PATH": os.environ["PATH"], **env})


class Client:
    def __init__(self, port):
        self.port = port
        self.connect()

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), harness.DEADLINE)

    def ask(self, path):
        """Seconds until the whole answer is there."""
        begin = time.perf_counter()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer) < self.length(answer):
            data = self.socket.recv(1 << 16)
            if not data:
                sys.exit("health has closed a connection without a word")
            answer += data
        took = time.perf_counter() - begin
        if b"connection: close" in answer.lower():  # after some requests, and after a 503
            self.socket.close()
            self.connect()
        return took

    @staticmethod
    def length(answer):
        head, _, _ = answer.partition(b"\r\n\r\n")
        lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        return len(head) + 4 + sum(lengths)


def quantile(values, q):
    return sorted(values)[int(q * (len(values) - 1))]


def main():
    if not harness.is_root():
        print("needs root, for instances")
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        os.chmod(folder, 0o755)
        authority = Authority(f"{folder}/pki")
        aws = Aws(authority)
        aws.fault("GetParameters", kind="hang", times=1 << 30)
        with start(folder, "without", None, authority) as without, start(folder, "hanging", aws, authority) as hanging:
            without.wait_running()
            harness.wait_until(lambda: aws.counts().get("GetParameters", 0) >= N_UNITS, "calls that hang")
            harness.wait_until(lambda: hanging.get("/livez")[0] == 200, "health answers")
            clients = (Client(without.port), Client(hanging.port))
            times = {(path, i): [] for path in PATHS for i in (0, 1)}
            for n in range(ASKED):
                for path in PATHS:
                    for i in ((0, 1), (1, 0))[n % 2]:
                        times[path, i].append(clients[i].ask(path))
                without.pump()
                hanging.pump()
            print(f"{str(N_UNITS) + ' fetches hang':20}{'p50':>11}{'ratio':>8}{'p99':>11}{'ratio':>8}")
            for path in PATHS:
                for i, name in enumerate(("without", "hanging")):
                    line = f"{path + ' ' + name:20}"
                    for q in (0.5, 0.99):
                        value, base = quantile(times[path, i], q), quantile(times[path, 0], q)
                        line += f"{value * 1e6:>8.0f} µs{value / base:>8.2f}"
                    print(line)
        aws.close()


if __name__ == "__main__":
    main()
