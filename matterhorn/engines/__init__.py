"""How a converted network is run: stepped (the reference) and exact (closed form); one interface, one trace.

Importing this package registers ``matterhorn-spiking`` with the Auto classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.auto import register
from ..models.checkpoint import SpikingConfig
from .exact import ExactEngine
from .forward import classify
from .interface import Engine, Watcher, get_engine
from .record import SlotRecorder, TraceRecorder
from .stepped import SteppedEngine

if TYPE_CHECKING:
    from .classifier import SpikingForSequenceClassification

__all__ = [
    "Engine",
    "ExactEngine",
    "SlotRecorder",
    "SpikingForSequenceClassification",
    "SteppedEngine",
    "TraceRecorder",
    "Watcher",
    "classify",
    "get_engine",
]


def _classifier() -> type:
    from .classifier import SpikingForSequenceClassification

    return SpikingForSequenceClassification


def __getattr__(name: str) -> Any:
    if name == "SpikingForSequenceClassification":
        return _classifier()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register(SpikingConfig.model_type, SpikingConfig, _classifier)
