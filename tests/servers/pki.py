"""A certificate authority of the tests' own, made when they run: no key lies in the repository."""
import os
import subprocess


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class Authority:
    """Issues certificates into folder. `ca` is the path of its own certificate."""

    def __init__(self, folder, name="holdfast tests"):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.ca = os.path.join(folder, "ca.pem")
        self.key = os.path.join(folder, "ca.key")
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-keyout", self.key, "-out", self.ca, "-days", "2", "-subj", f"/CN={name}",
                 "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, alternatives="DNS:localhost,IP:127.0.0.1", days=1):
        """(certificate, key) for a server or a client called name."""
        paths = [os.path.join(self.folder, f"{name}.{kind}") for kind in ("pem", "key", "csr", "ext")]
        certificate, key, request, extensions = paths
        with open(extensions, "w", encoding="ascii") as f:
            f.write(f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth,clientAuth\n"
                    "basicConstraints=critical,CA:FALSE\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                 "-out", request, "-subj", f"/CN={name}")
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial",
                 "-out", certificate, "-days", str(days), "-extfile", extensions)
        return certificate, key
