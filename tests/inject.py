"""What a process would do if somebody had taken it over: system calls of the test's choice, made by the
process itself from where it waits (ptrace(2), as root), and real faults. For x86-64."""
import ctypes
import os
import struct
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long
SINGLESTEP, GETREGS, SETREGS, ATTACH, DETACH, SETOPTIONS = 9, 12, 13, 16, 17, 0x4200
SUSPEND_SECCOMP = 1 << 21
WALL = 0x40000000
IS_POSSIBLE = os.uname().machine == "x86_64" and sys.platform == "linux"
# struct user_regs_struct of <sys/user.h>
NAMES = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base "
         "ds es fs gs").split()
ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
NUMBERS = {"read": 0, "open": 2, "close": 3, "mmap": 9, "socket": 41, "clone": 56, "fork": 57, "execve": 59, "kill": 62, "ptrace": 101,
           "setuid": 105, "prctl": 157, "mount": 165, "openat": 257, "unlinkat": 263, "process_vm_readv": 310, "execveat": 322,
           "pidfd_getfd": 438}


class Killed(Exception):
    """By the signal that is its argument."""


def _ptrace(request, pid, data=None):
    if _libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


class Puppet:
    """The process, stopped; as it was when this ends, unless a call has killed it."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        _ptrace(ATTACH, self.pid)
        os.waitpid(self.pid, WALL)
        self.saved = self.registers()
        self.syscall = self.find(b"\x0f\x05")
        self.memory = self.saved["rsp"] - 8192  # below all that its stack has in use
        return self

    def __exit__(self, kind, *_):
        if kind is not Killed and os.path.exists(f"/proc/{self.pid}"):
            try:
                self.set_registers(self.saved)
                _ptrace(DETACH, self.pid)
            except ProcessLookupError:
                pass

    def suspend_filters(self):
        """Until the end of this its filters let all through, so that one sees what else holds it."""
        _ptrace(SETOPTIONS, self.pid, SUSPEND_SECCOMP)

    def registers(self):
        raw = ctypes.create_string_buffer(8 * len(NAMES))
        _ptrace(GETREGS, self.pid, raw)
        return dict(zip(NAMES, struct.unpack(f"{len(NAMES)}Q", raw.raw)))

    def set_registers(self, values):
        raw = struct.pack(f"{len(NAMES)}Q", *(values[name] for name in NAMES))
        _ptrace(SETREGS, self.pid, ctypes.create_string_buffer(raw, len(raw)))

    def find(self, code):
        with open(f"/proc/{self.pid}/maps", encoding="ascii") as maps, open(f"/proc/{self.pid}/mem", "rb", 0) as mem:
            for line in maps:
                span, mode, *_ = line.split()
                start, end = (int(x, 16) for x in span.split("-"))
                if "x" not in mode or "[vsyscall" in line:
                    continue
                mem.seek(start)
                at = mem.read(end - start).find(code)
                if at >= 0:
                    return start + at
        raise AssertionError("the process has no system call in its code")

    def call(self, name, *arguments):
        """The result, negative errno for an error; strings are put into its memory. Killed: it is gone."""
        values, at = [], self.memory
        with open(f"/proc/{self.pid}/mem", "r+b", 0) as mem:
            for argument in arguments:
                if isinstance(argument, str):
                    mem.seek(at)
                    mem.write(argument.encode() + b"\0")
                    argument, at = at, at + len(argument) + 1
                values.append(argument & (1 << 64) - 1)
        now = {**self.saved, "rip": self.syscall, "rax": NUMBERS[name], "orig_rax": (1 << 64) - 1}
        now.update(zip(ARGUMENTS, values + [0] * (6 - len(values))))
        self.set_registers(now)
        _ptrace(SINGLESTEP, self.pid)
        _, status = os.waitpid(self.pid, WALL)
        if os.WIFSIGNALED(status):
            raise Killed(os.WTERMSIG(status))
        return ctypes.c_long(self.registers()["rax"]).value

    def crash(self):
        """Lets it go on where nothing is: a fault of its own, as no other process can send one."""
        self.saved = {**self.saved, "rip": 0, "orig_rax": (1 << 64) - 1, "rax": 0}
