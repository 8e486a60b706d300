"""Read a trace file. Every count is checked against its range, and against the counts that it can be derived from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ..coding import MAX_BITS
from ..errors import InputError
from ..reading import Exact, read_packed_json, validated
from ..topology import CONNECTION, CONNECTIONS, SOURCE, Shape, Site
from .trace import TRACE_FORMAT, ConnectionTrace, DigitalTrace, Trace

CURE = "record the trace again"
OPERATIONS = (
    "embedding",
    "layer_norm",
    "position_bias",
    "softmax",
    "residual",
    "activation",
    "quantize",
    "head",
)

Natural = Annotated[int, Field(ge=0, le=2**53)]
Size = Annotated[int, Field(ge=1, le=2**24)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Shape(Exact):
    layers: Annotated[int, Field(ge=1, le=1000)]
    width: Size
    heads: Size
    intermediate: Size
    first_only: bool


class _Connection(Exact):
    block: Natural
    connection: str
    fan_in: Size
    fan_out: Size
    heads: Size
    level_bits: Annotated[int, Field(ge=1, le=MAX_BITS)]
    operand_bits: Annotated[int, Field(ge=1, le=64)]
    dead_zone: Annotated[int, Field(ge=0, le=2**MAX_BITS)]
    silent: Annotated[list[Natural], Field(min_length=1)]
    histogram: Annotated[list[list[Natural]], Field(min_length=1)]
    windows: Natural
    events: Natural
    kappa_sum: Annotated[float, Field(ge=0)]
    products: Natural
    accumulates: Natural
    offset_accumulates: Natural
    digits: Annotated[int, Field(ge=0, le=64)] = 0
    zeros: Annotated[float, Field(ge=0, le=1)] = 0.0
    threshold_words: Annotated[int, Field(ge=0, le=2**MAX_BITS)] = 2


class _Step(Exact):
    name: str
    block: Annotated[int, Field(ge=-1, le=1000)]
    operation: Literal[OPERATIONS]  # type: ignore[valid-type]
    elements: Natural
    vectors: Natural


class _Saved(Exact):
    format: int
    program: str | None
    rows: Hash
    parts: list[Hash]
    shape: _Shape
    vocabulary: Size
    labels: Size
    lengths: dict[Annotated[str, Field(pattern="^[1-9][0-9]{0,6}$")], Natural]
    connections: list[_Connection]
    digital: list[_Step]


def read_trace(path: Path) -> Trace:
    """See :meth:`.trace.Trace.load`."""
    plain = read_packed_json(path, "give a trace (.json.gz)")
    if plain.get("format") != TRACE_FORMAT:
        problem = f"format {plain.get('format')}, not {TRACE_FORMAT}"
        raise InputError(problem, file=path, field="format", cure=CURE)
    saved = validated(_Saved, plain, path, CURE)
    trace = Trace(
        shape=Shape(**vars(saved.shape)),
        vocabulary=saved.vocabulary,
        labels=saved.labels,
        program=saved.program,
        rows=int(saved.rows, 16),
        parts=tuple(int(part, 16) for part in saved.parts),
        lengths={int(length): count for length, count in saved.lengths.items()},
        digital={step.name: DigitalTrace(**vars(step)) for step in saved.digital},
    )
    try:
        found = [_connection(one) for one in saved.connections]
        trace.connections = {one.name: one for one in found}
        sites = {str(Site(block, kind.name)) for block in range(trace.shape.layers) for kind in CONNECTIONS}
        if found and (len(found) != len(sites) or set(trace.connections) != sites):
            raise InputError("not the connections of its shape", field="connections", cure=CURE)
        _check_places(trace)
        if saved.program is not None:
            for one in found:
                _check(one, trace)
    except InputError as error:
        raise InputError(str(error), file=path) from error
    return trace


def _check_places(trace: Trace) -> None:
    """Check that digital steps in a block have its name as a prefix, and that those outside of all blocks have none."""
    for step in trace.digital.values():
        inside, start = 0 <= step.block < trace.shape.layers, f"block.{step.block}."
        if not (len(step.name) > len(start) and step.name.startswith(start) if inside else step.name[:5] != "block"):
            problem = f"{step.name!r} in block {step.block}"
            raise InputError(problem, field="digital", cure=CURE)


def _connection(saved: _Connection) -> ConnectionTrace:
    if saved.connection not in CONNECTION:
        raise InputError(f"no connection {saved.connection!r}", field="connections", cure=CURE)
    rows, top, silent = len(saved.histogram), 2**saved.level_bits - 1, saved.silent
    if any(len(row) != top + 1 for row in saved.histogram) or len(silent) not in (1, rows) or max(silent) > top:
        problem, field = "levels of another width", f"{Site(saved.block, saved.connection)}.histogram"
        raise InputError(problem, field=field, cure=CURE)
    arrays = {name: np.array(getattr(saved, name), np.int64) for name in ("silent", "histogram")}
    return ConnectionTrace(**(vars(saved) | arrays))


def _check(one: ConnectionTrace, trace: Trace) -> None:
    """Check that the counts of a connection agree with its histogram, the shape, and the lengths that ran.

    Raises:
        InputError: a count does not. The message names it.
    """
    shape, name, levels = trace.shape, one.connection, np.arange(2**one.level_bits)
    spiking = np.abs(levels - one.silent[:, None]) > one.dead_zone
    windows = {n: count * shape.windows(one.block, name, n) for n, count in trace.lengths.items()}
    follows = {
        "fan_in": shape.fans(name)[0],
        "fan_out": shape.fans(name)[1],
        "heads": shape.heads_of(name),
        "windows": sum(windows.values()),
        "events": int((one.histogram * spiking).sum()),
        "products": sum(count * shape.fan_out(name, n) for n, count in windows.items()),
    }
    if name != "qk":  # the fan-out of qk depends on the length
        follows["accumulates"] = one.events * one.fan_out
    wrong = [field for field, value in follows.items() if getattr(one, field) != value]
    if int(one.histogram.sum()) != one.windows or len(one.histogram) not in (
        1,
        shape.heads,
        shape.neurons(SOURCE[name]),
    ):
        wrong.append("histogram")
    if not one.events / 8 <= one.kappa_sum <= one.events * len(levels):
        wrong.append("kappa_sum")
    if one.accumulates > one.products:
        wrong.append("accumulates")
    if wrong:
        raise InputError("contradicts the other counts", field=f"{one.name}.{wrong[0]}", cure=CURE)
