"""The model card says what a reader wants to know, and nothing that is not so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import yaml

from matterhorn.distill.recipe import load_recipe
from matterhorn.hf import model_card
from matterhorn.tasks.results import Result, Scores, SpikingScores, Verification


def result(**changes) -> Result:
    verification = Verification(
        n=872, levels_compared=1_352_879_064, levels_different=0, events_different=0, logits_different=0,
        backends=["stepped", "exact", "events"],
    )  # fmt: skip
    spiking = {
        "k": 3,
        "silence_per": "neuron",
        "intermediate": 1536,
        "silent_share": 0.90316,
        "quiet_share": 0.91234,
        "events_per_token": 1912.9,
        "metrics": {"accuracy": 0.86123},
        "verify": verification,
    }
    plain = {
        "task": "sst2",
        "model": "sst2",
        "n": 872,
        "metric": "accuracy",
        "seed": 1,
        "teacher": Scores(metrics={"accuracy": 0.9025}),
        "spiking": [SpikingScores(**(spiking | changes.pop("spiking", {})))],
        "command": "matterhorn evaluate --task sst2 --model sst2 --json",
        "date": "2026-11-26",
    }
    return Result(**(plain | changes))


def recipe(**changes):
    return load_recipe("sst2").model_copy(update=changes)


def history(step: int, divergence: float) -> SimpleNamespace:
    entries = [{"step": step - 200, "divergence": 2 * divergence}, {"step": step, "divergence": divergence}]
    return SimpleNamespace(best_step=step, history=entries)


def test_figures_stand_beside_each_other():
    card = model_card(result(), recipe())
    assert "| Accuracy, sst2 dev (872) | 0.8612 (teacher, full precision: 0.9025; k = 0: not measured) |" in card
    assert "| Silent share, all connections | 0.9032 |" in card
    assert "| Quiet share (synaptic operations that never happen) | 0.9123 |" in card
    assert "872 rows, 1,352,879,064 levels, 0 different; logits different: 0 (stepped, exact, events)" in card
    assert "`matterhorn evaluate --task sst2 --model sst2 --json`" in card


def test_front_matter_is_read_by_the_hub():
    _, front, _ = model_card(result(), recipe()).split("---\n", 2)
    plain = yaml.safe_load(front)
    assert plain["license"] == "apache-2.0" and plain["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    _, front, rest = model_card(result(), recipe(backbone="bert-tiny")).split("---\n", 2)
    assert "license" not in yaml.safe_load(front) and "sentence pairs" not in rest


def test_a_history_that_cannot_be_replayed_is_said_in_one_sentence():
    reason = "it began at weights that were not kept"
    card = model_card(result(), recipe(), not_replayable=reason)
    assert f"Its history cannot be replayed: {reason}." in card
    assert "replayed" not in model_card(result(), recipe())


def test_phases_are_told_with_what_they_reached():
    phases = recipe().phases
    card = model_card(result(), recipe(), [history(2400, 0.138) for _ in phases])
    assert f"Phase 0 (k = {phases[0].dead_zone}): best of 2 evaluations at step 2400, divergence 0.138 from the" in card
    plain = SimpleNamespace(best_step=5, history=[{"step": 5, "accuracy": 0.5}])
    assert "at step 5 on the rows held out." in model_card(result(), recipe(), [plain])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"texts": ["mnli", "qqp"], "texts_each": 9000}, "up to 9,000 training rows each of mnli, qqp: no labels."),
        ({"recombined": 1500}, "1,500 more rows are training rows with a piece exchanged"),
        ({"edited": 1500}, "1,500 more rows are training rows with one token too many, too few or out of place."),
        ({"rematched": 90000}, "Up to 90,000 more rows are pairs of sentences from different training rows."),
        ({"reworded": 700}, "700 more rows are training rows in other words, without labels too."),
        ({"start": "mrpc"}, "It starts from mrpc."),
        ({"network": {"weights": "ternary", "activation_bits": 5}}, "with ternary weights and 5-bit levels"),
        ({"network": {"dead_zones": {"probabilities": 1}}}, "a dead zone of\n3 (probabilities: 1)."),
    ],
)
def test_the_recipe_is_told(changes, sentence):
    none = {"texts": [], "recombined": 0, "edited": 0, "rematched": 0, "reworded": 0, "start": None, "network": {}}
    card = model_card(result(), recipe(**(none | changes)))
    assert sentence in card
    assert card.count(" more rows are ") == ("more rows" in sentence)


def test_what_is_not_known_is_not_made_up():
    unknown = {
        "silent_share": None,
        "quiet_share": None,
        "events_per_token": None,
        "intermediate": None,
        "verify": None,
    }
    card = model_card(result(spiking=unknown), recipe())
    for name in ("Silent share, all connections", "Events per token", "Neurons of a feed-forward layer"):
        assert f"| {name} | not noted |" in card
    assert "| Verified | not yet |" in card
