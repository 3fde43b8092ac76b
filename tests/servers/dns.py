"""A name server of the tests' own: A records, names that do not exist, and names that nobody answers for.

    dns = Dns({"ssm.example.test": ["127.0.0.9", "127.0.0.1"], "slow.example.test": None})

It is at 127.0.0.53, port 53, of the network that it is made in.
"""
import socket
import struct
import threading

A, NXDOMAIN, ADDRESS = 1, 3, ("127.0.0.53", 53)
CONF = f"nameserver {ADDRESS[0]}\n"


class Dns:
    def __init__(self, names):
        self.names, self.asked = names, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(ADDRESS)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            name, kind, question = self.read(query)
            self.asked.append(name)
            addresses = self.names.get(name, ())
            if addresses is not None:
                self.socket.sendto(self.answer(query[:2], name, kind, question, addresses), client)

    def read(self, query):
        """(name, type, the question as it stands)"""
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        return ".".join(labels).lower(), struct.unpack_from("!H", query, at + 1)[0], query[12:at + 5]

    def answer(self, number, name, kind, question, addresses):
        found = addresses if kind == A else ()
        flags = 0x8180 | (0 if name in self.names else NXDOMAIN)
        head = number + struct.pack("!5H", flags, 1, len(found), 0, 0)
        return head + question + b"".join(
            struct.pack("!HHHIH", 0xC00C, A, 1, 60, 4) + socket.inet_aton(a) for a in found)

    def close(self):
        self.socket.close()
