"""Placing steps for a dead zone: as many events as the target leaves, spent where they save most error."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..coding import READ_UNIT, level_histogram, mean_of_silent, most_frequent
from ..nn import ActivationQuantiser
from .config import TARGETS, kind_of
from .from_bert import existing, level_histograms, run_batches
from .quantised import MatterhornForSequenceClassification

CANDIDATES = torch.logspace(-0.4, 0.4, 9)
"""Steps that are tried, as multiples of the present one."""

ROUNDS = 6
"""Bisections of the price of an event."""

REACH, STRIDE, HALVINGS = 20.0, 1.3, 6
"""Steps for a density are looked for between 20 times the present one and a twentieth, by strides of 1.3, each of which
is bisected 6 times."""


def place_steps(model: MatterhornForSequenceClassification, batch: dict[str, Tensor], target: float) -> float:
    """Set steps and silent levels for the network's dead zone so that ``target`` of all windows of one batch are
    silent; returns the share.

    Block after block, every population takes the step with the least *relative error + λ · events*, where the relative
    error is that of what receivers read against the spread of the values around each neuron's mean, and an event counts
    as often as it is sent. One λ for all populations (equal slopes, as in rate-distortion theory), found by bisection.
    Silence goes to the most frequent levels and is read as the mean of what it swallows.
    """
    before = {name: population.step.detach().clone() for name, population in model.populations().items()}
    low, high, share = 0.01, 2.0, 0.0
    for _ in range(ROUNDS):
        price = (low * high) ** 0.5
        share = _place(model, batch, before, price)
        low, high = (price, high) if share < target else (low, price)
    return share


def place_densities(
    model: MatterhornForSequenceClassification, batch: dict[str, Tensor], target: float, relative: dict[str, float]
) -> None:
    """Set steps and silent levels so that ``target`` of all windows of one batch are silent, and densities of events
    of the kinds of populations are to each other as in ``relative``.

    Equal slopes look at each population alone. What its error does to the rest of the network they do not see: an
    event of ``mixed``, with one receiver, turned out to be worth more than one of ``input``, with three.
    """
    windows = dict.fromkeys(relative, 0)
    for name, histogram in level_histograms(model, [batch]).items():
        kind = kind_of(name)
        windows[kind] += TARGETS.get(kind, 1) * int(histogram.sum())
    weighted = sum(relative[kind] * windows[kind] for kind in windows)
    factor = (1 - target) * sum(windows.values()) / weighted
    present = batch["attention_mask"].bool()

    def settle(name: str) -> Any:
        kind = kind_of(name)

        def hook(module: ActivationQuantiser, inputs: tuple[Tensor, ...]) -> None:
            step_for_density(module, existing(inputs[0], present, kind), factor * relative[kind])

        return hook

    hooks = [module.register_forward_pre_hook(settle(name)) for name, module in model.populations().items()]
    run_batches(model, [batch])
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def step_for_density(module: ActivationQuantiser, values: Tensor, density: float) -> None:
    """Give one population the largest step at which that share of ``values [n, neurons]`` is events.

    A smaller step makes more events only down to where values leave the range of levels: below it whole neurons pile
    up at an end of the range, which becomes their silent level. So the search comes from above; where the share is out
    of reach, the step with most events is taken.
    """
    counted: dict[float, float] = {}

    def events_at(step: float) -> float:
        module.step.fill_(step)
        counted[step] = 1 - settle_silence_of(module, module.levels(values))
        return counted[step]

    high = low = float(module.step) * REACH
    while events_at(low) < density and low > high / REACH**2:
        low /= STRIDE
    if counted[low] >= density:
        high = low * STRIDE
        for _ in range(HALVINGS):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if events_at(middle) >= density else (low, middle)
    events_at(max(counted, key=lambda step: (min(counted[step], density), step)))


def settle_silence_of(module: ActivationQuantiser, levels: Tensor) -> float:
    """Give silence to the most frequent of ``levels [n, neurons]``, read as the mean; the share of silence."""
    histogram = level_histogram(levels, module.bits)
    if len(module.silent) == 1:
        histogram = histogram.sum(0, keepdim=True)
    silent = most_frequent(histogram)
    module.silent.copy_(silent)
    module.reads.copy_(mean_of_silent(histogram, silent, module.dead_zone))
    return float(((levels - silent).abs() <= module.dead_zone).float().mean())


def _place(
    model: MatterhornForSequenceClassification, batch: dict[str, Tensor], before: dict[str, Tensor], price: float
) -> float:
    """Place every population's step at one price; the share of silence over all connections."""
    present = batch["attention_mask"].bool()
    tokens, width = int(present.sum()), model.config.hidden_size
    silent, windows = 0, 0

    def settle(name: str) -> Any:
        kind = kind_of(name)

        def hook(module: ActivationQuantiser, inputs: tuple[Tensor, ...]) -> None:
            nonlocal silent, windows
            values = existing(inputs[0], present, kind)
            sent = TARGETS.get(kind, 1) * values.numel()
            quiet = settle_population(module, values, before[name], price * sent / (tokens * width))
            silent += round(quiet * sent)
            windows += sent

        return hook

    hooks = [module.register_forward_pre_hook(settle(name)) for name, module in model.populations().items()]
    run_batches(model, [batch])
    for hook in hooks:
        hook.remove()
    return silent / windows


@torch.no_grad()
def settle_population(module: ActivationQuantiser, values: Tensor, step: Tensor, price: float) -> float:
    """Give one population the candidate step with the least relative error + price · share of events.

    ``values``: what comes in, ``[n, neurons]``. Returns the share of silence; silent levels and readings are set too.
    """
    least, kept = float("inf"), 0.0
    if module.zero == 0:
        values = values.clamp(min=0)
    wanted = module.amplify(values)
    spread = (wanted - wanted.mean(0)).square().sum().clamp(min=1e-12)
    for candidate in CANDIDATES * step:
        module.step.copy_(candidate)
        levels = module.levels(values)
        share = settle_silence_of(module, levels)
        quiet = (levels - module.silent).abs() <= module.dead_zone
        read = torch.where(quiet, module.reads / READ_UNIT, levels) - module.zero
        cost = float((wanted - candidate * read).square().sum() / spread) + price * (1 - share)
        if cost < least:
            least, kept, best = cost, share, (candidate, module.silent.clone(), module.reads.clone())
    module.step.copy_(best[0])
    module.silent.copy_(best[1])
    module.reads.copy_(best[2])
    return kept
