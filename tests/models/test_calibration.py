from __future__ import annotations

import pytest
import torch

from matterhorn.coding import silent_share
from matterhorn.models.config import TARGETS
from matterhorn.models.from_bert import choose_silence, least_squares_step, level_histograms, scale_steps

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


def test_placed_steps_hold_the_target():
    model, batch = small_network(k=2), small_batch()
    reached = scale_steps(model, batch, 0.9)
    assert reached == pytest.approx(0.9, abs=0.02)
    histograms = level_histograms(model, [batch])
    choose_silence(model, histograms)  # each population's mode, as the share was counted
    silent = {name: silent_share(histograms[name], p.code) for name, p in model.populations().items()}
    weights = {name: TARGETS.get(name.rsplit(".", 1)[-1], 1) * int(histograms[name].sum()) for name in silent}
    mean = sum(silent[name] * weights[name] for name in silent) / sum(weights.values())
    assert mean == pytest.approx(reached, abs=0.02)  # a silent level is read otherwise further up


def test_less_silence_means_narrower_steps():
    model, batch = small_network(k=2), small_batch()
    scale_steps(model, batch, 0.95)
    wide = [float(p.step.detach()) for p in model.populations().values()]
    scale_steps(model, batch, 0.7)
    assert all(float(p.step.detach()) < s for p, s in zip(model.populations().values(), wide, strict=True))
