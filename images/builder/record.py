"""What is in an image, for those who have to answer for it: an SPDX 2.3 document and a manifest.

The document names each package of Debian that a file of the image was taken from (not those that
were fetched beside it), holdfast, and every file with its digests and where it is from.
"""
import hashlib
import json
import os
import time
from urllib.parse import quote

from builder.image import epoch, sha256
from builder.tree import HOLDFAST, OWN, files_below

NONE = "NOASSERTION"


def iso_time():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch()))


def write_json(path, value):
    with open(f"{path}.partial", "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1, sort_keys=True)
        f.write("\n")
    os.replace(f"{path}.partial", path)


def reference(kind, name):
    """An SPDX id: letters, digits, '.' and '-' alone."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in name)
    return f"SPDXRef-{kind}-{plain}"


def file_reference(path):
    return f"SPDXRef-File-{hashlib.sha256(path.encode()).hexdigest()[:16]}"


# ---------------------------------------------------------------- packages

def debian_package(package):
    name, version = package["Package"], package["Version"]
    source, _, source_version = package.get("Source", name).partition(" (")
    purl = (f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}"
            f"?arch={package['Architecture']}")
    described = {
        "SPDXID": reference("Package", name), "name": name, "versionInfo": version,
        "supplier": f"Organization: {package['Maintainer']}", "downloadLocation": NONE,
        "filesAnalyzed": False, "licenseConcluded": NONE, "licenseDeclared": NONE,
        "copyrightText": NONE,
        "sourceInfo": f"built from Debian's source {source} {source_version.rstrip(')') or version}",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": purl}]}
    if "SHA256" in package:
        described["checksums"] = [{"algorithm": "SHA256", "checksumValue": package["SHA256"]}]
    if "Homepage" in package:
        described["homepage"] = package["Homepage"]
    return described


def own_package(kind, name, version, **more):
    return {"SPDXID": reference(kind, name), "name": name, "versionInfo": version,
            "downloadLocation": NONE, "filesAnalyzed": False, "licenseConcluded": NONE,
            "licenseDeclared": NONE, "copyrightText": NONE} | more


def file_entry(tree, path):
    with open(f"{tree}/{path}", "rb") as f:
        content = f.read()
    return {"SPDXID": file_reference(path), "fileName": f"./{path}", "licenseConcluded": NONE,
            "copyrightText": NONE,
            "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(content).hexdigest()},
                          {"algorithm": "SHA256",
                           "checksumValue": hashlib.sha256(content).hexdigest()}]}


def relation(left, kind, right):
    return {"spdxElementId": left, "relationshipType": kind, "relatedSpdxElement": right}


def spdx(image, tree, boot_packages):
    """The document. boot_packages: those of kernel and boot loader, which are in the disk alone."""
    root = reference("Image", image.id)
    holdfast = reference("Package", "holdfast")
    # The kernel is among those for the disk, its modules may be in the root, too.
    others = {HOLDFAST, OWN, *(p["Package"] for p in boot_packages)}
    packages = {p: tree.packages.known[p] for p in sorted(set(tree.origins.values()) - others)}
    described = [
        own_package("Image", image.id, image.version, primaryPackagePurpose="OPERATING_SYSTEM"),
        own_package("Package", "holdfast", image.holdfast_version, licenseDeclared="MIT",
                    primaryPackagePurpose="APPLICATION"),
        *(debian_package(p) for p in packages.values()),
        *(debian_package(p) for p in boot_packages)]
    files = [p for p in files_below(tree.path) if not os.path.islink(f"{tree.path}/{p}")]
    owner = {HOLDFAST: holdfast, OWN: root}
    relations = [relation("SPDXRef-DOCUMENT", "DESCRIBES", root)]
    relations += [relation(root, "CONTAINS", p["SPDXID"]) for p in described[1:]]
    relations += [relation(owner.get(tree.origins[f]) or reference("Package", tree.origins[f]),
                           "CONTAINS", file_reference(f)) for f in files]
    entries = [file_entry(tree.path, f) for f in files]
    content = hashlib.sha256(json.dumps([described, entries], sort_keys=True).encode()).hexdigest()
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
            "name": f"{image.id}-{image.version}",
            "documentNamespace":
                f"https://spdx.org/spdxdocs/{image.id}-{image.version}-{content[:32]}",
            "creationInfo": {"created": iso_time(),
                             "creators": [f"Tool: holdfast-images-build-{image.holdfast_version}"]},
            "packages": described, "files": entries, "relationships": relations}


# ---------------------------------------------------------------- manifest

def manifest(image, tree, outputs, facts, boot_packages):
    """outputs: the files that were made. facts: what names them to others (root hash, digests)."""
    taken = set(tree.origins.values())
    packages = [p for n, p in sorted(tree.packages.known.items()) if n in taken] + boot_packages
    return {"schema": 1, "id": image.id, "name": image.name, "version": image.version,
            "architecture": os.uname().machine, "holdfast": image.holdfast_version,
            "sourceDateEpoch": epoch(), "suite": image.suite, **facts,
            "packages": [{"name": p["Package"], "version": p["Version"],
                          "architecture": p["Architecture"],
                          **({"sha256": p["SHA256"]} if "SHA256" in p else {})}
                         for p in packages],
            "outputs": [{"name": os.path.basename(o), "bytes": os.path.getsize(o),
                         "sha256": sha256(o)} for o in outputs]}
