"""What is measured: the plans, and running one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..engines.events import EventsEngine
from ..errors import InputError
from ..models.checkpoint import load_spiking
from ..models.spiking import SpikingNetwork
from . import connections, networks
from .clock import interleave
from .memory import memory_rows
from .networks import BASELINES, BERT_BASE, Batch, Shape
from .peers import peer_contestants
from .rows import Row, rows_of
from .sentences import batch_of, pairs, sentences_of_length
from .sentences import sample as sample_sentences
from .startup import startup_rows

Say = Callable[[str], None]
ENGINES = ("exact", "events")
PARTS = ("network", "BERT-base", "connection", "layer", "training step", "memory", "start-up")
"""What a plan may hold; the last two do not depend on the number of threads."""


@dataclass(frozen=True)
class Plan:
    """Sizes to measure and seconds to spend on each task.

    Attributes:
        parts: of :data:`PARTS`.
        batches, pairs: sequences per batch of single sentences (as in SST-2) and of pairs (as in RTE). lengths: tokens
            of lengthened sentences. stepped: one sentence slot by slot too.
        widths, rows, silences: of single connections.
        starts: how often start-up is measured; ``first`` with nothing compiled too.
    """

    seconds: float
    parts: tuple[str, ...]
    batches: tuple[int, ...]
    pairs: tuple[int, ...]
    lengths: tuple[int, ...]
    widths: tuple[int, ...]
    rows: tuple[int, ...]
    silences: tuple[float, ...]
    stepped: bool
    starts: int
    first: bool

    def only(self, parts: list[str]) -> Plan:
        """The same with some parts only."""
        for part in parts:
            if part not in PARTS:
                raise InputError(f"no part {part!r}", field="only", cure=f"choose of {', '.join(PARTS)}")
        return replace(self, parts=tuple(parts))


def quick_plan() -> Plan:
    """The whole model at its own silence and one layer, within a minute."""
    parts = ("network", "connection", "layer", "start-up")
    return Plan(1.5, parts, (1, 24), (8,), (), (768,), (256,), (0.5, 0.9, 0.95, 0.99), False, 1, False)


def full_plan() -> Plan:
    """Everything that docs/performance.md shows, in some ten minutes."""
    silences = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
    lengths, widths = (16, 32, 64, 128, 256, 512), (384, 768, 1024)
    return Plan(2.5, PARTS, (1, 8, 64), (1, 8, 64), lengths, widths, (32, 1024), silences, True, 3, True)


def run_plan(plan: Plan, folder: Path, threads: list[int], say: Say) -> Iterator[Row]:
    """The rows of a plan for the model in ``folder``, as they come."""
    network, before = load_spiking(folder), torch.get_num_threads()
    try:
        for count in threads:
            torch.set_num_threads(count)
            yield from _measure(plan, network, folder, count, say)
    finally:
        torch.set_num_threads(before)
    if "memory" in plan.parts:
        say("memory")
        yield from memory_rows(folder, network)
    if "start-up" in plan.parts:
        say("start-up")
        yield from startup_rows(plan.starts, first=plan.first)


def _measure(plan: Plan, network: SpikingNetwork, folder: Path, threads: int, say: Say) -> Iterator[Row]:
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "network": lambda: _own_sentences(plan, network, folder, threads),
        "BERT-base": lambda: _base(plan, threads),
        "connection": lambda: _connections(plan, threads),
        "layer": lambda: _layers(plan, threads, say),
        "training step": lambda: _steps(plan, network, threads),
    }
    for name, rows in parts.items():
        if name in plan.parts:
            say(f"{name}, threads: {threads}")
            yield from rows()


def _own_sentences(plan: Plan, network: SpikingNetwork, folder: Path, threads: int) -> Iterator[Row]:
    others = networks.rivals(networks.shape_of(network))
    texts = sample_sentences()

    def rows(batch: Batch, data: str, engines: tuple[str, ...] = ENGINES) -> list[Row]:
        return _network_rows(plan, network, others, batch, data, threads, engines)

    for size in plan.batches:
        yield from rows(batch_of(folder, [texts[i % len(texts)] for i in range(size)]), "sentences")
    for size in plan.pairs:
        yield from rows(pairs(folder, size), "pairs")
    for length in plan.lengths:
        for size in (1, 8):
            yield from rows(sentences_of_length(folder, size, length), f"{length} tokens")
    if plan.stepped:
        yield from rows(batch_of(folder, texts[:1]), "slot by slot too", ("stepped", *ENGINES))


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


def _connections(plan: Plan, threads: int) -> Iterator[Row]:
    engine = EventsEngine()
    for width in plan.widths:
        for rows in plan.rows:
            for fan_in, fan_out in ((width, width), (width, 4 * width), (4 * width, width)):
                for silence in plan.silences:
                    contestants = connections.connection_contestants(rows, fan_in, fan_out, silence)
                    timings = interleave(contestants, seconds=plan.seconds / 8)
                    shape: dict[str, int | str] = {"rows": rows, "in": fan_in, "out": fan_out}
                    taken = connections.takes_events(engine, rows, fan_in, fan_out, silence)
                    yield from rows_of(
                        "connection",
                        shape,
                        timings,
                        baselines=connections.BASELINES,
                        threads=threads,
                        silent_share=silence,
                        extra={"events": {"adds events": float(taken)}},
                    )


def _layers(plan: Plan, threads: int, say: Say) -> Iterator[Row]:
    for width in plan.widths:
        others = peer_contestants(max(plan.rows), width, say)
        ours = connections.layer_contestants(max(plan.rows), width, 0.95)
        timings = interleave(ours | others, seconds=2 * plan.seconds, most=9)
        shape: dict[str, int | str] = {"rows": max(plan.rows), "in": width, "out": width, "steps": 15}
        yield from rows_of("layer", shape, timings, baselines=tuple(others), threads=threads, silent_share=0.95)


def _steps(plan: Plan, network: SpikingNetwork, threads: int) -> Iterator[Row]:
    from . import training

    timings = interleave(training.step_contestants(networks.shape_of(network)), seconds=5 * plan.seconds)
    shape: dict[str, int | str] = {"batch": training.BATCH, "tokens": training.LENGTH}
    yield from rows_of("training step", shape, timings, baselines=("fine-tuning",), threads=threads)
