"""Prepare copied weights for quantization to few bits, by transformations that do not change what they compute.

A one-bit weight matrix has a scale α_i per row. Gains of the sending neurons provide a scale g_j per column, |w_ij| ≈
α_i · g_j, which is the rank-one fit of OneBit (arXiv 2402.11295). One-bit keys and values lose the mean and the
magnitude of each channel. Both are moved to where they are preserved: to biases, to the rows of the queries, and to the
gains of the context.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..nn import ActivationQuantizer
from ..nn.quantizers import GAIN_MIN
from ..topology import TARGETS, Site
from .block import Block
from .calibrate import mask_of
from .encoders import encoder_of
from .quantized import QuantizedForSequenceClassification
from .watching import Batch, evaluating, taken_by, tensors, watching

Moments = tuple[Tensor, Tensor]
"""Mean of each channel and its mean distance from it, ``[width]`` each."""


@torch.no_grad()
def equalize(network: QuantizedForSequenceClassification, teacher: PreTrainedModel, batch: Batch) -> None:
    """Move scales and means of a network's copied weights to where quantization preserves them.

    Without quantization, the network would compute the same as before, except for the scales of one-bit keys and
    values.

    Args:
        network: a fresh result of :func:`matterhorn.quantize`. Calibrate it afterward.
        teacher: the model that it was quantized from.
        batch: training rows, on which the teacher's keys and values are measured.
    """
    moments = channel_moments(teacher, batch, network.config.teacher_blocks)
    for number, block in enumerate(network.layers()):
        for name in ("input", "hidden"):
            even_columns(block.population(name), [block.connection(target).weight for target in TARGETS[name]])
        center_keys(block, *moments[Site(number, "key")])
        center_values(block, *moments[Site(number, "value")])


def even_columns(population: ActivationQuantizer, weights: list[Tensor]) -> None:
    """Move each column's mean magnitude over all receivers, ``weights [out, in]``, to the gain of its sender."""
    assert population.gain is not None
    size = torch.cat(weights).abs().mean(0).clamp(min=1e-8)
    size = (size / size.log().mean().exp()).clamp(min=GAIN_MIN / population.gain)
    population.gain.mul_(size)
    for weight in weights:
        weight.div_(size)


def center_keys(block: Block, mean: Tensor, size: Tensor) -> None:
    """Center keys around 0, which does not change the softmax. Move the magnitudes that one bit loses to the queries.

    Args:
        mean, size: mean of each channel of the keys, and mean distance from it, ``[width]``.
    """
    key, query = block.connection("key"), block.connection("query")
    key.bias.sub_(mean)
    if block.keys.bits == 1:
        query.weight.mul_((size / size.mean())[:, None])
        query.bias.mul_(size / size.mean())


def center_values(block: Block, mean: Tensor, size: Tensor) -> None:
    """Center values around 0, and move their means to the output's bias, which is exact as probabilities add up to 1.

    The magnitudes that one bit loses are moved to the gains of the context.

    Args:
        mean, size: mean of each channel of the values, and mean distance from it, ``[width]``.
    """
    value, output, context = block.connection("value"), block.connection("output"), block.population("context")
    value.bias.sub_(mean)
    output.bias.add_(output.weight @ mean)
    assert context.gain is not None
    if block.values.bits == 1:
        context.gain.copy_((size / size.mean()).clamp(min=GAIN_MIN))
    even_columns(context, [output.weight])


@torch.no_grad()
def channel_moments(teacher: PreTrainedModel, batch: Batch, blocks: Sequence[int] | None = None) -> dict[Site, Moments]:
    """Measure the mean of each channel of a teacher's keys and values, and the mean distance from it.

    Only existing tokens count.

    Args:
        blocks: numbers of the teacher's blocks to measure. None: all. Sites of the result number these blocks from 0.
    """
    found: dict[Site, Moments] = {}
    present = mask_of(batch).to(teacher.device)

    def measure(site: Site, linear: nn.Module, x: Tensor) -> None:
        rows = linear.forward(x)[present].float()
        mean = rows.mean(0)
        found[site] = mean, (rows - mean).abs().mean(0).clamp(min=1e-6)

    parts = enumerate(encoder_of(teacher).parts(teacher, blocks))
    stored = {Site(number, name): layer[name] for number, layer in parts for name in ("key", "value")}
    with watching(stored, measure), evaluating(teacher):
        teacher(**taken_by(teacher, tensors(batch, teacher.device)))
    return found
