"""Scores outlive a kill."""

from __future__ import annotations

import json

import pytest

from matterhorn.errors import InputError
from matterhorn.study import Journal, run_plan

from .fakes import Scored, plan_in

PLAN = """
device: rram-wan
circuit: array-128
studies:
  deviation: {title: noise, unit: "%", values: [0, 10, 20]}
"""


def test_a_killed_study_goes_on_where_it_was(tmp_path):
    path, plan = tmp_path / "study.json.part", plan_in(tmp_path, PLAN)
    whole = run_plan(Scored(), plan, 3)
    with pytest.raises(KeyboardInterrupt):
        run_plan(Scored(life=4), plan, 3, journal=Journal(path, {"n": 8}))
    rest = Scored()
    assert run_plan(rest, plan, 3, journal=Journal(path, {"n": 8})) == whole
    with Journal(path, {"n": 8}), pytest.raises(InputError, match="held by process"), Journal(path, {"n": 8}):
        pass
    assert [one.name for one in tmp_path.iterdir() if "lock" in one.name] == []
    assert len(rest.chips) == 2 * 3 - 4  # without deviation a chip is what exact is: none is built


def test_times_a_second_apart_are_two_entries(tmp_path):
    studies = "drift: {title: time, unit: s, values: [31536000, 31536001], scale: log, device: pcm}"
    plan = plan_in(tmp_path, PLAN.replace('deviation: {title: noise, unit: "%", values: [0, 10, 20]}', studies))
    journal = Journal(tmp_path / "study.json.part", {"n": 8})
    run_plan(Scored(), plan, 1, journal=journal)
    assert len(journal.scores) == 2


def test_scores_of_something_else_are_refused(tmp_path):
    path = tmp_path / "study.json.part"
    Journal(path, {"n": 8, "model": "sst2"}).note("deviation 0 0", 0.9)
    with pytest.raises(InputError, match="another study"):
        Journal(path, {"n": 9, "model": "sst2"})
    kept = json.loads(path.read_text())
    assert kept["format"] == 3 and Journal(path, {"n": 8, "model": "sst2"}).scores == {"deviation 0 0": 0.9}
    path.write_text(json.dumps(kept | {"format": 1}))
    with pytest.raises(InputError, match="format 1, not 3"):
        Journal(path, {"n": 8, "model": "sst2"})
    for text in (json.dumps([1]), json.dumps({"about": {}, "scores": {}}), "{"):
        path.write_text(text)
        with pytest.raises(InputError, match="delete it, or name another output"):
            Journal(path, {"n": 8})
