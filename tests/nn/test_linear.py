from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from matterhorn.nn import QuantizedLinear, quantize_weights
from matterhorn.nn.linear import ExactProduct, FixedLinear, round_to

KINDS = {"int1": {-1, 1}, "ternary": {-1, 0, 1}, "int2": {-2, -1, 0, 1}, "int4": set(range(-8, 8))}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some_levels(rows: int, columns: int) -> torch.Tensor:
    return torch.randint(-8, 8, (rows, columns), generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_take_the_values_of_their_kind(kind):
    integers, scale = quantize_weights(drawn(16, 640) ** 3 + 0.1, kind)
    assert set(integers.unique().tolist()) == KINDS[kind]
    assert bool((scale > 0).all())


def test_one_bit_scale_minimizes_the_error():
    weight = drawn(3, 200, seed=1)
    centered = weight - weight.mean(1, keepdim=True)
    integers, scale = quantize_weights(weight, "int1")
    best = (centered - scale[:, None] * integers).square().sum(1)
    for factor in (0.9, 1.1):
        assert bool(((centered - factor * scale[:, None] * integers).square().sum(1) > best).all())


def test_ternary_weights_are_zero_below_seven_tenths_of_the_mean():
    weight = torch.tensor([[0.2, -0.7, 0.8, -2.5]])  # mean magnitude 1.05, 0.7 of it 0.735
    integers, scale = quantize_weights(weight, "ternary")
    assert integers.tolist() == [[0, 0, 1, -1]] and scale.tolist() == [pytest.approx(1.65)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_can_be_filled_with_integers_and_scales(kind):
    linear, scale = QuantizedLinear(640, 16, kind), drawn(16).abs() + 0.1
    integers = quantize_weights(drawn(16, 640), kind)[0]
    linear.fill(integers, scale)
    assert torch.equal(linear.integers()[0], integers)
    assert torch.allclose(linear.integers()[1], scale, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_gradient_is_that_of_the_scaled_weight(kind):
    linear, levels = QuantizedLinear(8, 4, kind).train(), some_levels(5, 8)
    linear(levels, torch.tensor(0.5)).sum().backward()
    assert torch.allclose(linear.weight.grad, 0.5 * levels.sum(0).expand(4, 8), atol=1e-5)


def test_training_and_evaluation_agree():
    linear, levels = QuantizedLinear(8, 4, "int1"), some_levels(5, 8)
    assert torch.equal(linear.train()(levels, torch.tensor(0.5)), linear.eval()(levels, torch.tensor(0.5)))


def test_what_cells_stray_by_counts_in_training_only():
    linear, levels = QuantizedLinear(8, 4, "int1"), some_levels(5, 8)
    plain = linear.train()(levels, torch.tensor(1.0))
    linear.deviation = torch.full((4, 8), 0.25)
    strayed = linear(levels, torch.tensor(1.0))
    scale = linear.integers()[1]
    assert torch.allclose(strayed - plain, 0.25 * levels.sum(1, keepdim=True) * scale, atol=1e-5)
    assert torch.equal(linear.eval()(levels, torch.tensor(1.0)), plain)


def test_a_fixed_connection_gives_what_it_was_made_of():
    linear, levels = QuantizedLinear(8, 4, "int1").eval(), some_levels(5, 8)
    linear.bias.data.copy_(drawn(4))
    integers, scale = linear.integers()
    fixed = FixedLinear(integers.to(torch.int8), (scale * 0.5).detach(), linear.bias.detach())
    assert torch.equal(fixed(levels, torch.tensor(9.0)), linear(levels, torch.tensor(0.5)))


@pytest.mark.parametrize("kind", ["int1", "ternary", "int4"])
def test_exact_products_are_the_sums_of_integers_with_the_gradient_of_a_product(kind):
    draw = torch.Generator().manual_seed(0)
    levels = torch.randint(-64, 121, (3, 7, 64), generator=draw).float() / 8
    integers, _ = quantize_weights(torch.randn(32, 64, generator=draw), kind)
    given = [(levels.clone().requires_grad_(), integers.clone().requires_grad_()) for _ in range(2)]
    exact, plain = ExactProduct.apply(*given[0]), torch.nn.functional.linear(*given[1])
    assert torch.equal(exact.double(), levels.double() @ integers.double().t())
    weight = torch.randn(exact.shape, generator=draw)
    for sums in (exact, plain):
        (sums * weight).sum().backward()
    assert all(torch.allclose(a.grad, b.grad, atol=1e-4) for a, b in zip(*given, strict=True))
    lean = ExactProduct.apply(levels.bfloat16(), integers.bfloat16())  # as under autocast
    assert torch.equal(lean.double(), levels.double() @ integers.double().t())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_were_rounded_lie_as_near_to_another_integer_as_they_did(kind):
    """Same integers and scales; the nearer a real number was to the next integer, the nearer is the latent weight."""
    draw = torch.Generator().manual_seed(1)
    real, scale = torch.randn(16, 64, generator=draw), torch.rand(16, generator=draw) + 0.1
    integers = round_to(real, torch.ones(16), kind)
    integers[:, :3] = integers[:, 3:6]  # as where an error is made good: not always the nearest
    linear = QuantizedLinear(64, 16, kind)
    linear.fill(integers, scale, real)
    found, alpha = linear.integers()
    assert torch.equal(found, integers)
    torch.testing.assert_close(alpha, scale, rtol=1e-4, atol=0)
    for value in KINDS[kind]:
        for row in range(16):
            own = (integers[row] == value).nonzero()[3:, 0]
            order = real[row, own].argsort()
            assert (linear.weight[row, own][order].diff() > -1e-6).all()
    assert linear.weight.std() > 0 and len(linear.weight[0].unique()) > len(KINDS[kind]) + 8


@pytest.mark.slow
def test_several_widths_and_sizes_in_one_process_stay_compiled():
    code = """
import torch
from matterhorn.nn import QuantizedLinear
torch._dynamo.config.fail_on_recompile_limit_hit = True
for kind in ("int1", "ternary", "int2", "int4"):
    for fan_in, fan_out in ((32, 32), (32, 128), (128, 32)):
        linear = QuantizedLinear(fan_in, fan_out, kind).train()
        linear(torch.ones(4, fan_in), torch.tensor(0.1)).sum().backward()
"""
    environment = {**os.environ, "TORCH_COMPILE_DISABLE": "0", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=300)
