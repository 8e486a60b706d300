"""The trace counts what happens, one by one."""

from __future__ import annotations

import dataclasses
import gzip
import json
import tracemalloc

import numpy as np
import pytest

from matterhorn.coding import EIGHTHS, SILENT
from matterhorn.errors import InputError
from matterhorn.program import Program, Trace
from matterhorn.program.trace import merged
from matterhorn.runtime import Engine, SlotRecorder, TraceRecorder
from matterhorn.topology import CONNECTIONS, SOURCE, Site

from ..networks import small_arrays, small_program

NAMES = [connection.name for connection in CONNECTIONS]


def uncut(program: Program) -> Program:
    """The same network, all tokens of the last block computed."""
    config = dataclasses.replace(program.config, first_only=False)
    return Program.from_arrays(config, program.arrays(), labels=program.labels)


def test_a_trace_knows_how_many_weights_are_zero(tmp_path):
    program = small_program(weights="ternary")
    trace = Engine(program, "exact")(**small_arrays(), trace=True).trace
    for site, connection in program.connections().items():
        counted = trace.connections[str(site)]
        assert (counted.operand_bits, counted.digits) == (2, 1)
        assert counted.zeros == pytest.approx((connection.weights == 0).mean()) and 0.2 < counted.zeros < 0.6
    stored = trace.connections["block.0.qk"]
    assert (stored.operand_bits, stored.digits, stored.zeros) == (1, 0, 0)
    trace.save(tmp_path / "trace.json.gz")
    assert Trace.load(tmp_path / "trace.json.gz").connections["block.1.ffn2"].zeros == pytest.approx(
        (program.connections()[Site(1, "ffn2")].weights == 0).mean()
    )
    plain = Engine(small_program(), "exact")(**small_arrays(), trace=True).trace
    assert {(c.digits, c.zeros) for c in plain.connections.values()} == {(0, 0.0)}


@pytest.fixture(scope="module", params=["first token", "all tokens"])
def ran(request):
    program = small_program(k=1) if request.param == "first token" else uncut(small_program(k=1))
    recorder, batch = SlotRecorder(), small_arrays()
    trace = Engine(program, "exact")(**batch, trace=True, watcher=recorder).trace
    return program, batch["attention_mask"].sum(1), trace, recorder


def brute_force(program, lengths, recorder, block, name):
    """Count a connection's events one by one."""
    own = recorder.slots[Site(block, SOURCE[name])]
    code = program.blocks[block].populations[SOURCE[name]].code
    cut = program.shape.first_only and block == 1
    size, heads, place = 8, 4, 0
    windows = events = accumulates = products = kappa = 0
    for n in map(int, lengths):
        queries = 1 if cut else n
        if SOURCE[name] == "probabilities":
            cells = [(slot, 0, size) for slot in own[place : place + heads * queries * n]]
            place += heads * queries * n
        else:
            stored = n if SOURCE[name] == "input" else queries
            read = n if name in ("key", "value") else queries
            fan = {"qk": n, "ffn1": 64}.get(name, 32)
            cells = [(own[place + i, c], c, fan) for i in range(read) for c in range(own.shape[1])]
            place += stored
        for slot, neuron, fan in cells:
            windows += 1
            products += fan
            if slot != SILENT:
                events += 1
                accumulates += fan
                kappa += abs(code.top - int(slot) - int(code.silent[neuron if code.silent.size > 1 else 0]))
    return windows, events, accumulates, products, kappa


@pytest.mark.parametrize("name", NAMES)
def test_counts_equal_brute_force(ran, name):
    program, lengths, trace, recorder = ran
    for block in (0, 1):
        row = trace.connections[f"block.{block}.{name}"]
        counted = (row.windows, row.events, row.accumulates, row.products, row.kappa_sum)
        assert counted == brute_force(program, lengths, recorder, block, name)
        assert row.histogram.sum() == row.windows


def test_steps_where_silence_is_read_as_a_fraction_of_a_level():
    """Σ|κ| is in levels, whatever κ counts in; stored operands are added up once a token and channel."""
    program, batch, recorder = small_program(k=1, mean=True), small_arrays(), SlotRecorder()
    trace = Engine(program, "exact")(**batch, trace=True, watcher=recorder).trace
    population = program.blocks[0].populations["hidden"]
    assert population.code.unit == EIGHTHS
    slots, read = recorder.slots[Site(0, "hidden")], population.code.reference / EIGHTHS
    kappa = np.abs(population.code.top - slots.astype(np.int64) - read)[slots != SILENT].sum()
    assert trace.connections["block.0.ffn1"].kappa_sum == kappa
    tokens = int(batch["attention_mask"].sum())
    offsets = {trace.connections[f"block.0.{name}"].offset_accumulates for name in ("qk", "pv")}
    assert tokens * program.config.hidden_size in offsets


