"""The simulation slot by slot, as plain as possible. All faster implementations are compared with it."""

from __future__ import annotations

import numpy as np

from .compile import kernel
from .connections import SILENT, copy


@kernel
def integrate_steps(slots, code, rows, offset, out):
    """Integrate slot by slot: a spike in slot t adds its row of weights times the ramp at t to all membranes.

    The ramp of a row is κ(t) = unit · (T − t) − reference. ``slots uint8 [n, in]``, ``rows int8 [in, out]``, ``offset
    int32 [out]`` → ``out int32 [n, out]``.
    """
    for i in range(slots.shape[0]):
        copy(offset, out[i])
        for slot in range(code.top + 1):
            for k in range(slots.shape[1]):
                if slots[i, k] == slot:
                    ramp = np.int32(code.unit * (code.top - slot) - code.reference[k])
                    for j in range(rows.shape[1]):
                        out[i, j] += ramp * np.int32(rows[k, j])


@kernel
def fire_steps(potentials, thresholds, code, slots):
    """Let a threshold fall by one level per slot. Each neuron that it meets fires once.

    In slots of the dead zone, a neuron that meets the threshold stays quiet and does not fire later.

    ``potentials int32 [rows, n or more]``, ``thresholds int32 [T, n]``, rising → ``slots uint8 [rows, n]``.
    """
    for i in range(potentials.shape[0]):
        for j in range(slots.shape[1]):
            slots[i, j] = SILENT
            for slot in range(code.top + 1):
                level = code.top - slot
                if level == 0 or potentials[i, j] >= thresholds[level - 1, j]:
                    if abs(level - code.silent[j]) > code.dead_zone:
                        slots[i, j] = slot
                    break
