from __future__ import annotations

import pytest
import torch

from matterhorn.nn.attention import by_distance, exact_softmax, float_softmax, join_heads, split_heads


def some_scores() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    scores = torch.randint(-60, 60, (3, 2, 5, 7), generator=draw).float()
    return scores, (torch.arange(7) < torch.tensor([7, 4, 1])[:, None])[:, None, None, :]


def test_heads_are_parts_of_the_width_and_come_back_together():
    x = torch.arange(2 * 3 * 8.0).reshape(2, 3, 8)
    split = split_heads(x, 4)
    assert split.shape == (2, 4, 3, 2) and split[1, 2, 0].tolist() == x[1, 0, 4:6].tolist()
    assert torch.equal(join_heads(split), x)


@pytest.mark.parametrize("unit", [1, 8])
def test_probabilities_from_the_table_are_those_of_a_softmax(unit):
    scores, keys = some_scores()
    scores = scores + (3 / unit if unit > 1 else 0)
    scale = torch.tensor(0.07)
    for bias in (None, torch.randint(-20, 20, (2, 5, 7), generator=torch.Generator().manual_seed(1)).float()):
        exact = exact_softmax(scores, keys, scale, unit, bias, shift=False)
        trained = float_softmax(scores, keys, scale, None if bias is None else bias * scale)
        assert torch.allclose(exact, trained, atol=2e-3)
        assert bool((exact * ~keys == 0).all() and (trained * ~keys == 0).all())


def test_a_bias_goes_by_the_distance_of_the_key():
    bias = torch.tensor([[-2.0, -1, 0, 1, 2], [10, 20, 30, 40, 50]])
    assert by_distance(bias, torch.zeros(1, 2, 2, 4)).tolist() == [
        [[0, 1, 2, 2], [-1, 0, 1, 2]],
        [[30, 40, 50, 50], [20, 30, 40, 50]],
    ]
    assert by_distance(bias, torch.zeros(1, 2, 4, 4))[0, 3].tolist() == [-2, -2, -1, 0]


def test_probabilities_have_a_gradient_in_training_only():
    scores, keys = some_scores()
    scores.requires_grad_()
    float_softmax(scores, keys, torch.tensor(0.07))[..., 0].sum().backward()
    assert bool(scores.grad.any())
    assert not exact_softmax(scores, keys, torch.tensor(0.07), 1, shift=True).requires_grad
