"""The kernel of machine images: Debian's for clouds, which this machine has or its archive gives.

    images/kernel.py        prints where its parts lie

It is taken from /boot and /lib/modules where the package is installed, else from the package itself,
fetched once and unpacked below build/kernel: installing it would bring tools that no image needs.
"""
import dataclasses
import fcntl
import glob
import os
import re
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = f"{ROOT}/build/kernel"
PACKAGE = "linux-image-cloud-amd64"
LZ4_LEGACY = b"\x02\x21\x4c\x18"  # the magic of what the kernel's build compresses with lz4 -l


@dataclasses.dataclass(frozen=True)
class Kernel:
    release: str
    vmlinuz: str
    modules: str  # a folder like /lib/modules/RELEASE

    def vmlinux(self):
        """The uncompressed ELF, which a virtual machine enters by its PVH note without a loader."""
        path = f"{CACHE}/vmlinux-{self.release}"
        if not os.path.exists(path):
            os.makedirs(CACHE, exist_ok=True)
            with open(self.vmlinuz, "rb") as f:
                image = f.read()
            start = image.find(LZ4_LEGACY)
            if start < 0:
                raise ValueError(f"{self.vmlinuz}: no LZ4 stream in it")
            # It ends with 1 because of the bytes that follow the stream; what came out is whole.
            done = subprocess.run(["lz4", "-dc"], input=image[start:], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, check=False)
            if not done.stdout.startswith(b"\x7fELF"):
                raise ValueError(f"{self.vmlinuz}: what lz4 makes of it is no ELF file")
            with open(f"{path}.{os.getpid()}", "wb") as f:
                f.write(done.stdout)
            os.rename(f.name, path)
        return path


def _newest(top):
    found = []
    for vmlinuz in glob.glob(f"{top}/boot/vmlinuz-*-cloud-amd64"):
        release = os.path.basename(vmlinuz).removeprefix("vmlinuz-")
        modules = f"{top}/lib/modules/{release}"
        if os.path.isdir(modules):
            key = [int(n) for n in re.findall(r"\d+", release)]
            found.append((key, Kernel(release, vmlinuz, modules)))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _fetch():
    """Unpacked beside its place and moved there, so that nobody sees a half of it."""
    depends = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True,
                             check=True).stdout
    package = re.search(r"^\s*Depends: (linux-image-\S+)$", depends, re.M).group(1)
    subprocess.run(["apt-get", "-q", "download", package], cwd=CACHE, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for path in glob.glob(f"{CACHE}/{package}_*.deb"):
        subprocess.run(["dpkg-deb", "-x", path, f"{CACHE}/new"], check=True)
        os.unlink(path)
    # The kernel's image last: it is what find() looks for.
    for name in ("lib", "boot"):
        shutil.rmtree(f"{CACHE}/{name}", ignore_errors=True)
        os.rename(f"{CACHE}/new/{name}", f"{CACHE}/{name}")
    shutil.rmtree(f"{CACHE}/new")


def find():
    """The newest kernel of the machine, else the one of build/kernel, else that is fetched first."""
    kernel = _newest("") or _newest(CACHE)
    if kernel:
        return kernel
    os.makedirs(CACHE, exist_ok=True)
    # Whoever comes at the same time waits, and finds it then.
    with open(f"{CACHE}/lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _newest(CACHE):
            _fetch()
    kernel = _newest(CACHE)
    if not kernel:
        raise FileNotFoundError(f"{PACKAGE} has no kernel in it")
    return kernel


if __name__ == "__main__":
    chosen = find()
    print(f"{chosen.release}\n{chosen.vmlinuz}\n{chosen.modules}")
