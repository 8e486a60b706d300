"""Plans of what to measure, and how a plan is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..errors import InputError
from ..program import Config, Program, load
from ..program.text import Encoded
from ..runtime import Engine
from .clock import Contestant, Row, interleave, rows_of
from .connections import LAYER_TOP, connection_contestants, layer_contestants
from .inputs import Texts, lengths_of, spikes

THREADED = ("network", "base", "training")
"""Parts that are measured with each number of threads. The others are measured with one."""

PARTS = (*THREADED, "roofline", "connection", "layer", "memory", "start-up")
"""All possible parts of a plan."""

BASE, BASE_BATCHES = "sst2-base", {"sentences": (1, 32), "pairs": (1, 16), "128 tokens": (1,)}
"""A network of BERT-base's size, and its numbers of rows per batch by kind of rows."""

BERT_BASE = Config(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, dead_zone=3)

SILENCE = 0.95
"""Silent share of the input of a layer."""

CALIBRATION = 8
"""Number of rows on which int8 opponents are calibrated."""

REST = 0.01
"""Seconds to wait before a call if there are several threads, since torch's threads spin for a while."""


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        seconds: approximate time to spend on each task.
        parts: some of :data:`PARTS`.
        batches: numbers of rows per batch, by kind of rows (:func:`.inputs.lengths_of`).
        widths, rows, silences: widths, rows per call and silent shares of single connections.
    """

    seconds: float = 2.5
    parts: Sequence[str] = PARTS
    batches: Mapping[str, Sequence[int]] = field(
        default_factory=lambda: {
            "sentences": (1, 32),
            "pairs": (1, 16),
            "mixed sentences": (32,),
            "mixed pairs": (16,),
            "128 tokens": (1, 8),
            "512 tokens": (1, 4),
        }
    )
    widths: Sequence[int] = (384, 768)
    rows: Sequence[int] = (32, 512)
    silences: Sequence[float] = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


FULL = Plan()
"""Everything that docs/performance.md shows, in an hour or two."""

_BRIEF = ("network", "connection", "layer", "start-up")
QUICK = Plan(1.0, _BRIEF, {"sentences": (1, 32), "pairs": (16,)}, (768,), (256,), (0.5, 0.9, 0.95, 0.99))
"""The whole model at its own silence and one layer, in a few minutes."""


def run_plan(plan: Plan, model: str, threads: Sequence[int], say: Callable[[str], None]) -> Iterator[Row]:
    """Measure a plan, and yield its rows one by one. Sets torch's number of threads.

    Args:
        plan: what to measure.
        model: name or folder of a program.
        threads: numbers of threads.
        say: called with progress and remarks, one line each.
    """
    import torch

    from .deployed import missing
    from .processes import memory_rows, start_up_rows

    program, draw = load(model), np.random.Generator(np.random.PCG64(0))
    texts = Texts(program, draw)
    if absent := missing():
        say(f'without {", ".join(absent)}: no ONNX Runtime, no OpenVINO; pip install "matterhorn-snn[bench]"')
    parts: dict[str, Callable[[int], Iterator[Row]]] = {
        "network": lambda count: _races(plan.seconds, program, texts, plan.batches, count, say),
        "base": lambda count: _races(plan.seconds, *_base(texts, draw), BASE_BATCHES, count, say),
        "connection": lambda _: _connections(plan, draw),
        "training": lambda count: _training(plan, draw, count),
        "layer": lambda _: _layers(plan, draw),
        "roofline": lambda _: _roofline(program, texts),
        "memory": lambda _: memory_rows(model),
        "start-up": lambda _: start_up_rows(model, 4 * plan.seconds),
    }
    for part in plan.parts:
        if part == "layer" and find_spec("spikingjelly") is None:
            say('no layer, as spikingjelly is not installed; pip install "matterhorn-snn[bench]"')
            continue
        for count in threads if part in THREADED else (1,):
            say(f"{part}, threads: {count}")
            torch.set_num_threads(count)
            yield from parts[part](count)


def _base(texts: Texts, draw: np.random.Generator) -> tuple[Program, Texts]:
    """Load the shipped network of BERT-base's size, or make an untrained one that is calibrated on random tokens."""
    with suppress(InputError):
        program = load(BASE)
        return program, Texts(program, draw)
    from ..models import convert, quantize
    from .opponents import bert

    tokens = np.random.Generator(np.random.PCG64(0)).integers(1000, BERT_BASE.vocab_size, (2, 128))
    batches = [{"input_ids": tokens}]
    return convert(quantize(bert(BERT_BASE), dead_zone=BERT_BASE.dead_zone, batches=batches)), texts


