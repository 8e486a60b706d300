"""Products that follow the events give what dense ones give: forward to the bit, gradients but for rounding."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from matterhorn.distill.measure import ask, hidden_error
from matterhorn.distill.teacher import load_classifier, locate
from matterhorn.kernels import sparse
from matterhorn.models import product as room
from matterhorn.models.general import general_encoders, take_general
from matterhorn.models.product import WORTHWHILE, EventProduct, event_product, listed, turned
from matterhorn.models.quantize import quantize
from matterhorn.nn import quantize_weights
from matterhorn.runtime.warm import warm_up

from ..networks import small_program


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def given(rows: int, fan_in: int, fan_out: int, share: float, kind: str = "int1"):
    """Levels of which a share are events, weights, what silence is read as (in eighths), and a gradient."""
    draw = drawn(rows + fan_in)
    silent = torch.randint(-24, 25, (fan_in,), generator=draw) / 8
    sent = torch.rand(rows, fan_in, generator=draw) < share
    levels = torch.where(sent, silent.round() + torch.randint(4, 9, (rows, fan_in), generator=draw), silent)
    weights = quantize_weights(torch.randn(fan_out, fan_in, generator=draw), kind)[0]
    return levels.requires_grad_(), weights.requires_grad_(), silent, torch.randn(rows, fan_out, generator=draw)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", ["int1", "ternary", "int4"])
@pytest.mark.parametrize(("rows", "fan_in", "fan_out", "share"), [
    (1, 32, 64, 0.1), (7, 96, 128, 0.0), (50, 384, 192, 0.12), (65, 1536, 64, 0.03), (20, 64, 64, 0.22),
])  # fmt: skip
def test_it_is_the_dense_product(threads, rows, fan_in, fan_out, share, kind, count):
    threads(count)
    levels, weights, silent, grad = given(rows, fan_in, fan_out, share, kind)
    assert listed(levels, silent) is not None
    own, dense = event_product(silent)(levels, weights), F.linear(levels, weights)
    assert torch.equal(own, dense)
    ours = torch.autograd.grad(own, (levels, weights), grad)
    exact = grad.double() @ weights.double(), grad.double().t() @ levels.double()
    for gradient, right in zip(ours, exact, strict=True):
        assert gradient.is_contiguous() and torch.allclose(gradient.double(), right, rtol=1e-5, atol=1e-4)


def test_known_sums():
    levels, silent = torch.tensor([[1.5] * 32, [1.5] * 31 + [4.0]]), torch.full((32,), 1.5)
    weights = torch.ones(64, 32)
    assert event_product(silent)(levels, weights).tolist() == [[48.0] * 64, [50.5] * 64]


def test_lists_name_every_event_once_and_silence_last():
    levels, silent = torch.zeros(3, 32), torch.full((32,), 0.5)
    levels[:] = silent
    levels[1, 4], levels[1, 31], levels[2, 4] = 3.0, -2.0, 0.0
    lists = listed(levels, silent)
    assert lists.bounds.tolist() == [0, 4, 8, 12]
    assert [lists.order[begin] for begin in (0, 8)] == [32, 4] and lists.order[4:7].tolist() == [4, 31, 32]
    assert lists.sizes.tolist() == [1, 0, 0, 0, 2.5, -2.5, 1, 0, -0.5, 1, 0, 0]
    by_neuron = turned(lists, silent)
    begin = by_neuron.bounds[4]
    assert by_neuron.order[begin : begin + 3].tolist() == [1, 2, 3]
    assert by_neuron.sizes[begin : begin + 4].tolist() == [2.5, -0.5, 0.5, 0]


def test_what_warm_compiles_is_what_training_calls():
    own = [getattr(sparse, name) for name in ("count_events", "list_events", "count_by_neuron", "turn_lists", "add_up")]
    warm_up(small_program())
    before = [set(kernel.signatures) for kernel in own]
    levels, weights, silent, grad = given(3, 64, 64, 0.1)
    event_product(silent)(levels, weights).backward(grad)
    assert all(before) and [set(kernel.signatures) for kernel in own] == before


def test_many_events_are_multiplied_densely():
    levels, weights, silent, grad = given(40, 64, 64, WORTHWHILE + 0.2)
    assert listed(levels, silent) is None
    own, dense = event_product(silent)(levels, weights), F.linear(levels, weights)
    assert torch.equal(own, dense)
    for ours, theirs in zip(*(torch.autograd.grad(y, (levels, weights), grad) for y in (own, dense)), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("rows", "fan_in", "fan_out"), [(4, 33, 64), (4, 64, 65), (2**16, 32, 64), (0, 32, 64)])
def test_what_the_kernels_do_not_take_is_multiplied_densely(rows, fan_in, fan_out):
    levels, weights = torch.zeros(rows, fan_in), torch.ones(fan_out, fan_in, requires_grad=True)
    sums = event_product(torch.zeros(1))(levels, weights)
    assert sums.shape == (rows, fan_out) and not isinstance(sums.grad_fn, EventProduct._backward_cls)


def test_a_step_of_a_real_network_follows_its_events(monkeypatch):
    encoder = next(one for one in general_encoders() if one.name == "general-mini")
    teacher = load_classifier(locate("minilm-l6"))
    batch = {"input_ids": torch.randint(1000, 20000, (4, 24), generator=drawn(0))}
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch["attention_mask"][2, 15:] = 0
    student = quantize(teacher, **encoder.options, batches=[{k: v.numpy() for k, v in batch.items()}])
    take_general(student, encoder)
    _, states = ask(teacher.eval(), batch)

    def step() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        student.zero_grad()
        answer = student.train()(**batch, output_hidden_states=True)
        loss = hidden_error(answer.hidden_states[1:], states, batch["attention_mask"])
        loss.backward()
        grads = {name: own.grad.clone() for name, own in student.named_parameters() if own.grad is not None}
        return loss.detach(), grads

    followed, add = [], room.added
    monkeypatch.setattr(room, "added", lambda *given: followed.append(given) or add(*given))
    loss, ours = step()
    assert len(followed) == 2 * len(student.connections())
    monkeypatch.setattr(room, "WORTHWHILE", -1.0)
    dense_loss, dense = step()
    assert len(followed) == 2 * len(student.connections())
    assert torch.equal(loss, dense_loss) and ours.keys() == dense.keys()
    for name, gradient in ours.items():
        size = dense[name].abs().max()
        assert float((gradient - dense[name]).abs().max()) <= 1e-4 * float(size), name
