"""Which tracker (TensorBoard, Weights & Biases …) training reports to: accelerate's, none unless asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import InputError

TRACKER: ContextVar[str | None] = ContextVar("tracker", default=None)
"""Name of the tracker that phases started in this context report to."""

PACKAGES = {
    "tensorboard": "tensorboardX",
    "wandb": "wandb",
    "comet_ml": "comet-ml",
    "aim": "aim",
    "mlflow": "mlflow",
    "clearml": "clearml",
    "dvclive": "dvclive",
    "swanlab": "swanlab",
    "trackio": "trackio",
}
"""Tracker → distribution to install."""


@contextmanager
def tracking(name: str | None) -> Iterator[None]:
    """Report phases to a tracker; one that accelerate does not know or that is not installed is refused at once."""
    if name is not None:
        from accelerate.tracking import get_available_trackers

        if name not in PACKAGES:
            raise InputError(f"unknown tracker {name!r}", field="tracker", cure=f"choose one of {', '.join(PACKAGES)}")
        if name not in [str(tracker) for tracker in get_available_trackers()]:
            problem = f"tracker {name!r} is not installed"
            raise InputError(problem, field="tracker", cure=f"pip install {PACKAGES[name]}")
    token = TRACKER.set(name)
    try:
        yield
    finally:
        TRACKER.reset(token)
