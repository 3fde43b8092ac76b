"""What no image may have: a shell or a way to one, a set-id file, an executable that is no program,
and whatever holdfast-check finds wrong with its units."""
import os
import re
import stat
import subprocess

from builder.image import ROOT
from builder.tree import files_below, is_elf

CHECK = f"{ROOT}/build/host/bin/holdfast-check"
FORBIDDEN = re.compile(r"^(ba|da|a|z|k|c|tc|fi|mk)?sh$|^(busybox|toybox|rbash|su|sudo|login|getty|agetty|"
                       r"sshd|dropbear|dpkg|apt|apt-get|perl\d?.*|python\d?.*|gdb|strace|env|xargs|"
                       r"nsenter|script|socat|nc)$")


def complaints(tree):
    """One line for each thing found in it."""
    for name in files_below(tree):
        path = f"{tree}/{name}"
        mode = os.lstat(path).st_mode
        if FORBIDDEN.match(os.path.basename(name)):
            yield f"/{name}: a shell, or a way to one"
        if mode & (stat.S_ISUID | stat.S_ISGID):
            yield f"/{name}: is set-id"
        if stat.S_ISREG(mode) and mode & 0o111 and not is_elf(path):
            yield f"/{name}: is executable and no program"


def units(tree):
    checked = subprocess.run([CHECK, "--root", tree], capture_output=True, text=True, check=False)
    return (checked.stdout + checked.stderr).splitlines() if checked.returncode != 0 else []
