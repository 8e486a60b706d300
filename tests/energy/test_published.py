"""Published figures, reproduced; the assumptions stand in docs/energy.md."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

from matterhorn.energy import SHAPES, as_traced, bill, energy_answer, in_proportion, lay, load, make_bill, shipped
from matterhorn.energy.rivals import Comparison, Scores, Side, rivals, smallest, worst
from matterhorn.energy.study import encodings, map_trace, tornado, waterfall
from matterhorn.energy.verdict import against_rivals, verdict
from matterhorn.energy.words import in_words
from matterhorn.topology import Shape

from . import synthetic
from .paper import PUBLISHED_RATIOS, break_even, ratio
from .synthetic import near


@pytest.mark.parametrize("steps", PUBLISHED_RATIOS)
@pytest.mark.parametrize(("bits", "rate"), [(1, 0.13), (1, 0.15), (4, 0.13), (4, 0.14)])
def test_rate_coded_against_bit_matched_dense(steps, bits, rate):
    found = ratio(steps, load("nus-22nm"), rate=rate, operand_bits=bits)
    assert found == pytest.approx(PUBLISHED_RATIOS[steps], rel=0.05)


def test_break_even_spike_rate():
    assert break_even(5, load("nus-22nm")) == pytest.approx(0.057, rel=0.05)


def test_movement_share_of_a_conventional_snn(minilm):
    chip = load("nus-22nm", ["noc.delivery=array", "noc.train=packet"])
    bills = Comparison.of(minilm, chip, 128).rival_bills(chip)
    found = {name: bill["digital"] for name, bill in bills.items()}
    for name in ("SpikingBERT", "SpikeLM", "SpikingLM", "Sorbet"):
        assert 0.5 <= found[name].movement_share <= 0.8, name
    usual = found["SpikingLM"]
    assert usual.movement_share == pytest.approx(0.54, abs=0.05)
    # what is found, and not the published 0.31 within 0.05: docs/energy.md says why
    assert usual.share("weight_access") == pytest.approx(0.256, abs=0.001)


def test_rivals_cost_as_published_relative_to_one_another(minilm):
    """In the accounting that their rates were deduced from, one packet per spike."""
    chip = load("nus-22nm")
    found = {name: bill["digital"].total for name, bill in Comparison.of(minilm, chip, 128).rival_bills(chip).items()}
    assert found["SpikingLM"] / found["Otters"] == pytest.approx(7.20 / 4.06, rel=0.1)
    assert found["Sorbet"] / found["Otters"] == pytest.approx(12.34 / 4.06, rel=0.1)


@pytest.mark.parametrize(("steps", "bits", "rate"), [(5, 4, 0.057), (2, 4, 0.104), (2, 8, 0.123), (3, 8, 0.082)])
def test_break_even_rates_of_the_fourth_version(steps, bits, rate):
    """Packets only, and weights of 150 fJ/bit; 0.297 at T = 1 and 8 bits cannot be met (docs/energy.md)."""
    chip = load("nus-22nm", ["noc.train=packet", "weights.read=150 fJ/bit"])
    assert break_even(steps, chip, operand_bits=bits) == pytest.approx(rate, rel=0.05)


def test_each_side_is_on_the_arrays_that_are_cheaper_for_it(minilm):
    chip = load("rram-22nm")
    found = Comparison.of(minilm, chip, 128)
    ours = min(bill.total for bill in found.own.bills(chip).values())
    ratios = found.ratios(chip)
    for name, bills in found.rival_bills(chip).items():
        assert ratios[name] == near(min(bill.total for bill in bills.values()) / ours)
    dense = found.dense.dense_j(chip)
    assert set(dense) == {"digital", "msu", "macro"} and ratios["dense"] == near(min(dense.values()) / ours)
    whole = make_bill(found.dense.activities, found.dense.trace, chip, found.dense.placed["digital"])
    read_once = whole.by_category["weight_access"] * (1 - 1 / 128)
    assert dense["digital"] == near(whole.total - read_once)


def test_the_worst_chip_is_the_least_of_those_that_ship(minilm):
    chip = load("rram-22nm")
    known = worst(minilm, (here := Comparison.of(minilm, chip, 64)), chip)
    assert known["ratio_dense_chip"] == "loihi" and known["ratio_min_chip"] in shipped()
    for key in ("ratio_min", "ratio_dense"):
        there = load(known[f"{key}_chip"])
        assert (
            known[key]
            == smallest(Comparison.of(minilm, there, 64).ratios(there))[key]
            <= smallest(here.ratios(chip))[key]
        )


def test_the_verdict_recommends_nothing_that_was_not_trained(minilm, answered):
    encodings = deepcopy(answered[0]["encodings"])
    trained = min((e for e in encodings if e["trained"]), key=lambda e: e["total_j"])
    trained["total_j"] *= 10
    says = verdict(encodings, bill(minilm))
    assert (
        f"at which this network was trained, the cheapest is {in_words(trained['code'])} on digital arrays" in says[-2]
    )
    assert "masked, k = 2; " in says[-1] and "was not trained: accuracy there is unknown" in says[-1]


@pytest.fixture(scope="module")
def answer(minilm):
    published = {"BERT-base": 0.93, "Otters": 0.91, "1-bit SpikeLM": 0.87}
    scores = Scores(0.86, 0.90, published, {"this": 0.04, "careful": 0.02, "careless": 0.05})
    return energy_answer(minilm, load("rram-22nm"), model="a", task="b", scores=scores)


def test_who_loses_more_than_a_rival_is_told_so_and_which_network_that_ships_does_not(answer):
    says = answer["verdict"][-1]
    assert "loses 4.0 points against the best teacher of its kind (0.900), more than Otters: there costs alone" in says
    assert "Of the networks that ship these lose no more: careful." in says
    row = next(row for row in answer["rivals"] if row["name"] == "Otters")
    careful = Scores(0.89, 0.90, {"BERT-base": 0.93, "Otters": 0.91})
    assert "no more than any rival" in against_rivals([row], answer["dense"], careful)[-1]


def test_the_dense_network_has_a_full_row(minilm, answer):
    chip = load("rram-22nm")
    side, row = Comparison.of(minilm, chip, 128).dense, answer["dense"]
    assert row["by_hardware_j"] == side.dense_j(chip) and row["total_j"] == min(row["by_hardware_j"].values())
    bill = side.bills(chip)[row["hardware"]]
    assert (row["latency_s"], row["area_m2"]) == (bill.latency, bill.area)
    assert row["times_ours"] == answer["ratio_dense"]
    ours = answer["bert_base_latency_s"] * answer["bert_base_area_m2"]
    assert row["energy_delay_times_ours"] == near(row["times_ours"] * bill.latency * bill.area / ours)
    macro = energy_answer(minilm, load("loihi"), model="a", task="b")["dense"]
    assert (macro["hardware"], macro["latency_s"], macro["energy_delay_times_ours"]) == ("macro", None, None)
    assert answer["paper"]["ratio"] == 2.31 and answer["paper"]["rival"] == "Otters"


def test_rivals_and_dense_words_do_not_pay_for_our_thresholds(minilm):
    chip = load("rram-22nm")
    many = {name: replace(c, threshold_words=15) for name, c in minilm.connections.items()}
    two, fifteen = (Comparison.of(trace, chip, 64) for trace in (minilm, replace(minilm, connections=many)))
    totals = [{name: {k: b.total for k, b in bills.items()} for name, bills in found.rival_bills(chip).items()}
              for found in (two, fifteen)]  # fmt: skip
    assert totals[0] == totals[1] and two.dense.dense_j(chip) == fifteen.dense.dense_j(chip)
    assert two.own.bill(chip, "msu").total < fifteen.own.bill(chip, "msu").total


def test_at_equal_accuracy_only_rivals_that_lose_as_much_are_beaten():
    scores = Scores(0.86, 0.90, {"BERT-base": 0.93, "Otters": 0.91, "1-bit SpikeLM": 0.87})
    known = {rival.name: (scores.of(rival), scores.matched(rival)) for rival in rivals()}
    assert known["Otters"] == (0.91, False) and known["SpikingLM"] == (0.87, True) and known["Sorbet"] == (None, False)


def test_every_rival_has_sources():
    assert [r.name for r in rivals()] == ["SpikingBERT", "SpikeLM", "SpikingLM", "Sorbet", "Otters", "Otters++"]
    assert {r.name: r.published_mj for r in rivals()}["Otters"] == pytest.approx(12 * 4.06)


def test_the_waterfall_goes_down_and_ends_at_the_own_code(base):
    chip = load("rram-22nm")
    side = Side.of(as_traced(base), base, chip)
    steps = waterfall(encodings(side, chip), base)
    assert [step["step"] for step in steps] == ["TTFS", "mask", "dead zone", "synapse units"]
    assert steps[0]["total_j"] > steps[1]["total_j"] > steps[2]["total_j"]
    assert steps[-1]["total_j"] == side.bill(chip, "msu").total
    assert [step["trained"] for step in steps] == [False, False, True, True]


def test_the_tornado_has_the_ten_widest(base):
    chip = load("rram-22nm")
    found = tornado(Side.of(as_traced(base), base, chip), chip, "msu")
    assert len(found) == 10
    widths = [abs(swing["high_j"] - swing["low_j"]) for swing in found]
    assert widths == sorted(widths, reverse=True) and widths[0] > 0
    total = make_bill(as_traced(base), base, chip, map_trace(base, chip, "msu")).total
    linear = next(swing for swing in found if swing["key"] == "logic.multiply")
    assert linear["low_j"] < total < linear["high_j"] and linear["low_j"] + linear["high_j"] == near(2 * total)


def test_a_student_that_is_wider_than_its_teacher_is_billed_so_on_every_shape(minilm):
    wide = synthetic.build(Shape(6, 384, 12, 6144), (12,), per_neuron=False, dead_zone=3)
    assert in_proportion(SHAPES["bert-base"], minilm) == SHAPES["bert-base"]
    assert in_proportion(SHAPES["bert-base"], wide) == replace(SHAPES["bert-base"], intermediate=12288)
    assert in_proportion(SHAPES["bert-base"], synthetic.minilm(False)) == replace(SHAPES["bert-base"], first_only=False)
    assert lay(wide, in_proportion(SHAPES["bert-base"], wide), 128).connections["block.3.ffn2"].windows == 128 * 12288


@pytest.mark.parametrize(("own", "teacher", "blocks"), [(3, 6, 6), (4, 6, 8), (1, 24, 1), (6, None, 12)])
def test_a_student_with_fewer_blocks_than_its_teacher_is_billed_so_on_every_shape(own, teacher, blocks):
    trace, chip = synthetic.build(replace(synthetic.SMALL, layers=own)), load("rram-22nm")
    found = in_proportion(SHAPES["bert-base"], trace, teacher)
    assert found == replace(SHAPES["bert-base"], layers=blocks, intermediate=1536)
    comparison = Comparison.of(trace, chip, 64, teacher)
    assert comparison.own.trace.shape == comparison.dense.trace.shape == found
    assert {side.trace.shape.layers for side in comparison.rivals.values()} == {4, 12}


def test_an_answer_says_with_how_many_blocks_it_is_billed():
    trace, chip = synthetic.build(replace(synthetic.SMALL, layers=3)), load("rram-22nm")
    half, whole = (energy_answer(trace, chip, model="a", length=64, teacher_blocks=blocks) for blocks in (6, None))
    assert "3 of its teacher's 6 blocks" in half["notes"]["blocks"] and "6 of 12" in half["notes"]["blocks"]
    assert (half["bert_base_blocks"], whole["bert_base_blocks"]) == (6, 12) and "blocks" not in whole["notes"]
    assert half["bert_base_per_sentence_j"] < 0.6 * whole["bert_base_per_sentence_j"]
    for key in ("ratio_min", "worst_chip"):
        one, other = (a[key] if key == "ratio_min" else a[key]["ratio_min"] for a in (half, whole))
        assert 1.7 < one / other < 2.2, key
    assert half["total_j"] == whole["total_j"]


def test_rivals_are_granted_the_same_cut():
    chip = load("rram-22nm")
    whole, cut = (
        {name: bills["digital"] for name, bills in Comparison.of(trace, chip, 128).rival_bills(chip).items()}
        for trace in (synthetic.minilm(False), synthetic.minilm(True))
    )
    for rival in rivals():
        assert 1 - 1.5 / rival.layers < cut[rival.name].total / whole[rival.name].total < 1
        ratio = cut[rival.name].operations / whole[rival.name].operations
        widths = 12 * 768**2 + 2 * 128 * 768  # products of a token and block: weights, and attention to 128 tokens
        last = (2 * 128 * 768**2 + (widths - 2 * 768**2)) / (128 * widths)
        assert ratio == near(1 - (1 - last) / rival.layers)


def test_a_rival_that_sends_at_most_one_spike_has_a_silent_share():
    known = {r.name: r.silent_share for r in rivals() if r.silent_share is not None}
    assert known == {"Otters": pytest.approx(0.263), "Otters++": pytest.approx(0.259)}
