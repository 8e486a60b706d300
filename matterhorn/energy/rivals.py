"""Rivals as published operating points, and a dense network, on the same chip, shape and length as our codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ..program.trace import Trace
from ..reading import Strict, read_yaml
from ..units import bounds
from .activity import Activity, as_traced, recode, scaled, set_bits
from .billing import Bill, make_bill
from .chip import Chip
from .codings import CODINGS, Form
from .library import load_shipped, with_value
from .mapping import Hardware, geometry, hardware_of, place
from .mapping import Mapping as Placed
from .shapes import SHAPES, in_proportion, lay


class Figure(Strict):
    """A published or deduced number and its source. Bounds are assumed if ``low`` and ``high`` are not given."""

    value: float = Field(ge=0)
    source: str = Field(min_length=3)
    low: float | None = None
    high: float | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """What bounds it."""
        return bounds(self.value, self.low, self.high)


class Rival(Strict):
    """One operating point (see ``rivals.yaml``). ``listed_as``: its name among published scores, if different."""

    name: str
    listed_as: str | None = None
    layers: int = Field(ge=1)
    steps: Figure
    spikes: Figure
    weight_bits: Figure
    kv_bits: Figure
    sign_bits: int = Field(ge=0, le=1)
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
        """Share of neuron-windows without a spike. It equals the quiet share, since one rate holds for all neurons.
        Unknown for trains.
        """
        return 1 - self.spikes.value if self.form == "spike" else None


@cache
def rivals() -> tuple[Rival, ...]:
    """All operating points of ``rivals.yaml``."""
    plain = read_yaml(Path(__file__).with_name("rivals.yaml"))["rivals"]
    return tuple(Rival.model_validate(entry) for entry in plain)


@dataclass(frozen=True)
class Side:
    """One network and sentence in a comparison: its activities, and its placement on each kind of array."""

    activities: tuple[Activity, ...]
    trace: Trace
    placed: dict[Hardware, Placed]

    @classmethod
    def of(cls, activities: Iterable[Activity], trace: Trace, chip: Chip) -> Side:
        """Place a network on all kinds of arrays of a chip."""
        own, longest = tuple(activities), max(trace.lengths)
        return cls(own, trace, {kind: place(own, chip, kind, longest) for kind in hardware_of(chip)})

    def bill(self, chip: Chip, kind: Hardware) -> Bill:
        """Bill on one kind of array of a chip with the same sizes. Its numbers may differ, or be arrays of numbers."""
        placed = replace(self.placed[kind], static=geometry(chip, kind), digital=geometry(chip, "digital"))
        return make_bill(self.activities, self.trace, chip, placed)

    def bills(self, chip: Chip) -> dict[Hardware, Bill]:
        """Bill on all kinds of arrays of the chip."""
        return {kind: self.bill(chip, kind) for kind in hardware_of(chip)}

    def dense_j(self, chip: Chip) -> dict[str, float]:
        """J of dense words by where products are made: ``digital`` arrays that read a weight once for all tokens of the
        sentence, synapse units (``msu``), and a dense compute-in-memory ``macro`` of silicon, by bits of the level and
        pairs of a weight."""
        found = {kind: bill.total for kind, bill in self.bills(chip).items()}
        reused = self.bill(reading_once(chip, self.trace), "digital")
        static = [a for a in self.activities if not a.dynamic]
        added = sum(a.operations * a.adds for a in static) * chip.logic.accumulate.si
        made = sum(a.products * a.digits * a.level_bits / 4 for a in static) * chip.macro.product.si
        rest = reused.total - added - reused.by_category["weight_access"] - reused.by_category["leakage"]
        return found | {"digital": reused.total, "macro": rest + made}

    def scaled(self, factor: float) -> Side:
        """Return the same network with its spikes multiplied by a factor."""
        return replace(self, activities=tuple(scaled(a, factor) for a in self.activities))


def reading_once(chip: Chip, trace: Trace) -> Chip:
    """Return the chip for dense words: its digital arrays read a weight once for all tokens of a mean sentence."""
    return with_value(chip, "weights.reuse", trace.tokens / trace.sequences)


@dataclass(frozen=True)
class Comparison:
    """One sentence of one length on the BERT-base shape: this network, its dense twin, and the rivals by name.

    ``teacher_blocks``: see :func:`.shapes.in_proportion`.
    """

    own: Side
    dense: Side
    rivals: dict[str, Side]
    length: int
    teacher_blocks: int | None = None

    @classmethod
    def of(cls, trace: Trace, chip: Chip, length: int, teacher_blocks: int | None = None) -> Comparison:
        """This network's shares laid on BERT-base in its proportions, beside the rivals.

        Only shapes and digital steps of rivals are taken from the trace: they are granted the same digital functions as
        ours, but for a position bias, which none of them has, and compute only the first token in the last block where
        ours does.
        """
        laid = lay(trace, in_proportion(SHAPES["bert-base"], trace, teacher_blocks), length)
        own = Side.of(as_traced(laid), laid, chip)
        usual = {layers: _usual(trace, layers, length) for layers in {rival.layers for rival in rivals()}}
        words = {layers: recode(base, CODINGS[0]) for layers, base in usual.items()}
        found: dict[str, Side] = {}
        alike: dict[tuple[float, ...], Side] = {}
        for rival in rivals():
            sent = tuple(_activity(rival, a) for a in words[rival.layers])
            size = rival.layers, rival.weight_bits.value, rival.kv_bits.value
            alike[size] = (
                replace(alike[size], activities=sent) if size in alike else Side.of(sent, usual[rival.layers], chip)
            )
            found[rival.name] = alike[size]
        return cls(own, replace(own, activities=tuple(recode(laid, CODINGS[0]))), found, length, teacher_blocks)

    def rival_bills(self, chip: Chip) -> dict[str, dict[Hardware, Bill]]:
        """Bills of rivals by name and kind of array, with one packet per spike, the format for which rates were
        deduced.
        """
        packets = chip.model_copy(update={"noc": chip.noc.model_copy(update={"train": "packet"})})
        return {name: side.bills(packets) for name, side in self.rivals.items()}

    def ratios(self, chip: Chip) -> dict[str, float]:
        """Ratio of each rival's energy to ours, each on its cheaper array, and of ``dense``."""
        ours = cheapest(bill.total for bill in self.own.bills(chip).values())
        found = {
            name: cheapest(b.total for b in bills.values()) / ours for name, bills in self.rival_bills(chip).items()
        }
        return found | {"dense": cheapest(self.dense.dense_j(chip).values()) / ours}


