"""The quantizer of keys and values, which are stored as few-bit integers.

Gradients are those of LSQ (:mod:`matterhorn.nn.quantizers`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from .fusion import fused
from .quantizers import SCALE_MIN, UNSET


@fused
def _stored_round(x: Tensor, s: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return x in units of s, and the operand: the sign of x for one bit (``low`` = −1), else the nearest integer."""
    u = x / s
    return u, (u >= 0).to(x.dtype) * 2 - 1 if low == -1 else u.round().clamp(low, high)


@fused
def _stored_round_grad(
    grad_v: Tensor, u: Tensor, v: Tensor, s: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """Gradients of x and s."""
    margin = 0.0 if low == -1 else 0.5
    grad_u = grad_v * ((u > low - margin) & (u < high + margin))
    grad_s = (grad_v * v).float().sum() - (grad_u * u).float().sum()
    return (grad_u / s).to(grad_v.dtype), grad_s / s


class _StoredRound(Function):
    """Quantization to the operand, ±1 for one bit and low … high for more, with the gradients of LSQ."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor, low: int, high: int) -> Tensor:
        u, v = _stored_round(x, s, float(low), float(high))
        ctx.save_for_backward(u, v, s)
        ctx.range = float(low), float(high)
        return v

    @staticmethod
    def backward(ctx: Any, grad_v: Tensor) -> Any:
        u, v, s = ctx.saved_tensors
        low, high = ctx.range
        grad_x, grad_s = _stored_round_grad(grad_v, u, v, s, low, high)
        return grad_x, grad_s / math.sqrt(u.numel() * high), None, None


class StoredQuantizer(nn.Module):
    """Quantizes keys or values for storage: to ±1 with one bit, or to a signed integer with more."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits
        self.low: int = -1 if bits == 1 else -(2 ** (bits - 1))
        self.high: int = 1 if bits == 1 else 2 ** (bits - 1) - 1
        self.scale = nn.Parameter(torch.tensor(UNSET))

    @property
    def positive_scale(self) -> Tensor:
        """The scale s > 0, a scalar."""
        return self.scale.clamp(min=SCALE_MIN)

    def operand(self, x: Tensor) -> Tensor:
        """Quantize to the integer operand, as float. This alone defines stored values in evaluation."""
        u: Tensor = x / self.positive_scale
        operand: Tensor = torch.where(u >= 0, 1.0, -1.0) if self.bits == 1 else u.round().clamp(self.low, self.high)
        return operand

    def levels(self, x: Tensor) -> Tensor:
        """Return the operand as a level counted from 0, i.e. the number of thresholds that x reaches."""
        operand = self.operand(x)
        return (operand + 1) / 2 if self.bits == 1 else operand - self.low

    def forward(self, x: Tensor) -> Tensor:
        """Quantize x of any shape to its integer operand v, as float: x ≈ s · v."""
        if self.training:
            operand: Tensor = _StoredRound.apply(  # type: ignore[no-untyped-call]
                x, self.positive_scale, self.low, self.high
            )
            return operand
        return self.operand(x)