def test_digital_steps_follow_from_lengths():
    """One softmax a token and head, over that text's tokens."""
    program, batch = uncut(small_program(k=1)), small_arrays()
    step = Engine(program)(**batch, trace=True).trace.digital["block.0.softmax"]
    lengths, heads = batch["attention_mask"].sum(1), program.shape.heads
    assert (step.elements, step.vectors) == (heads * (lengths**2).sum(), heads * lengths.sum())


def test_totals(ran):
    program, lengths, trace, _ = ran
    assert (trace.tokens, trace.sequences, trace.program) == (lengths.sum(), len(lengths), program.hash)
    assert 0 < trace.silent_share < 1 and 0 < trace.quiet_share < 1
    assert len(trace.connections) == 2 * len(NAMES)
    rows = trace.connections.values()
    assert trace.quiet_share == 1 - sum(r.accumulates for r in rows) / sum(r.products for r in rows)
    assert trace.spikes == sum(r.events for r in rows if r.connection not in ("query", "value"))


def test_a_cut_block_saves_events_and_changes_no_answer():
    program, batch = small_program(k=1), small_arrays()
    cut, whole = (Engine(p, "events")(**batch, trace=True) for p in (program, uncut(program)))
    assert np.array_equal(cut.logits, whole.logits)
    assert cut.trace.events < whole.trace.events
    first = {name: (row.windows, row.events) for name, row in whole.trace.connections.items() if row.block == 0}
    assert first == {name: (r.windows, r.events) for name, r in cut.trace.connections.items() if r.block == 0}


def test_a_trace_adds_up_over_batches(ran):
    program, lengths, trace, _ = ran
    batch, recorder = small_arrays(), TraceRecorder(program)
    for i in range(len(lengths)):
        Engine(program, "exact")(**{k: v[i : i + 1] for k, v in batch.items()}, watcher=recorder)
    parts = [
        Engine(program)(**{k: v[s] for k, v in batch.items()}, trace=True).trace for s in (slice(0, 4), slice(4, 6))
    ]
    parts[0].merge(parts[1])
    for other in (recorder.trace, parts[0]):
        assert other.lengths == trace.lengths
        for name, row in trace.connections.items():
            own = other.connections[name]
            assert (row.events, row.windows, row.accumulates) == (own.events, own.windows, own.accumulates)
            assert np.array_equal(row.histogram, own.histogram)
        assert other.digital == trace.digital
    assert parts[0].rows == trace.rows


@pytest.mark.parametrize("options", [{}, {"mean": True, "kv_bits": 2}])
def test_a_batch_is_traced_in_tiles_that_change_nothing(monkeypatch, options):
    program, batch = small_program(k=1, **options), small_arrays(rows=9)
    recorder = TraceRecorder(program)
    logits = Engine(program)(**batch, watcher=recorder).logits  # all at once
    monkeypatch.setattr("matterhorn.runtime.engine.TILE", 8)
    out = Engine(program, threads=3)(**batch, trace=True)
    assert np.array_equal(out.logits, logits)
    whole, tiled = recorder.trace, out.trace
    assert (whole.lengths, whole.digital) == (tiled.lengths, tiled.digital)
    for name, row in whole.connections.items():
        for one in dataclasses.fields(row):
            assert np.array_equal(getattr(row, one.name), getattr(tiled.connections[name], one.name)), (name, one.name)


def test_memory_of_a_trace_does_not_grow_with_the_batch():
    engine, most = Engine(small_program(k=1), threads=1), []
    for rows in (300, 3000):
        batch = small_arrays(rows=rows)
        engine(**batch, trace=True)
        tracemalloc.start()
        engine(**batch, trace=True)
        most.append(tracemalloc.get_traced_memory()[1] / rows)
        tracemalloc.stop()
    assert most[1] < most[0] / 2


def test_merging_into_a_new_trace_leaves_the_others_as_they_are(ran):
    program, *_ = ran
    one, other = (Engine(program)(**small_arrays(seed), trace=True).trace for seed in (1, 2))
    before = one.events, one.digital["block.0.softmax"].elements
    total = Trace(one.shape, one.vocabulary, one.labels, one.program)
    total.merge(one)
    total.merge(other)
    after = one.events, one.digital["block.0.softmax"].elements
    assert total.events == one.events + other.events and after == before


@pytest.mark.parametrize("backend", ["stepped", "events"])
def test_backends_leave_the_same_trace(ran, backend):
    program, _, trace, _ = ran
    other = Engine(program, backend)(**small_arrays(), trace=True).trace
    assert {n: c.events for n, c in other.connections.items()} == {n: c.events for n, c in trace.connections.items()}


