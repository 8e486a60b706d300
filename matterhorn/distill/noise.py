"""Noise-aware training: weights deviate as the cells of an array do, so that the network tolerates deviations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..models import QuantizedForSequenceClassification
from ..msu import Device, weight_deviation

TURNS = 3
"""Number of passes after which a connection is drawn anew. In each pass, a third of the connections is drawn, since
drawing all of them would take as long as the training step.
"""


class Chips:
    """Draws the deviations that the cells of simulated chips add to the integer weights of every connection.

    Args:
        network: its connections get the deviations, which only affect training.
        device: device of the cells, with programming noise and stuck cells.
        seed: seed of the sequence of chips.
        renew: number of passes after which a whole chip is drawn, from the seed and the number of the pass alone. A run
            that is resumed at such a pass sees the same chips as without the interruption.
    """

    def __init__(self, network: QuantizedForSequenceClassification, device: Device, seed: int, renew: int):
        self.connections = list(network.connections().values())
        self.device, self.seed, self.renew, self.passes = device, seed, renew, 0
        self.generator = np.random.Generator(np.random.PCG64(seed))

    @torch.no_grad()
    def draw(self) -> None:
        """Draw the next chip: a whole new one, or the previous one with every third connection drawn anew.

        The first chip of a resumed run is a whole one.
        """
        whole = self.passes % self.renew == 0 or self.connections[0].deviation is None
        if whole:
            self.generator = np.random.Generator(np.random.PCG64([self.seed, self.passes]))
        for number, connection in enumerate(self.connections):
            if whole or (number - self.passes) % TURNS == 0:
                integers, _ = connection.integers()
                drawn = weight_deviation(integers.to(torch.int8).cpu().numpy(), self.device, self.generator)
                connection.deviation = torch.from_numpy(drawn).to(integers.device)
        self.passes += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Return the number of passes so far."""
        return {"passes": torch.tensor(self.passes)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state. After a multiple of ``renew`` passes, chips are the same as without the interruption."""
        self.passes = int(state["passes"])
