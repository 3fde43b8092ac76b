"""What an image gets whose Units= name a unit of units/dist that it does not have itself: the unit, and
what that runs. Nobody else's image has any of it."""
import dataclasses
import os
import re
import shutil

from builder.image import ROOT
from builder.tree import HOLDFAST

FOLDER = f"{ROOT}/units/dist"
UNITS = re.compile(r"^\s*Units\s*=(.*)$", re.M)


@dataclasses.dataclass(frozen=True)
class Part:
    """packages of Debian, files taken from them, programs and files of holdfast's own ({path in the image:
    path here}), empty folders, links."""
    packages: tuple = ()
    files: tuple = ()
    programs: tuple = ()
    own: tuple = ()
    directories: tuple = ()
    links: tuple = ()


PARTS = {
    "dhcpcd.service": Part(packages=("dhcpcd-base",), files=("/usr/sbin/dhcpcd",), programs=("holdfast-lease",),
                           own=(("usr/lib/holdfast/dhcpcd.conf", "units/dist/dhcpcd.conf"),),
                           directories=("var/lib/dhcpcd",), links=(("etc/resolv.conf", "../run/resolv.conf"),)),
}


def wanted(image):
    """The names of those units, in the order of Units=."""
    conf = f"{image.folder}/root/etc/holdfast/holdfast.conf"
    if not os.path.exists(conf):
        return []
    with open(conf, encoding="utf-8") as f:
        words = " ".join(UNITS.findall(f.read())).split()
    return [name for name in dict.fromkeys(words) if name in PARTS
            and not os.path.exists(f"{image.folder}/root/etc/holdfast/units/{name}")]


def packages(image):
    return [package for name in wanted(image) for package in PARTS[name].packages]


def programs(image):
    return [program for name in wanted(image) for program in PARTS[name].programs]


def _write(tree, source, path):
    os.makedirs(os.path.dirname(f"{tree.path}/{path}"), exist_ok=True)
    shutil.copyfile(source, f"{tree.path}/{path}")
    os.chmod(f"{tree.path}/{path}", 0o644)
    tree.origins[path] = HOLDFAST


def put(tree):
    """Before the tree's libraries are looked for."""
    for name in wanted(tree.image):
        part = PARTS[name]
        _write(tree, f"{FOLDER}/{name}", f"usr/lib/holdfast/units/{name}")
        for path, source in part.own:
            _write(tree, f"{ROOT}/{source}", path)
        for path in part.files:
            tree.put_packaged(path)
        for path in part.directories:
            os.makedirs(f"{tree.path}/{path}", exist_ok=True)
        for path, target in part.links:
            if not os.path.lexists(f"{tree.path}/{path}"):
                os.makedirs(os.path.dirname(f"{tree.path}/{path}"), exist_ok=True)
                os.symlink(target, f"{tree.path}/{path}")
