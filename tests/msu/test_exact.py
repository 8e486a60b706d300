"""An ideal chip computes integers, to the bit."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from matterhorn.coding import SILENT, Code, encode, kappa
from matterhorn.errors import InputError
from matterhorn.msu import ArrayBank, Ramp, load_circuit, load_device, only, plain, resized, weight_deviation

from .drawn import integers, pulses, signed

IDEAL = ArrayBank.of("ideal", "ideal-128")


def sums(weights, kappa):
    return kappa.astype(np.int64) @ weights.astype(np.int64).T


def by_definition(connection, kappa):
    rows = connection.placed(kappa).reshape(-1, kappa.shape[-1])
    found = plain.integrate(connection, connection.conditions, rows, np.random.default_rng())
    return found.reshape(*kappa.shape[:-1], -1)


@pytest.mark.parametrize("top", [1, 7, 127])
@pytest.mark.parametrize(("out", "rows"), [(5, 7), (64, 128), (100, 300)])
def test_integer_weights_of_any_width(out, rows, top):
    weights, drawn = integers(out, rows, top=top).astype(np.int8), integers(2, 3, rows, top=15, seed=1)
    connection = IDEAL.program(weights)
    found = connection.integrate(drawn)
    assert found.shape == (2, 3, out) and found.dtype == np.float32
    assert (found == sums(weights, drawn)).all()
    assert (by_definition(connection, drawn) == sums(weights, drawn)).all()


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int64])
def test_one_bit_weights_at_full_width(kind):
    weights, drawn = signed(768, 3072), integers(4, 3072, top=120, seed=2).astype(kind)
    found = IDEAL.program(weights, kappa_top=120, kappa_unit=8).integrate(drawn)
    assert found.dtype == np.float32
    assert (found == sums(weights, drawn)).all()


def test_pulses_longer_than_a_byte_holds():
    """Six bits in eighths of a level: up to 504 steps."""
    weights, drawn = signed(70, 300), integers(5, 300, top=504, seed=2)
    found = IDEAL.program(weights, kappa_top=504, kappa_unit=8).integrate(drawn)
    assert found.dtype == np.float32 and (found == sums(weights, drawn)).all()
    drawn[0, 0] = 2**15
    with pytest.raises(InputError, match="shorter"):
        IDEAL.program(weights).integrate(drawn)


def test_sums_beyond_float32_are_kept_exact():
    weights = np.full((2, 3072), 127, np.int8)
    weights[1, ::2] = -128
    drawn = 255 - np.arange(3072)[None] % 7
    found = IDEAL.program(weights, kappa_top=255).integrate(drawn)
    assert found.dtype == np.float64
    assert (found == sums(weights, drawn)).all()


def test_pulses_longer_than_announced_lose_no_bits():
    """Their sum lies beyond 2^24; with the 15 steps expected it would not."""
    weights, drawn = np.full((1, 3072), 127, np.int8), np.full((1, 3072), 120, np.int16)
    drawn[0, 0] = 119
    connection = IDEAL.program(weights)
    assert (connection.integrate(drawn) == sums(weights, drawn)).all()
    steps = connection.in_steps(drawn, np.ones(1, np.float32), np.zeros(1, np.float32))
    assert (steps == sums(weights, drawn)).all()
    assert connection.integrate(drawn // 10).dtype == np.float32


@pytest.mark.parametrize("name", ["rram-ye-28nm", "rram-wan", "rram-milo", "pcm"])
def test_every_device_is_exact_without_its_noise(name):
    weights, drawn = integers(90, 200, top=7).astype(np.int8), integers(11, 200, top=15, seed=3)
    bank = ArrayBank(only(load_device(name)), load_circuit("ideal-128"), seed=5)
    assert (bank.program(weights).integrate(drawn) == sums(weights, drawn)).all()


def test_binary_cells_take_one_slice_per_bit():
    layout = ArrayBank.of("rram-ye-28nm", "ideal-128").program(integers(9, 20, top=7).astype(np.int8)).layout
    assert (layout.slices, layout.base) == (3, 2)
    assert ArrayBank.of("rram-ye-28nm", "ideal-128").program(signed(9, 20)).layout.slices == 1


@pytest.mark.parametrize("dead_zone", [0, 2])
def test_spikes_of_a_masked_code_give_the_masked_sum(dead_zone):
    rng = np.random.default_rng(4)
    levels = rng.integers(0, 16, (6, 96)).astype(np.uint8)
    code = Code(4, rng.integers(3, 12, 96), dead_zone)
    weights, slots = signed(10, 96), encode(levels, code)
    read = np.where(slots == SILENT, code.silent, levels)
    expected = sums(weights, read) - sums(weights, np.broadcast_to(code.silent, (6, 96)))
    assert (IDEAL.program(weights).integrate(kappa(slots, code)) == expected).all()


def test_arrays_read_one_by_one_give_the_same_sum():
    """A converter with as many counts as there are potentials rounds nothing away."""
    circuit = load_circuit("array-128")
    bits = circuit.conversion.bits.model_copy(update={"value": 16})
    conversion = circuit.conversion.model_copy(update={"bits": bits})
    circuit = only(circuit, "conversion").model_copy(update={"conversion": conversion})
    weights, drawn = signed(70, 300), integers(9, 300, top=15, seed=6)
    connection = ArrayBank(load_device("ideal"), circuit).program(weights, full_scale=2.0**15)
    assert (connection.integrate(drawn) == sums(weights, drawn)).all()
    assert (by_definition(connection, drawn) == sums(weights, drawn)).all()


@pytest.mark.parametrize("silent", [0, 7])
def test_a_falling_threshold_rounds_to_the_next_level(silent):
    weights, drawn = signed(33, 60), integers(40, 60, top=15, seed=7)
    rng, code = np.random.default_rng(1), Code(4, np.int16(silent), dead_zone=1)
    scale, shift = rng.random(33) * 0.05 + 0.03, rng.random(33) + 6.3
    levels = np.floor(sums(weights, drawn) * scale + shift + 0.5).clip(0, 15).astype(np.uint8)
    assert (IDEAL.program(weights).fire(drawn, Ramp.linear(scale, shift, code)) == encode(levels, code)).all()


@pytest.mark.parametrize("device", ["ideal", "rram-ye-28nm", "rram-wan"])
def test_a_connection_of_zeros_gives_its_bias_and_the_noise_of_its_cells(device):
    """Ternary weights may all be 0. Its pairs are (off, off), as those of any other 0 are."""
    zeros, drawn = np.zeros((3, 200), np.int8), integers(5, 200, top=15)
    one, shift = np.ones(3, np.float32), np.array([-2, 0, 7], np.float32)
    ideal = ArrayBank(only(load_device(device)), IDEAL.circuit).program(zeros).sized_for(drawn)
    assert not ideal.integrate(drawn).any() and not by_definition(ideal, drawn).any()
    assert (ideal.in_steps(drawn, one / ideal.column_gains, shift) == shift).all()
    real = ArrayBank(load_device(device), load_circuit("array-128").model_copy(update={"wires": None})).program(zeros)
    beside = zeros.copy()
    beside[0, 0] = 1
    pairs = ArrayBank(load_device(device), real.circuit).program(beside).cells.target
    assert (real.column_gains == 1).all() and np.isfinite(real.integrate(drawn)).all()
    assert np.count_nonzero(real.cells.target != pairs) == 1  # the same zeros as beside a 1
    assert np.isfinite(weight_deviation(zeros, load_device(device), np.random.default_rng(0))).all()


def test_what_does_not_fit_is_refused():
    ones = np.ones((3, 200), np.int8)
    wide, ramp = IDEAL.program(ones), Ramp.linear(0.1, 7.0, Code.ttfs(4))
    with pytest.raises(InputError, match="do not fit one array"):
        wide.fire(ones[:1], ramp)
    enough = resized(load_circuit("ideal-128"), 200, 6)
    assert ArrayBank(load_device("ideal"), enough).program(ones).fire(ones[:1], ramp).shape == (1, 3)
    with pytest.raises(InputError, match="199 neurons"):
        wide.integrate(ones[:, 1:])
    with pytest.raises(InputError, match="give integers"):
        wide.integrate(np.ones((1, 200)))
    with pytest.raises(InputError, match="integer matrix"):
        IDEAL.program(np.ones((3, 4)))
    for seconds in (-1, float("inf"), float("nan")):
        with pytest.raises(InputError, match="seconds"):
            wide.at(seconds)
        with pytest.raises(InputError, match="seconds"):
            weight_deviation(ones, load_device("pcm"), np.random.default_rng(0), seconds)
    with pytest.raises(InputError, match="at most 1024"):
        resized(load_circuit("ideal-128"), 2000, 4)


def test_a_connection_is_pickled_and_shared_by_threads():
    circuit = only(load_circuit("array-128"), "saturation", "leak", "comparator")
    connection = ArrayBank(only(load_device("rram-wan"), "programming"), circuit, 3).program(signed(70, 150)).at(1e6)
    kappa = pulses(40, 150)
    expected = connection.integrate(kappa)
    assert (pickle.loads(pickle.dumps(connection)).integrate(kappa) == expected).all()
    fresh = connection.at(1e6)
    with ThreadPoolExecutor(4) as pool:
        assert all((found == expected).all() for found in pool.map(fresh.integrate, [kappa] * 8))
    for array in (connection.conductances, connection.effective, connection.column_gains):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
