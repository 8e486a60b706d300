"""Comparing the model with ngspice on one array."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..coding import encode
from ..errors import InputError
from . import plain
from .connection import ProgrammedConnection
from .netlist import ArrayCircuit, array_circuit, netlist
from .readout import Ramp


class Check(NamedTuple):
    """How far model and ngspice are apart.

    Attributes:
        rows, cols: word lines and bit lines; a neuron has two of those.
        max_error_full_scale: largest difference of potentials over the largest potential of the pattern.
        slots_different: neurons that spike in another slot.
        wires: whether wire resistance was on.
    """

    rows: int
    cols: int
    max_error_full_scale: float
    slots_different: int
    wires: bool


def check(connection: ProgrammedConnection, kappa: NDArray[np.integer], ramp: Ramp) -> Check:
    """Run the connection's one array for one window of κ ``[fan_in]`` in both."""
    array = array_circuit(connection, kappa, ramp)
    potentials, slots = simulate(array)
    rows, rng = connection.placed(kappa)[None], np.random.default_rng()
    mine = plain.integrate(connection.physics, connection.conditions, rows, rng)[0]
    mine -= array.offsets * array.volt
    same = connection.fire(kappa, ramp)
    return Check(
        rows=array.cells.shape[0],
        cols=array.cells.shape[1],
        max_error_full_scale=float(np.abs(potentials - mine).max() / np.abs(mine).max()),
        slots_different=int((slots != same).sum()),
        wires=array.circuit.wires is not None,
    )


def find_ngspice() -> str:
    """Where ngspice is.

    Raises:
        InputError: it is not installed.
    """
    program = shutil.which("ngspice")
    if program is None:
        raise InputError("ngspice is not installed, nothing was compared", cure="apt-get install ngspice")
    return program


def simulate(array: ArrayCircuit) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Potentials at read-out and slots, by ngspice: float64 and uint8, ``[neurons]``."""
    program = find_ngspice()
    with tempfile.TemporaryDirectory(prefix="matterhorn-msu-") as folder:
        source, output = Path(folder) / "array.cir", Path(folder) / "array.data"
        source.write_text(netlist(array, output.name), encoding="ascii")
        run = subprocess.run([program, "-b", source.name], cwd=folder, capture_output=True, text=True, check=False)
        if not output.is_file():
            last = (run.stderr or run.stdout).strip().splitlines()[-1:]
            raise InputError(
                f"ngspice failed: {' '.join(last)}", cure="run `matterhorn msu netlist` and ngspice by hand"
            )
        table = np.loadtxt(output)
    return interpret(array, table)


def interpret(array: ArrayCircuit, table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Potentials at read-out and slots from a table: time, then potential and margin of each neuron in volts."""
    time, volts, margins = table[:, 0], table[:, 1::2], table[:, 2::2]
    read = array.read_time * (1 + 1e-9) + array.connection.step * 1e-4
    potentials = np.array([np.interp(read, time, v) for v in volts.T]) * array.volt
    crossings = np.array([_first_rise(time, margin, read) for margin in margins.T])
    slots = np.ceil((crossings - array.read_time) / array.circuit.slot.si) - 1
    levels = array.ramp.code.top - slots.clip(0, array.ramp.code.top).astype(np.int16)
    return potentials, encode(levels, array.ramp.code)


def _first_rise(time: NDArray[np.float64], margin: NDArray[np.float64], start: float) -> float:
    """When the margin first is 0 or more after ``start``; the last time if never."""
    after = np.flatnonzero((time >= start) & (margin >= 0))
    if len(after) == 0:
        return float(time[-1])
    i = int(after[0])
    if i == 0 or time[i - 1] < start:
        return start
    return float(time[i - 1] + (time[i] - time[i - 1]) * margin[i - 1] / (margin[i - 1] - margin[i]))
