"""Noise-aware training, so that the network does not depend on single cells of an array.

In every pass, part of the arrays is drawn anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..models import QuantizedForSequenceClassification
from ..msu import Device, weight_deviation

TURNS = 3
"""A connection is written anew every so many passes, in turn: drawing all every time would cost as much as learning."""


class Chips:
    """Draws what the cells of a chip add to the integer weights of every connection, one chip after the other.

    Args:
        network: its connections take the deviation in training only.
        device: how far cells stray (programming noise, stuck cells).
        seed: of the sequence of chips.
        renew: every so many passes the whole chip is drawn from seed and pass alone, so that a run that is resumed at
            such a pass meets the chips it would have met.
    """

    def __init__(self, network: QuantizedForSequenceClassification, device: Device, seed: int, renew: int):
        self.connections = list(network.connections().values())
        self.device, self.seed, self.renew, self.passes = device, seed, renew, 0
        self.generator = np.random.Generator(np.random.PCG64(seed))

    @torch.no_grad()
    def draw(self) -> None:
        """The next chip: a whole new one, or every third connection of the last written anew."""
        whole = self.passes % self.renew == 0
        if whole:
            self.generator = np.random.Generator(np.random.PCG64([self.seed, self.passes]))
        for number, connection in enumerate(self.connections):
            if whole or (number - self.passes) % TURNS == 0:
                integers, _ = connection.integers()
                drawn = weight_deviation(integers.to(torch.int8).cpu().numpy(), self.device, self.generator)
                connection.deviation = torch.from_numpy(drawn).to(integers.device)
        self.passes += 1

    def state_dict(self) -> dict[str, Tensor]:
        """How many chips there were."""
        return {"passes": torch.tensor(self.passes)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state_dict` gave; exactly so after a multiple of ``renew`` passes."""
        self.passes = int(state["passes"])
