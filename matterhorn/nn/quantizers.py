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
from .gelu import gelu_inverse

SCALE_MIN, GAIN_MIN = 1e-4, 1e-2

LEAK = 0.25
"""Share of the straight-through gradient that reaches values deep inside a dead zone (found by trial,
docs/method.md)."""

UNSET = float("nan")
"""Value of a scale before calibration."""

Limit = float | Tensor
"""Lowest or highest level relative to the zero point, one for all neurons or ``[neurons]``."""


class Events(NamedTuple):
    """What a population sent in one pass, over existing tokens: number of events and number of windows.

    Both are scalars. The number of events has a gradient.
    """

    events: Tensor
    windows: Tensor


class Sent(NamedTuple):
    """What a population sends.

    Attributes:
        levels: levels relative to the zero point, as receivers read them, float ``[..., neurons]``.
        events: in training, the numbers of events and windows.
        silent: in training, what silence is read as, relative to the zero point, ``[neurons]`` or ``[1]``.
    """

    levels: Tensor
    events: Events | None
    silent: Tensor | None = None


@fused
def _masked_round(
    x: Tensor, s: Tensor, low: Limit, high: Limit, silent: Tensor, value: Tensor, k: float, present: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return x in units of s, the levels as receivers read them, and the number of events of existing tokens.

    Levels are relative to the zero point, as in :class:`_MaskedRound`.
    """
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
    low: Limit,
    high: Limit,
    silent: Tensor,
    k: float,
    present: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gradients of u = x/s and of log s; see :class:`_MaskedRound`."""
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
    """Add, for existing tokens, the gradient that reaches u through a scale that follows x."""
    return grad_u + share * (u * present)


class _MaskedRound(Function):
    """Quantization with a dead zone, with straight-through gradients: (x, s) → (v, number of events).

    v is the level relative to the zero point: q − z, or r − z in the dead zone. So are ``low``, ``high`` and ``reach``
    (the ends of the range), ``silent`` and ``value`` (the silent levels and what they are read as).

    Gradient of x: dv/dx is 1/s for values within range, but :data:`LEAK`/s for those less than k levels away from the
    silent level. With the full gradient, every silent neuron would be driven out of the dead zone, since the values
    that the zone suppresses are missing downstream. Without any, silent neurons would not learn.

    Gradient of s: that of LSQ for the product s·v. The receiver multiplies v by a detached s, so this function
    accounts for both factors.

    The number of events has the surrogate gradient of a rectangle that reaches one level to either side of the edges of
    the dead zone.

    If the scale ``follows`` x to hold a share of silence (:class:`~matterhorn.distill.Silence`), it is assumed to be
    proportional to the root mean square of x: ds/dx = s·x/Σx². The gradient of x then includes the one through s.
    Otherwise x would grow to leave its dead zone, and the scale would grow with it without end. With it, a change of x
    in proportion to itself only has the gradient of s·v.
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
        grad_u, grad_s = _masked_round_grad(grad_v, grad_events, u, v, low, high, silent, k, present)
        if ctx.follows:
            total, size = _over_processes(torch.stack([grad_s, _square_sum(u, present)]))
            grad_u = _through_scale(grad_u, u, present, total / size.clamp(min=1e-6))
        return (grad_u / s).to(grad_v.dtype), grad_s / s / math.sqrt(u.numel() * max(ctx.reach, 1)), *[None] * 8


def _over_processes(sums: Tensor) -> Tensor:
    """Add sums over all processes, since a scale follows the values of all of them."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(sums)
    return sums


class ActivationQuantizer(nn.Module):
    """Quantizes real values to the levels of an M-TTFS population.

    Args:
        bits: bits of a level, T = 2^bits − 1.
        signed: whether the zero point is in the middle, 2^(bits−1), instead of at 0.
        neurons: number of neurons if each has its own silent level. 1: one silent level for the tensor.
        dead_zone: number k of levels on either side of the silent level that send nothing.
        gains: number of neurons if each has a learned gain g, by which its value is multiplied first. 0: no gains.
            Gains become part of the thresholds at no cost. They give few-bit weights a scale per column in addition to
            α, the scale per row (OneBit, arXiv 2402.11295).
        zeros: number of neurons if each has its own zero point. 0: one for all. Zero points become part of the
            receivers' offsets.
        activation: function that is applied before quantization and becomes part of the thresholds: "gelu", or "" for
            none. (Unsigned levels imply a ReLU.)

    Attributes:
        zero: zero point, i.e. the level that stands for 0.
        zeros: zero points of the neurons, int16 ``[neurons]``, or None.
        silent: silent levels, int16 ``[neurons or 1]``.
        silent_value: what silence is read as, in eighths of a level, int16 ``[neurons or 1]``.
        follows: whether the scale follows the values in training, instead of being learned.
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
        """The gains g > 0, ``[neurons]``. The population must have gains."""
        assert self.gain is not None
        return self.gain.clamp(min=GAIN_MIN)

    @property
    def pitch(self) -> Tensor:
        """Distance between two levels in units of the input: s/g, ``[neurons]``, or s without gains."""
        return self.positive_scale if self.gain is None else self.positive_scale / self.positive_gain

    @property
    def origin(self) -> int | Tensor:
        """Zero point, one for all neurons or int16 ``[neurons]``."""
        return self.zero if self.zeros is None else self.zeros

    @property
    def limits(self) -> tuple[Limit, Limit]:
        """Lowest and highest level relative to the zero point."""
        if self.zeros is None:
            return float(-self.zero), float(self.top - self.zero)
        return -self.zeros, self.top - self.zeros

    def activated(self, x: Tensor) -> Tensor:
        """Apply the activation to x."""
        return functional.gelu(x) if self.activation == "gelu" else x

    def amplify(self, x: Tensor) -> Tensor:
        """Return what is quantized: the activated x times the gain of its neuron, ``[..., neurons]``."""
        return self.activated(x) if self.gain is None else self.activated(x) * self.positive_gain

    @property
    def has_fractions(self) -> bool:
        """Whether any silence is read as something else than its silent level, which calibration decides."""
        return bool((self.silent_value != EIGHTHS * self.silent).any())

    @property
    def unit(self) -> int:
        """Steps of κ per level, as in :attr:`Code.unit`."""
        return EIGHTHS if self.has_fractions else 1

    @property
    def code(self) -> Code:
        """The population's code, in NumPy arrays."""
        value = self.silent_value.cpu().numpy() if self.has_fractions else None
        return Code(self.bits, self.silent.cpu().numpy(), self.dead_zone, value)

    def levels(self, x: Tensor) -> Tensor:
        """Quantize to levels q before masking, as float, any shape. This alone defines levels in evaluation.

        After a GELU, a level is the number of thresholds that x reaches. The thresholds depend only on the neuron.
        Computing GELU(x) itself could round differently for other shapes of x.
        """
        if self.activation == "gelu":
            middles = torch.arange(0.5, self.top).to(x) * self.pitch.detach().unsqueeze(-1)
            thresholds = gelu_inverse(middles).expand(x.shape[-1], -1).contiguous()
            reached = torch.searchsorted(thresholds, x.reshape(-1, x.shape[-1]).T.contiguous(), right=True)
            return reached.T.to(x.dtype).reshape(x.shape)
        return ((x / self.pitch).round() + self.origin).clamp(0, self.top)

    def forward(self, x: Tensor, present: Tensor | None = None) -> Sent:
        """Quantize values ``[..., neurons]``: g · x ≈ s · levels.

        ``present``: which windows exist, bool, broadcastable to x, with as many dimensions. None: all.
        """
        origin, k = self.origin, self.dead_zone
        silent, value = self.silent - origin, self.silent_value / EIGHTHS - origin
        if self.training:
            if present is None:
                present = torch.ones([1] * x.dim(), dtype=torch.bool, device=x.device)
            code = silent.to(x.dtype), value.to(x.dtype), k, self.top - self.zero
            levels, events = _MaskedRound.apply(  # type: ignore[no-untyped-call]
                self.amplify(x), self.positive_scale, *self.limits, *code, present, self.follows
            )
            windows = present.sum(dtype=torch.float32) * (x.numel() / present.numel())
            return Sent(levels, Events(events, windows), value)
        v = self.levels(x) - origin
        return Sent(torch.where((v - silent).abs() <= k, value, v) if k or self.has_fractions else v, None)
