#!/usr/bin/env python3
"""What images/build makes of images/demo: twice the same bytes, a root that is proven to the last
block, the same root for containers, and a record that holds for both."""
import filecmp
import functools
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import types
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
from podman import Podman
sys.path.insert(0, f"{harness.ROOT}/images")
from builder import dist, sign

BUILD = f"{harness.ROOT}/images/build"
DEMO = f"{harness.ROOT}/images/demo"
ENDINGS = ("squashfs", "erofs", "verity", "efi", "raw", "oci.tar", "spdx.json", "manifest.json")
# What SPDX 2.3 knows in a package, as far as it is used here, and of what purpose one may be: JSON
# writes them with an underscore where the specification's text has none.
PACKAGE_KEYS = {"SPDXID", "name", "versionInfo", "supplier", "downloadLocation", "filesAnalyzed",
                "licenseConcluded", "licenseDeclared", "copyrightText", "sourceInfo", "externalRefs",
                "checksums", "homepage", "primaryPackagePurpose"}
PURPOSES = {"OPERATING_SYSTEM", "APPLICATION", "FILE"}


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def read_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def build(to, *options, umask=0o022, **environment):
    return subprocess.run([BUILD, "--to", to, *options], capture_output=True, text=True, check=False,
                          umask=umask, env={**os.environ, **environment})


MADE = tempfile.TemporaryDirectory(prefix="holdfast-golden-")


def setUpModule():
    unittest.addModuleCleanup(MADE.cleanup)


@functools.cache
def make_once():
    harness.make("build/image/demo.squashfs", "build/release/bin/holdfast-initramfs")
    return build(MADE.name)


