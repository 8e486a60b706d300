"""What a chip draws once, and what every read draws anew."""

import math

import numpy as np
import pytest

from matterhorn.errors import InputError
from matterhorn.msu import PARTS, ArrayBank, deviating, load_circuit, load_device, only, plain

from .drawn import integers, pulses, quantity, signed

CIRCUIT = load_circuit("ideal-128")
READERS = ("compiled", "definition")


def matrix(out, rows, top=1):
    return signed(out, rows) if top == 1 else integers(out, rows, top=top).astype(np.int8)


def read(connection, kappa, how="compiled", seed=0):
    rng = np.random.default_rng(seed)
    if how == "compiled":
        return connection.integrate(kappa, rng)
    return plain.integrate(connection, connection.conditions, kappa, rng)


def exact(weights, kappa):
    return kappa.astype(np.float64) @ weights.T.astype(np.float64)


PUBLISHED = {  # spread in µS at conductance g in µS (aihwkit's polynomials), and the range in µS
    "pcm": (lambda g: 0.26348 + 1.965 * (g / 25) - 1.1731 * (g / 25) ** 2, 0, 25),
    "rram-wan-low": (
        lambda g: 0.348 + 16.03 * (g / 40) - 43.853 * (g / 40) ** 2 + 45.393 * (g / 40) ** 3 - 16.815 * (g / 40) ** 4,
        1,
        40,
    ),
    "rram-wan": (lambda g: 1.053 + 0.2374 * g - 1.167e-2 * g**2 + 1.536e-4 * g**3, 1, 40),
}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("top", [1, 7])
def test_spread_of_a_product_is_that_of_the_published_device(name, top):
    """384 x 384, the published device sampled here by its formula: within 5 %."""
    spread, low, high = PUBLISHED[name]
    weights, kappa, rng = matrix(384, 384, top), pulses(64, 384, 0.5), np.random.default_rng(9)

    def cell(target):
        return np.maximum(target + spread(target) * rng.standard_normal(target.shape), 0)

    unit = (high - low) / top
    plus, minus = (cell(low + unit * np.maximum(sign * weights.astype(float), 0)) for sign in (1, -1))
    published = exact((plus - minus) / unit - weights, kappa)
    bank = ArrayBank(only(load_device(name), "programming"), CIRCUIT, seed=3)
    found = bank.program(weights).integrate(kappa) - exact(weights, kappa)
    assert found.std() == pytest.approx(published.std(), rel=0.05)


def test_a_seed_is_a_chip():
    device, weights, kappa = only(load_device("rram-wan"), "programming", "stuck"), matrix(40, 200), pulses(5, 200)
    first, again, other = (ArrayBank(device, CIRCUIT, seed) for seed in (1, 1, 2))
    a, b = first.program(weights, name="a"), first.program(weights, name="b")
    b_first = again.program(weights, name="b")
    assert np.array_equal(b.integrate(kappa), b_first.integrate(kappa))
    assert np.array_equal(a.integrate(kappa), a.integrate(kappa))
    assert not np.array_equal(a.integrate(kappa), b.integrate(kappa))
    assert not np.array_equal(a.integrate(kappa), other.program(weights, name="a").integrate(kappa))


def test_switching_one_part_off_leaves_the_others_as_drawn():
    device, weights, circuit = load_device("rram-wan"), matrix(40, 100), load_circuit("array-128")

    def drawn(*parts):
        physics = ArrayBank(only(device, *parts), only(circuit, *parts), 1).program(weights)
        return physics.cells.written, physics.neurons

    both, alone = drawn("programming", "stuck")[0], drawn("programming")[0]
    assert (both != alone).mean() < 0.01 and not np.array_equal(both, alone)
    neurons = [drawn(*parts)[1] for parts in (("mismatch", "comparator"), ("mismatch",), ("comparator", "programming"))]
    assert np.array_equal(neurons[0].gain, neurons[1].gain) and not neurons[1].offset.any()
    assert np.array_equal(neurons[0].offset, neurons[2].offset) and (neurons[2].gain == 1).all()


