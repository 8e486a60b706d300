"""Encoders that can be quantized. For each, a small file describes where a Hugging Face model has its parts."""

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
"""Encoders by the names of Hugging Face classes."""


def encoder_named(*classes: str) -> Encoder:
    """Return the description of a Hugging Face class, by its name or the name of a base class.

    Raises:
        InputError: the class is not in :data:`ENCODERS`.
    """
    found = next((ENCODERS[name] for name in classes if name in ENCODERS), None)
    if found is None:
        raise InputError(f"{classes[0]} is not supported", field="teacher", cure=f"give one of: {', '.join(ENCODERS)}")
    return found


def encoder_of(model: PreTrainedModel) -> Encoder:
    """Return the description of a full-precision classifier.

    Raises:
        InputError: its class is not in :data:`ENCODERS`, or it has a causal mask or other than absolute positions.
    """
    found = encoder_named(*(kind.__name__ for kind in type(model).__mro__))
    positions = getattr(model.config, "position_embedding_type", "absolute") or "absolute"
    if getattr(model.config, "is_decoder", False):
        raise InputError("a decoder, with a causal mask", field="teacher", cure="give one that looks both ways")
    if positions != "absolute":
        cure = "give one with absolute positions, or an MPNet"
        raise InputError(f"positions of the kind {positions!r}", field="teacher", cure=cure)
    return found