def smallest(ratios: Mapping[str, float]) -> dict[str, Any]:
    """The headline of :meth:`Comparison.ratios`: the smallest against a spiking rival, which one that is, and dense."""
    rival = min((name for name in ratios if name != "dense"), key=lambda name: ratios[name])
    return {
        "ratio_min": float(ratios[rival]), "ratio_min_rival": rival, "ratio_dense": float(ratios["dense"]),
    }  # fmt: skip


def worst(trace: Trace, known: Comparison, on: Chip) -> dict[str, Any]:
    """The smallest of both ratios on any chip that ships, with its name. ``known``: a comparison of this trace on a
    chip; only chips of other sizes are placed anew."""
    placed, found = [(on, known)], []
    rest = sorted(load_shipped(), key=lambda chip: chip.msu is None)
    while rest:
        first = rest[0]
        alike = [chip for chip in rest if _fits(chip, first) and _fits(first, chip) and _moves(chip) == _moves(first)]
        rest = [chip for chip in rest if chip not in alike]
        fitting = [comparison for other, comparison in placed if _fits(first, other)]
        comparison = fitting[0] if fitting else Comparison.of(trace, first, known.length, known.teacher_blocks)
        placed.append((first, comparison))
        ratios = {name: np.broadcast_to(r, len(alike)) for name, r in comparison.ratios(_at_once(alike)).items()}
        for i, chip in enumerate(alike):
            found.append(smallest({name: float(r[i]) for name, r in ratios.items()}) | {"chip": chip.name})
    least, dense = (min(found, key=lambda row: row[key]) for key in ("ratio_min", "ratio_dense"))
    return {
        "ratio_min": least["ratio_min"],
        "ratio_min_rival": least["ratio_min_rival"],
        "ratio_min_chip": least["chip"],
        "ratio_dense": dense["ratio_dense"],
        "ratio_dense_chip": dense["chip"],
    }


