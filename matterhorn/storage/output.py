"""Write files and folders. All output goes through this module.

Everything is written next to its destination, flushed to disk, and renamed. Even if the process is killed or the disk
is full, either the old or the new version is there, complete. New files for an existing folder first form one folder in
it (:data:`READY`). From then on they are valid, and if moving them to their places is interrupted, the next reader or
writer completes the move (:func:`settle`). Only files that a manifest lists as ours are replaced. All others stay.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import MappingProxyType

from ..errors import InputError
from .aside import aside, possible
from .locks import locked
from .manifest import ASIDE, MANIFEST_FILE, Manifest, sha256
from .settling import READY, bring_to_disk, complete_move, in_the_way, is_file_of, manifest_at, settle

MARK = "matterhorn-snn"
"""Text by which files without a manifest are recognized as ours: our name on the package index."""

_LOOK = 4096
"""Number of bytes at the beginning and the end of a file in which :data:`MARK` is searched."""

_FORMAT_FIRST = re.compile(rb'\s*\{\s*"format":\s*\d')
"""Beginning of our JSON documents."""


def put_file(path: Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Write a file, completely or not at all. A link is followed.

    ``content``: the content (text is encoded as UTF-8), or a function that writes it to a given path.

    Raises:
        InputError: something other than a regular file is there, or no file can be created there.
    """
    _check_kind(path, stat.S_ISREG, "a regular file", "name a file")
    place = path.resolve()
    with aside(place.parent, path, suffix=place.suffix) as fresh:
        if callable(content):
            content(fresh)
        else:
            fresh.write_bytes(content.encode() if isinstance(content, str) else content)
        if place.exists():
            shutil.copymode(place, fresh)
        bring_to_disk(fresh)
        os.replace(fresh, place)
    bring_to_disk(place.parent)


def put_first(path: Path, content: bytes) -> None:
    """Write a file unless it exists. If several processes do so at once, one of them writes it.

    Raises:
        InputError: as in :func:`put_file`.
    """
    place = path.resolve().parent
    with possible(place):
        place.mkdir(parents=True, exist_ok=True)
    with _turns(place):
        if not path.exists():
            put_file(path, content)


def put_folder(
    folder: Path,
    kind: str,
    write: Callable[[Path], object],
    about: Mapping[str, str] = MappingProxyType({}),
    *,
    keep: bool = False,
) -> None:
    """Write files into a folder, all or none, with a manifest. ``write`` fills the folder that it is given.

    Files of ours that are not written again are removed. Other files stay.

    Args:
        folder: the destination.
        kind: kind of the content. Only content of the same kind is replaced.
        about: other values for the manifest.
        keep: whether files that were ours stay, with their entries in the manifest.

    Raises:
        InputError: a file of the same name is not ours, ``manifest.json`` included; the folder holds another kind; no
            folder can be created there; or another process has written it in the meantime.
    """
    _check_kind(folder, stat.S_ISDIR, "a folder", "give a folder's name")
    folder = without_dots(folder)
    settle(folder)
    _of_kind(folder, kind)
    is_new = not folder.is_dir()
    with aside(folder.parent if is_new else folder, folder, is_folder=True) as fresh:
        write(fresh)
        written = {path.name: sha256(path) for path in fresh.iterdir() if path.name != MANIFEST_FILE}
        with nullcontext() if is_new else _turns(folder):
            complete_move(folder)  # of another process that was killed in the meantime
            earlier = _of_kind(folder, kind)
            if (name := in_the_way(folder, sorted(written), written, earlier)) is not None:
                raise _foreign(folder / name, "output", "move it away, or name another folder")
            kept = earlier if keep else Manifest()
            manifest = Manifest(kind, {**kept.files, **written}, {**kept.about, **about})
            (fresh / MANIFEST_FILE).write_bytes(manifest.text().encode())
            for path in (*fresh.iterdir(), fresh):
                bring_to_disk(path)
            try:
                os.rename(fresh, folder if is_new else folder / READY)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                problem, cure = "another process has written it in the meantime", "look at it, and try again"
                raise InputError(problem, file=folder, field="output", cure=cure) from error
            bring_to_disk(folder.parent if is_new else folder)
            complete_move(folder)


def _turns(folder: Path) -> AbstractContextManager[None]:
    """Context in which processes that write to a folder take turns. A temporary folder (:func:`.aside.aside`) has only
    one writer, which has locked it already.
    """
    return nullcontext() if folder.name.startswith(ASIDE) else locked(folder)


