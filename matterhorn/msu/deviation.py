"""What writing does to weights, without arrays around them: for training with a new chip in every pass."""

from __future__ import annotations

import torch
from torch import Tensor

from .cells import Streams, held, write
from .device import Device
from .mapping import digit_base, pair_conductances, split_digits


def weight_deviation(weights: Tensor, device: Device, generator: torch.Generator, seconds: float = 0.0) -> Tensor:
    """Written minus intended weights of a newly drawn chip, ``seconds`` after writing: float32 ``[out, in]``.

    The same draw of programming noise, stuck cells and drift as in :class:`~matterhorn.msu.ArrayBank`, for integer
    weights ``[out, in]``. Add it to the weights of a forward pass; it carries no gradient.
    """
    slices, base = digit_base(weights, device)
    digit = split_digits(weights, slices, base)
    unit = (device.high - device.low) / (base - 1)
    target = pair_conductances(digit, unit, device)
    cells = write(target, torch.ones_like(target, dtype=torch.bool), device, Streams.of(generator))
    off = held(cells, device, seconds) - target
    place = float(base) ** torch.arange(slices, dtype=torch.float32)
    return ((off[..., 0] - off[..., 1]) / unit * place[:, None, None]).sum(0)
