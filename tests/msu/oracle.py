"""The same physics written down once more, slowly and without the package: dense nodal analysis, small time steps."""

import numpy as np


def column_currents(cells, volts, word_ohm, bit_ohm, driven=None):
    """Kirchhoff's law at every node of a crossbar, dense. Rows that are not driven float."""
    rows, columns = cells.shape
    driven = np.ones(rows, bool) if driven is None else driven
    nodes = 2 * rows * columns
    matrix, right = np.zeros((nodes, nodes)), np.zeros(nodes)

    def word(i, j):
        return i * columns + j

    def bit(i, j):
        return rows * columns + i * columns + j

    def join(a, b, conductance):
        for x, y in ((a, b), (b, a)):
            matrix[x, x] += conductance
            matrix[x, y] -= conductance

    for i in range(rows):
        for j in range(columns):
            join(word(i, j), bit(i, j), cells[i, j])
            if j + 1 < columns:
                join(word(i, j), word(i, j + 1), 1 / word_ohm)
            if i + 1 < rows:
                join(bit(i, j), bit(i + 1, j), 1 / bit_ohm)
        if driven[i]:
            matrix[word(i, 0), word(i, 0)] += 1 / word_ohm
            right[word(i, 0)] += volts[i] / word_ohm
    for j in range(columns):
        matrix[bit(rows - 1, j), bit(rows - 1, j)] += 1 / bit_ohm
    return np.linalg.solve(matrix, right)[-columns:] / bit_ohm


def integrator_volts(currents_at, window, capacity, leak, rail, steps):
    """Integrate C dv/dt = i(t) − C v / leak by steps, exact while the current is constant; stop at the rails."""
    dt = window / steps
    volts = None
    for n in range(steps):
        current = currents_at((n + 0.5) * dt)
        volts = np.zeros_like(current) if volts is None else volts
        decay = np.exp(-dt / leak)
        volts = np.clip(volts * decay - current / capacity * leak * np.expm1(-dt / leak), -rail, rail)
    return volts


def array_volts(cells, kappa, *, read_voltage, step, window, capacity, word_ohm, bit_ohm, leak=1e9, rail=np.inf):
    """Voltages of an array's integrators after pulses of |κ| steps that all end at ``window`` steps."""
    known = {}

    def currents_at(time):
        on = np.abs(kappa) * step > window * step - time
        key = on.tobytes()
        if key not in known:
            known[key] = column_currents(cells, read_voltage * np.sign(kappa) * on, word_ohm, bit_ohm)
        return known[key][0::2] - known[key][1::2]

    return integrator_volts(currents_at, window * step, capacity, leak, rail, steps=4 * window)
