"""Bills against counts made by hand, event after event."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest

from matterhorn.energy import (
    as_traced,
    bill,
    load,
    make_bill,
)
from matterhorn.energy.study import map_trace
from matterhorn.topology import SOURCE, STATIC, TARGETS, Shape, Site

from . import synthetic
from .routes import path
from .synthetic import WHOLE, near


def _count_by_events(shape, sentence, dead_zone, chip, mapping, silent):
    """A second opinion on the digital bill of one sentence: spike by spike, target by target, route by route."""
    joules: dict[str, float] = defaultdict(float)
    hop_bit = chip.noc.hop.bit.si + chip.noc.wire.si * mapping.edge
    bits = chip.noc.hop.header.si + math.ceil(math.log2(mapping.tiles))
    add, read, kv = chip.logic.accumulate.si, chip.weights.read.si, chip.kv.read.si
    sources = {"hidden": "norm", "context": "attention", "intermediate": "ffn1", "queries": "query"}
    for (block, name), levels in sentence.levels.items():
        before = "embedding" if block == 0 else f"block.{block - 1}.norm"
        sender = mapping.groups[before if name == "input" else f"block.{block}.{sources.get(name, 'norm')}"].tiles[0]
        cut = shape.first_only and block == shape.layers - 1
        neurons = shape.intermediate if name == "intermediate" else shape.width  # (of one tile: all of them)
        packet = chip.noc.hop.energy.si + (bits + math.ceil(math.log2(neurons))) * hop_bit
        tokens = levels.shape[-2] if name == "input" or not cut else 1
        computed = levels[..., :tokens, :]
        for level_of_silence in np.broadcast_to(silent[Site(block, name)], computed.shape).flat:
            if name in ("input", "probabilities", "hidden"):
                joules["computing"] += 2 * chip.logic.compare.si
                continue
            joules["thresholds"] += 2 * chip.state.threshold.si * chip.state.read.si
            for slot in range(16):
                above, below = 15 - slot > level_of_silence + dead_zone, 15 - slot <= level_of_silence - dead_zone
                if 15 - slot > 0 and (above or below):
                    joules["computing"] += chip.logic.compare.si + chip.logic.add.si
        for spike in zip(*np.nonzero(np.abs(computed - silent[Site(block, name)]) > dead_zone), strict=True):
            readers = [c for c in TARGETS[name] if not (cut and c == "query" and spike[-2] > 0)]
            tiles = {
                "queries": [mapping.groups[f"block.{block}.attention"].tiles[0]], "probabilities": [sender],
            }.get(name)  # fmt: skip
            goals = tiles or [t for c in readers for t in mapping.groups[f"block.{block}.{c}"].tiles]
            local = name == "probabilities"
            hops = 0 if local else len({link for goal in goals for link in path(sender, goal)})
            joules["spike_movement"] += hops * packet
            joules["computing"] += chip.logic.subtract.si
            memory = "kv_read" if name in ("queries", "probabilities") else "weight_access"
            reached = {"queries": sentence.length, "probabilities": shape.width // shape.heads}.get(name)
            for _target in range(reached or sum(shape.fans(c)[1] for c in readers)):
                joules["computing"] += add
                joules[memory] += kv if memory == "kv_read" else read
    for _block in range(shape.layers):
        for _element in range(sentence.length * shape.width):
            joules["computing"] += add
            joules["kv_read"] += kv
            joules["kv_write"] += 2 * chip.kv.write.si
            joules["computing"] += 2 * chip.logic.compare.si
            joules["thresholds"] += 2 * chip.state.threshold.si * chip.state.read.si
    return joules


@pytest.mark.parametrize("shape", [WHOLE, synthetic.SMALL])
def test_brute_force_over_the_events_of_one_sentence(shape):
    sentence = synthetic.sample(shape, 6, np.random.default_rng(3))
    trace = synthetic.count(shape, [sentence], dead_zone=1)
    chip = load("rram-22nm")
    mapping = map_trace(trace, chip, "digital")
    silent = {Site(c.block, c.population): c.silent for c in trace.connections.values()}
    found = make_bill(as_traced(trace), trace, chip, mapping).by_category
    for category, joules in _count_by_events(shape, sentence, 1, chip, mapping, silent).items():
        assert found[category] == near(joules), category


@pytest.mark.parametrize("first_only", [False, True])
@pytest.mark.parametrize("pulses", ["slots", "binary"])
def test_brute_force_over_the_synapse_units_of_one_sentence(first_only, pulses):
    shape = Shape(1, 320, 4, 640, first_only)
    sentence = synthetic.sample(shape, 4, np.random.default_rng(5))
    trace = synthetic.count(shape, [sentence], dead_zone=1)
    chip = load("rram-22nm", [f"msu.pulses={pulses}"])
    unit, bits = chip.msu, 4 if pulses == "binary" else 1
    slot_energy = unit.voltage.si * unit.supply.si * (unit.g_on.si + unit.g_off.si) * unit.slot.si
    joules: dict[str, float] = defaultdict(float)
    for name in STATIC:
        c = trace.connections[f"block.0.{name}"]
        starts_in, starts_out = range(0, c.fan_in, 256), range(0, c.fan_out, 128)
        first = first_only and name not in ("key", "value")
        for token in sentence.levels[Site(0, SOURCE[name])][: 1 if first else 4]:
            for neuron, level in enumerate(token):
                distance = abs(int(level) - int(c.silent[neuron]))
                if distance > 1:
                    slots, switched = (distance, 1) if pulses == "slots" else [bin(distance).count("1")] * 2
                    joules["msu_conduction"] += slots * c.fan_out * slot_energy
                    joules["msu_row_drivers"] += switched * len(starts_out) * unit.row_driver.si
            for _array_row in starts_in:
                joules["msu_control"] += len(starts_out) * unit.control.si
                full = unit.capacitor.si * unit.swing.si * unit.supply.si
                joules["msu_integrator"] += c.fan_out * (bits * unit.integrator.si + full)
                joules["msu_comparator"] += c.fan_out * unit.comparator.si
                joules["msu_readout"] += c.fan_out * unit.readout.si
    found = bill(trace, chip, "msu").by_category
    for category, counted in joules.items():
        assert found[category] == near(counted), category
    assert found["weight_access"] == 0
