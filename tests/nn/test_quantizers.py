from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from matterhorn.coding import count_events, decode, encode
from matterhorn.errors import InputError
from matterhorn.nn import ActivationQuantizer, StoredQuantizer, quantizers
from matterhorn.nn.gelu import gelu_inverse
from matterhorn.nn.quantizers import LEAK


def quantizer(bits: int = 4, *, scale: float = 1.0, signed: bool = True, **options) -> ActivationQuantizer:
    made = ActivationQuantizer(bits, signed=signed, **options)
    made.scale.data.fill_(scale)
    return made


def store(bits: int) -> StoredQuantizer:
    made = StoredQuantizer(bits)
    made.scale.data.fill_(1.0)
    return made


def drawn(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_levels_by_hand():
    own = quantizer(scale=0.5)
    x = torch.tensor([-9.0, -4.0, -0.26, 0.2, 0.26, 3.4, 9.0])
    assert own.levels(x).tolist() == [0, 0, 7, 8, 9, 15, 15]
    assert own.eval()(x).levels.tolist() == [-8, -8, -1, 0, 1, 7, 7]


@pytest.mark.parametrize("made", [ActivationQuantizer(4, signed=True), StoredQuantizer(1)])
def test_a_new_scale_is_not_set(made):
    assert bool(made.scale.isnan())


def test_training_and_evaluation_give_the_same_levels():
    own = quantizer(neurons=3, dead_zone=2)
    own.silent.copy_(torch.tensor([8, 9, 5]))
    own.silent_value.copy_(torch.tensor([64, 70, 40]))
    x = drawn(50, 3, scale=4)
    trained, evaluated = own.train()(x), own.eval()(x)
    assert torch.equal(trained.levels, evaluated.levels) and evaluated.events is None
    silent = (own.levels(x) - own.silent).abs() <= 2
    assert float(trained.events.events.detach()) == float((~silent).sum())
    assert trained.events.windows == 150


@given(
    bits=st.integers(1, 6),
    signed=st.booleans(),
    zone=st.integers(0, 31),
    mean=st.booleans(),
    seed=st.integers(0, 999),
)
def test_what_is_handed_on_is_what_the_code_says(bits, signed, zone, mean, seed):
    """The torch quantizer and the NumPy code of the same population agree on levels read and on events."""
    top = 2**bits - 1
    own = quantizer(bits, signed=signed, neurons=5, dead_zone=min(zone, top // 2), scale=0.7)
    draw = np.random.Generator(np.random.PCG64(seed))
    silent = torch.from_numpy(draw.integers(0, top + 1, 5))
    own.silent.copy_(silent)
    off = torch.from_numpy(draw.integers(-8 * own.dead_zone, 8 * own.dead_zone + 1, 5)) if mean else 0
    own.silent_value.copy_(8 * silent + off)
    x = drawn(40, 5, seed=seed, scale=top / 2)
    slots = encode(own.levels(x).to(torch.uint8).numpy(), own.code)
    sent = own.train()(x)
    assert np.array_equal(sent.levels.detach().numpy(), decode(slots, own.code) - own.zero)
    assert int(sent.events.events) == count_events(slots)
    assert own.unit == own.code.unit


def test_a_code_outside_its_range_is_refused():
    own = quantizer(dead_zone=1)
    own.silent.fill_(16)
    with pytest.raises(InputError, match="silent"):
        _ = own.code


def test_gradient_passes_within_range_only():
    x = torch.tensor([-5.0, -1.0, 0.3, 5.0], requires_grad=True)
    quantizer(2).train()(x).levels.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]


def test_without_a_dead_zone_the_gradient_is_straight_through():
    x = torch.tensor([-3.0, -0.4, 0.0, 1.4, 2.0], requires_grad=True)
    quantizer().train()(x).levels.sum().backward()
    assert x.grad.tolist() == [1, 1, 1, 1, 1]


def test_little_of_the_gradient_reaches_what_is_deep_in_the_dead_zone():
    x = torch.tensor([-9.0, -6.0, -3.2, -2.9, 0.4, 2.8, 3.1, 5.0, 7.6], requires_grad=True)
    quantizer(dead_zone=3).train()(x).levels.sum().backward()
    assert x.grad.tolist() == pytest.approx([0, 1, 1, LEAK, LEAK, LEAK, 1, 1, 0])


def test_price_of_events_pushes_towards_silence():
    own = quantizer(dead_zone=1).train()
    x = torch.tensor([-2.0, 0.1, 2.0, 6.0], requires_grad=True)
    own(x).events.events.backward()
    assert x.grad[0] < 0 < x.grad[2]  # descent moves both towards zero
    assert x.grad[1] == 0 == x.grad[3]
    assert own.scale.grad < 0  # descent widens the scale


@pytest.mark.parametrize("signed", [True, False])
def test_the_gradient_of_a_scale_is_that_of_lsq(signed):
    """d(s · v)/ds with v rounded straight through: v − u within range, v outside (arXiv 1902.08153, eq. 3)."""
    own, x, grad = quantizer(scale=0.3, signed=signed).train(), drawn(200, scale=2), drawn(200, seed=1)
    own(x).levels.backward(grad)
    u, low, high = x / 0.3, -own.zero, own.top - own.zero
    v = u.round().clamp(low, high)
    slope = torch.where((u > low - 0.5) & (u < high + 0.5), v - u, v)
    expected = (grad * slope).sum() / 0.3 / (200 * high) ** 0.5
    assert float(own.scale.grad) == pytest.approx(float(expected), rel=1e-4)


def following(scale: float, x: torch.Tensor, grad: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
    """Gradient of Σ grad · s · v for x where the scale follows."""
    own = quantizer(scale=scale, dead_zone=3).train()
    own.follows = True
    given = x.clone().requires_grad_()
    (grad * scale * own(given, present).levels).sum().backward()
    return given.grad


def test_where_the_scale_follows_larger_values_say_no_more_than_larger_steps():
    """Along x the gradient is the derivative of Σ g · s(x) · v for s(x) in proportion to x: v stays as it is."""
    x, grad, present = drawn(50, 8, scale=2), drawn(50, 8, seed=1), torch.arange(50)[:, None] < 40
    own = quantizer(scale=0.3, dead_zone=3)

    def value(factor: float) -> float:
        own.scale.data.fill_(0.3 * factor)
        return (grad * own.scale * own.eval()(factor * x).levels)[:40].double().sum().item()

    slope = (value(1.5) - value(0.5)) / 1.0
    found = following(0.3, x, grad * present, present)
    assert float((found * x)[:40].sum()) == pytest.approx(slope, rel=1e-4) and not found[40:].any()


def test_only_the_gradient_along_x_knows_that_the_scale_follows():
    x, grad = drawn(200, scale=2), drawn(200, seed=1)
    own = quantizer(scale=0.3, dead_zone=3).train()
    straight = x.clone().requires_grad_()
    (grad * 0.3 * own(straight).levels).sum().backward()
    change = following(0.3, x, grad) - straight.grad
    assert float(change.abs().max()) > 0.01
    assert torch.allclose(change, x * (change @ x) / (x @ x), atol=1e-5)


def test_what_comes_through_a_scale_is_of_all_processes(monkeypatch):
    """Two halves of a batch, whose gradients are averaged, have the gradient of the whole."""
    x, grad, sums = drawn(200, scale=2), drawn(200, seed=1), list[torch.Tensor]()
    halves, twice = (slice(0, 70), slice(70, 200)), 2 * grad
    monkeypatch.setattr(quantizers, "_over_processes", lambda own: sums.append(own) or own)
    for half in halves:
        following(0.3, x[half], twice[half])
    monkeypatch.setattr(quantizers, "_over_processes", lambda _: sums[0] + sums[1])
    found = torch.cat([following(0.3, x[half], twice[half]) for half in halves]) / 2
    monkeypatch.undo()
    assert torch.allclose(found, following(0.3, x, grad), atol=1e-5)


def test_gains_are_learned_and_multiply_what_is_quantized():
    own = quantizer(gains=2)
    own.gain.data.copy_(torch.tensor([2.0, 0.5]))
    x = torch.tensor([[1.4, 4.4], [-3.0, 1.2]])
    assert own.train()(x).levels.tolist() == own.eval()(x).levels.tolist() == [[3, 2], [-6, 1]]
    own.train()(x).levels.sum().backward()
    assert torch.allclose(own.gain.grad, x.sum(0))


def test_a_neuron_may_have_a_zero_point_of_its_own():
    own = quantizer(zeros=2)
    own.zeros.copy_(torch.tensor([8, -3]))
    x = torch.tensor([[1.4, 4.4], [-3.0, 12.2]], requires_grad=True)
    assert own.levels(x).tolist() == [[9, 1], [5, 9]]
    assert own.train()(x).levels.tolist() == own.eval()(x).levels.tolist() == [[1, 4], [-3, 12]]
    own.train()(torch.tensor([[7.6, 2.0]], requires_grad=True)).levels.sum().backward()
    assert own.scale.grad is not None


@given(st.floats(0, 40, width=32))
def test_the_inverse_of_a_gelu(y):
    x = gelu_inverse(torch.tensor(y, dtype=torch.float64))
    assert float(torch.nn.functional.gelu(x)) == pytest.approx(y, rel=1e-14, abs=1e-15)


def test_levels_behind_a_gelu_are_those_of_its_values_and_do_not_fall():
    own = quantizer(scale=0.3, signed=False, gains=5, activation="gelu")
    own.gain.data.copy_(torch.tensor([0.1, 0.5, 1, 2, 9]))
    x = torch.linspace(-6, 12, 20001)[:, None].expand(-1, 5)
    levels = own.eval()(x).levels
    assert bool((levels.diff(dim=0) >= 0).all()) and set(levels.flatten().tolist()) == set(range(16))
    nearest = (torch.nn.functional.gelu(x.double()) * own.gain / 0.3).round().clamp(0, 15)
    assert float((levels != nearest).float().mean()) < 1e-4
    trained = own.train()(x.clone().requires_grad_())
    assert float((trained.levels != levels).float().mean()) < 1e-4
    assert torch.equal(own.levels(x[:7]), own.levels(x)[:7]), "whatever stands beside it"


def test_silence_is_read_as_a_fraction_without_a_dead_zone_too():
    own = quantizer(signed=False, neurons=2)
    own.silent.copy_(torch.tensor([0, 3]))
    own.silent_value.copy_(torch.tensor([-3, 26]))
    x = torch.tensor([[0.2, 3.2], [1.0, 4.0]])
    assert own.train()(x).levels.tolist() == own.eval()(x).levels.tolist() == [[-0.375, 3.25], [1, 4]]


def test_one_bit_store_is_a_sign():
    assert store(1).eval()(torch.tensor([-3.0, -0.1, 0.0, 2.0])).tolist() == [-1, -1, 1, 1]
    assert store(4).eval()(torch.tensor([-30.0, 2.4, 30.0])).tolist() == [-8, 2, 7]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_store_gives_the_same_operand_in_training_and_its_levels_count_from_zero(bits):
    own, x = store(bits), drawn(1000, scale=5)
    assert torch.equal(own.train()(x), own.eval()(x))
    levels = own.levels(x)
    assert sorted(set(levels.tolist())) == list(range(2**bits))
    assert torch.equal(levels.argsort(stable=True), own.operand(x).argsort(stable=True))


def test_gradients_of_a_store_are_those_of_lsq():
    x = torch.tensor([-30.0, -2.2, 0.4, 6.9, 8.0], requires_grad=True)
    own = store(4).train()
    own(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    expected = (-8 + 7 + sum(round(u) - u for u in (-2.2, 0.4, 6.9))) / (5 * 7) ** 0.5
    assert float(own.scale.grad) == pytest.approx(expected, rel=1e-4)
