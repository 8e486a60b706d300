"""Linear maps with few-bit weights: integer weights times a scale per output neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from ..coding import EIGHTHS
from .fusion import fused

START = {"int2": 1**0.5, "int4": 7**0.5}
"""√Q, with Q the largest weight."""

ZERO_EDGE = 0.7
"""Share of a row's mean magnitude below which ternary weights are 0."""

Product = Callable[[Tensor, Tensor], Tensor]
"""Levels ``[..., in]``, weights ``[out, in]`` → sums ``[..., out]``."""

WITHIN = 0.49
"""Maximum distance of a latent weight from its integer, in steps."""


def quantize_weights(weight: Tensor, kind: str, ratio: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Integer weights and the scale of each row: w ≈ α_i · n_ij. ``[out, in] → (float [out, in], [out])``.

    ``"int1"``: n = sign(w − mean), α = mean|w − mean| (BiT, arXiv 2205.13016, per row). ``"ternary"``: n = 0 below
    0.7·mean|w|, α = mean|w| of the rest (TWN, arXiv 1605.04711). ``"int2"``, ``"int4"``: rounded to −2^(b−1) …
    2^(b−1) − 1 with α = 2·mean|w|/√Q (the LSQ start, arXiv 1902.08153), times ``ratio`` ``[out]`` if given.
    """
    if kind == "int1":
        centered = weight - weight.mean(1, keepdim=True)
        return torch.where(centered >= 0, 1.0, -1.0), centered.abs().mean(1)
    size = weight.abs()
    if kind == "ternary":
        kept = size > ZERO_EDGE * size.mean(1, keepdim=True)
        return weight.sign() * kept, (size * kept).sum(1) / kept.sum(1).clamp(min=1)
    scale = (2 * size.mean(1) / START[kind] * (1.0 if ratio is None else ratio)).clamp(min=1e-8)
    return round_to(weight, scale, kind), scale


def round_to(weight: Tensor, scale: Tensor, kind: str) -> Tensor:
    """Round weights at given scales to the nearest integers of a kind. ``[out, n], [out] → [out, n]``."""
    if kind == "int1":
        return torch.where(weight >= 0, 1.0, -1.0)
    high = 1 if kind == "ternary" else 2 ** (int(kind.removeprefix("int")) - 1) - 1
    return (weight / scale[:, None]).round().clamp(-1 if kind == "ternary" else -high - 1, high)


def near(integers: Tensor, real: Tensor, kind: str) -> Tensor:
    """Latent weights ``[out, in]`` in steps of their scale that are quantized to integers, each as far from the next
    one as the real number that was rounded to it, where that is on the same side."""
    if kind == "int1":
        return integers * (integers * real).clamp(min=1 - 2 * WITHIN)
    if kind != "ternary":
        return integers + (real - integers).clamp(-WITHIN, WITHIN)
    # What is kept has a mean size of 1, and lies above ZERO_EDGE times the mean size of all; zeros lie below.
    kept = integers != 0
    share = kept.float().mean(1, keepdim=True)
    below = torch.where(kept, 0, real.abs().clamp(max=WITHIN) / 0.5)
    edge = ZERO_EDGE * share / (1 - ZERO_EDGE * below.mean(1, keepdim=True))
    above = torch.where(kept, (integers * real).clamp(min=1 - WITHIN) - 0.5, 0)
    above = (1 - edge) * above * share / above.mean(1, keepdim=True).clamp(min=1e-9)
    return torch.where(kept, integers * (edge + above), real.sign() * below * edge)


def around(sizes: Tensor, positive: Tensor, scale: Tensor) -> Tensor:
    """One-bit latent weights ``[out, in]`` around a mean of 0, with these sizes > 0 in relation to the others of their
    sign, that are quantized to these signs and scales ``[out]``. A row of one sign alone has no scale but 0."""
    sides = (sizes * positive, sizes * ~positive)
    above, below = (side / side.sum(1, keepdim=True).clamp(min=1e-12) for side in sides)
    return (above - below) * scale[:, None] * sizes.shape[1] / 2


@fused
def _integers_in(weight: Tensor, kind: str, ratio: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    integers, scale = quantize_weights(weight, kind, ratio)
    return integers.to(dtype), scale


@fused
def _unscale(grad: Tensor, scale: Tensor) -> Tensor:
    return grad.to(scale.dtype) / scale.clamp(min=1e-8)[:, None]


@fused
def _potentials(sums: Tensor, factor: Tensor, bias: Tensor) -> Tensor:
    return sums * factor + bias


class _StraightWeights(Function):
    """Integer weights whose gradient reaches the latent weight as if it had been α · n itself."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, kind: str, ratio: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        integers, scale = _integers_in(weight.detach(), kind, ratio, dtype)  # (a parameter is compiled per size)
        ctx.save_for_backward(scale)
        ctx.mark_non_differentiable(scale)
        return integers, scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> Any:
        (scale,) = ctx.saved_tensors
        return _unscale(grad, scale), None, None, None


class ExactProduct(Function):
    """Levels ``[..., in]`` in eighths times integer weights ``[out, in]``, summed in int32 as a program does, where a
    product in bfloat16 would round its sums. Backward as of that product.

    Both must fit int8: levels of up to 4 bits, weights of any width.
    """

    @staticmethod
    def forward(ctx: Any, levels: Tensor, integers: Tensor) -> Tensor:
        """Sums, float32 ``[..., out]``."""
        ctx.save_for_backward(levels, integers)
        rows = (levels.flatten(0, -2) * EIGHTHS).round().to(torch.int8)
        sums: Tensor = torch._int_mm(rows, integers.to(torch.int8).t())
        shape = *levels.shape[:-1], len(integers)
        return (sums.float() / EIGHTHS).reshape(shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Gradients of levels and weights."""
        levels, integers = ctx.saved_tensors
        own = grad.to(integers.dtype)
        weights = own.flatten(0, -2).t() @ levels.flatten(0, -2).to(own.dtype)
        return (own @ integers).to(levels.dtype), weights


class QuantizedLinear(nn.Module):
    """A connection in training: integer levels in, real potentials out.

    The product runs on integers (exact in bfloat16 and float32 alike) and the scale s·α follows it, so that evaluation
    in float32 is exact integer arithmetic up to one rounding per multiplication and addition.

    Args:
        level_bits: of its input; on a GPU, levels of up to 4 are trained on exact sums.

    Attributes:
        weight: latent weights ``[out, in]``. bias: ``[out]``.
        ratio: of weights of 2 and 4 bits: the scale of each row in that of LSQ's start, ``[out]``.
        deviation: what a real array adds to the integer weights in training, ``[out, in]``; None: nothing.
    """

    ratio: Tensor | None

    def __init__(self, fan_in: int, fan_out: int, kind: str, level_bits: int = 8):
        super().__init__()
        self.kind, self.level_bits = kind, level_bits
        self.register_buffer("ratio", torch.ones(fan_out) if kind in START else None)
        self.weight = nn.Parameter(torch.empty(fan_out, fan_in))
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.deviation: Tensor | None = None
        nn.init.normal_(self.weight, std=0.02)

    def integers(self) -> tuple[Tensor, Tensor]:
        """Integer weights (float ``[out, in]``) and scales ``[out]``."""
        return quantize_weights(self.weight, self.kind, self.ratio)

    @torch.no_grad()
    def fill(self, integers: Tensor, scale: Tensor, real: Tensor | None = None) -> None:
        """Take latent weights that are quantized to these integers, float ``[out, in]``, and scales ``[out]``.

        ``real``: what was rounded to them, in steps of the scale. Where a latent weight lies says how near it is to
        another integer, which training asks for.
        """
        steps = integers if real is None else near(integers, real, self.kind)
        if self.kind == "int1":  # signs are relative to the mean of a row; each side has half of the total magnitude
            up, down = steps.clamp(min=0), (-steps).clamp(min=0)
            steps = 0.5 * (up / up.mean(1, keepdim=True).clamp(min=1e-3))
            steps = steps - 0.5 * (down / down.mean(1, keepdim=True).clamp(min=1e-3))
        if self.ratio is not None:
            self.ratio.copy_(START[self.kind] / (2 * steps.abs().mean(1)).clamp(min=1e-3))
        self.weight.copy_(steps * scale[:, None])

    def forward(self, levels: Tensor, scale: Tensor, product: Product = F.linear) -> Tensor:
        """``levels [..., in]`` relative to the zero point and their scale → potentials ``[..., out]``; ``product``: how
        they are multiplied with weights ``[out, in]`` where that is not done in int8."""
        if self.training:
            device = self.weight.device.type
            lean = torch.is_autocast_enabled(device)
            dtype = torch.get_autocast_dtype(device) if lean else self.weight.dtype
            integers, alpha = _StraightWeights.apply(self.weight, self.kind, self.ratio, dtype)  # type: ignore[no-untyped-call]
            if self.deviation is not None:
                integers = integers + self.deviation.to(dtype)
        else:
            integers, alpha = self.integers()
        exact = self.training and levels.is_cuda and self._fits_int8(levels)
        sums: Tensor = (
            ExactProduct.apply(levels, integers)  # type: ignore[no-untyped-call]
            if exact
            else product(levels, integers)
        )
        factor = scale.detach() * alpha
        return _potentials(sums, factor, self.bias) if self.training else sums * factor + self.bias

    def _fits_int8(self, levels: Tensor) -> bool:
        """Whether a GPU can multiply these in int8: it wants more than 16 rows, and multiples of 8."""
        fan_out, fan_in = self.weight.shape
        even = fan_in % 8 == 0 and fan_out % 8 == 0 and levels[..., 0].numel() > 16
        return even and self.level_bits <= 4 and self.deviation is None


class FixedLinear(nn.Module):
    """A connection that is no longer trained: integer weights and scales as they were converted.

    Buffers: ``weights`` float ``[out, in]``, ``scale`` (that of the levels included) and ``bias`` float32 ``[out]``.
    """

    weights: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, weights: Tensor, scale: Tensor, bias: Tensor):
        super().__init__()
        self.register_buffer("weights", weights.to(torch.float32))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    def forward(self, levels: Tensor, scale: Tensor, product: Product = F.linear) -> Tensor:
        """``levels [..., in]`` relative to the zero point → potentials ``[..., out]``; ``scale`` is in the scale."""
        return product(levels, self.weights) * self.scale + self.bias
