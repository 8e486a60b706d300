"""Running a spiking network over a data set: metric, silence, trace. Memory does not grow with the data."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..engines import TraceRecorder, classify
from ..engines.interface import Engine
from ..models.spiking import SpikingNetwork
from ..trace import Trace
from .data import Tokens, sorted_batches
from .metrics import compute_metrics
from .tasks import Task

if TYPE_CHECKING:
    from accelerate import Accelerator

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
    accelerator: Accelerator | None = None,
) -> Evaluation:
    """Metrics and trace of a network on tokenised rows; with an accelerator, shared among its processes."""
    logits, trace, seconds = predict_spiking(
        network, tokens, engine, batch_size=batch_size, progress=progress, accelerator=accelerator
    )
    metrics = compute_metrics(task, logits.numpy(), torch.tensor(tokens.labels).numpy())
    return Evaluation(metrics, trace, seconds, len(tokens))


def predict_spiking(
    network: SpikingNetwork,
    tokens: Tokens,
    engine: Engine,
    *,
    batch_size: int = 32,
    progress: Progress = iter,
    accelerator: Accelerator | None = None,
) -> tuple[Tensor, Trace, float]:
    """Logits ``[rows, outputs]``, trace, and seconds in the engine (of the slowest process)."""
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    recorder = TraceRecorder(network)
    logits = torch.zeros(len(tokens), len(network.classifier.bias))
    seconds = 0.0
    for rows in progress(sorted_batches(tokens, batch_size)[rank::world]):
        batch = tokens.batch(rows)
        start = time.perf_counter()
        inputs = batch["input_ids"], batch["token_type_ids"], batch["attention_mask"].bool()
        logits[rows] = classify(network, *inputs, engine, recorder)
        seconds += time.perf_counter() - start
    if world == 1:
        return logits, recorder.trace, seconds
    from accelerate.utils import gather_object

    pieces = gather_object([(logits, recorder.trace, seconds)])
    trace = pieces[0][1]
    for _, other, _ in pieces[1:]:
        trace.merge(other)
    return sum(piece[0] for piece in pieces), trace, max(piece[2] for piece in pieces)


WORLD_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where launchers (torchrun, MPI) leave the number of processes."""


def launched() -> Accelerator | None:
    """The processes that ``accelerate launch`` started, if there are several."""
    if all(int(os.environ.get(name, "1")) < 2 for name in WORLD_SIZES):
        return None
    from accelerate import Accelerator

    return Accelerator(cpu=not torch.cuda.is_available())


def batches_of(tokens: Tokens, batch_size: int) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Row numbers and tensors, batches of like length."""
    for rows in sorted_batches(tokens, batch_size):
        yield rows, tokens.batch(rows)
