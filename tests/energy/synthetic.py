"""Traces of random networks, counted the slow way, neuron by neuron where a test wants a second opinion."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest

from matterhorn.program.trace import ConnectionTrace, DigitalTrace, Trace
from matterhorn.topology import CONNECTION, POPULATION, SOURCE, Shape, Site

BITS = 4
TOP = 2**BITS - 1
SMALL = Shape(2, 32, 4, 64)
WHOLE = replace(SMALL, first_only=False)
MINILM = Shape(6, 384, 12, 1536)


@dataclass
class Sentence:
    """Levels of every population of one sentence for all its tokens, [tokens, neurons]; of probabilities [heads, n, n].
    A block that computes only the first token computes the first rows of these."""

    length: int
    levels: dict[Site, np.ndarray] = field(default_factory=dict)

    def read(self, shape: Shape, block: int, connection: str) -> np.ndarray:
        """What a connection reads: [tokens, neurons], or [heads, tokens, n]."""
        levels = self.levels[Site(block, SOURCE[connection])]
        return levels[..., : shape.tokens(block, connection, self.length), :]


def sample(shape: Shape, length: int, rng: np.random.Generator, spread: float = 1.6) -> Sentence:
    sentence = Sentence(length)
    for block in range(shape.layers):
        for name in ("input", "queries", "context", "hidden", "intermediate"):
            width = shape.neurons(name)
            raw = rng.laplace(8.0, spread, (length, width)) + rng.integers(-1, 2, width)
            sentence.levels[Site(block, name)] = np.clip(np.round(raw), 0, TOP).astype(int)
        raw = rng.exponential(1.0, (shape.heads, length, length))
        sentence.levels[Site(block, "probabilities")] = np.clip(np.round(raw), 0, TOP).astype(int)
    return sentence


def count(shape: Shape, sentences: list[Sentence], dead_zone: int = 2, per_neuron: bool = True) -> Trace:
    """A trace of sentences, as an engine would count it (vectorized)."""
    trace = Trace(shape, vocabulary=100, labels=2, program="synthetic")
    trace.add_lengths(s.length for s in sentences)
    for block in range(shape.layers):
        silent = {}
        for name in POPULATION:
            widest = max((c for c in CONNECTION if SOURCE[c] == name), key=lambda c: shape.windows(block, c, 9))
            rows = histogram_of(shape, sentences, block, widest)
            rows = rows if per_neuron and name != "probabilities" else rows.sum(0, keepdims=True)
            silent[name] = rows.argmax(-1)
        for name in CONNECTION:
            c = _connection(shape, sentences, block, name, dead_zone, silent[SOURCE[name]])
            trace.connections[c.name] = c
        every = sum(s.length for s in sentences)
        tokens = sum(shape.tokens(block, "hidden", s.length) for s in sentences)
        pairs = sum(shape.tokens(block, "hidden", s.length) * s.length for s in sentences)
        for step, operation, elements, vectors in (
            ("softmax", "softmax", pairs * shape.heads, tokens * shape.heads),
            ("attention_residual", "residual", tokens * shape.width, tokens),
            ("attention_norm", "layer_norm", tokens * shape.width, tokens),
            ("feed_forward_residual", "residual", tokens * shape.width, tokens),
            ("feed_forward_norm", "layer_norm", tokens * shape.width, tokens),
            ("input_quantize", "quantize", every * shape.width, every),
            ("hidden_quantize", "quantize", tokens * shape.width, tokens),
            ("probabilities_quantize", "quantize", pairs * shape.heads, tokens),
        ):
            trace.digital[str(Site(block, step))] = DigitalTrace(
                str(Site(block, step)), block, operation, elements, vectors
            )
    trace.digital["embedding"] = DigitalTrace("embedding", -1, "embedding", trace.tokens * shape.width, trace.tokens)
    for name, outputs in (("pooler", shape.width), ("classifier", 2)):
        products = len(sentences) * shape.width * outputs
        trace.digital[name] = DigitalTrace(name, shape.layers, "head", products, len(sentences))
    return trace


def _connection(
    shape: Shape, sentences: list[Sentence], block: int, name: str, dead_zone: int, silent: np.ndarray
) -> ConnectionTrace:
    fan_in, fan_out = shape.fans(name)
    histogram = histogram_of(shape, sentences, block, name)
    distance = np.abs(np.arange(TOP + 1) - silent[:, None])
    spiking = distance > dead_zone
    c = ConnectionTrace(
        block=block, connection=name, fan_in=fan_in, fan_out=fan_out, heads=shape.heads_of(name), level_bits=BITS,
        operand_bits=1, dead_zone=dead_zone, silent=silent, histogram=histogram, windows=int(histogram.sum()),
        events=int((histogram * spiking).sum()), kappa_sum=float((histogram * spiking * distance).sum()),
    )  # fmt: skip
    for sentence in sentences:
        data = sentence.read(shape, block, name)
        fan = shape.fan_out(name, sentence.length)
        c.accumulates += int((np.abs(data - silent) > dead_zone).sum()) * fan
        c.products += data.size * fan
        if name == "qk":
            c.offset_accumulates += sentence.length * shape.width
    return c


def histogram_of(shape: Shape, sentences: list[Sentence], block: int, name: str) -> np.ndarray:
    rows: list[np.ndarray] = []
    for sentence in sentences:
        data = sentence.read(shape, block, name)
        data = data.reshape(len(data), -1) if name == "pv" else data.T
        rows.append(np.stack([np.bincount(row, minlength=TOP + 1) for row in data]))
    return np.sum(rows, axis=0)


def build(shape: Shape = SMALL, lengths: tuple[int, ...] = (6, 9), seed: int = 0, **options) -> Trace:
    rng = np.random.default_rng(seed)
    return count(shape, [sample(shape, n, rng) for n in lengths], **options)


@cache
def minilm(first_only: bool = True) -> Trace:
    """Two sentences on the shape of MiniLM, k = 3, one silent level per tensor."""
    return build(replace(MINILM, first_only=first_only), (12, 20), per_neuron=False, dead_zone=3)


def near(joules: float):
    """Equal to 1e-9 of it, however small it is."""
    return pytest.approx(joules, rel=1e-9, abs=0)
