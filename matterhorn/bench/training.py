"""What a distillation step costs, teacher included, against a plain fine-tuning step of the same net."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..models import from_bert
from ..models.from_bert import calibrate_steps
from ..training.distil import Distillation
from ..training.loop import multiplies_bf16
from ..training.recipe import Round
from ..training.teacher import freeze
from .networks import Batch, Shape, random_batch

BATCH, LENGTH = 32, 32


def step_contestants(shape: Shape) -> dict[str, Callable[[], object]]:
    """One optimiser step of each, embeddings frozen in both, as the training loop does it."""
    batch = random_batch(BATCH, LENGTH, shape.vocabulary) | {"labels": torch.arange(BATCH) % 2}
    plain, teacher, student = shape.bert(), shape.bert(), from_bert(shape.bert())
    plain.bert.embeddings.requires_grad_(False)
    calibrate_steps(student, batch)
    freeze(teacher, torch.bfloat16 if multiplies_bf16() else torch.float32)
    loss = Distillation(student, teacher, Round.model_validate({"epochs": 1, "learning_rate": 1e-4}))
    return {
        "fine-tuning": _step(plain, lambda: plain(**batch).loss),
        "distillation": _step(student, lambda: _first(loss, student, batch)),
    }


def _first(loss: Distillation, student: nn.Module, batch: Batch) -> Tensor:
    return loss(student, batch)[0]


def _step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], object]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)

    def run() -> None:
        model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16()):
            value = loss()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return run
