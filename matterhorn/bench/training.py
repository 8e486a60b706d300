"""Contestants for the products of a connection in a training step: forward, and the gradients of levels and weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..coding import kappa
from ..models.product import event_product
from ..nn.linear import Product
from .clock import Run
from .connections import Contestants, population


def training_contestants(fan_in: int, fan_out: int) -> Contestants:
    """Dense products by PyTorch, its own sparse products, and ours by events.

    Each is given the levels that a quantizer produces. Silence is read as 0 here, so sparse matrices need to store only
    the other levels.
    """
    draw, source = torch.Generator().manual_seed(0), population("input", fan_in)
    weights = 2.0 * torch.randint(0, 2, (fan_out, fan_in), generator=draw) - 1

    def timed(step: Callable[[Tensor, Tensor], object]) -> Callable[[NDArray[np.uint8]], Run]:
        def given(slots: NDArray[np.uint8]) -> Run:
            levels = torch.from_numpy(kappa(slots, source.code)).float()
            grad = torch.randn(len(levels), fan_out, generator=draw)
            return lambda: step(levels, grad)

        return given

    def taught(product: Product) -> Callable[[Tensor, Tensor], tuple[Tensor, ...]]:
        def step(levels: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
            own = levels.requires_grad_(), weights.requires_grad_()
            return torch.autograd.grad(product(*own), own, grad)

        return step

    def sparse(levels: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # PyTorch warns that it is in beta
            stored = levels.to_sparse_csr()
            _ = stored @ weights.t()
            return grad @ weights, (stored.t() @ grad).t()

    steps = {"fp32": taught(F.linear), "torch.sparse": sparse, "events": taught(event_product(torch.zeros(1)))}
    return {name: timed(step) for name, step in steps.items()}
