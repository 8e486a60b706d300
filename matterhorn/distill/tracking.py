"""Which tracker (TensorBoard, Weights & Biases …) training reports to: accelerate's, none unless asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import InputError

TRACKER: ContextVar[str | None] = ContextVar("tracker", default=None)
"""Name of the tracker that phases started in this context report to."""


@contextmanager
def tracking(name: str | None) -> Iterator[None]:
    """Report phases to a tracker.

    Raises:
        InputError: accelerate does not know it, or it is not installed.
    """
    if name is not None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

        if name not in LOGGER_TYPE_TO_CLASS:
            cure = f"choose one of {', '.join(LOGGER_TYPE_TO_CLASS)}"
            raise InputError(f"unknown tracker {name!r}", field="tracker", cure=cure)
        if name not in [str(tracker) for tracker in get_available_trackers()]:
            cure = f"pip install {'tensorboardX' if name == 'tensorboard' else name}"
            raise InputError(f"tracker {name!r} is not installed", field="tracker", cure=cure)
    token = TRACKER.set(name)
    try:
        yield
    finally:
        TRACKER.reset(token)
