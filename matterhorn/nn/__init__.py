"""Quantised modules for training (straight-through) and the digital steps that every engine shares."""

from .attention import QuantisedAttention
from .digital import DigitalLinear, FixedLayerNorm, QuantisedEmbeddings
from .linear import QuantisedLinear, quantise_weights
from .quantisers import ActivationQuantiser, StoredQuantiser

__all__ = [
    "ActivationQuantiser",
    "DigitalLinear",
    "FixedLayerNorm",
    "QuantisedAttention",
    "QuantisedEmbeddings",
    "QuantisedLinear",
    "StoredQuantiser",
    "quantise_weights",
]
