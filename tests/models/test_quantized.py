"""A pass through the quantized network: what it hands up, what it leaves out, what changes it."""

from __future__ import annotations

import pytest
import torch

from matterhorn.coding import encode
from matterhorn.errors import InputError
from matterhorn.topology import POPULATION, TARGETS, Site

from ..networks import small_arrays, small_batch, small_network


def unpadded() -> dict[str, torch.Tensor]:
    """A batch of rows of one length: padding counts for no events."""
    batch = small_batch()
    return batch | {"attention_mask": torch.ones_like(batch["attention_mask"])}


def test_events_go_up_with_a_gradient_and_are_what_the_codes_send():
    network, batch = small_network(k=2, mean=True), unpadded()
    given = network.train()(**batch, output_hidden_states=True)
    assert list(given.events) == list(network.populations())
    levels = network.expected(batch).levels
    for site, (events, windows) in given.events.items():
        population = network.populations()[site]
        slots = encode(levels[site], population.code)
        assert float(windows) == slots.size
        # softmax in training is not read from a table: a level may be the next one
        assert float(events.detach()) == pytest.approx((slots != 255).sum(), abs=0.01 * slots.size + 1)
        assert events.requires_grad
    sum(events for events, _ in given.events.values()).backward()
    last = network.connections().pop(Site(1, "ffn2"))
    assert last.weight.grad is None  # no population behind it
    assert all(bool(own.weight.grad.any()) for own in network.connections().values() if own is not last)


def test_evaluation_has_no_events_and_nothing_is_left_behind():
    network = small_network(k=1)
    assert network(**small_batch()).events is None
    kept = {name for name, _ in network.named_buffers()}
    before = {name: set(vars(module)) for name, module in network.named_modules()}
    network.train()(**small_batch())
    assert {name for name, _ in network.named_buffers()} == kept
    assert {name: set(vars(module)) for name, module in network.named_modules()} == before


def test_the_last_block_computes_the_first_token_only_where_only_that_is_read():
    network, batch = small_network(k=2), unpadded()
    cut, whole = network(**batch), network(**batch, output_hidden_states=True)
    assert torch.equal(cut.logits, whole.logits) and cut.hidden_states is None
    assert [state.shape for state in whole.hidden_states] == [(6, 11, 32)] * 3
    events = network.train()(**batch).events
    tokens = {site.part: windows for site, (_, windows) in events.items() if site.block == 1}
    assert tokens == {
        "input": 6 * 11 * 32,
        "queries": 6 * 32,
        "probabilities": 6 * 4 * 11,
        "context": 6 * 32,
        "hidden": 6 * 32,
        "intermediate": 6 * 64,
    }
    network.config.first_only = False
    every = network(**batch).events
    assert {s.part: w for s, (_, w) in every.items() if s.block == 1}["hidden"] == 6 * 11 * 32


def test_padding_and_company_change_nothing():
    network, batch = small_network(k=2), small_batch(rows=5)
    together = network(**batch).logits
    for i in range(5):
        n = int(batch["attention_mask"][i].sum())
        alone = network(**{name: rows[i : i + 1, :n] for name, rows in batch.items()}).logits
        assert torch.equal(alone[0], together[i])


def test_without_a_mask_all_tokens_exist_and_without_types_all_are_the_first():
    network, batch = small_network(), small_batch(rows=1)
    ones, zeros = torch.ones_like(batch["input_ids"]), torch.zeros_like(batch["input_ids"])
    full = network(batch["input_ids"], ones, zeros).logits
    assert torch.equal(network(batch["input_ids"]).logits, full)


def test_expected_are_the_levels_and_logits_of_a_pass():
    network, arrays = small_network(k=1), small_arrays()
    network.train()
    given = network.expected(arrays)
    assert network.training
    assert torch.equal(torch.from_numpy(given.logits), network.eval()(**small_batch()).logits)
    shapes = {site: levels.shape for site, levels in given.levels.items()}
    assert shapes[Site(1, "probabilities")] == (6, 4, 11, 11) and shapes[Site(1, "intermediate")] == (6, 11, 64)
    assert all(levels.dtype == "uint8" and levels.max() <= 15 for levels in given.levels.values())


def test_probabilities_by_shifts_are_so_in_training_too():
    network = small_network(digital="shift", activation_bits=6)
    block, draw = network.layers()[0], torch.Generator().manual_seed(0)
    scores = torch.randint(-9, 9, (2, 4, 5, 7), generator=draw).float().requires_grad_()
    keys = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    trained = block.train().attention_probabilities(scores, keys)
    assert torch.equal(trained.detach(), block.eval().attention_probabilities(scores, keys).detach())
    trained[..., 0].sum().backward()
    assert bool(scores.grad.any())


def test_scores_that_are_small_are_shared_in_evaluation_as_in_training():
    """Many steps of an attention that is nearly even; below what a table can hold, both take its least step."""
    network = small_network(k=1, mean=True, activation_bits=6, kv_bits=6)
    block, draw = network.layers()[0], torch.Generator().manual_seed(0)
    scores = torch.randint(-4000, 4000, (2, 4, 5, 7), generator=draw).float()
    keys = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    for scale in (3e-4, 1e-5, 1e-7):
        with torch.no_grad():
            block.keys.scale.mul_(scale / float(block.real_score_scale))
        trained, exact = (block.train(mode).attention_probabilities(scores, keys).detach() for mode in (True, False))
        torch.testing.assert_close(trained, exact, atol=1e-3, rtol=0)


def test_the_loss_is_that_of_the_outputs():
    for labels, wanted in ((2, torch.tensor([0, 1, 1, 0, 1, 0])), (1, torch.rand(6))):
        network = small_network(labels=labels)
        given = network(**small_batch(), labels=wanted)
        own = given.logits
        plain = torch.nn.functional.cross_entropy(own, wanted) if labels == 2 else (own[:, 0] - wanted).square().mean()
        assert torch.allclose(given.loss, plain)


def test_a_new_dead_zone_keeps_silence_within_it():
    network = small_network(k=3, mean=True, dead_zones={"context": 2})
    network.set_dead_zone(1)
    assert {p.dead_zone for p in network.populations().values()} == {1} and network.config.dead_zone == 1
    for population in network.populations().values():
        assert bool(((population.silent_value - 8 * population.silent).abs() <= 8).all())
    network.set_dead_zone(3)
    assert network.populations()[Site(0, "context")].dead_zone == 2
    with pytest.raises(InputError, match="dead_zone"):
        network.set_dead_zone(8)
    assert network.config.dead_zone == 3 and network.populations()[Site(0, "input")].dead_zone == 3


def test_its_parts_are_named_as_in_the_topology():
    network = small_network()
    assert {site.part for site in network.populations()} == set(POPULATION)
    fed = {site.part for site in network.connections()}
    assert fed == {name for targets in TARGETS.values() for name in targets} - {"qk", "pv"}
    block = network.layers()[0]
    assert block.feed("ffn1") is block.population("hidden") and block.feed("key") is block.feed("value")
