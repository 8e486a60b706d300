"""A small classifier and rows of films, and ``spike`` for a second."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from matterhorn.spiking import Spiked, spike

from ..networks import small_bert
from ..tiny import BAD, GOOD, WORDS, lay_tokenizer

NAMES = {"two": ["bad", "good"], "three": ["mixed", "bad", "good"], "score": ["score"], "many": ["bad", "good"]}

PROBLEMS = {"score": "regression", "many": "multi_label_classification"}


def lay_classifier(folder: Path, kind: str = "two") -> Path:
    """A small classifier that was trained to tell good words from bad ones, with its tokenizer."""
    names = dict(enumerate(NAMES[kind]))
    labels = {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    model = small_bert(len(names), vocabulary=len(WORDS), **labels)
    if kind in PROBLEMS:
        model.config.problem_type = PROBLEMS[kind]
    model.save_pretrained(folder)
    lay_tokenizer(folder)
    return folder


def lay_rows(path: Path, kind: str = "two", count: int = 60, seed: int = 0) -> Path:
    """Rows of films that are good, bad or both."""
    draw = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "verdict"])
        for number in range(count):
            label = NAMES[kind][number % len(NAMES[kind])]
            words = {"good": GOOD, "bad": BAD}.get(label, GOOD + BAD)
            chosen = draw.choice(words, size=int(draw.integers(1, 6))).tolist()
            good = sum(word in GOOD for word in chosen)
            said: Any = round(4 * good / len(chosen) + 0.5, 1) if kind == "score" else label
            if kind == "many":
                chosen += [str(draw.choice(GOOD + BAD))]
                said = ",".join(name for name, own in zip(NAMES[kind], (BAD, GOOD), strict=True) if {*own} & {*chosen})
            writer.writerow(["a film, " + " and ".join(chosen), said])
    return path


def run(tmp_path: Path, kind: str = "two", **options: Any) -> Spiked:
    """``spike`` for a second."""
    train = options.pop("train", None) or lay_rows(tmp_path / "train.csv", kind)
    rows = train, lay_rows(tmp_path / "dev.csv", kind, 30, seed=1)
    settings: dict[str, Any] = {"minutes": 0.02, "verify_rows": 8, "silent_share": 0.8, "output": tmp_path / "out"}
    model = lay_classifier(tmp_path / "model", kind)
    return spike(model, *rows, text="review", label="verdict", **(settings | options))
