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
    """

    def __init__(self, network: MatterhornForSequenceClassification, device: Device, seed: int):
        self.connections = [module for module in network.modules() if isinstance(module, QuantisedLinear)]
        self.device = device
        self.generator = torch.Generator().manual_seed(seed)
        self.passes = 0

    @torch.no_grad()
    def draw(self) -> None:
        """The next chip: the first is drawn whole, then every third connection is written anew."""
        whole = self.passes == 0
        for number, connection in enumerate(self.connections):
            if not whole and (number - self.passes) % TURNS:
                continue
            integers, _ = connection.integers()
            connection.deviation = weight_deviation(integers.to(torch.int8), self.device, self.generator)
        self.passes += 1
