"""The learned-scale quantizer for activations that are sent as events.

It has straight-through gradients and a learned scale as in LSQ (Esser et al., arXiv 1902.08153), in the form of BiT
(arXiv 2205.13016): the gradient of the scale is divided by √(n·Q).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from ..coding import EIGHTHS, Code
from .fusion import fused

SCALE_MIN, GAIN_MIN = 1e-4, 1e-2

LEAK = 0.25
"""Share of the straight-through gradient that reaches values deep inside a dead zone (by trial, docs/method.md)."""

NEWTON = 8
"""Number of Newton steps, starting within 0.17 of the solution; more than enough (tests/nn)."""

UNSET = float("nan")
"""Value of a scale before calibration."""


Limit = float | Tensor
"""A lowest or highest level relative to the zero point, for all neurons or per neuron ``[neurons]``."""


class Events(NamedTuple):
    """What a population sent in one pass, over existing tokens: number of events and number of windows.

    Both are scalars. The number of events has a gradient.
    """

    events: Tensor
    windows: Tensor


class Sent(NamedTuple):
    """What a population hands on: ``levels`` relative to its zero point, as receivers read them, float ``[...,
    neurons]``; and, in training only, its events and the levels that silence is read as, ``[neurons]`` or ``[1]``."""

    levels: Tensor
    events: Events | None
    silent: Tensor | None = None


@fused
def _masked_round(
    x: Tensor, s: Tensor, low: Limit, high: Limit, silent: Tensor, value: Tensor, k: float, present: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """x in units of s; levels as a receiver reads them, relative to the zero point; the number of existing events."""
    u = x / s
    v = u.round().clamp(low, high)  # type: ignore[arg-type]
    distance = (v - silent).abs()
    return u, torch.where(distance <= k, value, v), ((distance > k) & present).sum(dtype=torch.float32)


@fused
def _masked_round_grad(
    grad_v: Tensor,
    grad_events: Tensor,
    u: Tensor,
    v: Tensor,
    s: Tensor,
    low: Limit,
    high: Limit,
    silent: Tensor,
    k: float,
    present: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gradients of u and of log s with s held; see :class:`_MaskedRound`."""
    offset = u - silent
    near = ((offset.abs() - (k + 0.5)).abs() < 1) & present
    slope = torch.where(offset.abs() >= k, 1.0, LEAK).to(grad_v.dtype)
    push = offset.sign() * near * (0.5 * grad_events)
    grad_u = grad_v * ((u > low - 0.5) & (u < high + 0.5)) * slope + push
    return grad_u, (grad_v * v).float().sum() - (grad_u * u).float().sum()


@fused
def _square_sum(u: Tensor, present: Tensor) -> Tensor:
    own = u * present
    return (own * own).float().sum()


@fused
def _through_scale(grad_u: Tensor, u: Tensor, present: Tensor, share: Tensor) -> Tensor:
    """The gradient of u with what comes through a scale that follows, of tokens that exist alone."""
    return grad_u + share * (u * present)


