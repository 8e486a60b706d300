"""Silence priced in joules: where events go follows from a chip and from what they are worth."""

from __future__ import annotations

import pytest
import torch

from matterhorn.distill import distill
from matterhorn.distill.price import priced, prices_of, shares_of, worths
from matterhorn.distill.recipe import Distilling, load_recipe
from matterhorn.distill.silence import FEWEST
from matterhorn.energy import bill, load
from matterhorn.energy.price import prices, spread
from matterhorn.errors import InputError
from matterhorn.models import convert
from matterhorn.runtime import Engine
from matterhorn.topology import POPULATION

from ..networks import small_arrays, small_batch, small_bert, small_network

CHIP = "rram-22nm"
EVEN = dict.fromkeys(POPULATION, 1.0)


def traced(network):
    return Engine(convert(network), "exact")(**small_arrays(), trace=True).trace


def densities_of(trace):
    """Share of each population's windows that were events, counted on the trace."""
    found = {}
    for name in POPULATION:
        readers = [c for c in trace.connections.values() if c.population == name and c.connection != "query"]
        found[name] = sum(c.events for c in readers) / sum(c.windows for c in readers)
    return found


def test_a_sentence_costs_its_bill_and_each_event_its_share_of_it():
    network = small_network(k=2)
    trace, chip = traced(network), load(CHIP)
    found = prices(trace, chip)
    events = {name: share * found.windows[name] for name, share in densities_of(trace).items()}
    total = found.fixed + sum(found.events[name] * count for name, count in events.items())
    assert total == pytest.approx(bill(trace, chip).per_sentence, rel=0.05)  # probabilities and input of cut blocks
    assert all(price > 0 for price in found.events.values())
    assert found.events["hidden"] > found.events["context"]  # which reaches half as many synapses here


def test_events_that_cost_more_are_fewer_and_those_that_are_worth_more_are_more():
    found = prices(traced(small_network(k=2)), load(CHIP))
    budget = found.sentence(dict.fromkeys(POPULATION, 0.05))
    spent = spread(EVEN, found, lambda shares: found.sentence(shares) <= budget)
    assert found.sentence(spent) == pytest.approx(budget, rel=1e-6)
    joules = {name: found.events[name] * found.windows[name] * share for name, share in spent.items()}
    free = [name for name in joules if spent[name] < 0.5]
    assert len(free) > 2 and max(joules[n] for n in free) == pytest.approx(min(joules[n] for n in free))
    dear = spread(EVEN | {"hidden": 3.0}, found, lambda shares: found.sentence(shares) <= budget)
    assert dear["hidden"] > 1.5 * spent["hidden"] and dear["context"] < spent["context"]


def test_a_measurement_that_is_interrupted_leaves_the_network_as_it_was(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    network = small_network(k=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    monkeypatch.setattr("matterhorn.distill.price.scale_for_density", stop)
    with pytest.raises(KeyboardInterrupt):
        worths(network, small_batch())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {population.dead_zone for population in network.populations().values()} == {2}
    assert network.config.dead_zone == 2


def test_worth_is_measured_and_leaves_the_network_as_it_was():
    network, batch = small_network(k=2), small_batch()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = worths(network, batch)
    assert found.keys() == POPULATION.keys() and min(found.values()) > 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {population.dead_zone for population in network.populations().values()} == {2}
    with torch.no_grad():  # what nobody reads is worth nothing
        for block in network.layers():
            block.connection("ffn2").weight.mul_(1e-6)
    assert worths(network, batch)["intermediate"] == pytest.approx(0.05 * max(worths(network, batch).values()), rel=0.2)


@pytest.mark.parametrize(
    "asked", [{"silent_share": 0.8}, {"quiet_share": 0.85}, {"silent_share": 0.8, "quiet_share": 0.9}]
)
def test_densities_meet_the_target(asked):
    network = small_network(k=2)
    phase = Distilling(dead_zone=2, learning_rate=1e-3, price=CHIP, **asked)
    told = priced(phase, network, small_batch())
    silent, quiet = shares_of(network, told.densities, 6)
    met = [share - asked[name] for name, share in (("silent_share", silent), ("quiet_share", quiet)) if name in asked]
    assert min(met) == pytest.approx(0, abs=0.01) and min(told.densities.values()) >= FEWEST
    assert priced(phase.model_copy(update={"price": None}), network, small_batch()).densities == {}


def test_joules_are_a_target_and_too_few_are_refused():
    network = small_network(k=2)
    found = prices_of(network, CHIP, small_batch())
    phase = Distilling(
        dead_zone=2, learning_rate=1e-3, price=CHIP, joules=found.sentence(dict.fromkeys(POPULATION, 0.1))
    )
    told = priced(phase, network, small_batch())
    assert found.sentence(told.densities) == pytest.approx(phase.joules, rel=1e-3)
    assert told.silent_share and told.quiet_share
    with pytest.raises(InputError, match=r"joules: .* a sentence, of .* with hardly an event; give more"):
        priced(phase.model_copy(update={"joules": 1e-15}), network, small_batch())


def test_a_network_is_trained_for_a_price(capsys):
    student = small_network(k=0)
    told = {"price": CHIP, "quiet_share": 0.85, "batch_size": 6, "steps": 60, "learning_rate": 1e-3}
    distill(student, small_bert(), [small_batch(seed) for seed in range(4)], dead_zone=2, **told)
    trace = traced(student)
    assert trace.quiet_share == pytest.approx(0.85, abs=0.08)
    assert "joules=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"price": "none", "silent_share": 0.9}, "no chip 'none'"),
        ({"price": CHIP}, "takes a dead zone, a target"),
        ({"price": CHIP, "dead_zone": 0, "silent_share": 0.9}, "takes a dead zone, a target"),
        ({"price": CHIP, "silent_share": 0.9, "densities": EVEN}, "and no densities"),
        ({"joules": 1e-6}, "on the chip that price names"),
        ({"price": CHIP, "joules": 1e-6, "silent_share": 0.9}, "a target of their own"),
    ],
)
def test_a_price_without_a_target_is_refused(settings, problem):
    with pytest.raises((InputError, ValueError), match=problem):
        Distilling(**({"dead_zone": 3, "learning_rate": 1e-3} | settings))


def test_a_recipe_is_priced_where_it_holds_a_share():
    own = load_recipe("sst2").priced(CHIP)
    assert [phase.price for phase in own.phases] == [None, CHIP] and not own.phases[1].densities
    with pytest.raises(InputError, match="no phase has a target and a dead zone"):
        load_recipe("pairs").priced(CHIP)
    assert own.phases[1].silent_share == load_recipe("sst2").phases[1].silent_share
