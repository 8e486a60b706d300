"""Pack few-bit integers into bytes.

On disk, a 1-bit weight takes one bit and a ternary weight 1.6 bits. Of nearly evenly spaced thresholds, only the first
and the last are stored, and for each threshold its deviation from even spacing, in two bits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..kernels.connections import words_for
from ..kernels.lanes import LANES
from ..kernels.layout import Planes
from ..kernels.lookup import GROUP

BITS = {"int1": 1, "ternary": 2, "int2": 2, "int4": 4}
"""Bits per weight in binary, as digital arrays store it."""

LEAST_WEIGHT = {"int1": -1, "ternary": -1, "int2": -2, "int4": -8}
"""Smallest weight of each kind."""

TRITS = 3 ** np.arange(5)
"""Place values of the ternary weights in a byte on disk. They use 3⁵ = 243 of its 256 values."""

NEARLY_ONE = 1 - 1e-9
"""Integers are ⌊line⌋ of some line if their distances from it spread by less than 1. This is 1, minus rounding."""

AT_ONCE = 2**22
"""Maximum number of distances from lines that :func:`_straightest` holds in memory, unless one row needs more."""


def pack(weights: NDArray[np.integer], kind: str) -> NDArray[np.uint8]:
    """Integers ``[rows, n]`` → uint8 ``[rows, ⌈n·bits/8⌉]``, high bits first. 1-bit weights are ±1, stored as 1, 0."""
    codes = (weights > 0 if kind == "int1" else weights - LEAST_WEIGHT[kind]).astype(np.uint8)
    bits = (codes[..., None] >> np.arange(BITS[kind], dtype=np.uint8)[::-1]) & 1
    return np.packbits(bits.reshape(len(codes), -1), axis=1)


def unpack(packed: NDArray[np.uint8], kind: str, columns: int) -> NDArray[np.int8]:
    """Undo :func:`pack`: uint8 → int8 ``[rows, columns]``."""
    bits = np.unpackbits(packed, axis=1, count=columns * BITS[kind]).reshape(len(packed), columns, BITS[kind])
    codes: NDArray[np.int8] = bits[..., 0].view(np.int8) if BITS[kind] == 1 else _from_bits(bits, BITS[kind])
    return (2 * codes - 1 if kind == "int1" else codes + np.int8(LEAST_WEIGHT[kind])).astype(np.int8)


def pack_ternary(weights: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Weights −1, 0, 1 of any shape → uint8 ``[⌈n / 5⌉]``, five to a byte, the first one lowest: 1.6 bits each."""
    digits = np.zeros((-(-weights.size // len(TRITS)), len(TRITS)), np.uint8)
    digits.reshape(-1)[: weights.size] = weights.reshape(-1) + 1
    packed: NDArray[np.uint8] = (digits * TRITS).sum(1).astype(np.uint8)
    return packed


def unpack_ternary(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Undo :func:`pack_ternary`: uint8 → int8 of that shape."""
    digits = (np.arange(256)[:, None] // TRITS % 3 - 1).astype(np.int8)  # of every byte
    return digits[packed].reshape(-1)[: math.prod(shape)].reshape(shape)


def _from_bits(bits: NDArray[np.uint8], width: int) -> NDArray[np.int8]:
    """Combine bits ``[..., width]``, the highest first, to integers ``[...]``."""
    numbers: NDArray[np.int8] = (bits << np.arange(width, dtype=np.uint8)[::-1]).sum(-1, dtype=np.int8)
    return numbers


def pack_even(rows: NDArray[np.integer]) -> tuple[NDArray[np.int32], NDArray[np.uint8]] | None:
    """Pack nearly evenly spaced integers ``[n, T]``.

    Returns:
        The ends of each row, int32 ``[n, 2]``, and deviations from even spacing in two bits each. None: some deviate
        too much.
    """
    if rows.shape[1] < 2:
        return None
    ends = rows[:, [0, -1]].astype(np.int64)
    off = rows - _evenly(ends, rows.shape[1])
    if int(off.min()) < LEAST_WEIGHT["int2"] or int(off.max()) > -1 - LEAST_WEIGHT["int2"]:
        return None
    return ends.astype(np.int32), pack(off.astype(np.int8), "int2")


def unpack_even(ends: NDArray[np.integer], off: NDArray[np.uint8], columns: int) -> NDArray[np.int32]:
    """Undo :func:`pack_even`: int32 ``[n, T]``."""
    return (_evenly(ends.astype(np.int64), columns) + unpack(off, "int2", columns)).astype(np.int32)


def on_lines(rows: NDArray[np.integer]) -> bool:
    """Whether each row ``[n, T]`` is ⌊base + step · l⌋ for a real base and step, which can then replace its T words."""
    if rows.shape[1] < 2:
        return True
    spread = np.ptp(rows - np.arange(rows.shape[1]) * _slopes(rows)[:, None], axis=1)
    bent = rows[spread >= NEARLY_ONE]
    return bool((_straightest(bent)[1] < NEARLY_ONE).all())


def _slopes(rows: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the least-squares slope of each row ``[n, T]``. If a row lies on a line, this one usually fits."""
    top = rows.shape[1]
    apart = np.arange(top) - (top - 1) / 2
    steps: NDArray[np.float64] = rows @ apart / (apart @ apart) if top > 1 else np.ones(len(rows))
    return steps


def _straightest(rows: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each row ``[n, T]`` the step for which row − step · l spreads least, and that spread.

    The spread is convex and piecewise linear in the step, with breakpoints at the slopes between two of the row's
    integers, so that one of these slopes is best.
    """
    levels, (first, last) = np.arange(rows.shape[1]), np.triu_indices(rows.shape[1], 1)
    if len(rows) > (most := max(1, AT_ONCE // (len(first) * len(levels)))):
        parts = [_straightest(rows[start : start + most]) for start in range(0, len(rows), most)]
        steps, least = (np.concatenate(part) for part in zip(*parts, strict=True))
        return steps, least
    slopes = (rows[:, last].astype(np.float64) - rows[:, first]) / (last - first)
    spread = np.ptp(rows[:, None] - levels * slopes[..., None], axis=2)
    best = spread.argmin(1)[:, None]
    return np.take_along_axis(slopes, best, 1)[:, 0], np.take_along_axis(spread, best, 1)[:, 0]


def as_lines(thresholds: NDArray[np.int32]) -> NDArray[np.float32] | None:
    """Find lines that replace thresholds ``[n, T]``, as slopes and shifts, float32 ``[2, n]``.

    For every integer v, ⌊slope · v + shift⌋, computed in float32 and clipped to 0 … T, must be the number of the
    neuron's thresholds that v reaches. None: this is not possible for all neurons. As rounding and the line are
    monotonic, a line is right everywhere if it is right at each threshold and just below it.
    """
    lines, right = _lines_of(thresholds, _slopes(thresholds))
    wrong = ~right
    if wrong.any() and thresholds.shape[1] > 1:  # the slope does not matter for a single threshold
        lines[:, wrong], right = _lines_of(thresholds[wrong], _straightest(thresholds[wrong])[0])
    return lines if right.all() else None


def _lines_of(
    thresholds: NDArray[np.int32], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return for each neuron the line with this step that lies in the middle of those that give its thresholds, and
    whether it does give them.
    """
    top = thresholds.shape[1]
    numbers = np.arange(1, top + 1)
    rest = thresholds - numbers * steps[:, None]
    middle, right = (rest.max(1) + rest.min(1) - 1) / 2, steps > 0
    steps = np.where(right, steps, 1)
    slope, shift = (1 / steps).astype(np.float32), (-middle / steps).astype(np.float32)
    for below in (0, 1):
        at = (thresholds - below).astype(np.float32)
        found = np.floor(at * slope[:, None] + shift[:, None]).clip(0, top)
        right &= (found == numbers - below).all(1)
    return np.stack([slope, shift]), right


def threshold_words(thresholds: NDArray[np.int32] | None) -> int:
    """Return the number of words that store one neuron's thresholds: 2 if base and step give those of all neurons ``[n,
    T]`` exactly, else T.
    """
    return 2 if thresholds is None or on_lines(thresholds) else thresholds.shape[1]


def _evenly(ends: NDArray[np.int64], columns: int) -> NDArray[np.int64]:
    first, last = ends[:, :1], ends[:, 1:]
    spaced: NDArray[np.int64] = first + (last - first) * np.arange(columns) // max(1, columns - 1)
    return spaced


def bit_planes(weights: NDArray[np.int8], offset: NDArray[np.int32]) -> Planes:
    """Lay out weights ``[out, in]`` and ``offset [out]`` for the event kernel."""
    floor, top = int(weights.min()), int(weights.max())
    (columns, inputs), words = weights.shape, words_for(len(weights))
    if floor == -1 and top == 1 and np.count_nonzero(weights) == weights.size:
        factors, codes = [2], (weights > 0).astype(np.uint8)
    else:
        factors = [2**p for p in range(max(1, (top - floor).bit_length()))]
        codes = (weights.astype(np.int16) - floor).astype(np.uint8)
    padded = np.zeros((LANES * words, -(-inputs // LANES) * LANES), np.uint8)
    padded[:columns, :inputs] = codes
    planes = []
    for p in range(len(factors)):
        bits = padded >> p & 1
        choices = np.bitwise_or.reduce([bits[:, i::GROUP] << i for i in range(GROUP)])
        planes.append(choices.reshape(words, LANES, -1).transpose(0, 2, 1))
    wide = np.zeros(LANES * words, np.int32)
    wide[:columns] = offset
    return Planes(np.stack(planes), np.array(factors, np.int32), floor, wide)
