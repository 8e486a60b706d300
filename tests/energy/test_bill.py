from __future__ import annotations

import math
import time
from collections import defaultdict

import numpy as np
import pytest
import synthetic

from matterhorn.energy import CODINGS, as_traced, coding, load, make_bill, recode, silent_share
from matterhorn.energy.mapping import hardware_of
from matterhorn.energy.mesh import path
from matterhorn.energy.study import encodings, map_trace
from matterhorn.errors import InputError
from matterhorn.trace import DigitalTrace


@pytest.mark.parametrize("chip_name", ["rram-22nm", "nus-22nm", "nus-22nm-mesh", "loihi", "horowitz-45nm"])
def test_categories_and_connections_sum_to_the_total(small, chip_name):
    chip = load(chip_name)
    for hardware in hardware_of(chip):
        mapping = map_trace(small, chip, hardware)
        for code in CODINGS:
            bill = make_bill(recode(small, code), small, chip, mapping)
            assert bill.total > 0
            assert sum(bill.by_category.values()) == pytest.approx(bill.total, rel=1e-12)
            assert sum(bill.by_connection.values()) == pytest.approx(bill.total, rel=1e-12)
            assert all(joules >= 0 for joules in bill.lines.values())


def test_every_connection_and_step_has_a_line(small):
    chip = load("rram-22nm")
    bill = make_bill(as_traced(small), small, chip, map_trace(small, chip, "msu"))
    assert set(bill.by_connection) == {*small.connections, *small.digital, "leakage"}


def test_an_unknown_operation_is_an_error():
    trace = synthetic.build()
    trace.digital["block.0.magic"] = DigitalTrace("block.0.magic", 0, "magic", 5, 1)
    chip = load("rram-22nm")
    with pytest.raises(InputError, match=r"block\.0\.magic.*known are"):
        make_bill(as_traced(trace), trace, chip, map_trace(trace, chip, "digital"))


def test_recoding_by_the_own_code_gives_the_traced_counts():
    trace = synthetic.build(dead_zone=2, per_neuron=True)
    for traced, recoded in zip(as_traced(trace), recode(trace, coding("mttfs-k2-neuron")), strict=True):
        assert recoded.events == traced.events
        assert recoded.kernel == pytest.approx(traced.kernel)
        if not traced.dynamic:
            assert recoded.operations == pytest.approx(traced.operations)


def test_silence_grows_with_the_dead_zone_and_with_levels_per_neuron(minilm):
    share = {code.name: silent_share(recode(minilm, code)) for code in CODINGS}
    for k in range(4):
        assert share[f"mttfs-k{k}-neuron"] >= share["mttfs-k0"]
    assert share["dense"] == 0
    assert share["ttfs"] < share["mttfs-k0"] < share["mttfs-k1"] < share["mttfs-k2"] < share["mttfs-k3"]


def _count_by_events(sizes, sentence, dead_zone, chip, mapping, silent):
    """A second opinion on the digital bill of one sentence: spike by spike, target by target, route by route."""
    joules: dict[str, float] = defaultdict(float)
    head = sizes.width // sizes.heads
    hop_bit = chip.noc.hop.bit.si + chip.noc.wire.si * mapping.edge
    bits = chip.noc.hop.header.si + math.ceil(math.log2(mapping.tiles)) + math.ceil(math.log2(mapping.static.columns))
    packet = chip.noc.hop.energy.si + bits * hop_bit
    add, read, kv = chip.logic.accumulate.si, chip.weights.read.si, chip.kv.read.si
    targets = {
        "input": (["query", "key", "value"], sizes.width), "hidden": (["ffn1"], sizes.ffn),
        "mixed": (["output"], sizes.width), "middle": (["ffn2"], sizes.width),
    }  # fmt: skip
    sources = {"hidden": "norm", "mixed": "attention", "middle": "ffn1", "queries": "query"}
    for population, levels in sentence.levels.items():
        _, block, name = population.split(".")
        spiking = np.abs(levels - silent[population]) > dead_zone
        joules["computing"] += levels.size * 16 * chip.logic.compare.si
        before = "embedding" if block == "0" else f"block.{int(block) - 1}.norm"
        sender = mapping.groups[before if name == "input" else f"block.{block}.{sources.get(name) or 'norm'}"].tiles[0]
        goals = {
            "queries": [mapping.groups[f"block.{block}.attention"].tiles[0]], "probabilities": [sender],
        }.get(name)  # fmt: skip
        goals = goals or [t for role in targets[name][0] for t in mapping.groups[f"block.{block}.{role}"].tiles]
        hops = len({link for goal in goals for link in path(sender, goal)}) if name != "probabilities" else 0
        for _spike in zip(*np.nonzero(spiking), strict=True):
            joules["spike_movement"] += hops * packet
            joules["computing"] += chip.logic.subtract.si
            if name == "queries":
                reached, memory = sentence.length, "kv_read"
            elif name == "probabilities":
                reached, memory = head, "kv_read"
            else:
                reached, memory = len(targets[name][0]) * targets[name][1], "weight_access"
            for _target in range(reached):
                joules["computing"] += add
                joules[memory] += kv if memory == "kv_read" else read
    for _block in range(sizes.layers):
        for _element in range(sentence.length * sizes.width):
            joules["computing"] += add
            joules["kv_read"] += kv
            joules["kv_write"] += 2 * chip.kv.write.si
            joules["computing"] += 2 * chip.logic.compare.si
    return joules


