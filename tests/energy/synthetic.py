"""Traces of random networks, counted the slow way, neuron by neuron where a test wants a second opinion."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from matterhorn.trace import ConnectionTrace, DigitalTrace, Trace

BITS = 4
TOP = 2**BITS - 1


@dataclass
class Sizes:
    layers: int = 2
    width: int = 32
    heads: int = 4
    ffn: int = 64
    vocabulary: int = 100


@dataclass
class Sentence:
    """Levels of every population of one sentence, [tokens, neurons]; of probabilities [heads, n, n]."""

    length: int
    levels: dict[str, np.ndarray] = field(default_factory=dict)


POPULATIONS = {
    "query": "input", "key": "input", "value": "input", "scores": "queries", "context": "probabilities",
    "output": "mixed", "ffn1": "hidden", "ffn2": "middle",
}  # fmt: skip


def sample(sizes: Sizes, length: int, rng: np.random.Generator, spread: float = 1.6) -> Sentence:
    sentence = Sentence(length)
    for block in range(sizes.layers):
        for name in ("input", "queries", "mixed", "hidden", "middle"):
            width = sizes.ffn if name == "middle" else sizes.width
            raw = rng.laplace(8.0, spread, (length, width)) + rng.integers(-1, 2, width)
            sentence.levels[f"block.{block}.{name}"] = np.clip(np.round(raw), 0, TOP).astype(int)
        raw = rng.exponential(1.0, (sizes.heads, length, length))
        sentence.levels[f"block.{block}.probabilities"] = np.clip(np.round(raw), 0, TOP).astype(int)
    return sentence


def count(sizes: Sizes, sentences: list[Sentence], dead_zone: int = 2, per_neuron: bool = True) -> Trace:
    """A trace of sentences, as an engine would count it (vectorised)."""
    trace = Trace(shape=vars(sizes) | {})
    trace.add_lengths(s.length for s in sentences)
    for block in range(sizes.layers):
        for role, name in POPULATIONS.items():
            trace.connections[f"block.{block}.{role}"] = _connection(
                sizes, sentences, block, role, f"block.{block}.{name}", dead_zone, per_neuron
            )
        tokens = sum(s.length for s in sentences)
        pairs = sum(s.length**2 for s in sentences)
        for step, operation, elements, vectors in (
            ("softmax", "softmax", pairs * sizes.heads, tokens * sizes.heads),
            ("attention_residual", "residual", tokens * sizes.width, tokens),
            ("attention_norm", "layer_norm", tokens * sizes.width, tokens),
            ("feed_forward_residual", "residual", tokens * sizes.width, tokens),
            ("feed_forward_norm", "layer_norm", tokens * sizes.width, tokens),
            ("input_quantise", "quantise", tokens * sizes.width, tokens),
            ("hidden_quantise", "quantise", tokens * sizes.width, tokens),
            ("probabilities_quantise", "quantise", pairs * sizes.heads, tokens),
        ):
            name = f"block.{block}.{step}"
            trace.digital[name] = DigitalTrace(name, block, operation, elements, vectors)
    tokens = sum(s.length for s in sentences)
    trace.digital["embedding"] = DigitalTrace("embedding", -1, "embedding", tokens * sizes.width, tokens)
    for name, outputs in (("pooler", sizes.width), ("classifier", 2)):
        products = len(sentences) * sizes.width * outputs
        trace.digital[name] = DigitalTrace(name, sizes.layers, "head", products, len(sentences))
    return trace


def _connection(sizes, sentences, block, role, population, dead_zone, per_neuron) -> ConnectionTrace:
    head = sizes.width // sizes.heads
    fan_in, fan_out = {
        "scores": (head, 1), "context": (1, head), "ffn1": (sizes.width, sizes.ffn), "ffn2": (sizes.ffn, sizes.width),
    }.get(role, (sizes.width, sizes.width))  # fmt: skip
    histogram = histogram_of(sentences, population, role)
    rows = histogram if per_neuron and role != "context" else histogram.sum(0, keepdims=True)
    silent = rows.argmax(-1)
    levels = np.arange(TOP + 1)
    distance = np.abs(levels - silent[:, None])
    spiking = distance > dead_zone
    c = ConnectionTrace(
        name=f"block.{block}.{role}", block=block, role=role, population=population, fan_in=fan_in, fan_out=fan_out,
        heads=sizes.heads if role in ("scores", "context") else 1, level_bits=BITS, operand_bits=1,
        dead_zone=dead_zone, silent=silent, histogram=histogram,
        windows=int(histogram.sum()), events=int((histogram * spiking).sum()),
        kernel_sum=float((histogram * spiking * distance).sum()),
    )  # fmt: skip
    for sentence in sentences:
        data = sentence.levels[population]
        events = int((np.abs(data - silent) > dead_zone).sum())
        fan = sentence.length if role == "scores" else fan_out
        c.accumulates += events * fan
        c.products += data.size * fan
        if role == "scores":
            c.offset_accumulates += sentence.length * sizes.width
    return c


def histogram_of(sentences: list[Sentence], population: str, role: str) -> np.ndarray:
    rows: list[np.ndarray] = []
    for sentence in sentences:
        data = sentence.levels[population]
        data = data.reshape(len(data), -1) if role == "context" else data.T
        rows.append(np.stack([np.bincount(row, minlength=TOP + 1) for row in data]))
    return np.sum(rows, axis=0)


def build(sizes: Sizes | None = None, lengths: tuple[int, ...] = (6, 9), seed: int = 0, **options) -> Trace:
    sizes = sizes or Sizes()
    rng = np.random.default_rng(seed)
    return count(sizes, [sample(sizes, n, rng) for n in lengths], **options)
