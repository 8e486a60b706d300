"""Learned-step quantisers: of activations that are sent as events, and of keys and values that are stored.

Straight-through gradients with a learned step after LSQ (Esser et al., arXiv 1902.08153), as used by BiT
(arXiv 2205.13016): the gradient of the step is scaled by 1/√(n·Q).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from ..coding import READ_UNIT, Code
from .fusion import fused

STEP_MIN, GAIN_MIN = 1e-4, 1e-2

LEAK = 0.25
"""Share of the straight-through gradient that reaches values in the depth of a dead zone (chosen by trial:
docs/method.md)."""


@fused
def _masked_round(
    x: Tensor, s: Tensor, low: float, high: float, silent: Tensor, read: Tensor, k: float
) -> tuple[Tensor, Tensor, Tensor]:
    """x in steps; levels as a receiver reads them, relative to the zero point; the number of events."""
    u = x / s
    v = u.round().clamp(low, high)
    distance = (v - silent).abs()
    return u, torch.where(distance <= k, read, v), (distance > k).sum(dtype=torch.float32)


@fused
def _masked_round_grad(
    grad_v: Tensor,
    grad_events: Tensor,
    u: Tensor,
    v: Tensor,
    s: Tensor,
    low: float,
    high: float,
    silent: Tensor,
    k: float,
) -> tuple[Tensor, Tensor]:
    """Gradients of x and s; see :class:`_MaskedRound`."""
    offset = u - silent
    near = (offset.abs() - (k + 0.5)).abs() < 1
    slope = torch.where(offset.abs() >= k, 1.0, LEAK).to(grad_v.dtype)
    push = offset.sign() * near * (0.5 * grad_events)
    grad_u = grad_v * ((u > low - 0.5) & (u < high + 0.5)) * slope + push
    grad_s = (grad_v * v).float().sum() - (grad_u * u).float().sum()
    return (grad_u / s).to(grad_v.dtype), grad_s / s


class _MaskedRound(Function):
    """Levels relative to the zero point, the dead zone in place, and how many of them are events.

    (x, s) → v = q − z or, in the dead zone, r − z. Backward: dv/dx is 1/s within range, outside the dead zone and in
    its outermost level, and :data:`LEAK` of that deeper inside. All of it would drive every silent neuron out of the
    zone, since what silence swallows is missing downstream; with none of it the silent learn nothing any more. The
    step's gradient is LSQ's for s·v with s held in the scale that follows.
    The count of events has the gradient of a rectangle one level wide on either side of the dead zone's edges.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor, low: int, high: int, silent: Tensor, read: Tensor, k: int) -> Any:
        u, v, events = _masked_round(x, s, float(low), float(high), silent, read, float(k))
        ctx.save_for_backward(u, v, s, silent)
        ctx.range = float(low), float(high), float(k)
        return v, events

    @staticmethod
    def backward(ctx: Any, grad_v: Tensor, grad_events: Tensor) -> Any:
        u, v, s, silent = ctx.saved_tensors
        low, high, k = ctx.range
        grad_x, grad_s = _masked_round_grad(grad_v, grad_events, u, v, s, low, high, silent, k)
        return grad_x, grad_s / math.sqrt(u.numel() * max(high, 1)), None, None, None, None, None


