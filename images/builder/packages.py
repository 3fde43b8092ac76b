"""Debian's packages, extracted and never installed: no script of theirs runs.

They are fetched once and kept (mmdebstrap), with an index of what is in them, so that later builds
need no network. An entry of the list may pin its version (nginx=1.22.1-9+deb12u11): two builds with
the same packages give the same bytes, and the manifest says which packages those were.
"""
import contextlib
import fcntl
import glob
import io
import json
import os
import shutil
import subprocess
import tarfile

from builder.image import BadImage, sha256

# The links of a merged /usr, as Debian installs it.
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
FIELDS = ("Package", "Version", "Architecture", "Source", "Maintainer", "Homepage")
INDEX = 1  # changes when the index gets another shape


def merged(path):
    """Where a path of a package lies in an image with a merged /usr."""
    first, _, rest = path.lstrip("/").partition("/")
    return f"{MERGED[first]}/{rest}" if first in MERGED and rest else path.lstrip("/")


def describe(deb):
    """A package's own words on itself, and the files in it."""
    text = subprocess.run(["dpkg-deb", "-f", deb, *FIELDS], check=True, capture_output=True,
                          text=True).stdout
    described = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    content = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True,
                             capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        described["Files"] = sorted(merged(m.name.removeprefix("./")) for m in tar if not m.isdir())
    described["SHA256"] = sha256(deb)
    return described


@contextlib.contextmanager
def held(path):
    """One builder at a time."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


class Packages:
    def __init__(self, image, cache, more=()):
        """more: packages beside those of the image's own list."""
        self.image = image
        self.names = list(dict.fromkeys([*image.lines("packages"), *more]))
        self.folder = f"{cache}/{image.label}"
        self.tree = f"{self.folder}/packages"
        self.index = f"{self.folder}/packages.json"
        with held(f"{self.folder}/lock"):
            known = self._fetched() or self._fetch()
        self.known = {p["Package"]: p for p in known}
        self.owners = {path: p["Package"] for p in known for path in p["Files"]}

    def _wanted(self):
        return [INDEX, self.image.suite, *self.names]

    def _fetched(self):
        """The index, where those very packages are there already."""
        if not os.path.exists(self.index):
            return None
        with open(self.index, encoding="utf-8") as f:
            index = json.load(f)
        return index["packages"] if index["wanted"] == self._wanted() else None

    def _fetch(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.index)
        shutil.rmtree(self.tree, ignore_errors=True)
        print("images/build: fetching packages from Debian, once", flush=True)
        subprocess.run(["mmdebstrap", "--quiet", "--variant=extract",
                        "--skip=essential/unlink,cleanup/apt/cache",
                        "--include=" + ",".join(self.names), self.image.suite,
                        self.tree], check=True)
        archives = f"{self.tree}/var/cache/apt/archives"
        known = [describe(deb) for deb in sorted(glob.glob(f"{archives}/*.deb"))]
        shutil.rmtree(archives)
        with open(f"{self.index}.partial", "w", encoding="utf-8") as f:
            json.dump({"wanted": self._wanted(), "packages": known}, f)
        os.replace(f"{self.index}.partial", self.index)
        return known

    def find(self, path):
        """The file in the packages that a path of the image comes from, with its links followed."""
        path = path.lstrip("/")
        for candidate in (path, path.removeprefix("usr/"), f"usr/{path}"):
            full = f"{self.tree}/{candidate}"
            hops = 0
            while os.path.islink(full) and hops < 8:
                target = os.readlink(full)
                full = (f"{self.tree}{target}" if target.startswith("/")
                        else os.path.join(os.path.dirname(full), target))
                hops += 1
            if os.path.exists(full):
                return full
        raise BadImage(f"no package of {self.image.folder}/packages has /{path}")

    def find_library(self, name):
        for folder, folders, names in os.walk(self.tree):
            folders.sort()
            if name in names and "/lib/" in folder:
                return self.find(os.path.relpath(f"{folder}/{name}", self.tree))
        raise BadImage(f"no package of {self.image.folder}/packages has {name}")

    def owner(self, source):
        """The name of the package that a file below the tree is from."""
        return self.owners[merged(os.path.relpath(source, self.tree))]
