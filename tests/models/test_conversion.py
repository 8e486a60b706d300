from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from matterhorn.engines import classify, get_engine
from matterhorn.engines.verify import verify
from matterhorn.errors import InputError
from matterhorn.models import MatterhornConfig
from matterhorn.models.convert import convert, find_thresholds
from matterhorn.models.packing import BITS, pack, pack_even, unpack, unpack_even
from matterhorn.models.restore import restore_quantised

from ..conftest import small_batch, small_network

OPTIONS = [
    {},
    {"k": 2},
    {"k": 3, "mean": True},
    {"k": 1, "silence_per": "tensor"},
    {"k": 2, "silence_per": "tensor", "mean": True},
    {"k": 2, "digital": "shift"},
    {"weight_bits": "ternary", "k": 1},
    {"weight_bits": "2", "stored_bits": 4},
    {"weight_bits": "4", "k": 2, "stored_bits": 2, "mean": True},
    {"activation_bits": 1},
    {"activation_bits": 2, "k": 1},
    {"activation_bits": 6, "k": 9, "mean": True, "stored_bits": 6},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_conversion_is_exact_to_the_bit(options):
    model = small_network(**options)
    network = convert(model)
    engines = [get_engine("exact"), get_engine("stepped")]
    batches = [small_batch(seed) for seed in range(3)]
    for reference in (model, restore_quantised(network)):
        report = verify(reference, network, engines, batches)
        assert report.passed, report.first_difference
        assert report.levels_compared > 10_000


def test_silent_levels_may_be_anything():
    model = small_network(k=2)
    draw = torch.Generator().manual_seed(5)
    for population in model.populations().values():
        population.silent.copy_(torch.randint(0, 16, population.silent.shape, generator=draw))
        population.reads.copy_(8 * population.silent)
    report = verify(model, convert(model), [get_engine("exact"), get_engine("stepped")], [small_batch()])
    assert report.passed, report.first_difference


BREAKAGES = {
    "a weight": lambda b: b.ffn1.weights[0].neg_(),
    "the silent state's constant": lambda b: b.output.offset.add_(3),
    "a threshold": lambda b: b.middle.thresholds.add_(40),
    "a stored key's threshold": lambda b: b.keys.thresholds.add_(200),
    "a silent level": lambda b: b.hidden.silent.add_(1),
    "a scale": lambda b: b.ffn2.scale.mul_(1.01),
    "the softmax table": lambda b: b.table[1:].mul_(0.2),
}


@pytest.mark.parametrize("part", BREAKAGES)
def test_breaking_a_part_is_seen(part):
    model = small_network(k=1)
    network = convert(model)
    BREAKAGES[part](network.blocks[0])
    network.blocks[0].hidden._code = None
    report = verify(model, network, [get_engine("exact"), get_engine("stepped")], [small_batch()])
    assert not report.passed
    assert report.first_difference is not None and report.first_difference["where"].startswith(("block.0", "block.1"))


def test_padding_and_company_change_nothing():
    network, batch = convert(small_network(k=2)), small_batch(rows=5)
    together = classify(
        network, batch["input_ids"], batch["token_type_ids"], batch["attention_mask"].bool(), get_engine("exact")
    )
    for i in range(5):
        n = int(batch["attention_mask"][i].sum())
        tokens, types = batch["input_ids"][i : i + 1, :n], batch["token_type_ids"][i : i + 1, :n]
        alone = classify(network, tokens, types, torch.ones(1, n, dtype=torch.bool), get_engine("exact"))
        assert torch.equal(alone[0], together[i])


@settings(deadline=None, max_examples=25)
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


@given(st.sampled_from(list(BITS)), st.integers(1, 9), st.integers(1, 40), st.integers(0, 99))
def test_packing_is_lossless_and_small(kind, rows, columns, seed):
    draw = torch.Generator().manual_seed(seed)
    values = {"1": [-1, 1], "ternary": [-1, 0, 1], "2": [-2, -1, 0, 1], "4": list(range(-8, 8))}[kind]
    weights = torch.tensor(values, dtype=torch.int8)[torch.randint(0, len(values), (rows, columns), generator=draw)]
    packed = pack(weights, kind)
    assert packed.shape[1] == -(-columns * BITS[kind] // 8)
    assert torch.equal(unpack(packed, kind, columns), weights)


@pytest.mark.parametrize("columns", [2, 7, 15])
def test_evenly_spaced_thresholds_survive_in_two_bits_and_others_are_left_alone(columns):
    draw = torch.Generator().manual_seed(0)
    start, pitch = 3000 * torch.randn(50, 1, generator=draw), 1500 * torch.rand(50, 1, generator=draw)
    even = (start + pitch * torch.arange(columns)).ceil().to(torch.int32)
    ends, off = pack_even(even)
    assert torch.equal(unpack_even(ends, off, columns), even) and off.numel() == 50 * math.ceil(columns / 4)
    uneven = even.clone()
    uneven[7, 1:-1] += 9
    assert columns == 2 or pack_even(uneven) is None


def test_one_bit_is_one_bit():
    assert pack(torch.ones(384, 1536, dtype=torch.int8), "1").numel() == 384 * 1536 // 8


@pytest.mark.parametrize(
    ("field", "value"),
    list(
        itertools.chain(
            (("weight_bits", v) for v in ("8", "0", "binary")),
            (("activation_bits", v) for v in (0, 7)),
            (("dead_zone", v) for v in (-1, 8)),
            (("silence_per", v) for v in ("layer",)),
            (("stored_bits", 0), ("digital", "fast"), ("hidden_size", 31)),
        )
    ),
)
def test_impossible_configs_are_refused(field, value):
    with pytest.raises(InputError, match=field):
        MatterhornConfig(**{field: value})
