"""Conversion: a quantised network to a spiking one, exact to the bit.

The silent state's share of each sum, Σ_j w_ij (r_j − z), is folded into an integer offset; the way from a potential to
the next level is folded into integer thresholds, found by bisection on the very expression the quantised network uses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ..errors import InputError
from ..nn import ActivationQuantiser, DigitalLinear, QuantisedLinear, StoredQuantiser
from ..nn.digital import bytes_of, exp_table
from .checkpoint import EMBEDDINGS_FILE, save_spiking
from .config import MatterhornConfig
from .quantised import CONNECTIONS, POPULATIONS, Block, MatterhornForSequenceClassification
from .spiking import REACH, SOURCES, Connection, Firing, Head, Population, SpikingBlock, SpikingNetwork, Store


def convert_folder(source: Path, output: Path, *, task: str | None, embeddings: str = EMBEDDINGS_FILE) -> None:
    """Convert the quantised network in ``source`` and write the spiking checkpoint, tokenizer included, to ``output``.

    ``task``, ``embeddings``: see :func:`~.checkpoint.save_spiking`.
    """
    config = source / "config.json"
    if not config.is_file():
        raise InputError("no network here", file=config, cure="give the folder that matterhorn train wrote")
    kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    if kind != MatterhornConfig.model_type:
        raise InputError(f"a {kind!r} checkpoint", file=config, field="model_type", cure="give a quantised network")
    tokenizer = [source / f for f in ("tokenizer.json", "tokenizer_config.json") if (source / f).is_file()]
    network = convert(MatterhornForSequenceClassification.from_pretrained(source).eval())
    save_spiking(network, output, task=task, embeddings=embeddings, extra=tokenizer)


@torch.no_grad()
def convert(model: MatterhornForSequenceClassification) -> SpikingNetwork:
    """The spiking network that gives the same levels and the same logits, to the bit."""
    tables = [_table(block) for block in model.layers()]
    network = SpikingNetwork(model.config, [len(table) for table in tables])
    network.embeddings.load_state_dict(model.embeddings.state_dict())
    for source, target, table in zip(model.layers(), network.layers(), tables, strict=True):
        target.table.copy_(table)
        _convert_block(source, target)
    _head(model.pooler, network.pooler)
    _head(model.classifier, network.classifier)
    check_reach(network)
    return network


def check_reach(network: SpikingNetwork) -> None:
    """Refuse a network whose potentials could leave the integers that float32 holds exactly."""
    feeds = network.populations()
    for name, connection in network.connections().items():
        block, role = name.rsplit(".", 1)
        code = feeds[f"{block}.{SOURCES[role]}"].code
        largest = int(connection.weights.to(torch.int64).abs().sum(1).max()) * 2 * code.unit * code.top
        if largest > REACH:
            problem, cure = f"potentials up to {largest}, over {REACH}", "use fewer activation or weight bits"
            raise InputError(problem, field=name, cure=cure)


def _table(block: Block) -> Tensor:
    attention = block.attention
    return exp_table(float(attention.score_scale) / attention.queries.code.unit, shift=attention.shift)


def _convert_block(source: Block, target: SpikingBlock) -> None:
    for name, path in POPULATIONS.items():
        _population(cast(ActivationQuantiser, source.get_submodule(path)), getattr(target, name))
    for role, path in CONNECTIONS.items():
        feed = cast(ActivationQuantiser, source.get_submodule(POPULATIONS[SOURCES[role]]))
        linear = cast(QuantisedLinear, source.get_submodule(path))
        _connection(linear, getattr(target, role), getattr(target, SOURCES[role]), feed)
    attention = source.attention
    _firing(target.queries, attention.queries, target.query)
    _firing(target.middle, source.feed_forward.middle, target.ffn1)
    _store(target.keys, attention.keys, target.key)
    _store(target.values, attention.values, target.value)
    _mixed(target.mixed, attention.mixed, attention.probabilities, attention.values)
    target.attention_norm.load_state_dict(source.attention_norm.state_dict())
    target.feed_forward_norm.load_state_dict(source.feed_forward_norm.state_dict())


def _population(source: ActivationQuantiser, target: Population) -> None:
    target.silent.copy_(source.silent)
    target.reads.copy_(source.reads)
    target.step.copy_(source.positive_step)
    if target.gain is not None:
        target.gain.copy_(source.positive_gain)


def _connection(source: QuantisedLinear, target: Connection, population: Population, feed: ActivationQuantiser) -> None:
    integers, scale = source.integers()
    target.weights.copy_(integers)
    constant = population.constant.to(torch.float64).expand(integers.shape[1])
    target.offset.copy_(integers.to(torch.float64) @ constant)
    target.scale.copy_(feed.positive_step * scale / population.code.unit)
    target.bias.copy_(source.bias)


def _firing(target: Firing, quantiser: ActivationQuantiser, connection: Connection) -> None:
    target.thresholds.copy_(
        find_thresholds(lambda a: quantiser.levels(connection.values(a)), len(connection.bias), quantiser.top)
    )


def _store(target: Store, quantiser: StoredQuantiser, connection: Connection) -> None:
    def level(potentials: Tensor) -> Tensor:
        operand = quantiser.operand(connection.values(potentials))
        return operand > 0 if quantiser.bits == 1 else operand - quantiser.low

    target.step.copy_(quantiser.positive_step)
    target.thresholds.copy_(find_thresholds(level, len(connection.bias), 2**quantiser.bits - 1))


def _mixed(
    target: Firing, quantiser: ActivationQuantiser, probabilities: ActivationQuantiser, values: StoredQuantiser
) -> None:
    """Thresholds of the mixed values: P·V has one scale, each neuron its gain."""
    scale = (probabilities.positive_step * values.positive_step) / probabilities.code.unit
    target.thresholds.copy_(
        find_thresholds(lambda a: quantiser.levels(a.to(torch.float32) * scale), len(target.thresholds), quantiser.top)
    )


def find_thresholds(level: Callable[[Tensor], Tensor], neurons: int, top: int, reach: int = REACH) -> Tensor:
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
