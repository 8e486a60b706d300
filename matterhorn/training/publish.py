"""From a finished run to a folder to share: spiking checkpoint, recipe, dev figures, verification, model card."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import yaml
from transformers import PreTrainedTokenizerFast

from ..engines import get_engine
from ..engines.verify import verify
from ..errors import InputError
from ..models.checkpoint import load_classifier
from ..models.convert import convert_folder
from ..models.restore import restore_quantised
from ..report.card import model_card
from .data import load_examples, tokenize
from .evaluate import Progress, batches_of
from .recipe import Recipe, read_recipe
from .results import Result, Verification
from .score import Sources, score
from .start import find_start
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
    """Convert a run's last network and write it into ``output`` with all that a reader wants to know of it.

    The folder is written whole or not at all.

    Args:
        embeddings: where the embeddings go, relative to ``output``; models of one backbone may share the file.
        verify_rows: compare the engines on that many dev rows, drawn from all of them at even distances (default: all).
    """
    recipe, sources = _recipe_of(run), find_start(run.parent, run.name)
    fresh = output.with_name(output.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    convert_folder(sources.network, fresh, task=recipe.task, embeddings=embeddings)
    named = {name: getattr(recipe, name) for name in ("task", "backbone", "seed")}
    plain = named | recipe.model_dump(mode="json", exclude_defaults=True)
    (fresh / "recipe.yaml").write_text(yaml.safe_dump(plain, sort_keys=False, width=120), encoding="utf-8")
    rounds = sorted(run.glob("round-*/best"), key=lambda path: int(path.parent.name.split("-")[1]))
    unmasked = [path for path in rounds if json.loads((path / "config.json").read_text()).get("dead_zone", 0) == 0]
    scored = Sources([fresh], sources.teacher, unmasked[-1] if unmasked else None, recipe.model_dump(mode="json"))
    task = get_task(recipe.task)
    result = score(task, output.name, scored, glue_dir, max_length=recipe.max_length, progress=progress)
    checked = result.spiking[0].model_copy(update={"verify": _verified(fresh, recipe, glue_dir, verify_rows, progress)})
    result = result.model_copy(update={"spiking": [checked]})
    (fresh / "results.json").write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    histories = [json.loads((path / "training.json").read_text()) for path in rounds]
    (fresh / "README.md").write_text(model_card(result, recipe, histories), encoding="utf-8")
    shutil.rmtree(output, ignore_errors=True)
    os.replace(fresh, output)
    return result


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
    tokens = tokenize(examples, PreTrainedTokenizerFast.from_pretrained(folder), task, recipe.max_length)
    batches = [batch for _, batch in batches_of(tokens, 32)]
    report = verify(restore_quantised(network), network, [get_engine(name) for name in ENGINES], progress(batches))
    if not report.passed:
        raise InputError(f"engines differ: {report.first_difference}", file=folder, cure="report this as a bug")
    return Verification(**{name: getattr(report, name) for name in Verification.model_fields})
