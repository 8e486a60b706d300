"""Whole networks: the quantised one as a Hugging Face model, conversion from BERT, and the spiking one.

Importing this package registers ``matterhorn`` with the Auto classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .auto import register
from .config import MatterhornConfig
from .from_bert import from_bert

if TYPE_CHECKING:
    from .quantised import MatterhornForSequenceClassification

__all__ = ["MatterhornConfig", "MatterhornForSequenceClassification", "from_bert"]


def _classifier() -> type:
    from .quantised import MatterhornForSequenceClassification

    return MatterhornForSequenceClassification


def __getattr__(name: str) -> Any:
    if name == "MatterhornForSequenceClassification":
        return _classifier()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register(MatterhornConfig.model_type, MatterhornConfig, _classifier)
