"""What arXiv 2409.08290 published, computed by the same bill: one connection, movement per synaptic operation.

The assumptions that the paper's text leaves open are listed in ``docs/energy.md``.
"""

from __future__ import annotations

import math
from dataclasses import replace

from matterhorn.energy import Activity, Chip
from matterhorn.energy.activity import populations
from matterhorn.energy.computing import fire_lines, synapse_lines
from matterhorn.energy.mapping import Mapping, geometry, split
from matterhorn.energy.mesh import Mesh
from matterhorn.energy.movement import spike_lines

PUBLISHED_RATIOS = {1: 0.996, 3: 1.500, 7: 2.338, 15: 3.762}
"""E_SNN / E_QNN by T: rate-coded against bit-matched dense, SST-2 transformer, 4.75 hops."""

PUBLISHED_BREAK_EVEN = 0.057
"""Spike rate at T = 5 below which the spiking network wins."""


def connection(form: str, steps: int, *, sources: int, operand_bits: int, events: float, used: float) -> Activity:
    """A square connection of ``sources`` neurons that runs one window, ``events`` and ``used`` per neuron."""
    bits = math.ceil(math.log2(steps + 1))
    word = form == "word"
    return Activity(
        block=0, connection="ffn1", form="word" if word else "train", fan_in=sources, fan_out=sources, heads=1,
        level_bits=bits, operand_bits=operand_bits, vectors=1.0, windows=float(sources), products=float(sources**2),
        adds=min(bits, operand_bits) if word else 1, steps=0 if word else steps, events=sources * events,
        operations=sources**2 * (used if word else events), active=sources * used,
    )  # fmt: skip


def energy(activity: Activity, chip: Chip) -> float:
    """Computing, weight access and movement of one connection, J (the model of the paper has no other terms)."""
    place = geometry(chip, "digital")
    mapping = Mapping(
        "digital",
        Mesh(1, 1, 1),
        1,
        place,
        place,
        {activity.name: split(activity, place, activity.operand_bits)},
        {},
        {},
        1,
        {activity.source: activity.fan_in},
    )
    lines = [*synapse_lines(activity, chip, mapping), *fire_lines(activity, chip)]
    for sharing in populations([activity]).values():
        lines += spike_lines(sharing, chip, mapping)
    return sum(joules for _, category, joules in lines if category != "neuron_state")


def used_share(rate: float, steps: int) -> float:
    """Share of non-zero levels of exponential activations, rounded to 0 … ``steps`` with a scale such that the mean
    level is ``rate`` · ``steps`` (a learned scale adapts to the number of levels). Bisection on the decay, 1e-12."""
    low, high = 0.0, 100.0
    while high - low > 1e-12:
        decay = (low + high) / 2
        mean = sum(math.exp(-(level - 0.5) * decay) for level in range(1, steps + 1))
        low, high = (decay, high) if mean > rate * steps else (low, decay)
    return math.exp(-0.5 * low)


def ratio(steps: int, chip: Chip, *, rate: float = 0.14, sources: int = 768, operand_bits: int = 4) -> float:
    """E_SNN / E_QNN at T = ``steps``, both skipping zeros, at one spike rate for all T (Sorbet: 0.13 … 0.15)."""
    used = used_share(rate, steps)
    size = {"sources": sources, "operand_bits": operand_bits}
    spiking = connection("train", steps, events=rate * steps, used=used, **size)
    dense = connection("word", steps, events=1.0, used=used, **size)
    return energy(spiking, chip) / energy(dense, chip)


def break_even(steps: int, chip: Chip, *, sources: int = 4096, operand_bits: int = 4) -> float:
    """Spike rate at which rate-coded spikes cost what dense words cost that skip nothing. Bisection, 1e-9."""
    size = {"sources": sources, "operand_bits": operand_bits}
    goal = energy(connection("word", steps, events=1.0, used=1.0, **size), chip)
    base = connection("train", steps, events=0.0, used=0.0, **size)
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        rate = (low + high) / 2
        spikes = steps * rate
        spiking = replace(base, events=sources * spikes, operations=sources**2 * spikes)
        low, high = (rate, high) if energy(spiking, chip) < goal else (low, rate)
    return low
