"""Set scales for a dead zone: as many events as a target leaves, divided among populations as requested."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..coding import level_histogram, silent_share
from ..nn import ActivationQuantizer
from ..program import Config
from ..topology import POPULATION, TARGETS, Site
from .calibrate import as_levels, existing, mask_of, run_batches, silence
from .quantized import QuantizedForSequenceClassification
from .watching import Batch, watching

WIDEST_SCALE, STRIDE, HALVINGS = 20.0, 1.3, 6
"""Range, stride and number of bisections of the search for scales.

Scales from 20 times the present one down to a twentieth are tried in strides of 1.3. The last stride is bisected 6
times.
"""


def place_densities(
    network: QuantizedForSequenceClassification, batch: Batch, target: float, relative: Mapping[str, float]
) -> None:
    """Set scales and silent levels so that a share ``target`` of all windows of one batch is silent.

    ``relative``: relative densities of events in all populations. The benefit of an event cannot be derived from each
    population alone: an event of ``context``, with one receiver, turned out to be worth more than one of ``input``,
    with three.
    """
    density = absolute(network.config.formats, mask_of(batch), target, relative)
    present = mask_of(batch).to(network.device)

    def settle(site: Site, module: ActivationQuantizer, x: Tensor) -> None:
        scale_for_density(module, existing(x, present, site.part), density[site.part])

    with watching(network.populations(), settle):
        run_batches(network, [batch])


def absolute(formats: Config, present: Tensor, target: float, relative: Mapping[str, float]) -> dict[str, float]:
    """Scale relative densities of events so that a share ``target`` of all windows is silent.

    ``present``: which tokens exist, bool ``[batch, L]``.
    """
    shape = formats.shape
    tokens, couples = int(present.sum()), int(present.sum(1).square().sum())
    windows = {name: len(TARGETS[name]) * shape.neurons(name) * tokens for name in relative}
    windows["probabilities"] = shape.heads * couples
    return scaled(relative, windows, 1 - target, densest(formats))


def densest(formats: Config) -> dict[str, float]:
    """Largest density of events that each population can be asked for: the share of its levels that are events."""
    return {name: 1 - (2 * formats.zone(name) + 1) / 2**formats.activation_bits for name in POPULATION}


def scaled(
    relative: Mapping[str, float], loads: Mapping[str, float], share: float, most: Mapping[str, float]
) -> dict[str, float]:
    """Scale relative densities of events by one factor, so that they are a ``share`` of all loads.

    A density that would exceed ``most`` (or the share, if that is larger) stays there, and the others get more. A scale
    that has to meet an impossible density would shrink until all values lie at the ends of the range.
    """
    found = dict[str, float]()
    limits = {name: max(limit, share) for name, limit in most.items()}
    while True:
        free = [name for name in relative if name not in found]
        left = share * sum(loads.values()) - sum(found[name] * loads[name] for name in found)
        factor = left / max(1e-12, sum(relative[name] * loads[name] for name in free))
        over = {name: limits[name] for name in free if factor * relative[name] > limits[name] * (1 + 1e-9)}
        if not over:
            return {name: found[name] if name in found else factor * relative[name] for name in relative}
        found |= over


@torch.no_grad()
def scale_for_density(module: ActivationQuantizer, values: Tensor, density: float) -> None:
    """Give one population the largest scale at which this share of ``values [n, neurons]`` is events.

    A smaller scale makes more events only until values leave the range of levels. Below that, whole neurons collect at
    an end of the range, which becomes their silent level. The search therefore starts from large scales. If the share
    cannot be reached, the scale with the most events is used.
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
    """Set silence to the most frequent levels of ``values [n, neurons]``, read as their mean. Returns the share of
    silence.
    """
    histogram = level_histogram(as_levels(module, values), module.bits)
    silence(module, histogram, mean=True)
    return silent_share(histogram, module.code)
