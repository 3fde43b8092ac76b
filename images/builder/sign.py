"""The signature of the unified kernel image, which firmware with Secure Boot checks before it runs it.

osslsigncode(1) makes it, since it can be told the time: the signature is the same each time, too. Where
the key is in no file, NAME.efi is signed elsewhere and put into the EFI system partition by mcopy(1):
nothing else of the disk depends on its bytes.
"""
import os
import shutil
import subprocess
from dataclasses import dataclass

from builder.image import BadImage, epoch


def fingerprint(certificate):
    """SHA-256 of the certificate, as the manifest names the signer."""
    done = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BadImage(f"{certificate}: no certificate in PEM: {done.stderr.strip()}")
    return done.stdout.strip().partition("=")[2].replace(":", "").lower()


@dataclass
class Signer:
    key: str
    certificate: str
    passphrase: str  # a file's path, or None

    @classmethod
    def of(cls, key, certificate, passphrase):
        """None where neither key nor certificate is given."""
        if not key and not certificate:
            return None
        if not key or not certificate:
            raise BadImage("--sign-key and --sign-certificate go together")
        for path in filter(None, (key, certificate, passphrase)):
            if not os.path.isfile(path):
                raise BadImage(f"{path}: there is no such file")
        if not shutil.which("osslsigncode"):
            raise BadImage("there is no osslsigncode (Debian's package of that name)")
        return cls(key, certificate, passphrase)

    def sign(self, path):
        """Signs it in its place, and returns who signed."""
        own = fingerprint(self.certificate)
        partial = f"{path}.partial"
        if os.path.exists(partial):
            os.unlink(partial)
        secret = ["-readpass", self.passphrase] if self.passphrase else []
        done = subprocess.run(
            ["osslsigncode", "sign", "-h", "sha256", "-certs", self.certificate, "-key", self.key,
             *secret, "-time", str(epoch()), "-in", path, "-out", partial],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BadImage(f"{path} cannot be signed with {self.key}: "
                           f"{(done.stderr or done.stdout).strip()}")
        os.chmod(partial, 0o644)
        os.replace(partial, path)
        return own