class ActivationQuantiser(nn.Module):
    """Turns real values into the levels of an M-TTFS population; knows its code.

    Args:
        bits: width of a level, T = 2^bits − 1.
        signed: zero point in the middle (2^(bits−1)) instead of at 0.
        neurons: how many neurons have a silent level of their own; 1: one for the tensor.
        gains: how many neurons have a learned gain of their own before the quantiser (receivers read g·x); 0: none.
            It folds into the neuron's thresholds and costs nothing, and gives few-bit weights a scale per column, as
            their α is a scale per row (OneBit, arXiv 2402.11295).
    """

    def __init__(self, bits: int, *, signed: bool, neurons: int = 1, dead_zone: int = 0, gains: int = 0):
        super().__init__()
        self.bits, self.zero, self.top, self.dead_zone = bits, 2 ** (bits - 1) if signed else 0, 2**bits - 1, dead_zone
        self.step = nn.Parameter(torch.tensor(1.0))
        self.gain = nn.Parameter(torch.ones(gains)) if gains else None
        self.register_buffer("silent", torch.full((neurons,), self.zero, dtype=torch.int16))
        self.register_buffer("reads", torch.full((neurons,), READ_UNIT * self.zero, dtype=torch.int16))
        self.silent: Tensor
        self.reads: Tensor
        self.events: Tensor | None = None
        """Events of the last forward pass in training, differentiable; None in eval."""
        self.windows = 0

    @property
    def positive_step(self) -> Tensor:
        """The step s > 0, a scalar."""
        return self.step.clamp(min=STEP_MIN)

    @property
    def positive_gain(self) -> Tensor:
        """The gains g > 0, ``[neurons]``, of a population that has them."""
        assert self.gain is not None
        return self.gain.clamp(min=GAIN_MIN)

    @property
    def pitch(self) -> Tensor:
        """Distance of two levels before the gain: s/g, ``[neurons]``, or s where there are no gains."""
        return self.positive_step if self.gain is None else self.positive_step / self.positive_gain

    def amplify(self, x: Tensor) -> Tensor:
        """What is quantised: x times the gain of its neuron, ``[..., neurons]``."""
        return x if self.gain is None else x * self.positive_gain

    @property
    def code(self) -> Code:
        """The population's code; silence is read as a fraction only where calibration chose one."""
        fraction = bool((self.reads != READ_UNIT * self.silent).any())
        return Code(self.bits, self.silent.to(torch.int64), self.dead_zone, self.reads if fraction else None)

    def levels(self, x: Tensor) -> Tensor:
        """Levels q before masking, as float. Any shape; the one place that defines x → q in evaluation."""
        return ((x / self.pitch).round() + self.zero).clamp(0, self.top)

    def forward(self, x: Tensor) -> Tensor:
        """Levels relative to the zero point as a receiver reads them, float ``[..., neurons]``; g · x ≈ s · v."""
        silent, read = self.silent - self.zero, self.reads / READ_UNIT - self.zero
        if self.training:
            low, high = -self.zero, self.top - self.zero
            v, self.events = _MaskedRound.apply(
                self.amplify(x), self.positive_step, low, high, silent.to(x.dtype), read.to(x.dtype), self.dead_zone
            )
            self.windows = x.numel()
            return v
        v = self.levels(x) - self.zero
        return torch.where((v - silent).abs() <= self.dead_zone, read, v) if self.dead_zone else v


@fused
def _stored_round(x: Tensor, s: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """x in steps, and the operand: its sign where ``high`` is 1."""
    u = x / s
    return u, (u >= 0).to(x.dtype) * 2 - 1 if high == 1 else u.round().clamp(low, high)


@fused
def _stored_round_grad(
    grad_v: Tensor, u: Tensor, v: Tensor, s: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """Gradients of x and s as in LSQ."""
    margin = 0.0 if high == 1 else 0.5
    grad_u = grad_v * ((u > low - margin) & (u < high + margin))
    grad_s = (grad_v * v).float().sum() - (grad_u * u).float().sum()
    return (grad_u / s).to(grad_v.dtype), grad_s / s


class _StoredRound(Function):
    """Stored operand relative to its zero: ±1 for one bit, q − z for more. Gradients as in LSQ."""

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


class StoredQuantiser(nn.Module):
    """Quantises keys or values for storage beside the array: one bit (±1) by default."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits
        self.low: int = -1 if bits == 1 else -(2 ** (bits - 1))
        self.high: int = 1 if bits == 1 else 2 ** (bits - 1) - 1
        self.step = nn.Parameter(torch.tensor(1.0))

    @property
    def positive_step(self) -> Tensor:
        """The step s > 0, a scalar."""
        return self.step.clamp(min=STEP_MIN)

    def operand(self, x: Tensor) -> Tensor:
        """Integer operand as float; the one place that defines x → stored value in evaluation."""
        u = x / self.positive_step
        return torch.where(u >= 0, 1.0, -1.0) if self.bits == 1 else u.round().clamp(self.low, self.high)

    def forward(self, x: Tensor) -> Tensor:
        """Integer operand as float, any shape; x ≈ s · v."""
        if self.training:
            return _StoredRound.apply(x, self.positive_step, self.low, self.high)
        return self.operand(x)
