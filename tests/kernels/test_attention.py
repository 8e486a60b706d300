"""Attention against plain sums, with scores of 16 and of 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matterhorn.coding import SILENT, Code
from matterhorn.kernels.attention import attend, attention_room, scores_are_short, transpose_keys
from matterhorn.kernels.layout import AttentionLayout, SoftmaxLayout
from matterhorn.kernels.softmax import NO_KEY, NO_SHORT_KEY

from .arrays import code_and_slots, draw, population

TABLE = np.append(np.rint(4096 * np.exp(-0.01 * np.arange(700))), 0).astype(np.float32)
SEEDS = st.integers(0, 2**32 - 1)


def layout(heads: int, size: int, *, seed: int = 0, k: int = 1, longest: int = 0) -> AttentionLayout:
    """Codes of queries and probabilities; with a bias by distance where ``longest`` is given."""
    own = draw(seed)
    queries, _ = code_and_slots(4, k, 0, heads * size, mean=True, seed=seed)
    probabilities = Code(4, np.int16(0), k, np.int16(3))
    bias = own.integers(-90, 91, (heads, max(2 * longest - 1, 0))).astype(np.int32)
    softmax = SoftmaxLayout(TABLE, bias, np.float32(0.05), False)
    codes = (population(code, n).layout for code, n in ((queries, heads * size), (probabilities, 1)))
    return AttentionLayout(heads, *codes, softmax)


def values_of(slots, code):
    """What neurons stand for, in steps of κ: int64."""
    spikes = code.constant + code.unit * (code.top - slots.astype(np.int64)) - code.reference
    return np.where(slots == SILENT, code.constant, spikes)


def plain(queries, keys, values, own: AttentionLayout):
    """Contexts and levels of a single text, one product after another."""
    size, code, length = queries.shape[1] // own.heads, own.probabilities, len(keys)
    contexts, levels, asked = [], [], values_of(queries, own.queries)
    for h in range(own.heads):
        part = slice(h * size, (h + 1) * size)
        scores = asked[:, part] @ keys[:, part].T.astype(np.int64)
        if own.softmax.bias.size:
            scores += own.softmax.bias[h][
                own.softmax.bias.shape[1] // 2 + np.arange(length) - np.arange(length)[:, None]
            ]
        weights = TABLE[np.minimum(scores.max(1, keepdims=True) - scores, len(TABLE) - 1)]
        total = np.maximum(weights.astype(np.int64).sum(1, keepdims=True), 1).astype(np.float32)
        level = np.minimum(np.rint((weights / total) / own.softmax.scale), code.top).astype(np.int64)
        silent = level <= code.dead_zone
        shares = np.where(silent, code.constant[0], code.constant[0] + code.unit * level - code.reference[0])
        contexts.append(shares @ values[:, part].astype(np.int64))
        levels.append(level)
    return np.concatenate(contexts, 1), np.stack(levels)


def run(queries, keys, values, own: AttentionLayout, *, short: bool, record: bool = False):
    size, length = queries.shape[1] // own.heads, len(keys)
    starts, out = np.array([0, length]), np.empty(queries.shape, np.int32)
    room = attention_room(size, length, own.heads * length**2 if record else 0, short=short)
    assert attend(queries, keys, values, starts, starts, np.arange(length), own, room, out, 0)
    return out, room.record.reshape(own.heads, length, length) if record else None


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([1, 5, 16, 24, 32, 48, 64]), st.integers(1, 75), st.booleans(), st.integers(0, 2))
def test_attention_is_that_of_plain_sums(seed, size, length, biased, k):
    own, heads = draw(seed), 2
    given_layout = layout(heads, size, seed=seed, k=k, longest=80 if biased else 0)
    queries = own.integers(0, 16, (length, heads * size)).astype(np.uint8)
    queries[own.random(queries.shape) < own.random()] = SILENT
    keys, values = (own.choice(np.array([-1, 1], np.int8), (length, heads * size)) for _ in range(2))
    contexts, levels = plain(queries, keys, values, given_layout)
    for short in (True, False):
        for record in (True, False):
            found, seen = run(queries, keys, values, given_layout, short=short, record=record)
            assert np.array_equal(found, contexts)
            assert not record or np.array_equal(seen, levels)


def test_a_padded_place_never_has_the_highest_score():
    """However low all keys score: here below −2²⁹, with 6-bit codes and keys."""
    size, length = 36000, 3
    code = Code(6, np.full(size, 63, np.int16), 31, np.full(size, 8 * 63 + 8 * 31 + 7, np.int16))
    codes = (population(own, n, "queries").layout for own, n in ((code, size), (Code(4, np.int16(0)), 1)))
    own = AttentionLayout(1, *codes, SoftmaxLayout(TABLE, np.zeros((1, 0), np.int32), np.float32(0.05), False))
    queries, keys = np.full((length, size), SILENT, np.uint8), np.full((length, size), -32, np.int8)
    keys[1] = -31
    contexts, levels = plain(queries, keys, keys, own)
    assert (values_of(queries, own.queries) @ keys.T.astype(np.int64)).max() < -(2**29) and levels.any()
    found, seen = run(queries, keys, keys, own, short=False, record=True)
    assert np.array_equal(found, contexts) and np.array_equal(seen, levels)


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("size", [7, 16, 40, 64])
def test_keys_are_turned_and_padded(size, short):
    own, begin, left = draw(size), 3, 5
    keys = own.integers(-100, 101, (begin + 90, left + size + 2)).astype(np.int8)
    constant = own.integers(-2, 3, size).astype(np.int32)
    for length in (1, 15, 16, 17, 32, 90):  # the last text ends where the array does
        room = attention_room(size, length, 0, short=short)
        transpose_keys(keys, begin, left, length, constant, room.keys, room.offsets)
        right = keys[begin : begin + length, left : left + size].T
        turned = room.keys.reshape(size, -1)
        assert np.array_equal(turned[:, :length], right) and not turned[:, length:].any()
        assert np.array_equal(room.offsets[:length], constant @ right.astype(np.int32))
        assert (room.offsets[length:] == (NO_SHORT_KEY if short else NO_KEY)).all()


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 300), st.integers(1, 8), st.booleans())
def test_scores_are_short_only_where_none_can_leave_16_bits(seed, size, bits, biased):
    own = layout(2, size, seed=seed, longest=4 if biased else 0)
    largest, code = 1 << max(bits - 1, 0), own.queries
    levels = np.array([0, code.top])[:, None]
    found = np.concatenate(
        [np.broadcast_to(code.constant, (1, 2 * size)), code.constant + code.unit * levels - code.reference]
    )
    worst = largest * abs(found).max(0).reshape(2, size).sum(1).max() + abs(own.softmax.bias).max(initial=0)
    if scores_are_short(own, bits):
        assert worst < 2**15
    elif size <= 32 and bits == 1:
        raise AssertionError("a head of 32 neurons and one-bit keys always fits")


def test_scores_that_silence_takes_out_of_16_bits_are_long():
    """No query is further than 60 eighths of a level from silence, but at the lowest level all of them say −64."""
    code = Code(4, np.full(66, 7, np.int16), 1, np.full(66, 60, np.int16))
    codes = (population(own, n).layout for own, n in ((code, 66), (Code(4, np.int16(0)), 1)))
    own = AttentionLayout(1, *codes, SoftmaxLayout(TABLE, np.zeros((1, 0), np.int32), np.float32(0.05), False))
    lowest = values_of(np.full((1, 66), 15, np.uint8), own.queries)
    assert 8 * abs(lowest).sum() >= 2**15 > 8 * 66 * 60
    assert not scores_are_short(own, 4) and scores_are_short(own, 3)
