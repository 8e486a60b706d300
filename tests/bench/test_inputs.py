"""Inputs have the sizes that were asked for, and none comes twice."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from matterhorn.bench.connections import connection_contestants, population
from matterhorn.bench.inputs import LENGTHS, Texts, spikes, spread
from matterhorn.bench.training import training_contestants
from matterhorn.coding import SILENT, is_silent

from ..networks import small_program


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(0))


def test_lengths_are_spread_evenly():
    assert spread(range(10), 1) == [5]
    assert spread(range(10), 2) == [2, 7]
    assert spread(range(10), 10) == list(range(10))
    assert spread(range(4), 8) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert spread(LENGTHS["128 tokens"], 3) == [128, 128, 128]


def test_batches_have_the_lengths_asked_for_and_no_row_comes_twice(draw):
    texts = Texts(small_program(), draw)
    seen = set()
    for batch in [*islice(texts.batches([5, 9, 30]), 40), *islice(texts.batches([9, 9]), 40)]:
        lengths = batch["attention_mask"].sum(1)
        assert lengths.tolist() in ([5, 9, 30], [9, 9])
        for row, length in zip(batch["input_ids"], lengths, strict=True):
            assert row[0] == 2 and row[length - 1] == 3 and not row[length:].any()  # [CLS], [SEP], [PAD]
            seen.add(tuple(row[:length]))
    assert len(seen) == 40 * 3 + 40 * 2


@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
def test_spikes_are_as_silent_as_asked_for_and_outside_the_dead_zone(draw, share):
    one, other = islice(spikes(draw, 200, 100, share), 2)
    assert abs((one == SILENT).mean() - share) < 0.01
    assert share == 1 or not np.array_equal(one, other)
    sent = one[one != SILENT].astype(np.int16)
    assert set(np.abs(15 - sent - 8)) <= {4, 5, 6}
    assert not is_silent(15 - sent, population("input", 100).code).any()


def test_contestants_of_a_connection_compute_the_same(draw):
    slots = next(spikes(draw, 7, 64, 0.6))
    exact, *others = (
        np.asarray(given(slots)(), np.float32)
        for name, given in connection_contestants(64, 128).items()
        if name in ("exact", "events", "fp32")
    )
    assert exact.any()
    for other in others:
        assert np.array_equal(exact, other[:, : exact.shape[1]])


def test_contestants_of_a_training_step_compute_the_same(draw):
    slots = next(spikes(draw, 7, 64, 0.9))
    dense, *others = (training_contestants(64, 128)[name](slots)() for name in ("fp32", "torch.sparse", "events"))
    for other in others:
        for ours, theirs in zip(other, dense, strict=True):
            assert ours.abs().max() > 0 and torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)
