"""Transfer the counts of one network to the shape of another: shares stay the same, sizes change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..program.trace import ConnectionTrace, DigitalTrace, Trace
from ..topology import Shape, Site

SHAPES = {
    "minilm-l6": Shape(6, 384, 12, 1536),
    "bert-base": Shape(12, 768, 12, 3072),
    "bert-large": Shape(24, 1024, 16, 4096),
}
"""Shapes by name."""

COUNTS = ("silent", "histogram", "windows", "events", "kappa_sum", "products", "accumulates")
"""Fields of a connection that depend on its source's spikes, equal for all connections of the same source."""

PAPER_LENGTH = 128
"""Tokens of the sentence for which codes and rivals are billed on BERT-base."""


def in_proportion(shape: Shape, trace: Trace, teacher_blocks: int | None = None) -> Shape:
    """Return the shape in a traced network's proportions: its ratio of intermediate neurons to width, its cut to the
    first token, and the share of its teacher's blocks that it has.

    A student that is wider than its teacher, or has fewer blocks, is thus billed as such at every size.

    Args:
        teacher_blocks: number of its teacher's blocks. None: as many as it has itself.
    """
    own = trace.shape
    layers = shape.layers if teacher_blocks is None else max(1, round(shape.layers * own.layers / teacher_blocks))
    intermediate = shape.width * own.intermediate // own.width
    return replace(shape, layers=layers, intermediate=intermediate, first_only=own.first_only)


def lay(trace: Trace, shape: Shape, length: int = PAPER_LENGTH) -> Trace:
    """Transfer a trace to one sentence of ``length`` tokens on ``shape``. Each block has the shares of one at the same
    depth.

    Histograms keep their distribution; rows are repeated or dropped. Events and Σ|κ| scale with windows, accumulates
    with products, and offsets with the keys or values that they are summed over. A block that computes only the first
    token has the shares of the last traced block. If that one computes only the first token too, it serves no other
    block, unless there is no whole one.
    """
    laid = Trace(shape, trace.vocabulary, trace.labels)
    laid.add_lengths([length])
    origins = _origins(trace.shape, shape)
    for block, origin in enumerate(origins):
        for c in _lent(trace, origin, shape.is_cut(block)):
            moved = _connection(c, block, trace, shape, length)
            laid.connections[moved.name] = moved
    for step in trace.digital.values():
        targets = [block for block, origin in enumerate(origins) if origin == step.block]
        if step.block < 0 or step.block >= trace.shape.layers:
            targets = [-1 if step.block < 0 else shape.layers]
        for block in targets:
            scaled = _digital(step, block, trace, shape, length)
            laid.digital[scaled.name] = scaled
    return laid


def _origins(old: Shape, new: Shape) -> list[int]:
    """For each block of the new shape, the block of the old one whose shares it has."""
    whole = [block for block in range(old.layers) if not old.is_cut(block)] or [old.layers - 1]
    count = new.layers - new.first_only
    last = [old.layers - 1] if new.first_only else []
    return [whole[block * len(whole) // count] for block in range(count)] + last


def _lent(trace: Trace, origin: int, is_cut: bool) -> list[ConnectionTrace]:
    """Return the connections whose counts a block provides.

    If a network has no whole block, the query of a whole one reads all that its key reads, not only the first token.
    """
    own = {c.connection: c for c in trace.connections.values() if c.block == origin}
    if trace.shape.is_cut(origin) and not is_cut and {"query", "key"} <= own.keys():
        own["query"] = replace(own["query"], **{name: getattr(own["key"], name) for name in COUNTS})
    return list(own.values())


def _connection(c: ConnectionTrace, block: int, trace: Trace, shape: Shape, length: int) -> ConnectionTrace:
    fan_in, fan_out = shape.fans(c.connection)
    heads = shape.heads_of(c.connection)
    windows = shape.windows(block, c.connection, length)
    products = windows * shape.fan_out(c.connection, length)
    share = windows / c.windows if c.windows else 0.0
    stored = length * shape.width / (trace.tokens * trace.shape.width)
    old = len(c.histogram)
    picked = np.arange(heads) * old // heads if c.connection == "pv" else np.arange(heads * fan_in) % old
    return replace(
        c, block=block, fan_in=fan_in, fan_out=fan_out, heads=heads,
        silent=c.silent[picked] if len(c.silent) == old else c.silent, histogram=c.histogram[picked],
        windows=windows, events=round(c.events * share), kappa_sum=c.kappa_sum * share, products=products,
        accumulates=round(c.accumulates * products / c.products) if c.products else 0,
        offset_accumulates=round(c.offset_accumulates * stored),
    )  # fmt: skip


def _digital(step: DigitalTrace, block: int, trace: Trace, shape: Shape, length: int) -> DigitalTrace:
    """A digital step, scaled by what it works on."""
    old_elements, old_vectors = _work(step, step.block, trace.shape, trace.lengths)
    elements, vectors = _work(step, block, shape, {length: 1})
    inside = 0 <= block < shape.layers
    return DigitalTrace(
        str(Site(block, Site.parse(step.name).part)) if inside else step.name, block, step.operation,
        round(step.elements * elements / old_elements), round(step.vectors * vectors / old_vectors),
    )  # fmt: skip


def _work(step: DigitalTrace, block: int, shape: Shape, lengths: Mapping[int, int]) -> tuple[int, int]:
    """What elements and vectors of a step grow with: steps behind the blocks work per sentence, scores and
    probabilities on pairs of tokens, all else on the tokens of their block; pooler and projection on width²."""
    square = 2 if step.name in ("pooler", "projection") else 1
    if block >= shape.layers:
        return shape.width**square * sum(lengths.values()), sum(lengths.values())
    part = "input" if "input" in step.name else "hidden"
    tokens = sum(count * shape.tokens(block, part, length) for length, count in lengths.items())
    per_row = step.operation in ("softmax", "position_bias")
    if per_row or "probabilities" in step.name:
        pairs = sum(count * shape.tokens(block, part, length) * length for length, count in lengths.items())
        return shape.heads * pairs, tokens * (shape.heads if per_row else 1)
    return tokens * (shape.intermediate if step.operation == "activation" else shape.width**square), tokens
