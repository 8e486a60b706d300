"""Places next to a destination for files and folders that are being written."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from .locks import is_locked, locked
from .manifest import ASIDE


@contextmanager
def aside(place: Path, destination: Path, *, suffix: str = "", is_folder: bool = False) -> Iterator[Path]:
    """Context with a new temporary file or folder, ``.matterhorn-<host>-<process>-…``, which is removed at the end.

    It is locked while in use. Those that killed processes have left are not locked, and are removed too.

    Args:
        place: folder to make it in, which is created if needed.
        destination: path that errors name.
        suffix: ending of its name.
        is_folder: whether to make a folder.

    Raises:
        InputError: it cannot be made.
    """
    with possible(place):
        place.mkdir(parents=True, exist_ok=True)
    own = f"{ASIDE}{socket.gethostname()}-"
    for left in place.glob(f"{own}*"):
        process = left.name.removeprefix(own).split("-")[0]
        if process.isdecimal() and not _is_alive(int(process)) and not is_locked(left):
            _remove(left)
    path = place / f"{own}{os.getpid()}-{secrets.token_hex(4)}{suffix}"
    try:
        with possible(destination):
            path.mkdir() if is_folder else path.touch()
        with locked(path):
            yield path
    finally:
        _remove(path)


@contextmanager
def possible(place: Path) -> Iterator[None]:
    """Context in which a missing folder or permission raises an InputError, as the user can remedy it."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        cure = "name another place"
        raise InputError(f"cannot be created ({error.strerror})", file=place, field="output", cure=cure) from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Whether a process with this number may be alive. (Containers have numbers of their own, so this may be wrong.)"""
    if os.name != "posix":  # signal 0 has another meaning there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # a process of another user, or a number out of range
        return True
    return True
