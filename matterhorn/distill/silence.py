"""Holding shares of silence: every population's step follows its activations, as homeostasis holds a neuron's rate."""

from __future__ import annotations

from collections import defaultdict

import torch
from accelerate.utils import reduce
from torch import Tensor

from ..coding import READ_UNIT, silent_share
from ..models.config import TARGETS, kind_of
from ..models.from_bert import level_histograms
from ..models.quantised import MatterhornForSequenceClassification
from ..nn import ActivationQuantiser
from ..nn.quantisers import STEP_MIN

RATE = 0.1
"""A population that is one hundredth short of silence widens its step by 0.1 % in a pass: by a tenth in 100."""

FEWEST = 0.005
"""No population is asked for fewer events than one in two hundred windows: it would say nothing any more."""


class Shares:
    """The share of silence that each population is to keep, and the steps that keep it.

    Populations of a kind share a target: the mean of what they have at the start, their events scaled by one factor so
    that all connections together reach the target. Without this, activations grow against their steps until most of a
    dead zone is undone.

    Args:
        student: the network at the start of a round. batch: training rows to count on. target: over all connections.
        batch_size: rows of a pass in training.
    """

    def __init__(
        self, student: MatterhornForSequenceClassification, batch: dict[str, Tensor], target: float, batch_size: int
    ):
        self.populations = student.populations()
        histograms = level_histograms(student, [batch])
        windows: dict[str, int] = defaultdict(int)
        events: dict[str, float] = defaultdict(float)
        for name, population in self.populations.items():
            sent = TARGETS.get(kind_of(name), 1) * int(histograms[name].sum())
            windows[kind_of(name)] += sent
            events[kind_of(name)] += sent * (1 - silent_share(histograms[name], population.code))
        factor = (1 - target) * sum(windows.values()) / max(1.0, sum(events.values()))
        self.targets = {kind: 1 - max(FEWEST, factor * events[kind] / windows[kind]) for kind in windows}
        passes = len(batch["input_ids"]) / batch_size
        self.usual = {name: int(histograms[name].sum()) / passes for name in self.populations}
        """Windows of a pass: one of more counts more, as it did in the share to be kept. Attention among few tokens is
        less silent than among many, so that counting passes alike would silence it further and further."""
        self.centres = {name: _centres(population) for name, population in self.populations.items()}
        self.floors = {name: _floor(p, self.centres[name][0]) for name, p in self.populations.items()}

    @torch.no_grad()
    def follow(self) -> None:
        """Let each step follow what the last pass in training sent."""
        populations = self.populations.items()
        shares = torch.stack([1 - p.events / p.windows for _, p in populations if p.events is not None]).detach()
        for (name, population), share in zip(populations, reduce(shares, "mean"), strict=True):
            weight = population.windows / self.usual[name]
            missing = weight * (self.targets[kind_of(name)] - share)
            population.step.mul_(1 + RATE * missing).clamp_(min=self.floors[name])
            _centre(population, *self.centres[name])


def _centres(population: ActivationQuantiser) -> tuple[Tensor, Tensor]:
    """Real values that silent levels stand for and are read as, float ``[neurons or 1]`` each."""
    step = population.positive_step.detach()
    return step * (population.silent - population.zero), step * (population.reads / READ_UNIT - population.zero)


def _floor(population: ActivationQuantiser, silent: Tensor) -> float:
    """The least step at which nine in ten silent levels are still levels.

    Below it dead zones pile up at the ends of the range together with the values: a smaller step then makes *more* of
    them silent, and a step that follows silence runs away to nothing.
    """
    furthest = float(silent.abs().float().quantile(0.9)) / max(population.zero, population.top - population.zero)
    return min(float(population.positive_step.detach()), max(STEP_MIN, furthest))


def _centre(population: ActivationQuantiser, silent: Tensor, read: Tensor) -> None:
    """Silent levels and readings that are nearest to real values at the present step: a dead zone that widens must not
    wander towards zero."""
    k, step = population.dead_zone, population.positive_step
    level = ((silent / step).round() + population.zero).clamp(0, population.top)
    reading = (READ_UNIT * (read / step + population.zero)).round().clamp(0, READ_UNIT * population.top)
    population.silent.copy_(level)
    population.reads.copy_(reading.clamp(READ_UNIT * (level - k), READ_UNIT * (level + k)))
