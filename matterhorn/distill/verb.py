"""``matterhorn.distill``: train a quantized network beside its teacher, silence included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from ..errors import InputError
from ..models import QuantizedForSequenceClassification
from ..models.watching import Batch, evaluating
from ..program.text import batches_of
from ..reading import validated
from ..tasks.tokens import Tokens
from .loop import bar, begin, descend, show, steps_of, token_batches
from .measure import ask
from .recipe import Distilling
from .run import loss_of
from .start import give_dead_zone

DENSITIES = {
    "input": 0.10,
    "queries": 0.10,
    "probabilities": 0.08,
    "context": 0.20,
    "hidden": 0.25,
    "intermediate": 0.03,
}
"""Densities of events that populations get, as multiples of each other, where a dead zone is new (docs/method.md)."""


def distill(
    student: QuantizedForSequenceClassification,
    teacher: PreTrainedModel,
    rows: Tokens | Iterable[Batch] | Batch,
    *,
    dead_zone: int,
    silent_share: float | None = None,
    quiet_share: float | None = None,
    price: str | None = None,
    joules: float | None = None,
    densities: Mapping[str, float] | None = None,
    epochs: float = 1.0,
    steps: int | None = None,
    learning_rate: float = 4e-4,
    batch_size: int = 32,
    average: float = 0.0,
    logit_weight: float = 1.0,
    hidden_weight: float = 1.0,
    seed: int = 1,
) -> QuantizedForSequenceClassification:
    """Train a student to answer as its teacher does, with a dead zone in place.

    Nothing is held out and nothing is written; ``matterhorn train`` does both, and goes on where it was killed.

    Args:
        student: a calibrated network (:func:`matterhorn.quantize`, :func:`matterhorn.calibrate`); trained in place.
        teacher: a classifier that gives hidden states of the student's width behind every block.
        rows: training rows, as tokens, or as batches (or one) that :func:`matterhorn.calibrate` takes too; labels are
            not read.
        dead_zone: k. Where it is not the student's own, silent levels are chosen for it.
        silent_share, quiet_share: shares to hold; with both, the one that leaves fewer events decides. None: whatever
            comes of the dead zone.
        price: a chip's name or file: densities of events are those that its prices and what events are worth ask for,
            and progress tells joules a sentence. joules: target on that chip, in place of shares.
        densities: for a share to hold, how events are spread over the populations where the dead zone is new.
        epochs: over the rows; ``steps`` instead, if given.
        learning_rate: at its highest. batch_size: rows of a step. seed: of the order of rows.
        average: decay of an average of the weights, which is then what the student ends with.
        logit_weight, hidden_weight: of the two parts of the loss.

    Returns:
        The student, ready to convert.

    Raises:
        InputError: the student is not calibrated, there are no rows or they are no batches, or a setting is not
            possible.

    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> from matterhorn.models import quantize
    >>> sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> teacher = BertForSequenceClassification(BertConfig(vocab_size=50, **sizes))
    >>> batch = {"input_ids": np.array([[2, 7, 3], [2, 9, 3]])}
    >>> student = quantize(teacher, batches=[batch])
    >>> distill(student, teacher, [batch], dead_zone=2, silent_share=0.9, steps=3).config.dead_zone
    2
    """
    student.check_calibrated()
    is_new = dead_zone != student.config.dead_zone and (silent_share or quiet_share) and not price
    settings = {
        "epochs": epochs,
        "steps": steps,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "average": average,
        "dead_zone": dead_zone,
        "silent_share": silent_share,
        "quiet_share": quiet_share,
        "price": price,
        "joules": joules,
        "densities": dict(densities or DENSITIES) if is_new else {},
        "logit_weight": logit_weight,
        "hidden_weight": hidden_weight,
    }
    phase = validated(Distilling, settings, None)
    learn = rows if isinstance(rows, Tokens) else as_tokens(rows)
    if not len(learn):
        raise InputError("no rows", field="rows", cure="give at least one")
    _train(student, teacher, learn, phase, seed)
    return student


def _train(
    student: QuantizedForSequenceClassification, teacher: PreTrainedModel, learn: Tokens, phase: Distilling, seed: int
) -> None:
    """One phase on some rows, without anything held out."""
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    phase = give_dead_zone(student, phase, learn, seed, trained=True)
    loss = loss_of(phase, student, partial(ask, teacher), learn, seed)
    total = steps_of(learn, phase, seed)
    descent = begin(student, phase, total, accelerator)
    batches = token_batches(learn, phase, seed, 0, total, accelerator)
    with evaluating(teacher), bar(descent, "distill") as shown:
        for taken in descend(descent, loss, batches, phase):
            if shown.update() or descent.step == total:
                show(shown, taken)
    if descent.average:
        student.load_state_dict(descent.kept.state_dict())
    student.train(False)


def as_tokens(batches: Iterable[Batch] | Batch) -> Tokens:
    """Rows of padded batches."""
    ids, types = [], []
    for batch in batches_of(batches):
        numbers = np.asarray(batch["input_ids"])
        present = np.asarray(batch["attention_mask"]).astype(bool) if "attention_mask" in batch else numbers >= 0
        kinds = np.asarray(batch["token_type_ids"]) if "token_type_ids" in batch else np.zeros_like(numbers)
        ids += [row[own].tolist() for row, own in zip(numbers, present, strict=True)]
        types += [row[own].tolist() for row, own in zip(kinds, present, strict=True)]
    return Tokens(ids, types, [])
