"""Codes on the same levels: recoding, silence, pulses."""

from __future__ import annotations

import time

import numpy as np
import pytest

from matterhorn.energy import (
    CODINGS,
    as_traced,
    bill,
    coding,
    energy_answer,
    load,
    make_bill,
    quiet_share,
    recode,
    silent_share,
)
from matterhorn.energy.rivals import Side
from matterhorn.energy.study import encodings, map_trace
from matterhorn.topology import Site

from . import synthetic
from .synthetic import WHOLE, near


@pytest.mark.parametrize("shape", [WHOLE, synthetic.SMALL])
def test_recoding_by_the_own_code_gives_the_traced_counts(shape):
    trace = synthetic.build(shape, dead_zone=2, per_neuron=True)
    traced, recoded = as_traced(trace), recode(trace, coding("mttfs-k2-neuron"))
    for a, b in zip(traced, recoded, strict=True):
        assert (a.name, a.source, a.events, a.windows, a.vectors) == (b.name, b.source, b.events, b.windows, b.vectors)
        assert b.kappa == near(a.kappa)
        if not a.dynamic:
            assert b.operations == near(a.operations)
    assert silent_share(traced) == near(trace.silent_share)
    assert quiet_share(traced) == near(trace.quiet_share)
    assert quiet_share(recode(trace, coding("dense"))) == silent_share(recode(trace, coding("dense"))) == 0


def test_the_quiet_share_weighs_silence_by_fan_out(small):
    """A train reaches a synapse as soon as its source sends at all, so its shares are those of TTFS."""
    rate, ttfs = recode(small, coding("rate")), recode(small, coding("ttfs"))
    assert silent_share(rate) == near(silent_share(ttfs))
    assert quiet_share(rate) == near(quiet_share(ttfs))
    weighted = sum(a.products * a.active / a.windows for a in ttfs) / sum(a.products for a in ttfs)
    assert quiet_share(ttfs) == near(1 - weighted)


def test_silence_grows_with_the_dead_zone_and_with_levels_per_neuron(minilm):
    for share in (silent_share, quiet_share):
        found = {code.name: share(recode(minilm, code)) for code in CODINGS}
        for k in range(4):
            assert found[f"mttfs-k{k}-neuron"] >= found["mttfs-k0"]
        assert found["dense"] == 0
        assert found["ttfs"] < found["mttfs-k0"] < found["mttfs-k1"] < found["mttfs-k2"] < found["mttfs-k3"]


def test_pulses_of_binary_weight_need_fewer_slots_and_leave_trains_as_they_are(base):
    slots, binary = load("rram-22nm"), load("rram-22nm", ["msu.pulses=binary"])
    mapping = map_trace(base, slots, "msu")
    for name in ("mttfs-k3", "rate", "dense"):
        before, after = (make_bill(recode(base, coding(name)), base, chip, mapping) for chip in (slots, binary))
        if name == "rate":
            assert after.lines == before.lines
        else:
            assert after.by_category["msu_conduction"] < before.by_category["msu_conduction"]
            assert after.by_category["msu_integrator"] > before.by_category["msu_integrator"]


def test_a_histogram_that_was_laid_over_another_shape_is_scaled_to_its_windows(minilm, base):
    """Rows are repeated for new neurons, and windows are those of one sentence: shares stay."""
    for a, c in zip(recode(base, coding("mttfs-k3")), base.connections.values(), strict=True):
        assert a.events == pytest.approx(c.events, abs=1) and a.kappa == pytest.approx(c.kappa_sum, rel=1e-9)
        assert a.events < a.windows


def test_one_population_has_one_silent_level_however_few_windows_a_reader_has():
    """The first token may prefer another level than all tokens do; its spikes are the same for all who read them."""
    rng = np.random.default_rng(2)
    sentence = synthetic.sample(synthetic.SMALL, 9, rng)
    sentence.levels[Site(1, "input")][0] = 3
    trace = synthetic.count(synthetic.SMALL, [sentence])
    for c in trace.connections.values():
        c.silent = np.zeros(1, dtype=np.int64)  # of a network without a mask: the code chooses levels from this data
    for code in ("mttfs-k1", "mttfs-k1-neuron"):
        found = {a.name: a for a in recode(trace, coding(code))}
        assert found["block.1.query"].events >= 16 and found["block.1.query"].events <= found["block.1.key"].events
    assert found["block.1.query"].source == found["block.1.key"].source == Site(1, "input")


def test_bert_base_is_billed_with_all_codes(base):
    chip = load("rram-22nm")
    assert len(encodings(Side.of(as_traced(base), base, chip), chip)) == 2 * len(CODINGS)


@pytest.mark.slow
def test_bert_base_with_all_codes_takes_less_than_two_seconds(base):
    def seconds() -> float:
        start, chip = time.process_time(), load("rram-22nm")
        encodings(Side.of(as_traced(base), base, chip), chip)
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 2


@pytest.mark.parametrize(
    ("zone", "trained"), [(2, {"mttfs-k2-neuron"}), (0, {c.name for c in CODINGS if not c.dead_zone})]
)
def test_only_the_own_code_is_trained_unless_nothing_is_lost(zone, trained):
    trace, chip = synthetic.build(dead_zone=zone), load("rram-22nm")
    found = encodings(Side.of(as_traced(trace), trace, chip), chip)
    assert {e["code"] for e in found if e["trained"]} == trained
    own = {e["hardware"]: e["total_j"] for e in found if e["code"] == f"mttfs-k{zone}-neuron"}
    assert own == {kind: bill(trace, chip, kind).total for kind in ("digital", "msu")}


def test_a_network_with_a_wider_dead_zone_is_billed_at_its_own():
    """Not under the name of k = 3; the codes between are billed beside it."""
    trace, chip = synthetic.build(dead_zone=5), load("rram-22nm")
    answer = energy_answer(trace, chip, model="a", length=32)
    assert answer["code"] == "mttfs-k5-neuron" and {e["code"] for e in answer["encodings"] if e["trained"]} == {
        "mttfs-k5-neuron"
    }
    found = {(e["code"], e["hardware"]): e for e in answer["encodings"]}
    assert found["mttfs-k5-neuron", "msu"]["total_j"] == near(answer["total_j"])
    quiet = [found[f"mttfs-k{k}-neuron", "msu"]["quiet_share"] for k in range(6)]
    assert quiet == sorted(quiet) and quiet[3] < quiet[5] == near(trace.quiet_share)
    assert [step["step"] for step in answer["waterfall"]] == [
        "TTFS", "mask", "dead zone", "silence per neuron", "synapse units",
    ]  # fmt: skip
