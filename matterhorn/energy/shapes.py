"""Laying what was counted on one network over the shape of another: shares stay, sizes change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..trace import DYNAMIC, ConnectionTrace, DigitalTrace, Trace


@dataclass(frozen=True)
class Shape:
    """Sizes of a BERT-like encoder."""

    layers: int
    width: int
    heads: int
    ffn: int

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    def fans(self, role: str) -> tuple[int, int]:
        """Rows and columns of a connection; dynamic ones per key and head."""
        return {
            "scores": (self.head_size, 1),
            "context": (1, self.head_size),
            "ffn1": (self.width, self.ffn),
            "ffn2": (self.ffn, self.width),
        }.get(role, (self.width, self.width))


SHAPES = {
    "minilm-l6": Shape(6, 384, 12, 1536),
    "bert-base": Shape(12, 768, 12, 3072),
    "bert-large": Shape(24, 1024, 16, 4096),
}
"""Shapes by name."""

PAPER_LENGTH = 128
"""Tokens of the sentence that codes and rivals are billed for on BERT-base."""


def as_wide(shape: Shape, trace: Trace) -> Shape:
    """The shape with as many FFN neurons per neuron of its width as the traced network has: a student that is wider
    than its teacher there is billed for it at every size."""
    return replace(shape, ffn=shape.width * trace.shape["ffn"] // trace.shape["width"])


def lay(trace: Trace, shape: Shape, length: int = PAPER_LENGTH) -> Trace:
    """One sentence of ``length`` tokens on ``shape``, each block with the shares of the block at the same depth.

    Histograms keep their distribution: rows are repeated or dropped to the new number of neurons, and scaled to the new
    number of windows. Events, Σ|κ| and offsets scale with windows, accumulates with products.
    """
    laid = Trace(shape={**trace.shape, "layers": shape.layers, "width": shape.width, "heads": shape.heads,
                        "ffn": shape.ffn})  # fmt: skip
    laid.add_lengths([length])
    depth = 1 + max(c.block for c in trace.connections.values())
    for block in range(shape.layers):
        origin = block * depth // shape.layers
        for connection in trace.connections.values():
            if connection.block == origin:
                moved = _connection(connection, block, shape, length)
                laid.connections[moved.name] = moved
    _digital(trace, laid, shape, length, depth)
    return laid


def _connection(c: ConnectionTrace, block: int, shape: Shape, length: int) -> ConnectionTrace:
    fan_in, fan_out = shape.fans(c.role)
    heads = shape.heads if c.role in DYNAMIC else 1
    windows = length * fan_in * heads * (length if c.role == "context" else 1)
    products = windows * fan_out * (length if c.role == "scores" else 1)
    share = windows / c.windows if c.windows else 0.0
    rows = shape.heads if c.role == "context" else heads * fan_in
    picked = np.arange(rows) % len(c.histogram) if c.role != "context" else np.arange(rows) * len(c.histogram) // rows
    silent = c.silent if len(c.silent) != len(c.histogram) else c.silent[picked]
    return ConnectionTrace(
        name=f"block.{block}.{c.role}", block=block, role=c.role,
        population=f"block.{block}.{c.population.rsplit('.', 1)[-1]}",
        fan_in=fan_in, fan_out=fan_out, heads=heads,
        level_bits=c.level_bits, operand_bits=c.operand_bits, dead_zone=c.dead_zone, silent=silent,
        histogram=c.histogram[picked], windows=windows, events=round(c.events * share),
        kernel_sum=c.kernel_sum * share, products=products,
        accumulates=round(c.accumulates * products / c.products) if c.products else 0,
        offset_accumulates=round(c.offset_accumulates * share),
    )  # fmt: skip


def _digital(trace: Trace, laid: Trace, shape: Shape, length: int, depth: int) -> None:
    """Digital steps: each is scaled by what it works on, and repeated for all blocks at its depth."""
    for step in trace.digital.values():
        inside = 0 <= step.block < depth
        targets = (
            [b for b in range(shape.layers) if b * depth // shape.layers == step.block] if inside else [step.block]
        )
        elements, vectors = _scales(step, trace, shape, length)
        for target in targets:
            name = step.name.replace(f"block.{step.block}.", f"block.{target}.", 1)
            laid.digital[name] = DigitalTrace(
                name, target, step.operation, round(step.elements * elements), round(step.vectors * vectors)
            )


def _scales(step: DigitalTrace, trace: Trace, shape: Shape, length: int) -> tuple[float, float]:
    """Factors for elements and vectors: a head works per sentence, a pooler on width², probabilities on heads · n²."""
    old, tokens, sequences = trace.shape, trace.tokens, trace.sequences
    wider = shape.width / old["width"]
    if step.operation == "head":
        square = step.elements == sequences * old["width"] ** 2
        return (wider**2 if square else wider) / sequences, 1 / sequences
    if step.operation == "softmax" or "probabilities" in step.name:
        pairs = sum(n * n * count for n, count in trace.lengths.items())
        heads = shape.heads / old["heads"]
        per_vector = heads if step.operation == "softmax" else 1.0
        return heads * length**2 / pairs, per_vector * length / tokens
    if step.elements == tokens * old["ffn"]:
        wider = shape.ffn / old["ffn"]
    return wider * length / tokens, length / tokens