class _MaskedRound(Function):
    """Levels relative to the zero point, the dead zone in place, and how many of them are events.

    (x, s) → v = q − z or, in the dead zone, r − z. Backward: dv/dx is 1/s within range, outside the dead zone and in
    its outermost level, and :data:`LEAK` of that deeper inside. All of it would drive every silent neuron out of the
    zone, since what silence swallows is missing downstream; with none of it the silent stop learning. The gradient of
    the scale is LSQ's for s·v, with s held fixed in the scale that follows.
    The count of events has the gradient of a rectangle one level wide on either side of the dead zone's edges.

    Where the scale ``follows`` x, so that a share of silence stays (:class:`~matterhorn.distill.Silence`), it is taken
    to be in proportion to the root mean square of x, and the gradient of x has what the scale hands on:
    ds/dx = s · x/Σx². Without it x grows to leave its dead zone, and the scale grows after it without end. With it
    all that is left along x is the gradient of s · v.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        s: Tensor,
        low: Limit,
        high: Limit,
        silent: Tensor,
        value: Tensor,
        k: int,
        reach: int,
        present: Tensor,
        follows: bool,
    ) -> Any:
        u, v, events = _masked_round(x, s, low, high, silent, value, float(k), present)
        ctx.save_for_backward(u, v, s, silent, present)
        ctx.range, ctx.reach, ctx.follows = (low, high, float(k)), reach, follows
        return v, events

    @staticmethod
    def backward(ctx: Any, grad_v: Tensor, grad_events: Tensor) -> Any:
        u, v, s, silent, present = ctx.saved_tensors
        low, high, k = ctx.range
        grad_u, grad_s = _masked_round_grad(grad_v, grad_events, u, v, s, low, high, silent, k, present)
        if ctx.follows:
            total, size = _over_processes(torch.stack([grad_s, _square_sum(u, present)]))
            grad_u = _through_scale(grad_u, u, present, total / size.clamp(min=1e-6))
        return (grad_u / s).to(grad_v.dtype), grad_s / s / math.sqrt(u.numel() * max(ctx.reach, 1)), *[None] * 8


def _over_processes(sums: Tensor) -> Tensor:
    """Sums over all processes that share a step: a scale follows what all of them send."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(sums)
    return sums


def gelu_inverse(y: Tensor) -> Tensor:
    """The x ≥ 0 with GELU(x) = y, for y ≥ 0; any shape. By Newton's method in double precision, whose last bits do not
    outlive the rounding to float32."""
    wanted = y.double()
    x = wanted + 0.1
    for _ in range(NEWTON):
        density = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        share = (1 + torch.erf(x / math.sqrt(2))) / 2
        x = x - (x * share - wanted) / (share + x * density)
    return x.to(y.dtype)


