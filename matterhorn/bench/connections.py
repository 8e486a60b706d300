"""Contestants for one connection with random events, and for one whole layer of spiking neurons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..coding import Code, kappa
from ..program.parts import Array, Connection, Population
from ..runtime import Backend
from ..runtime.engine import BACKENDS
from .clock import Contestant

Contestants = dict[str, Contestant[NDArray[np.uint8]]]
"""Contestants by name, which take slots ``[rows, in]``."""

LAYER_TOP = 15
"""Highest level T of a layer."""


def random_array(fan_in: int, fan_out: int) -> Array:
    """Make an array with random weights ±1."""
    weights = 2 * np.random.Generator(np.random.PCG64(0)).integers(0, 2, (fan_out, fan_in), np.int8) - 1
    ones = np.ones(fan_out, np.float32)
    return Array.of("random", [Connection("int1", weights, np.zeros(fan_out, np.int32), ones, ones)], "input")


def population(name: str, neurons: int) -> Population:
    """Make a population with silent level 8, dead zone 3 and evenly spaced thresholds."""
    thresholds = np.tile(np.linspace(-150, 150, LAYER_TOP).round().astype(np.int32), (neurons, 1))
    return Population(name, neurons, Code(4, np.array(8, np.int16), 3), np.float32(1), thresholds=thresholds)


def connection_contestants(fan_in: int, fan_out: int) -> Contestants:
    """From slots to potentials: dense products by PyTorch, and ours in closed form and by events."""
    from .opponents import products

    array, source = random_array(fan_in, fan_out), population("input", fan_in)

    def dense(other: Contestant[NDArray[np.int16]]) -> Contestant[NDArray[np.uint8]]:
        return lambda slots: other(kappa(slots, source.code))

    def ours(backend: Backend) -> Contestant[NDArray[np.uint8]]:
        return lambda slots: lambda: backend.integrate(slots, array, source)

    others = {name: dense(other) for name, other in products(array.weights).items()}
    return others | {name: ours(BACKENDS[name]()) for name in ("exact", "events")}


def layer_contestants(width: int) -> Contestants:
    """From slots to slots, through a connection and neurons: SpikingJelly step by step, and our backends."""
    from .opponents import spikingjelly

    array, source, target = random_array(width, width), population("input", width), population("queries", width)
    jelly, steps = spikingjelly(width), np.arange(LAYER_TOP).reshape(-1, 1, 1)

    def ours(backend: Backend) -> Contestant[NDArray[np.uint8]]:
        return lambda slots: lambda: backend.fire(backend.integrate(slots, array, source), 0, target)

    found: Contestants = {"spikingjelly": lambda slots: jelly(slots == steps)}
    return found | {name: ours(BACKENDS[name]()) for name in ("stepped", "exact", "events")}
