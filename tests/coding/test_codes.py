from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from matterhorn.coding import (
    READ_UNIT,
    SILENT,
    Code,
    count_events,
    decode,
    decode_rate,
    encode,
    encode_rate,
    is_silent,
    kernel,
    least_cost,
    level_histogram,
    mean_of_silent,
    most_frequent,
    silent_share,
)
from matterhorn.errors import InputError


@st.composite
def codes_and_levels(draw, dead_zone=True):
    bits = draw(st.integers(1, 6))
    top = 2**bits - 1
    neurons = draw(st.integers(1, 7))
    silent = torch.tensor(draw(st.lists(st.integers(0, top), min_size=neurons, max_size=neurons)))
    k = draw(st.integers(0, top // 2)) if dead_zone else 0
    levels = torch.randint(
        0, top + 1, (5, 3, neurons), generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))
    )
    return Code(bits, silent, k), levels


@pytest.mark.parametrize("bits", range(1, 7))
def test_nothing_is_lost_without_a_dead_zone(bits):
    levels = torch.arange(2**bits)
    for silent in range(2**bits):
        code = Code(bits, torch.tensor(silent))
        slots = encode(levels, code)
        assert torch.equal(decode(slots, code), levels.float())
        assert count_events(slots) == len(levels) - 1
        assert slots[silent] == SILENT


def test_the_higher_the_earlier():
    code = Code.ttfs(4)
    assert encode(torch.tensor([15, 14, 1, 0]), code).tolist() == [0, 1, 14, SILENT]


@given(codes_and_levels())
def test_dead_zone_errs_by_at_most_k(case):
    code, levels = case
    slots = encode(levels, code)
    error = (decode(slots, code) - levels).abs()
    assert error.max() <= code.dead_zone
    assert torch.equal(slots == SILENT, is_silent(levels, code))
    assert bool(((slots <= code.top) | (slots == SILENT)).all())


@given(codes_and_levels())
def test_kernel_is_the_distance_to_silence(case):
    code, levels = case
    slots = encode(levels, code)
    assert torch.equal(kernel(slots, code), (decode(slots, code) - code.silent).to(torch.int16))
    assert bool((kernel(slots, code) != 0).eq(slots != SILENT).all())


@given(codes_and_levels())
def test_per_neuron_is_never_less_silent_than_per_tensor(case):
    code, levels = case
    histogram = level_histogram(levels, code.bits)
    own = Code(code.bits, most_frequent(histogram))
    common = Code(code.bits, most_frequent(histogram.sum(0, keepdim=True)))
    assert silent_share(histogram, own) >= silent_share(histogram, common)
    assert silent_share(histogram, own) == pytest.approx(1 - count_events(encode(levels, own)) / levels.numel())


@given(codes_and_levels(dead_zone=False), st.floats(0.1, 5), st.floats(0, 3), st.integers(0, 2))
def test_least_cost_is_the_cheapest_of_all(case, per_event, per_kernel, k):
    code, levels = case
    histogram = level_histogram(levels, code.bits)
    chosen = least_cost(histogram, dead_zone=k, per_event=per_event, per_kernel=per_kernel)

    def cost(neuron: int, m: int) -> float:
        return sum(
            int(n) * (per_event + per_kernel * abs(q - m)) for q, n in enumerate(histogram[neuron]) if abs(q - m) > k
        )

    for neuron in range(len(histogram)):
        best = min(cost(neuron, m) for m in range(code.slots))
        assert cost(neuron, int(chosen[neuron])) == pytest.approx(best)


def test_least_cost_of_events_alone_is_the_mode():
    histogram = torch.tensor([[1, 5, 2, 9], [4, 4, 0, 0]])
    assert torch.equal(least_cost(histogram), most_frequent(histogram))
    assert most_frequent(histogram).tolist() == [3, 0]


def test_silence_read_as_the_mean_of_what_it_swallows():
    histogram = torch.tensor([[0, 2, 6, 8, 100, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 5]])
    reads = mean_of_silent(histogram, torch.tensor([2, 3]), 1)
    assert reads.tolist() == [round(READ_UNIT * (2 * 1 + 6 * 2 + 8 * 3) / 16), READ_UNIT * 3]
    code = Code(3, torch.tensor([2, 3]), 1, reads)
    slots = encode(torch.tensor([[3, 7], [4, 3]]), code)
    assert decode(slots, code).tolist() == [[19 / 8, 7.0], [4.0, 3.0]]
    assert kernel(slots, code).tolist() == [[0, 32], [32 - 19, 0]]


@given(st.integers(1, 5), st.integers(0, 50))
def test_rate_code_counts(bits, seed):
    levels = torch.randint(0, 2**bits, (4, 3), generator=torch.Generator().manual_seed(seed))
    trains = encode_rate(levels, bits)
    assert trains.shape == (2**bits - 1, 4, 3)
    assert torch.equal(decode_rate(trains), levels)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"bits": 0, "silent": torch.tensor(0)}, "bits"),
        ({"bits": 4, "silent": torch.tensor([3, 16])}, "silent"),
        ({"bits": 4, "silent": torch.tensor(-1)}, "silent"),
        ({"bits": 4, "silent": torch.tensor(8), "dead_zone": 8}, "dead_zone"),
        ({"bits": 4, "silent": torch.tensor([8]), "dead_zone": 1, "reads": torch.tensor([80])}, "reads"),
    ],
)
def test_impossible_codes_are_refused(options, field):
    with pytest.raises(InputError, match=field):
        Code(**options)
