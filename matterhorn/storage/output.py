"""Output: the one way in which files and folders are put in place.

All is written beside its place, brought to the disk, and put there by renaming: killed or out of space at any moment,
the old stands there or the new, whole. In a folder that is there already, new files first become one folder
(:data:`READY`); from then on they count, and whoever reads or writes next finishes what was begun (:func:`settle`).
Only files that a manifest names as ours are replaced; all others stay where they are.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from ..errors import InputError
from .manifest import MANIFEST_FILE, Manifest, read_manifest, sha256

ASIDE = ".matterhorn-"
"""How names begin of what is being written: ``.matterhorn-<host>-<process>-…``."""

READY = ".matterhorn-ready"
"""In a folder: new files, complete, on their way to their places."""


def put_file(path: Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Write a file, whole or not at all; a link is followed. ``content``: what is in it (a text as UTF-8), or what
    writes it to the path that it is given.

    Raises:
        InputError: something lies there that is no regular file.
    """
    _check_kind(path, stat.S_ISREG, "a regular file", "name a file")
    place = path.resolve()
    with _aside(place.parent, place.suffix) as fresh:
        if callable(content):
            content(fresh)
        else:
            fresh.write_bytes(content.encode() if isinstance(content, str) else content)
        if place.exists():
            shutil.copymode(place, fresh)
        _bring_to_disk(fresh)
        os.replace(fresh, place)
    _bring_to_disk(place.parent)


def put_folder(
    folder: Path,
    kind: str,
    write: Callable[[Path], object],
    about: Mapping[str, str] = MappingProxyType({}),
    *,
    keep: bool = False,
) -> None:
    """Write files into a folder, all or none, with a manifest of them. ``write`` fills the folder that it is given.

    Files that were ours and are not written again go; other files stay.

    Args:
        kind: of what is written; of the same kind is what it may replace. about: what else the manifest ties the folder
            to. keep: files that were ours stay, and so does what they were tied to.

    Raises:
        InputError: a file of the same name is not ours, the folder holds another kind, or there is no folder.
    """
    _check_kind(folder, stat.S_ISDIR, "a folder", "give a folder's name")
    settle(folder)
    is_new = not folder.is_dir()
    with _aside(folder.parent if is_new else folder) as fresh:
        fresh.mkdir()
        write(fresh)
        earlier = _of_kind(folder, kind)
        written = {path.name: sha256(path) for path in fresh.iterdir() if path.name != MANIFEST_FILE}
        for name in written.keys() - earlier.files.keys():
            if os.path.lexists(folder / name) and not _is(folder / name, written[name]):
                cure = "move it away, or name another folder"
                raise InputError("was not written by matterhorn", file=folder / name, field="output", cure=cure)
        kept = earlier if keep else Manifest()
        manifest = Manifest(kind, {**kept.files, **written}, {**kept.about, **about})
        (fresh / MANIFEST_FILE).write_bytes(manifest.text().encode())
        for path in (*fresh.iterdir(), fresh):
            _bring_to_disk(path)
        os.rename(fresh, folder if is_new else folder / READY)
    _bring_to_disk(folder.parent if is_new else folder)
    settle(folder)


def settle(folder: Path) -> None:
    """Finish what a process had begun to put in place when it was killed."""
    fresh = folder / READY
    if not fresh.is_dir():
        return
    with suppress(FileNotFoundError):  # another process may be at it too
        if (fresh / MANIFEST_FILE).is_file():  # it goes last: without it nothing is left to do
            earlier, files = _manifest(folder).files, _manifest(fresh).files
            for path in sorted(fresh.iterdir()):
                if path.name != MANIFEST_FILE:
                    os.replace(path, folder / path.name)
            for name in earlier.keys() - files.keys():
                if _is(folder / name, earlier[name]):
                    (folder / name).unlink()
            os.replace(fresh / MANIFEST_FILE, folder / MANIFEST_FILE)
        _bring_to_disk(folder)
        fresh.rmdir()


