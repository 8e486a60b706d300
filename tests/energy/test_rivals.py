"""Rivals and the dense network beside a network of ours: what they take from its trace, and what they do not."""

from __future__ import annotations

from dataclasses import replace

from matterhorn.energy import Bill, as_traced, coding, load, make_bill, recode
from matterhorn.energy.rivals import Comparison, Side, rivals
from matterhorn.energy.study import break_even_hops, compare_on, encodings, map_trace, own_coding, with_silence
from matterhorn.program.trace import DigitalTrace, Trace
from matterhorn.topology import DYNAMIC

from .synthetic import near


def changed(trace: Trace, dynamic: bool, **fields: int) -> Trace:
    """The same counts with other stored elements, or other weights."""
    found = {name: replace(c, **fields) if (c.connection in DYNAMIC) == dynamic else c
             for name, c in trace.connections.items()}  # fmt: skip
    return replace(trace, connections=found)


def test_rivals_are_billed_with_keys_and_values_of_their_own_and_no_position_bias(small):
    """Not with ours: a network with 4-bit keys and values and a position bias leaves their bills as they are."""
    chip, wider = load("rram-22nm"), changed(small, dynamic=True, operand_bits=4)
    bias = {f"block.{block}.bias": DigitalTrace(f"block.{block}.bias", block, "position_bias", 500, 60)
            for block in range(2)}  # fmt: skip
    one, other = (Comparison.of(trace, chip, 64) for trace in (small, replace(wider, digital=small.digital | bias)))
    assert other.own.bill(chip, "digital").total > one.own.bill(chip, "digital").total
    theirs = other.rival_bills(chip)
    for name, bills in one.rival_bills(chip).items():
        assert {kind: found.total for kind, found in theirs[name].items()} == {
            kind: near(found.total) for kind, found in bills.items()
        }
    assert {(r.kv_bits.value, bool(r.kv_bits.source)) for r in rivals()} == {(1, True)}


def test_a_ternary_weight_is_one_product_of_a_macro(small):
    """As it is one pair of a synapse unit: the dense rival is not charged for a second."""
    chip = load("rram-22nm")
    binary, ternary, double = (
        Side.of(recode(trace, coding("dense")), trace, chip).dense_j(chip)["macro"]
        for trace in (
            small,
            changed(small, dynamic=False, operand_bits=2, digits=1),
            changed(small, dynamic=False, operand_bits=2),
        )
    )
    products = sum(c.products for c in small.connections.values() if c.connection not in DYNAMIC)
    assert double - binary > 0.9 * products * chip.macro.product.si > abs(ternary - binary)


def test_dense_words_read_a_weight_once_a_sentence_wherever_they_stand_beside_spikes(small):
    """In tables of codes and of networks, and on the map of break-even, as in the ratios; other codes read it anew."""
    chip, plain = load("rram-22nm"), {e: bill_of(small, e) for e in ("dense", "ttfs")}
    side = Side.of(as_traced(small), small, chip)
    found = {e["code"]: e for e in encodings(side, chip) if e["hardware"] == "digital"}
    read = plain["dense"].by_category["weight_access"]
    assert found["dense"]["by_category"]["weight_access"] == near(read / 7.5)  # of 6 and 9 tokens
    assert found["dense"]["total_j"] == near(plain["dense"].total - read * (1 - 1 / 7.5))
    assert found["ttfs"]["total_j"] == near(plain["ttfs"].total)
    row = next(row for row in compare_on({"small": small}, chip) if row["hardware"] == "digital")
    assert row["dense_per_sentence_j"] == near(found["dense"]["total_j"] / 2)
    spikes = make_bill(with_silence(recode(small, own_coding(small)), 0.5), small, chip, side.placed["digital"])
    assert break_even_hops(small, chip, [0.5], [1.0]) == [[near(spikes.total / found["dense"]["total_j"])]]


def bill_of(trace: Trace, code: str) -> Bill:
    """On digital arrays, where each word reads its weights."""
    chip = load("rram-22nm")
    return make_bill(recode(trace, coding(code)), trace, chip, map_trace(trace, chip, "digital"))
