"""Other packages' time-stepped layers of the same shape: a linear map and integrate-and-fire neurons over T steps."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

STEPS = 15
Layer = Callable[[Tensor], object]
"""Spikes ``[T, rows, width]`` → anything."""


def spikingjelly_layer(width: int) -> Layer:
    """SpikingJelly, multi-step mode."""
    parts = import_module("spikingjelly.activation_based")
    for name in ("layer", "neuron", "functional"):
        import_module(f"spikingjelly.activation_based.{name}")
    net = nn.Sequential(parts.layer.Linear(width, width, step_mode="m"), parts.neuron.IFNode(step_mode="m")).eval()

    def run(spikes: Tensor) -> object:
        parts.functional.reset_net(net)
        return net(spikes)

    return run


def snntorch_layer(width: int) -> Layer:
    """snnTorch, leaky neurons stepped one by one."""
    snn: Any = import_module("snntorch")
    linear, neuron = nn.Linear(width, width), snn.Leaky(beta=0.9)

    def run(spikes: Tensor) -> object:
        membrane = neuron.init_leaky() if hasattr(neuron, "init_leaky") else neuron.reset_mem()
        out = []
        for step in spikes:
            spike, membrane = neuron(linear(step), membrane)
            out.append(spike)
        return torch.stack(out)

    return run


def norse_layer(width: int) -> Layer:
    """norse, LIF cell stepped one by one."""
    norse: Any = import_module("norse.torch")
    linear, cell = nn.Linear(width, width), norse.LIFCell()

    def run(spikes: Tensor) -> object:
        state, out = None, []
        for step in spikes:
            spike, state = cell(linear(step), state)
            out.append(spike)
        return torch.stack(out)

    return run


def sinabs_layer(width: int) -> Layer:
    """sinabs, integrate-and-fire over the whole train."""
    layers: Any = import_module("sinabs.layers")
    linear, neuron = nn.Linear(width, width), layers.IAF()

    def run(spikes: Tensor) -> object:
        neuron.reset_states()
        return neuron(linear(spikes.transpose(0, 1)))

    return run


PEERS: dict[str, Callable[[int], Layer]] = {
    "spikingjelly": spikingjelly_layer,
    "snntorch": snntorch_layer,
    "norse": norse_layer,
    "sinabs": sinabs_layer,
}


def peer_contestants(rows: int, width: int, say: Callable[[str], None]) -> dict[str, Callable[[], object]]:
    """The peers that are installed; says in one line why one is left out."""
    spikes = (torch.rand(STEPS, rows, width, generator=torch.Generator().manual_seed(0)) < 0.05).to(torch.float32)
    found: dict[str, Callable[[], object]] = {}
    for name, build in PEERS.items():
        try:
            layer = build(width)
            with torch.inference_mode():
                layer(spikes[:, :2])
        except Exception as error:
            say(f"{name} skipped: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            continue
        found[name] = _timed(layer, spikes)
    return found


def _timed(layer: Layer, spikes: Tensor) -> Callable[[], object]:
    def run() -> object:
        with torch.inference_mode():
            return layer(spikes)

    return run