def _at_once(chips: list[Chip]) -> Chip:
    """Chips that differ in numbers alone, as one whose numbers are arrays."""
    values, together = [dict(chip.quantities()) for chip in chips], chips[0]
    for key in values[0]:
        own = [numbers[key].si for numbers in values]
        together = with_value(together, key, np.array(own)) if len(set(own)) > 1 else together
    return together


def _moves(chip: Chip) -> tuple[str, str, bool, str]:
    """How it moves spikes and drives rows."""
    return chip.noc.route, chip.noc.delivery, chip.msu is None, chip.msu.pulses if chip.msu else ""


def _fits(chip: Chip, other: Chip) -> bool:
    """Whether what is placed on another chip lies on this one alike."""
    return (
        all(
            kind in hardware_of(other)
            and replace(geometry(chip, kind), area=0.0, leakage=0.0)
            == replace(geometry(other, kind), area=0.0, leakage=0.0)
            for kind in hardware_of(chip)
        )
        and chip.kv.size.si == other.kv.size.si
    )


def cheapest(joules: Iterable[float]) -> float:
    """The least, draw by draw where these are arrays."""
    least: float = reduce(np.minimum, joules)
    return least


def mean_bits(form: Form, kappa: float) -> float:
    """Mean set bits of a spike that drives its row for ``kappa`` slots on average: of a train one, else of levels
    spread evenly from 1 to 2 · kappa − 1."""
    return 1.0 if form == "train" else float(set_bits(np.arange(1, max(2, round(2 * kappa)))).mean())


def _usual(trace: Trace, layers: int, length: int) -> Trace:
    """A BERT-base of so many layers, as rivals are: without a position bias."""
    laid = lay(trace, replace(SHAPES["bert-base"], layers=layers, first_only=trace.shape.first_only), length)
    laid.digital = {name: step for name, step in laid.digital.items() if step.operation != "position_bias"}
    return laid


def _activity(rival: Rival, dense: Activity) -> Activity:
    events, steps = dense.windows * rival.spikes.value, int(rival.steps.value)
    bits = int((rival.kv_bits if dense.dynamic else rival.weight_bits).value)
    return replace(
        dense, form=rival.form, events=events, kappa=events * rival.kappa.value, operations=events * dense.fan,
        active=min(dense.windows, events), steps=steps, sign_bits=rival.sign_bits, adds=1,
        operand_bits=bits, digits=bits, key_bits=int(rival.kv_bits.value), zeros=0.0,
        pulses=events * mean_bits(rival.form, rival.kappa.value),
        squares=dense.windows * rival.square, compares=dense.windows * (steps - (rival.form == "spike")),
    )  # fmt: skip


@dataclass(frozen=True)
class Scores:
    """Scores on one task, from 0 to 1.

    They are those of this network, of the best known teacher of its kind (a weaker one would make the loss look
    smaller), and published ones by name. ``shipped``: the losses of shipped networks by name.
    """

    own: float
    teacher: float
    published: Mapping[str, float]
    shipped: Mapping[str, float] = field(default_factory=dict)

    @property
    def lost(self) -> float:
        """Loss of this network relative to its teacher."""
        return self.teacher - self.own

    def of(self, rival: Rival) -> float | None:
        """Score of a rival; None if unknown."""
        return self.published.get(rival.listed_as or rival.name)

    def drop(self, rival: Rival) -> float | None:
        """Loss of a rival relative to BERT-base, from which all of them start."""
        score, teacher = self.of(rival), self.published.get("BERT-base")
        return None if score is None or teacher is None else teacher - score

    def matched(self, rival: Rival) -> bool:
        """Whether this network loses no more relative to its teacher than the rival does."""
        drop = self.drop(rival)
        return drop is not None and self.lost <= drop
