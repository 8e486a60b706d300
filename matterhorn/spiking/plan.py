"""The plan of a run, checked before any work: the classifier, the rows and the settings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..distill.options import formats_of
from ..distill.provenance import hash_of_model, hash_of_rows
from ..errors import InputError
from ..models.encoders import encoder_of
from ..models.watching import Batch
from ..program.text import reader
from ..reading import validated
from ..tasks import Examples, Task, describe, get_task, load_examples, read_rows, tasks
from ..tasks.tables import Source
from ..tasks.task import Kind
from ..tasks.tokens import Tokens, sorted_batches, tokenize
from .course import CHOSEN_FORMATS, comparing
from .settings import Settings
from .source import Classifier, load_classifier

SHARES = ("silent_share", "quiet_share")
"""Settings that only matter with a dead zone."""

TRAINED = ("dead_zone", *SHARES, "minutes")
"""Settings that only matter in training."""

DEFAULT_KV_BITS = {"int1": 1, "ternary": 1, "int2": 1, "int4": 4}
"""Default bits of keys and values for each width of the weights."""

TASK_FILES = (".yaml", ".yml")

CALIBRATION_ROWS = 256
"""Maximum number of rows to calibrate on."""


@dataclass(frozen=True)
class Plan:
    """Everything that was determined before any work.

    Attributes:
        teacher: the classifier.
        task: the task of the rows.
        train, eval: rows to train on (None: there are none), and rows for the report.
        settings: the settings, with number formats chosen.
        data: source of the rows for the report. None: the task's own.
    """

    teacher: Classifier
    task: Task
    train: Examples | None
    eval: Examples
    settings: Settings
    data: str | None = None

    @property
    def is_trained(self) -> bool:
        """Whether there are rows to train on, and time."""
        return self.train is not None and self.settings.minutes > 0

    @property
    def used(self) -> Settings:
        """The settings as they are used: without training or a dead zone, no share of silence is held."""
        return self.settings if self.is_trained and self.settings.dead_zone else self.settings.untrained

    def batches(self) -> list[Batch]:
        """Batches to calibrate on: texts of the training rows, or if there are none, of the rows for the report."""
        given = self.eval if self.train is None else self.train
        rows = self.tokens(given.first(CALIBRATION_ROWS))
        return [rows.batch(numbers) for numbers in sorted_batches(rows, self.settings.batch_size)]

    def tokens(self, rows: Examples) -> Tokens:
        """Tokenize rows with the classifier's tokenizer.

        Raises:
            InputError: a row is longer than the classifier reads.
        """
        tokens, model = tokenize(rows, self.teacher.tokenizer, self.task, self.settings.max_length), self.teacher.model
        tokens.check_length(encoder_of(model).options(model)["max_position_embeddings"])
        return tokens

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that a run depends on, as plain values."""
        rows = {name: hash_of_rows(own) for name, own in (("train", self.train), ("eval", self.eval)) if own}
        asked = {name: getattr(self.task, name) for name in ("kind", "labels", "metrics", "positive")}
        model, tokenizer = self.teacher.model, reader(self.teacher.tokenizer, None).to_str()
        teacher = {
            "model": hash_of_model(model),
            "encoder": encoder_of(model).options(model),
            "tokenizer": hashlib.sha256(tokenizer.encode()).hexdigest(),
        }
        return self.settings.model_dump() | rows | teacher | {"task": asked}