def check_file(
    path: Path, field: str, *sources: Path | None, ends: tuple[str, ...] = (), makes_folder: bool = False
) -> None:
    """Whether a file can be put in a place, before any work.

    Args:
        field: the option that names it. sources: what is read meanwhile. ends: of its name, one of these.
        makes_folder: its folder need not be there.

    Raises:
        InputError: its folder is missing or cannot be written to; it is no regular file, a part of a folder with a
            manifest, or one of the sources; its name ends otherwise.
    """
    if ends and not path.name.lower().endswith(ends):
        raise InputError("unknown kind of file", file=path, field=field, cure=f"let it end in {' or '.join(ends)}")
    _check_kind(path, stat.S_ISREG, "a regular file", "name a file", field)
    folder = path.resolve().parent
    if not folder.is_dir() and not makes_folder:
        raise InputError("no such folder", file=path, field=field, cure="name a file in a folder that exists")
    _check_writable(folder, field)
    if any(source is not None and source.resolve() == path.resolve() for source in sources):
        raise InputError("is read too", file=path, field=field, cure="name another file")
    if path.name in {*_manifest(folder).files, MANIFEST_FILE}:
        raise InputError("is part of what the folder holds", file=path, field=field, cure="name another file")


def check_folder(
    folder: Path, kind: str, *sources: Path | None, overwrite: bool = False, field: str = "output"
) -> None:
    """Whether a folder can be put in a place, before any work.

    Args:
        kind: of what is to be written. sources: what is read meanwhile. overwrite: other files may lie there, and files
            of ours that were edited.

    Raises:
        InputError: it is no folder, a mount point, one of the sources, in one of them or around one, or it holds
            another kind; without ``overwrite`` it holds files that are not ours.
    """
    _check_kind(folder, stat.S_ISDIR, "a folder", "give a folder's name", field)
    if os.path.ismount(folder):
        raise InputError("a mount point", file=folder, field=field, cure="name a folder in it")
    place = folder.resolve()
    for source in (source.resolve() for source in sources if source is not None):
        if place == source or place in source.parents or source in place.parents:
            cure = "name a folder apart from it"
            raise InputError(f"overlaps with {source}, which is read", file=folder, field=field, cure=cure)
    _check_writable(place, field)
    settle(folder)
    ours = _of_kind(folder, kind).files
    if folder.is_dir() and not overwrite:
        for path in sorted(folder.iterdir()):
            if path.name == MANIFEST_FILE or path.name.startswith(ASIDE) or _is(path, ours.get(path.name)):
                continue
            problem = "was edited" if path.name in ours else "was not written by matterhorn"
            cure = "name a new folder, or give --overwrite, which leaves files of others alone"
            raise InputError(problem, file=path, field=field, cure=cure)


def _check_writable(folder: Path, field: str) -> None:
    """Whether files can be made in a folder, or the folder itself can."""
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError("cannot be written to", file=above, field=field, cure="name another folder")


def _check_kind(path: Path, wanted: Callable[[int], bool], name: str, cure: str, field: str | None = None) -> None:
    """Refuse to put something in the place of what is of another kind, or where a link leads nowhere."""
    try:
        kind = os.lstat(path)
        kind = path.stat()
    except FileNotFoundError:
        if os.path.islink(path):
            raise InputError("a link to nothing", file=path, field=field, cure=cure) from None
        return
    except NotADirectoryError:
        raise InputError("lies in what is no folder", file=path, field=field, cure=cure) from None
    except ValueError as error:
        raise InputError(f"no possible name ({error})", file=path, field=field, cure=cure) from None
    if not wanted(kind.st_mode):
        raise InputError(f"not {name}", file=path, field=field, cure=cure)


def _manifest(folder: Path) -> Manifest:
    """The manifest of a folder; an empty one where there is none that holds."""
    try:
        return read_manifest(folder) or Manifest()
    except InputError:
        return Manifest()


def _of_kind(folder: Path, kind: str) -> Manifest:
    """The manifest of a folder that may be replaced."""
    found = _manifest(folder)
    if found.kind not in ("", kind):
        cure = "name another folder"
        raise InputError(f"of kind {found.kind!r}, not {kind!r}", file=folder, field="output", cure=cure)
    return found


def _is(path: Path, content: str | None) -> bool:
    """Whether a path is a file with this SHA-256."""
    return content is not None and path.is_file() and sha256(path) == content


@contextmanager
def _aside(place: Path, suffix: str = "") -> Iterator[Path]:
    """A new path beside a place, gone afterwards; what killed processes left of theirs goes too."""
    place.mkdir(parents=True, exist_ok=True)
    own = f"{ASIDE}{socket.gethostname()}-"
    for left in place.glob(f"{own}*"):
        process = left.name.removeprefix(own).split("-")[0]
        if process.isdigit() and not _is_alive(int(process)):
            _remove(left)
    path = place / f"{own}{os.getpid()}-{secrets.token_hex(4)}{suffix}"
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # there signal 0 is none
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _bring_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name != "posix":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
