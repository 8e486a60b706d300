"""Effective conductances once computed stay on disk, named by the content of what they were computed from."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from .circuit import Wires
from .wires import effective_conductances

LIMIT = 4 * 2**30


def default_folder() -> Path:
    """``msu`` in the user's cache folder of matterhorn (Linux: ``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    return user_cache_path("matterhorn", appauthor=False) / "msu"


@dataclass(frozen=True)
class WireCache:
    """A folder of solved arrays, the least recently used thrown away beyond ``limit`` bytes."""

    folder: Path
    limit: int = LIMIT

    def effective(self, arrays: NDArray[np.float32], wires: Wires) -> NDArray[np.float32]:
        """:func:`~matterhorn.msu.wires.effective_conductances`, from disk where it is known."""
        path = self.folder / f"{content_key(arrays, wires)}.npy"
        if path.is_file():
            path.touch()
            known: NDArray[np.float32] = np.load(path, allow_pickle=False)
            return known
        solved = effective_conductances(arrays, wires)
        self._store(path, solved)
        return solved

    def _store(self, path: Path, array: NDArray[np.float32]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}-{get_ident()}.tmp")
        with temporary.open("wb") as stream:
            np.save(stream, array)
        temporary.replace(path)
        files = sorted(self.folder.glob("*.npy"), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > self.limit and file != path:
                file.unlink(missing_ok=True)


def content_key(arrays: NDArray[np.float32], wires: Wires) -> str:
    """Hash of the conductances and the wires around them."""
    digest = hashlib.sha256(repr((arrays.shape, arrays.dtype.str, wires.word_line.si, wires.bit_line.si)).encode())
    digest.update(np.ascontiguousarray(arrays).data)
    return digest.hexdigest()
