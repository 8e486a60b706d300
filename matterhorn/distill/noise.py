"""Noise-aware training: the network meets newly written arrays in every pass, and learns not to lean on any cell."""

from __future__ import annotations

import torch

from ..models.quantised import MatterhornForSequenceClassification
from ..msu import Device, weight_deviation
from ..nn.linear import QuantisedLinear

TURNS = 3
"""A connection is written anew every so many passes, in turn: drawing all every time would cost as much as learning."""


class Chips:
    """Draws what the cells of a chip add to the integer weights of every static connection.

    Args:
        network: its connections take the deviation in training only.
        device: how far cells stray (programming noise, stuck cells).
        seed: of the sequence of chips.
        renew: every so many passes the whole chip is drawn from seed and pass alone, so that a run that is resumed at
            such a pass meets the chips it would have met.
    """

    def __init__(self, network: MatterhornForSequenceClassification, device: Device, seed: int, renew: int):
        self.connections = [module for module in network.modules() if isinstance(module, QuantisedLinear)]
        self.device, self.seed, self.renew = device, seed, renew
        self.generator = torch.Generator()

    @torch.no_grad()
    def draw(self, passes: int) -> None:
        """The chip after ``passes`` passes: a whole new one, or every third connection of the last written anew."""
        whole = passes % self.renew == 0
        if whole:
            self.generator.manual_seed(1_000_003 * self.seed + passes)
        for number, connection in enumerate(self.connections):
            if whole or (number - passes) % TURNS == 0:
                integers, _ = connection.integers()
                connection.deviation = weight_deviation(integers.to(torch.int8), self.device, self.generator)
