"""Few-bit integers packed into bytes: a 1-bit weight is one bit on disk, an evenly spaced threshold two."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BITS = {"1": 1, "ternary": 2, "2": 2, "4": 4}
"""Bits on disk of one weight."""

LOWEST = {"1": -1, "ternary": -1, "2": -2, "4": -8}


def pack(weights: Tensor, kind: str) -> Tensor:
    """int8 ``[rows, n]`` → uint8 ``[rows, ⌈n·bits/8⌉]``, high bits first. 1-bit weights are ±1, stored as 1 and 0."""
    codes = (weights > 0 if kind == "1" else weights - LOWEST[kind]).numpy().astype(np.uint8)
    bits = (codes[..., None] >> np.arange(BITS[kind])[::-1]) & 1
    return torch.from_numpy(np.packbits(bits.reshape(len(codes), -1), axis=1))


def unpack(packed: Tensor, kind: str, columns: int) -> Tensor:
    """Undo :func:`pack`: uint8 → int8 ``[rows, columns]``."""
    bits = np.unpackbits(packed.numpy(), axis=1, count=columns * BITS[kind]).reshape(len(packed), columns, BITS[kind])
    codes = (bits << np.arange(BITS[kind], dtype=np.uint8)[::-1]).sum(-1, dtype=np.int8)
    return torch.from_numpy(2 * codes - 1 if kind == "1" else codes + np.int8(LOWEST[kind])).to(torch.int8)


def pack_even(rows: Tensor) -> tuple[Tensor, Tensor] | None:
    """Integers that lie within a unit or two of even spacing, ``[n, T]`` → their ends int32 ``[n, 2]`` and what those
    between are off, packed in two bits each; None where they do not."""
    ends = rows[:, [0, -1]].to(torch.int64)
    off = rows - _evenly(ends, rows.shape[1])
    if rows.shape[1] < 2 or int(off.min()) < LOWEST["2"] or int(off.max()) > -1 - LOWEST["2"]:
        return None
    return ends.to(torch.int32), pack(off.to(torch.int8), "2")


def unpack_even(ends: Tensor, off: Tensor, columns: int) -> Tensor:
    """Undo :func:`pack_even`: int32 ``[n, T]``."""
    return (_evenly(ends.to(torch.int64), columns) + unpack(off, "2", columns)).to(torch.int32)


def _evenly(ends: Tensor, columns: int) -> Tensor:
    first, last = ends[:, :1], ends[:, 1:]
    return first + (last - first) * torch.arange(columns) // max(1, columns - 1)
