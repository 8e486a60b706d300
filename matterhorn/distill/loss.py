"""Distillation into the quantised network: logits and hidden states, and a price for every event."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.config import TARGETS, kind_of
from ..models.quantised import MatterhornForSequenceClassification
from .chips import Chips
from .lessons import Memory, ask
from .recipe import Round
from .shares import Shares


@dataclass
class Distillation:
    """Loss of one round.

    ``logits``: soft cross-entropy (mean squared error for one output); ``hidden``: mean squared error of all hidden
    states (BiT, arXiv 2205.13016); and ``price × expected share of events``, where the price rises while the silent
    share is below the target and falls while it is above (dual ascent).
    """

    student: MatterhornForSequenceClassification
    teacher: nn.Module
    round: Round
    state: dict[str, float] = field(default_factory=dict)
    price_rate: float = 0.1
    chips: Chips | None = None
    """Noise-aware: cells stray in every pass."""
    shares: Shares | None = None
    """What every population's share of silence is held at, if it is."""
    memory: Memory | None = None
    """What the teacher said of the rows, if it is asked only once."""

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """(student as wrapped for training, batch) → loss and figures."""
        if self.chips is not None:
            self.chips.draw(int(self.state.get("passes", 0)))
            self.state["passes"] = self.state.get("passes", 0) + 1
        taught_logits, taught_states = self.memory(batch) if self.memory else ask(self.teacher, batch)
        answer = model(**{k: v for k, v in batch.items() if k != "labels"}, output_hidden_states=True)
        logits = self._logits(answer.logits.float(), taught_logits.float())
        hidden = self._hidden(answer.hidden_states[1:], taught_states, batch["attention_mask"])
        loss = self.round.logit_weight * logits + self.round.hidden_weight * hidden
        if self.round.label_weight:
            loss = loss + self.round.label_weight * self._labels(answer.logits.float(), batch["labels"])
        if self.shares is not None:
            self.shares.follow()
        events, windows = self._events()
        share = 1 - float(reduce(events.detach() / windows, "mean"))
        price = self._price(share)
        if price:
            loss = loss + price * events / windows
        figures = {"loss": float(loss.detach()), "hidden": float(hidden.detach()), "silent": share, "price": price}
        return loss, figures

    def _logits(self, own: Tensor, taught: Tensor) -> Tensor:
        if own.shape[-1] == 1:
            return F.mse_loss(own, taught)
        return -(taught.softmax(-1) * own.log_softmax(-1)).sum(-1).mean()

    def _labels(self, logits: Tensor, labels: Tensor) -> Tensor:
        if logits.shape[-1] == 1:
            return F.mse_loss(logits.squeeze(-1), labels.float())
        return F.cross_entropy(logits, labels)

    def _hidden(self, own: tuple[Tensor, ...], taught: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        """Mean squared error over existing tokens, summed over the blocks."""
        present = mask.to(torch.float32)[..., None]
        width = own[0].shape[-1] * present.sum()
        return sum(((a.float() - b.float()).square() * present).sum() for a, b in zip(own, taught, strict=True)) / width

    def _events(self) -> tuple[Tensor, int]:
        """Events and windows of the pass over all connections (input feeds three); padding is counted with the rest."""
        events, windows = torch.zeros((), device=self.student.device), 0
        for name, population in self.student.populations().items():
            targets = TARGETS.get(kind_of(name), 1)
            assert population.events is not None
            events = events + targets * population.events
            windows += targets * population.windows
        return events, windows

    def _price(self, share: float) -> float:
        if self.round.silent_target is None:
            return self.round.event_price
        price = self.state.get("price", self.round.event_price)
        mean = self.state.get("silent", share)
        self.state["silent"] = mean + 0.05 * (share - mean)
        if self.shares is not None:
            return self.round.event_price
        self.state["price"] = max(0.0, price + self.price_rate * (self.round.silent_target - self.state["silent"]))
        return price
