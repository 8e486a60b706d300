"""All blocks in compiled code: the bits of one step at a time, alone, in a batch, and shared by threads."""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import matterhorn.runtime.blocks as blocks
from matterhorn.errors import InputError
from matterhorn.kernels.ticks import STAGES
from matterhorn.runtime import Engine
from matterhorn.runtime.events import EventsBackend
from matterhorn.runtime.forward import run
from matterhorn.runtime.sequences import Sequences

from ..networks import small_arrays, small_program


class Onlooker:
    """Sees nothing, but makes the engine go one step at a time."""

    def batch(self, sequences) -> None:
        pass

    def spikes(self, site, population, levels, slots) -> None:
        pass


def stepwise(program, batch):
    return Engine(program, threads=1)(**batch, watcher=Onlooker()).logits


OPTIONS = [
    {},
    {"weights": "ternary", "mean": True},
    {"weights": "int4", "kv_bits": 4},
    {"activation_bits": 6, "silence_per": "tensor"},
    {"digital": "shift"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())) or "plain")
def test_blocks_give_the_bits_of_single_steps(options):
    program = small_program(1, **options)
    engine = Engine(program, threads=1)
    for seed, rows, longest in ((0, 6, 11), (1, 1, 1), (2, 40, 60), (3, 2, 33)):
        batch = small_arrays(seed=seed, rows=rows, longest=longest)
        assert np.array_equal(engine(**batch).logits, stepwise(program, batch))


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_one_text(monkeypatch, threads):
    monkeypatch.setattr(blocks, "WORTHWHILE", 8)
    monkeypatch.setattr(blocks, "LEAST", 1)
    program = small_program(1)
    engine = Engine(program, threads=threads)
    for length in (8, 33, 64, 9):
        batch = small_arrays(seed=length, rows=1, longest=length)
        assert np.array_equal(engine(**batch).logits, stepwise(program, batch))


def test_more_threads_than_tokens_change_no_bit(monkeypatch):
    monkeypatch.setattr(blocks, "WORTHWHILE", 8)
    monkeypatch.setattr(blocks, "LEAST", 1)
    program = small_program(1)
    batch = small_arrays(seed=3, rows=1, longest=64)
    right = stepwise(program, batch)
    engine = Engine(program, threads=300)
    for _ in range(5):
        assert np.array_equal(engine(**batch).logits, right)


@pytest.mark.parametrize(("length", "parts"), [(64, 4), (47, 2), (20, 1)])
def test_no_thread_gets_fewer_tokens_than_are_worth_it(monkeypatch, length, parts):
    """Sixteen: of 47 there are not three times as many."""
    seen = []
    monkeypatch.setattr(blocks, "WORTHWHILE", 8)
    monkeypatch.setattr(blocks, "ThreadPoolExecutor", lambda count: seen.append(count) or ThreadPoolExecutor(count))
    program, batch = small_program(1), small_arrays(rows=1, longest=length)
    assert np.array_equal(Engine(program, threads=4)(**batch).logits, stepwise(program, batch)) and seen == [parts]


def test_a_thread_that_fails_ends_the_others(monkeypatch):
    """One line instead of threads that wait for each other: forever, and here for twenty seconds."""
    monkeypatch.setattr(blocks, "WORTHWHILE", 8)
    monkeypatch.setattr(blocks, "Barrier", partial(threading.Barrier, timeout=20))
    program, batch = small_program(1), small_arrays(seed=3, rows=1, longest=64)
    Engine(program, threads=4)(**batch)  # kernels may compile for longer
    begun = time.monotonic()
    start, started = threading.Thread.start, []

    def refuse(self):
        started.append(self)
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(InputError, match=r"threads: 4 threads cannot be started .*; give fewer"):
            Engine(program, threads=4)(**batch)
    engine, calls, right = Engine(program, threads=4), iter([0]), blocks.compiled

    def failing(function, *examples):
        call = right(function, *examples)
        return lambda *given: 1 // next(calls, 1) and call(*given)

    monkeypatch.setattr(blocks, "compiled", failing)
    with pytest.raises(ZeroDivisionError):
        engine(**batch)
    assert np.array_equal(engine(**batch).logits, stepwise(program, batch)) and time.monotonic() - begun < 10


def test_calls_at_once_do_not_meet(monkeypatch):
    monkeypatch.setattr(blocks, "WORTHWHILE", 8)
    monkeypatch.setattr(blocks, "LEAST", 1)
    program = small_program(1)
    engine = Engine(program, threads=2)
    batches = [small_arrays(seed=seed, rows=1, longest=5 + seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: engine(**batch).logits, 4 * batches))
    for logits, batch in zip(found, 4 * batches, strict=True):
        assert np.array_equal(logits, stepwise(program, batch))


def test_an_engine_can_be_pickled_after_use():
    engine, batch = Engine(small_program(1), threads=1), small_arrays()
    assert np.array_equal(pickle.loads(pickle.dumps(engine))(**batch).logits, engine(**batch).logits)


def test_damaged_scales_are_noticed():
    program = small_program(1)
    readout = program.blocks[1].feed_forward_readout
    block = replace(program.blocks[1], feed_forward_readout=readout._replace(bias=np.full_like(readout.bias, np.nan)))
    damaged = replace(program, blocks=(program.blocks[0], block))
    with pytest.raises(ValueError, match="NaN or infinity"):
        Engine(damaged, threads=1)(**small_arrays())


@pytest.mark.slow  # kernels with a counter, which the benchmark alone has, compile for half a minute
def test_the_counter_of_ticks_changes_no_bit_and_sees_every_stage():
    program, arrays = small_program(1), small_arrays()
    tokens, types = arrays["input_ids"], np.zeros_like(arrays["input_ids"])
    sequences = Sequences.of(arrays["attention_mask"])
    spent = np.zeros(len(STAGES), np.int64)
    counted, plain = (
        run(program, EventsBackend(), tokens, types, sequences, blocks=blocks.Blocks(program, own))
        for own in (spent, None)
    )
    assert np.array_equal(counted, plain) and (spent > 0).all()
