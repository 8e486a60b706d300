"""Effective conductances once computed stay on disk, named by the content of what they were computed from."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from platformdirs import user_cache_path
from torch import Tensor

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

    def effective(self, arrays: Tensor, wires: Wires) -> Tensor:
        """:func:`~matterhorn.msu.wires.effective_conductances`, from disk where it is known."""
        path = self.folder / f"{content_key(arrays, wires)}.npy"
        if path.is_file():
            path.touch()
            return torch.from_numpy(np.load(path)).view(arrays.shape)
        solved = effective_conductances(arrays, wires)
        self._store(path, solved.numpy())
        return solved

    def _store(self, path: Path, array: np.ndarray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as stream:
            np.save(stream, array)
        temporary.replace(path)
        files = sorted(self.folder.glob("*.npy"), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > self.limit and file != path:
                file.unlink(missing_ok=True)


def content_key(arrays: Tensor, wires: Wires) -> str:
    """Hash of the conductances and the wires around them."""
    digest = hashlib.sha256(repr((tuple(arrays.shape), wires.word_line.si, wires.bit_line.si)).encode())
    digest.update(arrays.contiguous().numpy().tobytes())
    return digest.hexdigest()
