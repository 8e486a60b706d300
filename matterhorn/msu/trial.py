"""A single array for experiments, with random or given weights and pulses.

It serves for netlists and for the comparison with ngspice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..coding import Code, encode, level_histogram, most_frequent
from ..coding import kappa as kappa_of
from ..errors import InputError
from ..reading import read_npy
from .bank import ArrayBank
from .cells import stream
from .circuit import Circuit, only, resized
from .connection import ProgrammedConnection
from .device import Device
from .readout import Ramp

DRAWN_ONCE = ("programming", "stuck", "drift", "nonlinearity", "wires", "mismatch", "leak", "comparator")
"""The parts that a netlist can hold: those that do not change from read to read, without rails and converters."""

LARGEST = 512
"""Largest magnitude of a weight or κ in a file."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A programmed array, the κ ``[fan_in]`` that drive it, and the ramp that reads it."""

    connection: ProgrammedConnection
    kappa: NDArray[np.integer]
    ramp: Ramp

    def at(self, seconds: float) -> Trial:
        """Return the same trial this many seconds after programming."""
        return replace(self, connection=self.connection.at(seconds))


def make_trial(
    weights: NDArray[np.integer], kappa: NDArray[np.integer], device: Device, circuit: Circuit, code: Code, seed: int
) -> Trial:
    """Program an array that just fits ``weights [out, in]``, with a ramp over the potentials of ``kappa [in]``."""
    fan_out, fan_in = weights.shape
    circuit = resized(only(circuit, *DRAWN_ONCE), fan_in, 2 * fan_out)
    bank = ArrayBank(only(device, *DRAWN_ONCE), circuit, seed)
    full_scale = max(float(np.abs(weights.astype(np.int64) @ kappa).max()), 1.0)
    top = max(int(np.abs(kappa).max()), 1)
    connection = bank.program(weights, kappa_top=top, kappa_unit=code.unit, full_scale=full_scale)
    return Trial(connection, kappa, Ramp.linear(code.top / 2 / full_scale, code.top / 2, code))


def choose_trial(
    device: Device,
    circuit: Circuit,
    size: tuple[int, int],
    seed: int,
    kappa_file: Path | None = None,
    weights_file: Path | None = None,
) -> Trial:
    """Make a trial with weights and κ from npy files, or else with random ones.

    Args:
        device, circuit, seed: as for :class:`.ArrayBank`. Parts that a netlist cannot hold are left out.
        size: number of word lines and of bit lines of an array with random 1-bit weights.
        kappa_file: integers ``[in]``. None: drawn (:func:`drawn_kappa`).
        weights_file: integers ``[out, in]``. None: drawn for ``size``.

    Raises:
        InputError: a file is not valid, or the numbers of κ and of rows differ.
    """
    rows, neurons = size[0], neurons_of(size[1])
    weights: NDArray[np.integer] = 2 * stream(f"{seed}:weights").integers(2, size=(neurons, rows), dtype=np.int8) - 1
    if weights_file is not None:
        weights = _integers(weights_file, 2)
    kappa, code = drawn_kappa(weights.shape[1], seed)
    if kappa_file is not None:
        kappa = _integers(kappa_file, 1)
    if len(kappa) != weights.shape[1]:
        problem = f"{len(kappa)} pulses for {weights.shape[1]} rows"
        raise InputError(problem, file=kappa_file, cure="give one pulse per row")
    return make_trial(weights, kappa, device, circuit, code, seed)


def neurons_of(columns: int) -> int:
    """Number of neurons of an array with this many bit lines."""
    if columns % 2:
        raise InputError(f"{columns} bit lines", field="cols", cure="a neuron takes two, give an even number")
    return columns // 2


def _integers(file: Path, dimensions: int) -> NDArray[np.int16]:
    array = read_npy(file)
    if array.dtype.kind not in "iu" or array.ndim != dimensions:
        raise InputError("wrong content", file=file, cure=f"give integers in {dimensions} dimension(s)")
    if array.size == 0 or not -LARGEST <= array.min() <= array.max() <= LARGEST:
        raise InputError("empty, or numbers beyond reason", file=file, cure=f"give integers up to ± {LARGEST}")
    return array.astype(np.int16)


def drawn_kappa(rows: int, seed: int) -> tuple[NDArray[np.int16], Code]:
    """Draw κ of rows whose levels have a Laplace distribution, as in transformers: 4-bit M-TTFS without a dead zone."""
    levels = np.clip(np.rint(stream(f"{seed}:levels").laplace(7, 2.5, rows)), 0, 15).astype(np.uint8)
    code = Code(4, most_frequent(level_histogram(levels[:, None], 4))[0])
    return kappa_of(encode(levels, code), code), code
