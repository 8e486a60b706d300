"""Write files and folders. All output goes through this module.

Everything is written next to its destination, flushed to disk, and renamed. If the process is killed or the disk is
full at any moment, either the old or the new version is there, complete. In an existing folder, new files first form
one folder (:data:`READY`). From then on they are valid, and the next reader or writer completes the move
(:func:`settle`). Only files that a manifest lists as ours are replaced. All others stay.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from ..errors import InputError
from .manifest import MANIFEST_FILE, Manifest, sha256
from .settling import READY, bring_to_disk, is_file_of, manifest_at, settle

ASIDE = ".matterhorn-"
"""How names begin of what is being written: ``.matterhorn-<host>-<process>-…``."""

MARK = "matterhorn-snn"
"""What files that people may keep beside theirs say of who wrote them: our name on the package index."""

_LOOK, _FORMAT_FIRST = 4096, re.compile(rb'\s*\{\s*"format":\s*\d')


def put_file(path: Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Write a file, whole or not at all; a link is followed. ``content``: what is in it (a text as UTF-8), or what
    writes it to the path that it is given.

    Raises:
        InputError: something lies there that is no regular file, or no file can be made there.
    """
    _check_kind(path, stat.S_ISREG, "a regular file", "name a file")
    place = path.resolve()
    with _aside(place.parent, place.suffix) as fresh:
        with _possible(path):
            fresh.touch()
        if callable(content):
            content(fresh)
        else:
            fresh.write_bytes(content.encode() if isinstance(content, str) else content)
        if place.exists():
            shutil.copymode(place, fresh)
        bring_to_disk(fresh)
        os.replace(fresh, place)
    bring_to_disk(place.parent)


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
        InputError: a file of the same name is not ours, the folder holds another kind, or no folder can be made there.
    """
    _check_kind(folder, stat.S_ISDIR, "a folder", "give a folder's name")
    settle(folder)
    is_new = not folder.is_dir()
    with _aside(folder.parent if is_new else folder) as fresh:
        with _possible(folder):
            fresh.mkdir()
        write(fresh)
        earlier = _of_kind(folder, kind)
        written = {path.name: sha256(path) for path in fresh.iterdir() if path.name != MANIFEST_FILE}
        for name in written.keys() - earlier.files.keys():
            if os.path.lexists(folder / name) and not is_file_of(folder / name, written[name]):
                cure = "move it away, or name another folder"
                raise InputError("was not written by matterhorn", file=folder / name, field="output", cure=cure)
        kept = earlier if keep else Manifest()
        manifest = Manifest(kind, {**kept.files, **written}, {**kept.about, **about})
        (fresh / MANIFEST_FILE).write_bytes(manifest.text().encode())
        for path in (*fresh.iterdir(), fresh):
            bring_to_disk(path)
        os.rename(fresh, folder if is_new else folder / READY)
    bring_to_disk(folder.parent if is_new else folder)
    settle(folder)


def check_file(
    path: Path, field: str, *sources: Path | None, ends: tuple[str, ...] = (), makes_folder: bool = False
) -> None:
    """Whether a file can be put in a place, before any work.

    Args:
        field: the option that names it. sources: what is read meanwhile. ends: of its name, one of these.
        makes_folder: its folder need not be there.

    Raises:
        InputError: its folder is missing or cannot be written to; it is no regular file, a part of a folder with a
            manifest, one of the sources, or there already and not written by matterhorn; its name ends otherwise.
    """
    if ends and not (path.name.lower().endswith(ends) and path.resolve().name.lower().endswith(ends)):
        raise InputError("unknown kind of file", file=path, field=field, cure=f"let it end in {' or '.join(ends)}")
    _check_kind(path, stat.S_ISREG, "a regular file", "name a file", field)
    folder = path.resolve().parent
    if not folder.is_dir() and not makes_folder:
        raise InputError("no such folder", file=path, field=field, cure="name a file in a folder that exists")
    _check_writable(folder, field)
    if any(source is not None and source.resolve() == path.resolve() for source in sources):
        raise InputError("is read too", file=path, field=field, cure="name another file")
    if path.name in {*manifest_at(folder).files, MANIFEST_FILE}:
        raise InputError("is part of what the folder holds", file=path, field=field, cure="name another file")
    if path.exists() and not _bears_our_mark(path):
        cure = "move it away, or name another file"
        raise InputError("was not written by matterhorn", file=path, field=field, cure=cure)


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
            if path.name == MANIFEST_FILE or path.name.startswith(ASIDE) or is_file_of(path, ours.get(path.name)):
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


def _of_kind(folder: Path, kind: str) -> Manifest:
    """The manifest of a folder that may be replaced."""
    found = manifest_at(folder)
    if found.kind not in ("", kind):
        cure = "name another folder"
        raise InputError(f"of kind {found.kind!r}, not {kind!r}", file=folder, field="output", cure=cure)
    return found


def _bears_our_mark(path: Path) -> bool:
    """Whether a file says near its beginning or end that it is ours, or is empty: has our :data:`MARK`, or is a JSON
    document with the number of its format first."""
    with path.open("rb") as file:
        head = file.read(_LOOK)
        file.seek(max(0, path.stat().st_size - _LOOK))
        tail = file.read(_LOOK)
    if head.startswith(b"\x1f\x8b"):
        with suppress(zlib.error):
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _LOOK)
    return not head or MARK.encode() in head + tail or _FORMAT_FIRST.match(head) is not None


@contextmanager
def _aside(place: Path, suffix: str = "") -> Iterator[Path]:
    """A new path beside a place, gone afterwards; what killed processes left of theirs goes too."""
    with _possible(place):
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


@contextmanager
def _possible(place: Path) -> Iterator[None]:
    """Whether files can be made in a place: that the system says otherwise is the user's to mend."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        cure = "name another place"
        raise InputError(f"cannot be made ({error.strerror})", file=place, field="output", cure=cure) from error


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
