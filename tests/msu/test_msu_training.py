"""What training with noise needs: deviations of weights, and gradients through a chip."""

import pytest
import torch

from matterhorn.msu import ArrayBank, load_circuit, load_device, only, weight_deviation


def matrix(top):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-top, top + 1, (256, 256), generator=generator).to(torch.int8)


@pytest.mark.parametrize("top", [1, 7])
@pytest.mark.parametrize("name", ["rram-wan", "pcm", "rram-ye-28nm"])
def test_deviations_are_those_of_a_chip(name, top):
    device, weights = only(load_device(name), "programming", "stuck", "drift"), matrix(top)
    connection = ArrayBank(device, load_circuit("ideal-128"), 1).program(weights).at(1e5)
    effective = sum(connection.layout.base**s * slice_ for s, slice_ in enumerate(connection.effective))
    chip = effective.flatten(0, 1).T - weights
    drawn = weight_deviation(weights, device, torch.Generator().manual_seed(2), seconds=1e5)
    for weight in (-top, 0, top):
        here = weights == weight
        assert drawn[here].mean().item() == pytest.approx(chip[here].mean().item(), abs=0.05 * top)
        assert drawn[here].std().item() == pytest.approx(chip[here].std().item(), rel=0.1)


def test_an_ideal_device_deviates_by_nothing():
    assert not weight_deviation(matrix(7), only(load_device("rram-ye-28nm")), torch.Generator()).any()


def test_every_pass_draws_a_new_chip():
    generator, device = torch.Generator().manual_seed(3), load_device("rram-wan")
    assert not torch.equal(
        weight_deviation(matrix(1), device, generator), weight_deviation(matrix(1), device, generator)
    )


@pytest.mark.parametrize("parts", [("wires",), ("saturation", "wires")])
def test_gradients_pass_through_a_chip(parts):
    circuit = only(load_circuit("array-128"), *parts)
    connection = ArrayBank(load_device("rram-wan"), circuit, 1).program(matrix(1)[:20, :100].sign() | 1)
    kernel = torch.randint(-15, 16, (4, 100)).float().requires_grad_()
    with torch.no_grad():
        kernel[0] = 0
    connection.integrate(kernel).sum().backward()
    assert torch.allclose(kernel.grad, connection.effective[0, 0, -100:].sum(1).expand(4, 100), rtol=1e-4, atol=1e-4)
