from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matterhorn.energy import (
    CATEGORIES,
    CODINGS,
    as_traced,
    bill,
    coding,
    load,
    make_bill,
    recode,
)
from matterhorn.energy.computing import digital_lines
from matterhorn.energy.mapping import hardware_of
from matterhorn.energy.rivals import Side
from matterhorn.energy.study import encodings, map_trace
from matterhorn.errors import InputError
from matterhorn.program.trace import DigitalTrace
from matterhorn.topology import DYNAMIC
from matterhorn.units import engineering

from . import synthetic
from .synthetic import near


@pytest.mark.parametrize("chip_name", ["rram-22nm", "nus-22nm", "nus-22nm-mesh", "loihi", "horowitz-45nm"])
def test_categories_and_connections_sum_to_the_total(small, chip_name):
    chip = load(chip_name)
    for hardware in hardware_of(chip):
        mapping = map_trace(small, chip, hardware)
        for code in CODINGS:
            found = make_bill(recode(small, code), small, chip, mapping)
            assert found.total > 0
            assert sum(found.by_category.values()) == near(found.total)
            assert sum(found.by_connection.values()) == near(found.total)
            assert all(joules >= 0 for joules in found.lines.values())


def test_every_connection_and_step_has_a_line(small):
    assert set(bill(small).by_connection) == {*small.connections, *small.digital, "leakage"}


def test_a_bill_prints_what_a_sentence_costs(small):
    text = str(bill(small, chip="rram-22nm"))
    head, *lines = text.splitlines()
    found = bill(small, chip="rram-22nm")
    assert head.startswith(f"{engineering(found.total / 2)} and {engineering(found.latency / 2, 's')} a sentence, ")
    assert head.endswith(f" {found.area * 1e6:.3g} mm² (msu)")
    shares = [float(line.split("%")[0].split()[-1]) for line in lines]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=1)


@pytest.mark.parametrize("operation", ["layer_norm", "softmax", "residual", "quantize"])
def test_a_digital_function_costs_its_operations_by_element_and_by_vector(operation):
    counts = {"adds": 3, "multiplies": 5, "lookups": 7, "vector_adds": 11, "vector_lookups": 13}
    chip = load("rram-22nm", [f"digital.{operation}.{name}={count}" for name, count in counts.items()])
    step = DigitalTrace(name="a step", block=0, operation=operation, elements=17, vectors=2)
    add, multiply, lookup = chip.logic.add.si, chip.logic.multiply.si, chip.logic.lookup.si
    by_hand = 17 * (3 * add + 5 * multiply + 7 * lookup) + 2 * (11 * add + 13 * lookup)
    assert list(digital_lines(step, chip)) == [("a step", "digital_functions", near(by_hand))]


def test_an_unknown_operation_is_an_error():
    trace = synthetic.build()
    trace.digital["block.0.magic"] = DigitalTrace("block.0.magic", 0, "magic", 5, 1)
    with pytest.raises(InputError, match=r"block\.0\.magic.*known are"):
        bill(trace, "rram-22nm", "digital")


def test_readers_of_one_population_must_agree():
    trace = synthetic.build()
    trace.connections["block.0.key"].events += 1
    with pytest.raises(InputError, match=r"block\.0\.input.*different spikes"):
        bill(trace)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=4), st.integers(0, 3), st.booleans())
def test_bills_of_two_traces_add_up(lengths, dead_zone, first_only):
    """All that follows from counts adds up, whatever the lengths of the sentences are; leakage follows from time."""
    shape, rng, chip = replace(synthetic.SMALL, first_only=first_only), np.random.default_rng(1), load("rram-22nm")
    sentences = [synthetic.sample(shape, n, rng) for n in lengths]
    parts = [synthetic.count(shape, some, dead_zone) for some in (sentences[:1], sentences[1:])]
    both = synthetic.count(shape, sentences[:1], dead_zone)
    both.merge(parts[1])
    for c in (c for trace in (both, *parts) for c in trace.connections.values()):
        c.silent = np.array([8])  # of one network, whatever the sentence
    for hardware in ("digital", "msu"):
        mapping = map_trace(both, chip, hardware)
        total, *shares = (make_bill(as_traced(t), t, chip, mapping).by_category for t in (both, *parts))
        for name in CATEGORIES:
            if name != "leakage":
                assert total[name] == near(sum(share[name] for share in shares)), name


def test_msu_reads_no_weight_and_dense_sends_no_spike(base):
    chip = load("rram-22nm")
    for e in encodings(Side.of(as_traced(base), base, chip), chip):
        lines = e["by_category"]
        assert (lines["weight_access"] == 0) == (e["hardware"] == "msu")
        assert (lines["msu_conduction"] > 0) == (e["hardware"] == "msu")
        assert (lines["spike_movement"] == 0) == (e["code"] == "dense")
        assert lines["kv_read"] > 0 and lines["kv_write"] > 0
        assert 0 <= e["silent_share"] < 1 and 0 <= e["quiet_share"] < 1


def test_attention_is_digital_on_both_kinds_of_array(small):
    for block in range(2):
        for name in DYNAMIC:
            key = f"block.{block}.{name}", "kv_read"
            assert bill(small, "rram-22nm", "msu").lines[key] == bill(small, "rram-22nm", "digital").lines[key] > 0


def test_a_chip_whose_capacitors_cannot_hold_the_potentials_is_refused(small):
    chip = load("rram-22nm", ["msu.capacitor=0.01 pF"])
    says = r"rram-22nm\.yaml: msu\.capacitor: block\..* reaches potentials of .* holds 22; give .*digital"
    with pytest.raises(InputError, match=says):
        bill(small, chip)
    assert bill(small, chip, "digital").total > 0


def test_a_code_with_larger_potentials_gets_larger_capacitors(base):
    chip = load("rram-22nm", ["msu.capacitor=0.2 pF"])
    mapping = map_trace(base, chip, "msu")
    quiet, loud = (make_bill(recode(base, coding(name)), base, chip, mapping) for name in ("mttfs-k3", "ttfs"))
    assert quiet.area < loud.area and quiet.by_category["msu_integrator"] < loud.by_category["msu_integrator"]


@pytest.mark.parametrize("given", [None, 3])
def test_what_is_no_trace_is_not_billed(given):
    with pytest.raises(InputError, match="no trace; call the engine with trace=True"):
        bill(given)


def test_what_is_no_hardware_and_no_chip_is_one_line(small, tmp_path):
    for hardware in ("gpu", ["msu"]):
        with pytest.raises(InputError, match=r"hardware: no hardware .*; give digital or msu"):
            bill(small, hardware=hardware)
    for chip, says in (
        (None, "a NoneType, no chip"),
        (5, "a int, no chip"),
        ("a" * 5000 + ".yaml", "no such chip file"),
    ):
        with pytest.raises(InputError, match=says):
            bill(small, chip)
    own = tmp_path / "own.yaml"
    own.write_text("inherits: rram-22nm\n")
    assert bill(small, own).total == bill(small, str(own)).total == bill(small, "rram-22nm").total
