"""Quantized networks and programs as Hugging Face models. Importing this package registers both with Auto classes."""

from __future__ import annotations

from ..extras import need

need("train", "torch", "transformers")

from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from ..models import MatterhornConfig, QuantizedForSequenceClassification
from .card import model_card
from .configuration import ProgramConfig
from .modeling import ProgramForSequenceClassification

__all__ = [
    "MatterhornConfig",
    "ProgramConfig",
    "ProgramForSequenceClassification",
    "QuantizedForSequenceClassification",
    "model_card",
    "register",
]


def register() -> None:
    """Register quantized networks and programs with the Auto classes. Importing :mod:`matterhorn.hf` does this."""
    for config, model in (
        (MatterhornConfig, QuantizedForSequenceClassification),
        (ProgramConfig, ProgramForSequenceClassification),
    ):
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForSequenceClassification.register(config, model, exist_ok=True)
        AutoTokenizer.register(  # type: ignore[no-untyped-call]
            config, fast_tokenizer_class=PreTrainedTokenizerFast, exist_ok=True
        )


register()
