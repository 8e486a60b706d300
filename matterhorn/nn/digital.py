"""Definitions of the digital steps, which are all steps other than connections.

Each step is built from sums of integers, which are exact in any order, and from single IEEE operations. The same input
thus gives the same bits for any batch, number of threads or machine. The compiled kernels match these definitions
exactly.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..coding.fixed import EXP_ONE, FRACTION, LIMIT
from ..topology import TABLES

LEAST_STEP = 1e-4
"""Smallest exponent that a table's step may have: such a table has a hundred thousand entries."""


def fixed_point(x: Tensor) -> Tensor:
    """Integers (as float64) of x in steps of 2⁻¹²; saturates at ±127."""
    return (x.clamp(-LIMIT, LIMIT) * FRACTION).round().to(torch.float64)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, *, shift: bool = False) -> Tensor:
    """LayerNorm over the last dimension from exact integer moments. float32 ``[..., n] → float32 [..., n]``.

    ``shift``: 1/σ is rounded to a power of two, so that the division is a shift (Sorbet, arXiv 2409.15298).
    """
    integers, count = fixed_point(x), x.shape[-1]
    mean = integers.sum(-1, keepdim=True) / count
    variance = (integers * integers).sum(-1, keepdim=True) / count - mean * mean
    deviation = (variance + eps * FRACTION**2).sqrt()
    inverse = _power_of_two(1 / deviation) if shift else 1 / deviation
    return ((integers - mean) * inverse).to(torch.float32) * weight + bias


def _power_of_two(x: Tensor) -> Tensor:
    """The power of two next to x > 0 (above √2·2ⁿ the larger one), exactly."""
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp(torch.ones_like(x), exponent - (mantissa < math.sqrt(0.5)).to(exponent.dtype))


def exp_table(scale: float, *, shift: bool = False) -> Tensor:
    """exp(−scale·n) for n = 0, 1, … in units of 1/:data:`EXP_ONE`, up to the first zero. float32 ``[N]``.

    ``shift``: powers of two, exponents rounded.
    """
    scale = max(float(scale), LEAST_STEP)
    steps = np.arange(2 + math.ceil(math.log(2 * EXP_ONE) / scale))
    values = np.exp2(-np.round(steps * scale * math.log2(math.e))) if shift else np.exp(-steps * scale)
    table = np.round(EXP_ONE * values)
    table[-1] = 0
    return torch.from_numpy(table.astype(np.float32))


def softmax_weights(scores: Tensor, keys: Tensor, table: Tensor) -> Tensor:
    """Numerators of the softmax by table look-up; 0 at keys that do not exist.

    ``scores``: integers ``[..., queries, keys]``, ``keys``: bool, broadcastable. → float32 integers, same shape.
    """
    low = torch.iinfo(torch.int32).min // 2
    scores = torch.where(keys, scores.to(torch.int32), low)
    distance = (scores.amax(-1, keepdim=True) - scores).clamp_(max=len(table) - 1)
    return table[distance] * keys


def normalize(weights: Tensor, *, shift: bool = False) -> Tensor:
    """Softmax numerators → probabilities e / Σe. float32 ``[..., queries, keys]``.

    Σe is exact at any length and rounded once, to float32; ``shift``: and then up to a power of two.
    """
    total = weights.sum(-1, keepdim=True, dtype=torch.float64).clamp(min=1).to(torch.float32)
    if shift:
        mantissa, exponent = torch.frexp(total)
        total = torch.ldexp(torch.ones_like(total), exponent - (mantissa == 0.5).to(exponent.dtype))
    return weights / total


class FixedLayerNorm(nn.LayerNorm):
    """LayerNorm: ordinary in training, from exact integer moments in evaluation."""

    def __init__(self, size: int, eps: float, *, shift: bool = False):
        super().__init__(size, eps=eps)
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        """``[..., size] → [..., size]``."""
        if not self.training:
            return layer_norm(x, self.weight, self.bias, self.eps, shift=self.shift)
        y = super().forward(x)
        if self.shift:
            y = y + (layer_norm(x.detach().float(), self.weight, self.bias, self.eps, shift=True) - y).detach()
        return y


def quantize_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in 8 bits, with a scale each: w ≈ scale · n. ``[rows, n] → (int8 [rows, n], float32 [rows])``."""
    scale = weight.abs().amax(1).clamp(min=1e-8) / 127
    return (weight / scale[:, None]).round().to(torch.int8), scale


def digital_linear(x: Tensor, weights: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """8-bit weights ``[out, in]`` on fixed-point inputs, summed exactly. ``[..., in] → float32 [..., out]``."""
    sums = fixed_point(x) @ weights.to(torch.float64).T
    return (sums / FRACTION).to(torch.float32) * scale + bias


class DigitalLinear(nn.Linear):
    """A linear map outside the blocks (pooler, classifier): 8-bit weights, exact sums in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in] → [..., out]``."""
        weights, scale = quantize_int8(self.weight.detach())
        if not self.training:
            return digital_linear(x, weights, scale, self.bias)
        rounded = weights * scale[:, None]
        return F.linear(x, self.weight + (rounded - self.weight).detach(), self.bias)


class FixedDigitalLinear(nn.Module):
    """A :class:`DigitalLinear` that is no longer trained. Buffers: ``weights`` int8, ``scale``, ``bias`` float32."""

    weights: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, weights: Tensor, scale: Tensor, bias: Tensor):
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in] → [..., out]``."""
        return digital_linear(x, self.weights, self.scale, self.bias)


class QuantizedEmbeddings(nn.Module):
    """Word, position and segment (token type) embeddings in 8 bits with a scale per row, frozen; their norm is
    ordinary. Without types (0 rows) there is no segment.

    Tables are buffers: ``word`` int8 ``[vocabulary, width]`` and ``word_scale`` float32 ``[vocabulary]``, etc.
    """

    def __init__(self, vocabulary: int, positions: int, types: int, width: int, eps: float):
        super().__init__()
        for name, rows in zip(TABLES, (vocabulary, positions, types), strict=True):
            self.register_buffer(name, torch.zeros(rows, width, dtype=torch.int8))
            self.register_buffer(f"{name}_scale", torch.zeros(rows))
        self.norm = FixedLayerNorm(width, eps)

    @torch.no_grad()
    def fill(self, name: str, weight: Tensor) -> None:
        """Take over a real table ``[rows, width]``."""
        rows, scale = quantize_int8(weight.float())
        self.get_buffer(name).copy_(rows)
        self.get_buffer(f"{name}_scale").copy_(scale)

    def rows(self, name: str, index: Tensor) -> Tensor:
        """Rows of one table as float32 ``[..., width]``."""
        table, scale = self.get_buffer(name), self.get_buffer(f"{name}_scale")
        return table[index] * scale[index][..., None]

    def forward(self, tokens: Tensor, types: Tensor) -> Tensor:
        """Token and type numbers ``[batch, L]`` → ``[batch, L, width]``."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.rows("word", tokens) + self.rows("position", places)
        normed: Tensor = self.norm(x + self.rows("segment", types) if len(self.get_buffer("segment")) else x)
        return normed
