"""Holding shares of silence: every population's scale follows its activations, as homeostasis holds a neuron's rate."""

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
from ..models import QuantizedForSequenceClassification
from ..models.calibrate import existing, mask_of, run_batches
from ..models.watching import Batch, watching
from ..nn import ActivationQuantizer, Events
from ..nn.quantizers import SCALE_MIN
from ..topology import TARGETS, Shape, Site

RATE = 0.1
"""A population that is one hundredth short of silence widens its scale by 0.1 % in a pass: by a tenth in 100."""

FEWEST = 0.005
"""No population is asked for fewer events than one in two hundred windows: it would say nothing any more."""

LATEST = 0.05
"""Weight of the latest pass in the shares that are remembered."""


@lru_cache
def load(shape: Shape, site: Site, length: int) -> tuple[float, float]:
    """What one neuron-window of a population stands for in sequences of ``length`` tokens: windows of connections, and
    synaptic operations. In training the last block runs all tokens, of which a program computes only the first."""
    all_tokens = Shape(shape.layers, shape.width, shape.heads, shape.intermediate, first_only=False)
    own = all_tokens.windows(site.block, TARGETS[site.part][0], length)
    read = {name: shape.windows(site.block, name, length) / own for name in TARGETS[site.part]}
    return sum(read.values()), sum(share * shape.fan_out(name, length) for name, share in read.items())


