"""Calibration with a teacher: nearer to it than scales alone, and converted as exactly as ever."""

from __future__ import annotations

import pytest
import torch

from matterhorn.errors import InputError
from matterhorn.models import calibrate, convert, quantize, restore
from matterhorn.models.calibrate import as_levels, existing
from matterhorn.models.matching import gather, match
from matterhorn.models.placement import place_densities
from matterhorn.models.watching import watching
from matterhorn.runtime import Engine, verify
from matterhorn.topology import CONNECTION, FEEDS_WEIGHTS

from ..networks import small_arrays, small_batch, small_bert

PLACED = {"activation": "gelu", "levels_per": "neuron"}
OPTIONS = [
    {"weights": "int4", "kv_bits": 4} | PLACED,
    {"weights": "int2", "kv_bits": 4},
    {"weights": "ternary", "kv_bits": 1, "silence_per": "tensor"} | PLACED,
    {"weights": "int1", "dead_zone": 3, "kv_bits": 1} | PLACED,
]


def teacher_of(labels: int = 2) -> torch.nn.Module:
    """Biases and unlike channels, as real encoders have."""
    teacher, draw = small_bert(labels), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in teacher.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-1, 1, generator=draw)
        for layer in teacher.bert.encoder.layer:
            layer.attention.self.key.weight.mul_(torch.logspace(-1, 0.5, 32)[:, None])
            layer.attention.self.value.weight.mul_(torch.logspace(-1, 0.5, 32)[:, None])
    return teacher


def error(network, teacher) -> float:
    """Of the logits on rows that nothing was fitted to, in their variance."""
    batch = small_batch(7, rows=200)
    with torch.no_grad():
        own, taught = network.eval()(**batch).logits, teacher(**batch).logits
    return float((own - taught).square().mean() / taught.var(0).mean())


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_is_nearer_to_its_teacher_and_converts_to_the_bit(options):
    teacher, batches = teacher_of(), [small_batch(seed, rows=100) for seed in range(3)]
    plain, matched = quantize(teacher, **options), quantize(teacher, **options)
    calibrate(plain, batches)
    calibrate(matched, batches, teacher=teacher)
    assert error(matched, teacher) < 0.5 * error(plain, teacher)
    program = convert(matched)
    for against in (matched, restore(program)):
        report = verify(program, [small_arrays(seed) for seed in range(2)], against=against)
        assert report.identical, report.first_difference


def test_placing_levels_neuron_by_neuron_and_the_gelu_both_bring_it_nearer():
    teacher, batch, errors = teacher_of(), small_batch(rows=300), []
    for options in ({}, {"activation": "gelu"}, PLACED):
        network = quantize(teacher, weights="int4", kv_bits=6, **options)
        calibrate(network, [batch], teacher=teacher)
        errors.append(error(network, teacher))
    assert errors[2] < min(errors[:2])


def test_silence_is_read_as_the_mean_of_the_values_that_fall_silent():
    teacher, batch = teacher_of(), small_batch(rows=100)
    network = quantize(teacher, weights="int4", kv_bits=4, **PLACED)
    calibrate(network, [batch], teacher=teacher)
    present, seen = gather([batch], 10**6)["attention_mask"].bool(), {}
    with watching(network.populations(), lambda site, _, x: seen.setdefault(site, x)):
        network.eval()(**gather([batch], 10**6), output_hidden_states=True)
    for site, population in network.populations().items():
        if site.part not in FEEDS_WEIGHTS:
            assert not population.has_fractions
            continue
        x = existing(seen[site], present, site.part)
        falls = torch.from_numpy(as_levels(population, x)) == population.silent
        real = population.activated(x) / population.pitch + population.origin
        mean = (real * falls).sum(0) / falls.sum(0)
        beyond = (population.silent_value - 8 * population.silent).abs() == 7  # as far as it may
        off = (8 * mean - population.silent_value)[falls.any(0) & ~beyond]
        assert len(off) > 0.3 * len(mean) and float(off.detach().abs().max()) < 0.51
        assert population.has_fractions or site.part != "intermediate"


