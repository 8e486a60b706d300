"""Conversion is exact: a program gives the levels, events and logits of the quantized network, to the bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from matterhorn.coding import MAX_BITS
from matterhorn.errors import InputError
from matterhorn.models import calibrate, convert, quantize, restore
from matterhorn.models.convert import convert_folder, find_thresholds
from matterhorn.program import Program
from matterhorn.program.config import WEIGHTS
from matterhorn.runtime import verify

from ..networks import small_arrays, small_bert, small_network, small_program, small_tokenizer

OPTIONS = [
    {},
    {"k": 2},
    {"k": 3, "mean": True},
    {"k": 1, "silence_per": "tensor"},
    {"k": 2, "silence_per": "tensor", "mean": True},
    {"k": 2, "digital": "shift"},
    {"weights": "ternary", "k": 1},
    {"weights": "int2", "kv_bits": 4},
    {"weights": "int4", "k": 2, "kv_bits": 2, "mean": True},
    {"activation_bits": 1},
    {"activation_bits": 2, "k": 1},
    {"activation_bits": 6, "k": 9, "mean": True, "kv_bits": 6},
    {"k": 3, "mean": True, "dead_zones": {"probabilities": 1, "queries": 0}},
]
PLACED = [
    {"weights": "int4", "kv_bits": 4, "activation": "gelu", "levels_per": "neuron"},
    {"weights": "int1", "k": 3, "mean": True, "activation": "gelu", "levels_per": "neuron"},
    {"weights": "ternary", "kv_bits": 4, "levels_per": "neuron", "silence_per": "tensor"},
    {"weights": "int2", "activation": "gelu", "digital": "shift", "activation_bits": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_conversion_is_exact_to_the_bit(options):
    network = small_network(**options)
    program = convert(network)
    batches = [small_arrays(seed) for seed in range(3)]
    for against in (network, restore(program)):
        report = verify(program, batches, against=against)
        assert report.identical, report.first_difference
        assert report.levels_compared > 10_000


@pytest.mark.parametrize("options", PLACED, ids=str)
def test_conversion_is_exact_wherever_levels_lie(options):
    """Behind a GELU, with gains and zero points of each neuron's own, silence read as any value of its bucket."""
    network, draw = small_network(**options), np.random.Generator(np.random.PCG64(0))
    for population in network.populations().values():
        if population.gain is not None:
            population.gain.data.uniform_(0.3, 3)
        if population.zeros is not None:
            population.zeros.copy_(torch.from_numpy(draw.integers(-9, 25, len(population.zeros))))
        off = draw.integers(-8 * population.dead_zone - 7, 8 * population.dead_zone + 8, len(population.silent))
        population.silent_value.copy_(8 * population.silent + torch.from_numpy(off))
    program = convert(network)
    for against in (network, restore(program)):
        report = verify(program, [small_arrays(seed) for seed in range(2)], against=against)
        assert report.identical, report.first_difference