def test_saving_keeps_everything(ran, tmp_path):
    trace = ran[2]
    trace.save(tmp_path / "t.json.gz")
    again = Trace.load(tmp_path / "t.json.gz")
    assert (again.shape, again.lengths, again.program) == (trace.shape, trace.lengths, trace.program)
    assert (again.digital, again.rows) == (trace.digital, trace.rows)
    for name, row in trace.connections.items():
        for key, value in vars(row).items():
            assert np.array_equal(value, getattr(again.connections[name], key)), (name, key)


def test_other_formats_and_other_programs_are_refused(ran, tmp_path):
    trace, path = ran[2], tmp_path / "t.json.gz"
    trace.save(path)
    plain = json.loads(gzip.decompress(path.read_bytes()))
    for change, message in (
        ({"format": 3}, "format 3, not 4; record the trace again"),
        ({"connections": [{}]}, r"connections\.0\.block: Field required"),
    ):
        path.write_bytes(gzip.compress(json.dumps(plain | change).encode()))
        with pytest.raises(InputError, match=message):
            Trace.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        Trace.load(path)
    with pytest.raises(InputError, match="no such file"):
        Trace.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="different programs"):
        trace.merge(dataclasses.replace(trace, program="another"))
    with pytest.raises(InputError, match="different programs"):
        dataclasses.replace(trace, program=None).merge(dataclasses.replace(trace, program=None))


def test_rows_are_known_whatever_the_padding_and_told_from_others():
    """One hash for the same rows, padded or not, in any order; another where a token, a type or a border differs."""
    engine = Engine(small_program(), threads=1)
    rows = [([2, 9, 8, 3], [0, 0, 0, 0]), ([2, 7, 3], [0, 0, 1])]

    def ran(rows, padding=0):
        longest = max(len(ids) for ids, _ in rows) + padding
        arrays = [
            np.array([row + [0] * (longest - len(row)) for row in part])
            for part in ([r[0] for r in rows], [[1] * len(r[0]) for r in rows], [r[1] for r in rows])
        ]
        return engine(*arrays, trace=True).trace.rows

    own = ran(rows)
    assert own == ran(rows[::-1]) == ran(rows, padding=3) == (ran(rows[:1]) + ran(rows[1:])) % 2**256
    others = [([2, 9, 7, 3], [0] * 4), ([2, 9, 8, 3], [0, 0, 0, 1]), ([2, 9, 8], [0] * 3), ([2, 9, 8, 3, 0], [0] * 5)]
    assert len({own, *(ran([other, rows[1]]) for other in others), ran(rows + rows[:1])}) == 6


def test_traces_of_several_files_become_one_but_no_rows_come_twice(tmp_path):
    program, batch = small_program(), small_arrays()
    engine = Engine(program)
    whole = engine(**batch, trace=True).trace

    def part(number):
        path = tmp_path / f"{number}.json.gz"
        rows = slice(2 * number, 2 * number + 2)
        engine(**{k: v[rows] for k, v in batch.items()}, trace=True).trace.save(path)
        return path

    files = [part(number) for number in range(3)]
    pair = merged([Trace.load(path) for path in files[:2]])
    pair.save(tmp_path / "pair.json.gz")
    again = Trace.load(tmp_path / "pair.json.gz")
    both = merged([Trace.load(files[2]), again])
    assert (both.rows, both.events, both.lengths) == (whole.rows, whole.events, whole.lengths)
    for twice in ([files[0], files[0]], [tmp_path / "pair.json.gz", files[1]]):
        with pytest.raises(InputError, match="two traces of the same rows"):
            merged([Trace.load(path) for path in twice])
    with pytest.raises(InputError, match="different programs"):
        merged([whole, dataclasses.replace(again, program="another")])


@pytest.mark.parametrize("name", ["softmax", "block", "block.1.softmax", "block.0.", "block.x.softmax"])
def test_a_digital_step_is_called_after_its_block(ran, tmp_path, name):
    trace = ran[2]
    trace.save(tmp_path / "one.json.gz")
    plain = json.loads(gzip.decompress((tmp_path / "one.json.gz").read_bytes()))
    step = next(step for step in plain["digital"] if step["name"] == "block.0.softmax")
    step["name"] = name
    plain["digital"] = [step]
    (tmp_path / "one.json.gz").write_bytes(gzip.compress(json.dumps(plain).encode()))
    with pytest.raises(InputError, match=r"one\.json\.gz: digital: .* in block 0"):
        Trace.load(tmp_path / "one.json.gz")
