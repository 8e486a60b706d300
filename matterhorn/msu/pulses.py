"""Pulses: how long rows are driven, and how much of a pulse the integrator still holds when it is read.

A row latches its spike and plays |κ| steps at ± V_read; all pulses of a window end together, and the integrators are
read then. So a plain first spike (m = 0) is a row that goes up at its spike and down at the end of the window.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def pulse_lengths(kernel: Tensor, spread: float, generator: torch.Generator | None) -> Tensor:
    """Signed lengths, in kernel steps, with a jitter of ``spread`` steps on every pulse sent. ``[...] → [...]``."""
    lengths = kernel if kernel.is_floating_point() else kernel.to(torch.float32)
    if spread == 0:
        return lengths
    noise = torch.randn(lengths.shape, generator=generator, dtype=lengths.dtype)
    return lengths + spread * noise * (lengths != 0)


def remembered(lengths: Tensor, rate: float) -> Tensor:
    """Length that is left of a pulse that ends when it is read: ∫_0^|l| e^(−rate·s) ds = (1 − e^(−rate·|l|)) / rate.

    ``rate`` is kernel step over leak time constant; 0 forgets nothing.
    """
    if rate == 0:
        return lengths
    return torch.copysign(-torch.expm1(-rate * lengths.abs()) / rate, lengths)


def step_memory(rate: float) -> tuple[float, float]:
    """What one kernel step leaves of an older charge, and what it keeps of the charge it brings."""
    if rate == 0:
        return 1.0, 1.0
    return math.exp(-rate), -math.expm1(-rate) / rate
