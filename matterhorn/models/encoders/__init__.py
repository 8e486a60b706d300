"""Encoders that can be quantized: one small file each, that says where a model of Hugging Face has its parts."""

from __future__ import annotations

from transformers import PreTrainedModel

from ...errors import InputError
from .bert import BERT
from .encoder import Encoder

ENCODERS = {encoder.model: encoder for encoder in (BERT,)}


def encoder_of(model: PreTrainedModel) -> Encoder:
    """What is known of a full-precision classifier.

    Raises:
        InputError: it is none of :data:`ENCODERS`, or one with relative positions or a causal mask.
    """
    found = next((ENCODERS[kind.__name__] for kind in type(model).__mro__ if kind.__name__ in ENCODERS), None)
    if found is None:
        raise InputError(f"a {type(model).__name__}", field="teacher", cure=f"give one of: {', '.join(ENCODERS)}")
    if model.config.is_decoder or getattr(model.config, "position_embedding_type", "absolute") != "absolute":
        cure = "give one that looks both ways, with absolute positions"
        raise InputError("an encoder with relative positions or a causal mask", field="teacher", cure=cure)
    return found
