"""Products with an effective matrix in integers: two int8 products hold it to 16 bits, and cost less than one float32.

Each column gets a step that is a power of two, so integers (what an ideal chip multiplies by) stay what they are and
the second product falls away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST = 127 * 256 + 127
"""Largest number of two int8 digits of base 256."""


@dataclass(frozen=True, eq=False)
class FixedMatrix:
    """A matrix ``[in, out]`` as ``step · (256 · high + low)``.

    Attributes:
        high, low: int8 ``[out, in]``; ``low`` is None where it is 0 throughout. step: float32 ``[out]``.
        reach: no |κ| that comes is larger.
    """

    high: Tensor
    low: Tensor | None
    step: Tensor
    reach: int

    @classmethod
    def of(cls, matrix: Tensor, reach: int) -> FixedMatrix:
        """The nearest such matrix: off by at most a 32639th of each column's largest element."""
        largest = matrix.abs().amax(0).double().clamp(min=1e-30)
        step = torch.exp2((largest / LARGEST).log2().ceil())
        whole = (matrix.double() / step).round()
        high = ((whole + 128) / 256).floor()
        low = whole - 256 * high
        low_bytes = low.T.contiguous().to(torch.int8) if bool(low.any()) else None
        return cls(high.T.contiguous().to(torch.int8), low_bytes, step.float(), reach)

    def __call__(self, kernel: Tensor) -> Tensor:
        """int8 ``[n, in]`` → float32 ``[n, out]``."""
        high = torch._int_mm(kernel, self.high.T)
        if self.low is None:
            return high * (256 * self.step)
        low = torch._int_mm(kernel, self.low.T)
        if self.reach * kernel.shape[1] * LARGEST < 2**31:
            return low.add_(high, alpha=256) * self.step
        return high.to(torch.float32).mul_(256).add_(low).mul_(self.step)
