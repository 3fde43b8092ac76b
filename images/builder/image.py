"""An image as its folder describes it: image.conf, the lists beside it and root/.

Lists (packages, manifest, directories) have one entry a line, and '#' begins a comment line. What
image.conf does not know it refuses: a setting that is misspelled would otherwise be left out.
"""
import configparser
import hashlib
import os
import re
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Setting and what it is where nothing is said.
SETTINGS = {"Id": None, "Name": None, "Version": "", "Suite": "bookworm", "SlotSize": "0",
            "CommandLine": ""}
SECTIONS = {"Image", "Accounts", "Files"}
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# What names of files, partitions and container tags may have in common.
ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,23}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}")


class BadImage(Exception):
    """What is wrong with an image's description, in words for whoever wrote it."""


def bytes_of(text, where):
    found = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not found:
        raise BadImage(f"{where}: \"{text}\" is no size such as 64M")
    return int(found[1]) * UNITS[found[2]]


def epoch():
    """SOURCE_DATE_EPOCH: the one time in an image (reproducible-builds.org)."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", "0"))


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Image:
    def __init__(self, folder):
        self.folder = folder
        self.file = f"{folder}/image.conf"
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
        parser.optionxform = str
        try:
            with open(self.file, encoding="utf-8") as f:
                parser.read_file(f)
        except (OSError, configparser.Error) as error:
            raise BadImage(f"{self.file}: {error}") from error
        self._check_names(parser)
        settings = {**SETTINGS, **(parser["Image"] if parser.has_section("Image") else {})}
        self.label = os.path.basename(os.path.abspath(folder))
        self.id = self._text(settings, "Id", ID)
        self.name = settings["Name"] or self.id
        settings["Version"] = settings["Version"] or self._own_version()
        self.version = self._text(settings, "Version", VERSION)
        self.suite = settings["Suite"]
        self.slot_size = bytes_of(settings["SlotSize"], f"{self.file}: SlotSize")
        self.command_line = settings["CommandLine"].split()
        self.accounts = dict(parser["Accounts"]) if parser.has_section("Accounts") else {}
        self.files = dict(parser["Files"]) if parser.has_section("Files") else {}
        self.holdfast_version = self._own_version()

    def _check_names(self, parser):
        for section in parser.sections():
            if section not in SECTIONS:
                raise BadImage(f"{self.file}: there is no section [{section}], only "
                               f"{', '.join(sorted(SECTIONS))}")
        for key in parser["Image"] if parser.has_section("Image") else ():
            if key not in SETTINGS:
                raise BadImage(f"{self.file}: [Image] has no {key}=, only "
                               f"{', '.join(sorted(SETTINGS))}")

    def _text(self, settings, key, allowed):
        value = settings[key]
        if value is None or not allowed.fullmatch(value):
            raise BadImage(f"{self.file}: {key}= is {'missing' if value is None else repr(value)}: "
                           f"expected {allowed.pattern}")
        return value

    @staticmethod
    def _own_version():
        with open(f"{ROOT}/VERSION", encoding="utf-8") as f:
            return f.read().strip()

    def lines(self, name):
        path = f"{self.folder}/{name}"
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            return [l.strip() for l in f if l.strip() and not l.startswith("#")]

    def digest(self, purpose):
        """32 bytes that are this image's alone, the same in each build of it."""
        return hashlib.sha256(f"{purpose}\0{self.id}\0{self.version}".encode()).digest()

    def uuid(self, purpose):
        return str(uuid.UUID(bytes=self.digest(purpose)[:16], version=4))
