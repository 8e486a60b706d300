"""What a student minimizes: the distance from its teacher, in its answers and in its hidden states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ..energy.price import Prices
from ..models import QuantizedForSequenceClassification
from .measure import Lesson, hidden_error
from .noise import Chips
from .silence import Silence, densities, shares
from .state import Stateful

Teacher = Callable[[dict[str, Tensor]], Lesson]
"""Batch → logits and hidden states."""


@dataclass
class Distillation:
    """Loss of a phase: soft cross-entropy of the logits (of several labels at a time binary cross-entropy, of scores
    mean squared error: the student's ``problem_type``), and mean squared error of all hidden states (BiT, arXiv
    2205.13016), weighted.

    Attributes:
        silence: holds shares of silence on the way, if they are to be held.
        prices: joules of a sentence are told by them. chips: noise-aware, cells stray in every pass.
    """

    student: QuantizedForSequenceClassification
    teacher: Teacher
    logit_weight: float = 1.0
    hidden_weight: float = 1.0
    silence: Silence | None = None
    chips: Chips | None = None
    prices: Prices | None = None

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """(student as wrapped for training, batch) → loss and figures."""
        if self.chips is not None:
            self.chips.draw()
        taught_logits, taught_states = self.teacher(batch)
        answer = model(**{k: v for k, v in batch.items() if k != "labels"}, output_hidden_states=True)
        logits = _of_logits(answer.logits.float(), taught_logits.float(), self.student.config.problem_type)
        hidden = hidden_error(answer.hidden_states[1:], taught_states, batch["attention_mask"])
        loss = self.logit_weight * logits + self.hidden_weight * hidden
        seen = shares(self.student.config.formats.shape, answer.events, batch["input_ids"].shape[1])
        if self.silence is not None:
            self.silence.follow(answer.events, seen)
        figures = {"loss": float(loss.detach()), "hidden": float(hidden.detach()), "silent": seen[0], "quiet": seen[1]}
        if self.prices is not None:
            figures["joules"] = self.prices.sentence(densities(answer.events))
        return loss, figures

    @property
    def parts(self) -> dict[str, Stateful]:
        """What it remembers from pass to pass."""
        named: dict[str, Stateful | None] = {"silence": self.silence, "chips": self.chips}
        return {name: part for name, part in named.items() if part is not None}


def _of_logits(own: Tensor, taught: Tensor, problem_type: str | None) -> Tensor:
    if own.shape[-1] == 1 or problem_type == "regression":
        return F.mse_loss(own, taught)
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(own, taught.sigmoid())
    return -(taught.softmax(-1) * own.log_softmax(-1)).sum(-1).mean()
