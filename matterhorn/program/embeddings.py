"""Embeddings of a program: their file, which several programs may share, and the rows that differ from it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..reading import Arrays
from ..storage import is_plain

MODEL_FILE, EMBEDDINGS_FILE, ROWS_FILE = "model.safetensors", "embeddings.safetensors", "own-rows.safetensors"

RESERVED = (MODEL_FILE, ROWS_FILE, "latents.safetensors")
"""Names of a program's other files, which the embeddings must not have."""


def place_of(name: str, folder: Path) -> tuple[str, Path]:
    """Decide where a program's embeddings are stored.

    Args:
        name: file, relative to the program's folder. An absolute path becomes a relative one, so that file and folder
            can be moved together.
        folder: the program's folder.

    Returns:
        The name as the program stores it, without a slash if the file is in the folder itself; and the file.

    Raises:
        InputError: it is the name of another file of a program, does not end in ``.safetensors``, is in a folder inside
            the program's, or is not a valid path.
    """
    cure = f"name it {EMBEDDINGS_FILE}"
    if set(name) & set("\\:\0"):
        raise InputError(f"{name!r} is not possible", field="embeddings", cure="write a relative path with /")
    try:
        place, own = (folder / name).parent.resolve() / Path(name).name, folder.resolve()
    except (ValueError, RuntimeError) as error:  # a null character; links in a circle
        problem, cure = f"not a valid path ({error})", "give a folder's name"
        raise InputError(problem, file=folder, field="output", cure=cure) from None
    if place.name.casefold() in RESERVED or not name.endswith(".safetensors") or not is_plain(place.name):
        raise InputError(f"{name!r} is not possible", field="embeddings", cure=cure)
    if place.parent == own:
        return place.name, place
    if own in place.parents:
        cure += ", or name a file outside of the program's folder"
        raise InputError(f"{name!r} is in a folder inside the program's", field="embeddings", cure=cure)
    return (os.path.relpath(place, own) if Path(name).is_absolute() else name), place


def differing_rows(tables: Arrays, shared: Arrays, file: Path) -> Arrays:
    """Find the rows that differ from those of ``shared``, the content of ``file``.

    Returns:
        Their numbers (``<table>.rows``, int32) and contents (``<table>.values``).

    Raises:
        InputError: the file has other tables, or tables of other shapes or types.
    """
    found: Arrays = {}
    for name, own in tables.items():
        other = shared.get(name)
        if other is None or other.shape != own.shape or other.dtype != own.dtype:
            cure = "give --embeddings another name"
            raise InputError("holds embeddings of another kind", file=file, field=name, cure=cure)
        rows = np.flatnonzero((own != other).any(tuple(range(1, own.ndim))))
        if len(rows):
            found |= {f"{name}.rows": rows.astype(np.int32), f"{name}.values": np.ascontiguousarray(own[rows])}
    return found


def replace_rows(tables: Arrays, rows: Arrays) -> None:
    """Replace the rows that :func:`differing_rows` found."""
    for key in rows:
        name, kind = key.rsplit(".", 1)
        if kind == "rows":
            tables[name][rows[key]] = rows[f"{name}.values"]