def test_where_levels_lie_is_not_paid_for():
    """Gains, zero points, the activation and what silence is read as add no step and no operation per event."""
    teacher, batch, traces = teacher_of(), small_batch(rows=100), []
    for options in ({}, PLACED):
        network = quantize(teacher, weights="int4", kv_bits=4, **options)
        calibrate(network, [batch], teacher=teacher)
        traces.append(Engine(convert(network), "events", threads=1)(**small_arrays(), trace=True).trace)
    plain, placed = traces
    assert placed.digital == plain.digital and placed.windows == plain.windows
    for name, connection in placed.connections.items():
        dynamic = CONNECTION[connection.connection].dynamic
        assert connection.accumulates == connection.events * connection.fan_out or dynamic
        assert connection.offset_accumulates <= plain.connections[name].offset_accumulates * dynamic


def test_rows_are_drawn_until_there_are_tokens_enough():
    batches = [small_batch(0, rows=5), small_arrays(1, rows=6) | {"labels": None}]
    whole = gather(batches, 10**6)
    assert set(whole) == {"input_ids", "attention_mask", "token_type_ids"}
    lengths = sorted(int(n) for batch in batches for n in batch["attention_mask"].sum(1))
    assert sorted(whole["attention_mask"].sum(1).tolist()) == lengths[:-1], "the longest of eleven is left out"
    assert bool((whole["input_ids"][whole["attention_mask"] == 0] == 0).all())
    few = gather(batches, 30)
    assert 15 < int(few["attention_mask"].sum()) <= 30
    assert len(gather(batches, 1)["input_ids"]) == 1
    bare = gather([{"input_ids": torch.ones(2, 3, dtype=torch.int64)}], 99)
    assert bare["attention_mask"].tolist() == [[1] * 3] * 2


def test_what_cannot_be_matched_is_refused():
    teacher, batch = teacher_of(), small_batch()
    network = quantize(teacher)
    with pytest.raises(InputError, match="batches: no batch"):
        calibrate(network, [], teacher=teacher)
    for other in (small_bert(intermediate_size=48), small_bert(num_hidden_layers=1)):
        with pytest.raises(InputError, match="teacher: of other sizes"):
            calibrate(network, [batch], teacher=other)
    calibrate(network, [batch], teacher=teacher)
    with pytest.raises(InputError, match="network: a network that was fitted or trained before"):
        calibrate(network, [batch], teacher=teacher)


DENSITIES = {"input": 1.0, "queries": 1.0, "probabilities": 0.5, "context": 2.0, "hidden": 2.0, "intermediate": 0.5}


def test_with_a_dead_zone_it_is_as_silent_as_asked_and_nearer_than_placed_afterwards():
    """Each part makes good what silence took from those before it."""
    teacher, batch = teacher_of(), small_batch(rows=300)
    networks = [quantize(teacher, weights="int4", kv_bits=4, dead_zone=2) for _ in range(2)]
    matched, placed = networks
    match(matched, teacher, [batch], 0.8, DENSITIES)
    calibrate(placed, [batch], teacher=teacher)
    place_densities(placed, batch, 0.8, DENSITIES)
    assert error(matched, teacher) < 0.8 * error(placed, teacher)
    for network in networks:
        trace = Engine(convert(network), "events", threads=1)(**small_arrays(1, rows=200), trace=True).trace
        assert trace.silent_share == pytest.approx(0.8, abs=0.05)


def test_latent_weights_say_how_near_they_are_to_the_next_integer():
    """Else nothing that a teacher learns besides would move them."""
    teacher = teacher_of()
    network = quantize(teacher, weights="int4", kv_bits=4)
    calibrate(network, [small_batch(rows=300)], teacher=teacher)
    for linear in network.connections().values():
        integers, scale = linear.integers()
        within = (linear.weight / scale[:, None] - integers).detach()
        assert float(within.abs().max()) < 0.5 and float(within.std()) > 0.1