def test_parts_are_drawn_independently():
    """Writing, drift and neurons share a seed, but no random numbers."""
    device, weights = only(load_device("pcm"), "programming", "drift"), signed(256, 256)
    physics = ArrayBank(device, only(load_circuit("array-128"), "mismatch", "comparator"), 1).program(weights)
    full = physics.cells.target > 20e-6
    wrote, ages = physics.cells.written[full], physics.cells.exponent[full]
    assert abs(np.corrcoef(wrote, ages)[0, 1]) < 4 / math.sqrt(full.sum())
    neurons = physics.neurons
    assert abs(np.corrcoef(neurons.gain.ravel(), neurons.offset.ravel())[0, 1]) < 4 / math.sqrt(neurons.gain.size)


def test_read_noise_is_drawn_anew_from_the_generator_given():
    weights, kappa = matrix(64, 256), pulses(7, 256)
    connection = ArrayBank(only(load_device("rram-wan"), "read"), CIRCUIT).program(weights)
    rng = np.random.default_rng(1)
    first, second = connection.integrate(kappa, rng), connection.integrate(kappa, rng)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, connection.integrate(kappa, np.random.default_rng(1)))
    assert not np.array_equal(connection.integrate(kappa), connection.integrate(kappa))


def cell_variance(device, weights, seconds):
    """Variance of one read of each pair, in weights squared, by the formulas of the devices."""
    unit = (device.high - device.low) / np.abs(weights.astype(int)).max()
    held = [device.low + unit * np.maximum(sign * weights.astype(float), 0) for sign in (1, -1)]
    return sum((cell_read_spread(device, g, seconds) / unit) ** 2 for g in held)


def cell_read_spread(device, g, seconds):
    """Siemens; for phase-change memory min(0.0088/x^0.65, 0.2) · sqrt(ln((t + t_r)/(2 t_r))), t_r = 250 ns."""
    if device.name == "rram-wan":
        return 0.01 * g
    q = np.minimum(0.0088 / np.maximum(g / 25e-6, 1e-9) ** 0.65, 0.2)
    return g * q * math.sqrt(math.log((seconds + 250e-9) / (2 * 250e-9)))


@pytest.mark.parametrize("how", READERS)
@pytest.mark.parametrize(("name", "top"), [("rram-wan", 1), ("rram-wan", 7), ("pcm", 1), ("pcm", 7)])
def test_read_noise_has_the_spread_of_cells_that_each_fluctuate(name, top, how):
    weights, kappa, device = matrix(100, 300, top), pulses(400, 300, 0.5), only(load_device(name), "read")
    connection = ArrayBank(device, CIRCUIT).program(weights).at(3600)
    expected = np.sqrt(kappa.astype(float) ** 2 @ cell_variance(device, weights, 3600).T)
    share = (read(connection, kappa, how) - exact(weights, kappa)) / expected
    assert share.std() == pytest.approx(1, rel=0.03 if how == "compiled" else 0.015)
    assert share.std(0).max() < 1.25


