from __future__ import annotations

import pytest
import torch

from matterhorn.distill.silence import Fixed, Silence, load, shares
from matterhorn.errors import InputError
from matterhorn.models import convert
from matterhorn.runtime import Engine
from matterhorn.topology import POPULATION, TARGETS, Shape, Site

from ..networks import small_arrays, small_batch, small_network

SHAPE = Shape(layers=2, width=32, heads=4, intermediate=64)


def follow(network, silence, passes=1, batch=None):
    """Shares that a pass in training sends, after some passes."""
    batch = batch or small_batch()
    for _ in range(passes):
        with torch.no_grad():
            events = network.train()(**batch, output_hidden_states=True).events
        if silence is not None:
            silence.follow(events)
    return shares(SHAPE, events, batch["input_ids"].shape[1], Fixed()).tolist()


def held(network, **asked) -> Silence:
    return Silence(network, small_batch(), batch_size=len(small_batch()["input_ids"]), **asked)


def test_a_window_stands_for_all_that_read_it():
    assert load(SHAPE, Site(0, "input"), 9) == pytest.approx((3, 3 * 32))
    assert load(SHAPE, Site(0, "queries"), 9) == pytest.approx((1, 9))
    assert load(SHAPE, Site(0, "intermediate"), 9) == pytest.approx((1, 32))
    assert load(SHAPE, Site(1, "input"), 8) == pytest.approx((2 + 1 / 8, 32 * (2 + 1 / 8)))  # query: first tokens only
    assert load(SHAPE, Site(1, "hidden"), 8) == pytest.approx((1 / 8, 64 / 8))
    assert load(SHAPE, Site(1, "probabilities"), 8) == pytest.approx((1 / 8, 8 / 8))


def test_shares_in_training_are_those_of_the_program():
    network = small_network(k=2)
    whole = {name: values[:1].repeat(4, 1) for name, values in small_batch().items()}  # no padding, which would count
    with torch.no_grad():
        events = network.train()(**whole, output_hidden_states=True).events
    arrays = {name: values[:1].repeat(4, 0) for name, values in small_arrays().items()}
    trace = Engine(convert(network.eval()), "exact")(**arrays, trace=True).trace
    wanted = trace.silent_share, trace.quiet_share
    found = shares(SHAPE, events, 11, Fixed()).tolist()
    assert found == pytest.approx(wanted, abs=0.03)  # all tokens stand for the first, last block


def test_padding_counts_for_nothing():
    network, arrays = small_network(k=2).train(), small_batch()
    with torch.no_grad():
        padded = network(**arrays, output_hidden_states=True).events
        rows = []
        for i, length in enumerate(arrays["attention_mask"].sum(1).tolist()):
            alone = {name: values[i : i + 1, :length] for name, values in arrays.items()}
            rows.append(network(**alone, output_hidden_states=True).events)
    for site, one in padded.items():
        assert float(one.windows) == sum(float(row[site].windows) for row in rows), site
        assert float(one.events) == pytest.approx(sum(float(row[site].events) for row in rows), rel=1e-3), site


@pytest.mark.parametrize("which", ["silent_share", "quiet_share"])
def test_targets_add_up_and_populations_keep_their_proportions(which):
    tight, loose = (held(small_network(k=2), **{which: share}).targets for share in (0.95, 0.9))
    ratios = [(1 - tight[name]) / (1 - loose[name]) for name in tight if loose[name] < 0.99]
    assert ratios and max(ratios) - min(ratios) < 1e-6 and abs(ratios[0] - 0.5) < 1e-6


def test_of_two_shares_the_one_that_leaves_fewer_events_decides():
    both = held(small_network(k=2), silent_share=0.8, quiet_share=0.95).targets
    assert both == held(small_network(k=2), quiet_share=0.95).targets
    assert held(small_network(k=2), silent_share=0.95, quiet_share=0.8).targets == (
        held(small_network(k=2), silent_share=0.95).targets
    )


@pytest.mark.parametrize("which", [0, 1])
def test_scales_follow_activations_that_grow(which):
    network = small_network(k=2)
    start = follow(network, None)
    silence = held(network, **{("silent_share", "quiet_share")[which]: start[which]})
    for population in network.populations().values():
        assert population.follows and not population.scale.requires_grad
    with torch.no_grad():
        for block in network.layers():
            block.attention_norm.weight.mul_(2)
            block.feed_forward_norm.weight.mul_(2)
    grown = follow(network, None)
    assert grown[which] < start[which] - 0.05
    reached = follow(network, silence, passes=600)
    assert abs(reached[which] - start[which]) < 0.2 * (start[which] - grown[which])


def sent(network, site: Site, share: float):
    """Events of a pass, those of one population as told."""
    with torch.no_grad():
        events = network.train()(**small_batch(), output_hidden_states=True).events
    return events | {site: events[site]._replace(events=share * events[site].windows)}


