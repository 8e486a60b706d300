"""Reads by events against the definition: the same physics written twice, held together here."""

import math

import numpy as np
import pytest

from matterhorn.kernels.msu_noise import add_noise
from matterhorn.kernels.msu_pulses import Pulses, list_pulses
from matterhorn.msu import ArrayBank, Correction, load_circuit, load_device, only, plain
from matterhorn.msu.events import EventReads

from .drawn import pulses, quantity, signed

WAN, CIRCUIT = load_device("rram-wan"), load_circuit("array-128")


def strong_leak(circuit):
    """Integrators that forget half of a long pulse."""
    leak = circuit.leak.model_copy(update={"time_constant": quantity(40, "ns")})
    return circuit.model_copy(update={"leak": leak})


def by_definition(connection, kappa, rng=None):
    rng = rng or np.random.default_rng()
    return plain.integrate(connection, connection.conditions, connection.placed(kappa), rng)


SILENT_PARTS = [
    (),
    ("leak",),
    ("mismatch", "comparator"),
    ("saturation",),
    ("saturation", "leak"),
    ("conversion",),
    ("wires", "leak", "mismatch", "comparator"),
    ("saturation", "leak", "mismatch", "comparator", "conversion"),
]


@pytest.mark.parametrize("parts", SILENT_PARTS, ids="-".join)
@pytest.mark.parametrize("circuit", [CIRCUIT, strong_leak(CIRCUIT)], ids=["slight leak", "strong leak"])
@pytest.mark.parametrize(("device", "top"), [("rram-wan", 1), ("rram-ye-28nm", 7)])
def test_events_and_definition_agree(device, top, circuit, parts):
    """Several arrays and slices, neurons that fill no whole block, rails that are met on the way."""
    circuit, kappa = only(circuit, *parts), pulses(30, 150)
    bank = ArrayBank(only(load_device(device), "programming"), circuit, seed=2)
    connection = bank.program(signed(70, 150, top=top), full_scale=12.0 if "saturation" in parts else 90.0)
    found, expected = connection.integrate(kappa), by_definition(connection, kappa)
    assert found.dtype == np.float32 and expected.dtype == np.float64 and found.shape == expected.shape
    scale = np.abs(expected).max()
    apart = np.abs(found - expected) > 1e-5 * scale
    assert apart.mean() <= (1e-3 if "conversion" in parts else 0)  # sums next to the edge of a count
    if parts == ("saturation",):
        assert np.abs(expected - connection.sized_for(kappa).integrate(kappa)).max() > 0.1 * scale


@pytest.mark.parametrize("rows", [150, 128])
def test_cells_without_read_noise_add_none_where_comparators_jitter(rows):
    """Rails ask how strongly each row drives its neurons' noise: every row, whether or not its cells have any."""
    circuit = only(CIRCUIT, "saturation", "jitter", "conversion")
    connection = ArrayBank(load_device("ideal"), circuit, 1).program(signed(20, rows))
    reads = EventReads.of(connection, connection.conditions)
    assert reads.by_row.shape == (1, connection.layout.tiles, 128) and not reads.by_row.any()
    kappa = pulses(30, rows)
    apart = connection.integrate(kappa) - by_definition(connection, kappa)
    assert np.abs(apart).max() < 4 * connection.conditions.per_count