@pytest.mark.parametrize("how", READERS)
@pytest.mark.parametrize("seconds", [0, 31536000])
def test_phase_change_memory_that_drifts_fluctuates_as_published(seconds, how):
    """aihwkit's PCMLikeNoiseModel by its own names; t_inference counts from the first read, t_0 after programming."""
    weights, kappa, device = matrix(60, 200, 7), pulses(600, 200, 0.5), only(load_device("pcm"), "read", "drift")
    connection = ArrayBank(device, CIRCUIT, 2).program(weights).at(seconds)
    g_prog, nu = (connection.cells.target.astype(float), connection.cells.exponent.astype(float))
    t_0, t_read, g_max = 20.0, 250e-9, 25e-6
    t = max(seconds - t_0, 0.0) + t_0
    g_drift = g_prog * (t / t_0) ** -nu
    q_s = np.minimum(0.0088 / np.maximum((g_prog / g_max) ** 0.65, 1e-3), 0.2)
    noise = g_drift * q_s * math.sqrt(math.log((t + t_read) / (2 * t_read)))

    def pairs(cells):
        plus, minus = (np.concatenate(list(cells[0].swapaxes(1, 2)))[:, :, side::2] for side in (0, 1))
        return plus.reshape(256, -1)[56:, :60], minus.reshape(256, -1)[56:, :60]

    unit = g_max / 7
    variance = sum(side**2 for side in pairs(noise)) / unit**2
    drifted = np.subtract(*pairs(g_drift)) / unit
    share = (read(connection, kappa, how) - kappa @ drifted) / np.sqrt(kappa.astype(float) ** 2 @ variance)
    assert share.std() == pytest.approx(1, rel=0.03 if how == "compiled" else 0.015)
    assert share.mean() == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(("seconds", "spread"), [(0, 0.0368), (20, 0.0368), (31536000, 0.0496)])
def test_noise_of_a_full_cell_of_phase_change_memory(seconds, spread):
    assert load_device("pcm").read.spread(np.array([1.0]), seconds)[0] == pytest.approx(spread, abs=5e-5)


