"""Complete an interrupted move: files that are complete but have not all reached their places in a folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from .manifest import MANIFEST_FILE, Manifest, read_manifest, sha256

READY = ".matterhorn-ready"
"""In a folder: new files, complete, on their way to their places."""


def settle(folder: Path) -> None:
    """Finish what a process had begun to put in place when it was killed.

    Raises:
        InputError: something lies there that was not written so; nothing is touched.
    """
    fresh = folder / READY
    if not fresh.is_dir():
        return
    with suppress(FileNotFoundError):  # another process may be at it too
        if any(fresh.iterdir()):  # the manifest goes last: without files nothing is left to do
            ready, earlier = _complete(fresh), manifest_at(folder)
            if earlier.kind not in ("", ready.kind):
                raise _unready(fresh, f"of kind {ready.kind!r} in a folder of kind {earlier.kind!r}")
            for path in sorted(fresh.iterdir()):
                if path.name != MANIFEST_FILE:
                    os.replace(path, folder / path.name)
            for name in earlier.files.keys() - ready.files.keys():
                if is_file_of(folder / name, earlier.files[name]):
                    (folder / name).unlink()
            os.replace(fresh / MANIFEST_FILE, folder / MANIFEST_FILE)
        bring_to_disk(folder)
        fresh.rmdir()


def _complete(fresh: Path) -> Manifest:
    """The manifest of a folder on its way; each of its files must be as it says.

    Raises:
        FileNotFoundError: another process has moved a file since.
        InputError: there is none that holds, or a file is not in it or another.
    """
    try:
        found = read_manifest(fresh)
    except InputError as error:
        raise _unready(fresh, f"its {MANIFEST_FILE} is {error.problem}") from None
    paths = [path for path in sorted(fresh.iterdir()) if path.name != MANIFEST_FILE]
    if found is None:
        raise _unready(fresh, f"without a {MANIFEST_FILE}") if paths else FileNotFoundError(fresh)
    for path in paths:
        if (not path.is_file() and path.exists()) or sha256(path) != found.files.get(path.name):
            raise _unready(fresh, f"{path.name} is not as its {MANIFEST_FILE} says")
    return found


def _unready(fresh: Path, problem: str) -> InputError:
    cure = "move this folder away; the files beside it were not touched"
    return InputError(problem, file=fresh, cure=cure)


def manifest_at(folder: Path) -> Manifest:
    """The manifest of a folder; an empty one where there is none that holds."""
    try:
        return read_manifest(folder) or Manifest()
    except InputError:
        return Manifest()


def is_file_of(path: Path, content: str | None) -> bool:
    """Whether a path is a file with this SHA-256."""
    return content is not None and path.is_file() and sha256(path) == content


def bring_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name != "posix":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
