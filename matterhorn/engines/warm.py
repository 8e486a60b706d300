"""Doing beforehand what a first run would have to do: compiling kernels and measuring what connections cost."""

from __future__ import annotations

import torch

from ..models.spiking import SpikingNetwork
from ..msu import ArrayBank
from . import costs
from .costs import Costs
from .events import PACKED_FROM, EventsEngine
from .exact import ExactEngine
from .forward import classify
from .interface import Engine

NEVER, ALWAYS = Costs(product=0.0, start=0.0), Costs(product=1e6)
"""Costs with which ``events`` never takes its own kernels, and always."""


def warm_up(network: SpikingNetwork) -> None:
    """Run every kernel once, on a short and on a long sequence of padding; keep what was compiled and measured."""
    costs.machine_costs()
    engines: list[Engine] = [ExactEngine(), EventsEngine(ALWAYS), EventsEngine(NEVER)]
    for length in (2, min(PACKED_FROM, network.config.max_position_embeddings)):
        tokens = torch.zeros(1, length, dtype=torch.int64)
        for engine in engines:
            classify(network, tokens, tokens, torch.ones_like(tokens, dtype=torch.bool), engine)
    chip = ArrayBank.of("rram-ye-28nm", "ideal-128").program(torch.ones(2, 3, dtype=torch.int8))
    chip.in_steps(torch.zeros(1, 3, dtype=torch.int8), torch.ones(2), torch.zeros(2))
