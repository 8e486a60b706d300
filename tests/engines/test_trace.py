from __future__ import annotations

import numpy as np
import pytest
import torch

from matterhorn.coding import SILENT
from matterhorn.engines import SlotRecorder, TraceRecorder, classify, get_engine
from matterhorn.models.convert import convert
from matterhorn.models.spiking import SOURCES
from matterhorn.trace import ROLES, Trace

from ..conftest import small_batch, small_network


@pytest.fixture(scope="module")
def ran():
    network, batch = convert(small_network(k=1)), small_batch()
    present = batch["attention_mask"].bool()
    watchers = TraceRecorder(network), SlotRecorder()
    for watcher in watchers:
        classify(network, batch["input_ids"], batch["token_type_ids"], present, get_engine("exact"), watcher)
    return network, present, watchers[0].trace, watchers[1].slots


def brute_force(network, present, slots, block, role):
    """Count a connection's events one by one."""
    own = slots[f"block.{block}.{SOURCES[role]}"]
    code = network.blocks[block].populations()[SOURCES[role]].code
    size, heads = 8, 4
    windows = events = accumulates = products = kernel = 0
    for b in range(len(present)):
        n = int(present[b].sum())
        if role == "context":
            cells = [(own[b, h, i, j], 0, size) for h in range(heads) for i in range(n) for j in range(n)]
        else:
            fan = {"scores": n, "ffn1": 64}.get(role, 32)
            cells = [(own[b, i, c], c, fan) for i in range(n) for c in range(own.shape[2])]
        for slot, neuron, fan in cells:
            windows += 1
            products += fan
            if int(slot) != SILENT:
                events += 1
                accumulates += fan
                silent = code.silent[neuron if len(code.silent) > 1 else 0]
                kernel += abs(code.top - int(slot) - int(silent))
    return windows, events, accumulates, products, kernel


@pytest.mark.parametrize("role", ROLES)
def test_counts_equal_brute_force(ran, role):
    network, present, trace, slots = ran
    for block in (0, 1):
        row = trace.connections[f"block.{block}.{role}"]
        counted = (row.windows, row.events, row.accumulates, row.products, row.kernel_sum)
        assert counted == brute_force(network, present, slots, block, role)
        assert row.histogram.sum() == row.windows


def test_totals(ran):
    _, present, trace, _ = ran
    assert trace.tokens == int(present.sum())
    assert trace.sequences == len(present)
    assert 0 < trace.silent_share < 1
    assert len(trace.connections) == 2 * len(ROLES)


def test_a_trace_adds_up_over_batches(ran):
    network, present, trace, _ = ran
    batch = small_batch()
    recorder = TraceRecorder(network)
    for i in range(len(present)):
        one = {k: v[i : i + 1] for k, v in batch.items()}
        args = one["input_ids"], one["token_type_ids"], one["attention_mask"].bool()
        classify(network, *args, get_engine("exact"), recorder)
    assert recorder.trace.lengths == trace.lengths
    for name, row in trace.connections.items():
        other = recorder.trace.connections[name]
        assert (row.events, row.windows, row.accumulates) == (other.events, other.windows, other.accumulates)
        assert np.array_equal(row.histogram, other.histogram)
    assert {k: vars(v) for k, v in trace.digital.items()} == {k: vars(v) for k, v in recorder.trace.digital.items()}


def test_saving_keeps_everything(ran, tmp_path):
    trace = ran[2]
    trace.save(tmp_path / "t.json.gz")
    again = Trace.load(tmp_path / "t.json.gz")
    assert (again.shape, again.lengths, again.silent_share) == (trace.shape, trace.lengths, trace.silent_share)
    assert again.digital == trace.digital
    for name, row in trace.connections.items():
        for key, value in vars(row).items():
            assert np.array_equal(value, getattr(again.connections[name], key)), (name, key)


def test_engines_leave_the_same_trace(ran):
    network, present, trace, _ = ran
    batch, recorder = small_batch(), TraceRecorder(network)
    classify(network, batch["input_ids"], batch["token_type_ids"], present, get_engine("stepped"), recorder)
    assert {n: c.events for n, c in recorder.trace.connections.items()} == {
        n: c.events for n, c in trace.connections.items()
    }


def test_a_stepped_window_spends_time_on_every_slot():
    """The reference really goes slot by slot: a spike moved by one slot moves the potential by one weight."""
    network = convert(small_network())
    block, engine = network.blocks[0], get_engine("stepped")
    slots = torch.full((1, 32), SILENT, dtype=torch.uint8)
    quiet = engine.integrate(slots, block.input.code, block.query)
    assert torch.equal(quiet[0], block.query.offset)
    slots[0, 4] = 3
    early = engine.integrate(slots, block.input.code, block.query)
    slots[0, 4] = 4
    late = engine.integrate(slots, block.input.code, block.query)
    assert torch.equal((early - late)[0], block.query.weights[:, 4].to(torch.int32))
