"""Proofs that integers cannot overflow, made when a connection is first run and again when its weights change."""

from __future__ import annotations

import torch

from ..coding import Code
from ..errors import InputError
from ..models.spiking import REACH, Connection
from .prepare import kernel_code, prepared


def check_sums(connection: Connection, code: Code) -> None:
    """Refuse a connection whose potentials could leave ±:data:`REACH` (int32 and float32 hold every integer there)."""
    kappa = kernel_code(code, connection.weights.shape[1]).reach

    def largest() -> int:
        weights = int(connection.weights.to(torch.int64).abs().sum(1).max())
        return weights * kappa + int(connection.offset.abs().max())

    reached = prepared(connection, ("largest", kappa), largest)
    if reached > 2 * REACH:
        cure = "use fewer activation or weight bits"
        raise InputError(f"potentials up to {reached}, over {2 * REACH}", field="weights", cure=cure)
