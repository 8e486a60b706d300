"""Set scales for a dead zone so that a target share of windows is silent, with given densities of events."""

from __future__ import annotations

from collections.abc import Container, Mapping

import torch
from torch import Tensor

from ..coding import level_histogram, silent_share
from ..nn import ActivationQuantizer
from ..program import Config
from ..topology import POPULATION, TARGETS, Site
from .calibrate import as_levels, existing, mask_of, run_batches, set_silence
from .quantized import QuantizedForSequenceClassification
from .watching import Batch, watching

WIDEST_SCALE, STRIDE, HALVINGS = 20.0, 1.3, 6
"""Range, stride and number of bisections of the search for scales.

Scales from 20 times the present one down to a twentieth are tried in strides of 1.3. The last stride is bisected 6
times.
"""


def place_densities(
    network: QuantizedForSequenceClassification,
    batch: Batch,
    target: float,
    relative: Mapping[str, float],
    names: Container[str] = POPULATION,
) -> None:
    """Set scales and silent levels so that a share ``target`` of all windows of one batch is silent.

    Densities are given, since the benefit of an event does not follow from its population's fan-out: an event of
    ``context``, with one receiver, turned out to be worth more than one of ``input``, with three.

    Args:
        relative: relative densities of events in all populations.
        names: populations to set. The others stay as they are.
    """
    density = absolute_densities(network.config.formats, mask_of(batch), target, relative)
    present = mask_of(batch).to(network.device)

    def settle(site: Site, module: ActivationQuantizer, x: Tensor) -> None:
        scale_for_density(module, existing(x, present, site.part), density[site.part])

    chosen = {site: population for site, population in network.populations().items() if site.part in names}
    with watching(chosen, settle):
        run_batches(network, [batch])


def absolute_densities(
    formats: Config, present: Tensor, target: float, relative: Mapping[str, float]
) -> dict[str, float]:
    """Scale relative densities of events so that a share ``target`` of all windows is silent.

    ``present``: which tokens exist, bool ``[batch, L]``.
    """
    shape = formats.shape
    tokens, couples = int(present.sum()), int(present.sum(1).square().sum())
    windows = {name: len(TARGETS[name]) * shape.neurons(name) * tokens for name in relative}
    windows["probabilities"] = shape.heads * couples
    return scaled_densities(relative, windows, 1 - target, largest_densities(formats))


def largest_densities(formats: Config) -> dict[str, float]:
    """Largest density of events that may be requested of each population: the share of its levels that are events."""
    return {name: 1 - (2 * formats.zone(name) + 1) / 2**formats.activation_bits for name in POPULATION}


def scaled_densities(
    relative: Mapping[str, float], loads: Mapping[str, float], share: float, most: Mapping[str, float]
) -> dict[str, float]:
    """Scale relative densities of events by one factor, so that events are a ``share`` of all loads.

    A density that would exceed its maximum is set to it, and the others get more. To meet an impossible density, a
    population's scale would shrink until all values lie at the ends of the range.

    Args:
        relative: relative densities by population.
        loads: weights of the populations in the share, e.g. their windows.
        share: share of the loads that are to be events.
        most: maximum density of each population. The share itself is always possible.
    """
    found = dict[str, float]()
    limits = {name: max(limit, share) for name, limit in most.items()}
    while True:
        free = [name for name in relative if name not in found]
        remaining = share * sum(loads.values()) - sum(found[name] * loads[name] for name in found)
        factor = remaining / max(1e-12, sum(relative[name] * loads[name] for name in free))
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
    set_silence(module, histogram, mean=True)
    return silent_share(histogram, module.code)