@pytest.mark.parametrize("how", READERS)
@pytest.mark.parametrize("part", [None, "saturation"])
def test_read_noise_counts_with_the_place_value_of_its_digit(part, how):
    """Binary cells in three slices; merged into one product, and read out array by array."""
    weights, kappa = matrix(60, 200, 7), pulses(400, 200, 0.5)
    circuit = only(load_circuit("array-128"), part) if part else CIRCUIT
    connection = ArrayBank(only(load_device("rram-ye-28nm"), "read"), circuit).program(weights)
    per_pair, off = 0.01 * math.hypot(100, 10) / 90, 0.01 * math.hypot(10, 10) / 90
    digit_noise = [np.abs(weights) // 2**s % 2 for s in range(3)]
    variance = sum(4**s * (d * per_pair**2 + (1 - d) * off**2) for s, d in enumerate(digit_noise))
    expected = np.sqrt(kappa.astype(float) ** 2 @ variance.T)
    share = (read(connection, kappa, how) - exact(weights, kappa)) / expected
    assert share.std() == pytest.approx(1, rel=0.03)


def test_white_and_flicker_noise_add_as_variances():
    device = load_device("pcm")
    white = device.read.model_copy(update={"relative": quantity(5, "%")})
    share = np.array([0.2, 1.0])
    flicker = device.read.spread(share, 100.0)
    assert np.allclose(flicker * share * 25e-6, cell_read_spread(device, share * 25e-6, 100.0))
    assert np.allclose(white.spread(share, 100.0), np.sqrt(flicker**2 + 0.05**2))


@pytest.mark.parametrize("how", READERS)
def test_a_small_capacitor_amplifies_noise_as_it_does_the_signal(how):
    circuit = load_circuit("array-128")
    wild = circuit.mismatch.model_copy(update={"spread": quantity(20, "%")})
    circuit = only(circuit.model_copy(update={"mismatch": wild}), "mismatch")
    connection = ArrayBank(only(load_device("rram-wan"), "read"), circuit).program(matrix(20, 100))
    spread = read(connection, np.repeat(pulses(1, 100), 4000, axis=0), how).std(0)
    gain = connection.neurons.gain[0, 0]
    assert np.corrcoef(spread, gain)[0, 1] > 0.99
    assert (spread / gain).std() / (spread / gain).mean() < 0.04


@pytest.mark.parametrize("how", READERS)
def test_silent_rows_add_no_noise(how):
    connection = ArrayBank(only(load_device("rram-wan"), "read"), CIRCUIT).program(matrix(10, 20))
    assert not read(connection, np.zeros((3, 20), np.int8), how).any()


def test_drift_is_a_power_of_time():
    connection = ArrayBank(only(load_device("rram-wan"), "drift"), CIRCUIT).program(matrix(30, 50))
    year = 365 * 86400
    assert np.array_equal(connection.at(0.5).conductances, connection.conductances)
    assert np.allclose(connection.at(year).conductances, connection.conductances * year**-0.03, rtol=1e-5, atol=0)
    assert np.allclose(connection.at(year).effective, connection.effective * year**-0.03, atol=1e-6)


def test_drift_of_phase_change_memory_depends_on_the_conductance():
    cells = ArrayBank(only(load_device("pcm"), "drift"), CIRCUIT).program(matrix(300, 300, 7)).cells
    share, exponent = cells.target / 25e-6, cells.exponent
    high, low = exponent[share > 0.99], exponent[(share > 0.1) & (share < 0.2)]
    assert high.mean() == pytest.approx(0.049, rel=0.03)
    assert high.std() == pytest.approx(0.008, rel=0.1)
    assert low.mean() == pytest.approx(-0.0155 * math.log(1 / 7) + 0.0244, rel=0.03)
    assert low.std() == pytest.approx(-0.0125 * math.log(1 / 7) - 0.0059, rel=0.1)


def test_stuck_cells_come_in_the_shares_given():
    device = only(load_device("rram-wan"), "stuck", "drift")
    stuck = device.stuck.model_copy(update={"high": quantity(3, "%")})
    cells = ArrayBank(device.model_copy(update={"stuck": stuck}), CIRCUIT).program(matrix(512, 512)).cells
    formed = (cells.target > 0).sum()
    low, high = np.float32(device.low), np.float32(device.high)
    at_high = (cells.written == high) & (cells.target < high)
    assert at_high.sum() / formed == pytest.approx(0.015, rel=0.1)
    assert not cells.exponent[at_high].any()
    at_low = (cells.written == low) & (cells.target > low)
    assert at_low.sum() / formed == pytest.approx(0.0005, rel=0.2)
    assert not cells.exponent[at_low].any()


def test_unformed_cells_stay_at_zero():
    cells = ArrayBank.of("rram-wan", "ideal-128").program(matrix(10, 100)).cells
    assert not cells.written[..., :28, :].any()
    assert not cells.written[..., 20:].any()
    assert cells.written[..., 28:, :20].any()


def test_deviation_lands_in_the_product():
    weights, kappa = matrix(200, 256), pulses(50, 256, 0.5)
    device = deviating(only(load_device("rram-wan")), 0.12)
    error = ArrayBank(device, CIRCUIT).program(weights).integrate(kappa) - exact(weights, kappa)
    per_weight = 0.12 * math.hypot(device.high, device.low) / (device.high - device.low)
    expected = per_weight * math.sqrt((kappa.astype(float) ** 2).sum(1).mean())
    assert error.std() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("part", [part for part in PARTS if part != "nonlinearity"])
def test_each_part_can_be_switched_on_alone(part):
    """One part on: the answer leaves the ideal one; none on: it does not."""
    weights, kappa = matrix(60, 100), pulses(6, 100, 0.5)
    device, circuit = load_device("pcm" if part == "drift" else "rram-wan"), load_circuit("array-128")
    full_scale = np.abs(exact(weights, kappa)).max() / 8
    alone = ArrayBank(only(device, part), only(circuit, part), 1).program(weights, full_scale=full_scale)
    none = ArrayBank(only(device), only(circuit), 1).program(weights)
    for how in READERS:
        assert np.array_equal(read(none, kappa, how), exact(weights, kappa))
        assert not np.allclose(read(alone.at(1e6), kappa, how), exact(weights, kappa), rtol=1e-6)


def test_unknown_parts_are_refused():
    with pytest.raises(InputError, match="programming"):
        only(load_device("pcm"), "programing")
