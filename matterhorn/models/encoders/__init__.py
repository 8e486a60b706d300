"""Encoders that can be quantized: one small file each, that takes a model of Hugging Face apart."""

from __future__ import annotations

from ...errors import InputError
from . import bert
from .encoder import Encoder, Layer

ADAPTERS = (bert,)

__all__ = ["ADAPTERS", "Encoder", "Layer", "take_apart"]


def take_apart(model: object) -> Encoder:
    """The parts of a full-precision classifier.

    Raises:
        InputError: there is no adapter for it.
    """
    for adapter in ADAPTERS:
        parts = adapter.read(model)
        if parts is not None:
            return parts
    supported = ", ".join(adapter.NAME for adapter in ADAPTERS)
    raise InputError(f"a {type(model).__name__}", field="teacher", cure=f"give one of: {supported}")
