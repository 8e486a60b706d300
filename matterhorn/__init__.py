"""Spiking transformers with masked time-to-first-spike codes: convert exactly, run, and bill the energy.

>>> import matterhorn as mh
>>> program = mh.load("sst2")
>>> mh.Engine(program, threads=1).classify(["A quiet, patient film."])[0].label
'positive'

The base install loads, runs, verifies and bills programs. ``spike``, ``quantize``, ``calibrate``, ``distill``,
``convert`` and ``DistillationTrainer`` need the extra ``train``: ``pip install "matterhorn-snn[train]"``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .extras import present

if TYPE_CHECKING:
    from .distill import distill
    from .distill.trainer import DistillationTrainer
    from .energy import bill
    from .models import calibrate, convert, quantize
    from .program import Program, Trace, load
    from .runtime import Engine, verify
    from .spiking import spike
    from .tasks.predictor import Predictor

__version__ = "0.2.0"

__all__ = [
    "DistillationTrainer",
    "Engine",
    "InputError",
    "Predictor",
    "Program",
    "Trace",
    "bill",
    "calibrate",
    "convert",
    "distill",
    "load",
    "quantize",
    "spike",
    "verify",
]

_MODULES = {
    "DistillationTrainer": "distill.trainer",
    "Engine": "runtime",
    "Predictor": "tasks.predictor",
    "Program": "program",
    "Trace": "program",
    "bill": "energy",
    "calibrate": "models",
    "convert": "models",
    "distill": "distill",
    "load": "program",
    "quantize": "models",
    "spike": "spiking",
    "verify": "runtime",
}
"""Module of each public name. It is imported when the name is first used."""


if not present("torch", "transformers", "accelerate"):
    __all__ = [name for name in __all__ if _MODULES.get(name, "").split(".")[0] not in ("distill", "models", "spiking")]


class _MissingExtraError(InputError, AttributeError):
    """A name that needs an extra which is not installed. ``hasattr`` is then False."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    except InputError as error:
        if sys._getframe(1).f_code.co_name == "_handle_fromlist":  # an import statement, which hides AttributeErrors
            raise
        raise _MissingExtraError(error.problem, cure=error.cure, field=error.field) from None
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
