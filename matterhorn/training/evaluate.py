"""Running a spiking network over a data set: metric, silence, trace. Memory does not grow with the data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engines import TraceRecorder, classify
from ..engines.interface import Engine
from ..models.spiking import SpikingNetwork
from ..trace import Trace
from .data import Tokens, sorted_batches
from .metrics import compute_metrics
from .tasks import Task

Progress = Callable[[Iterable], Iterable]


@dataclass
class Evaluation:
    """Metrics (the main one first), the trace they came with, and the time the engine took."""

    metrics: dict[str, float]
    trace: Trace
    seconds: float
    n: int

    @property
    def events_per_token(self) -> float:
        """Spikes per token; one that feeds three connections counts once."""
        sources = {c.population: c.events for c in self.trace.connections.values()}
        return sum(sources.values()) / max(1, self.trace.tokens)


def evaluate_spiking(
    network: SpikingNetwork,
    tokens: Tokens,
    task: Task,
    engine: Engine,
    *,
    batch_size: int = 32,
    progress: Progress = iter,
) -> Evaluation:
    """Metrics and trace of a network on tokenised rows."""
    recorder = TraceRecorder(network)
    logits = torch.empty(len(tokens), len(network.classifier.bias))
    seconds = 0.0
    for rows, batch in progress(list(batches_of(tokens, batch_size))):
        start = time.perf_counter()
        inputs = batch["input_ids"], batch["token_type_ids"], batch["attention_mask"].bool()
        logits[rows] = classify(network, *inputs, engine, recorder)
        seconds += time.perf_counter() - start
    metrics = compute_metrics(task, logits.numpy(), torch.tensor(tokens.labels).numpy())
    return Evaluation(metrics, recorder.trace, seconds, len(tokens))


def batches_of(tokens: Tokens, batch_size: int) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Row numbers and tensors, batches of like length."""
    for rows in sorted_batches(tokens, batch_size):
        yield rows, tokens.batch(rows)