def _races(
    seconds: float,
    program: Program,
    texts: Texts,
    kinds: Mapping[str, Sequence[int]],
    threads: int,
    say: Callable[[str], None],
) -> Iterator[Row]:
    """Whole networks against each other. ``kinds``: numbers of rows per batch, by kind of rows. Batches with more
    tokens in a row than the program has positions are left out.
    """
    from .deployed import deployed, missing
    from .opponents import bert_config, classifiers

    def ours(engine: Engine) -> Contestant[Encoded]:
        return lambda batch: lambda: engine(**batch)

    engines = {name: Engine(program, name, threads=threads) for name in ("exact", "events")}
    contestants = classifiers(program.config) | {name: ours(engine) for name, engine in engines.items()}
    if not missing():
        calibration = islice(texts.batches([32]), CALIBRATION)
        with TemporaryDirectory() as folder:
            config = bert_config(program.config, "eager")
            contestants |= deployed(config, calibration, threads, Path(folder))
    for kind, count in ((kind, count) for kind, counts in kinds.items() for count in counts):
        lengths, positions = lengths_of(kind, count), program.config.max_position_embeddings
        if max(lengths) > positions:
            say(f"no {kind}, {count} a batch: rows of {max(lengths)} tokens, the program has {positions} positions")
            continue
        batches = texts.batches(lengths)
        times = interleave(contestants, batches, seconds=seconds, pause=REST if threads > 1 else 0.0)
        trace = engines["events"](**next(batches), trace=True).trace
        assert trace is not None
        sizes = {"layers": program.shape.layers, "width": program.shape.width, "rows": count, "tokens": sum(lengths)}
        shares = {"silent_share": trace.silent_share, "quiet_share": trace.quiet_share}
        yield from rows_of("network", {**sizes, "of": kind}, times, threads=threads, **shares)


def _roofline(program: Program, texts: Texts) -> Iterator[Row]:
    """Our network against the limits of the machine, and the share of each stage of its blocks."""
    from .roofline import roofline_rows, stage_rows

    for count, measure in ((32, roofline_rows), (1, stage_rows), (8, stage_rows)):
        lengths = lengths_of("sentences", count)
        sizes = {"layers": program.shape.layers, "width": program.shape.width, "rows": count, "tokens": sum(lengths)}
        yield from measure(program, texts.batches(lengths), {**sizes, "of": "sentences"})


def _connections(plan: Plan, draw: np.random.Generator) -> Iterator[Row]:
    """Single connections."""
    for width in plan.widths:
        for fan_in, fan_out in ((width, width), (width, 4 * width), (4 * width, width)):
            contestants = connection_contestants(fan_in, fan_out)
            for rows, share in ((rows, share) for rows in plan.rows for share in plan.silences):
                times = interleave(contestants, spikes(draw, rows, fan_in, share), seconds=plan.seconds / 8)
                shape = {"rows": rows, "in": fan_in, "out": fan_out}
                yield from rows_of("connection", shape, times, silent_share=share, quiet_share=share)


def _training(plan: Plan, draw: np.random.Generator, threads: int) -> Iterator[Row]:
    """The products of single connections in a training step."""
    from .training import training_contestants

    rows, pause = max(plan.rows), REST if threads > 1 else 0.0
    for width in plan.widths:
        for fan_in, fan_out in ((width, width), (width, 4 * width), (4 * width, width)):
            contestants, shape = training_contestants(fan_in, fan_out), {"rows": rows, "in": fan_in, "out": fan_out}
            for share in plan.silences:
                slots = spikes(draw, rows, fan_in, share)
                times = interleave(contestants, slots, seconds=plan.seconds / 4, pause=pause)
                yield from rows_of("training", shape, times, threads=threads, silent_share=share, quiet_share=share)


def _layers(plan: Plan, draw: np.random.Generator) -> Iterator[Row]:
    """Single layers of spiking neurons."""
    for width in plan.widths:
        rows = max(plan.rows)
        slots = spikes(draw, rows, width, SILENCE)
        times = interleave(layer_contestants(width), slots, seconds=2 * plan.seconds, most=9)
        shape = {"rows": rows, "in": width, "out": width, "steps": LAYER_TOP}
        yield from rows_of("layer", shape, times, silent_share=SILENCE, quiet_share=SILENCE)
