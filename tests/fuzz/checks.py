"""What must hold of spoiled files beyond an answer or one line: nothing altered is taken, nothing is checked late."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from matterhorn.program import load

TEXTS = ["a Fine film", ("dull", "and cold")]


class Accepted(Exception):
    """Something was taken that should have been refused."""


def unaltered(path: Path) -> None:
    """A program that still loads is the one that was saved, and reads texts as that did."""
    whole, found = load(path.parents[2] / "whole"), load(path.parent)
    if found.hash != whole.hash or (found.task, found.problem_type) != (whole.task, whole.problem_type):
        raise Accepted(f"altered {path.name}")
    if (found.tokenizer is None) != (whole.tokenizer is None):
        raise Accepted(f"altered {path.name}")
    ours, theirs = whole.encode(TEXTS), found.encode(TEXTS)
    if any(not np.array_equal(ours[name], theirs[name]) for name in ours):  # type: ignore[literal-required]
        raise Accepted(f"altered {path.name}")


def recipe_holds(path: Path) -> None:
    """What a recipe's reader takes, training takes: its network, dead zones, tasks, devices; in bounded time."""
    from matterhorn.distill.recipe import load_recipe
    from matterhorn.errors import InputError
    from matterhorn.models import quantize
    from matterhorn.msu import load_device
    from matterhorn.tasks.task import get_task

    from ..networks import small_bert

    recipe = load_recipe(path)
    try:
        network = quantize(small_bert(), **recipe.network)
        for phase in recipe.phases:
            network.set_dead_zone(phase.dead_zone)
            load_device(phase.device)
        for name in recipe.texts:
            get_task(name)
    except (InputError, TypeError) as error:
        raise Accepted(f"late: {type(error).__name__}") from error
    made = (recipe.reworded, recipe.recombined, recipe.edited, recipe.rematched, recipe.texts_each)
    if max(made) > 10**8 or any(phase.epochs > 10**6 or phase.batch_size > 10**6 for phase in recipe.phases):
        raise Accepted("late: no end")


def teacher_holds(path: Path) -> None:
    """A teacher that loads has all its tensors, finite ones."""
    from safetensors.numpy import load_file

    from matterhorn.distill.teacher import load_teacher
    from matterhorn.tasks.task import get_task

    model = load_teacher(path.parent, get_task("sst2"))
    stored = load_file(path.parent / "model.safetensors")
    missing = set(model.state_dict()) - {*stored, "bert.embeddings.position_ids"}
    if missing or not all(np.isfinite(value).all() for value in stored.values()):
        raise Accepted("a teacher with random or boundless weights")


def upgrade_holds(path: Path) -> None:
    """What is written of a folder of an earlier version is a program of today."""
    from matterhorn.program.upgrade import upgrade
    from matterhorn.reading import read_mapping

    new = Path("out") / "new"
    upgrade(path.parent, new)
    load(new)
    read_mapping(new / "results.json")


def wires_hold(path: Path) -> None:
    """A damaged cache is rebuilt: what comes out is what was solved."""
    from matterhorn.msu import WireCache, load_circuit
    from matterhorn.msu.wires import effective_conductances

    wires, arrays = load_circuit("array-128").wires, np.full((1, 4, 6), 1e-5, np.float32)
    assert wires is not None
    (known,) = [*(path.parents[3] / "whole-cache").iterdir()]
    (path.parent / known.name).write_bytes(path.read_bytes())
    if not np.array_equal(WireCache(path.parent).effective(arrays, wires), effective_conductances(arrays, wires)):
        raise Accepted("a damaged cache")
