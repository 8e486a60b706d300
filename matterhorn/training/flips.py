"""How many few-bit weights have changed: what a latent weight learns counts only once it flips."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..nn import QuantisedLinear


class Flips:
    """Integer weights of a network as they were when last looked at."""

    def __init__(self, model: nn.Module):
        self.before = _integers(model)

    def since(self, model: nn.Module) -> dict[str, float]:
        """Share of the few-bit weights that have changed since last time, as a figure; none of a network without."""
        now = _integers(model)
        changed = sum(int((a != b).sum()) for a, b in zip(now, self.before, strict=True))
        self.before = now
        return {"flipped": changed / sum(map(Tensor.numel, now))} if now else {}


@torch.no_grad()
def _integers(model: nn.Module) -> list[Tensor]:
    linears = [module for module in model.modules() if isinstance(module, QuantisedLinear)]
    return [linear.integers()[0].to(torch.int8) for linear in linears]
