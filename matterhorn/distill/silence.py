"""Control of silence: the scale of each population follows its activations so that its share of events is held.

In biology, homeostasis regulates the rate of a neuron in a similar way.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from accelerate.utils import reduce
from torch import Tensor

from ..coding import EIGHTHS
from ..errors import InputError
from ..models import QuantizedForSequenceClassification
from ..models.calibrate import existing, mask_of, run_batches
from ..models.placement import largest_densities, scaled_densities
from ..models.watching import Batch, watching
from ..nn import ActivationQuantizer, Events
from ..nn.quantizers import SCALE_MIN
from ..program import Config
from ..topology import TARGETS, Shape, Site

RATE = 0.1
"""Relative change of a scale in a pass over the missing share of silence. A population that misses its target by 0.01
widens its scale by 0.1 % in a pass, i.e. by a tenth in 100 passes.
"""

FEWEST = 0.005
"""Minimum density of events: one in 200 windows. With fewer events, a population would no longer carry information."""

LATEST = 0.05
"""Weight of the latest pass in the running mean of shares."""


@lru_cache
def load(shape: Shape, site: Site, length: int) -> tuple[float, float]:
    """Return the windows of connections, and the synaptic operations, that belong to a neuron-window of a population.

    In training, the last block computes all tokens, but a program only the first one. Windows that a program does not
    have count nothing.

    Args:
        length: tokens of a sequence.
    """
    all_tokens = Shape(shape.layers, shape.width, shape.heads, shape.intermediate, first_only=False)
    own = all_tokens.windows(site.block, TARGETS[site.part][0], length)
    read = {name: shape.windows(site.block, name, length) / own for name in TARGETS[site.part]}
    return sum(read.values()), sum(share * shape.fan_out(name, length) for name, share in read.items())


class Fixed:
    """Makes float32 tensors of numbers on a device, one of each, and keeps them.

    While a CUDA graph is captured, nothing can be copied from the CPU, and its replays read the same memory again. So
    whoever takes part in a training step has such an object, which lives as long.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[tuple[Any, ...], torch.device], Tensor] = {}

    def __call__(self, values: tuple[Any, ...], device: torch.device) -> Tensor:
        """Return the tensor of these numbers on a device."""
        key = values, device
        if key not in self._made:
            self._made[key] = torch.tensor(values, dtype=torch.float32, device=device)
        return self._made[key]


def counts(events: Mapping[Site, Events]) -> Tensor:
    """Return the events and windows of each population in a pass, over all processes, ``[2, populations]``."""
    sent = torch.stack([one.events for one in events.values()]).detach().float()
    windows = torch.stack([one.windows for one in events.values()])
    total: Tensor = reduce(torch.stack([sent, windows]), "sum")
    return total


def shares(shape: Shape, events: Mapping[Site, Events], length: int, fixed: Fixed) -> Tensor:
    """Return the silent and quiet share ``[2]`` of a training pass over all processes, as of the converted program.

    Args:
        length: tokens of a sequence.
        fixed: makes the tensor of the populations' loads.
    """
    sums = counts(events)
    sent, windows = sums @ fixed(tuple(load(shape, site, length) for site in events), sums.device)
    found: Tensor = 1 - sent / windows
    return found