@unittest.skipUnless(harness.is_root(), "making an image needs root")
class Made(harness.Case):
    """One build of everything, which the tests only read."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = make_once()
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        cls.made = MADE.name
        cls.manifest = read_json(f"{cls.made}/demo.manifest.json")
        cls.spdx = read_json(f"{cls.made}/demo.spdx.json")


class Bytes(Made):
    def test_twice_the_same_wherever_it_is_built(self):
        # Another file system gives another order of folders; neither that nor a umask may be seen.
        with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="holdfast-golden-") as other:
            done = build(other, umask=0o077)
            self.assertEqual(done.returncode, 0, done.stderr)
            for ending in ENDINGS:
                with self.subTest(ending):
                    self.assertTrue(filecmp.cmp(f"{self.made}/demo.{ending}",
                                                f"{other}/demo.{ending}", shallow=False))

    def test_nothing_says_where_it_was_built(self):
        for ending in ENDINGS:
            with open(f"{self.made}/demo.{ending}", "rb") as f:
                content = f.read()
            for own in (harness.ROOT, self.made):
                self.assertFalse(own.encode() in content, f"{own} stands in {ending}")

    def test_another_time_is_in_all_of_them(self):
        done = build(self.dir, SOURCE_DATE_EPOCH="1700000000")
        self.assertEqual(done.returncode, 0, done.stderr)
        for ending in ENDINGS:
            self.assertNotEqual(digest(f"{self.made}/demo.{ending}"),
                                digest(f"{self.dir}/demo.{ending}"), ending)
        self.assertEqual(read_json(f"{self.dir}/demo.spdx.json")["creationInfo"]["created"],
                         "2023-11-14T22:13:20Z")


class Root(Made):
    def verify(self, data, root_hash):
        return subprocess.run(["veritysetup", "verify", data, f"{self.made}/demo.verity", root_hash],
                              capture_output=True, text=True, check=False)

    def test_the_hash_tree_proves_it_to_the_last_block(self):
        root_hash = self.manifest["verity"]["rootHash"]
        good = self.verify(f"{self.made}/demo.erofs", root_hash)
        self.assertEqual(good.returncode, 0, good.stderr)
        for offset in (0, 2048 + 4096 * 7, -1):
            broken = f"{self.dir}/broken"
            shutil.copyfile(f"{self.made}/demo.erofs", broken)
            with open(broken, "r+b") as f:
                at = f.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
                byte = f.read(1)
                f.seek(at)
                f.write(bytes([byte[0] ^ 1]))
            self.assertNotEqual(self.verify(broken, root_hash).returncode, 0, offset)

    def test_erofs_and_squashfs_have_the_same_files(self):
        subprocess.run(["fsck.erofs", f"{self.made}/demo.erofs"], check=True, capture_output=True)
        subprocess.run(["fsck.erofs", f"--extract={self.dir}/erofs", f"{self.made}/demo.erofs"],
                       check=True, capture_output=True)
        subprocess.run(["unsquashfs", "-q", "-n", "-d", f"{self.dir}/squashfs",
                        f"{self.made}/demo.squashfs"], check=True, capture_output=True)
        done = subprocess.run(["diff", "-r", "--no-dereference", f"{self.dir}/erofs",
                               f"{self.dir}/squashfs"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_os_release_names_the_image(self):
        with open(f"{self.made}/root/etc/os-release", encoding="utf-8") as f:
            text = f.read()
        self.assertIn(f"IMAGE_ID={self.manifest['id']}\n", text)
        self.assertIn(f"IMAGE_VERSION={self.manifest['version']}\n", text)


class Signed(Made):
    def test_twice_the_same_and_only_by_the_key(self):
        key, certificate = f"{self.dir}/key", f"{self.dir}/certificate"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                        certificate, "-subj", "/CN=image", "-days", "3650"], check=True,
                       capture_output=True)
        digests = set()
        for name in ("one", "two"):
            shutil.copyfile(f"{self.made}/demo.efi", f"{self.dir}/{name}")
            own = sign.Signer.of(key, certificate, None).sign(f"{self.dir}/{name}")
            digests.add(digest(f"{self.dir}/{name}"))
        self.assertEqual(len(digests), 1)
        with open(certificate, encoding="ascii") as f:
            self.assertEqual(own, hashlib.sha256(ssl.PEM_cert_to_DER_cert(f.read())).hexdigest())
        self.assertEqual(self.verify(f"{self.dir}/one", certificate), 0)
        self.assertNotEqual(self.verify(f"{self.made}/demo.efi", certificate), 0)
        with open(f"{self.dir}/one", "r+b") as f:
            f.seek(1 << 20)
            f.write(bytes([f.read(1)[0] ^ 1]))
        self.assertNotEqual(self.verify(f"{self.dir}/one", certificate), 0)

    @staticmethod
    def verify(path, certificate):
        return subprocess.run(["osslsigncode", "verify", "-CAfile", certificate, "-in", path],
                              capture_output=True, check=False).returncode


class Disk(Made):
    def partitions(self):
        """{name: what sfdisk says of it, bytes}"""
        out = subprocess.run(["sfdisk", "--json", f"{self.made}/demo.raw"], check=True,
                             capture_output=True, text=True).stdout
        table = json.loads(out)["partitiontable"]
        self.assertEqual((table["label"], table["sectorsize"]), ("gpt", 512))
        with open(f"{self.made}/demo.raw", "rb") as f:
            for part in table["partitions"]:
                f.seek(part["start"] * 512)
                part["content"] = f.read(part["size"] * 512)
        return {p["name"].split("_")[0]: p for p in table["partitions"]}

    def test_the_partitions_hold_root_and_hash_tree_and_are_named_by_the_root_hash(self):
        root_hash = self.manifest["verity"]["rootHash"]
        parts = self.partitions()
        self.assertEqual(list(parts), ["esp", "verity", "root"])
        self.assertEqual((parts["root"]["uuid"] + parts["verity"]["uuid"]).replace("-", "").lower(),
                         root_hash)
        for name, ending in (("root", "erofs"), ("verity", "verity")):
            with open(f"{self.made}/demo.{ending}", "rb") as f:
                content = f.read()
            self.assertTrue(parts[name]["content"].startswith(content), name)
            self.assertEqual(parts[name]["content"][len(content):].strip(b"\0"), b"")
        self.assertEqual(len(parts["root"]["content"]), 64 << 20)  # SlotSize=

    def test_the_system_partition_has_the_kernel_and_nothing_else(self):
        self.write("esp", "")
        with open(f"{self.dir}/esp", "wb") as f:
            f.write(self.partitions()["esp"]["content"])
        listed = subprocess.run(["mdir", "-i", f"{self.dir}/esp", "-/", "-b", "::"], check=True,
                                capture_output=True, text=True).stdout.split()
        self.assertEqual([l for l in listed if not l.endswith("/")], ["::/EFI/BOOT/BOOTX64.EFI"])
        subprocess.run(["mcopy", "-i", f"{self.dir}/esp", "::/EFI/BOOT/BOOTX64.EFI",
                        f"{self.dir}/efi"], check=True)
        self.assertEqual(digest(f"{self.dir}/efi"), digest(f"{self.made}/demo.efi"))

    def test_a_longer_disk_has_room_for_a_second_pair_and_the_first_stays_as_it_is(self):
        longer = f"{self.dir}/longer"
        subprocess.run(["cp", "--sparse=always", f"{self.made}/demo.raw", longer], check=True)
        os.truncate(longer, os.path.getsize(longer) + (80 << 20))

        def table():
            out = subprocess.run(["sfdisk", "--json", longer], check=True, capture_output=True,
                                 text=True).stdout
            return json.loads(out)["partitiontable"]["partitions"]

        before = table()
        kinds = {p["name"].split("_")[0]: p["type"] for p in before}
        subprocess.run(["sfdisk", "--quiet", "--relocate", "gpt-bak-std", longer], check=True)
        subprocess.run(["sfdisk", "--quiet", "--append", "--no-reread", "--no-tell-kernel", longer],
                       input=f'size=2MiB, type={kinds["verity"]}, name="verity_2"\n'
                             f'size=64MiB, type={kinds["root"]}, name="root_2"\n', text=True, check=True)
        after = table()
        self.assertEqual(after[:3], before)
        self.assertEqual([p["name"] for p in after[3:]], ["verity_2", "root_2"])
        # And the system partition has room for a second kernel beside the first.
        esp, free = f"{self.dir}/esp", 0
        with open(esp, "wb") as f:
            f.write(self.partitions()["esp"]["content"])
        listed = subprocess.run(["mdir", "-i", esp, "::"], check=True, capture_output=True, text=True).stdout
        free = int(re.sub(r"\D", "", re.search(r"([\d ]+) bytes free", listed)[1]))
        self.assertGreater(free, os.path.getsize(f"{self.made}/demo.efi"))

    def section(self, name):
        subprocess.run(["objcopy", "-O", "binary", f"--only-section={name}",
                        f"{self.made}/demo.efi", f"{self.dir}/{name}"], check=True)
        with open(f"{self.dir}/{name}", "rb") as f:
            return f.read()

    def test_the_root_is_named_by_the_initramfs_and_not_by_the_command_line(self):
        root_hash = self.manifest["verity"]["rootHash"].encode()
        self.assertIn(b"console=ttyS0", self.section(".cmdline"))
        self.assertNotIn(b"holdfast.", self.section(".cmdline"))
        self.assertIn(b"holdfast.roothash=" + root_hash, self.section(".initrd"))
        with open(f"{self.made}/root/etc/os-release", "rb") as f:
            self.assertEqual(self.section(".osrel").rstrip(b"\0"), f.read())


class Record(Made):
    def test_the_manifest_has_the_digest_of_each_file(self):
        names = {o["name"]: o["sha256"] for o in self.manifest["outputs"]}
        self.assertEqual(set(names), {f"demo.{e}" for e in ENDINGS} - {"demo.manifest.json"})
        for name, expected in names.items():
            self.assertEqual(digest(f"{self.made}/{name}"), expected, name)

    def test_the_packages_are_those_that_files_were_taken_from(self):
        names = {p["name"] for p in self.spdx["packages"]}
        self.assertLessEqual({"holdfast", "nginx", "nginx-common", "libc6", "libssl3", "dpkg"}, names)
        self.assertFalse({"tar", "base-passwd", "iproute2"} & names)  # fetched, and not taken from
        for package in self.manifest["packages"]:
            self.assertRegex(package["version"], r"^\d")
            self.assertRegex(package.get("sha256", "0" * 64), r"^[0-9a-f]{64}$")
        kernel = f"linux-image-{self.manifest['kernel']['release']}"
        self.assertLessEqual({kernel, "systemd-boot-efi"}, names)

    def test_every_file_stands_in_the_document_with_its_owner(self):
        owners = {r["relatedSpdxElement"]: r["spdxElementId"] for r in self.spdx["relationships"]
                  if r["relationshipType"] == "CONTAINS"}
        found = {f["fileName"]: f for f in self.spdx["files"]}
        for folder, _, names in os.walk(f"{self.made}/root"):
            for name in names:
                path = f"{folder}/{name}"
                if os.path.islink(path):
                    continue
                entry = found.pop("." + path[len(f"{self.made}/root"):])
                sums = {c["algorithm"]: c["checksumValue"] for c in entry["checksums"]}
                self.assertEqual(sums["SHA256"], digest(path))
                self.assertIn(entry["SPDXID"], owners)
        self.assertEqual(found, {})
        nginx = next(f for f in self.spdx["files"] if f["fileName"] == "./usr/sbin/nginx")
        self.assertEqual(owners[nginx["SPDXID"]], "SPDXRef-Package-nginx")

    def test_the_document_keeps_the_rules_of_spdx_2_3(self):
        for key in ("spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace",
                    "creationInfo"):
            self.assertIn(key, self.spdx)
        ids = [e["SPDXID"] for e in (*self.spdx["packages"], *self.spdx["files"])]
        self.assertEqual(len(ids), len(set(ids)))
        for identifier in ids:
            self.assertRegex(identifier, r"^SPDXRef-[A-Za-z0-9.-]+$")
        for package in self.spdx["packages"]:
            self.assertLessEqual({"SPDXID", "name", "downloadLocation"}, set(package))
            self.assertLessEqual(set(package), PACKAGE_KEYS)
            self.assertIn(package.get("primaryPackagePurpose", "FILE"), PURPOSES)
            # Of a package whose files were not analyzed none may be listed as the package's own.
            self.assertFalse(package["filesAnalyzed"])
            self.assertFalse({"hasFiles", "packageVerificationCode", "licenseInfoFromFiles"} & set(package))
            for reference in package.get("externalRefs", ()):
                self.assertEqual(set(reference), {"referenceCategory", "referenceType", "referenceLocator"})
                self.assertEqual(reference["referenceCategory"], "PACKAGE-MANAGER")
                self.assertRegex(reference["referenceLocator"], r"^pkg:deb/debian/[^ ]+@[^ ]+$")
        for entry in (*self.spdx["packages"], *self.spdx["files"]):
            for checksum in entry.get("checksums", ()):
                length = {"SHA1": 40, "SHA256": 64}[checksum["algorithm"]]
                self.assertRegex(checksum["checksumValue"], f"^[0-9a-f]{{{length}}}$")
        for entry in self.spdx["files"]:
            self.assertEqual([c["algorithm"] for c in entry["checksums"]], ["SHA1", "SHA256"])
            self.assertTrue(entry["fileName"].startswith("./"))
        for relation in self.spdx["relationships"]:
            for key in ("spdxElementId", "relatedSpdxElement"):
                self.assertIn(relation[key], {*ids, "SPDXRef-DOCUMENT"})


class Container(Made):
    def test_podman_loads_it_and_it_serves(self):
        podman = Podman()
        self.addCleanup(podman.close)
        podman("load", "-q", "-i", f"{self.made}/demo.oci.tar")
        tag = f"{self.manifest['id']}:{self.manifest['version']}"
        config = json.loads(podman("image", "inspect", tag))[0]["Config"]
        self.assertEqual(config["Entrypoint"], ["/usr/lib/holdfast/holdfast"])
        self.assertEqual(config["StopSignal"], "SIGTERM")
        self.write("db_password", "0123456789abcdef", 0o444)
        container = podman.run(tag, options=(
            "--read-only", "-v", f"{self.dir}/db_password:/run/secrets/db_password:ro",
            "-e", "CREDENTIALS_DIRECTORY=/run/secrets",
            "--tmpfs", "/tmp:size=8m", "--tmpfs", "/var/log/nginx:size=8m", "--tmpfs", "/var/lib/nginx:size=32m"))
        container.wait_for('"phase":"running"')
        status, out, err = container.exec("/usr/lib/holdfast/holdfastctl", "probe", "--ready")
        self.assertEqual(status, 0, out + err + container.raw_log)
        self.assertEqual(container.stop(), 0, container.raw_log)

    def test_the_layout_names_what_it_holds(self):
        layout = f"{self.made}/demo.oci"
        (named,) = read_json(f"{layout}/index.json")["manifests"]
        self.assertEqual(named["digest"], self.manifest["ociDigest"])
        manifest = read_json(f"{layout}/blobs/{named['digest'].replace(':', '/')}")
        config = read_json(f"{layout}/blobs/{manifest['config']['digest'].replace(':', '/')}")
        self.assertEqual(config["rootfs"]["diff_ids"], [manifest["layers"][0]["digest"]])
        for name in os.listdir(f"{layout}/blobs/sha256"):
            self.assertEqual(digest(f"{layout}/blobs/sha256/{name}"), name)


class Refused(harness.Case):
    """Mistakes in an image's folder, in words."""

    def attempt(self, text):
        shutil.copytree(DEMO, f"{self.dir}/image")
        self.write("image/image.conf", text)
        done = build(f"{self.dir}/to", "--image", f"{self.dir}/image")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertNotIn("Traceback", done.stderr)
        self.assertFalse(os.path.exists(f"{self.dir}/to/image.squashfs"))
        return done.stderr

    def test_an_id_that_is_missing(self):
        self.assertIn("image.conf: Id= is missing", self.attempt("[Image]\n"))

    def test_a_version_that_no_tag_can_have(self):
        self.assertIn("Version= is '1 beta'", self.attempt("[Image]\nId=a\nVersion=1 beta\n"))

    def test_a_key_that_is_misspelled(self):
        self.assertIn("[Image] has no Versoin=", self.attempt("[Image]\nId=a\nVersoin=1\n"))

    def test_a_section_that_is_not_known(self):
        self.assertIn("there is no section [Acounts]", self.attempt("[Image]\nId=a\n[Acounts]\n"))

    def test_keys_that_cannot_sign(self):
        for options, expected in (
                (("--sign-key", "/a"), "--sign-key and --sign-certificate go together"),
                (("--sign-key", "/a", "--sign-certificate", f"{harness.ROOT}/VERSION"), "/a: there is no such file")):
            done = build(f"{self.dir}/to", *options)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(expected, done.stderr)

    def test_a_size_that_is_none(self):
        self.assertIn("\"lots\" is no size", self.attempt("[Image]\nId=a\nSlotSize=lots\n"))

    def test_a_folder_that_is_no_image(self):
        done = build(f"{self.dir}/to", "--image", self.dir)
        self.assertEqual(done.returncode, 1)
        self.assertIn("image.conf", done.stderr)


