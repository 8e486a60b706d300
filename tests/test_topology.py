"""The one description of a block: what follows from it is what a network does."""

from __future__ import annotations

import pytest

from matterhorn.topology import CONNECTION, CONNECTIONS, DYNAMIC, POPULATIONS, SOURCE, STATIC, TARGETS, Shape, Site

SHAPE = Shape(layers=3, width=12, heads=4, intermediate=20)


def test_every_connection_has_one_source_and_every_population_a_target():
    assert {SOURCE[c.name] for c in CONNECTIONS} == {p.name for p in POPULATIONS}
    assert TARGETS["input"] == ("query", "key", "value")
    assert sum(map(len, TARGETS.values())) == len(CONNECTIONS) == len(STATIC) + len(DYNAMIC)


def test_fans_fit_together():
    """What a population has is what its targets read, over all heads."""
    for connection in CONNECTIONS:
        fan_in, _ = SHAPE.fans(connection.name)
        if connection.name != "pv":
            assert fan_in * SHAPE.heads_of(connection.name) == SHAPE.neurons(connection.source)
    assert SHAPE.fans("qk") == (3, 1) and SHAPE.fans("pv") == (1, 3)
    assert SHAPE.fans("ffn1") == (12, 20) and SHAPE.fans("ffn2") == (20, 12)


@pytest.mark.parametrize(
    ("connection", "whole", "cut"),
    [
        ("query", 5 * 12, 12),
        ("key", 5 * 12, 5 * 12),
        ("value", 5 * 12, 5 * 12),
        ("qk", 5 * 12, 12),
        ("pv", 5 * 5 * 4, 5 * 4),
        ("output", 5 * 12, 12),
        ("ffn1", 5 * 12, 12),
        ("ffn2", 5 * 20, 20),
    ],
)
def test_windows_of_a_sequence(connection, whole, cut):
    assert SHAPE.windows(0, connection, 5) == whole
    assert SHAPE.windows(2, connection, 5) == cut
    every = Shape(3, 12, 4, 20, first_only=False)
    assert every.windows(2, connection, 5) == whole


def test_only_keys_and_values_want_every_token():
    assert [c.name for c in CONNECTIONS if c.every_token] == ["key", "value"]
    assert SHAPE.tokens(2, "input", 7) == 7 and SHAPE.tokens(2, "hidden", 7) == 1
    assert SHAPE.fan_out("qk", 7) == 7 and SHAPE.fan_out("pv", 7) == 3 and CONNECTION["pv"].dynamic


def test_sites_are_read_as_they_are_written():
    assert str(Site(3, "ffn1")) == "block.3.ffn1"
    assert Site.parse("block.3.ffn1") == Site(3, "ffn1")
    assert Site.parse("block.11.query-key-value").part == "query-key-value"
    for text in ("block.x.query", "blocks.1.query", "block.1"):
        with pytest.raises(ValueError):
            Site.parse(text)
