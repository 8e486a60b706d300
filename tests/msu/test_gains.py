"""Digital scales: what they restore, and that they amplify nothing that is not there."""

import numpy as np
import pytest

from matterhorn.msu import ArrayBank, load_circuit, load_device, only
from matterhorn.msu.gains import trusted_gains
from matterhorn.program import Program
from matterhorn.runtime.analog import AnalogBackend

from ..networks import small_program
from .drawn import integers, pulses

PLAIN = load_circuit("ideal-128")


def ternary(*shape, seed=0):
    return integers(*shape, top=1, seed=seed).astype(np.int8)


def errors(connection, weights, kappa):
    """Root mean square of what each scaled output is off by."""
    fan_out = len(weights)
    scale = np.reciprocal(connection.column_gains)
    found = connection.in_steps(kappa, scale, np.zeros(fan_out, np.float32))
    return (found - kappa.astype(int) @ weights.T.astype(int)).std(0)


@pytest.mark.parametrize("device", ["rram-wan", "rram-milo", "pcm"])
def test_an_empty_output_is_not_amplified(device):
    weights = ternary(40, 384)
    weights[7] = 0
    connection = ArrayBank(only(load_device(device), "programming"), PLAIN, 1).program(weights)
    off = errors(connection, weights, pulses(300, 384))
    assert off[7] < 1.5 * np.median(off)
    assert connection.column_gains[7] == pytest.approx(np.median(connection.column_gains), rel=0.02)


@pytest.mark.parametrize("device", ["rram-wan", "rram-milo"])
def test_a_stuck_cell_in_a_near_empty_output_is_not_amplified(device):
    """Its one weight reads as nothing, or as its opposite; 1 in 500 cells of the others is stuck too."""
    weights = ternary(64, 384)
    weights[7], weights[7, 100] = 0, 1
    connection = ArrayBank(only(load_device(device), "programming", "stuck"), PLAIN, 1).program(weights)
    for held in (0.02, -0.9):
        matrix = connection.effective.reshape(-1, 64).astype(float)[-384:]
        matrix[100, 7] = held
        gains = trusted_gains(weights.T.astype(float), matrix)
        assert 0.8 < gains[7] / np.median(gains) <= 1.01
    assert np.ptp(np.delete(gains, 7)) < 0.1


def test_gains_that_really_differ_are_kept():
    """Wires: an output far from the drivers keeps less, and hundreds of weights say so."""
    rng = np.random.default_rng(0)
    true, weights = np.linspace(0.4, 0.9, 64), ternary(384, 64, seed=1).astype(float)
    gains = trusted_gains(weights, true * weights + 0.1 * rng.standard_normal(weights.shape))
    assert np.abs(gains - true).max() < 4 * 0.1 / np.sqrt((weights**2).sum(0).min())


def test_equal_gains_are_told_better_by_all_columns_than_by_each():
    weights, rng = ternary(20, 64, seed=2).astype(float), np.random.default_rng(0)
    matrix = 0.7 * weights + 0.2 * rng.standard_normal(weights.shape)
    alone = (weights * matrix).sum(0) / (weights**2).sum(0)
    assert np.abs(trusted_gains(weights, matrix) - 0.7).std() < 0.5 * np.abs(alone - 0.7).std()


def test_a_chip_that_keeps_nothing_is_not_scaled():
    weights = ternary(9, 5).astype(float)
    assert (trusted_gains(weights, -0.1 * weights) == 1).all()
    assert trusted_gains(weights[:, :1], 0.3 * weights[:, :1]) == pytest.approx(0.3)


def test_a_network_with_an_empty_output_runs_at_the_scale_of_its_connection():
    program = small_program(2, weights="ternary")
    arrays = {name: array.copy() for name, array in program.arrays().items()}
    name = next(name for name in arrays if name.endswith("0.ffn1.weights"))
    arrays[name][3] = 0
    program = Program.from_arrays(program.config, arrays, labels=program.labels)
    backend = AnalogBackend(program, ArrayBank(only(load_device("rram-wan"), "programming"), PLAIN))
    scales = next(scale for array, scale in backend.scales.items() if array.name == "block.0.ffn1")
    assert scales[3] == pytest.approx(np.median(scales), rel=0.1) and scales[3] < 1.5


def test_a_connection_without_weights_has_nothing_to_restore():
    assert trusted_gains(np.zeros((5, 3)), np.zeros((5, 3))).tolist() == [1, 1, 1]


def test_an_output_of_which_less_than_nothing_is_left_is_scaled_as_the_others_are():
    """Hundreds of its weights read as their opposites. That is believed, and no reason to turn its sign."""
    weights, true = ternary(384, 64, seed=1).astype(float), np.full(64, 0.8)
    true[7] = -0.5
    gains = trusted_gains(weights, true * weights)
    assert gains[7] == pytest.approx(0.8, abs=0.03) and np.delete(gains, 7) == pytest.approx(0.8, abs=0.01)
