"""Score a program on the dev rows of a task, and make the result file of a run."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..program import Program
from ..reading import read_yaml
from .evaluate import Evaluation
from .results import MISMATCHED, Result, Scores, SpikingScores
from .rows import load_examples
from .task import Task
from .tokens import Tokens, tokens_for

MISMATCHED_SPLIT = "dev_mismatched"

Splits = Mapping[str, Tokens]
"""Rows by split: ``dev``, and for MNLI also ``dev_mismatched``."""


def dev_rows(program: Program, task: Task, glue_dir: Path | None, max_length: int, limit: int | None = None) -> Splits:
    """Tokenize a task's dev rows for a program. ``limit``: use only this many."""
    splits = {}
    second = task.files.get(MISMATCHED_SPLIT)
    has_second = second and (glue_dir is None or (glue_dir / second).is_file())
    for split in ["dev", MISMATCHED_SPLIT] if has_second else ["dev"]:
        examples = load_examples(task, split, glue_dir).first(limit)
        splits[split] = tokens_for(program, examples, max_length, task=task)
    return splits


def both(found: Mapping[str, dict[str, float]]) -> dict[str, float]:
    """Return the metrics on dev rows, and MNLI's accuracy on mismatched rows, given the metrics of each split."""
    second = {MISMATCHED: found[MISMATCHED_SPLIT]["accuracy"]} if MISMATCHED_SPLIT in found else {}
    return found["dev"] | second


def spiking_scores(
    program: Program, splits: Splits, run: Callable[[Tokens], Evaluation], backend: str
) -> SpikingScores:
    """Return metrics and silence of a program. ``run`` evaluates it on tokens with the named backend."""
    found = {split: run(tokens) for split, tokens in splits.items()}
    dev = found["dev"]
    return SpikingScores(
        metrics=both({split: own.metrics for split, own in found.items()}),
        low=dev.low,
        high=dev.high,
        k=program.config.dead_zone,
        silence_per="neuron" if program.config.silence_per == "neuron" else "tensor",
        intermediate=program.config.intermediate_size,
        weights=program.config.weights,
        backend=backend,
        silent_share=dev.silent_share,
        quiet_share=dev.quiet_share,
        events_per_token=dev.events_per_token,
    )


def recipe_beside(folder: Path) -> dict[str, Any]:
    """Return the recipe in the folder of a run or a program; empty if there is none."""
    path = folder / "recipe.yaml"
    return read_yaml(path) if path.is_file() else {}


def result_of(
    task: Task,
    name: str,
    n: int,
    spiking: list[SpikingScores],
    *,
    program: str | None = None,
    recipe: Mapping[str, Any],
    teacher: Scores | None = None,
    quantized: Scores | None = None,
    teacher_blocks: int | None = None,
    split: str = "dev",
    limit: int | None = None,
    data: str | None = None,
    rows: str | None = None,
) -> Result:
    """Make the result file of a model.

    Args:
        task: the task.
        name: name of the model.
        n: number of rows that were scored.
        spiking: scores of its spiking networks.
        program: hash of its program, if there is only one.
        recipe: its recipe as plain values, empty if unknown. It gives backbone, seed, blocks, and the targets of the
            last phase.
        teacher, quantized: scores of its teacher and of its quantized network, if known.
        teacher_blocks: number of the teacher's blocks, if known.
        split: split of the rows.
        limit: number of first rows of the split to which scoring was limited.
        data: source of the rows, if they are not the task's own.
        rows: options of ``matterhorn evaluate`` that select these rows. None: ``--task`` and the task's name.
    """
    *_, last = recipe.get("phases") or [{}]
    blocks = recipe.get("network", {}).get("blocks")
    cut = limit if limit == n else None  # a split with fewer rows was scored completely
    return Result(
        task=task.name,
        model=name,
        backbone=recipe.get("backbone"),
        split=split,
        n=n,
        limit=cut,
        metric=task.metrics[0],
        seed=recipe.get("seed"),
        price=last.get("price"),
        quiet_target=last.get("quiet_share"),
        blocks=blocks,
        teacher_blocks=teacher_blocks if blocks else None,
        program=program,
        teacher=teacher,
        quantized=quantized,
        spiking=spiking,
        command=f"matterhorn evaluate {rows or f'--task {task.name}'} --model {shlex.quote(name)} --json",
        commit=_commit(),
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        machine=f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}",
        note=None if cut is None else f"only the first {cut} rows",
        data=data,
    )


def _commit() -> str | None:
    """Return the commit of the running source code, if git tracks it; ``+`` marks uncommitted changes.

    An installed package may lie in an ignored folder of somebody else's repository, whose commit says nothing about it.
    """
    source = Path(__file__)
    tracked = ["git", "ls-files", "--error-unmatch", source.name]
    describe = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        for command in (tracked, describe):
            done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