def test_a_dead_zone_that_widens_stays_where_it_was():
    network, site = small_network(k=2), Site(0, "input")
    population = network.populations()[site]
    population.silent[0], population.silent_value[0] = population.zero + 4, 8 * (population.zero + 4) + 3
    silence = held(network, silent_share=0.9)
    scale = float(population.scale.detach())
    center = scale * 4.375
    for _ in range(60):
        silence.follow(sent(network, site, 0.5))  # far short of silence: the scale grows
    grown = float(population.scale.detach())
    assert grown > 1.2 * scale
    assert abs(grown * (float(population.silent_value[0]) / 8 - population.zero) - center) < 0.1 * grown
    assert int(population.silent[0]) == population.zero + round(4 * scale / grown)


def test_a_scale_does_not_run_away_when_activations_vanish():
    """Queries that shrink to nothing took their scale with them: silent levels piled up at the end of the range."""
    network, site = small_network(k=2), Site(0, "queries")
    population = network.populations()[site]
    population.silent.fill_(population.zero + 2)
    population.silent_value.fill_(8 * (population.zero + 2))
    silence, start = held(network, silent_share=0.9), float(population.scale.detach())
    for _ in range(400):
        silence.follow(sent(network, site, 0.0))  # all silent: the scale shrinks to hear something
    assert float(population.scale.detach()) >= 2 / population.zero * start * 0.999
    assert int(population.silent.max()) <= population.top


def test_a_share_is_kept_over_rows_of_different_lengths():
    """Attention of short rows is less silent than that of all rows together: scales must not give in to it."""
    network, site = small_network(k=1), Site(0, "probabilities")
    silence, population = held(network, silent_share=0.9), network.populations()[site]
    passes = []
    for rows in ({name: values[:, :3] for name, values in small_batch().items()}, small_batch()):
        with torch.no_grad():
            passes.append(network.train()(**rows, output_hidden_states=True).events)
    (short, few), (long, many) = ((float(one[site].events), float(one[site].windows)) for one in passes)
    assert short / few > 1.2 * long / many
    silence.targets["probabilities"] = 1 - (short + long) / (few + many)
    scale = float(population.scale.detach())
    for _ in range(50):
        for events in passes:
            silence.follow(events)
    assert abs(float(population.scale.detach()) / scale - 1) < 0.01


def test_a_controller_goes_on_from_its_state():
    through, stopped = small_network(k=2), small_network(k=2)
    whole, first = held(through, silent_share=0.9), held(stopped, silent_share=0.9)
    for network, silence in ((through, whole), (stopped, first)):
        for _ in range(20):
            silence.follow(network.train()(**small_batch(), output_hidden_states=True).events, torch.tensor([0.5, 0.4]))
    resumed = held(stopped, silent_share=0.7, quiet_share=0.2)  # counted anew, on other scales
    resumed.load_state_dict(first.state_dict())
    assert torch.equal(resumed.seen, whole.seen) and resumed.targets == whole.targets
    for network, silence in ((through, whole), (stopped, resumed)):
        follow(network, silence, passes=20)
    for site, population in through.populations().items():
        assert torch.equal(population.scale, stopped.populations()[site].scale)
        assert torch.equal(population.silent_value, stopped.populations()[site].silent_value)


def test_what_is_missing_of_late():
    silence = held(small_network(k=2), silent_share=0.9, quiet_share=0.8)
    assert silence.missing == 0.0
    events = small_network(k=2).train()(**small_batch(), output_hidden_states=True).events
    silence.follow(events, torch.tensor([0.85, 0.85]))
    assert silence.missing == pytest.approx(0.05)
    silence.follow(events, torch.tensor([1.0, 0.85]))
    assert silence.missing == pytest.approx(0.05 - 0.05 * 0.15)


def test_every_population_has_a_target():
    assert held(small_network(k=2), silent_share=0.9).targets.keys() == TARGETS.keys()


@pytest.mark.parametrize("which", ["silent_share", "quiet_share"])
@pytest.mark.parametrize("share", [0.6, 0.4])
def test_no_population_is_asked_for_more_events_than_it_can_send(which, share):
    """A quarter of the windows of one and three hundredths of another, in relation, is over all of the first here."""
    network, densities = small_network(k=1), dict.fromkeys(POPULATION, 0.03) | {"hidden": 0.25}
    silence = held(network, densities=densities, **{which: share})
    asked = {name: 1 - target for name, target in silence.targets.items()}
    assert max(asked.values()) == asked["hidden"] == pytest.approx(13 / 16)  # three levels of sixteen are silent
    assert min(asked.values()) > 2 * (1 - share) * 0.03 / 0.25  # the others make up for it


def test_shares_that_cannot_be_held_are_refused():
    for asked, problem in (
        ({}, "silent_share: no share to hold"),
        ({"silent_share": 90}, "silent_share: 90; give a share between 0 and 1"),
        ({"silent_share": 0.9, "quiet_share": 1.0}, "quiet_share: 1.0"),
    ):
        with pytest.raises(InputError, match=problem):
            held(small_network(k=1), **asked)
