"""Published figures, reproduced; the assumptions stand in docs/energy.md."""

from __future__ import annotations

from dataclasses import replace

import pytest

from matterhorn.energy import SHAPES, as_traced, as_wide, coding, lay, load, make_bill, recode
from matterhorn.energy.rivals import bill_rivals, rivals
from matterhorn.energy.study import map_trace, tornado, waterfall, with_silence
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
    assert break_even(5, load("nus-22nm")) == pytest.approx(0.057, abs=0.005)


def test_movement_share_of_a_conventional_snn(minilm):
    chip = load("nus-22nm", ["noc.delivery=array", "noc.train=packet"])
    found = {entry.rival.name: entry.own for entry in bill_rivals(minilm, chip, 128)}
    for name in ("SpikingBERT", "SpikeLM", "SpikingLM", "Sorbet"):
        assert 0.5 <= found[name].movement_share <= 0.8, name
    usual = found["SpikingLM"]
    assert usual.movement_share == pytest.approx(0.54, abs=0.06)
    assert usual.share("weight_access") == pytest.approx(0.31, abs=0.06)


def test_masked_spikes_and_synapse_units_beat_the_best_rivals(base, minilm):
    """At the paper's silent share of 95.2 %, on the default chip."""
    chip = load("rram-22nm")
    spikes = with_silence(recode(base, coding("mttfs-k3")), 0.952)
    ours = make_bill(spikes, base, chip, map_trace(base, chip, "msu")).total
    found = {entry.rival.name: entry.own.total / ours for entry in bill_rivals(minilm, chip, 128)}
    assert found["Otters"] >= 4 and found["Otters++"] >= 4 and found["SpikingLM"] >= 4


def test_every_rival_has_sources():
    assert [r.name for r in rivals()] == ["SpikingBERT", "SpikeLM", "SpikingLM", "Sorbet", "Otters", "Otters++"]
    assert {r.name: r.published_mj for r in rivals()}["Otters"] == pytest.approx(12 * 4.06)


def test_the_waterfall_goes_down_and_ends_at_the_own_code(base):
    chip = load("rram-22nm")
    steps = waterfall(base, chip)
    assert [step["step"] for step in steps][:3] == ["TTFS", "mask", "dead zone"]
    assert steps[0]["total_j"] > steps[1]["total_j"] > steps[2]["total_j"]


def test_the_tornado_has_the_ten_widest(base):
    chip = load("rram-22nm")
    found = tornado(base, chip, "msu")
    assert len(found) == 10
    widths = [abs(swing["high_j"] - swing["low_j"]) for swing in found]
    assert widths == sorted(widths, reverse=True) and widths[0] > 0
    assert found[0]["key"].startswith("msu.")
    total = make_bill(as_traced(base), base, chip, map_trace(base, chip, "msu")).total
    linear = next(swing for swing in found if swing["key"] == "logic.multiply")
    assert linear["low_j"] < total < linear["high_j"] and linear["low_j"] + linear["high_j"] == near(2 * total)


def test_a_student_that_is_wider_than_its_teacher_is_billed_so_on_every_shape(minilm):
    wide = synthetic.build(Shape(6, 384, 12, 6144), (12,), per_neuron=False, dead_zone=3)
    assert as_wide(SHAPES["bert-base"], minilm) == SHAPES["bert-base"]
    assert as_wide(SHAPES["bert-base"], wide) == replace(SHAPES["bert-base"], intermediate=12288)
    assert as_wide(SHAPES["bert-base"], synthetic.minilm(False)) == replace(SHAPES["bert-base"], first_only=False)
    assert lay(wide, as_wide(SHAPES["bert-base"], wide), 128).connections["block.3.ffn2"].windows == 128 * 12288


def test_rivals_are_granted_the_same_cut():
    chip = load("rram-22nm")
    whole, cut = ({r.rival.name: r.own for r in bill_rivals(synthetic.minilm(first), chip, 128)} for first in (0, 1))
    for rival in rivals():
        assert 1 - 1.5 / rival.layers < cut[rival.name].total / whole[rival.name].total < 1
        ratio = cut[rival.name].operations / whole[rival.name].operations
        widths = 12 * 768**2 + 2 * 128 * 768  # products of a token and block: weights, and attention to 128 tokens
        last = (2 * 128 * 768**2 + (widths - 2 * 768**2)) / (128 * widths)
        assert ratio == near(1 - (1 - last) / rival.layers)


def test_a_rival_that_sends_at_most_one_spike_has_a_silent_share():
    known = {r.name: r.silent_share for r in rivals() if r.silent_share is not None}
    assert known == {"Otters": pytest.approx(0.263), "Otters++": pytest.approx(0.259)}
