"""Laying a trace over another shape: shares stay, sizes follow the shape."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matterhorn.energy import SHAPES, bill, lay
from matterhorn.topology import CONNECTION, Shape

from . import synthetic
from .synthetic import near


def test_laying_a_trace_on_its_own_shape_changes_nothing(minilm):
    laid = lay(minilm, SHAPES["minilm-l6"], 128)
    for name, connection in laid.connections.items():
        assert connection.silent_share == pytest.approx(minilm.connections[name].silent_share, abs=2e-3)
    assert set(laid.digital) == set(minilm.digital)
    steps = laid.digital
    assert steps["block.3.softmax"].elements == 12 * 128**2
    norm = steps["block.3.attention_norm"]
    assert norm.elements == 128 * 384 and norm.vectors == 128
    assert steps["block.3.probabilities_quantize"].elements == 12 * 128**2
    assert steps["pooler"].elements == 384**2 and steps["pooler"].vectors == 1
    assert steps["classifier"].elements == 384 * 2


def test_the_last_block_of_a_laid_trace_computes_one_token(minilm):
    laid = lay(minilm, SHAPES["bert-base"], 100)
    windows = {name: laid.connections[f"block.11.{name}"].windows for name in CONNECTION}
    assert windows == {
        "query": 768, "key": 100 * 768, "value": 100 * 768, "qk": 768, "pv": 12 * 100, "output": 768, "ffn1": 768,
        "ffn2": 3072,
    }  # fmt: skip
    products = {name: laid.connections[f"block.11.{name}"].products for name in ("query", "key", "qk", "pv")}
    assert products == {"query": 768**2, "key": 100 * 768**2, "qk": 100 * 768, "pv": 100 * 768}
    assert laid.connections["block.10.qk"].windows == 100 * 768
    steps = {name: (d.elements, d.vectors) for name, d in laid.digital.items() if d.block == 11}
    one, row = (768, 1), (12 * 100, 12)
    assert steps == {
        "block.11.softmax": row, "block.11.attention_residual": one, "block.11.attention_norm": one,
        "block.11.feed_forward_residual": one, "block.11.feed_forward_norm": one,
        "block.11.input_quantize": (100 * 768, 100), "block.11.hidden_quantize": one,
        "block.11.probabilities_quantize": (12 * 100, 1),
    }  # fmt: skip
    assert laid.digital["pooler"].block == 12 and laid.shape == SHAPES["bert-base"] and laid.program is None


@pytest.mark.parametrize("first_only", [False, True])
def test_every_block_has_the_shares_of_one_at_its_depth_and_the_cut_one_lends_to_none(first_only):
    trace = synthetic.build(Shape(3, 32, 4, 64, first_only))
    for c in trace.connections.values():
        c.dead_zone = c.block  # a mark
    origins = lambda shape: [lay(trace, shape, 9).connections[f"block.{b}.ffn1"].dead_zone  # noqa: E731
                             for b in range(shape.layers)]  # fmt: skip
    assert origins(Shape(6, 32, 4, 64, first_only)) == ([0, 0, 0, 1, 1, 2] if first_only else [0, 0, 1, 1, 2, 2])
    assert origins(Shape(2, 32, 4, 64, first_only)) == ([0, 2] if first_only else [0, 1])
    assert origins(trace.shape) == [0, 1, 2]


@pytest.mark.parametrize("first_only", [False, True])
def test_one_block_lends_to_all_even_where_it_computes_only_the_first_token(first_only):
    """There its query sends on what the first token's neurons spiked, its key and value what all did."""
    one = synthetic.build(Shape(1, 32, 4, 64, first_only))
    if first_only:
        one.connections["block.0.query"].events //= 3
    laid = lay(one, Shape(4, 32, 4, 64), 9)
    assert len(laid.connections) == 4 * 8
    for block in range(3):
        query, key = (laid.connections[f"block.{block}.{name}"] for name in ("query", "key"))
        assert (query.windows, query.events, query.products) == (key.windows, key.events, key.products)
    assert bill(laid).total > 0


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 20), st.booleans(), st.booleans(), st.sampled_from([(1, 1), (2, 3)]))
def test_laid_counts_follow_the_shape(length, cut_before, cut_after, factors):
    wider, deeper = factors
    trace = synthetic.build(replace(synthetic.SMALL, first_only=cut_before))
    shape = Shape(2 * deeper, 32 * wider, 4 * wider, 64 * wider, cut_after)
    laid = lay(trace, shape, length)
    assert laid.tokens == length and laid.sequences == 1
    for c in laid.connections.values():
        assert (c.fan_in, c.fan_out) == shape.fans(c.connection)
        assert c.windows == shape.windows(c.block, c.connection, length)
        assert c.products == c.windows * shape.fan_out(c.connection, length)
        assert 0 <= c.events <= c.windows and c.histogram.shape[1] == 16
        if c.connection == "qk":
            assert c.offset_accumulates == length * shape.width
    assert bill(laid).total > 0


def test_a_sentence_of_the_same_length_costs_what_it_did():
    """Laid on its own shape at its own length, a trace of one sentence has the bill that it had."""
    trace = synthetic.build(synthetic.SMALL, (9,))
    laid = lay(trace, synthetic.SMALL, 9)
    assert bill(laid).total == near(bill(trace).total)
    assert bill(laid).by_connection == {name: near(joules) for name, joules in bill(trace).by_connection.items()}


@pytest.mark.parametrize("name", ["qk", "pv"])
def test_offsets_of_stored_keys_and_values_grow_with_tokens_not_with_their_square(name):
    trace = synthetic.build(synthetic.SMALL, (9, 5))
    for c in trace.connections.values():
        c.offset_accumulates = trace.tokens * 32 if c.connection == name else 0
    laid = [lay(trace, synthetic.SMALL, length).connections[f"block.0.{name}"] for length in (8, 16)]
    assert [c.offset_accumulates for c in laid] == [8 * 32, 16 * 32]