def test_brute_force_over_the_events_of_one_sentence():
    sizes = synthetic.Sizes(2, 32, 4, 64)
    sentence = synthetic.sample(sizes, 6, np.random.default_rng(3))
    trace = synthetic.count(sizes, [sentence], dead_zone=1)
    chip = load("rram-22nm")
    mapping = map_trace(trace, chip, "digital")
    silent = {c.population: c.silent for c in trace.connections.values()}
    bill = make_bill(as_traced(trace), trace, chip, mapping).by_category
    counted = _count_by_events(sizes, sentence, 1, chip, mapping, silent)
    for category, joules in counted.items():
        assert bill[category] == pytest.approx(joules, rel=1e-9), category


def test_brute_force_over_the_synapse_units_of_one_sentence():
    sizes = synthetic.Sizes(1, 160, 4, 320)
    sentence = synthetic.sample(sizes, 4, np.random.default_rng(5))
    trace = synthetic.count(sizes, [sentence], dead_zone=1)
    chip = load("rram-22nm")
    unit = chip.msu
    slot_energy = 0.5**2 * (40e-6 + 1e-6) * 2e-9
    joules: dict[str, float] = defaultdict(float)
    for role, name in synthetic.POPULATIONS.items():
        if role in ("scores", "context"):
            continue
        c = trace.connections[f"block.0.{role}"]
        starts_in, starts_out = range(0, c.fan_in, 128), range(0, c.fan_out, 64)
        for token in sentence.levels[f"block.0.{name}"]:
            for neuron, level in enumerate(token):
                distance = abs(int(level) - int(c.silent[neuron]))
                if distance > 1:
                    joules["msu_conduction"] += distance * c.fan_out * slot_energy
                    joules["msu_row_drivers"] += len(starts_out) * unit.row_driver.si
            for _array_row in starts_in:
                joules["msu_control"] += len(starts_out) * unit.control.si
                joules["msu_integrator"] += c.fan_out * unit.integrator.si
                joules["msu_comparator"] += c.fan_out * unit.comparator.si
                joules["msu_readout"] += c.fan_out * unit.readout.si
    bill = make_bill(as_traced(trace), trace, chip, map_trace(trace, chip, "msu")).by_category
    for category, counted in joules.items():
        assert bill[category] == pytest.approx(counted, rel=1e-9), category
    assert bill["weight_access"] == 0


def test_bert_base_with_all_codes_is_quick(base):
    chip = load("rram-22nm")
    start = time.process_time()
    found = encodings(base, chip)
    assert len(found) == 2 * len(CODINGS)
    assert time.process_time() - start < 2


def test_msu_reads_no_weight_and_dense_sends_no_spike(base):
    for e in encodings(base, load("rram-22nm")):
        lines = e.bill.by_category
        assert (lines["weight_access"] == 0) == (e.hardware == "msu")
        assert (lines["msu_conduction"] > 0) == (e.hardware == "msu")
        assert (lines["spike_movement"] == 0) == (e.coding.name == "dense")
        assert lines["kv_read"] > 0 and lines["kv_write"] > 0
