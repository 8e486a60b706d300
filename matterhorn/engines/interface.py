"""What an engine does, and what may watch it."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..coding import Code
from ..errors import InputError
from ..models.spiking import Connection, Firing, Population
from .attention import Attention, Mixture


class Engine(Protocol):
    """Runs connections. Spikes are slots (uint8, :data:`~matterhorn.coding.SILENT` for none), potentials integers."""

    name: str
    draws: bool
    """Whether answers hold random numbers, so that the order of calls matters."""

    def integrate(self, slots: Tensor, code: Code, connection: Connection) -> Tensor:
        """Slots ``[..., in]`` through a static connection → potentials int32 ``[..., out]`` in kernel steps."""
        ...

    def integrate_stored(self, slots: Tensor, code: Code, operand: Tensor) -> Tensor:
        """Slots ``[..., rows, in]`` against a stored operand int8 ``[..., in, out]`` → int32 ``[..., rows, out]``."""
        ...

    def attend(self, given: Attention) -> Mixture:
        """Q·Kᵀ, softmax, P·V; built on ``integrate_stored`` by :func:`~matterhorn.engines.attention.attend_plainly`."""
        ...

    def fire(self, potentials: Tensor, population: Firing) -> Tensor:
        """Potentials ``[..., n]`` → slots ``[..., n]``."""
        ...


class Watcher(Protocol):
    """Looks on while a network runs; must change nothing."""

    def batch(self, present: Tensor) -> None:
        """A batch begins; ``present``: bool ``[batch, L]``."""
        ...

    def spikes(self, name: str, population: Population, slots: Tensor, levels: Tensor) -> None:
        """A population has fired: ``block.<i>.<population>``, slots and the levels before masking, same shape."""
        ...


def get_engine(name: str) -> Engine:
    """An engine by name."""
    from .events import EventsEngine
    from .exact import ExactEngine
    from .stepped import SteppedEngine

    engines = {"exact": ExactEngine, "events": EventsEngine, "stepped": SteppedEngine}
    if name == "analog":
        cure = "build AnalogEngine from a network and an ArrayBank, or use matterhorn evaluate --engine analog"
        raise InputError("analog needs a chip", field="engine", cure=cure)
    if name not in engines:
        raise InputError(f"no engine {name!r}", field="engine", cure=f"choose one of {', '.join(engines)}")
    return engines[name]()
