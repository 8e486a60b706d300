from __future__ import annotations

import json

import pytest

from matterhorn.errors import InputError
from matterhorn.study import Journal, load_plan, run_plan

PLAN = """
device: rram-wan
circuit: array-128
studies:
  deviation: {title: noise, unit: "%", values: [0, 10, 20]}
"""


class Counted:
    """Scores a chip by its seed and noise, as a run of a network would; dies after so many chips."""

    def __init__(self, life: int = 1000):
        self.life, self.chips = life, 0

    def on_chip(self, bank, seconds):
        return bank

    def score(self, bank) -> float:
        if not hasattr(bank, "seed"):
            return 0.9
        if self.chips == self.life:
            raise KeyboardInterrupt
        self.chips += 1
        spread = bank.device.programming
        return 0.9 - bank.seed / 100 - (0 if spread is None else spread.spread.coefficients[-1] / 10)


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "points.yaml").write_text(PLAN)
    return load_plan(tmp_path / "points.yaml")


def test_a_killed_study_goes_on_where_it_was(plan, tmp_path):
    path = tmp_path / "study.json.part"
    whole = run_plan(Counted(), plan, 3)
    with pytest.raises(KeyboardInterrupt):
        run_plan(Counted(life=4), plan, 3, journal=Journal(path, {"n": 8}))
    rest = Counted()
    assert run_plan(rest, plan, 3, journal=Journal(path, {"n": 8})) == whole
    assert rest.chips == 2 * 3 - 4  # without deviation a chip is what exact is: none is built


def test_scores_of_something_else_are_refused(tmp_path):
    path = tmp_path / "study.json.part"
    Journal(path, {"n": 8, "model": "sst2"}).note("deviation 0 0", 0.9)
    with pytest.raises(InputError, match="another study"):
        Journal(path, {"n": 9, "model": "sst2"})
    path.write_text(json.dumps([1]))
    with pytest.raises(InputError, match="not a study's journal"):
        Journal(path, {"n": 8})
