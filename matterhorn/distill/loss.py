"""The loss of a student: the errors of its logits and of its hidden states against its teacher's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.nn import functional as F

from ..energy.price import Prices
from ..errors import InputError
from ..models import QuantizedForSequenceClassification
from ..nn import Events
from ..topology import Site
from .measure import TeacherOutput, embedding_cosines, hidden_error, states_at
from .noise import Chips
from .silence import Fixed, Silence, counts, shares
from .state import Stateful

Teacher = Callable[[dict[str, Tensor]], TeacherOutput]
"""Maps a batch to the teacher's logits and hidden states."""


@dataclass
class Distillation:
    """The loss of a phase: a weighted sum of the errors of the logits and of the hidden states.

    The error of the logits depends on the student's ``problem_type``: soft cross-entropy, binary cross-entropy for
    multiple labels, or mean squared error for scores. The error of the hidden states is the mean squared error at all
    blocks (BiT, arXiv 2205.13016). An encoder without a task adds 1 − cosine of the sentence embeddings. A student that
    has only some of its teacher's blocks follows the states at these blocks.

    Attributes:
        student: the network to train.
        teacher: maps a batch to logits and hidden states.
        logit_weight, hidden_weight, embedding_weight: weights of the parts.
        silence: holds shares of silence during training. None: they are not held.
        chips: simulates deviating cells in every pass, for noise-aware training.
        prices: prices to compute joules per sentence with, as a figure.
        fixed: makes the tensors of numbers that passes have in common.
    """

    student: QuantizedForSequenceClassification
    teacher: Teacher
    logit_weight: float = 1.0
    hidden_weight: float = 1.0
    embedding_weight: float = 0.0
    silence: Silence | None = None
    chips: Chips | None = None
    prices: Prices | None = None
    fixed: Fixed = field(default_factory=Fixed, init=False, repr=False)

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss and figures to show, as scalars.

        Args:
            model: the student as it is wrapped for training.
            batch: rows of this process.

        Raises:
            InputError: the teacher has other outputs, or hidden states of other sizes, than the student.
        """
        if self.chips is not None:
            self.chips.draw()
        taught, states = self.teacher(batch)
        states, kind = states_at(states, self.student.config.teacher_blocks), self.student.config.problem_type
        answer = model(**{k: v for k, v in batch.items() if k != "labels"}, output_hidden_states=True)
        _check_teacher(taught, states, answer.logits, answer.hidden_states[1:])
        present = batch["attention_mask"]
        counted = torch.stack([present[:, 0].sum(), present.sum()]).float()
        rows, tokens = counted / reduce(counted, "mean")  # weights of this process in the mean over all processes
        logits = _logit_error(answer.logits.float(), taught.float(), kind) * rows
        hidden = hidden_error(answer.hidden_states[1:], states, present) * tokens
        loss = self.logit_weight * logits + self.hidden_weight * hidden
        if self.embedding_weight:
            likeness = embedding_cosines(answer.hidden_states[-1], states[-1], present).mean()
            loss = loss + self.embedding_weight * rows * (1 - likeness)
        seen = shares(self.student.config.formats.shape, answer.events, batch["input_ids"].shape[1], self.fixed)
        if self.silence is not None:
            self.silence.follow(answer.events, seen)
        least = _logit_error(taught.float(), taught.float(), kind) * rows
        figures = {"loss": loss, "hidden": hidden, "learned": logits - least, "silent": seen[0], "quiet": seen[1]}
        if self.prices is not None:
            figures["joules"] = self._joules(self.prices, answer.events)
        return loss, {name: value.detach() for name, value in figures.items()}

    def _joules(self, prices: Prices, events: Mapping[Site, Events]) -> Tensor:
        """Energy in J of a mean sentence at the densities of events in a pass."""
        sent, windows = counts(events)
        blocks = self.student.config.formats.num_hidden_layers
        each = tuple(prices.events[site.part] * prices.windows[site.part] / blocks for site in events)
        joules: Tensor = prices.fixed + (sent / windows) @ self.fixed(each, sent.device)
        return joules

    @property
    def parts(self) -> dict[str, Stateful]:
        """Parts with a state that lasts from pass to pass, by name."""
        named: dict[str, Stateful | None] = {"silence": self.silence, "chips": self.chips}
        return {name: part for name, part in named.items() if part is not None}


def _check_teacher(taught: Tensor, states: Sequence[Tensor], logits: Tensor, own: Sequence[Tensor]) -> None:
    """Check that a teacher has the outputs and hidden states that its student needs.

    Args:
        taught, states: logits and hidden states of the teacher.
        logits, own: logits and hidden states of the student.

    Raises:
        InputError: it has others.
    """
    cure = "give the classifier that the student was made of"
    if logits.shape[-1] != taught.shape[-1]:
        problem = f"{taught.shape[-1]} outputs, where the student has {logits.shape[-1]}"
        raise InputError(problem, field="teacher", cure=cure)
    sizes, wanted = ((len(found), found[0].shape[-1]) for found in (states, own))
    if sizes != wanted:
        problem = "{} blocks of {}".format(*sizes) + ", where the student has {} of {}".format(*wanted)
        raise InputError(problem, field="teacher", cure=cure)


def _logit_error(own: Tensor, taught: Tensor, problem_type: str | None) -> Tensor:
    """Return the error of the logits according to the problem type (:class:`Distillation`)."""
    if own.shape[-1] == 1 or problem_type == "regression":
        return F.mse_loss(own, taught)
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(own, taught.sigmoid())
    return -(taught.softmax(-1) * own.log_softmax(-1)).sum(-1).mean()
