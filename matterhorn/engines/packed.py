"""Weights as bit planes: w = floor + Σ_p factor_p · bit_p, a bit per synapse and plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..models.spiking import Connection
from .kernels.connection import words_for
from .kernels.lanes import LANES
from .prepare import prepared


@dataclass(frozen=True)
class PackedWeights:
    """``planes`` uint64 ``[planes, in, words]``, ``factors`` int32 ``[planes]``, ``offset`` int32 ``[64 · words]``."""

    planes: np.ndarray
    factors: np.ndarray
    floor: int
    offset: np.ndarray

    @property
    def words(self) -> int:
        """Words of packed weights that one event touches."""
        return self.planes.shape[0] * self.planes.shape[2]


def packed_weights(connection: Connection) -> PackedWeights:
    """A connection's weights, packed once."""
    return prepared(connection, "packed", lambda: _pack(connection))


def _pack(connection: Connection) -> PackedWeights:
    weights = connection.weights.numpy().T.astype(np.int16)  # [in, out]
    rows, columns = weights.shape
    floor, top = int(weights.min()), int(weights.max())
    if set(np.unique(weights)) <= {-1, 1}:
        floor, factors, codes = -1, [2], (weights > 0).astype(np.uint16)
    else:
        factors = [2**p for p in range(max(1, (top - floor).bit_length()))]
        codes = (weights - floor).astype(np.uint16)
    padded = np.zeros((len(factors), rows, LANES * words_for(columns)), np.uint8)
    for p in range(len(factors)):
        padded[p, :, :columns] = (codes >> p) & 1
    offset = np.zeros(padded.shape[2], np.int32)
    offset[:columns] = connection.offset.numpy()
    planes = np.packbits(padded, axis=2, bitorder="little").view("<u8").astype(np.uint64)
    return PackedWeights(np.ascontiguousarray(planes), np.array(factors, np.int32), floor, offset)


def weights_of(packed: PackedWeights, columns: int) -> torch.Tensor:
    """Undo the packing: int8 ``[out, in]``."""
    bits = np.unpackbits(packed.planes.astype("<u8").view(np.uint8), axis=2, bitorder="little")[:, :, :columns]
    weights = packed.floor + (bits.astype(np.int16) * packed.factors[:, None, None]).sum(0)
    return torch.from_numpy(np.ascontiguousarray(weights.T.astype(np.int8)))
