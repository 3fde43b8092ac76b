"""What an image gets whose units, or holdfast.conf, refer to ssm:, asm:, vault: or imds:, and no other
image does: holdfast-secrets-remote, the libraries that it names, and the CA certificates."""
import os
import re

from builder.tree import files_below

PROGRAM = "holdfast-secrets-remote"
PACKAGES = ("libcurl4", "libcjson1", "ca-certificates")
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
REFERENCE = re.compile(r"^\s*\w+=(?:.*\s)?(ssm|asm|vault|imds):", re.M)


def is_needed(image):
    folder = f"{image.folder}/root/etc/holdfast"
    for name in files_below(folder):
        with open(f"{folder}/{name}", encoding="utf-8") as f:
            if REFERENCE.search(f.read()):
                return True
    return False


def put_certificates(tree):
    """What ca-certificates makes of its files where it is installed."""
    folder = f"{tree.packages.tree}/usr/share/ca-certificates/mozilla"
    bundle = []
    for name in sorted(os.listdir(folder)):
        with open(f"{folder}/{name}", encoding="ascii") as f:
            bundle.append(f.read())
    tree.write(CERTIFICATES, "".join(bundle), "ca-certificates")
