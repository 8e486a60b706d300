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
"""Smallest difference of scores that a softmax table resolves. Such a table has about a hundred thousand entries."""


def fixed_point(x: Tensor) -> Tensor:
    """Round x to a multiple of 2⁻¹², saturated at ±127. Returns the multiple, an integer in float64."""
    return (x.clamp(-LIMIT, LIMIT) * FRACTION).round().to(torch.float64)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, *, shift: bool = False) -> Tensor:
    """Compute LayerNorm over the last dimension from exact integer moments. float32 ``[..., n] → float32 [..., n]``.

    ``shift``: whether 1/σ is rounded to a power of two, so that the division is a shift (Sorbet, arXiv 2409.15298).
    """
    integers, count = fixed_point(x), x.shape[-1]
    mean = integers.sum(-1, keepdim=True) / count
    variance = (integers * integers).sum(-1, keepdim=True) / count - mean * mean
    deviation = (variance + eps * FRACTION**2).sqrt()
    inverse = _power_of_two(1 / deviation) if shift else 1 / deviation
    return ((integers - mean) * inverse).to(torch.float32) * weight + bias


def _power_of_two(x: Tensor) -> Tensor:
    """Round x > 0 to the power of two that is nearest on a logarithmic scale, exactly."""
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp(torch.ones_like(x), exponent - (mantissa < math.sqrt(0.5)).to(exponent.dtype))


def exp_table(scale: float, *, shift: bool = False) -> Tensor:
    """Tabulate exp(−scale·n) for n = 0, 1, … as multiples of 1/:data:`EXP_ONE`, up to the first zero. float32 ``[N]``.

    ``shift``: whether each entry is rounded to a power of two.
    """
    scale = max(float(scale), LEAST_STEP)
    steps = np.arange(2 + math.ceil(math.log(2 * EXP_ONE) / scale))
    values = np.exp2(-np.round(steps * scale * math.log2(math.e))) if shift else np.exp(-steps * scale)
    table = np.round(EXP_ONE * values)
    table[-1] = 0
    return torch.from_numpy(table.astype(np.float32))


def softmax_weights(scores: Tensor, keys: Tensor, table: Tensor) -> Tensor:
    """Look up the numerators of the softmax; 0 at keys that do not exist.

    Args:
        scores: integers ``[..., queries, keys]``.
        keys: which keys exist, bool, broadcastable.
        table: result of :func:`exp_table` for one step of the scores.

    Returns:
        Integers in float32, in the shape of ``scores``.
    """
    low = torch.iinfo(torch.int32).min // 2
    scores = torch.where(keys, scores.to(torch.int32), low)
    distance = (scores.amax(-1, keepdim=True) - scores).clamp_(max=len(table) - 1)
    return table[distance] * keys


def normalize(weights: Tensor, *, shift: bool = False) -> Tensor:
    """Divide softmax numerators by their sum over the keys. float32 ``[..., queries, keys]``.

    The sum is exact at any length, and is rounded once, to float32. ``shift``: whether it is then rounded up to a power
    of two.
    """
    total = weights.sum(-1, keepdim=True, dtype=torch.float64).clamp(min=1).to(torch.float32)
    if shift:
        mantissa, exponent = torch.frexp(total)
        total = torch.ldexp(torch.ones_like(total), exponent - (mantissa == 0.5).to(exponent.dtype))
    return weights / total


class FixedLayerNorm(nn.LayerNorm):
    """LayerNorm that is an ordinary one in training, and computed from exact integer moments in evaluation."""

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
    """Quantize rows to 8 bits with a scale per row: w ≈ scale · n. ``[rows, n] → (int8 [rows, n], float32 [rows])``."""
    scale = weight.abs().amax(1).clamp(min=1e-8) / 127
    return (weight / scale[:, None]).round().to(torch.int8), scale


def digital_linear(x: Tensor, weights: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Multiply fixed-point inputs by 8-bit weights ``[out, in]``, in exact sums. ``[..., in] → float32 [..., out]``."""
    sums = fixed_point(x) @ weights.to(torch.float64).T
    return (sums / FRACTION).to(torch.float32) * scale + bias


class DigitalLinear(nn.Linear):
    """A linear map outside the blocks (projection, pooler, classifier): 8-bit weights, exact sums in evaluation."""

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
    """Word, position and segment (token type) embeddings in 8 bits with a scale per row, and the norm of their sum.

    Tables are buffers and not trained: ``word`` int8 ``[vocabulary, width]`` and ``word_scale`` float32
    ``[vocabulary]``, etc. If there are no token types, the table of segments has no rows and is not added.
    """

    def __init__(self, vocabulary: int, positions: int, types: int, width: int, eps: float):
        super().__init__()
        for name, rows in zip(TABLES, (vocabulary, positions, types), strict=True):
            self.register_buffer(name, torch.zeros(rows, width, dtype=torch.int8))
            self.register_buffer(f"{name}_scale", torch.zeros(rows))
        self.norm = FixedLayerNorm(width, eps)

    @torch.no_grad()
    def fill(self, name: str, weight: Tensor) -> None:
        """Quantize a table ``[rows, width]`` and store it under a name."""
        rows, scale = quantize_int8(weight.float())
        self.get_buffer(name).copy_(rows)
        self.get_buffer(f"{name}_scale").copy_(scale)

    def rows(self, name: str, index: Tensor) -> Tensor:
        """Look up rows of one table, float32 ``[..., width]``."""
        table, scale = self.get_buffer(name), self.get_buffer(f"{name}_scale")
        return table[index] * scale[index][..., None]

    def forward(self, tokens: Tensor, types: Tensor) -> Tensor:
        """Token and type numbers ``[batch, L]`` → ``[batch, L, width]``."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.rows("word", tokens) + self.rows("position", positions)
        normed: Tensor = self.norm(x + self.rows("segment", types) if len(self.get_buffer("segment")) else x)
        return normed
