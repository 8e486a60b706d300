"""Encoders that can be quantized: one small file each, that takes a model of Hugging Face apart."""

from __future__ import annotations

from ...errors import InputError
from . import bert
from .encoder import Encoder, Layer

ADAPTERS = {bert.NAME: bert.read}
"""How to take a model apart, by the name of its class in transformers."""

__all__ = ["ADAPTERS", "Encoder", "Layer", "take_apart"]


def take_apart(model: object) -> Encoder:
    """The parts of a full-precision classifier.

    Raises:
        InputError: there is no adapter for it.
    """
    for read in ADAPTERS.values():
        parts = read(model)
        if parts is not None:
            return parts
    raise InputError(f"a {type(model).__name__}", field="teacher", cure=f"give one of: {', '.join(ADAPTERS)}")
