"""Holds a process where it opens a file, until the test has looked at it: fanotify(7), as root."""
import ctypes
import os
import struct

import harness

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]
CLOEXEC, NONBLOCK, CLASS_CONTENT = 0x1, 0x2, 0x4
MARK_ADD, OPEN_PERM, ACCESS_PERM = 0x1, 0x10000, 0x20000
EVENT = struct.Struct("=IBBHQii")


class Opening:
    """Whoever opens the file waits from then on for the end of this."""

    EVENTS = OPEN_PERM
    DOES = "opens"

    def __init__(self, path):
        self.fd = _libc.fanotify_init(CLOEXEC | NONBLOCK | CLASS_CONTENT, os.O_RDONLY | os.O_CLOEXEC)
        if self.fd < 0 or _libc.fanotify_mark(self.fd, MARK_ADD, self.EVENTS, -1, path.encode()) < 0:
            raise OSError(ctypes.get_errno(), f"fanotify: {path}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)  # which lets all of them go on

    def _next(self):
        try:
            data = os.read(self.fd, EVENT.size)
        except BlockingIOError:
            return None
        fd, pid = EVENT.unpack(data)[-2:]
        os.close(fd)
        return pid

    def wait(self):
        """The pid of the first that does, as seen from here."""
        return harness.wait_until(self._next, f"somebody {self.DOES} the file")


class Reading(Opening):
    """Whoever reads the file."""

    EVENTS = ACCESS_PERM
    DOES = "reads"
