#!/usr/bin/env python3
"""A client of PostgreSQL from outside of an instance, which nobody enters: by its socket, as the user
that the socket asks for ("peer"). The folder is opened before the ids change, who could not open it.

  pgclient.py FOLDER UID STATEMENT...    the rows of all of them, a line each, "a|b"
"""
import os
import socket
import struct
import sys


def receive(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise SystemExit("the server hung up")
        data += more
    return data


def message(connection):
    kind, size = struct.unpack("!cI", receive(connection, 5))
    return kind, receive(connection, size - 4)


def row(body):
    fields, at = [], 2
    for _ in range(struct.unpack("!H", body[:2])[0]):
        size = struct.unpack("!i", body[at:at + 4])[0]
        at += 4
        fields.append(body[at:at + max(size, 0)].decode())
        at += max(size, 0)
    return "|".join(fields)


def wait_ready(connection):
    """Up to ReadyForQuery."""
    while True:
        kind, body = message(connection)
        if kind == b"E":
            raise SystemExit(body.replace(b"\0", b" ").decode(errors="replace"))
        if kind == b"R" and body[:4] != bytes(4):
            raise SystemExit("the server asks for a password")
        if kind == b"D":
            print(row(body))
        if kind == b"Z":
            return


def main():
    os.chdir(sys.argv[1])
    os.setgroups([])
    os.setresgid(*[int(sys.argv[2])] * 3)
    os.setresuid(*[int(sys.argv[2])] * 3)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(".s.PGSQL.5432")
        hello = struct.pack("!I", 196608) + b"user\0postgres\0database\0postgres\0\0"
        connection.sendall(struct.pack("!I", len(hello) + 4) + hello)
        wait_ready(connection)
        for statement in sys.argv[3:]:
            text = statement.encode() + b"\0"
            connection.sendall(b"Q" + struct.pack("!I", len(text) + 4) + text)
            wait_ready(connection)


if __name__ == "__main__":
    main()
