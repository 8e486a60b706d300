"""Proof by running: quantised network, exact engine and stepped engine give the same levels, events and logits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..coding import encode
from ..models.quantised import MatterhornForSequenceClassification
from ..models.spiking import Population, SpikingNetwork
from .forward import classify
from .interface import Engine


@dataclass
class Verification:
    """What was compared and what differed. ``first_difference`` names batch, engine, population, place and values."""

    engines: list[str]
    n: int = 0
    levels_compared: int = 0
    levels_different: int = 0
    events_different: int = 0
    logits_compared: int = 0
    logits_different: int = 0
    first_difference: dict[str, Any] | None = field(default=None)

    @property
    def passed(self) -> bool:
        """True where nothing differs (and something was compared)."""
        return self.n > 0 and not (self.levels_different or self.events_different or self.logits_different)


class _Comparer:
    """A watcher that compares what an engine does with the levels of the quantised network."""

    def __init__(self, report: Verification, engine: str, expected: dict[str, Tensor], batch: int):
        self.report, self.engine, self.expected, self.number = report, engine, expected, batch
        self.present = torch.zeros(0, 0, dtype=torch.bool)

    def batch(self, present: Tensor) -> None:
        """See :class:`~matterhorn.engines.Watcher`."""
        self.present = present

    def spikes(self, name: str, population: Population, slots: Tensor, levels: Tensor) -> None:
        """See :class:`~matterhorn.engines.Watcher`."""
        expected = self.expected[name].to(torch.uint8)
        exists = self.present[:, :, None]
        if name.endswith("probabilities"):
            exists = self.present[:, None, :, None] & self.present[:, None, None, :]
        exists = exists.expand(levels.shape)
        wrong = (levels != expected) & exists
        wrong_slots = (slots != encode(expected, population.code)) & exists
        self.report.levels_compared += int(exists.sum())
        self.report.levels_different += int(wrong.sum())
        self.report.events_different += int(wrong_slots.sum())
        self.note(name, wrong | wrong_slots, levels, expected)

    def note(self, name: str, wrong: Tensor, got: Tensor, expected: Tensor) -> None:
        """Keep the first difference."""
        if self.report.first_difference is None and bool(wrong.any()):
            place = wrong.nonzero()[0].tolist()
            self.report.first_difference = {
                "batch": self.number,
                "engine": self.engine,
                "where": name,
                "index": place,
                "quantised": float(expected[tuple(place)]),
                self.engine: float(got[tuple(place)]),
            }


@torch.inference_mode()
def verify(
    quantised: MatterhornForSequenceClassification,
    network: SpikingNetwork,
    engines: list[Engine],
    batches: Iterable[dict[str, Tensor]],
) -> Verification:
    """Compare all engines with the quantised network on all batches (``input_ids``, ``token_type_ids``, mask)."""
    report = Verification([engine.name for engine in engines])
    quantised.eval()
    for number, batch in enumerate(batches):
        inputs = {k: v for k, v in batch.items() if k != "labels"}
        expected, logits = _quantised_levels(quantised, inputs)
        present = batch["attention_mask"].bool()
        report.n += len(present)
        for engine in engines:
            comparer = _Comparer(report, engine.name, expected, number)
            answer = classify(network, batch["input_ids"], batch["token_type_ids"], present, engine, comparer)
            report.logits_compared += logits.numel()
            report.logits_different += int((answer != logits).sum())
            comparer.note("logits", answer != logits, answer, logits)
    return report


def _quantised_levels(
    model: MatterhornForSequenceClassification, inputs: dict[str, Tensor]
) -> tuple[dict[str, Tensor], Tensor]:
    """Levels of every population before masking, by name, and the logits."""
    levels: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, values: tuple[Tensor, ...]) -> None:
            levels[name] = module.levels(values[0])  # type: ignore[operator]

        return hook

    hooks = [module.register_forward_pre_hook(keep(name)) for name, module in model.populations().items()]
    logits = model(**inputs).logits
    for hook in hooks:
        hook.remove()
    return levels, logits
