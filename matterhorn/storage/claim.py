"""Claim a run's folder. It belongs to one run, and to one process at a time."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import InputError
from ..reading import read_mapping
from .manifest import ASIDE
from .output import put_file

ABOUT_FILE, LOCK_FILE = "about.json", ".lock"

FORMAT, KIND = 1, "run"
"""Version and kind of :data:`ABOUT_FILE`, by which it is told from files of this name of other programs."""

ENDING = "-holder"
"""Ending of the file next to a lock that says which process holds it."""


@contextmanager
def claim(
    folder: Path,
    about: Mapping[str, Any],
    parts: Sequence[str],
    *,
    restart: bool = False,
    cure: str = "give --restart, or another output",
) -> Iterator[None]:
    """Context in which this process holds a run's folder. The folder is created if needed.

    Args:
        folder: the folder.
        about: everything that the result depends on, as plain values.
        parts: names or patterns of what the run writes there.
        restart: remove what an earlier run wrote.
        cure: what to suggest instead of continuing another run.

    Raises:
        InputError: another process holds the folder; or it is the folder of another run (the message says what
            differs) or of no run.
    """
    plain = json.loads(json.dumps(about))
    _check(folder, plain, restart, cure)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / LOCK_FILE, folder):
        _check(folder, plain, restart, cure)  # again, now that no other process can change it
        if restart:
            _remove(folder, parts)
        document = {"format": FORMAT, "kind": KIND, "about": plain}
        put_file(folder / ABOUT_FILE, json.dumps(document, indent=1) + "\n")
        yield


def finish(folder: Path, parts: Sequence[str]) -> None:
    """Remove files of a run that are no longer needed. Other files stay."""
    _remove(folder, (*parts, ABOUT_FILE, LOCK_FILE))
    with suppress(OSError):  # not empty
        folder.rmdir()


@contextmanager
def held(lock: Path, what: Path) -> Iterator[None]:
    """Context in which a lock is held. ``what`` is the name of the locked object in errors.

    Raises:
        InputError: another process holds the lock (the message says which), or something else is in its place.
    """
    for path in (lock, lock.with_name(lock.name + ENDING)):
        if os.path.lexists(path) and not (path.is_file() and not path.is_symlink() and _is_lock(path)):
            raise InputError("not a lock file", file=path, cure="move it away, or give another folder")
    own, holder = FileLock(lock), lock.with_name(lock.name + ENDING)
    try:
        own.acquire(timeout=0)
    except Timeout:
        who = holder.read_text(encoding="utf-8", errors="replace").strip() if holder.is_file() else "another process"
        problem, cure = f"held by {who}", "wait until it has ended, or give another folder"
        raise InputError(problem, file=what, cure=cure) from None
    try:
        since = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        put_file(holder, f"process {os.getpid()} on {socket.gethostname()} since {since}\n")
        yield
    finally:
        holder.unlink(missing_ok=True)
        own.release()


def _check(folder: Path, plain: dict[str, Any], restart: bool, cure: str) -> None:
    """Check that a folder is free, or belongs to the same run."""
    path = folder / ABOUT_FILE
    if folder.exists() and not folder.is_dir():
        raise InputError("not a folder", file=folder, field="output", cure="give a folder's name")
    document = read_mapping(path, "give another folder") if path.is_file() else {}
    if (document.get("format"), document.get("kind")) != (FORMAT, KIND):
        ours = (LOCK_FILE, ASIDE)
        if strange := [one.name for one in sorted(folder.glob("*")) if not one.name.startswith(ours)]:
            problem = f"not the folder of a run: it holds {strange[0]}"
            raise InputError(problem, file=folder, field="output", cure="give another folder")
        return
    if restart:
        return
    refuse_another(folder, document.get("about", {}), plain, cure)


def refuse_another(folder: Path, before: Mapping[str, Any], about: Mapping[str, Any], cure: str) -> None:
    """Check that the run that a folder belongs to is this one.

    Raises:
        InputError: they differ. The message says in what.
    """
    if found := list(_differences(before, json.loads(json.dumps(about)))):
        names = [name for name, _, _ in found]
        shown = [f"{name} ({was!r}, now {now!r})" if len(f"{was!r}{now!r}") < 60 else name for name, was, now in found]
        problem = f"a run with another {', '.join(shown[:5])}"
        raise InputError(problem, file=folder, field=names[0], cure=cure)


def _is_lock(path: Path) -> bool:
    """Whether a file is a lock (which is empty), or names the process that holds one."""
    return path.stat().st_size == 0 or (path.name.endswith(ENDING) and path.read_bytes().startswith(b"process "))


def _differences(was: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield where two plain values differ, with both values."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*was, *now]):
            yield from _differences(was.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for number, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from _differences(one, other, f"{name}.{number}")
    elif was != now:
        yield name, was, now


def _remove(folder: Path, parts: Sequence[str]) -> None:
    for path in (found for name in parts for found in folder.glob(name)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
