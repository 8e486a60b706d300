"""Fine-tuning the full-precision teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, BertForSequenceClassification, set_seed

from .backbones import locate
from .data import Tokens
from .loop import Progress, metrics_of, run_phase
from .recipe import Recipe
from .tasks import Task


def load_teacher(source: str | Path, task: Task) -> BertForSequenceClassification:
    """A BERT classifier with the task's outputs; the head is drawn anew where ``source`` has none that fits."""
    return BertForSequenceClassification.from_pretrained(
        str(source), **head_options(task), ignore_mismatched_sizes=True
    )


def head_options(task: Task) -> dict[str, Any]:
    """What a Hugging Face config says of a task's outputs."""
    return {
        "num_labels": task.outputs,
        "id2label": dict(enumerate(task.labels or ["score"])),
        "label2id": {label: i for i, label in enumerate(task.labels or ["score"])},
        "problem_type": "regression" if task.is_regression else "single_label_classification",
    }


def fine_tune(
    recipe: Recipe, task: Task, train: Tokens, selection: Tokens, folder: Path, start: str | Path | None = None
) -> Progress:
    """Fine-tune ``start`` (default: the recipe's backbone); the best teacher lands in ``folder/best``, with its
    tokenizer."""
    set_seed(recipe.seed)
    model = load_teacher(start or locate(recipe.backbone), task)
    model.bert.embeddings.requires_grad_(recipe.teacher.train_embeddings)
    progress = run_phase(model, task_loss, metrics_of(task), train, selection, recipe.teacher, folder, recipe.seed)
    AutoTokenizer.from_pretrained(locate(recipe.backbone)).save_pretrained(folder / "best")
    return progress


def task_loss(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy with classes ``[batch]`` or probabilities ``[batch, classes]``; mean squared error of scores."""
    logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits.float()
    labels = batch["labels"]
    loss = F.mse_loss(logits.squeeze(-1), labels) if logits.shape[-1] == 1 else F.cross_entropy(logits, labels)
    return loss, {"loss": float(loss.detach())}


def freeze(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A teacher that only teaches: eval mode (no dropout), no gradients, its linear maps in ``dtype``."""
    for module in model.eval().requires_grad_(False).modules():
        if isinstance(module, nn.Linear):
            module.to(dtype)
    return model