@settings(max_examples=15)
@given(data=st.data())
def test_conversion_is_exact_whatever_the_shape_and_the_numbers(data):
    """Sizes, bits, weights, dead zones, silent levels and values drawn at random."""
    heads, size = data.draw(st.integers(1, 3), "heads"), data.draw(st.integers(1, 9), "head size")
    bits = data.draw(st.integers(1, MAX_BITS), "activation bits")
    zone = data.draw(st.integers(0, (2**bits - 1) // 2), "dead zone")
    teacher = small_bert(
        seed=data.draw(st.integers(0, 99), "seed"),
        hidden_size=heads * size,
        num_attention_heads=heads,
        intermediate_size=data.draw(st.integers(1, 70), "intermediate"),
        num_hidden_layers=data.draw(st.integers(1, 2), "blocks"),
        labels=data.draw(st.integers(1, 4), "labels"),
    )
    network = quantize(
        teacher,
        weights=data.draw(st.sampled_from(WEIGHTS), "weights"),
        activation_bits=bits,
        kv_bits=data.draw(st.integers(1, MAX_BITS), "kv bits"),
        dead_zone=zone,
        dead_zones=data.draw(st.dictionaries(st.sampled_from(["queries", "hidden"]), st.integers(0, zone))),
        silence_per=data.draw(st.sampled_from(["neuron", "tensor"]), "silence per"),
        digital=data.draw(st.sampled_from(["exact", "shift"]), "digital"),
        levels_per=data.draw(st.sampled_from(["neuron", "tensor"]), "levels per"),
        activation=data.draw(st.sampled_from(["relu", "gelu"]), "activation"),
    )
    batch = small_arrays(data.draw(st.integers(0, 99), "rows"), rows=3, longest=data.draw(st.integers(1, 17)))
    calibrate(network, [batch], mean_silence=data.draw(st.booleans(), "mean"))
    if data.draw(st.booleans(), "any silent levels"):
        draw = np.random.Generator(np.random.PCG64(data.draw(st.integers(0, 99))))
        for population in network.populations().values():
            silent, k = draw.integers(0, 2**bits, len(population.silent)), population.dead_zone
            population.silent.copy_(torch.from_numpy(silent))
            off = draw.integers(-8 * k - 7, 8 * k + 8, len(silent))
            population.silent_value.copy_(torch.from_numpy(8 * silent + off))
    for name, parameter in network.named_parameters():
        if name.endswith(("bias", "gain")):
            parameter.data.uniform_(0.5, 2)
    report = verify(convert(network), [batch], against=network)
    assert report.identical, report.first_difference


@pytest.mark.parametrize("digital", ["exact", "shift"])
def test_conversion_is_exact_beyond_1024_keys(digital):
    """Numerators of so many keys add up beyond what float32 holds exactly."""
    teacher = small_bert(max_position_embeddings=1400, initializer_range=0.02, num_hidden_layers=1)
    network = quantize(teacher, digital=digital, activation_bits=6)
    calibrate(network, [small_arrays(longest=64)])
    network.layers()[0].population("probabilities").scale.data.fill_(1e-5)  # levels tell such small shares apart
    network.config.first_only = False
    batch = small_arrays(rows=1, longest=1400)
    report = verify(convert(network), [batch], against=network, backends=["exact", "events"])
    assert report.identical, report.first_difference


def damaged(program: Program, name: str, change) -> Program:
    values = program.arrays()[name].copy()
    return Program.from_arrays(program.config, program.arrays() | {name: change(values)}, labels=program.labels)


BREAKAGES = {
    "a weight": ("ffn1.weights", lambda a: np.concatenate([-a[:1], a[1:]])),
    "the silent state's constant": ("output.offset", lambda a: a + 3),
    "a threshold": ("intermediate.thresholds", lambda a: a + 40),
    "a threshold of the context": ("context.thresholds", lambda a: a + 40),
    "a stored key's threshold": ("keys.thresholds", lambda a: a + 200),
    "a silent level": ("hidden.silent_value", lambda a: a + 8),
    "a scale": ("ffn2.scale", lambda a: (a * 1.01).astype(np.float32)),
    "a zero point": ("hidden.zeros", lambda a: a + 1),
    "a gain of the intermediate": ("intermediate.thresholds", lambda a: a[::-1]),
    "a gain": ("hidden.gain", lambda a: (a * 1.1).astype(np.float32)),
    "the softmax table": ("table", lambda a: np.concatenate([a[:1], np.floor(a[1:] * np.float32(0.2))])),
}


@pytest.mark.parametrize("part", BREAKAGES)
def test_breaking_a_part_is_seen(part):
    network = small_network(k=1, levels_per="neuron", activation="gelu")
    network.layers()[0].population("intermediate").gain.data.uniform_(0.5, 2)
    name, change = BREAKAGES[part]
    broken = damaged(convert(network), f"blocks.0.{name}", change)
    report = verify(broken, [small_arrays()], against=network)
    assert not report.identical
    assert report.first_difference["where"].startswith(("block.0", "block.1"))


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 15))
def test_thresholds_are_the_first_potentials_of_their_level(seed, top):
    draw = torch.Generator().manual_seed(seed)
    scale, bias = torch.rand(4, generator=draw) + 0.01, torch.randn(4, generator=draw) * 5

    def level(a: torch.Tensor) -> torch.Tensor:
        return (a.float() * scale + bias).round().clamp(0, top)

    thresholds = find_thresholds(level, 4, top, reach=5000)
    for l in range(1, top + 1):
        first = thresholds[:, l - 1]
        inside = first <= 5000
        assert bool((level(first) >= l)[inside].all())
        assert bool((level(first - 1) < l)[inside & (first > -5000)].all())
        assert bool((level(torch.full((4,), 5000)) < l)[~inside].all())


