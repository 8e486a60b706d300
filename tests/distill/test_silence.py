from __future__ import annotations

import torch

from matterhorn.models.config import TARGETS
from matterhorn.training.shares import Shares

from ..conftest import small_batch, small_network


def share(network) -> float:
    """Silence over all connections of the last pass in training."""
    kinds = {name: TARGETS.get(name.rsplit(".", 1)[-1], 1) for name in network.populations()}
    events = sum(kinds[name] * float(p.events.detach()) for name, p in network.populations().items())
    return 1 - events / sum(kinds[name] * p.windows for name, p in network.populations().items())


def test_targets_add_up_and_kinds_keep_their_proportions():
    network, batch = small_network(k=2), small_batch()
    batch = {k: v for k, v in batch.items() if k != "labels"}
    tight, loose = (Shares(network, batch, target, len(batch["input_ids"])).targets for target in (0.95, 0.9))
    ratios = [(1 - tight[kind]) / (1 - loose[kind]) for kind in tight if loose[kind] < 0.99]
    assert ratios and max(ratios) - min(ratios) < 1e-6 and abs(ratios[0] - 0.5) < 1e-6


def test_steps_follow_activations_that_grow():
    network, batch = small_network(k=2), small_batch()
    batch = {k: v for k, v in batch.items() if k != "labels"}
    network.train()
    network(**batch)
    start = share(network)
    shares = Shares(network, batch, start, len(batch["input_ids"]))
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
    shares = Shares(network, batch, 0.9, len(batch["input_ids"]))
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
    shares = Shares(network, batch, 0.9, len(batch["input_ids"]))
    start = float(population.step.detach())
    for _ in range(400):
        network.train()(**batch)
        population.events = torch.zeros(())  # all silent: the step shrinks to hear something
        shares.follow()
    assert float(population.step.detach()) >= 2 / population.zero * start * 0.999
    assert int(population.silent.max()) <= population.top


def test_a_share_is_kept_over_rows_of_different_lengths():
    """Short rows' attention is less silent than that of all rows together: steps must not give in to it."""
    network, batch = small_network(k=1), small_batch()
    batch = {k: v for k, v in batch.items() if k != "labels"}
    short = {k: v[:, :3] for k, v in batch.items()}
    network.train()
    population = network.populations()["block.0.probabilities"]
    sent = []
    for rows in (short, batch):
        network(**rows)
        sent.append((float(population.events.detach()), population.windows))
    assert sent[0][0] / sent[0][1] > 1.2 * sent[1][0] / sent[1][1]
    shares = Shares(network, batch, 0.9, len(batch["input_ids"]))
    shares.targets["probabilities"] = 1 - sum(events for events, _ in sent) / sum(windows for _, windows in sent)
    step = float(population.step.detach())
    for events, windows in sent * 50:
        population.events, population.windows = torch.tensor(events), windows
        for other in network.populations().values():
            other.events = torch.zeros(()) if other.events is None else other.events
        shares.follow()
    assert abs(float(population.step.detach()) / step - 1) < 0.01
