"""The root of an image: what its manifest names from the packages, the libraries that those
programs need, holdfast, and the image's own files. Nothing else is in it.

Each file's origin is kept, for the record: the package that it was taken from, or OWN.
"""
import os
import re
import shutil
import subprocess

from builder.image import ROOT, BadImage
from builder.packages import MERGED, merged

PROGRAMS = ("holdfast", "holdfast-boot", "holdfast-supervisor", "holdfast-log", "holdfast-health",
            "holdfast-gate", "holdfast-secrets", "holdfastctl", "holdfast-refuse")
# Origins beside the names of packages.
HOLDFAST, OWN = "holdfast", ""


def is_elf(path):
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"


def needed(path):
    """(interpreter and libraries) that an ELF file names itself."""
    out = subprocess.run(["readelf", "-l", "-d", "-W", path], capture_output=True, text=True,
                         check=False).stdout
    interpreter = re.findall(r"program interpreter: (\S+)\]", out)
    return interpreter, re.findall(r"\(NEEDED\).*\[(.+)\]", out)


def files_below(folder):
    """Paths of everything in it that is no folder, relative to it and in one order."""
    for at, folders, names in os.walk(folder):
        folders.sort()
        yield from (os.path.relpath(f"{at}/{name}", folder) for name in sorted(
            [*names, *(f for f in folders if os.path.islink(f"{at}/{f}"))]))


class Tree:
    def __init__(self, image, packages, path):
        self.image, self.packages, self.path = image, packages, path
        self.origins = {}

    def put(self, source, path, origin):
        target = f"{self.path}/{merged(path)}"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)
        os.chmod(target, 0o755 if os.stat(source).st_mode & 0o111 else 0o644)
        self.origins[merged(path)] = origin

    def put_packaged(self, path, source=None):
        source = source or self.packages.find(path)
        if os.path.isdir(source):
            for name in files_below(source):
                self.put_packaged(f"{path}/{name}")
            return
        self.put(source, path, self.packages.owner(source))

    def write(self, path, text, origin=OWN):
        os.makedirs(os.path.dirname(f"{self.path}/{path}"), exist_ok=True)
        with open(f"{self.path}/{path}", "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(f"{self.path}/{path}", 0o644)
        self.origins[path] = origin

    def assemble(self, programs=PROGRAMS, more=()):
        """more: what else puts files into it, given the tree, before libraries are looked for."""
        shutil.rmtree(self.path, ignore_errors=True)
        for link, target in MERGED.items():
            os.makedirs(f"{self.path}/{target}")
            os.symlink(target, f"{self.path}/{link}")
        for path in self.image.lines("directories"):
            os.makedirs(f"{self.path}{path}", exist_ok=True)
        for path in self.image.lines("manifest"):
            self.put_packaged(path)
        self._put_holdfast(programs)
        self._put_own()
        for put in more:
            put(self)
        self._put_libraries()
        self._put_accounts()
        self._put_identity()
        for folder, _, _ in os.walk(self.path):
            os.chmod(folder, 0o755)
        if os.path.isdir(f"{self.path}/tmp"):
            os.chmod(f"{self.path}/tmp", 0o1777)

    def _put_holdfast(self, programs):
        os.makedirs(f"{self.path}/usr/lib/holdfast")
        for program in programs:
            path = f"usr/lib/holdfast/{program}"
            strip(f"{ROOT}/build/release/bin/{program}", f"{self.path}/{path}")
            self.origins[path] = HOLDFAST
        os.makedirs(f"{self.path}/usr/bin", exist_ok=True)
        for program in ("holdfast", "holdfastctl"):
            os.symlink(f"../lib/holdfast/{program}", f"{self.path}/usr/bin/{program}")

    def _put_own(self):
        for path, source in self.image.files.items():
            full = f"{ROOT}/{source}"
            if not os.path.isfile(full):
                raise BadImage(f"{self.image.file}: {path}: there is no file {source}")
            self.put(full, path, OWN)
            if is_elf(full):
                strip(full, f"{self.path}/{merged(path)}")
        for name in files_below(f"{self.image.folder}/root"):
            self.put(f"{self.image.folder}/root/{name}", name, OWN)

    def _put_libraries(self):
        """Until nothing is missing: what every program and library in the tree needs."""
        libraries_of = os.path.basename(os.path.dirname(self.packages.find_library("libc.so.6")))
        seen = set()
        while missing := self._missing(f"lib/{libraries_of}", seen):
            for path in sorted(missing):
                name = os.path.basename(path)
                self.put_packaged(path, None if name.startswith("ld-linux")
                                  else self.packages.find_library(name))

    def _missing(self, folder, seen):
        missing = set()
        for name in set(files_below(self.path)) - seen:
            seen.add(name)
            path = f"{self.path}/{name}"
            if os.path.islink(path) or not is_elf(path):
                continue
            interpreter, libraries = needed(path)
            missing.update(i for i in interpreter if not os.path.exists(f"{self.path}/{merged(i)}"))
            missing.update(f"/{folder}/{l}" for l in libraries if
                           not os.path.exists(f"{self.path}/usr/{folder}/{l}")
                           and not l.startswith("ld-linux"))
        return missing

    def _put_accounts(self):
        """Debian's static users without their shells, and the image's own: NAME=UID COMMENT."""
        base = f"{self.packages.tree}/usr/share/base-passwd"
        entries = {"passwd": [], "group": []}
        for kind, kept in entries.items():
            with open(f"{base}/{kind}.master", encoding="utf-8") as f:
                kept += [e.replace(":*:", ":x:", 1) for e in f.read().splitlines()]
        entries["passwd"] = [e.rsplit(":", 1)[0] + ":/usr/sbin/nologin" for e in entries["passwd"]]
        for name, value in self.image.accounts.items():
            uid, _, comment = value.partition(" ")
            if not uid.isdecimal():
                raise BadImage(f"{self.image.file}: [Accounts] {name}={value}: expected a number "
                               "and a comment")
            entries["passwd"].append(f"{name}:x:{uid}:{uid}:{comment}:/nonexistent:/usr/sbin/nologin")
            entries["group"].append(f"{name}:x:{uid}:")
        for kind, kept in entries.items():
            self.write(f"etc/{kind}", "\n".join([*kept, ""]))

    def _put_identity(self):
        self.write("etc/os-release",
                   f"ID={self.image.id}\nNAME=\"{self.image.name}\"\n"
                   f"VERSION_ID={self.image.version}\nIMAGE_ID={self.image.id}\n"
                   f"IMAGE_VERSION={self.image.version}\n")


def strip(source, target):
    subprocess.run(["strip", "-o", target, source], check=True)
    os.chmod(target, 0o755)