@pytest.mark.parametrize("top", [120, 500])
def test_long_pulses_leak_as_defined(top):
    connection = ArrayBank(only(WAN, "programming"), only(strong_leak(CIRCUIT), "leak"), 1).program(
        signed(70, 150), kappa_top=top, kappa_unit=8
    )
    kappa = pulses(30, 150).astype(np.int16) * (top // 15)
    expected = by_definition(connection, kappa)
    assert np.abs(connection.integrate(kappa) - expected).max() < 1e-5 * np.abs(expected).max()


def test_rows_in_another_order_are_driven_as_placed():
    bank = ArrayBank(only(WAN, "programming", "stuck"), only(CIRCUIT), 3, correction=Correction(place_rows=True))
    connection, kappa = bank.program(signed(40, 200)), pulses(9, 200)
    assert connection.order is not None
    assert np.allclose(connection.integrate(kappa), by_definition(connection, kappa), atol=1e-3)


@pytest.mark.parametrize("top", [15, 2**19])
def test_a_digital_scale_rounds_to_whole_steps(top):
    """Also where sums are too large for the compiled reads."""
    bank = ArrayBank(only(WAN, "programming"), only(CIRCUIT, "saturation"), 1)
    connection = bank.program(signed(70, 150), kappa_top=top)
    rng, kappa = np.random.default_rng(2), pulses(600, 150)
    scale, shift = rng.random(70, np.float32) + np.float32(0.5), np.arange(70, dtype=np.float32) - 30
    found = connection.in_steps(kappa.reshape(20, 30, 150), scale, shift)
    assert found.dtype == np.int32 and found.shape == (20, 30, 70)
    exact = by_definition(connection, kappa) * scale + shift
    assert np.abs(found.reshape(600, 70) - exact).max() <= 0.5 + 1e-4


def test_no_tokens_are_no_answers():
    connection = ArrayBank(WAN, only(CIRCUIT, "saturation"), 1).program(signed(70, 150))
    assert connection.integrate(pulses(0, 150)).shape == by_definition(connection, pulses(0, 150)).shape == (0, 70)


NOISY_PARTS = [
    ("read",),
    ("jitter",),
    ("read", "conversion"),
    ("jitter", "conversion"),
    ("read", "jitter", "conversion", "leak", "saturation"),
]


@pytest.mark.parametrize("parts", NOISY_PARTS, ids="-".join)
def test_noise_has_the_same_spread(parts):
    """One pattern read 4000 times: mean and spread of every neuron; neurons and reads independent."""
    jitter = CIRCUIT.jitter.model_copy(update={"ramp": quantity(3, "ns"), "pulse": quantity(80, "ps")})
    circuit = only(CIRCUIT.model_copy(update={"jitter": jitter}), *parts)
    connection = ArrayBank(only(WAN, *parts), circuit, 1).program(signed(70, 150), full_scale=100.0)
    kappa, rng = np.repeat(pulses(1, 150), 4000, axis=0), np.random.default_rng(4)
    found, expected = connection.integrate(kappa, rng).astype(np.float64), by_definition(connection, kappa, rng)
    assert abs(np.log(found.std(0) / expected.std(0)).mean()) < 0.02
    assert np.abs((found.mean(0) - expected.mean(0)) / expected.std(0)).max() < 5 * math.sqrt(2 / 4000)
    reads = (found - found.mean(0)) / found.std(0)
    again = connection.integrate(kappa, rng).astype(np.float64)
    assert np.corrcoef(reads.ravel(), (again - again.mean(0)).ravel())[0, 1] < 0.02
    assert abs((reads[1:] * reads[:-1]).mean()) < 0.02
    if "jitter" not in parts or "conversion" in parts:  # jitter of a pulse reaches all its neurons
        assert abs((reads[:, 1:] * reads[:, :-1]).mean()) < 0.05


def test_gaussians_are_gaussian():
    """Moments, tails, and no two of the 64 lanes, nor neighboring reads, alike."""
    drawn = np.zeros((40000, 64), np.float32)
    add_noise(drawn, np.ones(40000, np.float32), np.ones(64, np.float32), np.float32(0), np.uint64(7), 0, 1)
    x, n = drawn.astype(np.float64), drawn.size
    assert abs(x.mean()) < 4 / math.sqrt(n)
    assert x.var() == pytest.approx(1, abs=4 * math.sqrt(2 / n))
    assert (x**3).mean() == pytest.approx(0, abs=4 * math.sqrt(15 / n))
    assert (x**4).mean() == pytest.approx(3, abs=4 * math.sqrt(96 / n))
    for edge in (0.1, 0.5, 1, 2, 3, 4):
        share = math.erfc(edge / math.sqrt(2))
        assert (np.abs(x) > edge).mean() == pytest.approx(share, abs=4 * math.sqrt(share / n))
    assert np.abs(np.corrcoef(x.T) - np.eye(64)).max() < 5 / math.sqrt(len(x))
    assert np.abs(np.corrcoef((x**2).T) - np.eye(64)).max() < 5 / math.sqrt(len(x))
    assert abs((x[1:] * x[:-1]).mean()) < 4 / math.sqrt(n)


def test_variances_are_those_asked_for():
    drawn, powers = np.zeros((30000, 64), np.float32), np.repeat(np.float32([0, 4, 9]), 10000)
    factor = np.linspace(0.5, 2, 64, dtype=np.float32)
    add_noise(drawn, powers, factor, np.float32(0.25), np.uint64(1), 0, 1)
    for i, power in enumerate((0, 4, 9)):
        found = drawn[i * 10000 : (i + 1) * 10000].astype(np.float64).var(0)
        assert found == pytest.approx(power * factor + 0.25, rel=0.08)


@pytest.mark.parametrize("kind", [np.int8, np.int16])
def test_pulses_are_listed_by_array_and_filled_up_to_strides(kind):
    kappa = pulses(5, 150, share=0.3).astype(kind)
    listed = Pulses.room_for(kappa, 2)
    filled = list_pulses(kappa, 15, 128, 106, 0.0, 0.0, np.uint64(0), listed)
    order, lengths, kept, bounds = listed
    assert filled == bounds[-1, -1] <= len(order)
    padded = np.concatenate([np.zeros((5, 106), kind), kappa], axis=1)
    for i in range(5):
        for a in range(2):
            part = slice(bounds[i, a], bounds[i, a + 1])
            assert (part.stop - part.start) % 4 == 0
            sums = np.zeros(128)
            np.add.at(sums, order[part], lengths[part])
            assert (sums == padded[i, a * 128 : (a + 1) * 128]).all()
    assert (kept[:filled] == lengths[:filled]).all()
