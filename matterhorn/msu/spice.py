"""One array with its neurons as an ngspice netlist, and the comparison of our model with ngspice."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..coding import encode
from ..errors import InputError, visible
from ..storage import MARK
from . import plain
from .circuit import Circuit
from .connection import ProgrammedConnection
from .mapping import unit_conductance
from .readout import Ramp

EDGE = 1e-4
"""Rise time of a pulse as a share of a step of κ; edges lie symmetrically about the ideal ones, so areas are kept."""

NOTHING = 1e-6
"""Potentials below this, in weight times step of κ, are rounding."""


@dataclass(frozen=True, eq=False)
class ArrayCircuit:
    """What a netlist describes: a connection that fits one array, and one window of pulses.

    Attributes:
        connection: the connection.
        cells: conductances in siemens, ``[rows, columns]``. Bit lines 2j and 2j + 1 feed neuron j.
        lengths: signed lengths of the pulses ``[rows]``, in steps of κ.
        ramp: the threshold that reads the neurons.
    """

    connection: ProgrammedConnection
    cells: NDArray[np.float64]
    lengths: NDArray[np.float64]
    ramp: Ramp

    @property
    def circuit(self) -> Circuit:
        """Drivers, wires and neurons."""
        return self.connection.circuit

    @property
    def offsets(self) -> NDArray[np.float64]:
        """Offsets of the comparators, in volts, ``[neurons]``."""
        offsets: NDArray[np.float64] = self.connection.neurons.offset[0, 0]
        return offsets

    @property
    def volt(self) -> float:
        """Potential that one volt stands for."""
        return self.connection.conditions.potential_per_volt

    @property
    def read_time(self) -> float:
        """End of all pulses and start of the ramp, in seconds from the start of the netlist."""
        longest = max(self.connection.kappa_top, int(np.abs(self.lengths).max()))
        return (longest + 1) * self.connection.step

    @property
    def end_time(self) -> float:
        """End of the ramp, in seconds from the start of the netlist."""
        return self.read_time + (self.ramp.code.top + 1) * self.circuit.slot.si


def array_circuit(connection: ProgrammedConnection, kappa: NDArray[np.integer], ramp: Ramp) -> ArrayCircuit:
    """Describe the circuit of a connection that fits one array, driven by one window of κ ``[fan_in]``.

    Raises:
        InputError: the connection takes several arrays, or the circuit leaves undriven rows floating.
    """
    layout, wires = connection.layout, connection.circuit.wires
    if layout.arrays > 1:
        cure = "give weights that fit, or a circuit with more rows and columns"
        raise InputError(f"{connection.name} takes {layout.arrays} arrays", cure=cure)
    if wires is not None and wires.undriven == "float":
        raise InputError(
            "rows left floating", field="wires.undriven", cure="netlists need undriven rows held at ground"
        )
    cells = connection.conductances[0, 0, 0][:, : 2 * layout.fan_out].astype(np.float64)
    lengths = np.pad(connection.placed(kappa).astype(np.float64), (layout.spare, 0))
    return ArrayCircuit(connection, cells, lengths, ramp)


def netlist(array: ArrayCircuit, output: str) -> str:
    """Return the netlist. Run by ``ngspice -b``, it writes a table to the file ``output``.

    The table holds the time, and the potential and margin of each neuron. The margin is potential plus offset minus
    threshold.
    """
    parts = (_drivers, _word_lines, _cells, _bit_lines, _integrators, _comparators)
    rows, columns = array.cells.shape
    device, circuit = array.connection.device.name, array.circuit.name
    name = f"{visible(array.connection.name)}: {device} in {circuit}"
    lines = [f"* {MARK}: {name}, {rows} rows, {columns // 2} neurons"]
    for part in parts:
        # The first line of each part's docstring is a comment of the netlist.
        lines += [f"* {(part.__doc__ or '').splitlines()[0]}", *part(array)]
    return "\n".join([*lines, *_commands(array, visible(output)), ".end", ""])


def _drivers(array: ArrayCircuit) -> Iterator[str]:
    """Row drivers: one pulse each, all ending together."""
    step, volts = array.connection.step, array.circuit.read_voltage.si
    half, stop = EDGE * step / 2, array.read_time
    for row, length in enumerate(array.lengths):
        if length == 0:
            yield f"Vrow{row} r{row} 0 0"
            continue
        start, level = stop - abs(length) * step, np.sign(length) * volts
        points = [(0, 0), (start - half, 0), (start + half, level), (stop - half, level), (stop + half, 0)]
        yield f"Vrow{row} r{row} 0 PWL({' '.join(f'{t:.12e} {v:g}' for t, v in points)})"


def _word_lines(array: ArrayCircuit) -> Iterator[str]:
    """Word lines: one segment before each cell."""
    if array.circuit.wires is None:
        return
    for row, column in np.ndindex(array.cells.shape):
        before = f"w{row}_{column - 1}" if column else f"r{row}"
        yield f"Rw{row}_{column} {before} w{row}_{column} {array.circuit.wires.word_line.si:.12e}"


def _cells(array: ArrayCircuit) -> Iterator[str]:
    """Cells: resistors, or sources that follow I = G V_r sinh(a v) / sinh(a V_r)."""
    alpha, volts = array.connection.device.steepness, array.circuit.read_voltage.si
    for (row, column), conductance in np.ndenumerate(array.cells):
        if conductance == 0:
            continue
        at = f"{row}_{column}"
        word, bit = (f"r{row}", f"g{column}") if array.circuit.wires is None else (f"w{at}", f"b{at}")
        if alpha == 0:
            yield f"Rc{at} {word} {bit} {1 / conductance:.15e}"
        else:
            scale = conductance * volts / np.sinh(alpha * volts)
            yield f"Bc{at} {word} {bit} I={scale:.15e}*sinh({alpha:.12e}*V({word},{bit}))"


def _bit_lines(array: ArrayCircuit) -> Iterator[str]:
    """Bit lines: one segment after each cell, then the neuron's virtual ground, which measures the current."""
    rows, columns = array.cells.shape
    if array.circuit.wires is not None:
        for row, column in np.ndindex(array.cells.shape):
            after = f"b{row + 1}_{column}" if row + 1 < rows else f"g{column}"
            yield f"Rb{row}_{column} b{row}_{column} {after} {array.circuit.wires.bit_line.si:.12e}"
    for column in range(columns):
        yield f"Vsense{column} g{column} 0 0"


