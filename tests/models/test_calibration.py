from __future__ import annotations

import torch

from matterhorn.coding import silent_share
from matterhorn.models.from_bert import choose_silence, least_squares_step, level_histograms, widen_steps

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
    before = [float(p.step.detach()) for p in model.populations().values()]
    widen_steps(model, batch, 0.9)
    histograms = level_histograms(model, [batch])
    choose_silence(model, histograms)  # a wider step moves the levels: the mode is another one
    shares = [silent_share(histograms[name], p.code) for name, p in model.populations().items()]
    assert sum(shares) / len(shares) > 0.88 and min(shares) > 0.8
    assert all(float(p.step.detach()) >= s for p, s in zip(model.populations().values(), before, strict=True))
