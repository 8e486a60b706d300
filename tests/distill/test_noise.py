from __future__ import annotations

from functools import partial

import pytest
import torch

from matterhorn.distill.loss import Distillation
from matterhorn.distill.measure import ask
from matterhorn.distill.noise import TURNS, Chips
from matterhorn.msu import deviating, load_device

from ..networks import small_batch, small_bert, small_network


def chips(network, share=0.12):
    return Chips(network, deviating(load_device("ideal"), share), seed=1, renew=100)


def test_every_connection_strays_by_what_the_device_says():
    drawn = chips(small_network())
    drawn.draw()
    everything = torch.cat([connection.deviation.flatten() for connection in drawn.connections])
    assert everything.std().item() == pytest.approx(0.12, rel=0.05)


def test_connections_are_written_anew_in_turn():
    drawn = chips(small_network())
    drawn.draw()
    first = [connection.deviation for connection in drawn.connections]
    drawn.draw()
    kept = [connection.deviation is before for connection, before in zip(drawn.connections, first, strict=True)]
    assert 0 < kept.count(False) <= -(-len(kept) // TURNS)
    for _ in range(2, TURNS + 1):
        drawn.draw()
    pairs = zip(drawn.connections, first, strict=True)
    assert not any(connection.deviation is before for connection, before in pairs)


def test_a_resumed_run_meets_the_same_chips():
    network = small_network()
    through, resumed = chips(network), chips(network)
    for passes in range(103):
        if passes == 100:
            state = through.state_dict()
        through.draw()
    expected = [connection.deviation.clone() for connection in through.connections]
    for connection in network.connections().values():
        connection.deviation = None
    resumed.load_state_dict(state)
    for _ in range(100, 103):
        resumed.draw()
    assert all(torch.equal(c.deviation, e) for c, e in zip(resumed.connections, expected, strict=True))


def test_a_run_that_is_resumed_between_two_chips_starts_with_a_whole_one():
    """A phase that the clock bounds is not evaluated at multiples of ``renew`` steps."""
    drawn = chips(small_network())
    drawn.load_state_dict({"passes": torch.tensor(7)})
    drawn.draw()
    assert all(connection.deviation is not None for connection in drawn.connections) and drawn.passes == 8


def test_a_chip_disturbs_training_and_nothing_else():
    network, batch = small_network(), small_batch()
    clean = network.eval()(**batch).logits
    loss = Distillation(network, partial(ask, small_bert()))
    quiet = loss(network.train(), batch)[1]["loss"]
    loss.chips = chips(network, 0.5)
    noisy = [loss(network, batch)[1]["loss"] for _ in range(2)]
    assert len({quiet, *noisy}) == 3
    assert torch.equal(network.eval()(**batch).logits, clean)
