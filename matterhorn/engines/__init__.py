"""How a converted network is run: stepped (the reference) and exact (closed form); one interface, one trace.

Importing this package registers ``matterhorn-spiking`` with the Auto classes.
"""

from transformers import AutoConfig, AutoModelForSequenceClassification

from ..models.checkpoint import SpikingConfig
from .classifier import SpikingForSequenceClassification
from .exact import ExactEngine
from .forward import classify
from .interface import Engine, Watcher, get_engine
from .record import SlotRecorder, TraceRecorder
from .stepped import SteppedEngine

AutoConfig.register(SpikingConfig.model_type, SpikingConfig, exist_ok=True)
AutoModelForSequenceClassification.register(SpikingConfig, SpikingForSequenceClassification, exist_ok=True)

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
