"""Restore the quantized network behind a program, to compare with it or to train it further.

It is rebuilt only from weights, scales, biases and silent levels. The program's thresholds, offsets and tables are not
used, so a comparison of the two tests them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..nn.digital import FixedDigitalLinear
from ..nn.linear import FixedLinear, one_bit_latents
from ..program import Program
from ..topology import SOURCE, STATIC
from .config import MatterhornConfig
from .quantized import QuantizedForSequenceClassification, read_network

LEAST_SIZE = 0.02
"""Lower bound of the latent weights that :func:`spread` draws, above the effect of rounding on a row's mean."""

LEAST_SHARE = 1 / 16
"""Lower bound of one-bit latent weights before further training, relative to the scale of their row.

With it, a task-free encoder that goes on starts without a loss. With four times as much, too few weights flip to learn
a task in minutes (docs/trials.md).
"""


@torch.no_grad()
def restore(program: Program) -> QuantizedForSequenceClassification:
    """Restore the quantized network of a program, in evaluation mode. It cannot be trained."""
    network = _without_weights(program)
    for source, target in zip(program.blocks, network.layers(), strict=True):
        for name in STATIC:
            own, unit = source.connections[name], source.populations[SOURCE[name]].code.unit
            target.add_module(name, FixedLinear(_tensor(own.weights), _tensor(own.scale) * unit, _tensor(own.bias)))
    for name in ("projection", "pooler", "classifier"):
        if head := getattr(program, name):
            setattr(network, name, FixedDigitalLinear(_tensor(head.weights), _tensor(head.scale), _tensor(head.bias)))
    network.requires_grad_(False)
    network.train(False)
    return network


@torch.no_grad()
def restore_trainable(program: Program) -> QuantizedForSequenceClassification:
    """Restore a trainable network.

    Its latent weights are quantized to the program's weights, and lie at the integers, equally far from a flip.
    """
    network = _without_weights(program)
    for source, target in zip(program.blocks, network.layers(), strict=True):
        for name in STATIC:
            own, feed, linear = source.connections[name], source.populations[SOURCE[name]], target.connection(name)
            scale = _tensor(own.scale) * feed.code.unit / float(feed.scale)
            linear.fill(_tensor(own.weights).to(torch.float32), scale)
    for name in ("projection", "pooler", "classifier"):
        if head := getattr(program, name):
            getattr(network, name).weight.copy_(_tensor(head.weights) * _tensor(head.scale)[:, None])
    return network


@torch.no_grad()
def spread(network: QuantizedForSequenceClassification) -> QuantizedForSequenceClassification:
    """Give one-bit latent weights magnitudes from a normal distribution, drawn with torch's generator.

    They are still quantized to the same integers. A program does not store how close each weight was to a flip. If all
    are equally far from it, hardly any flips within a thousand steps, and the network learns little except biases,
    gains and norms.
    """
    for linear in network.connections().values():
        if linear.kind == "int1":
            signs, scale = linear.integers()
            sizes = torch.randn_like(signs).abs().clamp(min=LEAST_SIZE)
            linear.weight.copy_(one_bit_latents(sizes, signs > 0, scale))
    return network


@torch.no_grad()
def lift(network: QuantizedForSequenceClassification) -> QuantizedForSequenceClassification:
    """Raise the magnitudes of one-bit latent weights to at least :data:`LEAST_SHARE` of their row's scale.

    Weights are still quantized to the same integers and scales. As the learning rate falls, a weight whose gradient
    changes sign whenever it flips comes to rest at zero (cf. Nagel et al., arXiv 2203.11086). If training then goes on
    at a higher rate, all of these flip at once, and again and again, and most of what was learned last is lost.
    """
    for linear in network.connections().values():
        if linear.kind == "int1":
            signs, scale = linear.integers()
            mean = linear.weight.mean(1, keepdim=True)
            sizes = (linear.weight - mean).abs().maximum(LEAST_SHARE * scale[:, None])
            linear.weight.copy_(mean + one_bit_latents(sizes, signs > 0, scale))
    return network


def reference_for(program: Program, folder: Path | None = None) -> QuantizedForSequenceClassification:
    """Return the network to compare a program with: the one saved in a folder, or the one restored from the program.

    Raises:
        InputError: the folder has no network.
    """
    return restore(program) if folder is None else read_network(folder)


def _without_weights(program: Program) -> QuantizedForSequenceClassification:
    """Return a network with all arrays that it shares with a program: embeddings, norms, biases, scales, gains,
    silence.
    """
    names = dict(enumerate(program.labels))
    labels = {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    network = QuantizedForSequenceClassification(MatterhornConfig(**program.config.plain(), **labels))
    own = network.state_dict()
    same = {name: _tensor(array) for name, array in program.arrays().items() if name in own}
    network.load_state_dict(own | same)
    for block in network.layers():
        if block.relative_bias is not None:
            block.relative_bias.mul_(block.score_scale)
    network.embeddings.requires_grad_(False)
    return network


def _tensor(array: NDArray[Any]) -> Tensor:
    """Return an independent copy."""
    return torch.from_numpy(array.copy())
