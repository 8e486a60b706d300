"""Published figures, reproduced; the assumptions stand in docs/energy.md."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic

from matterhorn.energy import SHAPES, as_traced, as_wide, lay, load, make_bill, recode
from matterhorn.energy.activity import coding
from matterhorn.energy.reproduce import PUBLISHED_RATIOS, break_even, ratio
from matterhorn.energy.rivals import bill_rivals, rivals
from matterhorn.energy.study import map_trace, tornado, waterfall, with_silence


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
    assert usual.weight_share == pytest.approx(0.31, abs=0.06)


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
    assert [label for label, _ in steps][:3] == ["TTFS", "mask", "dead zone"]
    assert steps[0][1] > steps[1][1] > steps[2][1]


def test_the_tornado_has_the_ten_widest(base):
    chip = load("rram-22nm")
    found = tornado(base, as_traced(base), chip, "msu")
    assert len(found) == 10
    widths = [swing.width for swing in found]
    assert widths == sorted(widths, reverse=True) and widths[0] > 0
    assert found[0].key.startswith("msu.")


def test_a_student_that_is_wider_than_its_teacher_is_billed_so_on_every_shape(minilm):
    wide = synthetic.build(synthetic.Sizes(6, 384, 12, 6144), (12,), per_neuron=False, dead_zone=3)
    assert as_wide(SHAPES["bert-base"], minilm) == SHAPES["bert-base"]
    assert as_wide(SHAPES["bert-base"], wide) == replace(SHAPES["bert-base"], ffn=12288)
    assert lay(wide, as_wide(SHAPES["bert-base"], wide), 128).connections["block.3.ffn2"].windows == 128 * 12288


def test_laying_a_trace_on_its_own_shape_changes_nothing(minilm):
    laid = lay(minilm, SHAPES["minilm-l6"], 128)
    for name, connection in laid.connections.items():
        assert connection.silent_share == pytest.approx(minilm.connections[name].silent_share, abs=1e-3)
    assert set(laid.digital) == set(minilm.digital)
    steps = laid.digital
    assert steps["block.3.softmax"].elements == 12 * 128**2
    norm = steps["block.3.attention_norm"]
    assert norm.elements == 128 * 384 and norm.vectors == 128
    assert steps["block.3.probabilities_quantise"].elements == 12 * 128**2
    assert steps["pooler"].elements == 384**2 and steps["pooler"].vectors == 1
    assert steps["classifier"].elements == 384 * 2
