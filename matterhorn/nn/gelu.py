"""The inverse of GELU, for thresholds that include the activation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

NEWTON_STEPS = 8
"""Number of Newton steps, starting within 0.17 of the solution. Fewer would suffice (tests/nn)."""


def gelu_inverse(y: Tensor) -> Tensor:
    """Find the x ≥ 0 with GELU(x) = y, for y ≥ 0 of any shape.

    Newton's method runs in double precision, so that its last bits do not affect the result in float32.
    """
    wanted = y.double()
    x = wanted + 0.1
    for _ in range(NEWTON_STEPS):
        density = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        share = (1 + torch.erf(x / math.sqrt(2))) / 2
        x = x - (x * share - wanted) / (share + x * density)
    return x.to(y.dtype)