class Dist(harness.Case):
    """Units of units/dist, into images whose Units= name them."""

    def make_image(self, units, own=()):
        for name in own:
            self.write(f"image/root/etc/holdfast/units/{name}", "")
        self.write("image/root/etc/holdfast/holdfast.conf", f"[Holdfast]\nUnits=a.service {units}\n")
        return types.SimpleNamespace(folder=f"{self.dir}/image")

    def test_what_is_named_brings_what_it_runs(self):
        image = self.make_image("dhcpcd.service")
        tree = types.SimpleNamespace(image=image, path=f"{self.dir}/tree", origins={}, put_packaged=lambda p: taken.append(p))
        taken = []
        dist.put(tree)
        self.assertEqual((dist.packages(image), dist.programs(image), taken),
                         (["dhcpcd-base"], ["holdfast-lease"], ["/usr/sbin/dhcpcd"]))
        self.assertEqual(os.readlink(f"{tree.path}/etc/resolv.conf"), "../run/resolv.conf")
        self.assertTrue(os.path.isdir(f"{tree.path}/var/lib/dhcpcd"))
        self.assertEqual(sorted(tree.origins), ["usr/lib/holdfast/dhcpcd.conf", "usr/lib/holdfast/units/dhcpcd.service"])

    def test_others_and_units_of_the_images_own_bring_nothing(self):
        for image in (self.make_image("b.service"), self.make_image("dhcpcd.service", own=("dhcpcd.service",))):
            self.assertEqual((dist.packages(image), dist.programs(image)), ([], []))