@lru_cache(maxsize=1024)
def fixed(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """Numbers on a device, float32, made once: a step that is captured cannot bring any there."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def counts(events: Mapping[Site, Events]) -> Tensor:
    """Events and windows of each population in a pass, over all processes, ``[2, populations]``."""
    sent = torch.stack([one.events for one in events.values()]).detach().float()
    windows = torch.stack([one.windows for one in events.values()])
    total: Tensor = reduce(torch.stack([sent, windows]), "sum")
    return total


def shares(shape: Shape, events: Mapping[Site, Events], length: int) -> Tensor:
    """Silent and quiet share ``[2]`` that a pass in training over sequences of ``length`` tokens would have as a
    program, over all processes."""
    sums = counts(events)
    sent, windows = sums @ fixed(tuple(load(shape, site, length) for site in events), sums.device)
    found: Tensor = 1 - sent / windows
    return found


class Silence:
    """The share of silence that each population is to keep, and the scales that keep it.

    Populations of a name share a target: the mean of what they have at the start (or the ``densities`` given), their
    events scaled by one factor so that all connections together reach the share asked for. Without this, activations
    grow against their scales until most of a dead zone is undone; that scales follow is in the gradients
    (:mod:`~matterhorn.nn.quantizers`).

    For a training loop of your own, make it before the optimizer, and let it :meth:`follow` the events of every pass.

    Args:
        student: the network at the start. Its scales are not learned from here on.
        batch: training rows of all lengths, to count on. batch_size: rows of a pass in training, over all processes;
            passes of more rows are followed faster.
        silent_share, quiet_share: over all connections; with both, the one that leaves fewer events decides.
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
        self.populations, self.asked = student.populations(), (silent_share, quiet_share)
        self.seen = torch.full((2,), math.nan)
        """Silent and quiet share of late; NaN before the first pass."""
        windows, events = _count(student, batch)
        lengths = mask_of(batch).sum(1)
        length = round(float(lengths.float().mean()))
        self.targets = self._targets(student.config.formats.shape, windows, events, length, densities)
        passes = len(lengths) / batch_size
        self.usual = {site: count / passes for site, count in windows.items()}
        """Windows of a pass: one of more counts more, as it did in the share to be kept. Attention among few tokens is
        less silent than among many, so that counting passes alike would silence it further and further."""
        self.centers = {site: _centers(population) for site, population in self.populations.items()}
        """Real values that silent levels stand for and are read as, float ``[neurons or 1]`` each."""
        self.floors = {site: _floor(p, self.centers[site][0]) for site, p in self.populations.items()}
        for population in self.populations.values():
            population.scale.requires_grad_(False)
            population.follows = True

    def _targets(
        self,
        shape: Shape,
        windows: dict[Site, int],
        events: dict[Site, int],
        length: int,
        densities: Mapping[str, float] | None,
    ) -> dict[str, float]:
        sent: dict[str, float] = defaultdict(float)
        all_sent: dict[str, float] = defaultdict(float)
        for site in windows:
            sent[site.part] += events[site]
            all_sent[site.part] += windows[site]
        density = densities or {name: sent[name] / all_sent[name] for name in sent}
        factors = []
        for which, share in enumerate(self.asked):
            if share is not None:
                loads = {site: load(shape, site, length)[which] * count for site, count in windows.items()}
                present = sum(own * density[site.part] for site, own in loads.items())
                factors.append((1 - share) * sum(loads.values()) / max(1.0, present))
        return {name: 1 - max(FEWEST, min(factors) * density[name]) for name in density}

    @property
    def missing(self) -> float:
        """How far the shares of late fall short of those asked for; below 0 where they do not."""
        pairs = zip(self.asked, self.seen.tolist(), strict=True)
        return max((asked - seen for asked, seen in pairs if asked is not None and seen == seen), default=0.0)

    @torch.no_grad()
    def follow(self, events: Mapping[Site, Events], seen: Tensor | None = None) -> None:
        """Let each scale follow what a pass in training sent.

        Args:
            events: of the pass. seen: its :func:`shares`, to be remembered for :attr:`missing`.
        """
        own = {site: events[site] for site in self.populations}
        sent, windows = counts(own)
        device = sent.device
        self.to(device)
        if seen is not None:
            before = torch.where(self.seen.isnan(), seen, self.seen)
            self.seen.copy_(before + LATEST * (seen - before))
        targets = fixed(tuple(self.targets[site.part] for site in own), device)
        missing = windows / fixed(tuple(self.usual[site] for site in own), device) * (targets - 1 + sent / windows)
        for (site, population), short in zip(self.populations.items(), missing, strict=True):
            population.scale.mul_(1 + RATE * short).clamp_(min=self.floors[site])
            _center(population, *self.centers[site])

    def to(self, device: torch.device) -> None:
        """Bring what it remembers to a device."""
        self.seen = self.seen.to(device)
        self.centers = {site: (level.to(device), value.to(device)) for site, (level, value) in self.centers.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """All that it remembers, to go on from."""
        numbers = {"seen": self.seen.tolist(), "targets": list(self.targets.values())}
        numbers |= {f"limits.{site}": [self.usual[site], self.floors[site]] for site in self.usual}
        state = {name: torch.tensor(values, dtype=torch.float64) for name, values in numbers.items()}
        return state | {f"centers.{site}": torch.stack(pair) for site, pair in self.centers.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.seen = state["seen"].float()
        self.targets = dict(zip(self.targets, state["targets"].tolist(), strict=True))
        for site in self.centers:
            self.centers[site] = state[f"centers.{site}"][0], state[f"centers.{site}"][1]
            self.usual[site], self.floors[site] = state[f"limits.{site}"].tolist()


def _count(student: QuantizedForSequenceClassification, batch: Batch) -> tuple[dict[Site, int], dict[Site, int]]:
    """Neuron-windows of existing tokens of every population, and events among them."""
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
    scale, origin = population.positive_scale.detach(), population.origin
    return scale * (population.silent - origin), scale * (population.silent_value / EIGHTHS - origin)


def _floor(population: ActivationQuantizer, silent: Tensor) -> float:
    """The least scale at which nine in ten silent levels are still levels.

    Below it dead zones pile up at the ends of the range together with the values: a smaller scale then makes *more* of
    them silent, and a scale that follows silence runs away to nothing.
    """
    reach: int = max(population.zero, population.top - population.zero)
    furthest = float(silent.abs().float().quantile(0.9)) / reach
    return min(float(population.positive_scale.detach()), max(SCALE_MIN, furthest))


def _center(population: ActivationQuantizer, silent: Tensor, value: Tensor) -> None:
    """Silent levels and values that are nearest to real ones at the present scale: a dead zone that widens must not
    wander towards zero."""
    k, scale, origin = population.dead_zone, population.positive_scale, population.origin
    level = ((silent / scale).round() + origin).clamp(0, population.top)
    nearest = (EIGHTHS * (value / scale + origin)).round().clamp(0, EIGHTHS * population.top)
    population.silent.copy_(level)
    population.silent_value.copy_(nearest.clamp(EIGHTHS * (level - k), EIGHTHS * (level + k)))
