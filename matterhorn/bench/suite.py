"""What is measured: the plans, and running one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ..models.checkpoint import load_spiking
from ..models.spiking import SpikingNetwork
from . import connections, networks
from .clock import interleave
from .memory import memory_rows
from .networks import BASELINES, BERT_BASE, Batch, Shape
from .peers import peer_contestants
from .rows import Row, rows_of
from .sentences import batch_of, sentences_of_length
from .sentences import sample as sample_sentences

Say = Callable[[str], None]
ENGINES = ("exact", "events")


@dataclass(frozen=True)
class Plan:
    """Sizes to measure and seconds to spend on each task.

    Attributes:
        batches: sequences per batch of the model's own sentences. lengths: tokens of lengthened sentences.
        widths, rows, silences: of single connections. base: BERT-base's shape too. steps: cost of a training step.
        memory: peaks in processes of their own.
    """

    seconds: float
    batches: tuple[int, ...]
    lengths: tuple[int, ...]
    widths: tuple[int, ...]
    rows: tuple[int, ...]
    silences: tuple[float, ...]
    stepped: bool = False
    base: bool = False
    steps: bool = False
    memory: bool = False


def quick_plan() -> Plan:
    """The whole model at its own silence and one layer, within a minute."""
    return Plan(2.0, (1, 24), (64,), (768,), (256,), (0.5, 0.9, 0.95))


def full_plan() -> Plan:
    """Everything that docs/performance.md shows."""
    silences = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
    lengths = (16, 64, 128, 256, 512)
    return Plan(4.0, (1, 8, 64), lengths, (384, 768, 1024), (32, 1024), silences, True, True, True, True)


def run_plan(plan: Plan, folder: Path, threads: list[int], say: Say) -> list[Row]:
    """All rows of a plan for the model in ``folder``."""
    network, before = load_spiking(folder), torch.get_num_threads()
    rows: list[Row] = []
    try:
        for count in threads:
            torch.set_num_threads(count)
            for row in _measure(plan, network, folder, count, say):
                rows.append(row)
    finally:
        torch.set_num_threads(before)
    if plan.memory:
        say("memory")
        rows += memory_rows(folder, network)
    return rows


def _measure(plan: Plan, network: SpikingNetwork, folder: Path, threads: int, say: Say) -> Iterator[Row]:
    say(f"network, {threads} threads")
    yield from _own_sentences(plan, network, folder, threads)
    if plan.base:
        say(f"BERT-base shape, {threads} threads")
        yield from _base(plan, threads)
    say(f"connections, {threads} threads")
    for width in plan.widths:
        for rows in plan.rows:
            yield from _connections(plan, width, rows, threads)
    say(f"layer against peers, {threads} threads")
    yield from _layers(plan, threads, say)
    if plan.steps:
        from . import training

        say(f"training step, {threads} threads")
        timings = interleave(training.step_contestants(networks.shape_of(network)), seconds=4 * plan.seconds)
        shape: dict[str, int | str] = {"batch": training.BATCH, "tokens": training.LENGTH}
        yield from rows_of("training step", shape, timings, baselines=("fine-tuning",), threads=threads)


def _own_sentences(plan: Plan, network: SpikingNetwork, folder: Path, threads: int) -> Iterator[Row]:
    others = networks.rivals(networks.shape_of(network))
    texts = sample_sentences()
    for size in plan.batches:
        batch = batch_of(folder, [texts[i % len(texts)] for i in range(size)])
        yield from _network_rows(plan, network, others, batch, "sample sentences", threads, ENGINES)
    for length in plan.lengths:
        for size in (1, 8):
            batch = sentences_of_length(folder, size, length)
            yield from _network_rows(plan, network, others, batch, f"{length} tokens", threads, ENGINES)
    if plan.stepped:
        batch = batch_of(folder, texts[:1])
        yield from _network_rows(plan, network, others, batch, "one sentence", threads, ("stepped", *ENGINES))


def _base(plan: Plan, threads: int) -> Iterator[Row]:
    batch = networks.random_batch(2, 128, BERT_BASE.vocabulary)
    network = networks.untrained(BERT_BASE, batch, dead_zone=3)
    yield from _network_rows(plan, network, networks.rivals(BERT_BASE), batch, "untrained", threads, ENGINES)


def _network_rows(
    plan: Plan,
    network: SpikingNetwork,
    others: dict[str, torch.nn.Module],
    batch: Batch,
    data: str,
    threads: int,
    engines: tuple[str, ...],
) -> list[Row]:
    shape = networks.shape_of(network)
    timings = interleave(networks.contestants(network, others, batch, engines), seconds=plan.seconds)
    return rows_of(
        "network",
        _sizes(shape, batch) | {"data": data},
        timings,
        baselines=(*BASELINES, "exact"),
        threads=threads,
        silent_share=networks.silence_on(network, batch),
    )


def _sizes(shape: Shape, batch: Batch) -> dict[str, int | str]:
    mask = batch["attention_mask"]
    sizes: dict[str, int | str] = {"layers": shape.layers, "width": shape.width, "batch": len(mask)}
    return sizes | {"longest": mask.shape[1], "tokens": int(mask.sum())}


def _connections(plan: Plan, width: int, rows: int, threads: int) -> Iterator[Row]:
    for fan_in, fan_out in ((width, width), (width, 4 * width), (4 * width, width)):
        for silence in plan.silences:
            contestants = connections.connection_contestants(rows, fan_in, fan_out, silence)
            timings = interleave(contestants, seconds=plan.seconds / 4)
            shape: dict[str, int | str] = {"rows": rows, "in": fan_in, "out": fan_out}
            baselines = ("fp32", "exact")
            yield from rows_of(
                "connection", shape, timings, baselines=baselines, threads=threads, silent_share=silence
            )


def _layers(plan: Plan, threads: int, say: Say) -> Iterator[Row]:
    for width in plan.widths:
        others = peer_contestants(max(plan.rows), width, say)
        ours = connections.layer_contestants(max(plan.rows), width, 0.95)
        timings = interleave(ours | others, seconds=2 * plan.seconds, most=9)
        shape: dict[str, int | str] = {"rows": max(plan.rows), "in": width, "out": width, "steps": 15}
        yield from rows_of("layer", shape, timings, baselines=tuple(others), threads=threads, silent_share=0.95)
