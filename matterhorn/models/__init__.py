"""The quantized network: made from a full-precision encoder, calibrated, and converted to a program.

Training is in :mod:`matterhorn.distill`. Needs torch and transformers.
"""

from ..extras import need

need("train", "torch", "transformers")

from .calibrate import calibrate
from .config import MatterhornConfig
from .convert import convert
from .equalize import equalize
from .precision import full_precision
from .quantize import quantize
from .quantized import QuantizedForSequenceClassification
from .restore import restore, restore_trainable

__all__ = [
    "MatterhornConfig",
    "QuantizedForSequenceClassification",
    "calibrate",
    "convert",
    "equalize",
    "full_precision",
    "quantize",
    "restore",
    "restore_trainable",
]
