"""Scales where they quantize best, silence at the most frequent levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from matterhorn.coding import most_frequent
from matterhorn.errors import InputError
from matterhorn.models import calibrate, quantize
from matterhorn.models.calibrate import (
    choose_silence,
    existing,
    least_squares_scale,
    level_histograms,
    set_scales,
    settle_silence,
)
from matterhorn.topology import Site

from ..networks import small_arrays, small_batch, small_bert, small_network


def scales_of(network) -> dict[Site, float]:
    return {site: float(module.scale.detach()) for site, module in (network.populations() | network.stores()).items()}


def test_least_squares_scale_beats_its_neighbors():
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0))

    def error(s: torch.Tensor) -> float:
        return float(((x / s).round().clamp(-8, 7) * s - x).square().sum())

    best = least_squares_scale(x, -8, 7)
    assert all(error(best) <= error(factor * best) for factor in (0.5, 0.8, 1.25, 2))


def test_scales_stay_trainable_after_calibration():
    network = quantize(small_bert())
    calibrate(network, [small_batch()])
    assert all(p.requires_grad and not p.is_inference() for p in network.parameters() if p.dim() == 0)


def test_calibration_uses_the_scales_it_has_just_set():
    network, batch = small_network(), small_batch()
    set_scales(network, batch)
    once = scales_of(network)
    set_scales(network, batch)
    assert scales_of(network) == once


def test_each_scale_fits_what_comes_in():
    network, batch = quantize(small_bert(), kv_bits=2), small_batch()
    set_scales(network, batch)
    seen: dict[Site, torch.Tensor] = {}
    modules = network.populations() | network.stores()
    hooks = [
        module.register_forward_pre_hook(lambda _, x, site=site: seen.__setitem__(site, x[0]))
        for site, module in modules.items()
    ]
    network.eval()(**batch, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    for site, module in modules.items():
        low, high = (module.low, module.high) if hasattr(module, "low") else (-module.zero, module.top - module.zero)
        own = existing(seen[site].detach(), batch["attention_mask"].bool(), site.part)
        assert float(module.scale.detach()) == float(least_squares_scale(own, low, high))


def test_stored_bits_take_the_mean_magnitude():
    network, seen = small_network(), []
    store = network.stores()[Site(0, "keys")]
    hook = store.register_forward_pre_hook(lambda _, x: seen.append(x[0].detach()))
    network(**small_batch())
    hook.remove()
    assert torch.allclose(store.scale, seen[0][small_batch()["attention_mask"].bool()].abs().mean())


def test_padding_sets_no_scale():
    batch, network = small_batch(), quantize(small_bert())
    set_scales(network, batch)
    longer = {name: torch.nn.functional.pad(own, (0, 20)) for name, own in batch.items()}
    other = quantize(small_bert())
    set_scales(other, longer)
    assert list(scales_of(other).values()) == pytest.approx(list(scales_of(network).values()), rel=1e-5)


def test_scales_are_set_on_the_largest_batch_and_silence_is_chosen_on_all():
    small, large = small_batch(rows=2), small_batch(1, rows=9)
    one, other = (quantize(small_bert(), silence_per="tensor") for _ in range(2))
    calibrate(one, [small, large])
    set_scales(other, large)
    assert scales_of(one) == scales_of(other)
    histograms = level_histograms(other, [small, large])
    for site, population in one.populations().items():
        assert population.silent.tolist() == most_frequent(histograms[site].sum(0, keepdims=True)).tolist()


def test_without_a_batch_there_is_nothing_to_calibrate_on():
    with pytest.raises(InputError, match="batches: no batch"):
        calibrate(quantize(small_bert()), [])
    with pytest.raises(InputError, match="batch 1: a str"):
        calibrate(quantize(small_bert()), ["a text"])


def test_what_a_network_or_its_teacher_has_no_embedding_for_is_refused():
    network, far = quantize(small_bert()), {"input_ids": [[2, 199, 200]]}
    with pytest.raises(InputError, match=r"^network: token 200, outside its vocabulary of 200; use its own tokenizer"):
        calibrate(network, far)
    with pytest.raises(InputError, match=r"^network: token -1, outside"):
        calibrate(network, {"input_ids": [[2, -1]]})
    with pytest.raises(InputError, match=r"^teacher: token 199, outside its vocabulary of 100"):
        calibrate(network, {"input_ids": [[2, 199]]}, teacher=small_bert(vocabulary=100))
    with pytest.raises(InputError, match=r"^network: a row of 65 tokens; give at most 64"):
        calibrate(network, {"input_ids": [[2] * 65]})


def test_a_batch_alone_of_lists_and_with_labels_is_calibrated_on():
    lists = {name: values.tolist() for name, values in small_arrays().items()} | {"labels": [0] * 6}
    assert scales_of(quantize(small_bert(), batches=lists)) == scales_of(small_network())


def test_silence_is_chosen_from_what_the_network_does_without_it():
    """The dead zone must not shape the histogram that its middle is taken from."""
    zone, none = (quantize(small_bert(), dead_zone=k, silence_per="tensor") for k in (3, 0))
    for network in (zone, none):
        calibrate(network, [small_batch()])
    assert scales_of(zone) == scales_of(none) and zone.config.dead_zone == 3
    for site, population in zone.populations().items():
        assert torch.equal(population.silent, none.populations()[site].silent) and population.dead_zone == 3


@pytest.mark.parametrize("per", ["neuron", "tensor"])
def test_silence_is_the_most_frequent_level_and_read_as_its_mean_if_wanted(per):
    plain, mean = (small_network(k=2, mean=mean, silence_per=per) for mean in (False, True))
    histograms = level_histograms(small_network(k=0, silence_per=per), [small_batch()])
    for site, population in plain.populations().items():
        histogram = histograms[site] if len(population.silent) > 1 else histograms[site].sum(0, keepdims=True)
        assert population.silent.tolist() == histogram.argmax(1).tolist()
        assert torch.equal(population.silent_value, 8 * population.silent) and not population.has_fractions
        own = mean.populations()[site]
        assert torch.equal(own.silent, population.silent)
        for row, silent, value in zip(histogram, own.silent.tolist(), own.silent_value.tolist(), strict=True):
            within = np.arange(max(0, silent - 2), min(15, silent + 2) + 1)
            assert value == pytest.approx(8 * np.average(within, weights=row[within]), abs=0.51)


def test_without_a_dead_zone_the_mean_is_the_level():
    assert not any(population.has_fractions for population in small_network(k=0, mean=True).populations().values())


def test_histograms_count_what_exists():
    network, batch = small_network(), small_batch()
    tokens = batch["attention_mask"].sum(1)
    once, twice = level_histograms(network, [batch]), level_histograms(network, iter([batch, small_arrays()]))
    for site, histogram in once.items():
        pairs = site.part == "probabilities"
        assert set(histogram.sum(1)) == {int(4 * (tokens**2).sum() if pairs else tokens.sum())}
        assert np.array_equal(twice[site], 2 * histogram)


def test_existing_values_of_probabilities_are_those_between_existing_tokens():
    present = torch.tensor([[True, True, False], [True, False, False]])
    x = torch.arange(2 * 2 * 9.0).reshape(2, 2, 3, 3)
    assert existing(x, present, "probabilities").flatten().tolist() == [0, 1, 3, 4, 9, 10, 12, 13, 18, 27]
    assert existing(x[:, 0], present, "hidden").tolist() == [[0, 1, 2], [3, 4, 5], [18, 19, 20]]


def test_silence_is_settled_with_the_dead_zone_as_it_is():
    for mean in (False, True):
        network = small_network(k=2, mean=mean)
        scales = scales_of(network)
        network.set_dead_zone(3)
        histograms = level_histograms(network, [small_batch()])
        settle_silence(network, [small_batch()])
        assert scales_of(network) == scales
        assert any(population.has_fractions for population in network.populations().values()) == mean
        for site, population in network.populations().items():
            levels = histograms[site] if len(population.silent) > 1 else histograms[site].sum(0, keepdims=True)
            assert population.silent.tolist() == levels.argmax(1).tolist()


def test_calibration_leaves_the_mode_and_the_gradients_alone():
    network = quantize(small_bert()).train()
    calibrate(network, [small_batch()])
    assert network.training and all(p.grad is None for p in network.parameters())
    choose_silence(network.eval(), level_histograms(network, [small_batch()]), mean=True)
    assert not network.training
