"""What training with noise needs: deviations of weights."""

import numpy as np
import pytest

from matterhorn.msu import ArrayBank, load_circuit, load_device, only, weight_deviation

from .drawn import integers


def matrix(top):
    return integers(256, 256, top=top).astype(np.int8)


def drawn_and_held(device, weights):
    """Deviations drawn without arrays, and those of a chip, 1e5 s after writing."""
    connection = ArrayBank(device, load_circuit("ideal-128"), 1).program(weights).at(1e5)
    effective = sum(connection.layout.base**s * slice_ for s, slice_ in enumerate(connection.effective))
    return weight_deviation(weights, device, np.random.default_rng(2), seconds=1e5), effective.reshape(
        -1, 256
    ).T - weights


@pytest.mark.parametrize("top", [1, 7])
@pytest.mark.parametrize("name", ["rram-wan", "pcm", "rram-ye-28nm"])
def test_deviations_are_those_of_a_chip(name, top):
    weights = matrix(top)
    drawn, chip = drawn_and_held(only(load_device(name), "programming", "drift"), weights)
    assert drawn.dtype == np.float32 and drawn.shape == weights.shape
    for weight in (-top, 0, top):
        here = weights == weight
        assert drawn[here].mean() == pytest.approx(chip[here].mean(), abs=0.05 * top)
        assert drawn[here].std() == pytest.approx(chip[here].std(), rel=0.05)


@pytest.mark.parametrize("top", [1, 7])
def test_as_many_cells_are_stuck_as_on_a_chip(top):
    weights = matrix(top)
    drawn, chip = drawn_and_held(only(load_device("rram-wan"), "stuck"), weights)
    between = np.count_nonzero((weights != 0) & (np.abs(weights) < top))  # their cell moves wherever it sticks
    expected = 0.001 * (2 * weights.size + between)
    for off in drawn, chip:
        assert np.count_nonzero(np.abs(off) > 1e-4) == pytest.approx(expected, abs=4 * expected**0.5)
        assert np.abs(off).max() == pytest.approx(top)


def test_an_ideal_device_deviates_by_nothing():
    assert not weight_deviation(matrix(7), only(load_device("rram-ye-28nm")), np.random.default_rng()).any()


def test_every_pass_draws_a_new_chip_and_a_seed_the_same_ones():
    device = load_device("rram-wan")
    first, second = ([weight_deviation(matrix(1), device, rng) for _ in range(2)]
                     for rng in (np.random.default_rng(3), np.random.default_rng(3)))  # fmt: skip
    assert not np.array_equal(*first)
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
