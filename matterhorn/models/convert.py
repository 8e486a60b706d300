"""Conversion: a quantised network to a spiking one, exact to the bit.

The silent state's share of each sum, Σ_j w_ij (r_j − z), is folded into an integer offset; the way from a potential to
the next level is folded into integer thresholds, found by bisection on the very expression the quantised network uses.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..nn import ActivationQuantiser, DigitalLinear, QuantisedLinear, StoredQuantiser
from ..nn.digital import bytes_of, exp_table
from .quantised import Block, MatterhornForSequenceClassification
from .spiking import Connection, Firing, Head, Population, Readout, SpikingBlock, SpikingNetwork, Store

ROLES = {
    "query": "attention.query",
    "key": "attention.key",
    "value": "attention.value",
    "output": "attention.output",
    "ffn1": "feed_forward.ffn1",
    "ffn2": "feed_forward.ffn2",
}
POPULATIONS = {
    "input": "attention.input",
    "queries": "attention.queries",
    "probabilities": "attention.probabilities",
    "mixed": "attention.mixed",
    "hidden": "feed_forward.input",
    "middle": "feed_forward.middle",
}


@torch.no_grad()
def convert(model: MatterhornForSequenceClassification) -> SpikingNetwork:
    """The spiking network that gives the same levels and the same logits, to the bit."""
    tables = [_table(block) for block in model.blocks]  # type: ignore[arg-type]
    network = SpikingNetwork(model.config, [len(table) for table in tables])
    network.embeddings.load_state_dict(model.embeddings.state_dict())
    for source, target, table in zip(model.blocks, network.blocks, tables, strict=True):
        target.table.copy_(table)
        _convert_block(source, target)  # type: ignore[arg-type]
    _head(model.pooler, network.pooler)
    _head(model.classifier, network.classifier)
    return network


def _table(block: Block) -> Tensor:
    attention = block.attention
    return exp_table(float(attention.score_scale) / attention.queries.code.unit, shift=attention.shift)


def _convert_block(source: Block, target: SpikingBlock) -> None:
    for name, path in POPULATIONS.items():
        _population(source.get_submodule(path), getattr(target, name))  # type: ignore[arg-type]
    feeds = {"query": "input", "key": "input", "value": "input", "output": "mixed", "ffn1": "hidden", "ffn2": "middle"}
    for role, path in ROLES.items():
        _connection(source.get_submodule(path), getattr(target, role), getattr(target, feeds[role]))  # type: ignore[arg-type]
    attention, feed_forward = source.attention, source.feed_forward
    entry, hidden = attention.input, feed_forward.input
    _firing(target.queries, attention.queries, *_affine(attention.query, entry), target.query)
    _store(target.keys, attention.keys, *_affine(attention.key, entry), target.key)
    _store(target.values, attention.values, *_affine(attention.value, entry), target.value)
    _mixed(target, attention.mixed, attention.probabilities, attention.values)
    _firing(target.middle, feed_forward.middle, *_affine(feed_forward.ffn1, hidden), target.ffn1)
    _readout(target.output_readout, *_affine(attention.output, attention.mixed))
    _readout(target.ffn2_readout, *_affine(feed_forward.ffn2, feed_forward.middle))
    target.attention_norm.load_state_dict(source.attention_norm.state_dict())
    target.feed_forward_norm.load_state_dict(source.feed_forward_norm.state_dict())


def _population(source: ActivationQuantiser, target: Population) -> None:
    target.silent.copy_(source.silent)
    target.reads.copy_(source.reads)
    target.step.copy_(source.positive_step)


def _connection(source: QuantisedLinear, target: Connection, population: Population) -> None:
    integers, _ = source.integers()
    target.weights.copy_(integers)
    constant = population.constant.to(torch.float64).expand(integers.shape[1])
    target.offset.copy_(integers.to(torch.float64) @ constant)


def _affine(linear: QuantisedLinear, source: ActivationQuantiser) -> tuple[Tensor, Tensor]:
    """Scale and bias from integer potentials (kernel steps of ``source``) to real ones, float32 ``[out]`` each."""
    _, scale = linear.integers()
    return source.positive_step * scale / source.code.unit, linear.bias


def _readout(target: Readout, scale: Tensor, bias: Tensor) -> None:
    target.scale.copy_(scale)
    target.bias.copy_(bias)


def _firing(target: Firing, quantiser: ActivationQuantiser, scale: Tensor, bias: Tensor, feed: Connection) -> None:
    level = lambda a: quantiser.levels(a.to(torch.float32) * scale + bias)  # noqa: E731
    target.thresholds.copy_(find_thresholds(level, len(scale), quantiser.top, _reach(feed, target)))


def _store(target: Store, quantiser: StoredQuantiser, scale: Tensor, bias: Tensor, feed: Connection) -> None:
    def level(a: Tensor) -> Tensor:
        operand = quantiser.operand(a.to(torch.float32) * scale + bias)
        return operand > 0 if quantiser.bits == 1 else operand - quantiser.low

    target.thresholds.copy_(find_thresholds(level, len(scale), 2**quantiser.bits - 1, _reach(feed)))


def _mixed(
    target: SpikingBlock, quantiser: ActivationQuantiser, probabilities: ActivationQuantiser, values: StoredQuantiser
) -> None:
    """Thresholds of the mixed values: one row, as P·V has one scale."""
    scale = (probabilities.positive_step * values.positive_step) / probabilities.code.unit
    longest, most = 2**16, probabilities.top * probabilities.code.unit * max(values.high, -values.low)
    level = lambda a: quantiser.levels(a.to(torch.float32) * scale)  # noqa: E731
    target.mixed.thresholds.copy_(find_thresholds(level, 1, quantiser.top, min(longest * most, 2**23)))


def _reach(feed: Connection, target: Population | None = None) -> int:
    """A bound that no potential of a connection can exceed: fan-in × largest weight × largest kernel."""
    largest = int(feed.weights.abs().max()) if feed.weights.numel() else 1
    return min(2**24 - 1, feed.weights.shape[1] * max(largest, 1) * 8 * 64)


def find_thresholds(level: Callable[[Tensor], Tensor], neurons: int, top: int, reach: int) -> Tensor:
    """Smallest integer potential at which each level is reached, ``[neurons, top]`` int32.

    Args:
        level: potentials ``[neurons]`` (integers) → levels; must not fall with the potential.
        reach: potentials lie within ±reach; a level that is not reached there gets ``reach + 1``.
    """
    low = torch.full((neurons, top), -reach, dtype=torch.int64)
    high = torch.full((neurons, top), reach + 1, dtype=torch.int64)
    wanted = torch.arange(1, top + 1)
    while bool((low < high).any()):
        middle = (low + high).div(2, rounding_mode="floor")
        levels = torch.stack([level(column) for column in middle.unbind(1)], 1)
        reached = levels >= wanted
        searching = low < high
        high = torch.where(searching & reached, middle, high)
        low = torch.where(searching & ~reached, middle + 1, low)
    return high.to(torch.int32)


def _head(source: DigitalLinear, target: Head) -> None:
    integers, scale = bytes_of(source.weight)
    target.weights.copy_(integers)
    target.scale.copy_(scale)
    target.bias.copy_(source.bias)
