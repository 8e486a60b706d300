"""From a finished run to a folder to share: spiking checkpoint, recipe, dev figures, verification, model card."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ..engines import get_engine
from ..engines.verify import verify
from ..errors import InputError
from ..models.checkpoint import load_classifier
from ..models.convert import convert_folder
from ..models.restore import restore_quantised
from ..report.card import model_card
from .checkpoint import is_done, read_progress
from .data import load_examples, tokenize, tokenizer_of
from .evaluate import Progress, batches_of
from .recipe import Recipe, read_recipe
from .results import Result, Verification
from .score import find_sources, score
from .start import finished_rounds
from .tasks import get_task

ENGINES = ("exact", "events", "stepped")


def publish(
    run: Path,
    output: Path,
    glue_dir: Path | None,
    *,
    embeddings: str,
    verify_rows: int | None = None,
    progress: Progress = iter,
) -> Result:
    """Convert a run's network of the widest dead zone and write it into ``output`` with what a reader wants to know.

    The folder is written whole or not at all.

    Args:
        embeddings: where the embeddings go, relative to ``output``; models of one backbone may share the file.
        verify_rows: compare the engines on that many dev rows, drawn from all of them at even distances (default: all).
    """
    recipe, sources = _recipe_of(run), find_sources(run)
    histories = [_history(place) for place in finished_rounds(run)]
    fresh = output.with_name(output.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        convert_folder(sources.spiking[-1], fresh, task=recipe.task, embeddings=embeddings)
        own = replace(sources, spiking=[fresh])
        task, longest = get_task(recipe.task), recipe.max_length
        result = score(task, output.name, own, glue_dir, max_length=longest, progress=progress)
        (spiking,) = result.spiking
        spiking = spiking.model_copy(update={"verify": _verified(fresh, recipe, glue_dir, verify_rows, progress)})
        result = result.model_copy(update={"spiking": [spiking]})
        (fresh / "recipe.yaml").write_text(_as_yaml(recipe), encoding="utf-8")
        (fresh / "results.json").write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (fresh / "README.md").write_text(model_card(result, recipe, histories), encoding="utf-8")
        shutil.rmtree(output, ignore_errors=True)
        os.replace(fresh, output)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return result


def _history(place: Path) -> dict[str, Any]:
    """All evaluations of a round, also those after the best one."""
    if not is_done(place / "last"):
        raise InputError("this round is not finished", file=place, cure="go on with the same matterhorn train")
    return read_progress(place / "last")


def _as_yaml(recipe: Recipe) -> str:
    named = {name: getattr(recipe, name) for name in ("task", "backbone", "seed")}
    plain = named | recipe.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(plain, sort_keys=False, width=120)


def _recipe_of(run: Path) -> Recipe:
    recipe = read_recipe(run / "recipe.json")
    if not isinstance(recipe, Recipe):
        cure = "give the folder of a run of one task, as matterhorn train wrote it"
        raise InputError("a run for no task", file=run, field="task", cure=cure)
    return recipe


def _verified(
    folder: Path, recipe: Recipe, glue_dir: Path | None, rows: int | None, progress: Progress
) -> Verification:
    """What the engines gave on dev rows, bit by bit; an error where anything differs."""
    network, task = load_classifier(folder), get_task(recipe.task)
    examples = load_examples(task, "dev", glue_dir)
    if rows is not None and rows < len(examples):
        examples = examples.subset([place * len(examples) // rows for place in range(rows)])
    tokens = tokenize(examples, tokenizer_of(folder), task, recipe.max_length)
    batches = [batch for _, batch in batches_of(tokens, 32)]
    report = verify(restore_quantised(network), network, [get_engine(name) for name in ENGINES], progress(batches))
    if not report.passed:
        raise InputError(f"engines differ: {report.first_difference}", file=folder, cure="report this as a bug")
    return Verification(**{name: getattr(report, name) for name in Verification.model_fields})
