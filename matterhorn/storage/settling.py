"""Complete an interrupted move: files that are complete but have not all reached their places in a folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from .manifest import MANIFEST_FILE, Manifest, read_manifest, sha256

READY = ".matterhorn-ready"
"""Name of the folder, inside a destination, for new files that are complete and are being moved to their places."""


def settle(folder: Path) -> None:
    """Complete a move that was interrupted when a process was killed.

    Raises:
        InputError: something is there that was not written in this way. Nothing is changed.
    """
    fresh = folder / READY
    if not fresh.is_dir():
        return
    with suppress(FileNotFoundError):  # another process may be doing the same
        if any(fresh.iterdir()):  # the manifest is moved last: without files nothing is left to do
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
    """Return the manifest of a folder that is being moved. Each of its files must match it.

    Raises:
        FileNotFoundError: another process has moved a file in the meantime.
        InputError: there is no valid manifest, or a file is not in it or differs.
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
    """Return the manifest of a folder; an empty one if there is no valid one."""
    try:
        return read_manifest(folder) or Manifest()
    except InputError:
        return Manifest()


def is_file_of(path: Path, content: str | None) -> bool:
    """Whether a path is a file with this SHA-256."""
    return content is not None and path.is_file() and sha256(path) == content


def bring_to_disk(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    if path.is_dir() and os.name != "posix":  # folders cannot be opened on other systems
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
