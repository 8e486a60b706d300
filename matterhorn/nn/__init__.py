"""Quantized modules for training with straight-through gradients, and definitions of digital steps. Needs torch."""

from ..extras import need

need("train", "torch")

from .digital import DigitalLinear, FixedLayerNorm, QuantizedEmbeddings, quantize_int8
from .linear import QuantizedLinear, quantize_weights
from .quantizers import ActivationQuantizer, Events, Sent
from .stored import StoredQuantizer

__all__ = [
    "ActivationQuantizer",
    "DigitalLinear",
    "Events",
    "FixedLayerNorm",
    "QuantizedEmbeddings",
    "QuantizedLinear",
    "Sent",
    "StoredQuantizer",
    "quantize_int8",
    "quantize_weights",
]