def test_a_level_out_of_reach_has_a_threshold_out_of_reach():
    assert find_thresholds(lambda a: torch.zeros_like(a), 2, 3, reach=100).tolist() == [[101] * 3] * 2
    assert find_thresholds(lambda a: torch.full_like(a, 9), 1, 2, reach=100).tolist() == [[-100] * 2]


def test_arrays_are_those_of_the_network():
    network = small_network(k=2, mean=True)
    program = convert(network)
    for site, linear in network.connections().items():
        own, feed = program.connections()[site], network.layers()[site.block].feed(site.part)
        integers, alpha = linear.integers()
        assert np.array_equal(own.weights, integers.detach().numpy())
        assert np.allclose(own.scale * feed.unit, (feed.positive_scale * alpha).detach().numpy())
        constant = feed.code.reference.astype(np.int64) - feed.unit * feed.zero
        assert np.array_equal(
            own.offset, own.weights.astype(np.int64) @ np.broadcast_to(constant, own.weights.shape[1])
        )
    for site, population in network.populations().items():
        code = program.populations()[site].code
        assert (code.bits, code.dead_zone, code.unit) == (population.bits, population.dead_zone, population.unit)
        assert np.array_equal(code.reference, population.code.reference)


def test_a_program_is_called_what_it_is_told():
    network = small_network(labels=3)
    assert convert(network).labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    program = convert(network, labels=["no", "maybe", "yes"], task="mnli", tokenizer=small_tokenizer())
    assert (program.labels, program.task) == (("no", "maybe", "yes"), "mnli")
    fast = PreTrainedTokenizerFast(tokenizer_object=small_tokenizer())
    again = convert(network, tokenizer=fast).encode(["a bc"])
    assert np.array_equal(again["input_ids"], program.encode(["a bc"])["input_ids"])
    with pytest.raises(InputError, match="labels: 2 names of 3 outputs; give one for each output"):
        convert(network, labels=["no", "yes"])


def test_a_program_keeps_nothing_of_the_network():
    network = small_network(k=1)
    program = convert(network)
    before = program.hash, convert(network).hash
    with torch.no_grad():
        for value in (*network.parameters(), *network.buffers()):
            value.zero_()
    again = Program.from_arrays(program.config, program.arrays(), labels=program.labels)
    assert (again.hash, again.hash) == before


def test_potentials_that_could_grow_too_large_are_refused():
    teacher = small_bert(intermediate_size=17_000, num_hidden_layers=1)
    network = quantize(teacher, weights="int4", activation_bits=6, dead_zone=1)
    calibrate(network, [small_arrays()])
    network.layers()[0].population("intermediate").silent_value.add_(1)
    with pytest.raises(InputError, match=r"potentials up to .*use fewer activation or weight bits"):
        convert(network)


def test_a_folder_is_converted_with_its_tokenizer(tmp_path):
    network = small_network(k=2)
    network.save_pretrained(tmp_path / "plain")
    assert convert_folder(tmp_path / "plain").hash == convert(network).hash
    network.save_pretrained(tmp_path / "worded")
    small_tokenizer().save(str(tmp_path / "worded" / "tokenizer.json"))
    program = convert_folder(tmp_path / "worded", task="sst2")
    assert program.task == "sst2" and program.encode("abc")["input_ids"].shape == (1, 5)


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.json: no network here"):
        convert_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="a 'bert' checkpoint; give a quantized network"):
        convert_folder(tmp_path)
    small_program().save(tmp_path / "program")
    with pytest.raises(InputError, match="a 'matterhorn-program' checkpoint"):
        convert_folder(tmp_path / "program")


def test_a_tokenizer_of_another_kind_is_named():
    """As slow ones of Hugging Face are, which have no tokenizer of this library behind them."""
    with pytest.raises(InputError, match=r"tokenizer: a object; give a tokenizers\.Tokenizer"):
        convert(small_network(), tokenizer=object())


def test_what_is_no_network_to_convert_is_one_line():
    for other, says in (
        (restore(small_program()), "restored from a program, with fixed weights; save the program itself"),
        (None, "a NoneType, no quantized network; give what matterhorn.quantize or distill returned"),
        (small_program(), "a Program, no quantized network"),
    ):
        with pytest.raises(InputError, match=f"network: {says}"):
            convert(other)
