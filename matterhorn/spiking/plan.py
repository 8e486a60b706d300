"""What a run is about, found out and checked before any work: the classifier, the rows, the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..distill.provenance import hash_of_model, hash_of_rows
from ..errors import InputError
from ..reading import validated
from ..tasks import Examples, Task, describe, read_rows, tasks
from ..tasks.tables import Source
from ..tasks.task import Kind
from ..tasks.tokens import Tokens, tokenize
from .settings import Settings
from .source import Classifier, load_classifier

TRAINED = ("dead_zone", "silent_share", "quiet_share", "minutes")
"""Settings that mean something in training alone."""


@dataclass(frozen=True)
class Plan:
    """All that was found out before any work: the classifier, the rows, the settings."""

    teacher: Classifier
    task: Task
    train: Examples | None
    eval: Examples
    settings: Settings

    def tokens(self, rows: Examples) -> Tokens:
        """Rows as the classifier's tokenizer reads them."""
        return tokenize(rows, self.teacher.tokenizer, self.task, self.settings.max_length)

    @property
    def identity(self) -> dict[str, Any]:
        """What a run depends on, as plain values."""
        rows = {name: hash_of_rows(own) for name, own in (("train", self.train), ("eval", self.eval)) if own}
        return self.settings.model_dump() | rows | {"model": hash_of_model(self.teacher.model)}


def make_plan(
    model: str | Path | PreTrainedModel,
    train: Source | None,
    eval: Source | None,
    *,
    text: str | Sequence[str] = "text",
    label: str | Sequence[str] = "label",
    kind: Kind | None = None,
    task: Task | None = None,
    tokenizer: Tokenizer | PreTrainedTokenizerBase | None = None,
    **settings: Any,
) -> Plan:
    """Read and check everything that a run needs; arguments as of :func:`matterhorn.spike`.

    Raises:
        InputError: something about classifier, rows or settings is not possible.
    """
    chosen = validated(Settings, settings, None)
    if eval is None:
        raise InputError("no rows to report on", field="eval", cure="give rows that were not trained on")
    if train is None:
        refuse_training(chosen)
    teacher = load_classifier(model, tokenizer)
    asked = label if isinstance(label, str) else ", ".join(label)
    name = f"{asked} column" if asked in tasks() else asked  # (it is none of those that are shipped)
    task = task or describe(eval, text, label, kind=kind or teacher.kind, labels=teacher.labels, name=name)
    if len(teacher.labels) != task.outputs:
        problem = f"the model has {len(teacher.labels)} outputs, the rows have {task.outputs} labels"
        raise InputError(problem, field="label", cure="give rows of the model's task")
    rows = None if train is None else read_rows(train, task)
    return Plan(teacher, task, rows, read_rows(eval, task), chosen)


def refuse_training(settings: Settings) -> None:
    """Refuse settings that only training can meet, where there are no rows to train on.

    Raises:
        InputError: a dead zone, a share of silence or a time of training was set.
    """
    for name in TRAINED:
        if getattr(settings, name) != Settings.model_fields[name].default:
            problem = "calibration alone has no dead zone and takes no such setting"
            raise InputError(problem, field=name, cure="give rows to train on, or leave it out")
