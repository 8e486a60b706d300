"""From a full-precision classifier to a quantized network with its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .calibrate import calibrate
from .config import MatterhornConfig
from .encoders import take_apart
from .quantized import QuantizedForSequenceClassification
from .watching import Batch


def quantize(
    teacher: nn.Module,
    *,
    weights: str = "int1",
    activation_bits: int = 4,
    kv_bits: int = 1,
    dead_zone: int = 0,
    dead_zones: Mapping[str, int] | None = None,
    silence_per: str = "neuron",
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

    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> teacher = BertForSequenceClassification(BertConfig(vocab_size=50, **sizes))
    >>> network = quantize(teacher, weights="ternary", kv_bits=2)
    >>> network(torch.tensor([[2, 7, 3]]))
    Traceback (most recent call last):
    matterhorn.errors.InputError: block.0.input: a network whose scales are not set; run matterhorn.calibrate...
    >>> network = quantize(teacher, batches=[{"input_ids": torch.tensor([[2, 7, 3], [2, 9, 3]])}])
    >>> network(torch.tensor([[2, 7, 3]])).logits.shape
    torch.Size([1, 2])
    """
    options = {
        "weights": weights,
        "activation_bits": activation_bits,
        "kv_bits": kv_bits,
        "dead_zone": dead_zone,
        "dead_zones": dead_zones or {},
        "silence_per": silence_per,
        "digital": digital,
    }
    for name in unknown:
        raise InputError("no such option", field=name, cure=f"give any of: {', '.join(options)}")
    encoder = take_apart(teacher)
    network = QuantizedForSequenceClassification(MatterhornConfig(**encoder.config, **options))
    with torch.no_grad():
        for name, table in encoder.embeddings.items():
            network.embeddings.fill(name, table)
        _copy(network.embeddings.norm, encoder.embeddings_norm)
        network.embeddings.requires_grad_(False)
        for block, layer in zip(network.layers(), encoder.layers, strict=True):
            for name, linear in layer.connections.items():
                _copy(block.connection(name), linear)
            _copy(block.attention_norm, layer.attention_norm)
            _copy(block.feed_forward_norm, layer.feed_forward_norm)
        _copy(network.pooler, encoder.pooler)
        _copy(network.classifier, encoder.classifier)
    if batches is not None:
        calibrate(network, batches)
    return network


def _copy(target: nn.Module, source: nn.Module) -> None:
    target.load_state_dict(source.state_dict())
