"""A tiny backbone, tiny rows in GLUE's layout and tiny runs, for the tests of training and its commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from transformers import BertTokenizerFast

from matterhorn.models import calibrate, quantize
from matterhorn.tasks.task import get_task

from .networks import small_batch, small_bert

GOOD, BAD = ["fine", "bright", "warm", "clever", "lovely"], ["dull", "grey", "cold", "clumsy", "awful"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "and", *GOOD, *BAD]
LINES = ["a fine film", "a dull film and cold", "warm and bright", "grey film and awful and cold", "clever and lovely"]
PHASE: dict[str, Any] = {"epochs": 40 / 15, "learning_rate": 3e-3, "batch_size": 16, "evaluate_every": 10}
DENSITIES = {"input": 1, "queries": 1, "probabilities": 1, "context": 2, "hidden": 2, "intermediate": 0.5}


def lay_backbone(folder: Path) -> Path:
    """A backbone with a tokenizer of :data:`WORDS`."""
    small_bert(vocabulary=len(WORDS)).save_pretrained(folder)
    lay_tokenizer(folder)
    return folder


def lay_tokenizer(folder: Path) -> None:
    """The files of a tokenizer of :data:`WORDS`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)


def lay_pairs(folder: Path, count: int = 300) -> Path:
    """Rows of WNLI that can be learned, each another one: is a film good? And the same of RTE: is it a fine film?"""
    draw, found = np.random.default_rng(0), dict[str, int]()
    while len(found) < count:
        label = int(draw.integers(2))
        found[" and ".join(draw.choice(GOOD if label else BAD, size=int(draw.integers(1, 5))))] = label
    for task, first in (("wnli", "a film"), ("rte", "a fine film")):
        classes = get_task(task).classes
        rows = [f"{first}\t{words}\t{classes[label]}" for words, label in found.items()]
        (folder / task.upper()).mkdir(parents=True, exist_ok=True)
        for split in ("train", "dev"):
            (folder / task.upper() / f"{split}.tsv").write_text("\n".join(["sentence1\tsentence2\tlabel", *rows]))
    return folder


def lay_apart(folder: Path, tasks: Sequence[str] = ("wnli", "rte"), count: int = 300) -> Path:
    """Rows of pair tasks in GLUE's columns, of which no two have a sentence in common, nor do train and dev rows."""
    draw, words, found = np.random.default_rng(0), [*GOOD, *BAD], dict[str, None]()
    while len(found) < 4 * count * len(tasks):
        found["a film " + " and ".join(draw.choice(words, size=int(draw.integers(2, 6))))] = None
    sentences = iter(found)
    for task in tasks:
        (folder / task.upper()).mkdir(parents=True, exist_ok=True)
        for split in ("train", "dev"):
            rows = [f"{next(sentences)}\t{next(sentences)}\t{get_task(task).classes[i % 2]}" for i in range(count)]
            (folder / task.upper() / f"{split}.tsv").write_text("\n".join(["sentence1\tsentence2\tlabel", *rows]))
    return folder


def lay_dev(folder: Path, task: str, rows: int = 20) -> Path:
    """Labelled dev rows of two sentences, in GLUE's columns."""
    chosen = get_task(task)
    labels = [str(number % 6) for number in range(6)] if chosen.is_regression else chosen.classes
    lines = [f"{LINES[i % 5]}\t{LINES[i % 3]}\t{labels[i % len(labels)]}" for i in range(rows)]
    for split in ("dev", "dev_mismatched"):
        if split in chosen.files:
            path = folder / chosen.files[split]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(["\t".join([*chosen.text, *chosen.label]), *lines]), encoding="utf-8")
    return folder


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    """A recipe of :func:`lay_pairs` from :func:`lay_backbone`, both in ``folder``."""
    silent = {"dead_zone": 1, "silent_share": 0.85, "densities": DENSITIES, "average": 0.8, "epochs": 70 / 15}
    phases = [PHASE, PHASE | silent]
    plain = {"task": "wnli", "backbone": str(folder / "backbone"), "max_length": 32, "selection_rows": 40}
    return plain | {"teacher": PHASE, "phases": phases} | changes


def lay_out(folder: Path, **changes: Any) -> Path:
    """Backbone, rows and recipe; returns the recipe's path."""
    lay_backbone(folder / "backbone")
    lay_pairs(folder / "glue")
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(folder, **changes)))
    return path


def lay_run(folder: Path, task: str, blocks: list[int] | None = None) -> Path:
    """A run's folder as ``matterhorn train`` leaves it, its networks untrained. ``blocks``: those of the teacher that
    the networks have (None: all)."""
    small_bert(get_task(task).outputs, vocabulary=len(WORDS)).save_pretrained(folder / "teacher" / "best")
    for number, k in enumerate((0, 1, 2)):
        lay_network(folder / f"phase-{number}-k{k}" / "best", task, k, blocks)
    plain = {"task": task, "backbone": "tiny", "seed": 5, "teacher": PHASE}
    plain |= {"network": {"blocks": blocks}} if blocks else {}
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump(plain | {"phases": [PHASE | {"dead_zone": k} for k in range(3)]})
    )
    return folder


def lay_network(folder: Path, task: str, k: int, blocks: list[int] | None = None) -> Path:
    """A quantized network with random weights and a tokenizer beside it."""
    network = quantize(small_bert(get_task(task).outputs, vocabulary=len(WORDS)), dead_zone=k, blocks=blocks)
    calibrate(network, [small_batch(vocabulary=len(WORDS))])
    network.save_pretrained(folder)
    lay_tokenizer(folder)
    return folder


def lay_course(folder: Path, **changes: Any) -> Path:
    """Backbone (without dropout, so that processes need not draw alike), rows, and a course of three short runs: texts
    for no task, a task from there, and the task again from that."""
    lay_out(folder)
    lay_apart(folder / "glue", ["rte"])
    small_bert(vocabulary=len(WORDS), hidden_dropout_prob=0, attention_probs_dropout_prob=0).save_pretrained(
        folder / "backbone"
    )
    own = recipe(folder)
    teaching = {"steps": 30, "learning_rate": 2e-3, "tokens": 192, "evaluate_every": 15}
    short = {"steps": 4, "learning_rate": 1e-3, "tokens": 192, "evaluate_every": 2}
    silent = short | {"dead_zone": 1, "silent_share": 0.8}
    general = {"texts": ["rte"], "phases": [silent | {"densities": DENSITIES, "logit_weight": 0}]}
    task = {"task": "wnli", "teacher": teaching}
    recipes = {
        "general": general,
        "first": task | {"start": "general", "phases": [silent | {"average": 0.5}]},
        "second": task | {"start": "first", "phases": [silent]},
    }
    common = {name: own[name] for name in ("backbone", "max_length", "selection_rows")}
    path = folder / "course.yaml"
    path.write_text(yaml.safe_dump({"common": common, "recipes": recipes | changes}, sort_keys=False))
    return path


def train_command(recipe: Path, output: Path) -> list[str]:
    """Arguments of Python that train the recipe of :func:`lay_out`."""
    glue = str(recipe.parent / "glue")
    return ["-m", "matterhorn", "train", "--recipe", str(recipe), "--glue-dir", glue, "--output", str(output)]


def environment() -> dict[str, str]:
    """Of a process that trains."""
    return os.environ | {"TORCH_COMPILE_DISABLE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def train(recipe: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own."""
    arguments = [sys.executable, *train_command(recipe, output)]
    return subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=300)
