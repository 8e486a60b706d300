"""Conversion of levels to slots and back, and of slots to κ, the signed time that a synapse sees.

Arrays may have any shape; neurons are the last dimension.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .code import SILENT, Code


def is_silent(levels: NDArray[np.integer], code: Code) -> NDArray[np.bool_]:
    """True where a level sends nothing: |q − m| ≤ k. ``[..., neurons] → bool [..., neurons]``."""
    distance: NDArray[np.int16] = np.abs(levels.astype(np.int16) - code.silent)
    return distance <= code.dead_zone


def encode(levels: NDArray[np.integer], code: Code) -> NDArray[np.uint8]:
    """Slot of each neuron's spike, T − q, or :data:`SILENT` for none. ``[..., neurons] → uint8 [..., neurons]``.

    Raises:
        InputError: a level outside 0 … T.
    """
    if levels.size and not 0 <= (low := int(levels.min())) <= (high := int(levels.max())) <= code.top:
        wrong = low if low < 0 else high
        raise InputError(f"level {wrong}", field="levels", cure=f"give levels in 0 … {code.top}")
    return np.where(is_silent(levels, code), SILENT, code.top - levels.astype(np.int16)).astype(np.uint8)


def decode(slots: NDArray[np.uint8], code: Code) -> NDArray[np.float32]:
    """Level that a receiver reads: that of the spike, or for silence the silent value, which may be fractional."""
    levels = code.top - slots.astype(np.int16)
    return np.where(slots == SILENT, code.reference / code.unit, levels).astype(np.float32)


def kappa(slots: NDArray[np.uint8], code: Code) -> NDArray[np.int16]:
    """Signed distance in time, κ = q − r, between a spike and the slot that silence stands for; 0 if silent.

    In steps of ``1 / code.unit`` level, ``[..., neurons]``.
    """
    distance = code.unit * (code.top - slots.astype(np.int16)) - code.reference
    return np.where(slots == SILENT, np.int16(0), distance)


def count_events(slots: NDArray[np.uint8]) -> int:
    """Number of spikes in an array of slots."""
    return int((slots != SILENT).sum())
