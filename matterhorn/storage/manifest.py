"""Manifests: which files of a folder this package wrote, and their checksums at that time.

``manifest.json`` has the ``kind`` of the folder and the SHA-256 of every file (``files``). ``about`` has other hashes;
for a program these are its own hash, that of what its tokenizer does, and that of shared embeddings. ``seal`` is the
SHA-256 of all this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..reading import LARGEST_ARRAYS, parse_json, read_bytes

MANIFEST_FILE = "manifest.json"

ASIDE = ".matterhorn-"
"""Beginning of the names of files that are being written or moved. No file of a manifest has such a name."""

FORMAT = 1
"""Version of manifests."""


@dataclass(frozen=True)
class Manifest:
    """Contents of a manifest. ``kind`` is e.g. "program" or "network"; ``files`` has the hash of each file by name."""

    kind: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The exact text of the manifest file."""
        files, about = (dict(sorted(part.items())) for part in (self.files, self.about))
        plain = {"format": FORMAT, "kind": self.kind, "files": files, "about": about}
        seal = hashlib.sha256(json.dumps(plain).encode()).hexdigest()
        return json.dumps(plain | {"seal": seal}, indent=1) + "\n"

    def sum_of(self, folder: Path, name: str) -> str:
        """Return the SHA-256 that a file of the folder must have.

        Raises:
            InputError: the file is not in the manifest.
        """
        if name not in self.files:
            cure = "delete it, or write the folder again"
            raise InputError(f"not in {MANIFEST_FILE}", file=folder / name, field="files", cure=cure)
        return self.files[name]

    def read(self, folder: Path, name: str) -> bytes:
        """Read a file of the folder.

        Raises:
            InputError: it is not in the manifest, or is missing, truncated or altered.
        """
        return checked(folder / name, self.sum_of(folder, name))


def checked(path: Path, expected: str) -> bytes:
    """Read a file and check its SHA-256.

    Raises:
        InputError: it is missing, or its SHA-256 differs.
    """
    if not path.is_file():
        raise InputError("missing", file=path, cure="copy the whole folder")
    content = read_bytes(path, most=LARGEST_ARRAYS)
    if hashlib.sha256(content).hexdigest() != expected:
        cure = "restore the file; it was cut or altered"
        raise InputError(f"checksum differs from {MANIFEST_FILE}", file=path, field="sha256", cure=cure)
    return content


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of a folder. None: there is none.

    Raises:
        InputError: the manifest was altered, or lists something that cannot be a file of the folder.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return None
    content = read_bytes(path)
    try:
        plain = parse_json(content.decode(), path)
        found = Manifest(plain["kind"], plain["files"], plain["about"])
        intact = content == found.text().encode()
    except (ValueError, TypeError, KeyError, AttributeError):
        intact = False
    if not intact:
        cure = "restore the file; it was cut, altered, or written by another version or program"
        raise InputError("not as it was written", file=path, field="seal", cure=cure)
    if strange := [name for name in found.files if not is_plain(name)]:
        cure = "do not use this folder; it was made to reach files outside it"
        raise InputError(f"{strange[0]!r} is not a file of the folder", file=path, field="files", cure=cure)
    return found


def is_plain(name: str) -> bool:
    """Whether a name can only be that of a file in the folder itself: one component, not the manifest's, and none of
    the names that are reserved for writing.
    """
    is_component = name not in ("", ".", "..") and not set(name) & set("/\\:\0")
    return is_component and name.casefold() != MANIFEST_FILE and not name.casefold().startswith(ASIDE)


def manifest_of(folder: Path, kind: str) -> Manifest:
    """Read the manifest of a folder that must have one.

    Raises:
        InputError: there is none of this kind, or it was altered.
    """
    found = read_manifest(folder)
    if found is None or found.kind != kind:
        cure = f"restore the file, or copy the {kind} again from its source"
        raise InputError("missing", file=folder / MANIFEST_FILE, cure=cure)
    return found


def sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
