"""What a chip draws once, and what every read draws anew."""

import math

import pytest
import torch

from matterhorn.errors import InputError
from matterhorn.msu import PARTS, ArrayBank, deviating, load_circuit, load_device, only
from matterhorn.msu.read_noise import read_spread

CIRCUIT = load_circuit("ideal-128")


def matrix(out, rows, top=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, 2 * top + 1, (out, rows), generator=generator) - top
    return (torch.where(drawn == 0, 1, drawn) if top == 1 else drawn).to(torch.int8)


def pulses(count, rows, seed=1):
    generator = torch.Generator().manual_seed(seed)
    kappa = torch.randint(-15, 16, (count, rows), generator=generator)
    return kappa.masked_fill(torch.rand(count, rows, generator=generator) < 0.5, 0)


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
    weights, kappa = matrix(384, 384, top), pulses(64, 384)
    exact = kappa.double() @ weights.double().T
    generator = torch.Generator().manual_seed(9)

    def cell(target):
        written = target + spread(target) * torch.randn(target.shape, generator=generator, dtype=torch.float64)
        return written.clamp(min=0)

    unit = (high - low) / top
    plus, minus = (cell(low + unit * (sign * weights.double()).clamp(min=0)) for sign in (1, -1))
    published = kappa.double() @ ((plus - minus) / unit).T - exact
    bank = ArrayBank(only(load_device(name), "programming"), CIRCUIT, seed=3)
    found = bank.program(weights).integrate(kappa) - exact
    assert found.std().item() == pytest.approx(published.std().item(), rel=0.05)


def test_a_seed_is_a_chip():
    device, weights, kappa = only(load_device("rram-wan"), "programming", "stuck"), matrix(40, 200), pulses(5, 200)
    first, again, other = (ArrayBank(device, CIRCUIT, seed) for seed in (1, 1, 2))
    a, b = first.program(weights, name="a"), first.program(weights, name="b")
    b_first = again.program(weights, name="b")
    assert torch.equal(b.integrate(kappa), b_first.integrate(kappa))
    assert torch.equal(a.integrate(kappa), a.integrate(kappa))
    assert not torch.equal(a.integrate(kappa), b.integrate(kappa))
    assert not torch.equal(a.integrate(kappa), other.program(weights, name="a").integrate(kappa))


def test_switching_one_part_off_leaves_the_others_as_drawn():
    device = load_device("rram-wan")
    weights = matrix(40, 100)
    both = ArrayBank(only(device, "programming", "stuck"), CIRCUIT, 1).program(weights).cells.written
    alone = ArrayBank(only(device, "programming"), CIRCUIT, 1).program(weights).cells.written
    assert (both != alone).double().mean() < 0.01
    assert not torch.equal(both, alone)


