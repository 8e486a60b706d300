"""Placing steps for a dead zone: as many events as the target leaves, spent where they save most error."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..coding import READ_UNIT, level_histogram, mean_of_silent, most_frequent
from ..nn import ActivationQuantiser
from .config import TARGETS
from .from_bert import existing, run_batches
from .quantised import MatterhornForSequenceClassification

CANDIDATES = torch.logspace(-0.4, 0.4, 9)
"""Steps that are tried, as multiples of the present one."""

ROUNDS = 6
"""Bisections of the price of an event."""


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


def _place(
    model: MatterhornForSequenceClassification, batch: dict[str, Tensor], before: dict[str, Tensor], price: float
) -> float:
    """Place every population's step at one price; the share of silence over all connections."""
    present = batch["attention_mask"].bool()
    tokens, width = int(present.sum()), model.config.hidden_size
    silent, windows = 0, 0

    def settle(name: str) -> Any:
        kind = name.rsplit(".", 1)[-1]

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
        histogram = level_histogram(levels, module.bits)
        if len(module.silent) == 1:
            histogram = histogram.sum(0, keepdim=True)
        silent = most_frequent(histogram)
        reads = mean_of_silent(histogram, silent, module.dead_zone)
        quiet = (levels - silent).abs() <= module.dead_zone
        read = torch.where(quiet, reads / READ_UNIT, levels) - module.zero
        share = float(quiet.float().mean())
        cost = float((wanted - candidate * read).square().sum() / spread) + price * (1 - share)
        if cost < least:
            least, kept, best = cost, share, (candidate, silent, reads)
    module.step.copy_(best[0])
    module.silent.copy_(best[1])
    module.reads.copy_(best[2])
    return kept
