"""Least squares and rounding: nearer to what is wanted than each weight's nearest integer."""

from __future__ import annotations

import pytest
import torch

from matterhorn.models.rounding import Moments, best_scale, least_squares, round_weights
from matterhorn.nn.linear import round_to
from matterhorn.program.config import WEIGHTS

from ..nn.test_linear import KINDS


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mixed(rows: int, columns: int) -> torch.Tensor:
    """Inputs that go together."""
    return drawn(rows, columns) @ (torch.eye(columns) + 0.3 * drawn(columns, columns, seed=1)) + 2


def loss(weight: torch.Tensor, moments: Moments, wanted: torch.Tensor) -> torch.Tensor:
    off = weight - wanted
    return ((off @ moments.xx) * off).sum(1)


def test_least_squares_finds_the_weights_behind_the_outputs():
    x, weight = mixed(500, 20), drawn(7, 20, seed=2)
    moments = Moments.of(x, x @ weight.T + 3, torch.ones(500))
    assert torch.allclose(least_squares(moments, torch.zeros(7, 20), 1e-7), weight, atol=1e-3)
    assert torch.allclose(moments.y - weight @ moments.x, torch.full((7,), 3.0), atol=1e-4)
    prior = drawn(7, 20, seed=3)
    assert torch.allclose(least_squares(moments, prior, 1e6), prior, atol=1e-3)


def test_rows_count_as_much_as_they_are_given():
    x, y = mixed(30, 4), drawn(30, 3)
    weight = torch.arange(30) % 3
    twice = torch.arange(30).repeat_interleave(weight)
    one, other = Moments.of(x, y, weight.float()), Moments.of(x[twice], y[twice], torch.ones(len(twice)))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", WEIGHTS)
def test_rounding_loses_less_than_nearest_integers(kind):
    weight, x = drawn(24, 200, seed=2), mixed(900, 200)
    moments = Moments.of(x, x @ weight.T, torch.ones(900))
    integers, scale = round_weights(weight, moments.xx, kind)
    assert set(integers.unique().tolist()) <= KINDS[kind] and bool((scale > 0).all())
    own = best_scale(weight, moments.xx.diagonal(), kind)
    nearest = round_to(weight, own, kind) * own[:, None]
    assert float(loss(integers * scale[:, None], moments, weight).sum()) < 0.75 * float(
        loss(nearest, moments, weight).sum()
    )
    for factor in (0.95, 1.05):
        other = loss(factor * integers * scale[:, None], moments, weight)
        assert bool((other >= loss(integers * scale[:, None], moments, weight)).all())


def test_a_weight_far_above_the_rest_is_not_cut_off():
    weight, x = 0.01 * drawn(3, 300, seed=2), drawn(900, 300)
    weight[:, 7] = 5
    integers, scale = round_weights(weight, Moments.of(x, x @ weight.T, torch.ones(900)).xx, "int4")
    assert torch.allclose((integers * scale[:, None])[:, 7], weight[:, 7], rtol=0.05)
