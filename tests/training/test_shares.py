from __future__ import annotations

import pytest
import torch

from matterhorn.models.config import KINDS, TARGETS
from matterhorn.nn import ActivationQuantiser
from matterhorn.training.shares import Shares
from matterhorn.training.start import begin_narrow

from ..conftest import small_batch, small_network


def share(network) -> float:
    """Silence over all connections of the last pass in training."""
    kinds = {name: TARGETS.get(name.rsplit(".", 1)[-1], 1) for name in network.populations()}
    events = sum(kinds[name] * float(p.events.detach()) for name, p in network.populations().items())
    return 1 - events / sum(kinds[name] * p.windows for name, p in network.populations().items())


def test_targets_add_up_and_kinds_keep_their_proportions():
    network, batch = small_network(k=2), small_batch()
    batch = {k: v for k, v in batch.items() if k != "labels"}
    tight, loose = Shares(network, batch, 0.95).targets(0), Shares(network, batch, 0.9).targets(0)
    ratios = [(1 - tight[kind]) / (1 - loose[kind]) for kind in tight if loose[kind] < 0.99]
    assert ratios and max(ratios) - min(ratios) < 1e-6 and abs(ratios[0] - 0.5) < 1e-6


def test_silence_rises_from_what_there_is_to_the_target_and_stays():
    network, batch = small_network(k=2), small_batch()
    batch = {k: v for k, v in batch.items() if k != "labels"}
    at_once, rising = Shares(network, batch, 0.95), Shares(network, batch, 0.95, rise=100)
    start, half, end = rising.targets(0), rising.targets(50), rising.targets(100)
    assert all(abs(1 - share - rising.begin[kind]) < 1e-12 for kind, share in start.items())
    assert end == at_once.targets(0) == at_once.targets(7) == rising.targets(1000)
    for kind in (kind for kind in start if end[kind] < 0.99):
        assert start[kind] < half[kind] < end[kind]
        assert abs((1 - half[kind]) ** 2 - (1 - start[kind]) * (1 - end[kind])) < 1e-9  # the same factor in every pass


def test_steps_follow_activations_that_grow():
    network, batch = small_network(k=2), small_batch()
    batch = {k: v for k, v in batch.items() if k != "labels"}
    network.train()
    network(**batch)
    start = share(network)
    shares = Shares(network, batch, start)
    with torch.no_grad():
        for block in network.layers():
            block.attention_norm.weight.mul_(2)
            block.feed_forward_norm.weight.mul_(2)
    network(**batch)
    grown = share(network)
    assert grown < start - 0.05
    for _ in range(600):
        network(**batch)
        shares.follow()
    assert abs(share(network) - start) < 0.2 * (start - grown)


def test_a_dead_zone_that_widens_stays_where_it_was():
    network, batch = small_network(k=2), small_batch()
    batch = {k: v for k, v in batch.items() if k != "labels"}
    population = network.populations()["block.0.input"]
    population.silent[0], population.reads[0] = population.zero + 4, 8 * (population.zero + 4) + 3
    shares = Shares(network, batch, 0.9)
    centre = float(population.step.detach()) * 4.375
    network.train()(**batch)
    population.events = population.events + 0.05 * population.windows  # far short of silence: the step grows
    for _ in range(60):
        shares.follow()
    step = float(population.step.detach())
    assert step > 1.2 * centre / 4.375
    assert abs(step * (float(population.reads[0]) / 8 - population.zero) - centre) < 0.1 * step
    assert int(population.silent[0]) == population.zero + round(4 * centre / 4.375 / step)


def test_a_step_does_not_run_away_when_activations_vanish():
    """Queries that shrink to nothing took their step with them: silent levels piled up at the end of the range."""
    network, batch = small_network(k=2), small_batch()
    batch = {k: v for k, v in batch.items() if k != "labels"}
    population = network.populations()["block.0.queries"]
    population.silent.fill_(population.zero + 2)
    population.reads.fill_(8 * (population.zero + 2))
    shares = Shares(network, batch, 0.9)
    start = float(population.step.detach())
    for _ in range(400):
        network.train()(**batch)
        population.events = torch.zeros(())  # all silent: the step shrinks to hear something
        shares.follow()
    assert float(population.step.detach()) >= 2 / population.zero * start * 0.999
    assert int(population.silent.max()) <= population.top


def test_a_dead_zone_widens_from_none_to_all_of_it():
    network, batch = small_network(k=0), small_batch()
    batch = {k: v for k, v in batch.items() if k != "labels"}
    network.train()(**batch)
    before = share(network)
    begin_narrow(network, 0, 3, [batch])
    shares = Shares(network, batch, 0.9, rise=100, relative=dict.fromkeys(KINDS, 1.0))
    silences = []
    for passes in (0, 25, 50, 75, 100):
        shares.widen(passes)
        network(**batch)
        silences.append(share(network))
    assert abs(silences[0] - before) < 1e-6  # it begins as the network that it was
    assert silences == sorted(silences) and silences[-1] > before + 0.2
    assert abs(sum(shares.targets(0).values()) / len(KINDS) - before) < 0.2
    assert len({round(target, 6) for target in shares.targets(100).values()}) == 1  # densities as asked for
    trained = network.eval()(**batch).logits
    assert all(population.narrowing == 0 for population in network.populations().values())
    for population in network.populations().values():
        population.narrowing = 2.0
    assert torch.equal(network(**batch).logits, trained)  # evaluation has all of it


@pytest.mark.parametrize("k", [0, 1, 3])
def test_a_whole_dead_zone_is_the_same_by_levels_and_by_values(k):
    """What training masks is what evaluation and engines mask, at ties and outside the range too."""
    population = ActivationQuantiser(4, signed=True, neurons=16, dead_zone=k)
    population.silent.copy_(torch.arange(16))
    population.reads.copy_(8 * torch.arange(16))
    x = torch.arange(-12, 12.25, 0.25)[:, None].expand(-1, 16).contiguous()
    for values in (x, x.to(torch.bfloat16)):
        assert torch.equal(population.train()(values).float(), population.eval()(values.float()))
