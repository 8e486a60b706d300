"""Latent weights in 5 bits each, the sign and the logarithm of the magnitude, to train a program further.

A program stores each weight, but not how close it is to a flip. This distance in steps of half an octave is sufficient.
The sizes in a row are scaled to its original mean and scale, so that weights are quantized to the same integers and
scales again.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from ..errors import InputError
from ..nn import QuantizedLinear
from ..nn.linear import ZERO_EDGE
from ..reading import read_arrays
from .quantized import QuantizedForSequenceClassification

LATENTS_FILE = "latents.safetensors"
KINDS = ("int1", "ternary")

BITS, STRIDE = 5, 0.5
"""Bits of a weight, one for its sign and four for its magnitude, and the distance between two magnitudes in octaves."""

BELOW = 9
"""Number of the 16 magnitudes that lie below the edge, :data:`ZERO_EDGE` times the mean, i.e. where ternary weights are
0.
"""

MARGIN, TURNS = 1e-3, 4
"""Minimum relative distance of ternary magnitudes from the edge, and the number of times that they are scaled and then
moved out of this margin.
"""


def pack_latents(network: QuantizedForSequenceClassification) -> bytes:
    """Return the latent weights of all connections as the contents of a file.

    Raises:
        InputError: weights have a width whose latent weights are not supported.
    """
    arrays: dict[str, Tensor] = {}
    for site, linear in network.connections().items():
        if linear.kind not in KINDS:
            raise InputError(
                f"{linear.kind} weights", field="weights", cure=f"latents are kept of {' and '.join(KINDS)}"
            )
        codes, numbers = encode(linear)
        arrays |= {f"{site}.codes": codes, f"{site}.rows": numbers}
    return save(arrays)


@torch.no_grad()
def load_latents(network: QuantizedForSequenceClassification, path: Path) -> QuantizedForSequenceClassification:
    """Load latent weights from a file into a network.

    Raises:
        InputError: they belong to another network.
    """
    arrays = read_arrays(path)
    for site, linear in network.connections().items():
        codes, numbers = (arrays.get(f"{site}.{name}") for name in ("codes", "rows"))
        rows, columns = linear.weight.shape
        if codes is None or numbers is None or codes.shape != (math.ceil(rows * columns * BITS / 8),):
            raise InputError("latents of another network", file=path, field=str(site), cure="give those of this one")
        linear.weight.copy_(decode(codes, torch.from_numpy(numbers), linear))
    return network


@torch.no_grad()
def encode(linear: QuantizedLinear) -> tuple[Tensor, Tensor]:
    """Pack latent weights ``[out, in]``.

    Returns:
        Packed codes, uint8 ``[⌈5 · out · in / 8⌉]``; and for each row its mean, its scale α and the mean magnitude of
        its weights, float32 ``[out, 3]``.
    """
    weight = linear.weight.detach().float().cpu()
    mean = weight.mean(1) if linear.kind == "int1" else torch.zeros(len(weight))
    own = weight - mean[:, None]
    size = own.abs().mean(1)
    octaves = (own.abs() / (ZERO_EDGE * size[:, None]).clamp(min=1e-12)).clamp(min=1e-9).log2()
    step = (octaves / STRIDE).floor().clamp(-BELOW, 15 - BELOW) + BELOW
    codes = (step.to(torch.uint8) | ((own >= 0).to(torch.uint8) << 4)).numpy()
    bits = (codes[..., None] >> np.arange(BITS, dtype=np.uint8)[::-1]) & 1
    numbers = torch.stack([mean, linear.integers()[1].float().cpu(), size], 1)
    return torch.from_numpy(np.packbits(bits.reshape(-1))), numbers


def decode(codes: NDArray[np.uint8], numbers: Tensor, linear: QuantizedLinear) -> Tensor:
    """Unpack what :func:`encode` packed: latent weights ``[out, in]`` that are quantized to the same values."""
    shape = linear.weight.shape
    bits = np.unpackbits(codes, count=shape.numel() * BITS).reshape(*shape, BITS)
    whole = torch.from_numpy((bits << np.arange(BITS, dtype=np.uint8)[::-1]).sum(-1).astype(np.int16))
    sign, step = torch.where(whole >= 16, 1.0, -1.0), (whole & 15).float()
    mean, scale, size = (column[:, None] for column in numbers.unbind(1))
    sizes = ZERO_EDGE * size * 2 ** ((step - BELOW + 0.5) * STRIDE)
    if linear.kind == "int1":  # each sign has half of the total magnitude of a row, so that the mean does not change
        half = scale * shape[1] / 2
        return mean + _scaled(sizes, sign > 0, half) + -_scaled(sizes, sign < 0, half)
    kept, edge = step >= BELOW, ZERO_EDGE * size
    sum_kept = scale * kept.sum(1, keepdim=True)
    sum_zeros = size * shape[1] - sum_kept
    for _ in range(TURNS):
        sizes = _scaled(sizes, kept, sum_kept) + _scaled(sizes, ~kept, sum_zeros)
        above, below = torch.maximum(sizes, edge * (1 + MARGIN)), torch.minimum(sizes, edge * (1 - MARGIN))
        sizes = torch.where(kept, above, below)
    return sign * sizes


def _scaled(sizes: Tensor, chosen: Tensor, total: Tensor) -> Tensor:
    """Return the chosen magnitudes of each row, scaled to add up to ``total``; 0 elsewhere."""
    own = sizes * chosen
    return own * (total / own.sum(1, keepdim=True).clamp(min=1e-12))
