"""Measures by which a network is selected during training: metrics and divergence from its teacher.

Also counts how many weights flip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ..errors import InputError
from ..models.watching import evaluating, taken_by, tensors
from ..nn import QuantizedLinear
from ..tasks.metrics import compute_metrics
from ..tasks.task import Kind, Task
from ..tasks.tokens import Tokens, sorted_batches

MEASURED_ROWS = 64
"""Rows per batch in evaluations."""

TeacherOutput = tuple[Tensor, tuple[Tensor, ...]]
"""A teacher's logits ``[batch, outputs]``, and its hidden states after each block, ``[batch, L, width]`` each."""


class Measured(NamedTuple):
    """An evaluation: the score to select by, where larger is better, and its figures."""

    score: float
    figures: dict[str, float]


Measure = Callable[[PreTrainedModel, Tokens, Accelerator], Measured]
"""Maps (model, rows, accelerator) to an evaluation. The accelerator's processes share the rows."""


def on_device(batch: Mapping[str, NDArray[Any]], device: torch.device | str) -> dict[str, Tensor]:
    """Return the arrays of a batch as tensors."""
    return {name: torch.as_tensor(values).to(device) for name, values in batch.items()}


def ask(teacher: PreTrainedModel, batch: Mapping[str, Tensor]) -> TeacherOutput:
    """Run a teacher on a batch without labels, and without gradients."""
    nn.Module.to(teacher, batch["input_ids"].device)
    with torch.no_grad():
        answer = teacher(**taken_by(teacher, batch), output_hidden_states=True)
    return answer.logits, answer.hidden_states[1:]


def states_at(states: tuple[Tensor, ...], blocks: Sequence[int] | None) -> tuple[Tensor, ...]:
    """Select a teacher's hidden states at the blocks that a student has (None: all).

    Raises:
        InputError: the teacher has other blocks.
    """
    if blocks is None:
        return states
    if max(blocks) >= len(states):
        problem = f"{len(states)} blocks, where the student has blocks {list(blocks)} of its own"
        raise InputError(problem, field="teacher", cure="give the one that the student was quantized from")
    return tuple(states[number] for number in blocks)


def predict(model: PreTrainedModel, tokens: Tokens, accelerator: Accelerator | None = None) -> Tensor:
    """Compute the logits of a model in evaluation mode, float32 ``[rows, outputs]``.

    With an accelerator, its processes share the rows.
    """
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    logits = torch.zeros(len(tokens), model.config.num_labels or 1, device=model.device)
    with evaluating(model), torch.inference_mode():
        for rows in sorted_batches(tokens, MEASURED_ROWS)[rank::world]:
            batch = taken_by(model, tensors(tokens.batch(rows), model.device))
            logits[rows] = model(**batch).logits.float()
    return (accelerator.reduce(logits) if accelerator else logits).cpu()


def metrics_of(
    model: PreTrainedModel, task: Task, tokens: Tokens, accelerator: Accelerator | None = None
) -> dict[str, float]:
    """Compute a task's metrics of a model on rows, the main one first."""
    return compute_metrics(task, predict(model, tokens, accelerator).numpy(), torch.tensor(tokens.labels).numpy())


def by_majority(task: Task, rows: Tokens) -> float:
    """Return a task's main metric if every row gets the most frequent label; 0 if its labels are not single classes."""
    if task.kind != "single_label":
        return 0.0
    labels = np.array(rows.labels, dtype=np.int64)
    logits = np.tile(np.bincount(labels, minlength=task.outputs).astype(np.float32), (len(labels), 1))
    return compute_metrics(task, logits, labels)[task.metrics[0]]


def by_metric(task: Task) -> Measure:
    """Measure that selects a teacher by its task's main metric."""

    def measure(model: PreTrainedModel, rows: Tokens, accelerator: Accelerator) -> Measured:
        metrics = metrics_of(model, task, rows, accelerator)
        return Measured(metrics[task.metrics[0]], metrics)

    return measure


