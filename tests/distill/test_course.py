"""Courses: recipes one after another in one process; killed, resumed, and with two processes as with one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.distill.course import check_course, load_course, price_course, run_course
from matterhorn.distill.recipe import Recipe, load_recipe, shelf
from matterhorn.errors import InputError

from ..tiny import PHASE, environment, lay_course
from .test_launch import LAUNCH

pytestmark = pytest.mark.xdist_group("course")  # one course to look at, not one for each worker
PLACES = ("general/phase-0-k1", "first/teacher", "first/phase-0-k1", "second/teacher", "second/phase-0-k1")


@pytest.fixture(scope="module")
def laid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    path, told = lay_course(folder), []
    done = run_course(load_course(path), folder / "whole", folder / "glue", say=told.append)
    assert [one.problem for one in done] == [None] * 3 and told[1] == "2 of 3: first"
    return path, folder / "whole"


def history(folder):
    return [json.loads((folder / place / "last" / "state.json").read_text())["history"] for place in PLACES]


def test_a_course_leaves_a_network_of_each_recipe_each_from_the_one_before(laid):
    _, folder = laid
    for place, entries in zip(PLACES, history(folder), strict=True):
        assert (folder / place / "best" / "config.json").is_file()
        assert len(entries) == 2 and {"loss"} <= entries[-1].keys()
    last = history(folder)[2][-1]
    assert {"divergence", "learned", "silent", "quiet"} <= last.keys()


def test_a_course_that_was_stopped_anywhere_ends_as_the_whole_one(laid, monkeypatch):
    path, whole = laid
    output, own = whole.with_name("stopped"), torch.optim.AdamW.step
    left = [3, 25, 20, 3]

    def stop(self, *arguments, **options):
        if left:
            left[0] -= 1
            if not left[0]:
                left.pop(0)
                raise KeyboardInterrupt
        return own(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", stop)
    while left:
        with pytest.raises(KeyboardInterrupt):
            run_course(load_course(path), output, path.parent / "glue", say=len)
    run_course(load_course(path), output, path.parent / "glue", say=len)
    assert history(output) == history(whole)
    for place in PLACES:
        ours, other = (load_file(folder / place / "last" / "state.safetensors") for folder in (output, whole))
        assert ours.keys() == other.keys() and all(torch.equal(ours[name], other[name]) for name in other)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(laid):
    path, whole = laid
    output = whole.with_name("two")
    command = [sys.executable, *LAUNCH, "-m", "matterhorn", "course", str(path), "--output", str(output)]
    done = subprocess.run(
        [*command, "--glue-dir", str(path.parent / "glue")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0 and done.stdout.count("the quantized network") == 3, done.stderr
    for own, other in zip(history(output), history(whole), strict=True):
        assert [entry["loss"] for entry in own] == pytest.approx([entry["loss"] for entry in other], abs=1e-5)


def test_a_recipe_that_fails_says_so_and_the_next_one_runs(laid, monkeypatch):
    path, whole = laid
    monkeypatch.setattr("matterhorn.distill.run.by_majority", lambda *_: 1.01)
    course, told = load_course(path), list[str]()
    bad = course["first"].model_copy(update={"start": None})
    after = course["first"].model_copy(update={"start": "bad"})
    given = {"bad": bad, "after": after, "general": course["general"]}
    first, second, general = run_course(given, whole.with_name("bad"), path.parent / "glue", say=told.append)
    assert general.best and general.problem is None and first.best is None
    assert "the teacher's accuracy is" in first.problem and "commonest label alone 1.010; train it" in first.problem
    assert "no finished run" in second.problem and sum("no finished run" in line for line in told) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"first": "nowhere.yaml"}, "no such recipe"),
        ({"first": 3}, r"recipes\.first: not a recipe"),
        ({"first": {"task": "wnli"}}, r"course\.yaml: recipes\.first"),
        (
            {"general": {"texts": ["wnli"], "phases": [{"learning_rate": -1}]}},
            r"recipes\.general\.phases\.0\.learning_rate",
        ),
    ],
)
def test_a_course_that_cannot_be_read_is_refused_in_one_line(tmp_path, change, problem):
    with pytest.raises(InputError, match=problem) as caught:
        load_course(lay_course(tmp_path, **change))
    assert "\n" not in str(caught.value)


def test_a_start_that_does_not_come_before_is_refused_before_any_work(laid, tmp_path):
    path, whole = laid
    course = load_course(path)
    swapped = {name: course[name] for name in ("first", "general")}
    with pytest.raises(InputError, match=r"recipes\.first\.start: general is no earlier recipe; name one that stands"):
        run_course(swapped, tmp_path / "runs", path.parent / "glue")
    assert not (tmp_path / "runs").exists()
    check_course({"second": course["second"]}, whole)  # which lies there, finished
    with pytest.raises(InputError, match="not a folder's name"):
        check_course({"a/b": course["general"]}, whole)
    with pytest.raises(InputError, match="no such course"):
        load_course(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sources": [{"name": "mine", "version": "1", "sha256": "0" * 64}]}, r"mine\.json: sources: not prepared"),
        ({"texts": ["mrpc"]}, "MRPC"),
        ({"backbone": "nowhere"}, "nowhere"),
    ],
)
def test_what_a_later_recipe_lacks_is_refused_before_the_first_one_runs(laid, tmp_path, change, problem):
    path, _ = laid
    course = load_course(path)
    course["second"] = course["second"].model_validate(course["second"].model_dump() | change)
    with pytest.raises(InputError, match=problem) as caught:
        run_course(course, tmp_path / "runs", path.parent / "glue")
    assert "\n" not in str(caught.value) and not (tmp_path / "runs").exists()


def test_the_command_tells_what_came_of_each_recipe(laid, tmp_path):
    path, whole = laid
    rows = ["--glue-dir", str(path.parent / "glue")]
    done = CliRunner().invoke(app, ["course", str(path), "--output", str(whole), *rows], catch_exceptions=False)
    assert done.exit_code == 0 and done.stdout.count("best: the quantized network, silent 0.") == 3
    bad = lay_course(tmp_path, second={"task": "wnli", "start": "third", "teacher": PHASE, "phases": [PHASE]})
    refused = CliRunner().invoke(app, ["course", str(bad), "--output", str(tmp_path / "runs"), *rows])
    assert isinstance(refused.exception, InputError) and "third is no earlier recipe" in str(refused.exception)


def test_a_shipped_recipe_is_the_course_that_leads_to_it():
    assert list(load_course("rte")) == ["pairs", "mnli", "rte"]
    assert load_course("rte")["mnli"] == load_recipe("minilm/mnli")


def test_recipes_of_a_course_are_named_as_everywhere(tmp_path):
    """By family and task, and by a path from the course's file."""
    (tmp_path / "mine").mkdir()
    path = lay_course(tmp_path, lean="mini/sst2-lean", own="mine/own.yaml")
    shutil.copy(shelf() / "minilm" / "rte.yaml", tmp_path / "mine" / "own.yaml")
    course = load_course(path)
    assert (course["lean"], course["own"]) == (load_recipe("mini/sst2-lean"), load_recipe("rte"))
    with pytest.raises(InputError, match="no such recipe"):
        load_course(lay_course(tmp_path, lean=""))


def test_recipes_that_hold_silence_without_a_dead_zone_stay_as_they_are_in_a_priced_course():
    held = {"dead_zone": 0, "silent_share": 0.5, "learning_rate": 1e-3}
    first, second = (
        Recipe.model_validate({"texts": ["rte"], "phases": [held | phase]}) for phase in ({}, {"dead_zone": 3})
    )
    priced = price_course({"first": first, "second": second}, "rram-22nm")
    assert list(priced) == ["first", "second"] and priced["first"] == first
    assert priced["second"] == second.priced("rram-22nm")
    with pytest.raises(InputError, match="price: no phase of any recipe has a target and a dead zone; give one"):
        price_course({"first": first}, "rram-22nm")


def test_a_recipe_does_not_start_from_what_an_earlier_course_left(laid):
    """Its start was changed since, and is refused."""
    path, whole = laid
    course = load_course(path)
    changed = course["general"].model_copy(update={"seed": 7})
    given = {"general": changed, "third": course["first"]}
    general, third = run_course(given, whole, path.parent / "glue", say=len)
    assert "general" in given["third"].start and "seed" in general.problem
    assert third.best is None and "start: general was not done, and the finished run there is of" in third.problem
    assert not (whole / "third").exists()
