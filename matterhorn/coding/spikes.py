"""Levels to slots and back, and the kernel a synapse sees. All functions take tensors of any shape, neurons last."""

from __future__ import annotations

import torch
from torch import Tensor

from .code import SILENT, Code


def is_silent(levels: Tensor, code: Code) -> Tensor:
    """True where a level sends nothing: |q − m| ≤ k. ``[..., neurons] → bool [..., neurons]``."""
    return (levels.to(torch.int16) - code.silent.to(torch.int16)).abs() <= code.dead_zone


def encode(levels: Tensor, code: Code) -> Tensor:
    """Slot of each neuron's spike, T − q, or :data:`SILENT`. ``[..., neurons] → uint8 [..., neurons]``."""
    slots = (code.top - levels.to(torch.int16)).to(torch.uint8)
    return slots.masked_fill(is_silent(levels, code), SILENT)


def decode(slots: Tensor, code: Code) -> Tensor:
    """Level that a receiver reads, in levels (float32; a fraction only where silence is read as one)."""
    levels = (code.top - slots.to(torch.int16)).to(torch.float32)
    silence = (code.read_level / code.unit).to(torch.float32).expand(levels.shape)
    return torch.where(slots == SILENT, silence, levels)


def kernel(slots: Tensor, code: Code) -> Tensor:
    """Signed distance κ = q − r in time between a spike and the slot that silence stands for; 0 where silent.

    In steps of ``1 / code.unit`` level, int16 ``[..., neurons]``.
    """
    distance = code.unit * (code.top - slots.to(torch.int16)) - code.read_level.to(torch.int16)
    return distance.masked_fill(slots == SILENT, 0)


def count_events(slots: Tensor) -> int:
    """Number of spikes in a tensor of slots."""
    return int((slots != SILENT).sum())
