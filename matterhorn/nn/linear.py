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

ROOT_LARGEST = {"int2": 1**0.5, "int4": 7**0.5}
"""√Q by kind, where Q is the largest integer weight."""

ZERO_EDGE = 0.7
"""Ternary weights are 0 up to this share of the mean magnitude of their row."""

Product = Callable[[Tensor, Tensor], Tensor]
"""Maps levels ``[..., in]`` and weights ``[out, in]`` to sums ``[..., out]``."""

MAX_OFFSET = 0.49
"""Maximum distance of a latent weight from its integer, in steps. At 0.5 it would be rounded to another one."""


def quantize_weights(weight: Tensor, kind: str, ratio: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Quantize weights to integers with a scale per row: w_ij ≈ α_i · n_ij. ``[out, in] → (float [out, in], [out])``.

    ``"int1"``: n = sign(w − mean), α = mean|w − mean| (BiT, arXiv 2205.13016, per row). ``"ternary"``: n = 0 up to
    0.7·mean|w|, else sign(w), and α = mean|w| of the latter (TWN, arXiv 1605.04711). ``"int2"``, ``"int4"``: w/α
    rounded to −2^(b−1) … 2^(b−1) − 1 with α = 2·mean|w|/√Q, LSQ's initial scale (arXiv 1902.08153), times ``ratio
    [out]`` if given.
    """
    if kind == "int1":
        centered = weight - weight.mean(1, keepdim=True)
        return torch.where(centered >= 0, 1.0, -1.0), centered.abs().mean(1)
    size = weight.abs()
    if kind == "ternary":
        kept = size > ZERO_EDGE * size.mean(1, keepdim=True)
        return weight.sign() * kept, (size * kept).sum(1) / kept.sum(1).clamp(min=1)
    scale = (2 * size.mean(1) / ROOT_LARGEST[kind] * (1.0 if ratio is None else ratio)).clamp(min=1e-8)
    return round_to(weight, scale, kind), scale


def round_to(weight: Tensor, scale: Tensor, kind: str) -> Tensor:
    """Round weights to the nearest integers of a kind at given scales. ``[out, n], [out] → [out, n]``."""
    if kind == "int1":
        return torch.where(weight >= 0, 1.0, -1.0)
    high = 1 if kind == "ternary" else 2 ** (int(kind.removeprefix("int")) - 1) - 1
    return (weight / scale[:, None]).round().clamp(-1 if kind == "ternary" else -high - 1, high)


def latent_steps(integers: Tensor, real: Tensor, kind: str) -> Tensor:
    """Latent weights, in steps of their scale, that are quantized to given integers.

    Each keeps the distance of ``real`` from its integer, limited so that it is still rounded to this integer.

    Args:
        integers: integer weights ``[out, in]``.
        real: the numbers that were rounded to them, in steps of the scale, ``[out, in]``.
        kind: kind of the weights.
    """
    if kind == "int1":
        return integers * (integers * real).clamp(min=1 - 2 * MAX_OFFSET)
    if kind != "ternary":
        return integers + (real - integers).clamp(-MAX_OFFSET, MAX_OFFSET)
    # Nonzero weights need a mean magnitude of 1. With m the mean magnitude of all weights, nonzero ones must lie above
    # the edge ZERO_EDGE · m, and zeros below it.
    kept = integers != 0
    share = kept.float().mean(1, keepdim=True)
    below = torch.where(kept, 0, real.abs().clamp(max=MAX_OFFSET) / 0.5)
    edge = ZERO_EDGE * share / (1 - ZERO_EDGE * below.mean(1, keepdim=True))
    above = torch.where(kept, (integers * real).clamp(min=1 - MAX_OFFSET) - 0.5, 0)
    above = (1 - edge) * above * share / above.mean(1, keepdim=True).clamp(min=1e-9)
    return torch.where(kept, integers * (edge + above), real.sign() * below * edge)


def one_bit_latents(sizes: Tensor, positive: Tensor, scale: Tensor) -> Tensor:
    """One-bit latent weights ``[out, in]`` that are quantized to given signs and scales.

    Each row has a mean of 0. A row in which all signs are the same must have a scale of 0, as signs are relative to the
    mean.

    Args:
        sizes: magnitudes > 0, ``[out, in]``. They are scaled for each sign of a row separately.
        positive: signs, bool ``[out, in]``.
        scale: scales ``[out]``.
    """
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
    """Quantization with a straight-through gradient: the latent weight gets the gradient of α · n.

    The caller multiplies the sums by a detached α, so the gradient of n is divided by it.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, kind: str, ratio: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        latent = weight.detach()  # torch.compile would specialize on the sizes of a Parameter
        integers, scale = _integers_in(latent, kind, ratio, dtype)
        ctx.save_for_backward(scale)
        ctx.mark_non_differentiable(scale)
        return integers, scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> Any:
        (scale,) = ctx.saved_tensors
        return _unscale(grad, scale), None, None, None


class ExactProduct(Function):
    """Product of levels ``[..., in]``, multiples of ⅛, with integer weights ``[out, in]``, summed in int32.

    Sums are exact as in a program, while a product in bfloat16 would round them. Gradients are those of an ordinary
    product. Eighths of a level and weights must fit int8, i.e. levels have up to 4 bits, weights any supported width.
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
    """A trainable connection: maps integer levels to real potentials.

    Levels are multiplied with integer weights, and the scale s·α is applied to the sums. In evaluation, in float32, the
    sums are thus exact integers, and only the scale and the bias are rounded, once each.

    Args:
        fan_in, fan_out: numbers of inputs and outputs.
        kind: width of the weights (:func:`quantize_weights`).
        level_bits: bits of the input levels. Up to 4 bits, training on a GPU uses :class:`ExactProduct`.

    Attributes:
        weight: latent weights ``[out, in]``.
        bias: real ``[out]``.
        ratio: scale of each row relative to LSQ's initial one, ``[out]``, for weights of 2 and 4 bits; else None.
        deviation: deviation of an array's cells, which is added to the integer weights in training, ``[out, in]``.
            None: no deviation.
    """

    ratio: Tensor | None

    def __init__(self, fan_in: int, fan_out: int, kind: str, level_bits: int = 8):
        super().__init__()
        self.kind, self.level_bits = kind, level_bits
        self.register_buffer("ratio", torch.ones(fan_out) if kind in ROOT_LARGEST else None)
        self.weight = nn.Parameter(torch.empty(fan_out, fan_in))
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.deviation: Tensor | None = None
        nn.init.normal_(self.weight, std=0.02)

    def integers(self) -> tuple[Tensor, Tensor]:
        """Integer weights (float ``[out, in]``) and scales ``[out]``."""
        return quantize_weights(self.weight, self.kind, self.ratio)

    @torch.no_grad()
    def fill(self, integers: Tensor, scale: Tensor, real: Tensor | None = None) -> None:
        """Set latent weights that are quantized to given integers and scales.

        Args:
            integers: integer weights, float ``[out, in]``.
            scale: scales ``[out]``.
            real: the numbers that were rounded to the integers, in steps of the scale. Latent weights then keep their
                distances from the integers (:func:`latent_steps`), so that those close to another integer flip early in
                training. None: latent weights lie at the integers.
        """
        steps = integers if real is None else latent_steps(integers, real, self.kind)
        if self.kind == "int1":  # signs are relative to the mean of a row; each side has half of the total magnitude
            up, down = steps.clamp(min=0), (-steps).clamp(min=0)
            steps = 0.5 * (up / up.mean(1, keepdim=True).clamp(min=1e-3))
            steps = steps - 0.5 * (down / down.mean(1, keepdim=True).clamp(min=1e-3))
        if self.ratio is not None:
            self.ratio.copy_(ROOT_LARGEST[self.kind] / (2 * steps.abs().mean(1)).clamp(min=1e-3))
        self.weight.copy_(steps * scale[:, None])

    def forward(self, levels: Tensor, scale: Tensor, product: Product = F.linear) -> Tensor:
        """Compute potentials ``[..., out]``.

        Args:
            levels: levels relative to the zero point, ``[..., in]``.
            scale: real value of one level, a scalar.
            product: how levels are multiplied with weights, unless :class:`ExactProduct` is used.
        """
        if self.training:
            device = self.weight.device.type
            autocast = torch.is_autocast_enabled(device)
            dtype = torch.get_autocast_dtype(device) if autocast else self.weight.dtype
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
        """Whether :class:`ExactProduct` can multiply these: a GPU needs more than 16 rows, and sizes divisible by 8."""
        fan_out, fan_in = self.weight.shape
        even = fan_in % 8 == 0 and fan_out % 8 == 0 and levels[..., 0].numel() > 16
        return even and self.level_bits <= 4 and self.deviation is None


class FixedLinear(nn.Module):
    """A connection that cannot be trained, with the integer weights and scales of a program.

    Buffers: ``weights`` float32 ``[out, in]``; ``scale``, which includes that of the levels, and ``bias``, float32
    ``[out]``.
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
        """Map levels ``[..., in]`` relative to the zero point to potentials ``[..., out]``.

        ``scale`` is ignored, since the buffer includes it.
        """
        return product(levels, self.weights) * self.scale + self.bias
