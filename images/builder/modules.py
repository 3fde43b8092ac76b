"""The kernel modules that [Modules] of an image's holdfast.conf loads: their files, with what they need,
and the list of them in load order, which is all that holdfast-boot reads (init/boot/modules.c)."""
import os

import initramfs
from builder.image import BadImage

CONF = "etc/holdfast/holdfast.conf"
FOLDER = "usr/lib/holdfast/modules"


def wanted(root):
    """The names of Load= in the root's holdfast.conf, as it reads them."""
    names, section = [], ""
    try:
        with open(f"{root}/{CONF}", encoding="utf-8") as f:
            lines = [line.strip() for line in f]
    except FileNotFoundError:
        return []
    for line in lines:
        if line.startswith("["):
            section = line
        key, equals, value = (part.strip() for part in line.partition("="))
        if section == "[Modules]" and key == "Load" and equals:
            names = [*names, value.split()[0].removeprefix("-")] if value else []
    return names


def put(root, modules):
    """modules: a kernel's folder of them. The paths of what was put, below root."""
    names, paths = wanted(root), []
    if not names:
        return paths
    known, lines = initramfs.Modules(modules), []
    os.makedirs(f"{root}/{FOLDER}", exist_ok=True)
    for name in names:
        try:
            chosen = known.resolve([name])
        except KeyError as error:
            raise BadImage(f"{CONF}: [Modules] {error.args[0]}") from error
        lines.append(" ".join([f"{name}:", *(file for file, _, _ in chosen)]))
        for file, _, content in chosen:
            with open(f"{root}/{FOLDER}/{file}", "wb") as f:
                f.write(content)
            paths.append(f"{FOLDER}/{file}")
    with open(f"{root}/{FOLDER}/list", "w", encoding="utf-8") as f:
        f.write("".join(f"{line}\n" for line in lines))
    return [*paths, f"{FOLDER}/list"]
