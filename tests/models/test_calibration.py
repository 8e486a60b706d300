from __future__ import annotations

import torch

from matterhorn.coding import silent_share
from matterhorn.models.from_bert import least_squares_step, level_histograms, widen_steps

from ..conftest import small_batch, small_network


def test_least_squares_step_beats_its_neighbours():
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0))

    def error(s: torch.Tensor) -> float:
        return float(((x / s).round().clamp(-8, 7) * s - x).square().sum())

    best = least_squares_step(x, -8, 7)
    assert all(error(best) <= error(factor * best) for factor in (0.5, 0.8, 1.25, 2))


def test_steps_stay_trainable_after_calibration():
    model = small_network()
    assert all(p.requires_grad and not p.is_inference() for p in model.parameters() if p is not None and p.dim() == 0)


def test_widened_steps_hold_the_target():
    model, batch = small_network(k=2), small_batch()
    batch["attention_mask"] = torch.ones_like(batch["attention_mask"])  # padding is not counted apart
    widen_steps(model, batch, 0.9)
    for name, histogram in level_histograms(model, [batch]).items():
        assert silent_share(histogram, model.populations()[name].code) > 0.87, name