class Ami(harness.Case):
    """The Packer template, as far as Debian's packer knows it, without a network."""

    TEMPLATE = f"{harness.ROOT}/images/ami/holdfast.pkr.hcl"
    # What only plugins later than Debian's packer take, beside metadata_options.
    LATER = ("boot_mode", "imds_support", "tpm_support")

    def packer(self, *options):
        return subprocess.run(["packer", "validate", *options], capture_output=True, text=True,
                              check=False, env={"PATH": os.environ["PATH"], "HOME": self.dir,
                                                "CHECKPOINT_DISABLE": "1", "AWS_REGION": "eu-central-1"})

    def test_its_syntax(self):
        done = self.packer("-syntax-only", self.TEMPLATE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_its_arguments(self):
        with open(self.TEMPLATE, encoding="utf-8") as f:
            text = f.read()
        older = re.sub(r"  metadata_options \{.*?\n  \}\n", "", text, flags=re.S)
        older = "".join(l for l in older.splitlines(True) if not l.strip().startswith(self.LATER))
        self.assertEqual(len(text.splitlines()) - len(older.splitlines()), len(self.LATER) + 5)
        names = ("-var", f"disk={harness.ROOT}/VERSION", "-var", "name=b", "-var", "version=1")
        done = self.packer(*names, self.write("older.pkr.hcl", older))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        misspelled = self.write("bad.pkr.hcl", older.replace("instance_type ", "instance_sort "))
        self.assertNotEqual(self.packer(*names, misspelled).returncode, 0)

    def test_metadata_is_asked_for_with_a_token_and_no_key_is_in_the_image(self):
        with open(self.TEMPLATE, encoding="utf-8") as f:
            text = f.read()
        self.assertRegex(text, r'imds_support\s+= "v2.0"')
        self.assertRegex(text, r'http_tokens\s+= "required"')
        self.assertNotRegex(text, r"ssh_keypair_name|ssh_private_key")


if __name__ == "__main__":
    harness.main()
