"""What a network is chosen by while it trains: metrics, divergence from its teacher; and how many weights flip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..nn import QuantizedLinear
from ..tasks.metrics import compute_metrics
from ..tasks.task import Task
from ..tasks.tokens import Tokens, sorted_batches


class Measured(NamedTuple):
    """An evaluation: the score to choose by, the larger the better, and its figures."""

    score: float
    figures: dict[str, float]


Measure = Callable[[nn.Module, Tokens, Accelerator], Measured]
"""(model, rows, processes) → an evaluation."""


def on_device(batch: Mapping[str, NDArray[Any]], device: torch.device | str) -> dict[str, Tensor]:
    """Arrays of a batch as tensors."""
    return {name: torch.as_tensor(values).to(device) for name, values in batch.items()}


def predict(model: nn.Module, tokens: Tokens, accelerator: Accelerator | None = None, batch_size: int = 64) -> Tensor:
    """Logits ``[rows, outputs]`` of a model in eval mode, in float32; with an accelerator, shared by its processes."""
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    pieces = []
    with torch.inference_mode():
        for rows in sorted_batches(tokens, batch_size)[rank::world]:
            batch = on_device(tokens.batch(rows), device)
            batch.pop("labels", None)
            pieces.append((rows, model(**batch).logits.float().cpu()))
    model.train(was_training)
    if accelerator is not None and world > 1:
        from accelerate.utils import gather_object

        pieces = gather_object(pieces)
    answers = torch.cat([logits for _, logits in pieces])
    order = torch.tensor([row for rows, _ in pieces for row in rows])
    return torch.empty_like(answers).index_copy(0, order, answers)


def metrics_of(
    model: nn.Module, task: Task, tokens: Tokens, accelerator: Accelerator | None = None
) -> dict[str, float]:
    """A task's metrics of a model on rows, the main one first."""
    return compute_metrics(task, predict(model, tokens, accelerator).numpy(), torch.tensor(tokens.labels).numpy())


def by_metric(task: Task) -> Measure:
    """A teacher is chosen by its task's main metric."""

    def measure(model: nn.Module, rows: Tokens, accelerator: Accelerator) -> Measured:
        metrics = metrics_of(model, task, rows, accelerator)
        return Measured(metrics[task.metrics[0]], metrics)

    return measure


def by_divergence(task: Task, teacher: nn.Module) -> Measure:
    """A student is chosen by how little it diverges from its teacher on rows that it did not learn.

    The divergence uses all of an answer, and tells students apart that accuracy on a few hundred rows does not.
    """
    taught: list[Tensor] = []

    def measure(student: nn.Module, rows: Tokens, accelerator: Accelerator) -> Measured:
        if not taught:
            taught.append(predict(teacher.to(accelerator.device), rows, accelerator))
        own = predict(student, rows, accelerator)
        found = divergence(own, taught[0])
        metrics = compute_metrics(task, own.numpy(), torch.tensor(rows.labels).numpy())
        return Measured(-found, {"divergence": found} | metrics)

    return measure


def divergence(own: Tensor, taught: Tensor) -> float:
    """Mean KL divergence of two sets of logits ``[rows, outputs]``, in nats; mean squared error for one output."""
    if own.shape[-1] == 1:
        return float(F.mse_loss(own, taught))
    return float(F.kl_div(own.log_softmax(-1), taught.log_softmax(-1), log_target=True, reduction="batchmean"))


class Flips:
    """Counts how many few-bit weights have changed: what a latent weight learns counts only once it flips."""

    def __init__(self, model: nn.Module):
        self.before = _integers(model)

    def since(self, model: nn.Module) -> dict[str, float]:
        """Share of the few-bit weights that have changed since last time, as a figure; none of a network without."""
        now = _integers(model)
        changed = sum(int((a != b).sum()) for a, b in zip(now, self.before, strict=True))
        self.before = now
        return {"flipped": changed / sum(map(Tensor.numel, now))} if now else {}


@torch.no_grad()
def _integers(model: nn.Module) -> list[Tensor]:
    linears = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    return [linear.integers()[0].to(torch.int8) for linear in linears]