def by_divergence(task: Task, teacher: PreTrainedModel) -> Measure:
    """Measure that selects a student by its divergence from its teacher on held-out rows.

    The divergence takes all probabilities into account, so it distinguishes students whose accuracy on a few hundred
    rows is equal.
    """
    taught: list[Tensor] = []

    def measure(student: PreTrainedModel, rows: Tokens, accelerator: Accelerator) -> Measured:
        if not taught:
            taught.append(predict(teacher.to(accelerator.device), rows, accelerator))
        own = predict(student, rows, accelerator)
        found = divergence(own, taught[0], task.kind)
        metrics = compute_metrics(task, own.numpy(), torch.tensor(rows.labels).numpy())
        return Measured(-found, {"divergence": found} | metrics)

    return measure


def by_hidden_error(teacher: PreTrainedModel) -> Measure:
    """Measure that selects a student without a task by the mean squared error of its hidden states, summed over
    blocks.

    The similarity of its sentence embeddings to the teacher's is reported too.
    """

    def measure(student: PreTrainedModel, rows: Tokens, accelerator: Accelerator) -> Measured:
        sums = torch.zeros(4, device=accelerator.device)
        with evaluating(student), torch.no_grad():
            for numbers in sorted_batches(rows, MEASURED_ROWS)[accelerator.process_index :: accelerator.num_processes]:
                batch = tensors(rows.batch(numbers), accelerator.device)
                with torch.autocast(accelerator.device.type, torch.bfloat16):
                    _, taught = ask(teacher, batch)
                own = student(**batch, output_hidden_states=True).hidden_states[1:]
                present = batch["attention_mask"]
                error, likeness = hidden_error(own, taught, present), embedding_cosines(own[-1], taught[-1], present)
                tokens, number = present.sum(), present[:, 0].sum()
                sums += torch.stack([error * tokens, tokens, likeness.sum(), number])
        errors, tokens, cosines, number = accelerator.reduce(sums).tolist()
        return Measured(-errors / tokens, {"hidden_error": errors / tokens, "cosine": cosines / number})

    return measure


def hidden_error(own: Sequence[Tensor], taught: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Mean squared error of hidden states ``[batch, L, width]`` over existing tokens, summed over the blocks."""
    present = mask.to(torch.float32)[..., None]
    errors = [((a.float() - b.float()).square() * present).sum() for a, b in zip(own, taught, strict=True)]
    return sum(errors, start=torch.zeros((), device=mask.device)) / (own[0].shape[-1] * present.sum())


def mean_states(states: Tensor, mask: Tensor) -> Tensor:
    """Sentence embeddings: the mean of states ``[batch, L, width]`` over existing tokens, float ``[batch, width]``."""
    present = mask.to(torch.float32)[..., None]
    return (states.float() * present).sum(1) / present.sum(1)


def embedding_cosines(own: Tensor, taught: Tensor, mask: Tensor) -> Tensor:
    """Cosine of each row's sentence embedding with its teacher's, ``[batch]``; states ``[batch, L, width]``."""
    return F.cosine_similarity(mean_states(own, mask), mean_states(taught, mask))


def divergence(own: Tensor, taught: Tensor, kind: Kind = "single_label") -> float:
    """Mean KL divergence of two sets of logits ``[rows, outputs]`` in nats, or for scores their mean squared error.

    For multiple labels, the divergences of all labels are added up.
    """
    if own.shape[-1] == 1 or kind == "regression":
        return float(F.mse_loss(own, taught))
    if kind == "multi_label":
        terms = ((s * taught).sigmoid() * (F.logsigmoid(s * taught) - F.logsigmoid(s * own)) for s in (1, -1))
        return float(sum(terms, start=torch.zeros_like(own)).sum(-1).mean())
    found = F.kl_div(own.log_softmax(-1), taught.log_softmax(-1), log_target=True, reduction="batchmean")
    return max(0.0, float(found))  # rounding may make it negative


class Flips:
    """Counts how many few-bit weights have changed. A change of a latent weight only has an effect once it flips."""

    def __init__(self, model: nn.Module):
        self.before = _integers(model)

    def since(self, model: nn.Module) -> dict[str, float]:
        """Return the share of few-bit weights that have changed since the last call, as a figure ``flipped``.

        The result is empty if the network has no such weights.
        """
        now = _integers(model)
        changed = sum(int((a != b).sum()) for a, b in zip(now, self.before, strict=True))
        self.before = now
        return {"flipped": changed / sum(map(Tensor.numel, now))} if now else {}


@torch.no_grad()
def _integers(model: nn.Module) -> list[Tensor]:
    linears = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    return [linear.integers()[0].to(torch.int8) for linear in linears]
