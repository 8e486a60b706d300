"""More FFN neurons than the teacher has: what one-bit weights lose, several copies of a row keep."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .quantised import MatterhornForSequenceClassification


@torch.no_grad()
def widen(narrow: MatterhornForSequenceClassification, intermediate_size: int) -> MatterhornForSequenceClassification:
    """A network with a multiple of the FFN neurons that computes nearly the same (Net2Net, arXiv 1511.05641).

    Every neuron is there several times, with an equal part of its column of FFN-2. Weights of the copies are shifted
    against each other (:func:`shifted`), so that copies differ, and their mean says more than one sign does.

    Raises:
        InputError: ``intermediate_size`` is no multiple of what the network has.
    """
    copies, rest = divmod(intermediate_size, narrow.config.intermediate_size)
    if rest or not copies:
        cure = f"give a multiple of {narrow.config.intermediate_size}"
        raise InputError(f"{intermediate_size} is not possible", field="intermediate_size", cure=cure)
    if copies == 1:
        return narrow
    options = narrow.config.to_dict() | {"intermediate_size": intermediate_size}
    wide = MatterhornForSequenceClassification(type(narrow.config)(**options))
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Any] = narrow.state_dict()
    for name, tensor in state.items():
        if name.endswith("ffn1.weight"):
            state[name] = shifted(tensor, copies, generator).flatten(0, 1)
        elif name.endswith("ffn2.weight"):
            state[name] = shifted(tensor, copies, generator).permute(1, 0, 2).flatten(1) / copies
        elif name.endswith("ffn1.bias") or (".middle." in name and tensor.dim() and len(tensor) > 1):
            state[name] = tensor.repeat(copies)
    wide.load_state_dict(state)
    wide.embeddings.requires_grad_(False)
    return wide


def shifted(weight: Tensor, copies: int, generator: torch.Generator) -> Tensor:
    """Copies of a matrix, shifted by evenly spaced parts of each row's mean magnitude, ``[out, in] → [copies, out,
    in]``. Which copy gets which shift is drawn for every weight; the mean over the copies is the matrix itself."""
    size = weight.abs().mean(1, keepdim=True)
    order = torch.rand(copies, *weight.shape, generator=generator).argsort(0)
    return weight + size * ((2 * order + 1) / copies - 1)
