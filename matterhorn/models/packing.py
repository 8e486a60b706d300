"""Few-bit integers packed into bytes: a 1-bit weight is one bit on disk."""

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
