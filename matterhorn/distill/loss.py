"""What a student minimizes: the distance from its teacher, in its answers and in its hidden states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models import QuantizedForSequenceClassification
from .noise import Chips
from .silence import Silence, shares
from .teacher import Lesson

Teacher = Callable[[dict[str, Tensor]], Lesson]
"""Batch → logits and hidden states."""


@dataclass
class Distillation:
    """Loss of a phase: soft cross-entropy of the logits (mean squared error for one output), and mean squared error of
    all hidden states (BiT, arXiv 2205.13016), weighted.

    Attributes:
        silence: holds shares of silence on the way, if they are to be held.
        chips: noise-aware, cells stray in every pass.
    """

    student: QuantizedForSequenceClassification
    teacher: Teacher
    logit_weight: float = 1.0
    hidden_weight: float = 1.0
    silence: Silence | None = None
    chips: Chips | None = None

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """(student as wrapped for training, batch) → loss and figures."""
        if self.chips is not None:
            self.chips.draw()
        taught_logits, taught_states = self.teacher(batch)
        answer = model(**{k: v for k, v in batch.items() if k != "labels"}, output_hidden_states=True)
        logits = _of_logits(answer.logits.float(), taught_logits.float())
        hidden = _of_states(answer.hidden_states[1:], taught_states, batch["attention_mask"])
        loss = self.logit_weight * logits + self.hidden_weight * hidden
        seen = shares(self.student.config.formats.shape, answer.events, batch["input_ids"].shape[1])
        if self.silence is not None:
            self.silence.follow(answer.events, seen)
        figures = {"loss": float(loss.detach()), "hidden": float(hidden.detach()), "silent": seen[0], "quiet": seen[1]}
        return loss, figures

    def state_dict(self) -> dict[str, Tensor]:
        """What its parts remember."""
        return {f"{name}/{k}": v for name, part in self._parts() for k, v in part.state_dict().items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        for name, part in self._parts():
            own = {k.removeprefix(f"{name}/"): v for k, v in state.items() if k.startswith(f"{name}/")}
            part.load_state_dict(own)

    def _parts(self) -> list[tuple[str, Silence | Chips]]:
        named = (("silence", self.silence), ("chips", self.chips))
        return [(name, part) for name, part in named if part is not None]


def _of_logits(own: Tensor, taught: Tensor) -> Tensor:
    if own.shape[-1] == 1:
        return F.mse_loss(own, taught)
    return -(taught.softmax(-1) * own.log_softmax(-1)).sum(-1).mean()


def _of_states(own: tuple[Tensor, ...], taught: tuple[Tensor, ...], mask: Tensor) -> Tensor:
    """Mean squared error over existing tokens, summed over the blocks."""
    present = mask.to(torch.float32)[..., None]
    errors = [((a.float() - b.float()).square() * present).sum() for a, b in zip(own, taught, strict=True)]
    return sum(errors, start=torch.zeros((), device=mask.device)) / (own[0].shape[-1] * present.sum())