def test_read_noise_is_drawn_anew_from_the_generator_given():
    weights, kappa = matrix(64, 256), pulses(7, 256)
    connection = ArrayBank(only(load_device("rram-wan"), "read"), CIRCUIT).program(weights)
    generator = torch.Generator().manual_seed(1)
    first, second = connection.integrate(kappa, generator), connection.integrate(kappa, generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, connection.integrate(kappa, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(("name", "top"), [("rram-wan", 1), ("rram-wan", 7), ("pcm", 1), ("pcm", 7)])
def test_read_noise_has_the_spread_of_cells_that_each_fluctuate(name, top):
    weights, kappa = matrix(100, 300, top), pulses(400, 300)
    device = only(load_device(name), "read")
    connection = ArrayBank(device, CIRCUIT).program(weights).at(3600)
    found = connection.integrate(kappa) - kappa.double() @ weights.double().T
    unit = (device.high - device.low) / top
    held = [device.low + unit * (sign * weights.double()).clamp(min=0) for sign in (1, -1)]
    variance = sum((cell_read_spread(device, g, 3600) / unit) ** 2 for g in held)
    expected = (kappa.double() ** 2 @ variance.T).sqrt()
    assert (found / expected).std().item() == pytest.approx(1, rel=0.03)
    assert (found / expected).std(0).max() < 1.25


def cell_read_spread(device, g, seconds):
    """Siemens; for phase-change memory min(0.0088/x^0.65, 0.2) · sqrt(ln((t + t_r)/(2 t_r))), t_r = 250 ns."""
    if device.name == "rram-wan":
        return 0.01 * g
    q = (0.0088 / (g / 25e-6).clamp(min=1e-9) ** 0.65).clamp(max=0.2)
    return g * q * math.sqrt(math.log((seconds + 250e-9) / (2 * 250e-9)))


@pytest.mark.parametrize("part", [None, "saturation"])
def test_read_noise_counts_with_the_place_value_of_its_digit(part):
    """Binary cells in three slices; merged into one product, and read out array by array."""
    weights, kappa = matrix(60, 200, 7), pulses(400, 200)
    device = only(load_device("rram-ye-28nm"), "read")
    circuit = only(load_circuit("array-128"), part) if part else CIRCUIT
    found = ArrayBank(device, circuit).program(weights).integrate(kappa) - kappa.double() @ weights.double().T
    per_pair = 0.01 * math.hypot(100, 10) / 90
    digit_noise = [(weights.abs() // 2**s % 2).double() for s in range(3)]
    off = 0.01 * math.hypot(10, 10) / 90
    variance = sum(4**s * (d * per_pair**2 + (1 - d) * off**2) for s, d in enumerate(digit_noise))
    expected = (kappa.double() ** 2 @ variance.T).sqrt()
    assert (found / expected).std().item() == pytest.approx(1, rel=0.03)


def test_white_and_flicker_noise_add_as_variances():
    device = load_device("pcm")
    white = device.read.relative.model_copy(update={"value": 5.0})
    both = device.model_copy(update={"read": device.read.model_copy(update={"relative": white})})
    g = torch.tensor([5e-6, 25e-6], dtype=torch.float64)
    flicker = read_spread(g, device, 100.0)
    assert torch.allclose(flicker * g, cell_read_spread(device, g, 100.0))
    assert torch.allclose(read_spread(g, both, 100.0), (flicker**2 + 0.05**2).sqrt())


def test_a_small_capacitor_amplifies_noise_as_it_does_the_signal():
    circuit = load_circuit("array-128")
    wild = circuit.mismatch.model_copy(update={"spread": circuit.mismatch.spread.model_copy(update={"value": 20.0})})
    circuit = only(circuit.model_copy(update={"mismatch": wild}), "mismatch")
    connection = ArrayBank(only(load_device("rram-wan"), "read"), circuit).program(matrix(20, 100))
    kappa = pulses(1, 100).expand(4000, 100)
    found = connection.integrate(kappa)
    gain = connection.neurons.gain[0, 0]
    assert torch.corrcoef(torch.stack([found.std(0).double(), gain]))[0, 1] > 0.99
    assert (found.std(0) / gain).std() / (found.std(0) / gain).mean() < 0.04


def test_silent_rows_add_no_noise():
    connection = ArrayBank(only(load_device("rram-wan"), "read"), CIRCUIT).program(matrix(10, 20))
    assert not connection.integrate(torch.zeros(3, 20)).any()


def test_drift_is_a_power_of_time():
    device = only(load_device("rram-wan"), "drift")
    connection = ArrayBank(device, CIRCUIT).program(matrix(30, 50))
    year = 365 * 86400
    assert torch.equal(connection.at(0.5).conductances, connection.conductances)
    assert torch.allclose(connection.at(year).conductances, connection.conductances * year**-0.03)
    assert torch.allclose(connection.at(year).effective, connection.effective * year**-0.03)


def test_drift_of_phase_change_memory_depends_on_the_conductance():
    connection = ArrayBank(only(load_device("pcm"), "drift"), CIRCUIT).program(matrix(300, 300, 7))
    share, exponent = connection.cells.target / 25e-6, connection.cells.exponent
    high, low = exponent[share > 0.99], exponent[(share > 0.1) & (share < 0.2)]
    assert high.mean().item() == pytest.approx(0.049, rel=0.03)
    assert high.std().item() == pytest.approx(0.008, rel=0.1)
    assert low.mean().item() == pytest.approx(-0.0155 * math.log(1 / 7) + 0.0244, rel=0.03)
    assert low.std().item() == pytest.approx(-0.0125 * math.log(1 / 7) - 0.0059, rel=0.1)


def test_stuck_cells_come_in_the_shares_given():
    device = only(load_device("rram-wan"), "stuck", "drift")
    stuck = device.stuck.model_copy(update={"high": device.stuck.high.model_copy(update={"value": 3.0})})
    device = device.model_copy(update={"stuck": stuck})
    cells = ArrayBank(device, CIRCUIT).program(matrix(512, 512)).cells
    formed = cells.target > 0
    high = (cells.written == device.high) & (cells.target < device.high)
    assert high.sum().item() / formed.sum().item() == pytest.approx(0.015, rel=0.1)
    assert not cells.exponent[high].any()
    low = (cells.written == device.low) & (cells.target > device.low)
    assert low.sum().item() / formed.sum().item() == pytest.approx(0.0005, rel=0.2)
    assert not cells.exponent[low].any()


def test_unformed_cells_stay_at_zero():
    cells = ArrayBank.of("rram-wan", "ideal-128").program(matrix(10, 100)).cells
    assert not cells.written[..., :28, :].any()
    assert not cells.written[..., 20:].any()
    assert cells.written[..., 28:, :20].any()


def test_deviation_lands_in_the_product():
    weights, kappa = matrix(200, 256), pulses(50, 256)
    device = deviating(only(load_device("rram-wan")), 0.12)
    error = ArrayBank(device, CIRCUIT).program(weights).integrate(kappa) - kappa.double() @ weights.double().T
    unit = device.high - device.low
    per_weight = 0.12 * math.hypot(device.high, device.low) / unit
    expected = per_weight * (kappa.double() ** 2).sum(1).mean().sqrt()
    assert error.std().item() == pytest.approx(expected.item(), rel=0.05)


FLOATING = ("nonlinearity",)


@pytest.mark.parametrize("part", [part for part in PARTS if part not in FLOATING])
def test_each_part_can_be_switched_on_alone(part):
    """One part on: the answer leaves the ideal one; none on: it does not."""
    weights, kappa = matrix(60, 100), pulses(6, 100)
    exact = kappa.double() @ weights.double().T
    device, circuit = load_device("pcm" if part == "drift" else "rram-wan"), load_circuit("array-128")
    alone = ArrayBank(only(device, part), only(circuit, part), 1).program(
        weights, full_scale=float(exact.abs().max()) / 8
    )
    none = ArrayBank(only(device), only(circuit), 1).program(weights)
    assert torch.equal(none.integrate(kappa).double(), exact)
    assert not torch.allclose(alone.at(1e6).integrate(kappa).double(), exact, rtol=1e-6)


def test_unknown_parts_are_refused():
    with pytest.raises(InputError, match="programming"):
        only(load_device("pcm"), "programing")
