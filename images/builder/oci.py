"""The root as an OCI image (image-spec 1.0): a layout folder, and the same as a tar that podman,
skopeo and docker load. One layer, not compressed: registries and runtimes do that as they like, and
so its digest says the same as its diff-id."""
import hashlib
import io
import json
import os
import shutil
import tarfile

from builder.image import epoch
from builder.record import iso_time

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MEDIA = "application/vnd.oci.image"
HOLDFAST = "/usr/lib/holdfast/holdfast"


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def plain(member):
    """Nothing of who built it and when."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = epoch()
    return member


def pack(folder, target):
    """All that is in a folder, as a tar in one order, into a file that is open."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for at, folders, names in os.walk(folder):
            folders.sort()
            inside = os.path.relpath(at, folder)
            for name in sorted([*folders, *names]):
                member = name if inside == "." else f"{inside}/{name}"
                tar.add(f"{at}/{name}", member, recursive=False, filter=plain)


class Layout:
    def __init__(self, path):
        self.path = path
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(f"{path}/blobs/sha256")

    def add(self, kind, content):
        digest = hashlib.sha256(content).hexdigest()
        with open(f"{self.path}/blobs/sha256/{digest}", "wb") as f:
            f.write(content)
        return {"mediaType": f"{MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    def write(self, name, value):
        with open(f"{self.path}/{name}", "wb") as f:
            f.write(compact(value))


def labels(image):
    return {"org.opencontainers.image.title": image.name,
            "org.opencontainers.image.version": image.version}


def config(image, architecture, diff_id):
    # HEALTHCHECK has no place in OCI's configuration: orchestrators ask /readyz themselves.
    return {"created": iso_time(), "architecture": ARCHITECTURES[architecture], "os": "linux",
            "config": {"Entrypoint": [HOLDFAST], "StopSignal": "SIGTERM", "WorkingDir": "/",
                       "Env": ["PATH=/usr/sbin:/usr/bin"], "Labels": labels(image)},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": iso_time(), "created_by": "holdfast images/build"}]}


def build(image, tree, folder, archive):
    """Makes both, and returns the digest that names the image."""
    layout = Layout(f"{folder}.partial")
    packed = io.BytesIO()
    pack(tree, packed)
    layer = layout.add("layer.v1.tar", packed.getvalue())
    described = layout.add("config.v1+json",
                           compact(config(image, os.uname().machine, layer["digest"])))
    manifest = layout.add("manifest.v1+json", compact(
        {"schemaVersion": 2, "mediaType": f"{MEDIA}.manifest.v1+json", "config": described,
         "layers": [layer], "annotations": labels(image)}))
    named = {**manifest, "annotations":
             {"org.opencontainers.image.ref.name": f"{image.id}:{image.version}"}}
    layout.write("index.json", {"schemaVersion": 2, "mediaType": f"{MEDIA}.index.v1+json",
                                "manifests": [named]})
    layout.write("oci-layout", {"imageLayoutVersion": "1.0.0"})
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(layout.path, folder)
    with open(f"{archive}.partial", "wb") as f:
        pack(folder, f)
    os.replace(f"{archive}.partial", archive)
    return manifest["digest"]
