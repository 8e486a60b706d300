"""Networks that compute only the first token of the last block."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from matterhorn.energy import (
    CATEGORIES,
    as_traced,
    bill,
    load,
    make_bill,
)
from matterhorn.energy.billing import WINDOWS_PER_BLOCK
from matterhorn.energy.study import map_trace

from . import synthetic
from .synthetic import WHOLE, near


def test_first_tokens_go_to_three_connections_and_others_to_two():
    """E(all) · hops to key and value, and for the first token what the way on to query adds."""
    trace, chip = synthetic.build(replace(synthetic.MINILM, layers=2)), load("rram-22nm")
    mapping = map_trace(trace, chip, "digital")
    found = make_bill(as_traced(trace), trace, chip, mapping)
    before, names = ([f"block.{block}.{c}" for c in ("query", "key", "value")] for block in (0, 1))
    every, first = mapping.spikes[tuple(names)].hops, mapping.spikes[tuple(names[1:])].hops
    assert (every, first) == (63, 42)
    bits = 2 + math.ceil(math.log2(mapping.tiles)) + math.ceil(math.log2(384))
    packet = chip.noc.hop.energy.si + bits * (chip.noc.hop.bit.si + chip.noc.wire.si * mapping.edge)
    query, key = (trace.connections[name].events for name in names[:2])
    wanted = packet * (key * first + query * (every - first))
    assert sum(found.lines[name, "spike_movement"] for name in names) == near(wanted)
    assert query < key == trace.connections[names[2]].events
    tokens = packet * trace.connections[before[0]].events * mapping.spikes[tuple(before)].hops
    assert sum(found.lines[name, "spike_movement"] for name in before) == near(tokens)


def test_the_last_block_writes_all_keys_but_fires_once():
    trace, chip = synthetic.build(), load("rram-22nm")
    found = bill(trace, chip, "digital")
    for part in ("key", "value"):
        last, other = (found.lines[f"block.{block}.{part}", "kv_write"] for block in (1, 0))
        assert last == near(other) == near(15 * 32 * chip.kv.write.si)
    access = (chip.state.read.si + chip.state.write.si) * chip.state.bits.si
    assert found.lines["block.1.ffn1", "neuron_state"] == near(2 * 64 * access)
    assert found.lines["block.0.ffn1", "neuron_state"] == near(15 * 64 * access)
    norms = [found.lines[f"block.{block}.feed_forward_norm", "digital_functions"] for block in (0, 1)]
    assert norms[1] == near(norms[0] * 2 / 15)
    fired = found.lines["block.1.ffn2", "computing"], trace.connections["block.1.ffn2"]
    decided = sum(max(0, 15 - m - 2) + max(0, m - 2) for m in fired[1].silent.tolist())
    compares = 2 * decided * (chip.logic.compare.si + chip.logic.add.si)
    events = fired[1].events * chip.logic.subtract.si + fired[1].accumulates * chip.logic.accumulate.si
    assert fired[0] == near(compares + events)


def test_the_last_block_takes_the_time_of_its_keys_and_one_token():
    """Blocks of n tokens take n + m + 4 windows, m = n or 1; a synapse unit's has 16 slots and 80 ns."""
    assert WINDOWS_PER_BLOCK == 6
    for shape, last in ((WHOLE, (16, 22)), (synthetic.SMALL, (11, 14))):
        windows = (16 + 22) + sum(last)
        assert bill(synthetic.build(shape), "rram-22nm", "msu").latency == near(windows * 96e-9)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(0, 3), st.integers(0, 99))
def test_computing_only_the_first_token_costs_less_in_every_category(lengths, dead_zone, seed):
    rng = np.random.default_rng(seed)
    sentences = [synthetic.sample(WHOLE, n, rng) for n in lengths]
    for hardware in ("digital", "msu"):
        whole, cut = (
            bill(synthetic.count(shape, sentences, dead_zone), "rram-22nm", hardware)
            for shape in (WHOLE, synthetic.SMALL)
        )
        for name in CATEGORIES:
            if name != "leakage":  # the longest window may grow: means are over fewer vectors
                assert cut.by_category[name] <= whole.by_category[name] * (1 + 1e-12), name
        assert cut.area == whole.area
        if max(lengths) == 1:
            assert cut.total == near(whole.total)
