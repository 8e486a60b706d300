"""What a teacher says of training rows: asked anew for every batch, or once and remembered."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from .data import Tokens, sorted_batches
from .loop import Measure, predict_tokens
from .metrics import compute_metrics
from .tasks import Task

Lesson = tuple[Tensor, tuple[Tensor, ...]]
"""Logits ``[batch, outputs]`` and the hidden states after each block, ``[batch, L, width]`` each."""


def ask(teacher: nn.Module, batch: dict[str, Tensor]) -> Lesson:
    """One pass of the teacher over a batch (its labels are left out)."""
    teacher.to(batch["input_ids"].device)
    with torch.no_grad():
        answer = teacher(**{k: v for k, v in batch.items() if k != "labels"}, output_hidden_states=True)
    return answer.logits, answer.hidden_states[1:]


def beside_teacher(task: Task, teacher: nn.Module) -> Measure:
    """What a student is chosen by: minus its divergence from the teacher on rows it did not learn; then the metrics.

    The divergence (KL of the answers; mean squared error for scores) uses all of an answer and tells students apart
    that accuracy on a few hundred rows does not.
    """
    taught: list[Tensor] = []

    def measure(student: nn.Module, rows: Tokens, accelerator: Accelerator) -> dict[str, float]:
        if not taught:
            taught.append(predict_tokens(teacher.to(accelerator.device), rows, accelerator))
        own = predict_tokens(student, rows, accelerator)
        metrics = compute_metrics(task, own.numpy(), torch.tensor(rows.labels).numpy())
        return {"nearness": -divergence(own, taught[0])} | metrics

    return measure


def divergence(own: Tensor, taught: Tensor) -> float:
    """Mean KL divergence of two sets of logits ``[rows, outputs]``, in nats; mean squared error for one output."""
    if own.shape[-1] == 1:
        return float(F.mse_loss(own, taught))
    return float(F.kl_div(own.log_softmax(-1), taught.log_softmax(-1), log_target=True, reduction="batchmean"))


class Memory:
    """A teacher that is asked once for every row; from then on a batch costs a copy instead of a pass.

    Rows are known by their tokens (and types). It takes 2 bytes × tokens × blocks × width, e.g. 4 GB for SST-2 and
    MiniLM-L6. Answers are computed in batches sorted by length, so that a resumed run remembers the same bits.
    """

    def __init__(self, teacher: nn.Module, rows: Tokens, batch_size: int = 64):
        self.first: dict[tuple[int, ...], int] = {}
        """Where the states of a row's first token are."""
        self.said: dict[tuple[int, ...], Tensor] = {}
        self.states = torch.empty(0)
        filled, tokens = 0, sum(map(len, rows.ids))
        for numbers in tqdm(sorted_batches(rows, batch_size), desc="teacher", mininterval=5):
            batch = rows.batch(numbers)
            logits, states = ask(teacher, batch)
            if not filled:
                self.states = torch.empty(tokens, len(states), states[0].shape[-1], dtype=torch.bfloat16)
            present = batch["attention_mask"].bool()
            for row, length, answer in zip(_rows(batch), present.sum(1).tolist(), logits, strict=True):
                self.first[row], self.said[row] = filled, answer
                filled += length
            self.states[filled - int(present.sum()) : filled] = torch.stack(states, 2)[present].to(torch.bfloat16)

    def __call__(self, batch: dict[str, Tensor]) -> Lesson:
        """What the teacher said of these rows; states of absent tokens are 0."""
        rows, device = _rows(batch), batch["input_ids"].device
        states = self.states.new_zeros(*batch["input_ids"].shape, *self.states.shape[1:])
        for place, row in enumerate(rows):
            length = len(row) // 2
            states[place, :length] = self.states[self.first[row] : self.first[row] + length]
        return torch.stack([self.said[row] for row in rows]).to(device), states.to(device).unbind(2)


def _rows(batch: dict[str, Tensor]) -> list[tuple[int, ...]]:
    """Existing tokens and types of each row, one after the other: what a row is known by."""
    lengths = batch["attention_mask"].sum(1).tolist()
    columns = batch["input_ids"].tolist(), batch["token_type_ids"].tolist()
    return [tuple(ids[:n] + types[:n]) for ids, types, n in zip(*columns, lengths, strict=True)]
