from __future__ import annotations

import math
import time
from collections import defaultdict
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
    quiet_share,
    recode,
    silent_share,
)
from matterhorn.energy.billing import WINDOWS_PER_BLOCK
from matterhorn.energy.mapping import hardware_of
from matterhorn.energy.rivals import Side
from matterhorn.energy.study import encodings, map_trace
from matterhorn.errors import InputError
from matterhorn.program.trace import DigitalTrace
from matterhorn.topology import DYNAMIC, SOURCE, STATIC, TARGETS, Shape, Site
from matterhorn.units import engineering

from . import synthetic
from .routes import path
from .synthetic import near

WHOLE = replace(synthetic.SMALL, first_only=False)


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


def _count_by_events(shape, sentence, dead_zone, chip, mapping, silent):
    """A second opinion on the digital bill of one sentence: spike by spike, target by target, route by route."""
    joules: dict[str, float] = defaultdict(float)
    hop_bit = chip.noc.hop.bit.si + chip.noc.wire.si * mapping.edge
    bits = chip.noc.hop.header.si + math.ceil(math.log2(mapping.tiles)) + math.ceil(math.log2(mapping.static.columns))
    packet = chip.noc.hop.energy.si + bits * hop_bit
    add, read, kv = chip.logic.accumulate.si, chip.weights.read.si, chip.kv.read.si
    sources = {"hidden": "norm", "context": "attention", "intermediate": "ffn1", "queries": "query"}
    for (block, name), levels in sentence.levels.items():
        before = "embedding" if block == 0 else f"block.{block - 1}.norm"
        sender = mapping.groups[before if name == "input" else f"block.{block}.{sources.get(name, 'norm')}"].tiles[0]
        cut = shape.first_only and block == shape.layers - 1
        tokens = levels.shape[-2] if name == "input" or not cut else 1
        computed = levels[..., :tokens, :]
        for level_of_silence in np.broadcast_to(silent[Site(block, name)], computed.shape).flat:
            if name in ("input", "probabilities", "hidden"):
                joules["computing"] += 2 * chip.logic.compare.si
                continue
            joules["thresholds"] += 2 * chip.state.threshold.si * chip.state.read.si
            for slot in range(16):
                above, below = 15 - slot > level_of_silence + dead_zone, 15 - slot <= level_of_silence - dead_zone
                if 15 - slot > 0 and (above or below):
                    joules["computing"] += chip.logic.compare.si + chip.logic.add.si
        for spike in zip(*np.nonzero(np.abs(computed - silent[Site(block, name)]) > dead_zone), strict=True):
            readers = [c for c in TARGETS[name] if not (cut and c == "query" and spike[-2] > 0)]
            tiles = {
                "queries": [mapping.groups[f"block.{block}.attention"].tiles[0]], "probabilities": [sender],
            }.get(name)  # fmt: skip
            goals = tiles or [t for c in readers for t in mapping.groups[f"block.{block}.{c}"].tiles]
            local = name == "probabilities"
            hops = 0 if local else len({link for goal in goals for link in path(sender, goal)})
            joules["spike_movement"] += hops * packet
            joules["computing"] += chip.logic.subtract.si
            memory = "kv_read" if name in ("queries", "probabilities") else "weight_access"
            reached = {"queries": sentence.length, "probabilities": shape.width // shape.heads}.get(name)
            for _target in range(reached or sum(shape.fans(c)[1] for c in readers)):
                joules["computing"] += add
                joules[memory] += kv if memory == "kv_read" else read
    for _block in range(shape.layers):
        for _element in range(sentence.length * shape.width):
            joules["computing"] += add
            joules["kv_read"] += kv
            joules["kv_write"] += 2 * chip.kv.write.si
            joules["computing"] += 2 * chip.logic.compare.si
            joules["thresholds"] += 2 * chip.state.threshold.si * chip.state.read.si
    return joules


@pytest.mark.parametrize("shape", [WHOLE, synthetic.SMALL])
def test_brute_force_over_the_events_of_one_sentence(shape):
    sentence = synthetic.sample(shape, 6, np.random.default_rng(3))
    trace = synthetic.count(shape, [sentence], dead_zone=1)
    chip = load("rram-22nm")
    mapping = map_trace(trace, chip, "digital")
    silent = {Site(c.block, c.population): c.silent for c in trace.connections.values()}
    found = make_bill(as_traced(trace), trace, chip, mapping).by_category
    for category, joules in _count_by_events(shape, sentence, 1, chip, mapping, silent).items():
        assert found[category] == near(joules), category


@pytest.mark.parametrize("first_only", [False, True])
@pytest.mark.parametrize("pulses", ["slots", "binary"])
def test_brute_force_over_the_synapse_units_of_one_sentence(first_only, pulses):
    shape = Shape(1, 320, 4, 640, first_only)
    sentence = synthetic.sample(shape, 4, np.random.default_rng(5))
    trace = synthetic.count(shape, [sentence], dead_zone=1)
    chip = load("rram-22nm", [f"msu.pulses={pulses}"])
    unit, bits = chip.msu, 4 if pulses == "binary" else 1
    slot_energy = unit.voltage.si * unit.supply.si * (unit.g_on.si + unit.g_off.si) * unit.slot.si
    joules: dict[str, float] = defaultdict(float)
    for name in STATIC:
        c = trace.connections[f"block.0.{name}"]
        starts_in, starts_out = range(0, c.fan_in, 256), range(0, c.fan_out, 128)
        first = first_only and name not in ("key", "value")
        for token in sentence.levels[Site(0, SOURCE[name])][: 1 if first else 4]:
            for neuron, level in enumerate(token):
                distance = abs(int(level) - int(c.silent[neuron]))
                if distance > 1:
                    slots, switched = (distance, 1) if pulses == "slots" else [bin(distance).count("1")] * 2
                    joules["msu_conduction"] += slots * c.fan_out * slot_energy
                    joules["msu_row_drivers"] += switched * len(starts_out) * unit.row_driver.si
            for _array_row in starts_in:
                joules["msu_control"] += len(starts_out) * unit.control.si
                full = unit.capacitor.si * unit.swing.si * unit.supply.si
                joules["msu_integrator"] += c.fan_out * (bits * unit.integrator.si + full)
                joules["msu_comparator"] += c.fan_out * unit.comparator.si
                joules["msu_readout"] += c.fan_out * unit.readout.si
    found = bill(trace, chip, "msu").by_category
    for category, counted in joules.items():
        assert found[category] == near(counted), category
    assert found["weight_access"] == 0


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


def test_the_sign_of_a_ternary_spike_is_one_more_bit_of_its_packet(small):
    chip = load("rram-22nm")
    mapping, plain = map_trace(small, chip, "digital"), as_traced(small)
    signed = [replace(a, sign_bits=1) for a in plain]
    before, after = (make_bill(acts, small, chip, mapping).lines for acts in (plain, signed))
    bit = chip.noc.hop.bit.si + chip.noc.wire.si * mapping.edge
    for a in plain:
        if a.connection in ("qk", "output", "ffn1", "ffn2"):
            more = after[a.name, "spike_movement"] - before[a.name, "spike_movement"]
            assert more == pytest.approx(a.events * mapping.spike_flow([a]).hops * bit, rel=1e-6)


def with_weights(trace, operand_bits: int, digits: int = 0, zeros: float = 0.0):
    """The same counts with other weights."""
    own = {"operand_bits": operand_bits, "digits": digits, "zeros": zeros}
    changed = {name: c if c.connection in DYNAMIC else replace(c, **own) for name, c in trace.connections.items()}
    return replace(trace, connections=changed)


def test_a_ternary_weight_is_one_pair_on_a_synapse_unit_and_two_bits_on_a_digital_array(small):
    binary, ternary, double = small, with_weights(small, 2, 1, 0.4), with_weights(small, 2)
    unit, own = (bill(trace, "rram-22nm", "msu").by_category for trace in (binary, ternary))
    cell = load("rram-22nm").msu
    high, low = cell.g_on.si, cell.g_off.si
    wanted = unit.pop("msu_conduction") * (0.6 * high + 1.4 * low) / (high + low)
    assert own.pop("msu_conduction") == near(wanted)
    assert own == unit
    one, three, two = (bill(trace, "rram-22nm", "digital") for trace in (binary, ternary, double))
    assert three.by_category["weight_access"] > 1.9 * one.by_category["weight_access"]
    assert three.area == two.area > one.area
    assert three.by_connection["block.0.query"] < two.by_connection["block.0.query"], "one addition, not two"


def test_first_tokens_go_to_three_connections_and_others_to_two():
    """E(all) · hops to key and value, and for the first token what the way on to query adds."""
    trace, chip = synthetic.build(replace(synthetic.MINILM, layers=2)), load("rram-22nm")
    mapping = map_trace(trace, chip, "digital")
    found = make_bill(as_traced(trace), trace, chip, mapping)
    before, names = ([f"block.{block}.{c}" for c in ("query", "key", "value")] for block in (0, 1))
    every, first = mapping.spikes[tuple(names)].hops, mapping.spikes[tuple(names[1:])].hops
    assert (every, first) == (63, 42)
    bits = 2 + math.ceil(math.log2(mapping.tiles)) + 6
    packet = chip.noc.hop.energy.si + bits * (chip.noc.hop.bit.si + chip.noc.wire.si * mapping.edge)
    query, key = (trace.connections[name].events for name in names[:2])
    wanted = packet * (key * first + query * (every - first))
    assert sum(found.lines[name, "spike_movement"] for name in names) == near(wanted)
    assert query < key == trace.connections[names[2]].events
    tokens = packet * trace.connections[before[0]].events * mapping.spikes[tuple(before)].hops
    assert sum(found.lines[name, "spike_movement"] for name in before) == near(tokens)


def test_the_last_block_writes_all_keys_but_fires_once():
    trace, chip = synthetic.build(), load("rram-22nm")
    found = bill(trace, chip, "digital")
    for part in ("key", "value"):
        last, other = (found.lines[f"block.{block}.{part}", "kv_write"] for block in (1, 0))
        assert last == near(other) == near(15 * 32 * chip.kv.write.si)
    access = (chip.state.read.si + chip.state.write.si) * chip.state.bits.si
    assert found.lines["block.1.ffn1", "neuron_state"] == near(2 * 64 * access)
    assert found.lines["block.0.ffn1", "neuron_state"] == near(15 * 64 * access)
    norms = [found.lines[f"block.{block}.feed_forward_norm", "digital_functions"] for block in (0, 1)]
    assert norms[1] == near(norms[0] * 2 / 15)
    fired = found.lines["block.1.ffn2", "computing"], trace.connections["block.1.ffn2"]
    decided = sum(max(0, 15 - m - 2) + max(0, m - 2) for m in fired[1].silent.tolist())
    compares = 2 * decided * (chip.logic.compare.si + chip.logic.add.si)
    events = fired[1].events * chip.logic.subtract.si + fired[1].accumulates * chip.logic.accumulate.si
    assert fired[0] == near(compares + events)


def test_the_last_block_takes_the_time_of_its_keys_and_one_token():
    """Blocks of n tokens take n + m + 4 windows, m = n or 1; a synapse unit's has 16 slots and 80 ns."""
    assert WINDOWS_PER_BLOCK == 6
    for shape, last in ((WHOLE, (16, 22)), (synthetic.SMALL, (11, 14))):
        windows = (16 + 22) + sum(last)
        assert bill(synthetic.build(shape), "rram-22nm", "msu").latency == near(windows * 96e-9)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(0, 3), st.integers(0, 99))
def test_computing_only_the_first_token_costs_less_in_every_category(lengths, dead_zone, seed):
    rng = np.random.default_rng(seed)
    sentences = [synthetic.sample(WHOLE, n, rng) for n in lengths]
    for hardware in ("digital", "msu"):
        whole, cut = (
            bill(synthetic.count(shape, sentences, dead_zone), "rram-22nm", hardware)
            for shape in (WHOLE, synthetic.SMALL)
        )
        for name in CATEGORIES:
            if name != "leakage":  # the longest window may grow: means are over fewer vectors
                assert cut.by_category[name] <= whole.by_category[name] * (1 + 1e-12), name
        assert cut.area == whole.area
        if max(lengths) == 1:
            assert cut.total == near(whole.total)


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
