"""A DHCP server (RFC 2131) and a router (RFC 4861) that say what a test wants of them, wrong things too.

Both stand on one interface of whatever network namespace they are made in.
"""
import contextlib
import select
import socket
import struct
import threading

DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
COOKIE = b"\x63\x82\x53\x63"
SO_BINDTODEVICE = 25
MASK, ROUTER, DNS, HOSTNAME, DOMAIN, MTU = 1, 3, 6, 12, 15, 26
REQUESTED, LEASE, TYPE, SERVER, RENEWAL, REBINDING, SEARCH = 50, 51, 53, 54, 58, 59, 119


def ip(*addresses):
    return b"".join(socket.inet_aton(a) for a in addresses)


def names(*domains):
    """RFC 1035's form, each label with its length: they may hold any bytes."""
    return b"".join(b"".join(bytes([len(l)]) + l for l in d.split(b".")) + b"\0" for d in domains)


def options_of(data):
    found, at = {}, 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        found[data[at]] = data[at + 2:at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


class Dhcp:
    """A lease of address for whoever asks. lease, renewal: seconds. options: more of them, by number.
    seen: (type, address that the client says it has or wants) of each message."""

    def __init__(self, interface, server="192.0.2.1", address="192.0.2.50", lease=3600, renewal=1800,
                 options=None):
        self.server, self.address, self.lease, self.renewal = server, address, lease, renewal
        self.options = {MASK: ip("255.255.255.0"), ROUTER: ip(server), DNS: ip("192.0.2.53"),
                        **(options or {})}
        self.answers, self.refuses, self.seen = True, False, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, interface.encode())
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.bind(("0.0.0.0", 67))
        self._ends = socket.socketpair()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self):
        while self._ends[1] not in (ready := select.select([self.socket, self._ends[1]], [], [])[0]):
            if ready:
                self._take(self.socket.recv(4096))

    def _take(self, data):
        if len(data) < 240 or data[0] != 1 or data[236:240] != COOKIE:
            return
        options = options_of(data[240:])
        kind, has = options.get(TYPE, b"\0")[0], data[12:16]
        wanted = has if any(has) else options.get(REQUESTED, bytes(4))
        self.seen.append((kind, socket.inet_ntoa(wanted)))
        if not self.answers or kind not in (DISCOVER, REQUEST):
            return
        if kind == REQUEST and (self.refuses or wanted != ip(self.address)):
            self._answer(data, NAK, bytes(4), {})
        else:
            times = {LEASE: self.lease, RENEWAL: self.renewal, REBINDING: self.lease * 7 // 8}
            self._answer(data, OFFER if kind == DISCOVER else ACK, ip(self.address), {
                **{number: struct.pack(">I", value) for number, value in times.items()}, **self.options})

    def _answer(self, data, kind, address, options):
        options = {TYPE: bytes([kind]), SERVER: ip(self.server), **options}
        text = b"".join(bytes([number, len(value)]) + value for number, value in options.items())
        reply = (b"\x02" + data[1:4] + data[4:8] + data[8:12] + bytes(4) + address + ip(self.server) +
                 bytes(4) + data[28:44] + bytes(192) + COOKIE + text + b"\xff")
        to = socket.inet_ntoa(data[12:16]) if any(data[12:16]) and kind != NAK else "255.255.255.255"
        with contextlib.suppress(OSError):
            self.socket.sendto(reply, (to, 68))

    def close(self):
        self._ends[0].send(b"x")
        self._thread.join()
        for closable in (self.socket, *self._ends):
            closable.close()


def advertise(interface, prefix="2001:db8:5::", servers=("2001:db8:5::53",), domains=(b"six.example",)):
    """One router advertisement to all hosts."""
    lifetime = 1800
    search = names(*domains)
    search += bytes(-len(search) % 8)
    text = (struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, lifetime, 0, 0) +
            struct.pack(">BBBBIII", 3, 4, 64, 0xc0, lifetime, lifetime, 0) +
            socket.inet_pton(socket.AF_INET6, prefix) +
            struct.pack(">BBHI", 25, 1 + 2 * len(servers), 0, lifetime) +
            b"".join(socket.inet_pton(socket.AF_INET6, s) for s in servers) +
            struct.pack(">BBHI", 31, 1 + len(search) // 8, 0, lifetime) + search)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as client:
        client.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, interface.encode())
        client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        client.sendto(text, ("ff02::1", 0, 0, socket.if_nametoindex(interface)))
