"""Energy of one more event of each population on a chip, and how many events of each a target leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..program.trace import Trace
from .activity import Activity, as_traced, populations
from .billing import make_bill
from .chip import Chip
from .mapping import hardware_of
from .study import map_trace

COUNTS = ("events", "kappa", "operations", "active", "squares")
"""Fields of an activity that grow with the events of its source."""

STEP = 0.01
"""A price is the difference that so many more events of a population make, over them."""

DENSEST, HALVINGS = 0.5, 60
"""No population is given more events than one in two windows; a factor is found to a 2⁻⁶⁰th."""


@dataclass(frozen=True)
class Prices:
    """Prices on one chip for sentences like those of a trace.

    Attributes:
        events: J of one more event of each population, with everything that it causes.
        windows: windows of each population in a mean sentence.
        fixed: J of a mean sentence without any event.
    """

    events: dict[str, float]
    windows: dict[str, float]
    fixed: float

    def sentence(self, densities: Mapping[str, float]) -> float:
        """J of a mean sentence whose populations send on these shares of their windows."""
        return self.fixed + sum(self.events[name] * self.windows[name] * share for name, share in densities.items())


def prices(trace: Trace, chip: Chip) -> Prices:
    """Compute prices around the counts of a trace, on synapse units if the chip has them.

    Each unit has as large a capacitor as it needs.
    """
    mapping, counted = map_trace(trace, chip, hardware_of(chip)[-1]), as_traced(trace)
    sites = {site: max(readers, key=lambda a: a.windows) for site, readers in populations(counted).items()}
    names = dict.fromkeys(site.part for site in sites)

    def total(activities: Sequence[Activity]) -> float:
        return float(make_bill(activities, trace, chip, mapping).total / trace.sequences)

    def of_all(name: str, count: Callable[[Activity], float]) -> float:
        return sum(count(a) for site, a in sites.items() if site.part == name) / trace.sequences

    events = {name: of_all(name, lambda a: a.events) for name in names}
    now = total(counted)
    more = {name: total([_more(a, name) for a in counted]) - now for name in names}
    each = {name: more[name] / (STEP * events[name]) if events[name] else 0.0 for name in names}
    windows = {name: of_all(name, lambda a: a.windows) for name in names}
    return Prices(each, windows, now - sum(each[name] * events[name] for name in names))


def _more(a: Activity, name: str) -> Activity:
    if a.source.part != name:
        return a
    return replace(a, **{count: getattr(a, count) * (1 + STEP) for count in COUNTS})


def spread(
    worth: Mapping[str, float], found: Prices, reached: Callable[[Mapping[str, float]], bool]
) -> dict[str, float]:
    """Find densities of events that lose least for their joules, at the highest level that a target permits.

    If a population's loss falls by ``worth`` each time its events are multiplied by e, the marginal worth per window is
    worth/density. At the optimum under a budget (by Lagrange multipliers) the joules of populations are proportional to
    their worths: density ∝ worth / (price · windows).

    Args:
        worth: worth of each population, > 0.
        reached: whether densities meet the target. It must be true without any event.
    """
    each = {name: worth[name] / max(found.events[name] * found.windows[name], 1e-30) for name in worth}

    def densities(factor: float) -> dict[str, float]:
        return {name: min(DENSEST, factor * share) for name, share in each.items()}

    low, high = 0.0, DENSEST / min(each.values())
    for _ in range(HALVINGS):
        middle = (low + high) / 2 if low == 0 else math.sqrt(low * high)
        low, high = (middle, high) if reached(densities(middle)) else (low, middle)
    return densities(low)
