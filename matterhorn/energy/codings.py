"""Codes by which a trace can be billed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InputError

Form = Literal["word", "train", "spike"]
"""How a level travels: a dense word, a train of spikes over T steps (rate), or at most one spike in T + 1 slots
(TTFS).
"""


@dataclass(frozen=True)
class Coding:
    """A code by which a trace can be billed. ``masked``: the silent level is the most frequent one; ``per_neuron``:
    that of each row, not of the tensor.
    """

    name: str
    form: Form
    dead_zone: int = 0
    masked: bool = False
    per_neuron: bool = False


def masked(dead_zone: int, *, per_neuron: bool = False) -> Coding:
    """Return the masked code with a dead zone."""
    return Coding(f"mttfs-k{dead_zone}{'-neuron' if per_neuron else ''}", "spike", dead_zone, True, per_neuron)


WIDEST_ZONE = 3
"""Widest dead zone that every network is billed with."""

CODINGS: tuple[Coding, ...] = (
    Coding("dense", "word"),
    Coding("rate", "train"),
    Coding("ttfs", "spike"),
    *(masked(k, per_neuron=rows) for rows in (False, True) for k in range(WIDEST_ZONE + 1)),
)
"""The codes of the bill. They have one silent level per tensor, or with ``-neuron`` one per neuron."""


def coding(name: str) -> Coding:
    """Return a code by its name."""
    known = {candidate.name: candidate for candidate in CODINGS}
    if name not in known:
        raise InputError(f"no code {name!r}", field="code", cure=f"give one of {', '.join(known)}")
    return known[name]
