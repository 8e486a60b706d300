"""Make a quantized network from a full-precision classifier and its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from transformers import PreTrainedModel

from ..errors import InputError
from ..topology import Site
from .calibrate import calibrate
from .config import MatterhornConfig
from .encoders import encoder_of
from .encoders.encoder import copy_into
from .loading import check_finite
from .quantized import QuantizedForSequenceClassification
from .watching import Batch


def quantize(
    teacher: PreTrainedModel,
    *,
    weights: str = "int1",
    activation_bits: int = 4,
    kv_bits: int = 1,
    dead_zone: int = 0,
    dead_zones: Mapping[str, int] | None = None,
    silence_per: str = "neuron",
    levels_per: str = "tensor",
    activation: str = "relu",
    digital: str = "exact",
    blocks: Sequence[int] | None = None,
    batches: Iterable[Batch] | Batch | None = None,
    **unknown: Any,
) -> QuantizedForSequenceClassification:
    """Make a quantized network with the weights of a full-precision classifier.

    Args:
        teacher: a Hugging Face classifier with one of the encoders in :mod:`matterhorn.models.encoders`. It is not
            changed.
        weights: width of the weights in the blocks: ``"int1"``, ``"ternary"``, ``"int2"`` or ``"int4"``.
        activation_bits: bits of a level, 1 … 6. A window has 2^bits slots.
        kv_bits: bits of stored keys and values, 1 … 6.
        dead_zone: number k of levels on either side of the silent one that send nothing.
        dead_zones: narrower dead zones of single populations, e.g. ``{"probabilities": 1}``.
        silence_per: ``"neuron"`` or ``"tensor"``: whether each neuron has a silent level of its own.
        levels_per: ``"neuron"`` or ``"tensor"``: whether neurons have gains and zero points of their own.
        activation: activation of the feed-forward layer, ``"relu"`` or ``"gelu"``.
        digital: ``"exact"`` softmax and LayerNorm, or ``"shift"`` to replace divisions by shifts.
        blocks: numbers, from 0, of the teacher's blocks to keep. None: all. The network must learn what the removed
            blocks did; :func:`matterhorn.distill` makes its states follow the teacher's at the same blocks.
        batches: batches of training rows to calibrate on (:func:`matterhorn.calibrate`). None: calibrate afterward.

    :class:`matterhorn.program.Config` describes the number formats in detail.

    Returns:
        The network in float32. It computes levels as the converted program will, and can be trained.

    Raises:
        InputError: the encoder, an option or its value is not supported, or a weight is NaN or infinite.

    >>> import torch
    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> teacher = BertForSequenceClassification(BertConfig(vocab_size=50, **sizes))
    >>> network = quantize(teacher, weights="ternary", kv_bits=2)
    >>> tokens = torch.tensor([[2, 7, 3], [2, 9, 3]])
    >>> network(tokens)
    Traceback (most recent call last):
    matterhorn.errors.InputError: block.0.input: a network whose scales are not set; run matterhorn.calibrate...
    >>> network = quantize(teacher, batches=[{"input_ids": tokens}])
    >>> network(tokens).logits.shape
    torch.Size([2, 2])
    """
    options = {
        "weights": weights,
        "activation_bits": activation_bits,
        "kv_bits": kv_bits,
        "dead_zone": dead_zone,
        "dead_zones": dead_zones or {},
        "silence_per": silence_per,
        "levels_per": levels_per,
        "activation": activation,
        "digital": digital,
    }
    for name in unknown:
        raise unknown_option(name, [*options, "blocks"])
    encoder = encoder_of(teacher)
    check_finite(teacher)
    options |= encoder.options(teacher)
    if blocks is not None:
        kept = encoder.chosen(teacher, blocks)
        options |= {"teacher_blocks": kept, "num_hidden_layers": len(kept)}
    network = QuantizedForSequenceClassification(MatterhornConfig(**options))
    for name in encoder.tables:
        network.embeddings.fill(name, encoder.table(teacher, name))
    for name, module in encoder.outside(teacher).items():
        copy_into(network.get_submodule(name), module, name)
    bias = encoder.relative_bias and encoder.relative_bias(teacher)
    for number, (block, parts) in enumerate(zip(network.layers(), encoder.parts(teacher, blocks), strict=True)):
        for name, part in parts.items():
            copy_into(block.get_submodule(name), part, str(Site(number, name)))
        if block.relative_bias is not None and bias is not None:
            block.relative_bias.data.copy_(bias)
    network.embeddings.requires_grad_(False)
    if batches is not None:
        calibrate(network, batches)
    return network


def unknown_option(name: str, known: Sequence[str]) -> InputError:
    """Make the error for an option that does not exist. It suggests the most similar option, if there is one."""
    near = [f"did you mean {own}? " for own in get_close_matches(name, known, 1)]
    return InputError("no such option", field=name, cure=f"{''.join(near)}give any of: {', '.join(known)}")