def without_dots(folder: Path) -> Path:
    """Return a folder's path without ``..``, and ending in its name, e.g. for ``.``."""
    return folder.resolve() if not folder.name or ".." in folder.parts else folder


def check_file(
    path: Path, field: str, *sources: Path | None, ends: tuple[str, ...] = (), makes_folder: bool = False
) -> None:
    """Check that a file can be written to a place, before any work.

    Args:
        path: the file.
        field: option that names it.
        sources: files that will be read in the meantime.
        ends: permitted endings of its name.
        makes_folder: whether its folder will be created if needed.

    Raises:
        InputError: its folder is missing or not writable; it is not a regular file, belongs to a folder with a
            manifest, is one of the sources, or exists and was not written by matterhorn; or its name has another
            ending.
    """
    if ends and not (path.name.lower().endswith(ends) and path.resolve().name.lower().endswith(ends)):
        raise InputError("unknown kind of file", file=path, field=field, cure=f"let it end in {' or '.join(ends)}")
    _check_kind(path, stat.S_ISREG, "a regular file", "name a file", field)
    folder = path.resolve().parent
    if not folder.is_dir() and not makes_folder:
        raise InputError("no such folder", file=path, field=field, cure="name a file in a folder that exists")
    _check_writable(folder, field)
    if any(source is not None and source.resolve() == path.resolve() for source in sources):
        raise InputError("is an input, too", file=path, field=field, cure="name another file")
    if path.name in {*manifest_at(folder).files, MANIFEST_FILE}:
        raise InputError("is part of what the folder holds", file=path, field=field, cure="name another file")
    if path.exists() and not _bears_our_mark(path):
        raise _foreign(path, field, "move it away, or name another file")


def check_folder(
    folder: Path, kind: str, *sources: Path | None, overwrite: bool = False, field: str = "output"
) -> None:
    """Check that a folder can be written to a place, before any work.

    Args:
        folder: the folder.
        kind: kind of the content.
        sources: paths that will be read in the meantime.
        overwrite: whether it may contain other files, and files of ours that were edited.

    Raises:
        InputError: it is not a folder, is a mount point, overlaps with one of the sources, or contains another kind or
            a ``manifest.json`` that is not ours; or, without ``overwrite``, it contains files that are not ours.
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
    """Check that files can be created in a folder, or that the folder can be created."""
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError("cannot be written to", file=above, field=field, cure="name another folder")


def _check_kind(path: Path, wanted: Callable[[int], bool], name: str, cure: str, field: str | None = None) -> None:
    """Refuse to replace something of another kind, or to write to a dangling link."""
    try:
        kind = os.lstat(path)
        kind = path.stat()
    except FileNotFoundError:
        if os.path.islink(path):
            raise InputError("a link to nothing", file=path, field=field, cure=cure) from None
        return
    except NotADirectoryError:
        raise InputError("its parent is not a folder", file=path, field=field, cure=cure) from None
    except ValueError as error:
        raise InputError(f"not a valid path ({error})", file=path, field=field, cure=cure) from None
    if not wanted(kind.st_mode):
        raise InputError(f"not {name}", file=path, field=field, cure=cure)


def _of_kind(folder: Path, kind: str) -> Manifest:
    """Return the manifest of a folder that may be replaced; an empty one if there is none."""
    found, path = manifest_at(folder), folder / MANIFEST_FILE
    if not found.kind and os.path.lexists(path):
        raise _foreign(path, "output", "move it away, or name another folder")
    if found.kind not in ("", kind):
        cure = "name another folder"
        raise InputError(f"of kind {found.kind!r}, not {kind!r}", file=folder, field="output", cure=cure)
    return found


def _foreign(path: Path, field: str, cure: str) -> InputError:
    return InputError("was not written by matterhorn", file=path, field=field, cure=cure)


def _bears_our_mark(path: Path) -> bool:
    """Whether a file is ours or empty.

    It is ours if our :data:`MARK` is near its beginning or end, or if it is a JSON document that starts with its format
    number.
    """
    with path.open("rb") as file:
        head = file.read(_LOOK)
        file.seek(max(0, path.stat().st_size - _LOOK))
        tail = file.read(_LOOK)
    if head.startswith(b"\x1f\x8b"):
        with suppress(zlib.error):
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _LOOK)
    return not head or MARK.encode() in head + tail or _FORMAT_FIRST.match(head) is not None