def make_plan(
    model: str | Path | PreTrainedModel,
    train: Source | None,
    eval: Source | None,
    *,
    text: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    kind: Kind | None = None,
    task: Task | str | Path | None = None,
    glue_dir: Path | None = None,
    tokenizer: Tokenizer | PreTrainedTokenizerBase | None = None,
    **settings: Any,
) -> Plan:
    """Read and check everything that a run needs. Arguments are those of :func:`matterhorn.spike`.

    Raises:
        InputError: the classifier, the rows or a setting are not possible.
    """
    chosen = validated(Settings, settings, None)
    if eval is None and task is None:
        raise InputError("no rows to report on", field="eval", cure="give rows that were not trained on")
    if task is not None and kind is not None:
        raise InputError("a task says its kind itself", field="kind", cure="leave it out")
    teacher = load_classifier(model, tokenizer)
    if chosen.blocks is not None:
        encoder_of(teacher.model).chosen(teacher.model, chosen.blocks)
    if task is None:
        assert eval is not None
        about: dict[str, Any] = {
            "kind": kind or teacher.kind,
            "labels": teacher.labels,
            "name": name_of(label or "label"),
        }
        found = describe(eval, text or "text", label or "label", **about)
    else:
        found = task_for(task, teacher.labels, eval).with_columns(text, label)
    own, held = (rows_of(found, split, rows, glue_dir) for split, rows in (("train", train), ("dev", eval)))
    if held is None:
        raise InputError(f"{found.name} has no split 'dev'", field="eval", cure="give rows that were not trained on")
    if own is not None and len({*own.texts}) < 2:
        raise InputError("all rows have the same text", field="train", cure="give rows to learn from, or leave it out")
    data = None if eval is None else str(eval) if isinstance(eval, (str, Path)) else "rows"
    if "kv_bits" not in settings:
        suited = {} if "weights" in settings else formats(teacher.model, found, chosen, own is not None)
        chosen = chosen.model_copy(update=suited or {"kv_bits": DEFAULT_KV_BITS[chosen.weights]})
    plan = Plan(teacher, found, own, held, chosen, data)
    if not plan.is_trained:
        cure = "give rows to train on, and minutes, or leave it out"
        refuse(chosen, TRAINED, "calibration alone has no dead zone and takes no such setting", cure)
    elif not chosen.dead_zone:
        refuse(chosen, SHARES, "no silence is held without a dead zone", "give a dead zone, or leave it out")
    formats_of(plan.used.options, plan.used.dead_zone)
    return plan


def formats(teacher: PreTrainedModel, task: Task, settings: Settings, trained: bool) -> dict[str, Any]:
    """Choose number formats.

    Without training, weights have 4 bits, since calibration alone does not suffice for one bit. For a pair task they
    are those of an encoder that compares, if there is one for the teacher's backbone. Otherwise the defaults are kept.
    """
    if not trained or settings.minutes == 0:
        return {"weights": "int4", "kv_bits": DEFAULT_KV_BITS["int4"]}
    encoder = comparing(teacher, task, settings)
    return {name: encoder.options[name] for name in CHOSEN_FORMATS} if encoder else {}


def name_of(label: str | Sequence[str]) -> str:
    """Name a user's task after its label columns, but unlike any shipped task."""
    asked = label if isinstance(label, str) else ", ".join(label)
    return f"{asked} column" if asked in tasks() else asked


def task_for(task: Task | str | Path, labels: Sequence[str], rows: Source | None) -> Task:
    """Return a task for a model with these outputs: a given one, one in a YAML file, or a GLUE task by its name."""
    if not isinstance(task, Task):
        if Path(task).suffix in TASK_FILES:
            return Task.from_yaml(task, labels, rows)
        task = get_task(str(task))
    return task.for_labels(labels)


def rows_of(task: Task, split: str, given: Source | None, glue_dir: Path | None) -> Examples | None:
    """Return the given rows, or those of the task's split. None: the task has no such split."""
    if given is None:
        return load_examples(task, split, glue_dir) if split in task.files else None
    is_usual = task.hub is not None and not str(given).endswith(".tsv")  # GLUE's own .tsv files are quoted otherwise
    return read_rows(given, task.model_copy(update={"quotes": "csv"}) if is_usual else task)


def refuse(settings: Settings, names: Sequence[str], problem: str, cure: str) -> None:
    """Refuse settings that would have no effect, if they differ from their defaults and from 0.

    Raises:
        InputError: one of ``names`` was set.
    """
    for name in names:
        if getattr(settings, name) not in (Settings.model_fields[name].default, 0):
            raise InputError(problem, field=name, cure=cure)
