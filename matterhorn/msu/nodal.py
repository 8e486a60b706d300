"""Nodal analysis of one array for one drive pattern, for cases that a single effective matrix cannot describe.

If undriven rows float, the network differs with every pattern. If the current of cells is not linear in the voltage, it
differs with every voltage. In these cases each pattern is solved separately: by sparse LU, with Newton iterations for
nonlinear cells. This is slow but general.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .circuit import Wires

Real = NDArray[np.float64]

TOLERANCE = 1e-13
"""Newton's method stops when no node moves by more than this share of the read voltage."""


@dataclass(frozen=True)
class Surroundings:
    """What surrounds the cells of an array, and how the cells conduct.

    Attributes:
        wires: resistances of the lines, and what undriven rows do.
        read_voltage: in volts.
        alpha: steepness of the cells' nonlinearity, in 1/V; 0 for linear cells.
    """

    wires: Wires
    read_voltage: float
    alpha: float = 0.0


def pattern_currents(cells: NDArray[np.floating], around: Surroundings, unit: Real) -> Callable[[NDArray[Any]], Real]:
    """Return a function from a pattern of driven rows to the currents of all pairs, plus minus minus cells.

    Patterns are −1, 0 or 1 ``[rows]``, currents are in units of ``unit`` amperes ``[pairs]``. No pattern is solved
    twice.
    """
    known: dict[bytes, Real] = {}

    def current(signs: NDArray[Any]) -> Real:
        key = signs.astype(np.int8).tobytes()
        if key not in known:
            currents = column_currents(cells, around, signs)
            known[key] = (currents[0::2] - currents[1::2]) / unit
        return known[key]

    return current


def column_currents(cells: NDArray[np.floating], around: Surroundings, signs: NDArray[Any]) -> Real:
    """Compute the currents into the neurons, in amperes ``[columns]``, with rows driven at ``signs[i] · read_voltage``.

    ``cells`` are conductances at the read voltage, in siemens ``[rows, columns]``. Rows with sign 0 are held at 0 V or
    float, as the wires say. Rows without cells are always held.
    """
    rows, columns = cells.shape
    held = (signs != 0) | (cells.sum(1) == 0) | (around.wires.undriven == "ground")
    fixed, source = _fixed_part(cells.shape, around, held, signs * around.read_voltage)
    first = np.arange(cells.size)
    second, conductance = first + cells.size, cells.ravel().astype(np.float64)
    voltage = np.zeros(2 * rows * columns)
    for _ in range(60):
        across = voltage[first] - voltage[second]
        current, slope = _cell_law(around, conductance, across)
        matrix = fixed + _branch_matrix(first, second, slope, len(voltage))
        excess = fixed @ voltage - source
        np.add.at(excess, first, current)
        np.add.at(excess, second, -current)
        step = _sparse().linalg.splu(matrix.tocsc()).solve(excess)
        voltage = voltage - step
        if np.abs(step).max() <= TOLERANCE * around.read_voltage or around.alpha == 0:
            currents: Real = voltage[-columns:] / around.wires.bit_line.si
            return currents
    cure = "lower it or the wires' resistance"
    raise InputError("the cells' currents do not converge", field="nonlinearity", cure=cure)


def _cell_law(around: Surroundings, conductance: Real, across: Real) -> tuple[Real, Real]:
    """Current and slope of cells with I(v) = G · V_r · sinh(α v) / sinh(α V_r), at the voltages ``across`` them."""
    if around.alpha == 0:
        return conductance * across, conductance
    scale = conductance * around.read_voltage / np.sinh(around.alpha * around.read_voltage)
    return scale * np.sinh(around.alpha * across), scale * around.alpha * np.cosh(around.alpha * across)


def _fixed_part(shape: tuple[int, ...], around: Surroundings, held: NDArray[np.bool_], volts: Real) -> tuple[Any, Real]:
    """Return the nodal matrix of wires and terminals, and the currents that the drivers inject.

    The first half of the nodes are on word lines, the second half on bit lines, each in the order of the cells.
    """
    rows, columns = shape
    word = np.arange(rows * columns).reshape(rows, columns)
    bit = word + rows * columns
    g_word, g_bit = 1 / around.wires.word_line.si, 1 / around.wires.bit_line.si
    nodes = 2 * rows * columns
    matrix = _branch_matrix(word[:, :-1].ravel(), word[:, 1:].ravel(), g_word, nodes)
    matrix = matrix + _branch_matrix(bit[:-1].ravel(), bit[1:].ravel(), g_bit, nodes)
    grounded, source = np.zeros(nodes), np.zeros(nodes)
    grounded[word[held, 0]] = g_word
    grounded[bit[-1]] += g_bit
    source[word[held, 0]] = g_word * volts[held]
    return matrix + _sparse().diags_array(grounded), source


def _branch_matrix(first: NDArray[np.int64], second: NDArray[np.int64], conductance: Real | float, nodes: int) -> Any:
    """Return the sparse nodal matrix of branches between nodes ``first`` and ``second``."""
    g = np.broadcast_to(conductance, first.shape)
    row, column = np.concatenate([first, second, first, second]), np.concatenate([first, second, second, first])
    return _sparse().coo_matrix((np.concatenate([g, g, -g, -g]), (row, column)), shape=(nodes, nodes)).tocsc()


def _sparse() -> Any:
    try:
        import scipy.sparse
        import scipy.sparse.linalg
    except ModuleNotFoundError as error:
        cure = "pip install 'matterhorn-snn[msu]'"
        raise InputError("floating rows and nonlinear cells need scipy", cure=cure) from error
    return scipy.sparse
