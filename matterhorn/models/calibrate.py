"""Scales and silent levels from what a network does on some batches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..coding import EIGHTHS, level_histogram, mean_of_silent, most_frequent
from ..errors import InputError
from ..nn import ActivationQuantizer, StoredQuantizer
from ..topology import Site
from .quantized import QuantizedForSequenceClassification
from .watching import Batch, evaluating, tensors, watching

CANDIDATES = 40
"""Scales that are tried: from a fiftieth of the one that covers all values up to that one."""


def calibrate(
    network: QuantizedForSequenceClassification, batches: Iterable[Batch], *, mean_silence: bool = True
) -> None:
    """Set a network's scales and silent levels: ready to run, to train and to convert.

    Scales are set on the largest batch, each where it quantizes with the least squared error, layer after layer; silent
    levels are the most frequent ones on all batches.

    Args:
        network: what :func:`matterhorn.quantize` gives; altered in place.
        batches: training rows; ``input_ids`` and, where there are any, ``attention_mask`` and ``token_type_ids``,
            integers ``[batch, L]``, tensors or NumPy arrays.
        mean_silence: silence is read as the mean of the levels that fall silent, else as the silent level. They differ
            only where there is a dead zone.

    Raises:
        InputError: there is no batch.

    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> from matterhorn.models import quantize
    >>> sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> network = quantize(BertForSequenceClassification(BertConfig(vocab_size=50, **sizes)), dead_zone=1)
    >>> calibrate(network, [{"input_ids": np.array([[2, 7, 3], [2, 9, 3]])}])
    >>> network(torch.tensor([[2, 7, 3]])).logits.shape
    torch.Size([1, 2])
    """
    listed = list(batches)
    if not listed:
        raise InputError("no batch", field="batches", cure="give at least one, of training rows")
    dead_zone = network.config.dead_zone
    network.set_dead_zone(0)
    try:
        set_scales(network, max(listed, key=lambda batch: int(np.prod(batch["input_ids"].shape))))
        histograms = level_histograms(network, listed)
    finally:
        network.set_dead_zone(dead_zone)
    choose_silence(network, histograms, mean=mean_silence)


def set_scales(network: QuantizedForSequenceClassification, batch: Batch) -> None:
    """Set every scale where it quantizes one batch with the least squared error, layer after layer."""

    def start(_: Site, module: ActivationQuantizer | StoredQuantizer, x: Tensor) -> None:
        x = x.detach().float()
        if isinstance(module, ActivationQuantizer):
            best = least_squares_scale(module.amplify(x).flatten(), -module.zero, module.top - module.zero)
        else:
            best = x.abs().mean() if module.bits == 1 else least_squares_scale(x, module.low, module.high)
        module.scale.copy_(best)

    modules: dict[Site, ActivationQuantizer | StoredQuantizer] = {**network.populations(), **network.stores()}
    with watching(modules, start):
        run_batches(network, [batch])


def least_squares_scale(x: Tensor, low: int, high: int) -> Tensor:
    """Of some scales, the one that rounds ``x`` (any shape) to levels ``low … high`` with the least squared error."""
    widest = x.abs().max().clamp(min=1e-3) / max(high, -low, 1)
    scales = widest * torch.logspace(-1.7, 0, CANDIDATES, device=x.device)
    errors = torch.stack([((x / s).round().clamp(low, high) * s - x).square().sum() for s in scales])
    return scales[errors.argmin()]


def existing(x: Tensor, present: Tensor, population: str) -> Tensor:
    """Values of existing tokens, ``[n, neurons]``; of probabilities those between existing tokens, ``[n, 1]``.

    ``x``: ``[batch, L, neurons]`` or ``[batch, heads, L, L]``. ``present``: bool ``[batch, L]``.
    """
    if population != "probabilities":
        return x[present]
    return x[(present[:, None, :, None] & present[:, None, None, :]).expand(x.shape)].unsqueeze(-1)


def level_histograms(
    network: QuantizedForSequenceClassification, batches: Iterable[Batch]
) -> dict[Site, NDArray[np.int64]]:
    """How often each neuron of each population holds each level before masking, int64 ``[neurons, T + 1]``.

    Raises:
        InputError: the network's scales are not set.
    """
    network.check_calibrated()
    counts: dict[Site, NDArray[np.int64]] = {}
    for batch in batches:
        present = mask_of(batch).to(network.device)

        def count(site: Site, module: ActivationQuantizer, x: Tensor, present: Tensor = present) -> None:
            own = level_histogram(as_levels(module, existing(x, present, site.part)), module.bits)
            counts[site] = counts[site] + own if site in counts else own

        with watching(network.populations(), count):
            run_batches(network, [batch])
    return counts


def mask_of(batch: Batch) -> Tensor:
    """Which tokens of a batch exist, bool ``[batch, L]``."""
    given = batch.get("attention_mask")
    return torch.ones(batch["input_ids"].shape, dtype=torch.bool) if given is None else torch.as_tensor(given).bool()


def as_levels(module: ActivationQuantizer, x: Tensor) -> NDArray[np.uint8]:
    """Levels of real values before masking, as NumPy."""
    levels: NDArray[np.uint8] = module.levels(x).to(torch.uint8).cpu().numpy()
    return levels


def choose_silence(
    network: QuantizedForSequenceClassification,
    histograms: dict[Site, NDArray[np.int64]],
    *,
    mean: bool = False,
) -> None:
    """Give every population its most frequent level as the silent one.

    ``mean``: silence is read as the mean of what falls silent, else as the silent level itself.
    """
    for site, population in network.populations().items():
        silence(population, histograms[site], mean=mean)


@torch.no_grad()
def silence(population: ActivationQuantizer, histogram: NDArray[np.int64], *, mean: bool) -> NDArray[np.int64]:
    """Choose the silent levels of one population, and what they are read as; returns the levels, ``[neurons or 1]``."""
    if len(population.silent) == 1:
        histogram = histogram.sum(0, keepdims=True)
    silent = most_frequent(histogram)
    value = mean_of_silent(histogram, silent, population.dead_zone) if mean else EIGHTHS * silent
    population.silent.copy_(torch.from_numpy(silent))
    population.silent_value.copy_(torch.from_numpy(value))
    return silent


def settle_silence(network: QuantizedForSequenceClassification, batches: Iterable[Batch]) -> None:
    """Choose silent levels from what the network does on some batches with its dead zone as it is.

    Silence is read as its mean if it is now. Once: choosing again from what the choice makes of the levels moves
    silence further from what was trained.
    """
    mean = any(population.has_fractions for population in network.populations().values())
    choose_silence(network, level_histograms(network, batches), mean=mean)


@torch.no_grad()
def run_batches(network: QuantizedForSequenceClassification, batches: Iterable[Batch]) -> None:
    """Run all tokens of batches through every block in evaluation, for what is watched on the way."""
    with evaluating(network):
        for batch in batches:
            network.run(**tensors(batch, network.device), every_token=True)
