"""Fitting a full-precision encoder to few-bit weights and stored bits before training, where that costs nothing.

A one-bit weight matrix has a scale per row (α). Gains of the sending neurons give one per column, |w_ij| ≈ α_i · g_j:
the rank-one fit of OneBit (arXiv 2402.11295). Bits of keys and values lose mean and size of each channel: both go to
where they are kept, into biases, the queries' rows, and the gains of the mixed values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..nn import ActivationQuantiser
from .from_bert import run_batches
from .quantised import Block, MatterhornForSequenceClassification

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification


@torch.no_grad()
def balance(
    student: MatterhornForSequenceClassification, teacher: BertForSequenceClassification, batch: dict[str, Tensor]
) -> None:
    """Move scales and means of a student's fresh copy of its teacher's weights to where quantisation keeps them.

    But for the bits of keys and values the student would compute what it did before. ``batch``: training rows; the
    teacher's keys and values on them are measured.
    """
    moments = channel_moments(teacher, batch)
    for number, block in enumerate(student.layers()):
        attention, ffn = block.attention, block.feed_forward
        even_columns(attention.input, [attention.query.weight, attention.key.weight, attention.value.weight])
        even_columns(ffn.input, [ffn.ffn1.weight])
        centre_keys(block, *moments[f"{number}.key"])
        centre_values(block, *moments[f"{number}.value"])


def even_columns(population: ActivationQuantiser, weights: list[Tensor]) -> None:
    """Give each column's mean magnitude over all receivers, ``weights [out, in]``, to the gain of its sender."""
    assert population.gain is not None
    size = torch.cat(weights).abs().mean(0).clamp(min=1e-8)
    size = size / size.log().mean().exp()
    population.gain.mul_(size)
    for weight in weights:
        weight.div_(size)


def centre_keys(block: Block, mean: Tensor, size: Tensor) -> None:
    """Keys around 0, which softmax does not see; their sizes go into the queries. ``[width]`` each."""
    attention = block.attention
    attention.key.bias.sub_(mean)
    attention.query.weight.mul_((size / size.mean())[:, None])
    attention.query.bias.mul_(size / size.mean())


def centre_values(block: Block, mean: Tensor, size: Tensor) -> None:
    """Values around 0, their mean in the output's bias (probabilities add up to one); their sizes go into the gains."""
    attention = block.attention
    attention.value.bias.sub_(mean)
    attention.output.bias.add_(attention.output.weight @ mean)
    assert attention.mixed.gain is not None
    attention.mixed.gain.copy_(size / size.mean())
    even_columns(attention.mixed, [attention.output.weight])


def channel_moments(
    teacher: BertForSequenceClassification, batch: dict[str, Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and mean distance from it of each channel of keys and values, ``[width]``, by ``<layer>.<key|value>``."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    present = batch["attention_mask"].bool()

    def measure(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Tensor) -> None:
            rows = output[present].float()
            mean = rows.mean(0)
            found[name] = mean, (rows - mean).abs().mean(0).clamp(min=1e-6)

        return hook

    hooks = [
        layer.get_submodule(f"attention.self.{role}").register_forward_hook(measure(f"{number}.{role}"))
        for number, layer in enumerate(teacher.bert.encoder.layer)
        for role in ("key", "value")
    ]
    run_batches(teacher, [batch])
    for hook in hooks:
        hook.remove()
    return found
