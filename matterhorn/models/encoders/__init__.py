"""Encoders that can be quantized. Each has a small file that tells where a Hugging Face model has its parts."""

from __future__ import annotations

from transformers import PreTrainedModel

from ...errors import InputError
from .bert import BERT
from .distilbert import DISTILBERT
from .electra import ELECTRA
from .encoder import Encoder
from .mpnet import MPNET
from .roberta import ROBERTA

ENCODERS = {name: encoder for encoder in (BERT, ROBERTA, DISTILBERT, ELECTRA, MPNET) for name in encoder.models}
"""By the name of a class of Hugging Face."""


def encoder_named(*classes: str) -> Encoder:
    """What is known of a class of Hugging Face, by its name or that of one it is made of.

    Raises:
        InputError: it is none of :data:`ENCODERS`.
    """
    found = next((ENCODERS[name] for name in classes if name in ENCODERS), None)
    if found is None:
        raise InputError(f"{classes[0]} is not supported", field="teacher", cure=f"give one of: {', '.join(ENCODERS)}")
    return found


def encoder_of(model: PreTrainedModel) -> Encoder:
    """What is known of a full-precision classifier.

    Raises:
        InputError: it is none of :data:`ENCODERS`, or one with a causal mask or other positions.
    """
    found = encoder_named(*(kind.__name__ for kind in type(model).__mro__))
    positions = getattr(model.config, "position_embedding_type", "absolute") or "absolute"
    if getattr(model.config, "is_decoder", False):
        raise InputError("a decoder, with a causal mask", field="teacher", cure="give one that looks both ways")
    if positions != "absolute":
        cure = "give one with absolute positions, or an MPNet"
        raise InputError(f"positions of the kind {positions!r}", field="teacher", cure=cure)
    return found
