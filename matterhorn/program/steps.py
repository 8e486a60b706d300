"""Digital steps of an encoder, everything other than its connections, counted for sequences of given lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..kernels.activation import TABLED
from ..topology import Shape
from .trace import DigitalTrace


def digital_steps(
    shape: Shape,
    lengths: Sequence[int],
    labels: int,
    *,
    table_width: int,
    position_bias: bool = False,
    head_activation: str = "tanh",
) -> Iterator[DigitalTrace]:
    """Count the digital steps of one run.

    Args:
        lengths: number of tokens of each sequence.
        labels: number of outputs of the classifier.
        table_width: width of the embeddings. If it differs from that of the residual stream, a projection follows.
        position_bias: whether scores have a position bias.
    """
    tokens, sequences, width, heads = sum(lengths), len(lengths), shape.width, shape.heads
    yield DigitalTrace("embedding", -1, "embedding", tokens * table_width, tokens)
    yield DigitalTrace("embedding_norm", -1, "layer_norm", tokens * table_width, tokens)
    if table_width != width:
        yield DigitalTrace("projection", -1, "head", tokens * table_width * width, tokens)
    for i in range(shape.layers):
        own = sequences if shape.is_cut(i) else tokens
        pairs = tokens if shape.is_cut(i) else sum(n**2 for n in lengths)
        for part in ("attention", "feed_forward"):
            yield DigitalTrace(f"block.{i}.{part}_residual", i, "residual", own * width, own)
            yield DigitalTrace(f"block.{i}.{part}_norm", i, "layer_norm", own * width, own)
        if position_bias:
            yield DigitalTrace(f"block.{i}.position_bias", i, "position_bias", pairs * heads, own * heads)
        yield DigitalTrace(f"block.{i}.softmax", i, "softmax", pairs * heads, own * heads)
        yield DigitalTrace(f"block.{i}.input_quantize", i, "quantize", tokens * width, tokens)
        yield DigitalTrace(f"block.{i}.hidden_quantize", i, "quantize", own * width, own)
        yield DigitalTrace(f"block.{i}.probabilities_quantize", i, "quantize", pairs * heads, own)
    yield DigitalTrace("pooler", shape.layers, "head", sequences * width * width, sequences)
    if head_activation in TABLED:
        yield DigitalTrace("head_activation", shape.layers, "activation", sequences * width, sequences)
    yield DigitalTrace("classifier", shape.layers, "head", sequences * width * labels, sequences)
