"""Complete an interrupted move: files that are complete but have not all reached their places in a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..errors import InputError
from .locks import locked
from .manifest import ASIDE, MANIFEST_FILE, Manifest, read_manifest, sha256

READY = f"{ASIDE}ready"
"""Name of the folder, inside a destination, for new files that are complete and are being moved to their places."""


def settle(folder: Path) -> None:
    """Complete a move that was interrupted when a process was killed.

    Raises:
        InputError: something is there that was not written in this way. Nothing is changed.
    """
    if os.path.lexists(folder / READY):
        try:
            with suppress(FileNotFoundError), locked(folder):  # another process may have removed the folder
                complete_move(folder)
        except OSError as error:
            raise _unready(folder / READY, f"cannot be moved to its place ({error.strerror})") from error


TRIES = 20
"""How often a folder is read that is being replaced again and again."""

Found = TypeVar("Found")


def unmixed(folder: Path, read: Callable[[], Found]) -> Found:
    """Read several files of a folder that another process may be replacing: either all old ones or all new ones.

    ``read`` must check every file by one manifest. If it fails while the folder is being replaced, it is called again.

    Raises:
        InputError: from ``read``, or as in :func:`settle`.
    """
    for _ in range(TRIES):
        settle(folder)
        before = _state(folder)
        try:
            return read()
        except (InputError, OSError):
            if before == _state(folder) and not os.path.lexists(folder / READY):
                raise
    return read()


def _state(folder: Path) -> tuple[int, int] | None:
    """Return what identifies the present version of a folder's manifest. None: there is none."""
    try:
        found = os.stat(folder / MANIFEST_FILE)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def complete_move(folder: Path) -> None:
    """Do what :func:`settle` does, in a folder that is locked already."""
    fresh = folder / READY
    with suppress(FileNotFoundError):  # where folders cannot be locked, another process may be doing the same
        if not stat.S_ISDIR(os.lstat(fresh).st_mode):
            raise _unready(fresh, "not a folder")
        if any(fresh.iterdir()):  # the manifest is moved last: without files nothing is left to do
            ready, earlier = _complete(fresh), manifest_at(folder)
            if earlier.kind not in ("", ready.kind):
                raise _unready(fresh, f"of kind {ready.kind!r} in a folder of kind {earlier.kind!r}")
            names = sorted(path.name for path in fresh.iterdir() if path.name != MANIFEST_FILE)
            if (name := in_the_way(folder, names, ready.files, earlier)) is not None:
                raise _unready(fresh, f"{name} beside it was not written by matterhorn")
            for name in names:
                os.replace(fresh / name, folder / name)
            for name in earlier.files.keys() - ready.files.keys():
                if is_file_of(folder / name, earlier.files[name]) and _is_regular(folder / name):
                    (folder / name).unlink()
            os.replace(fresh / MANIFEST_FILE, folder / MANIFEST_FILE)
        bring_to_disk(folder)
        fresh.rmdir()


def in_the_way(folder: Path, names: Iterable[str], contents: Mapping[str, str], earlier: Manifest) -> str | None:
    """Return the name of something in a folder that files of these names must not replace. None: there is nothing.

    This is a folder, a manifest that is not ours, or a file that ``earlier`` does not list, unless it has the content
    of the new file (``contents``: SHA-256 by name).
    """
    if os.path.lexists(folder / MANIFEST_FILE) and not earlier.kind:
        return MANIFEST_FILE
    for name in names:
        place = folder / name
        if place.is_dir() or (
            os.path.lexists(place) and name not in earlier.files and not is_file_of(place, contents.get(name))
        ):
            return name
    return None


def _complete(fresh: Path) -> Manifest:
    """Return the manifest of a folder that is being moved. Each of its files must match it.

    Raises:
        FileNotFoundError: another process has moved a file in the meantime.
        InputError: there is no valid manifest, or a file is not in it or differs, or something is not a regular file.
    """
    paths = sorted(fresh.iterdir())
    for path in paths:
        if not _is_regular(path):
            raise _unready(fresh, f"{path.name} is not a regular file")
    try:
        found = read_manifest(fresh)
    except InputError as error:
        raise _unready(fresh, f"its {MANIFEST_FILE}: {error.problem}") from None
    paths = [path for path in paths if path.name != MANIFEST_FILE]
    if found is None:
        raise _unready(fresh, f"without a {MANIFEST_FILE}") if paths else FileNotFoundError(fresh)
    for path in paths:
        if sha256(path) != found.files.get(path.name):
            raise _unready(fresh, f"the checksum of {path.name} differs from its {MANIFEST_FILE}")
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


def _is_regular(path: Path) -> bool:
    """Whether a path is a regular file, and not a link to one.

    Raises:
        FileNotFoundError: nothing is there.
    """
    return stat.S_ISREG(os.lstat(path).st_mode)


def bring_to_disk(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    if path.is_dir() and os.name != "posix":  # folders cannot be opened on other systems
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
