"""Reads by events against plain products: the same physics written twice, held together here."""

import math

import numpy as np
import pytest
import torch

from matterhorn.msu import ArrayBank, Correction, load_circuit, load_device, only
from matterhorn.msu.kernels.events import count_events, list_events, room
from matterhorn.msu.kernels.normal import add_noise
from matterhorn.quantity import Quantity

WAN, CIRCUIT = load_device("rram-wan"), load_circuit("array-128")


def weights(out, rows, top=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    signs = 2 * torch.randint(2, (out, rows), generator=generator) - 1
    return (signs * torch.randint(1, top + 1, (out, rows), generator=generator)).to(torch.int8)


def pulses(count, rows, share=0.2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    kappa = torch.randint(-15, 16, (count, rows), generator=generator)
    return kappa.masked_fill(torch.rand(count, rows, generator=generator) > share, 0).to(torch.int8)


def strong_leak(circuit):
    """Integrators that forget half of a long pulse."""
    constant = Quantity(value=40, unit="ns", source="a test")
    return circuit.model_copy(update={"leak": circuit.leak.model_copy(update={"time_constant": constant})})


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
def test_events_and_plain_products_agree(device, top, circuit, parts):
    """Several arrays and slices, neurons that fill no whole block, rails that are met on the way."""
    circuit, kappa = only(circuit, *parts), pulses(30, 150)
    bank = ArrayBank(only(load_device(device), "programming"), circuit, seed=2)
    connection = bank.program(weights(70, 150, top), full_scale=12.0 if "saturation" in parts else 90.0)
    found, expected = connection.integrate(kappa), connection.integrate(kappa.long())
    assert found.dtype == expected.dtype and found.shape == expected.shape
    scale = float(expected.abs().max())
    apart = (found - expected).abs() > 1e-5 * scale
    assert apart.double().mean() <= (1e-3 if "conversion" in parts else 0)  # sums next to the edge of a count
    if parts == ("saturation",):
        assert float((expected - connection.sized_for(kappa).integrate(kappa)).abs().max()) > 0.1 * scale


def test_rows_in_another_order_are_driven_as_placed():
    bank = ArrayBank(only(WAN, "programming", "stuck"), only(CIRCUIT), 3, correction=Correction(place_rows=True))
    connection, kappa = bank.program(weights(40, 200)), pulses(9, 200)
    assert connection.order is not None
    assert torch.allclose(connection.integrate(kappa), connection.integrate(kappa.long()), atol=1e-3)


def test_a_digital_scale_rounds_to_whole_steps():
    connection = ArrayBank(only(WAN, "programming"), only(CIRCUIT, "saturation"), 1).program(weights(70, 150))
    kappa, scale, shift = pulses(600, 150), torch.rand(70) + 0.5, torch.arange(70.0) - 30
    found = connection.in_steps(kappa.view(20, 30, 150), scale, shift)
    assert found.dtype == torch.int32 and found.shape == (20, 30, 70)
    exact = connection.integrate(kappa.long()).double() * scale + shift
    assert (found.view(600, 70) - exact).abs().max() <= 0.5 + 1e-4
    wide = connection.in_steps(kappa.long(), scale, shift)
    assert (found.view(600, 70) != wide).double().mean() < 1e-3


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
    late = Quantity(value=3, unit="ns", source="a test: three counts")
    jitter = CIRCUIT.jitter.model_copy(update={"ramp": late, "pulse": Quantity(value=80, unit="ps", source="a test")})
    circuit = only(CIRCUIT.model_copy(update={"jitter": jitter}), *parts)
    connection = ArrayBank(only(WAN, *parts), circuit, 1).program(weights(70, 150), full_scale=100.0)
    kappa, generator = pulses(1, 150).expand(4000, 150), torch.Generator().manual_seed(4)
    found, expected = (connection.integrate(k, generator).double() for k in (kappa, kappa.long()))
    assert ((found.std(0) / expected.std(0)).log().mean()).abs() < 0.02
    assert ((found.mean(0) - expected.mean(0)) / expected.std(0)).abs().max() < 5 * math.sqrt(2 / 4000)
    again = connection.integrate(kappa, generator).double()
    assert torch.corrcoef(torch.stack([found.flatten(), again.flatten()]) - found.mean(0).repeat(4000))[0, 1] < 0.02
    reads = (found - found.mean(0)) / found.std(0)
    assert (reads[1:] * reads[:-1]).mean().abs() < 0.02
    if "jitter" not in parts or "conversion" in parts:  # jitter of a pulse reaches all its neurons
        assert (reads[:, 1:] * reads[:, :-1]).mean().abs() < 0.05


def test_gaussians_are_gaussian():
    """Moments, tails, and no two of the 64 lanes, nor neighbouring reads, alike."""
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


def test_events_are_listed_by_array_and_filled_up_to_strides():
    kappa = pulses(5, 150, share=0.3).numpy()
    assert count_events(kappa) == (kappa != 0).sum()
    places = room(count_events(kappa), 5, 2)
    order, lengths, kept = np.empty(places, np.uint16), np.empty(places, np.float32), np.empty(places, np.float32)
    bounds = np.empty((5, 3), np.int64)
    list_events(kappa, 128, 106, 0.0, 0.0, np.uint64(0), order, lengths, kept, bounds)
    assert bounds[-1, -1] <= places
    padded = np.concatenate([np.zeros((5, 106), np.int8), kappa], axis=1)
    for i in range(5):
        for a in range(2):
            part = slice(bounds[i, a], bounds[i, a + 1])
            assert (part.stop - part.start) % 4 == 0
            sums = np.zeros(128)
            np.add.at(sums, order[part], lengths[part])
            assert (sums == padded[i, a * 128 : (a + 1) * 128]).all()
    assert (kept[: bounds[-1, -1]] == lengths[: bounds[-1, -1]]).all()
