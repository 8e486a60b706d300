"""Set scales for a dead zone: as many events as a target leaves, divided among populations as requested."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..coding import level_histogram, silent_share
from ..nn import ActivationQuantizer
from ..topology import TARGETS, Shape, Site
from .calibrate import as_levels, existing, mask_of, run_batches, silence
from .quantized import QuantizedForSequenceClassification
from .watching import Batch, watching

WIDEST_SCALE, STRIDE, HALVINGS = 20.0, 1.3, 6
"""Scales for a density are looked for between 20 times the present one and a twentieth, by strides of 1.3, of which the
last is bisected 6 times."""


def place_densities(
    network: QuantizedForSequenceClassification, batch: Batch, target: float, relative: Mapping[str, float]
) -> None:
    """Set scales and silent levels so that ``target`` of all windows of one batch are silent.

    ``relative``: for every population, its density of events, as multiples of each other. How much an event saves is
    not to be seen from each population alone: one of ``context``, with one receiver, turned out to be worth more than
    one of ``input``, with three.
    """
    density = absolute(network.config.formats.shape, mask_of(batch), target, relative)
    present = mask_of(batch).to(network.device)

    def settle(site: Site, module: ActivationQuantizer, x: Tensor) -> None:
        scale_for_density(module, existing(x, present, site.part), density[site.part])

    with watching(network.populations(), settle):
        run_batches(network, [batch])


def absolute(shape: Shape, present: Tensor, target: float, relative: Mapping[str, float]) -> dict[str, float]:
    """Densities of events, as multiples of each other like ``relative``, at which ``target`` of all windows are silent.

    ``present``: which tokens exist, bool ``[batch, L]``.
    """
    tokens, couples = int(present.sum()), int(present.sum(1).square().sum())
    windows = {name: len(TARGETS[name]) * shape.neurons(name) * tokens for name in relative}
    windows["probabilities"] = shape.heads * couples
    factor = (1 - target) * sum(windows.values()) / sum(relative[name] * windows[name] for name in relative)
    return {name: factor * share for name, share in relative.items()}


@torch.no_grad()
def scale_for_density(module: ActivationQuantizer, values: Tensor, density: float) -> None:
    """Give one population the largest scale at which that share of ``values [n, neurons]`` is events.

    A smaller scale makes more events only down to where values leave the range of levels: below it whole neurons pile
    up at an end of the range, which becomes their silent level. So the search comes from above; where the share is out
    of reach, the scale with most events is taken.
    """
    counted: dict[float, float] = {}

    def events_at(scale: float) -> float:
        module.scale.fill_(scale)
        counted[scale] = 1 - settle_population(module, values)
        return counted[scale]

    high = low = float(module.scale) * WIDEST_SCALE
    while events_at(low) < density and low > high / WIDEST_SCALE**2:
        low /= STRIDE
    if counted[low] >= density:
        high = low * STRIDE
        for _ in range(HALVINGS):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if events_at(middle) >= density else (low, middle)
    events_at(max(counted, key=lambda scale: (min(counted[scale], density), scale)))


def settle_population(module: ActivationQuantizer, values: Tensor) -> float:
    """Give silence to the most frequent levels of ``values [n, neurons]``, read as the mean; the share of silence."""
    histogram = level_histogram(as_levels(module, values), module.bits)
    silence(module, histogram, mean=True)
    return silent_share(histogram, module.code)
