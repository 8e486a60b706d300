"""From a full-precision classifier to a quantized network with its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from transformers import PreTrainedModel

from ..errors import InputError
from .calibrate import calibrate
from .config import MatterhornConfig
from .encoders import encoder_of
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
    batches: Iterable[Batch] | None = None,
    **unknown: Any,
) -> QuantizedForSequenceClassification:
    """A quantized network with a teacher's weights.

    Args:
        teacher: a classifier of Hugging Face with one of the encoders in :mod:`matterhorn.models.encoders`.
        weights … digital: see :class:`matterhorn.program.Config`.
        batches: to calibrate on (:func:`matterhorn.calibrate`); without them that comes next.

    Raises:
        InputError: the encoder, an option or its value is not supported.

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
        raise InputError("no such option", field=name, cure=f"give any of: {', '.join(options)}")
    encoder = encoder_of(teacher)
    sizes = {own: getattr(teacher.config, theirs) for own, theirs in encoder.config.items()}
    network = QuantizedForSequenceClassification(MatterhornConfig(**sizes, **options))
    for own, theirs in encoder.tables.items():
        network.embeddings.fill(own, teacher.get_parameter(f"{theirs}.weight"))
    for own, theirs in encoder.modules.items():
        network.get_submodule(own).load_state_dict(teacher.get_submodule(theirs).state_dict())
    for block, parts in zip(network.layers(), encoder.parts(teacher), strict=True):
        for own, part in parts.items():
            target = block.get_submodule(own)
            target.load_state_dict(target.state_dict() | part.state_dict())
    network.embeddings.requires_grad_(False)
    if batches is not None:
        calibrate(network, batches)
    return network