def _integrators(array: ArrayCircuit) -> Iterator[str]:
    """Integrators: the difference of two bit-line currents on a capacitor."""
    connection, leak = array.connection, array.circuit.leak
    unit = unit_conductance(connection.layout, connection.device) * array.circuit.read_voltage.si * connection.step
    for neuron, capacity in enumerate(unit * array.volt / connection.neurons.gain[0, 0]):
        yield f"Fplus{neuron} 0 n{neuron} Vsense{2 * neuron} 1"
        yield f"Fminus{neuron} n{neuron} 0 Vsense{2 * neuron + 1} 1"
        yield f"Cint{neuron} n{neuron} 0 {capacity:.15e} IC=0"
        ohms = leak.time_constant.si / capacity if leak is not None else 1e18
        yield f"Rleak{neuron} n{neuron} 0 {ohms:.15e}"


def _comparators(array: ArrayCircuit) -> Iterator[str]:
    """Comparators: potential plus offset minus a ramp that falls one level per slot."""
    corners = array.ramp.corners / array.volt
    times = array.read_time + array.circuit.slot.si * np.arange(corners.shape[1])
    for neuron, volts in enumerate(np.broadcast_to(corners, (len(array.offsets), len(times))).tolist()):
        points = " ".join(f"{time:.12e} {level:.15e}" for time, level in zip(times, volts, strict=True))
        yield f"Vramp{neuron} q{neuron} 0 PWL(0 {volts[0]:.15e} {points})"
        yield f"Bmargin{neuron} d{neuron} 0 V=V(n{neuron})+({array.offsets[neuron]:.15e})-V(q{neuron})"


