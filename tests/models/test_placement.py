"""Scales and silent levels for as many events as asked."""

from __future__ import annotations

import pytest
import torch

from matterhorn.coding import silent_share
from matterhorn.models.calibrate import level_histograms
from matterhorn.models.placement import place_densities, scale_for_density, scaled_densities, settle_population
from matterhorn.nn import ActivationQuantizer
from matterhorn.topology import TARGETS

from ..networks import small_batch, small_network

WANTED = {
    "input": 1.0,
    "queries": 1.0,
    "probabilities": 0.5,
    "context": 2.0,
    "hidden": 2.0,
    "intermediate": 0.5,
}


@pytest.mark.parametrize("target", [0.7, 0.8])
def test_densities_are_placed_as_asked(target):
    network, batch = small_network(k=1), small_batch()
    place_densities(network, batch, target, WANTED)
    events, windows = dict.fromkeys(WANTED, 0.0), dict.fromkeys(WANTED, 0)
    for site, histogram in level_histograms(network, [batch]).items():
        windows[site.part] += int(histogram.sum())
        events[site.part] += (1 - silent_share(histogram, network.populations()[site].code)) * int(histogram.sum())
    density = {name: events[name] / windows[name] for name in WANTED}
    assert density["context"] == pytest.approx(2 * density["queries"], rel=0.15)
    assert density["hidden"] == pytest.approx(4 * density["intermediate"], rel=0.15)
    sent = {name: len(TARGETS[name]) for name in WANTED}
    total = sum(events[name] * sent[name] for name in WANTED) / sum(windows[name] * sent[name] for name in WANTED)
    assert total == pytest.approx(1 - target, abs=0.02)


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_a_scale_for_a_density_is_found_where_small_scales_silence_whole_neurons(spread):
    """Far from zero, neurons pile up at an end of the range when the scale is small: fewer events, not more."""
    draw = torch.Generator().manual_seed(0)
    population = ActivationQuantizer(4, signed=True, neurons=50, dead_zone=3)
    values = 0.36 * torch.randn(2000, 50, generator=draw) + spread * torch.randn(50, generator=draw)
    population.scale.data.fill_(0.36)
    scale_for_density(population, values, 0.12)
    assert 1 - settle_population(population, values) == pytest.approx(0.12, abs=0.01)
    assert float(population.scale.detach()) > 0.36 / 10


def test_where_a_density_is_out_of_reach_the_scale_with_most_events_is_taken():
    draw = torch.Generator().manual_seed(0)
    population = ActivationQuantizer(2, signed=True, neurons=4, dead_zone=1)
    values = torch.randn(500, 4, generator=draw)
    population.scale.data.fill_(1.0)
    scale_for_density(population, values, 0.99)
    reached = 1 - settle_population(population, values)
    best = float(population.scale.detach())
    for factor in (0.3, 0.7, 1.5, 4.0):
        population.scale.data.fill_(best * factor)
        assert 1 - settle_population(population, values) <= reached + 0.02


def test_a_settled_population_says_its_share_of_silence():
    population = ActivationQuantizer(4, signed=True, neurons=2, dead_zone=1)
    population.scale.data.fill_(1.0)
    values = torch.tensor([[0.0, 5.0], [0.0, 5.0], [1.0, 6.0], [4.0, -3.0]])
    assert settle_population(population, values) == 0.75
    assert population.silent.tolist() == [8, 13]
    assert population.silent_value.tolist() == [67, 107]  # 8⅓ and 13⅓ levels in eighths


def test_densities_that_would_be_impossible_stay_and_the_others_make_up_for_them():
    loads, half = {"a": 1.0, "b": 3.0}, {"a": 0.5, "b": 0.5}
    assert scaled_densities({"a": 2, "b": 1}, loads, 0.2, half) == pytest.approx({"a": 0.32, "b": 0.16})
    assert scaled_densities({"a": 8, "b": 1}, loads, 0.4, half) == pytest.approx({"a": 0.5, "b": 1.1 / 3})
    assert scaled_densities({"a": 8, "b": 1}, loads, 0.7, half) == pytest.approx({"a": 0.7, "b": 0.7})
    assert scaled_densities({"a": 3, "b": 3}, loads, 0.7, half) == pytest.approx({"a": 0.7, "b": 0.7})
    assert scaled_densities({"a": 0.0, "b": 0.0}, loads, 0.1, half) == {"a": 0, "b": 0}
