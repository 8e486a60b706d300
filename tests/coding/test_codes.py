from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matterhorn.coding import (
    EIGHTHS,
    SILENT,
    Code,
    count_events,
    decode,
    encode,
    is_silent,
    kappa,
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
    silent = np.array(draw(st.lists(st.integers(0, top), min_size=neurons, max_size=neurons)))
    k = draw(st.integers(0, top // 2)) if dead_zone else 0
    levels = np.random.default_rng(draw(st.integers(0, 99))).integers(0, top + 1, (5, 3, neurons))
    return Code(bits, silent, k), levels


@pytest.mark.parametrize("bits", range(1, 7))
def test_nothing_is_lost_without_a_dead_zone(bits):
    levels = np.arange(2**bits)
    for silent in range(2**bits):
        code = Code(bits, np.array(silent))
        slots = encode(levels, code)
        assert np.array_equal(decode(slots, code), levels)
        assert count_events(slots) == len(levels) - 1
        assert slots[silent] == SILENT


def test_the_higher_the_earlier():
    code = Code.ttfs(4)
    assert encode(np.array([15, 14, 1, 0]), code).tolist() == [0, 1, 14, SILENT]


@pytest.mark.parametrize("level", [16, -1, 255])
def test_levels_outside_a_window_are_refused(level):
    """255 would be slot 16, or silence."""
    with pytest.raises(InputError, match=rf"levels: level {level}; .*0 … 15"):
        encode(np.array([3, level]), Code(4, np.int16(7)))
    assert encode(np.zeros((0, 3), np.uint8), Code(4, np.int16(7))).shape == (0, 3)


@given(codes_and_levels())
def test_dead_zone_errs_by_at_most_k(case):
    code, levels = case
    slots = encode(levels, code)
    assert np.abs(decode(slots, code) - levels).max() <= code.dead_zone
    assert np.array_equal(slots == SILENT, is_silent(levels, code))
    assert ((slots <= code.top) | (slots == SILENT)).all()


@given(codes_and_levels())
def test_kappa_is_the_distance_to_silence(case):
    code, levels = case
    slots = encode(levels, code)
    assert np.array_equal(kappa(slots, code), decode(slots, code) - code.silent)
    assert np.array_equal(kappa(slots, code) != 0, slots != SILENT)
    assert np.abs(kappa(slots, code)).max() <= code.reach


@given(codes_and_levels())
def test_per_neuron_is_never_less_silent_than_per_tensor(case):
    code, levels = case
    histogram = level_histogram(levels, code.bits)
    own = Code(code.bits, most_frequent(histogram))
    common = Code(code.bits, most_frequent(histogram.sum(0, keepdims=True)))
    assert silent_share(histogram, own) >= silent_share(histogram, common)
    assert silent_share(histogram, own) == pytest.approx(1 - count_events(encode(levels, own)) / levels.size)


def test_the_mode_is_the_lowest_of_several():
    assert most_frequent(np.array([[1, 5, 2, 9], [4, 4, 0, 0]])).tolist() == [3, 0]


def test_histograms_count_by_neuron():
    levels = np.array([[[0, 3], [0, 1]], [[2, 3], [0, 3]]])
    assert level_histogram(levels, 2).tolist() == [[3, 0, 1, 0], [0, 1, 0, 3]]


def test_silence_read_as_the_mean_of_what_is_silenced():
    histogram = np.array([[0, 2, 6, 8, 100, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 5]])
    value = mean_of_silent(histogram, np.array([2, 3]), 1)
    assert value.tolist() == [round(EIGHTHS * (2 * 1 + 6 * 2 + 8 * 3) / 16), EIGHTHS * 3]
    code = Code(3, np.array([2, 3]), 1, value)
    slots = encode(np.array([[3, 7], [4, 3]]), code)
    assert decode(slots, code).tolist() == [[19 / 8, 7.0], [4.0, 3.0]]
    assert kappa(slots, code).tolist() == [[0, 32], [32 - 19, 0]]
    assert (code.unit, code.reach) == (EIGHTHS, max(8 * 7 - 19, 24))


def test_one_silent_value_outside_the_dead_zone_is_enough():
    inside = Code(4, np.array([7, 7]), 1, EIGHTHS * np.array([6, 8]))
    assert inside.silent_value.tolist() == [48, 64]
    with pytest.raises(InputError, match="silent_value"):
        Code(4, np.array([7, 7]), 1, np.array([EIGHTHS * 7, EIGHTHS * 9]))


def test_silence_may_be_read_as_values_that_a_level_stands_for_without_a_dead_zone():
    code = Code(4, np.array([0, 15]), 0, np.array([-7, 127]))
    slots = encode(np.array([[0, 15], [15, 0]]), code)
    assert decode(slots, code).tolist() == [[-7 / 8, 127 / 8], [15, 0]]
    assert kappa(slots, code).tolist() == [[0, 0], [127, -127]] and code.reach == 127
    with pytest.raises(InputError, match="silent_value"):
        Code(4, np.array([0]), 0, np.array([-8]))


def test_a_code_cannot_be_written_to():
    silent = np.array([3, 4])
    code = Code(4, silent)
    silent[0] = 9
    assert code.silent.tolist() == [3, 4]
    with pytest.raises(ValueError, match="read-only"):
        code.silent[0] = 9


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"bits": 0, "silent": np.array(0)}, "bits"),
        ({"bits": 7, "silent": np.array(0)}, "bits"),
        ({"bits": 4, "silent": np.array([3, 16])}, "silent"),
        ({"bits": 4, "silent": np.array(-1)}, "silent"),
        ({"bits": 4, "silent": 3.9}, "silent: 1 numbers of type float64"),
        ({"bits": 4, "silent": np.array([70000])}, "level 70000"),
        ({"bits": 4, "silent": np.array([2, 65539])}, "level 65539"),
        ({"bits": 4, "silent": np.array([])}, "silent: 0 numbers"),
        ({"bits": 4, "silent": np.array([8]), "dead_zone": 1, "silent_value": np.array([65600])}, "silent_value"),
        ({"bits": 4, "silent": np.array([8]), "dead_zone": 1, "silent_value": np.array([64.5])}, "silent_value"),
        ({"bits": 4, "silent": np.array(8), "dead_zone": 8}, "dead_zone"),
        ({"bits": 4, "silent": np.array([8]), "dead_zone": 1, "silent_value": np.array([80])}, "silent_value"),
    ],
)
def test_impossible_codes_are_refused(options, field):
    with pytest.raises(InputError, match=field):
        Code(**options)
