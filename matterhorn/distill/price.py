"""Price silence in joules: derive densities of events from their energy on a chip and their value to the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..energy import load
from ..energy.price import Prices, prices, spread
from ..errors import InputError
from ..models import QuantizedForSequenceClassification, convert
from ..models.calibrate import existing, mask_of
from ..models.placement import scale_for_density
from ..models.watching import evaluating, tensors, watching
from ..nn import ActivationQuantizer
from ..runtime import Engine
from ..topology import TARGETS, Site
from ..units import engineering
from .recipe import Distilling
from .silence import FEWEST
from .silence import load as load_of_window

PRICED_ROWS = 48
"""Maximum number of training rows on which prices and worths are measured."""

FEW, MANY = 0.05, 0.2
"""Densities of a population's events between which its worth is measured."""

LEAST_WORTH = 0.05
"""Lower bound of a worth, relative to the largest one.

The measured worth may be zero or negative, if a smaller scale clips more values than it distinguishes.
"""


def priced(phase: Distilling, student: QuantizedForSequenceClassification, batch: Mapping[str, Tensor]) -> Distilling:
    """Return the phase with densities that follow from its price.

    A target in joules is replaced by the shares that it corresponds to. A phase without a price is returned as it is.

    Args:
        student: a network with the phase's dead zone and silent levels. It is not changed.
        batch: training rows of all lengths.

    Raises:
        InputError: the target joules do not suffice for a sentence without any event.
    """
    if phase.price is None:
        return phase
    rows = {name: values[:PRICED_ROWS] for name, values in batch.items()}
    found, asked = prices_of(student, phase.price, rows), (phase.silent_share, phase.quiet_share)
    length = round(float(mask_of(rows).sum(1).float().mean()))
    least = found.sentence(dict.fromkeys(found.events, FEWEST))
    if phase.joules is not None and phase.joules < least:
        problem = f"{engineering(phase.joules)} a sentence, of {engineering(least)} that one costs with hardly an event"
        raise InputError(problem, field="joules", cure=f"give more, or a chip other than {phase.price}")

    def reached(densities: Mapping[str, float]) -> bool:
        shares = shares_of(student, densities, length)
        is_affordable = phase.joules is None or found.sentence(densities) <= phase.joules
        pairs = zip(asked, shares, strict=True)
        return is_affordable and all(wanted is None or share >= wanted for wanted, share in pairs)

    densities = spread(worths(student, rows), found, reached)
    densities = {name: max(FEWEST, share) for name, share in densities.items()}
    update: dict[str, object] = {"densities": densities}
    if phase.joules is not None:
        update |= dict(zip(("silent_share", "quiet_share"), shares_of(student, densities, length), strict=True))
    return phase.model_copy(update=update)


def prices_of(student: QuantizedForSequenceClassification, chip: str, batch: Mapping[str, Tensor]) -> Prices:
    """Compute the prices of a network's events, counted on the program that it would be converted to."""
    with evaluating(student):
        engine = Engine(convert(student))
    arrays: Any = {name: values.cpu().numpy() for name, values in tensors(batch, torch.device("cpu")).items()}
    trace = engine(**arrays, trace=True).trace
    assert trace is not None
    return prices(trace, load(chip))


def shares_of(
    student: QuantizedForSequenceClassification, densities: Mapping[str, float], length: int
) -> tuple[float, float]:
    """Return the silent and quiet share of sentences of ``length`` tokens, given densities of events."""
    shape = student.config.formats.shape
    sizes = {part: shape.windows(0, TARGETS[part][0], length) for part in densities}
    loads = np.array([load_of_window(shape, site, length) for site in student.populations()])
    windows = loads * np.array([[sizes[site.part]] for site in student.populations()])
    sent = windows * np.array([[densities[site.part]] for site in student.populations()])
    silent, quiet = (1 - sent.sum(0) / windows.sum(0)).tolist()
    return silent, quiet


@torch.no_grad()
def worths(student: QuantizedForSequenceClassification, batch: Mapping[str, Tensor]) -> dict[str, float]:
    """Measure what events of each population are worth.

    The worth is the decrease of the error of the hidden states (squared, relative to their variance, mean over blocks)
    if events are multiplied by e. It is measured without training, with a dead zone in this population only.
    """
    zones = {site: population.dead_zone for site, population in student.populations().items()}
    before = {name: value.clone() for name, value in student.state_dict().items()}
    kept = student.config.dead_zone
    rows, present = tensors(batch, student.device), mask_of(batch).to(student.device)

    def states() -> list[Tensor]:
        return [state[present.bool()] for state in student.run(**rows, every_token=True).states[1:]]

    def error(name: str, density: float) -> float:
        def settle(site: Site, module: ActivationQuantizer, x: Tensor) -> None:
            scale_for_density(module, existing(x, present, site.part), density)

        chosen = {site: one for site, one in student.populations().items() if site.part == name}
        for site, population in chosen.items():
            population.dead_zone = zones[site]
        with watching(chosen, settle):
            own = states()
        student.set_dead_zone(0)
        student.load_state_dict(without_zones)
        parts = [((a - b).square().mean() / b.var()).item() for a, b in zip(own, reference, strict=True)]
        return sum(parts) / len(parts)

    try:
        with evaluating(student):
            student.set_dead_zone(0)
            without_zones = {name: value.clone() for name, value in student.state_dict().items()}
            reference = states()
            names = dict.fromkeys(site.part for site in zones)
            found = {name: (error(name, FEW) - error(name, MANY)) / math.log(MANY / FEW) for name in names}
    finally:
        student.set_dead_zone(kept)
        student.load_state_dict(before)
    most = max(max(found.values()), 1e-12)
    return {name: max(worth, LEAST_WORTH * most) for name, worth in found.items()}
