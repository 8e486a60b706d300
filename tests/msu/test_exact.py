"""An ideal chip computes integers, to the bit."""

import pytest
import torch

from matterhorn.coding import SILENT, Code, encode, kernel
from matterhorn.errors import InputError
from matterhorn.msu import ArrayBank, Ramp, load_circuit, load_device, only, resized

IDEAL = ArrayBank.of("ideal", "ideal-128")


def sums(weights, kappa):
    return kappa.to(torch.int64) @ weights.to(torch.int64).T


def drawn(rows, top, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-top, top + 1, (*shape, rows), generator=generator)


@pytest.mark.parametrize("top", [1, 7, 127])
@pytest.mark.parametrize(("out", "rows"), [(5, 7), (64, 128), (100, 300)])
def test_integer_weights_of_any_width(out, rows, top):
    weights = drawn(rows, top, out).to(torch.int8)
    kappa = drawn(rows, 15, 2, 3, seed=1)
    found = IDEAL.program(weights).integrate(kappa)
    assert found.shape == (2, 3, out)
    assert torch.equal(found.to(torch.int64), sums(weights, kappa))


def test_one_bit_weights_at_full_width():
    weights = (2 * drawn(3072, 0, 768).to(torch.int8) + 1) * torch.where(drawn(3072, 9, 768) > 0, 1, -1).to(torch.int8)
    kappa = drawn(3072, 120, 4, seed=2)
    found = IDEAL.program(weights, kernel_top=120, kernel_unit=8).integrate(kappa.to(torch.int16))
    assert found.dtype == torch.float32
    assert torch.equal(found.to(torch.int64), sums(weights, kappa))


def test_sums_beyond_float32_are_kept_exact():
    weights = torch.full((2, 3072), 127, dtype=torch.int8)
    weights[1, ::2] = -128
    kappa = torch.full((1, 3072), 255) - torch.arange(3072) % 7
    found = IDEAL.program(weights, kernel_top=255).integrate(kappa)
    assert found.dtype == torch.float64
    assert torch.equal(found.to(torch.int64), sums(weights, kappa))


@pytest.mark.parametrize("name", ["rram-ye-28nm", "rram-wan", "rram-milo", "pcm"])
def test_every_device_is_exact_without_its_noise(name):
    weights, kappa = drawn(200, 7, 90).to(torch.int8), drawn(200, 15, 11, seed=3)
    bank = ArrayBank(only(load_device(name)), load_circuit("ideal-128"), seed=5)
    assert torch.equal(bank.program(weights).integrate(kappa).to(torch.int64), sums(weights, kappa))


def test_binary_cells_take_one_slice_per_bit():
    connection = ArrayBank.of("rram-ye-28nm", "ideal-128").program(drawn(20, 7, 9).to(torch.int8))
    assert (connection.layout.slices, connection.layout.base) == (3, 2)
    assert ArrayBank.of("rram-ye-28nm", "ideal-128").program(drawn(20, 1, 9).to(torch.int8)).layout.slices == 1


@pytest.mark.parametrize("dead_zone", [0, 2])
def test_spikes_of_a_masked_code_give_the_masked_sum(dead_zone):
    generator = torch.Generator().manual_seed(4)
    levels = torch.randint(0, 16, (6, 96), generator=generator, dtype=torch.uint8)
    code = Code(4, torch.randint(3, 12, (96,), generator=generator), dead_zone)
    weights = drawn(96, 1, 10).to(torch.int8)
    slots = encode(levels, code)
    read = torch.where(slots == SILENT, code.silent, levels.long())
    expected = sums(weights, read) - sums(weights, code.silent.expand(6, 96))
    assert torch.equal(IDEAL.program(weights).integrate(kernel(slots, code)).to(torch.int64), expected)


def test_arrays_read_one_by_one_give_the_same_sum():
    """A converter with as many counts as there are potentials rounds nothing away."""
    circuit = load_circuit("array-128")
    bits = circuit.conversion.bits.model_copy(update={"value": 16})
    conversion = circuit.conversion.model_copy(update={"bits": bits})
    circuit = only(circuit, "conversion").model_copy(update={"conversion": conversion})
    weights, kappa = drawn(300, 1, 70).to(torch.int8), drawn(300, 15, 9, seed=6)
    found = ArrayBank(load_device("ideal"), circuit).program(weights, full_scale=2.0**15).integrate(kappa)
    assert torch.equal(found.to(torch.int64), sums(weights, kappa))


@pytest.mark.parametrize("silent", [0, 7])
def test_a_falling_threshold_rounds_to_the_next_level(silent):
    weights, kappa = drawn(60, 1, 33).to(torch.int8), drawn(60, 15, 40, seed=7)
    code = Code(4, torch.tensor(silent), dead_zone=1)
    scale, shift = torch.rand(33) * 0.05 + 0.03, torch.rand(33) + 6.3
    levels = (sums(weights, kappa) * scale + shift + 0.5).floor().clamp(0, 15).to(torch.uint8)
    assert torch.equal(IDEAL.program(weights).fire(kappa, Ramp.linear(scale, shift, code)), encode(levels, code))


def test_what_does_not_fit_is_refused():
    wide = IDEAL.program(torch.ones(3, 200, dtype=torch.int8))
    ramp = Ramp.linear(torch.tensor(0.1), torch.tensor(7.0), Code.ttfs(4))
    with pytest.raises(InputError, match="do not fit one array"):
        wide.fire(torch.ones(1, 200), ramp)
    assert ArrayBank(load_device("ideal"), resized(load_circuit("ideal-128"), 200, 6)).program(
        torch.ones(3, 200, dtype=torch.int8)
    ).fire(torch.ones(1, 200), ramp).shape == (1, 3)
    with pytest.raises(InputError, match="199 neurons"):
        wide.integrate(torch.ones(1, 199))
    with pytest.raises(InputError, match="integer matrix"):
        IDEAL.program(torch.ones(3, 4))
    with pytest.raises(InputError, match="all weights are 0"):
        IDEAL.program(torch.zeros(3, 4, dtype=torch.int8))
    with pytest.raises(InputError, match="seconds"):
        wide.at(-1)
    with pytest.raises(InputError, match="at most 1024"):
        resized(load_circuit("ideal-128"), 2000, 4)


@pytest.mark.parametrize("top", [1, 7, 127])
def test_products_in_integers_are_those_in_reals(top):
    """Whole pulses (int8) take two int8 products: exact for integers, to 16 bits for what a chip really holds."""
    weights = drawn(300, top, 100).to(torch.int8)
    weights[0, 0] = -128 if top == 127 else -top
    kappa = drawn(300, 120, 40, seed=8).to(torch.int8)
    ideal = IDEAL.program(weights, kernel_top=120)
    assert torch.equal(ideal.integrate(kappa).to(torch.int64), sums(weights, kappa))
    real = ArrayBank.of("rram-wan", "ideal-128", seed=2).program(weights, kernel_top=120)
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    narrow, wide = real.integrate(kappa, generators[0]), real.integrate(kappa.to(torch.int16), generators[1])
    assert not torch.equal(narrow, wide)
    assert float((narrow - wide).abs().max()) < 2e-4 * float(wide.abs().max())