class ActivationQuantizer(nn.Module):
    """Turns real values into the levels of an M-TTFS population; knows its code.

    Args:
        bits: width of a level, T = 2^bits − 1.
        signed: zero point in the middle (2^(bits−1)) instead of at 0.
        neurons: how many neurons have a silent level of their own; 1: one for the tensor.
        dead_zone: k, levels on either side of the silent one that send nothing.
        gains: how many neurons have a learned gain of their own before they are quantized (receivers read g·x); 0:
            none. It folds into the neuron's thresholds and costs nothing, and gives few-bit weights a scale per column
            where their α is a scale per row (OneBit, arXiv 2402.11295).
        zeros: how many neurons have a zero point of their own; 0: none. It folds into what silence stands for.
        activation: what comes before the levels, and lies in them: "gelu", or "" (unsigned levels are a ReLU).

    Attributes:
        zero: the level that stands for 0; ``zeros``, int16 ``[neurons]``: those of neurons that have their own.
        follows: whether in training the scale follows the values, in place of being learned.
    """

    silent: Tensor
    silent_value: Tensor
    zeros: Tensor | None

    def __init__(
        self,
        bits: int,
        *,
        signed: bool,
        neurons: int = 1,
        dead_zone: int = 0,
        gains: int = 0,
        zeros: int = 0,
        activation: str = "",
    ):
        super().__init__()
        self.bits, self.zero, self.top, self.dead_zone = bits, 2 ** (bits - 1) if signed else 0, 2**bits - 1, dead_zone
        self.activation, self.follows = activation, False
        self.scale = nn.Parameter(torch.tensor(UNSET))
        self.gain = nn.Parameter(torch.ones(gains)) if gains else None
        self.register_buffer("zeros", torch.full((zeros,), self.zero, dtype=torch.int16) if zeros else None)
        self.register_buffer("silent", torch.full((neurons,), self.zero, dtype=torch.int16))
        self.register_buffer("silent_value", torch.full((neurons,), EIGHTHS * self.zero, dtype=torch.int16))

    @property
    def positive_scale(self) -> Tensor:
        """The scale s > 0, a scalar."""
        return self.scale.clamp(min=SCALE_MIN)

    @property
    def positive_gain(self) -> Tensor:
        """The gains g > 0, ``[neurons]``, of a population that has them."""
        assert self.gain is not None
        return self.gain.clamp(min=GAIN_MIN)

    @property
    def pitch(self) -> Tensor:
        """Distance between two levels before the gain: s/g, ``[neurons]``, or s where there are no gains."""
        return self.positive_scale if self.gain is None else self.positive_scale / self.positive_gain

    @property
    def origin(self) -> int | Tensor:
        """Zero points: one for all, or int16 ``[neurons]``."""
        return self.zero if self.zeros is None else self.zeros

    @property
    def limits(self) -> tuple[Limit, Limit]:
        """Lowest and highest level relative to the zero point."""
        if self.zeros is None:
            return float(-self.zero), float(self.top - self.zero)
        return -self.zeros, self.top - self.zeros

    def behind(self, x: Tensor) -> Tensor:
        """What levels stand for: x behind its activation."""
        return functional.gelu(x) if self.activation == "gelu" else x

    def amplify(self, x: Tensor) -> Tensor:
        """What is quantized: x behind its activation, times the gain of its neuron, ``[..., neurons]``."""
        return self.behind(x) if self.gain is None else self.behind(x) * self.positive_gain

    @property
    def has_fractions(self) -> bool:
        """Whether silence is read as a fraction of a level anywhere: only where calibration chose so."""
        return bool((self.silent_value != EIGHTHS * self.silent).any())

    @property
    def unit(self) -> int:
        """Steps of κ per level, as in :attr:`Code.unit`."""
        return EIGHTHS if self.has_fractions else 1

    @property
    def code(self) -> Code:
        """The population's code, as NumPy."""
        value = self.silent_value.cpu().numpy() if self.has_fractions else None
        return Code(self.bits, self.silent.cpu().numpy(), self.dead_zone, value)

    def levels(self, x: Tensor) -> Tensor:
        """Levels q before masking, as float. Any shape; the one place that defines x → q in evaluation.

        Behind a GELU they are counted: those whose lower edges x reaches. The edges are the same for all rows, which a
        GELU of x itself, summed up in another order, would not be to the bit.
        """
        if self.activation == "gelu":
            middles = torch.arange(0.5, self.top).to(x) * self.pitch.detach().unsqueeze(-1)
            edges = gelu_inverse(middles).expand(x.shape[-1], -1).contiguous()
            reached = torch.searchsorted(edges, x.reshape(-1, x.shape[-1]).T.contiguous(), right=True)
            return reached.T.to(x.dtype).reshape(x.shape)
        return ((x / self.pitch).round() + self.origin).clamp(0, self.top)

    def forward(self, x: Tensor, present: Tensor | None = None) -> Sent:
        """Real values ``[..., neurons]`` → what is sent; g · x ≈ s · levels. ``present``: where a window exists, bool,
        as many dimensions as x, each its size or 1; None: everywhere."""
        origin, k = self.origin, self.dead_zone
        silent, value = self.silent - origin, self.silent_value / EIGHTHS - origin
        if self.training:
            exist = torch.ones([1] * x.dim(), dtype=torch.bool, device=x.device) if present is None else present
            own = silent.to(x.dtype), value.to(x.dtype), k, self.top - self.zero, exist, self.follows
            levels, events = _MaskedRound.apply(  # type: ignore[no-untyped-call]
                self.amplify(x), self.positive_scale, *self.limits, *own
            )
            windows = exist.sum(dtype=torch.float32) * (x.numel() / exist.numel())
            return Sent(levels, Events(events, windows), value)
        v = self.levels(x) - origin
        return Sent(torch.where((v - silent).abs() <= k, value, v) if k or self.has_fractions else v, None)
