"""Draws are stratified and seeded, bounds are kept, and a bill of arrays is the bill of each of their elements."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from matterhorn.energy import as_traced, bill, energy_answer, load, shipped
from matterhorn.energy.answer import NOTES
from matterhorn.energy.computing import largest_potential
from matterhorn.energy.library import with_value
from matterhorn.energy.rivals import Comparison, Side, rivals
from matterhorn.energy.uncertainty import draw, latin_hypercube, uncertain, uncertainty, varies

from .synthetic import near


def test_every_stratum_is_drawn_once():
    shares = latin_hypercube(7, 50, np.random.default_rng(0))
    assert shares.shape == (7, 50)
    for row in shares:
        assert sorted((row * 50).astype(int)) == list(range(50))
    assert abs(np.corrcoef(shares) - np.eye(7)).max() < 0.5


def test_draws_keep_their_bounds_and_their_seed():
    found = draw(200, 3, a=(1.0, 4.0), b=(1e-15, 2e-15))
    assert (
        1 <= found["a"].min() < 1.02 and 3.9 < found["a"].max() <= 4 and np.median(found["a"]) == pytest.approx(2, 0.02)
    )
    assert (draw(200, 3, a=(1.0, 4.0), b=(1e-15, 2e-15))["b"] == found["b"]).all()


@pytest.mark.parametrize("name", shipped())
def test_values_lie_well_within_their_bounds(name):
    """A bound at the value would cut intervals off on one side. One that is nearer than a factor of two has a source
    that names it; what is assumed is a factor of two."""
    for key, number in load(name).quantities():
        if not varies(key, number):
            continue
        low, high = number.bounds
        assert low < number.value < high, key
        for word, given, span in (("low", number.low, number.value / low), ("high", number.high, high / number.value)):
            if given is None:
                assert span == 2, key
            elif span < 1.999:
                said = re.search(rf"\b{word}\b[^;]*|\b{given:g}\b", number.source)
                assert said and "assumed" not in said[0], key


def test_operation_counts_of_digital_functions_are_drawn_and_sizes_are_not():
    drawn = set(uncertain(load("rram-22nm")))
    assert {"digital.layer_norm.multiplies", "digital.softmax.adds", "msu.readout"} <= drawn
    assert not drawn & {"core.rows", "state.bits", "node", "msu.attenuation", "noc.hops", "digital.residual.lookups"}


def test_only_what_enters_an_outcome_drives_it(minilm):
    chip = load("rram-22nm")
    side = Side.of(as_traced(minilm), minilm, chip)
    found = uncertainty(side, chip, Comparison.of(minilm, chip, 128), "msu", 400)["drivers"]
    keys = {of: [row["key"] for row in rows] for of, rows in found.items()}
    for of in ("total_j", "ratio_dense"):
        assert set(keys[of]) <= set(uncertain(chip)), of
    assert not set(keys["total_j"]) & {"macro.product", "weights.far", "logic.customary"}
    assert any(key.endswith(": spikes") for key in keys["ratio_min"])
    for rows in found.values():
        ranks = [abs(row["rank"]) for row in rows]
        assert rows and ranks == sorted(ranks, reverse=True) and ranks[-1] > 0.15


def test_a_bill_of_arrays_is_the_bill_of_each_element(minilm):
    chip = load("rram-22nm")
    comparison = Comparison.of(minilm, chip, 128)
    values = draw(3, 5, **uncertain(chip))
    drawn, single = chip, chip
    for key, array in values.items():
        drawn, single = with_value(drawn, key, array), with_value(single, key, array[1])
    many, one = comparison.ratios(drawn), comparison.ratios(single)
    assert {name: ratio[1] for name, ratio in many.items()} == {name: near(ratio) for name, ratio in one.items()}


@pytest.mark.slow
def test_an_answer_with_all_draws_takes_less_than_four_seconds(minilm):
    def seconds() -> float:
        start = time.process_time()
        energy_answer(minilm, load("rram-22nm"), model="a", task="b")
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 4


def test_all_draws_are_billed_at_once(answered):
    """What an answer takes is its bills: their number holds whatever the number of draws."""
    assert 0 < answered[1] <= 150


def test_intervals_hold_the_figures(minilm, answered):
    answer = answered[0]
    assert answer["draws"] == 1000 and set(answer["interval"]) == {"total_j", "ratio_min", "ratio_dense"}
    for key, (low, high) in answer["interval"].items():
        assert low < answer[key] * 1.2 and high > answer[key] * 0.8, key
    assert answer["ratio_min"] == min(r["times_ours"] for r in answer["rivals"])
    assert answer["ratio_min_rival"] in {r.name for r in rivals()} and answer["accuracy"] is None
    chip = load("rram-22nm")
    side = Side.of(as_traced(minilm), minilm, chip)
    again = uncertainty(side, chip, Comparison.of(minilm, chip, 128), "msu")
    assert again["interval"] == answer["interval"]


def test_an_extrapolation_too_loud_for_the_capacitors_does_not_hide_the_bill(small):
    """It gets larger ones, as rivals do; a network that is too loud itself is billed on digital arrays. Both say so."""
    usual = load("rram-22nm")
    sides = Side.of(as_traced(small), small, usual), Comparison.of(small, usual, 128).own
    own, base = (max(largest_potential(a, usual.msu) for a in s.activities if not a.dynamic) for s in sides)
    assert own < base < usual.msu.largest_potential
    for slots, hardware, says in (
        ((own + base) / 2, "msu", "On the BERT-base shape block"),
        (own / 2, "digital", "It is"),
    ):
        farads = slots * usual.msu.unit_charge / usual.msu.swing.si
        chip = load("rram-22nm", [f"msu.capacitor={farads * 1e12:.6f} pF"])
        answer = energy_answer(small, chip, model="a", task="b")
        assert answer["hardware"] == hardware and answer["notes"]["capacitor"].startswith(says)
        assert answer["total_j"] == near(bill(small, chip, hardware).total) and answer["rivals"]
        assert answer["interval"]["total_j"][0] < answer["total_j"] < answer["interval"]["total_j"][1]
    assert "capacitor" not in NOTES
