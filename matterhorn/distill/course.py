"""Courses: recipes that run one after another in one process. Each starts from a backbone or from an earlier result."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..errors import InputError
from ..reading import read_yaml, validated
from .provenance import about_run
from .recipe import TARGET_CURE, Recipe, full_name, load_recipe
from .run import train
from .start import find_start, finished_phases

Course = dict[str, Recipe]
"""Recipes by the folder names of their runs, in order."""


class Outcome(NamedTuple):
    """Result of one recipe of a course: the folder of its best network, or the problem that prevented it."""

    name: str
    best: Path | None
    problem: str | None


def load_course(name: str | Path) -> Course:
    """Load a course from a YAML file, or the course that leads to a shipped recipe (``base/sst2``).

    The latter consists of all recipes that it starts from, and itself. The file has two keys. ``recipes`` maps names to
    recipes, each written as in a recipe file, or given as the name of a shipped recipe or of a YAML file next to the
    course. ``common`` has settings that all recipes written here share.

    Raises:
        InputError: the file is not valid. The message names file and field.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        return _leading_to(full_name(str(name)))
    if not path.is_file():
        raise InputError("no such course", file=path, cure="give a .yaml file or a shipped recipe's name")
    plain = read_yaml(path, "see docs/training.md")
    common, recipes = plain.pop("common", {}), plain.pop("recipes", None)
    for field, value in (("recipes", recipes), ("common", common)):
        if not isinstance(value, dict):
            raise InputError("not a mapping", file=path, field=field, cure="give recipes by name")
    if plain:
        raise InputError("unknown key", file=path, field=next(iter(plain)), cure="give recipes, and common settings")
    return {own: _recipe(value, common, path, own) for own, value in recipes.items()}


def _leading_to(name: str) -> Course:
    """Return all recipes that a shipped recipe starts from, and itself, in order."""
    recipe = load_recipe(name)
    before = _leading_to(recipe.start) if isinstance(recipe.start, str) else {}
    return before | {Path(name).name: recipe}


def _recipe(value: Any, common: dict[str, Any], path: Path, name: str) -> Recipe:
    """Make the recipe ``name`` of the course in a file from its value there."""
    if isinstance(value, dict):
        try:
            return validated(Recipe, common | value, path, "mend it")
        except InputError as error:
            field = f"recipes.{name}.{error.field}" if error.field else f"recipes.{name}"
            raise InputError(error.problem, file=path, field=field, cure=error.cure) from error
    if not isinstance(value, str):
        raise InputError("not a recipe", file=path, field=f"recipes.{name}", cure="give settings, or a recipe's name")
    file = path.parent / value
    return load_recipe(file if file.is_file() else value)


def price_course(course: Course, chip: str) -> Course:
    """Return a course with all recipes priced on a chip that can be priced (:meth:`.recipe.Recipe.priced`).

    Raises:
        InputError: no recipe can.
    """
    priced = {name: recipe.priced(chip) for name, recipe in course.items() if recipe.can_be_priced}
    if not priced:
        raise InputError("no phase of any recipe has a target and a dead zone", field="price", cure=TARGET_CURE)
    return course | priced


def check_course(course: Course, folder: Path) -> None:
    """Check that every recipe has something to start from, before any work.

    Raises:
        InputError: a start is neither an earlier recipe of the course, nor a finished run in its folder, nor the
            program that is pinned; or a name is not possible for a folder.
    """
    earlier = list[str]()
    for name, recipe in course.items():
        if Path(name).name != name:
            raise InputError("not a folder's name", field=f"recipes.{name}", cure="give a plain name")
        if isinstance(recipe.start, str):
            start = Path(recipe.start).name
            if start not in earlier and not finished_phases(folder / start):
                cure = (
                    f"name one that stands before it ({', '.join(earlier) or 'none does'}), or a finished run's folder"
                )
                raise InputError(f"{recipe.start} is no earlier recipe", field=f"recipes.{name}.start", cure=cure)
        elif recipe.start is not None:
            find_start(folder / name, recipe.start, recipe.phases[0].dead_zone)
        earlier.append(name)


def run_course(
    course: Course,
    folder: Path,
    glue_dir: Path | None = None,
    *,
    tracker: str | None = None,
    restart: bool = False,
    say: Callable[[str], object] = print,
) -> list[Outcome]:
    """Run all recipes in folders of their names inside ``folder``. An interrupted course is resumed.

    If a recipe cannot start or fails, a message says so, and the next one runs.

    Args:
        glue_dir, tracker, restart: as for :func:`~.run.train`.
        say: called with messages about the progress of the course.

    Raises:
        InputError: before any work: the course is not possible (:func:`check_course`), or rows, sources or the backbone
            of any of its recipes are missing.
    """
    check_course(course, folder)
    for recipe in course.values():
        about_run(recipe, None, glue_dir)
    outcomes = list[Outcome]()
    for number, (name, recipe) in enumerate(course.items(), 1):
        say(f"{number} of {len(course)}: {name}")
        try:
            _check_start(recipe, folder, outcomes)
            best = train(recipe, folder / name, glue_dir, tracker=tracker, restart=restart)
            outcomes.append(Outcome(name, best, None))
        except InputError as error:
            say(f"{name}: {error}")
            outcomes.append(Outcome(name, None, str(error)))
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return outcomes


def _check_start(recipe: Recipe, folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Check that a recipe does not start from what an earlier course left in the place of its start.

    Raises:
        InputError: its start belongs to this course and was not done, but there is a finished run in its folder.
    """
    start = Path(recipe.start).name if isinstance(recipe.start, str) else None
    if any(one.name == start and one.best is None for one in outcomes) and finished_phases(folder / str(start)):
        problem = f"{start} was not done, and the finished run there is of other settings"
        raise InputError(problem, file=folder / str(start), field="start", cure="mend that first")
