"""Running a program: :class:`Engine`, its backends, and the check that they agree. Needs no torch."""

from .backend import Backend, Watcher
from .engine import Answer, Engine, Output
from .record import SlotRecorder, TraceRecorder
from .verify import Expected, Reference, Verification, verify

__all__ = [
    "Answer",
    "Backend",
    "Engine",
    "Expected",
    "Output",
    "Reference",
    "SlotRecorder",
    "TraceRecorder",
    "Verification",
    "Watcher",
    "verify",
]
