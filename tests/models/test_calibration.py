from __future__ import annotations

import pytest
import torch

from matterhorn.coding import silent_share
from matterhorn.models.config import TARGETS
from matterhorn.models.from_bert import calibrate_steps, least_squares_step, level_histograms
from matterhorn.models.placement import (
    CANDIDATES,
    place_densities,
    place_steps,
    settle_population,
    settle_silence_of,
    step_for_density,
)
from matterhorn.nn import ActivationQuantiser

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
    reached = place_steps(model, batch, 0.8)
    assert reached == pytest.approx(0.8, abs=0.06)  # nine candidates each: a share is met only so closely
    histograms = level_histograms(model, [batch])
    silent = {name: silent_share(histograms[name], p.code) for name, p in model.populations().items()}
    weights = {name: TARGETS.get(name.rsplit(".", 1)[-1], 1) * int(histograms[name].sum()) for name in silent}
    mean = sum(silent[name] * weights[name] for name in silent) / sum(weights.values())
    assert mean == pytest.approx(reached, abs=1e-6)


def test_a_population_takes_the_step_with_the_least_cost():
    values = torch.randn(4000, 3, generator=torch.Generator().manual_seed(1)) + torch.tensor([0.0, 0.4, -0.8])
    population = ActivationQuantiser(4, signed=True, neurons=3, dead_zone=2)

    def cost(step: float, price: float) -> float:
        v = (values / step).round().clamp(-8, 7)
        mode = v.mode(0).values
        hushed = (v - mode).abs() <= 2
        mean = torch.stack([v[hushed[:, i], i].mean() for i in range(3)])
        error = (values - step * torch.where(hushed, (8 * mean).round() / 8, v)).square().sum()
        return float(error / (values - values.mean(0)).square().sum()) + price * (1 - float(hushed.float().mean()))

    steps = {}
    for price in (0.05, 0.5, 2.0):
        settle_population(population, values, torch.tensor(0.3), price)
        steps[price] = float(population.step.detach())
        least = min(cost(0.3 * float(factor), price) for factor in CANDIDATES)
        assert cost(steps[price], price) == pytest.approx(least, abs=1e-3)
    assert steps[0.05] < steps[0.5] < steps[2.0]


def test_a_target_is_met_from_either_side():
    model, batch = small_network(k=2), small_batch()
    assert place_steps(model, batch, 0.9) > place_steps(model, batch, 0.6) + 0.1


def test_densities_are_placed_as_asked():
    model, batch = small_network(k=1), small_batch()
    wanted = {"input": 1.0, "queries": 1.0, "probabilities": 0.5, "mixed": 2.0, "hidden": 2.0, "middle": 0.5}
    place_densities(model, batch, 0.8, wanted)
    events, windows = dict.fromkeys(wanted, 0.0), dict.fromkeys(wanted, 0)
    for name, histogram in level_histograms(model, [batch]).items():
        kind = name.rsplit(".", 1)[-1]
        windows[kind] += int(histogram.sum())
        share = silent_share(histogram, model.populations()[name].code)
        events[kind] += (1 - share) * int(histogram.sum())
    density = {kind: events[kind] / windows[kind] for kind in wanted}
    assert density["mixed"] == pytest.approx(2 * density["queries"], rel=0.15)
    assert density["hidden"] == pytest.approx(4 * density["middle"], rel=0.15)
    sent = {kind: TARGETS.get(kind, 1) for kind in wanted}
    total = sum(events[kind] * sent[kind] for kind in wanted) / sum(windows[kind] * sent[kind] for kind in wanted)
    assert total == pytest.approx(0.2, abs=0.02)


def test_calibration_uses_the_steps_it_has_just_set():
    model, batch = small_network(), small_batch()
    calibrate_steps(model, batch)
    once = {name: float(module.step.detach()) for name, module in model.populations().items()}
    calibrate_steps(model, batch)
    assert {name: float(module.step.detach()) for name, module in model.populations().items()} == once


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_a_step_for_a_density_is_found_where_small_steps_silence_whole_neurons(spread):
    """Far from zero, neurons pile up at an end of the range when the step is small: fewer events, not more."""
    draw = torch.Generator().manual_seed(0)
    population = ActivationQuantiser(4, signed=True, neurons=50, dead_zone=3)
    values = 0.36 * torch.randn(2000, 50, generator=draw) + spread * torch.randn(50, generator=draw)
    population.step.data.fill_(0.36)
    step_for_density(population, values, 0.12)
    assert 1 - settle_silence_of(population, population.levels(values)) == pytest.approx(0.12, abs=0.01)
    assert float(population.step.detach()) > 0.36 / 10