class Silence:
    """Holds the share of silence of each population by adjusting its scale.

    Populations of the same name, in all blocks, share a target. It is their mean density of events at the start, or
    that in ``densities``. One common factor scales all targets so that all connections together reach the requested
    share. If scales were learned, activations would outgrow them until most of the effect of a dead zone is lost. The
    gradients take into account that scales follow (:mod:`~matterhorn.nn.quantizers`).

    In your own training loop, create it before the optimizer, and call :meth:`follow` with the events of every pass.

    Args:
        student: the network at the start. From now on its scales are not learned.
        batch: training rows of all lengths, in which to count events.
        batch_size: rows per training pass, over all processes. After a pass of more rows, scales change more.
        silent_share, quiet_share: shares to hold over all connections. If both are given, the one that leaves fewer
            events is decisive.
        densities: relative densities of events by population. None: those at the start.

    Raises:
        InputError: the network is not calibrated, no share is given, or one is not between 0 and 1.
    """

    def __init__(
        self,
        student: QuantizedForSequenceClassification,
        batch: Batch,
        *,
        batch_size: float,
        silent_share: float | None = None,
        quiet_share: float | None = None,
        densities: Mapping[str, float] | None = None,
    ):
        student.check_calibrated()
        _check_shares(silent_share=silent_share, quiet_share=quiet_share)
        self.populations, self.asked, self.fixed = student.populations(), (silent_share, quiet_share), Fixed()
        self.seen = torch.full((2,), math.nan)
        """Running means of silent and quiet share; NaN before the first pass."""
        windows, events = _count(student, batch)
        lengths = mask_of(batch).sum(1)
        length = round(float(lengths.float().mean()))
        self.targets = self._targets(student.config.formats, windows, events, length, densities)
        passes = len(lengths) / batch_size
        self.usual = {site: count / passes for site, count in windows.items()}
        """Windows of each population in a mean pass. A pass with more windows changes scales more, since it also weighs
        more in the target, which is a mean over windows. Attention among few tokens is less silent than among many. If
        all passes weighed the same, it would be silenced beyond the target.
        """
        self.centers = {site: _centers(population) for site, population in self.populations.items()}
        """Real values of silent levels and of what they are read as, float ``[neurons or 1]`` each."""
        self.floors = {site: _floor(p, self.centers[site][0]) for site, p in self.populations.items()}
        """Smallest scale of each population."""
        for population in self.populations.values():
            population.scale.requires_grad_(False)
            population.follows = True

    def _targets(
        self,
        formats: Config,
        windows: dict[Site, int],
        events: dict[Site, int],
        length: int,
        densities: Mapping[str, float] | None,
    ) -> dict[str, float]:
        """Return the share of silence to hold in each population, by name.

        ``windows`` and ``events`` are counted at the start on sequences of ``length`` tokens.
        """
        sent: dict[str, float] = defaultdict(float)
        all_sent: dict[str, float] = defaultdict(float)
        for site in windows:
            sent[site.part] += events[site]
            all_sent[site.part] += windows[site]
        present = {name: sent[name] / all_sent[name] for name in sent}
        most = {name: max(share, present[name]) for name, share in largest_densities(formats).items()}
        found = []
        for which, share in enumerate(self.asked):
            if share is not None:
                loads: dict[str, float] = defaultdict(float)
                for site, count in windows.items():
                    loads[site.part] += load(formats.shape, site, length)[which] * count
                found.append(scaled_densities(densities or present, loads, 1 - share, most))
        fewest = min(found, key=lambda densities: sum(densities.values()))
        return {name: 1 - max(FEWEST, density) for name, density in fewest.items()}

    def release(self) -> None:
        """End the control: scales are learned again."""
        for population in self.populations.values():
            population.scale.requires_grad_(True)
            population.follows = False

    @property
    def missing(self) -> float:
        """By how much the recent shares fall short of those requested; negative if they do not."""
        pairs = zip(self.asked, self.seen.tolist(), strict=True)
        return max((asked - seen for asked, seen in pairs if asked is not None and not math.isnan(seen)), default=0.0)

    @torch.no_grad()
    def follow(self, events: Mapping[Site, Events], seen: Tensor | None = None) -> None:
        """Adjust each scale to the events of a training pass.

        Args:
            events: events of the pass.
            seen: the :func:`shares` of the pass, which enter :attr:`missing`.
        """
        sent, windows = counts({site: events[site] for site in self.populations})
        device = sent.device
        self.to(device)
        if seen is not None:
            before = torch.where(self.seen.isnan(), seen, self.seen)
            self.seen.copy_(before + LATEST * (seen - before))
        targets = self.fixed(tuple(self.targets[site.part] for site in self.populations), device)
        usual = self.fixed(tuple(self.usual[site] for site in self.populations), device)
        missing = windows / usual * (targets - 1 + sent / windows)
        for (site, population), short in zip(self.populations.items(), missing, strict=True):
            population.scale.mul_(1 + RATE * short).clamp_(min=self.floors[site])
            _center(population, *self.centers[site])

    def to(self, device: torch.device) -> None:
        """Move the state to a device."""
        self.seen = self.seen.to(device)
        self.centers = {site: (level.to(device), value.to(device)) for site, (level, value) in self.centers.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state from which training can be resumed."""
        numbers = {"seen": self.seen.tolist(), "targets": list(self.targets.values())}
        numbers |= {f"limits.{site}": [self.usual[site], self.floors[site]] for site in self.usual}
        state = {name: torch.tensor(values, dtype=torch.float64) for name, values in numbers.items()}
        return state | {f"centers.{site}": torch.stack(pair) for site, pair in self.centers.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state that :meth:`state_dict` returned."""
        self.seen = state["seen"].float()
        self.targets = dict(zip(self.targets, state["targets"].tolist(), strict=True))
        for site in self.centers:
            self.centers[site] = state[f"centers.{site}"][0], state[f"centers.{site}"][1]
            self.usual[site], self.floors[site] = state[f"limits.{site}"].tolist()


def _check_shares(**asked: float | None) -> None:
    """Check shares by name: at least one is given, and all are between 0 and 1."""
    given = {name: share for name, share in asked.items() if share is not None}
    for name, share in given.items():
        if not 0 < share < 1:
            raise InputError(f"{share}", field=name, cure="give a share between 0 and 1, e.g. 0.9")
    if not given:
        raise InputError("no share to hold", field="silent_share", cure="give it, or quiet_share")


def _count(student: QuantizedForSequenceClassification, batch: Batch) -> tuple[dict[Site, int], dict[Site, int]]:
    """Count the neuron-windows of existing tokens, and the events in them, by population."""
    windows: dict[Site, int] = {}
    events: dict[Site, int] = {}
    present = mask_of(batch).to(student.device)

    def count(site: Site, population: ActivationQuantizer, x: Tensor) -> None:
        levels = existing(population.levels(x), present, site.part)
        windows[site] = levels.numel()
        events[site] = int(((levels - population.silent).abs() > population.dead_zone).sum())

    with watching(student.populations(), count):
        run_batches(student, [batch])
    return windows, events


def _centers(population: ActivationQuantizer) -> tuple[Tensor, Tensor]:
    """Return the real values of the silent levels and of what they are read as, ``[neurons or 1]`` each."""
    scale, origin = population.positive_scale.detach(), population.origin
    return scale * (population.silent - origin), scale * (population.silent_value / EIGHTHS - origin)


def _floor(population: ActivationQuantizer, silent: Tensor) -> float:
    """Return the smallest scale at which nine out of ten silent levels are still within the range of levels.

    Below it, both silent levels and values collect at the ends of the range. A smaller scale then makes *more* values
    silent, so a scale that should decrease silence would shrink toward zero.

    Args:
        silent: real values of the silent levels.
    """
    reach: int = max(population.zero, population.top - population.zero)
    furthest = float(silent.abs().float().quantile(0.9)) / reach
    return min(float(population.positive_scale.detach()), max(SCALE_MIN, furthest))


def _center(population: ActivationQuantizer, silent: Tensor, value: Tensor) -> None:
    """Set the silent levels, and what they are read as, to the nearest ones to their original real values.

    Otherwise a dead zone would move away from zero as its scale widens.
    """
    k, scale, origin = population.dead_zone, population.positive_scale, population.origin
    level = ((silent / scale).round() + origin).clamp(0, population.top)
    nearest = (EIGHTHS * (value / scale + origin)).round().clamp(0, EIGHTHS * population.top)
    population.silent.copy_(level)
    population.silent_value.copy_(nearest.clamp(EIGHTHS * (level - k), EIGHTHS * (level + k)))
