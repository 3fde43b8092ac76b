"""A network and mounts of a test's own: addresses, a name server and certificates as a machine has them,
for servers of the test and for whatever it starts there.

    network = Network(addresses=("169.254.169.254",), files={"/etc/resolv.conf": "nameserver 127.0.0.53\\n"})
    aws = network.run(Aws, authority, address=("127.0.0.1", 443))
    result = network.run(remote.run, ("A", "ssm:x"))

It is one thread that has left the test's namespaces: sockets, threads and processes that are made by it
belong there, and the rest of the test stays where it is.
"""
import concurrent.futures
import subprocess
import sys
import tempfile

import harness

sys.path.insert(0, f"{harness.ROOT}/images")
import namespace as ns


class Network:
    def __init__(self, addresses=(), files=None):
        self.folder = tempfile.TemporaryDirectory(prefix="holdfast-network-")
        self.thread = concurrent.futures.ThreadPoolExecutor(1)
        self.run(self._enter, addresses, files or {})

    def _enter(self, addresses, files):
        ns.unshare(ns.NEWNET | ns.NEWNS)
        ns.mount(None, "/", None, ns.MS_REC | ns.MS_PRIVATE)
        ns.loopback_up()
        for address in addresses:
            subprocess.run(["ip", "addr", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo"], check=True)
        for number, (path, text) in enumerate(files.items()):
            source = f"{self.folder.name}/{number}"
            with open(source, "w", encoding="utf-8") as f:
                f.write(text)
            ns.mount(source, path, None, ns.MS_BIND)

    def run(self, function, *arguments, **options):
        return self.thread.submit(function, *arguments, **options).result(harness.DEADLINE + 20)

    def close(self):
        self.thread.shutdown()
        self.folder.cleanup()
