"""Writing to disk: files and folders that appear complete or not at all, manifests that seal them, and locks."""

from __future__ import annotations

from .claim import claim, finish, held, refuse_another
from .manifest import MANIFEST_FILE, Manifest, is_plain, manifest_of, read_manifest, sha256
from .output import MARK, check_file, check_folder, put_file, put_first, put_folder, without_dots
from .settling import settle, unmixed

__all__ = [
    "MANIFEST_FILE",
    "MARK",
    "Manifest",
    "check_file",
    "check_folder",
    "claim",
    "finish",
    "held",
    "is_plain",
    "manifest_of",
    "put_file",
    "put_first",
    "put_folder",
    "read_manifest",
    "refuse_another",
    "settle",
    "sha256",
    "unmixed",
    "without_dots",
]
