"""Rivals as published operating points, billed on the same chip, shape and length as our codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from ..program.trace import Trace
from ..reading import Strict
from .activity import CODINGS, Activity, recode
from .billing import Bill, make_bill
from .chip import Chip
from .mapping import Hardware, hardware_of, place
from .shapes import SHAPES, lay


class Figure(Strict):
    """A published or deduced number and where it comes from."""

    value: float = Field(ge=0)
    source: str = Field(min_length=3)


class Rival(Strict):
    """One operating point; see ``rivals.yaml``."""

    name: str
    layers: int = Field(ge=1)
    steps: Figure
    spikes: Figure
    weight_bits: Figure
    sign_bits: int = Field(ge=0, le=1)
    analog: bool
    form: Literal["train", "spike"]
    kappa: Figure
    published_block_mj: Figure | None

    @property
    def published_mj(self) -> float | None:
        """Published energy of all encoder blocks, mJ."""
        return self.published_block_mj.value * self.layers if self.published_block_mj else None

    @property
    def square(self) -> float:
        """Mean square of what a window sends, in slots squared; the number of spikes of a train as of Poisson's."""
        mean = self.spikes.value * self.kappa.value
        return mean * self.kappa.value if self.form == "spike" else mean + mean**2

    @property
    def silent_share(self) -> float | None:
        """Share of neuron-windows without a spike, and of quiet synapses too, as one rate holds for all neurons;
        unknown for trains."""
        return 1 - self.spikes.value if self.form == "spike" else None


@cache
def rivals() -> tuple[Rival, ...]:
    """All operating points of ``rivals.yaml``."""
    plain = yaml.safe_load((Path(__file__).parent / "rivals.yaml").read_text(encoding="utf-8"))
    return tuple(Rival.model_validate(entry) for entry in plain)


@dataclass(frozen=True)
class RivalBill:
    """A rival's bills by kind of array. Its own is ``digital``, unless its synapse is analog: then the cheaper one."""

    rival: Rival
    bills: dict[Hardware, Bill]

    @property
    def own(self) -> Bill:
        """The bill that stands for the rival."""
        return min(self.bills.values(), key=lambda bill: bill.total) if self.rival.analog else self.bills["digital"]


def bill_rivals(trace: Trace, chip: Chip, length: int) -> list[RivalBill]:
    """Bills of one sentence of ``length`` tokens on the BERT-base shape.

    Only shapes and digital steps are taken from the trace: rivals are granted the same digital functions as ours, and
    compute only the first token in the last block where ours does.
    """
    answers = []
    for rival in rivals():
        laid = lay(trace, replace(SHAPES["bert-base"], layers=rival.layers, first_only=trace.shape.first_only), length)
        activities = [_activity(rival, dense) for dense in recode(laid, CODINGS[0])]
        mappings = {hardware: place(activities, chip, hardware, length) for hardware in hardware_of(chip)}
        bills = {hardware: make_bill(activities, laid, chip, mapping) for hardware, mapping in mappings.items()}
        answers.append(RivalBill(rival, bills))
    return answers


def _activity(rival: Rival, dense: Activity) -> Activity:
    events, steps = dense.windows * rival.spikes.value, int(rival.steps.value)
    bits = dense.operand_bits if dense.dynamic else int(rival.weight_bits.value)
    return replace(
        dense, form=rival.form, events=events, kappa=events * rival.kappa.value, operations=events * dense.fan,
        active=min(dense.windows, events), steps=steps, sign_bits=rival.sign_bits, adds=1,
        operand_bits=bits, digits=bits, zeros=0.0,
        squares=dense.windows * rival.square, compares=dense.windows * (steps - (rival.form == "spike")),
    )  # fmt: skip