def _commands(array: ArrayCircuit, output: str) -> list[str]:
    vectors = " ".join(f"v(n{j}) v(d{j})" for j in range(len(array.offsets)))
    step = min(array.circuit.slot.si, array.connection.step)
    return [
        ".options reltol=1e-7 abstol=1e-18 vntol=1e-12 chgtol=1e-22",
        f".tran {step:.12e} {array.end_time:.12e} 0 {step:.12e} uic",
        ".control",
        "set wr_singlescale",
        "set numdgt=15",
        "run",
        f"wrdata {output} {vectors}",
        "quit",
        ".endc",
    ]


class Check(NamedTuple):
    """Differences between the model and ngspice.

    Attributes:
        rows, cols: word lines and bit lines. A neuron has two bit lines.
        max_error_full_scale: largest difference of potentials, relative to the largest potential of the pattern.
        slots_different: number of neurons that spike in another slot.
        wires: whether wire resistance was included.
    """

    rows: int
    cols: int
    max_error_full_scale: float
    slots_different: int
    wires: bool


def check(connection: ProgrammedConnection, kappa: NDArray[np.integer], ramp: Ramp) -> Check:
    """Run the single array of a connection for one window of κ ``[fan_in]``, in our model and in ngspice.

    Raises:
        InputError: the pulses charge nothing, so that there is nothing to compare; or ngspice is missing or fails.
    """
    array = array_circuit(connection, kappa, ramp)
    rows, rng = connection.placed(kappa)[None], np.random.default_rng()
    mine = plain.charges(connection, connection.conditions, rows, rng)[0, 0, 0]
    if np.abs(mine).max() < NOTHING:
        raise InputError("pulses that charge no integrator", field="kappa", cure="drive rows that have weights")
    potentials, slots = simulate(array)
    same = connection.fire(kappa, ramp)
    return Check(
        rows=array.cells.shape[0],
        cols=array.cells.shape[1],
        max_error_full_scale=float(np.abs(potentials - mine).max() / np.abs(mine).max()),
        slots_different=int((slots != same).sum()),
        wires=array.circuit.wires is not None,
    )


def find_ngspice() -> str:
    """Return the path of ngspice.

    Raises:
        InputError: it is not installed.
    """
    program = shutil.which("ngspice")
    if program is None:
        raise InputError("ngspice is not installed, nothing was compared", cure="apt-get install ngspice")
    return program


def simulate(array: ArrayCircuit) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return potentials at read-out and slots as ngspice finds them, float64 and uint8, ``[neurons]``.

    Raises:
        InputError: ngspice is missing or fails.
    """
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
    """Read potentials at read-out and slots from ngspice's table: time, then potential and margin of each neuron in
    volts.
    """
    time, volts, margins = table[:, 0], table[:, 1::2], table[:, 2::2]
    read = array.read_time * (1 + 1e-9) + array.connection.step * 1e-4
    potentials = np.array([np.interp(read, time, v) for v in volts.T]) * array.volt
    crossings = np.array([_first_rise(time, margin, read) for margin in margins.T])
    slots = np.ceil((crossings - array.read_time) / array.circuit.slot.si) - 1
    levels = array.ramp.code.top - slots.clip(0, array.ramp.code.top).astype(np.int16)
    return potentials, encode(levels, array.ramp.code)


def _first_rise(time: NDArray[np.float64], margin: NDArray[np.float64], start: float) -> float:
    """Return the first time from ``start`` on at which the margin is 0 or more, or the last time if it never is."""
    after = np.flatnonzero((time >= start) & (margin >= 0))
    if len(after) == 0:
        return float(time[-1])
    i = int(after[0])
    if i == 0 or time[i - 1] < start:
        return start
    return float(time[i - 1] + (time[i] - time[i - 1]) * margin[i - 1] / (margin[i - 1] - margin[i]))
