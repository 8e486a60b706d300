"""Running a plan: known answers; chips of a small program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from matterhorn.msu import ArrayBank, deviating, load_circuit, load_device, only
from matterhorn.program import load
from matterhorn.runtime import Engine
from matterhorn.runtime.analog import sample_kappa
from matterhorn.study import Run, load_plan, needed, run_plan, sizing_sample, spread
from matterhorn.tasks.rows import Examples
from matterhorn.tasks.task import get_task
from matterhorn.tasks.tokens import tokens_for

from ..networks import small_program
from .fakes import Scored


def test_the_limit_lies_on_the_line_between_tried_values():
    assert needed([0, 10, 20], [0.0, 0.005, 0.025], 0.01) == {"value": pytest.approx(12.5), "how": "interpolated"}
    found = needed([1, 100, 10000], [0.0, 0.0, 0.02], 0.01, "log")
    assert found["value"] == pytest.approx(1000) and found["how"] == "interpolated"
    assert needed([40, 10], [0.0, 0.02], 0.01, "log")["value"] == pytest.approx(20)
    assert needed([1, 2], [0.0, 0.009], 0.01) == {"value": 2, "how": "beyond"}
    assert needed([1, 2], [0.01, 0.5], 0.01) == {"value": None, "how": "none"}
    assert needed([0, 1, 2, 3], [0.0, 0.02, 0.0, 0.02], 0.01)["value"] == pytest.approx(0.5)


def test_chips_that_cannot_differ_are_scored_once():
    """No part that does something: no chip is built. Nothing drawn: one stands for all."""
    shipped, run = load_plan().studies, Scored()
    values = {"deviation": [0, 5], "stuck": [0, 1], "read": [0, 2], "offset": [0, 1], "jitter": [0, 10], "wires": [1]}
    studies = {name: shipped[name].model_copy(update={"values": v, "chips": None}) for name, v in values.items()}
    found = run_plan(run, load_plan().model_copy(update={"studies": studies}), chips=3)
    means = {name: [point["mean"] for point in study["points"]] for name, study in found["studies"].items()}
    assert found["format"] == 2 and found["clean"] == 0.9
    assert all(means[name][0] == pytest.approx(0.9) for name in ("deviation", "stuck", "read", "offset"))
    assert means["stuck"][1] == means["read"][1] == means["offset"][1] == pytest.approx(0.79)
    assert means["jitter"] == pytest.approx([0.8, 0.79]) and means["wires"] == pytest.approx([0.8])
    assert run.chips == 4 * [0, 1, 2] + [0] + [0, 1, 2] + [0]


def test_points_hold_scores_spread_worst_and_yield():
    studies = {"deviation": load_plan().studies["deviation"].model_copy(update={"values": [0, 100]})}
    found = run_plan(Scored(), load_plan().model_copy(update={"studies": studies}), chips=3, seed=1)
    calm, wild = found["studies"]["deviation"]["points"]
    assert (calm["scores"], calm["spread"], calm["yield"]) == ([0.9] * 3, 0, 1)
    assert wild["scores"] == pytest.approx([0.69, 0.68, 0.67]) and wild["worst"] == min(wild["scores"])
    assert wild["mean"] == pytest.approx(0.68) and wild["spread"] == spread(wild["scores"]) == pytest.approx(0.01)
    assert wild["yield"] == 0


@pytest.fixture(scope="module")
def run():
    """A score for each of 40 pairs of letters: every chip gives another correlation."""
    program, task, draw = small_program(1, labels=1), get_task("stsb"), np.random.default_rng(0)
    texts = [tuple(" ".join(draw.choice([*"abcdefgh"], draw.integers(1, 9))) for _ in range(2)) for _ in range(40)]
    tokens = tokens_for(program, Examples(texts, (5 * draw.random(40)).tolist()), 16, task=task)
    return Run(program, tokens, task, sample_kappa(program, program.encode(["a b c d", "e f g"])))


def test_scores_are_those_of_an_engine(run):
    ideal = ArrayBank.of("ideal", "ideal-128")
    assert run.score() == run.score(Engine(run.program, "exact")) == run.score(run.on_chip(ideal))
    noisy = replace(ideal, device=deviating(load_device("ideal"), 1.0))
    scores = run.scores(noisy, range(4))
    assert scores == run.scores(noisy, range(4)) and len(set(scores)) == 4
    assert scores[2] == run.score(run.on_chip(replace(noisy, seed=2)))


def test_reads_are_seeded_by_the_chips_seed(run):
    bank = ArrayBank(only(load_device("rram-milo"), "read"), only(load_circuit("array-128"), "comparator"), 3)
    batch = run.tokens.encoded([0, 1])
    first, again, other = (run.on_chip(replace(bank, seed=seed))(**batch).logits for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_capacitors_are_sized_by_the_sentences_that_come_with_the_package():
    program = load("sst2")
    sample = sizing_sample(program)
    assert list(sample) == [array.name for block in program.blocks for array in block.arrays.values()]
    assert len(sample["block.5.query"]) == 24 < len(sample["block.5.key-value"])
