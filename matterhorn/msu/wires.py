"""Exact wire resistance: one matrix of effective conductances per array.

If every undriven row is held at 0 V and cells are linear, the network of wires is linear. The current out of column c
is then Σ_i E[i, c] · V_i for any pulses, so E serves every pattern and every spike time. E is found by block
elimination of the nodal equations, row by row from the far end of the bit lines to the neurons. This is as exact as a
sparse LU factorization and several times faster, since every step is a dense product.

Geometry: rows are driven at column 0. Columns are read (at virtual ground) after the last row. There is one wire
segment between neighbors, between the driver and the first cell, and between the last cell and the neuron.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ..errors import InputError
from ..reading import LARGEST_ARRAYS, parse_npz, read_bytes
from ..storage import put_file
from .circuit import Wires


def effective_conductances(arrays: NDArray[np.float32], wires: Wires) -> NDArray[np.float32]:
    """Compute effective conductances of many arrays ``[..., rows, columns]``, siemens in and out, in float64."""
    ohms = wires.word_line.si, wires.bit_line.si
    solved = np.empty_like(arrays)
    for place in np.ndindex(arrays.shape[:-2]):
        solved[place] = effective_conductance(arrays[place].astype(np.float64), *ohms)
    return solved


def effective_conductance(cells: NDArray[np.float64], word_line: float, bit_line: float) -> NDArray[np.float64]:
    """Compute the effective conductances of one array.

    Row i has word nodes w, bit nodes b and cells D_i = diag(G_i). Kirchhoff's law on the word line gives
    w = T_i⁻¹ (D_i b + g_w V_i e_0), with T_i = L_w + D_i and L_w the Laplacian of the line, tied to its driver. Put
    into the equations of the bit nodes, this leaves only b: the cells contribute M_i = D_i − D_i T_i⁻¹ D_i, the driver
    injects D_i T_i⁻¹ e_0 g_w V_i, and neighboring rows are coupled by ± g_b. This block-tridiagonal system is
    eliminated downwards, towards the neurons.

    Args:
        cells: conductances in siemens, float64 ``[rows, columns]``.
        word_line, bit_line: resistance of a segment, in ohm.

    Returns:
        Effective conductances in siemens, float64 ``[rows, columns]``.
    """
    rows, columns = cells.shape
    g_bit = 1 / bit_line
    line = _line_laplacian(columns, 1 / word_line)
    injected, carried = np.zeros((columns, rows)), np.zeros((columns, columns))
    for row, conductance in enumerate(cells):
        inverse = np.linalg.inv(line + np.diag(conductance))
        neighbors = 1 if row == 0 else 2
        block = np.diag(conductance + neighbors * g_bit) - np.outer(conductance, conductance) * inverse
        injected[:, :row] = carried @ injected[:, :row]
        injected[:, row] = conductance * inverse[:, 0] / word_line
        carried = g_bit * np.linalg.inv(block - g_bit * carried)
    return (carried @ injected).T


def _line_laplacian(nodes: int, conductance: float) -> NDArray[np.float64]:
    """Laplacian of a chain of ``nodes`` whose first node is tied to a source through one more segment."""
    diagonal = np.full(nodes, 2 * conductance)
    diagonal[-1] = conductance
    beside = np.full(nodes - 1, -conductance)
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)


MOST_BYTES = 4 * 2**30
"""Default size limit of a cache."""


def default_folder() -> Path:
    """Return the cache folder ``msu`` of matterhorn (on Linux below ``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    return user_cache_path("matterhorn", appauthor=False) / "msu"


@dataclass(frozen=True)
class WireCache:
    """A folder of solved arrays, named by a hash of their inputs.

    If the files exceed ``limit`` bytes in total, the least recently used are removed.
    """

    folder: Path
    limit: int = MOST_BYTES

    def effective(self, arrays: NDArray[np.float32], wires: Wires) -> NDArray[np.float32]:
        """Return :func:`effective_conductances`, from disk if they are there."""
        about = repr((arrays.shape, arrays.dtype.str, wires.word_line.si, wires.bit_line.si)).encode()
        content = hashlib.sha256(about + np.ascontiguousarray(arrays).tobytes()).hexdigest()
        path = self.folder / f"{content}.npz"
        if path.is_file():
            with suppress(OSError, InputError, KeyError):
                known: NDArray[np.float32] = parse_npz(read_bytes(path, most=LARGEST_ARRAYS), path)["solved"]
                with suppress(OSError):  # a read-only folder serves too
                    path.touch()
                return known  # (a damaged file fails its checksum and is solved again)
        solved = effective_conductances(arrays, wires)
        with suppress(OSError, InputError):  # without a writable folder there is no cache
            self._store(path, solved)
        return solved

    def _store(self, path: Path, array: NDArray[np.float32]) -> None:
        put_file(path, lambda fresh: np.savez(fresh, solved=array))
        files = sorted(self.folder.glob("*.np[yz]"), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > self.limit and file != path:
                file.unlink(missing_ok=True)
