"""Comparisons: codes on both kinds of arrays, networks side by side, the waterfall, the tornado and break-even maps."""

from __future__ import annotations

from collections.abc import Mapping as Named
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..program.trace import Trace
from ..topology import Shape
from ..units import engineering, si_factor
from .activity import Activity, as_traced, quiet_share, recode, scaled, silent_share
from .billing import Bill, make_bill
from .chip import Chip
from .codings import CODINGS, WIDEST_ZONE, Coding, coding, masked
from .computing import largest_potential
from .library import DEFAULT, load, with_value
from .mapping import Hardware, Mapping, hardware_of, place
from .rivals import Comparison, Side, reading_once, smallest
from .shapes import PAPER_LENGTH, lay

COMPARISON_FORMAT = 4
"""Version of the document that ``matterhorn compare --json`` prints. In version 4, digital arrays read the weights of
dense words once a sentence, and networks with fewer blocks than their teachers are billed so on the BERT-base shape.
"""

SWING = 0.5
"""Relative change of each constant in the tornado."""


def map_trace(trace: Trace, chip: Chip, hardware: Hardware) -> Mapping:
    """Place the network of a trace on a chip."""
    return place(recode(trace, CODINGS[0]), chip, hardware, max(trace.lengths))


def bill(trace: Trace, chip: Chip | str | Path = DEFAULT, hardware: Hardware | None = None) -> Bill:
    """Compute what a run costs on a chip, from the counts in its trace.

    Args:
        trace: trace of a run (``engine(…, trace=True).trace``), or one read from a file
            (:meth:`matterhorn.Trace.load`).
        chip: a chip, the name of a shipped one, or the path of a YAML file.
        hardware: ``digital`` or ``msu`` (memristive synapse units). None: synapse units if the chip has them, else
            digital arrays.

    Returns:
        Energy in J by connection and category, time in s and area in m². Print it for a summary per sentence.

    Raises:
        InputError: ``trace`` is not a trace; the chip or the hardware is unknown; the chip lacks such hardware or has
            too small a mesh; or the capacitors of its synapse units cannot hold the network's potentials.

    Example:

    >>> import matterhorn as mh
    >>> engine = mh.Engine(mh.load("sst2"), threads=1)
    >>> inputs = engine.program.encode(["A quiet, patient film."])
    >>> bool(mh.bill(engine(**inputs, trace=True).trace, chip="rram-22nm").total > 0)
    True
    """
    if not isinstance(trace, Trace):
        raise InputError("no trace", field="trace", cure="call the engine with trace=True")
    on = chip if isinstance(chip, Chip) else load(chip)
    kind, counted = hardware or hardware_of(on)[-1], as_traced(trace)
    if kind == "msu":
        check_capacitors(counted, on)
    return make_bill(counted, trace, on, map_trace(trace, on, kind))


def check_capacitors(activities: Sequence[Activity], chip: Chip) -> None:
    """Refuse a chip whose synapse units have capacitors that are too small for a network.

    Raises:
        InputError: a potential is too large. The message names the chip, the key and a sufficient capacitance.
    """
    if problem := overflow(activities, chip):
        place = Path(f"{chip.name}.yaml")
        cure = 'give them and their area, or hardware="digital"'
        raise InputError(problem, file=place, field="msu.capacitor", cure=cure)


def overflow(activities: Sequence[Activity], chip: Chip) -> str | None:
    """Describe which connection's potentials exceed the capacitors of a chip's synapse units.

    None: all of them fit, or the chip has no synapse units.
    """
    unit = chip.msu
    if unit is None:
        return None
    needed, name = max((largest_potential(a, unit), a.name) for a in activities if not a.dynamic)
    if needed <= unit.largest_potential:
        return None
    farads = engineering(needed * unit.unit_charge / unit.swing.si, "F")
    return (
        f"{name} reaches potentials of {needed:.0f} slots, which take {farads}; a capacitor of {unit.capacitor.text} "
        f"holds {unit.largest_potential:.0f}"
    )


def encodings(side: Side, chip: Chip) -> list[dict[str, Any]]:
    """Bill all codes on all hardware of a chip. Each dictionary has J, s, W, m² and shares.

    The network's own code is billed by its measured counts. For dense words, digital arrays read a weight once a
    sentence. ``trained`` tells whether the network was trained with the code, or loses nothing by it; accuracy at all
    other codes is unknown.
    """
    trace, own = side.trace, own_coding(side.trace).name
    exact = all(c.dead_zone == 0 for c in trace.connections.values())
    found = []
    for code in codings_of(trace):
        acts = side.activities if code.name == own else tuple(recode(trace, code))
        on = reading_once(chip, trace) if code.form == "word" else chip
        for hardware, cost in replace(side, activities=acts).bills(on).items():
            found.append({
                "code": code.name,
                "hardware": hardware,
                "trained": code.name == own or (exact and code.dead_zone == 0),
                "total_j": cost.total,
                "silent_share": silent_share(acts),
                "quiet_share": quiet_share(acts),
                "movement_share": cost.movement_share,
                "weight_share": cost.share("weight_access"),
                "accumulate_only_share": cost.operations * chip.logic.accumulate.si / cost.total,
                "latency_s": cost.latency,
                "power_w": cost.power,
                "area_m2": cost.area,
                "by_category": cost.by_category,
            })  # fmt: skip
    return sorted(found, key=lambda e: hardware_of(chip).index(e["hardware"]))


def compare_on(
    traces: Named[str, Trace], chip: Chip, teacher_blocks: Named[str, int] | None = None
) -> list[dict[str, Any]]:
    """Compare networks on a chip, one row per network and kind of hardware.

    Each row has J and s per sentence of the network's own code, and J of its dense twin of the same bits. It also has
    two ratios on the BERT-base shape at the cheapest hardware: the smallest one against a spiking rival, and the one
    against dense words.

    Args:
        teacher_blocks: number of the teacher's blocks, of networks that have only some of them.
    """
    rows, blocks = [], teacher_blocks or {}
    for name, trace in traces.items():
        least = smallest(Comparison.of(trace, chip, PAPER_LENGTH, blocks.get(name)).ratios(chip))
        for hardware in hardware_of(chip):
            mapping = map_trace(trace, chip, hardware)
            own = make_bill(as_traced(trace), trace, chip, mapping)
            dense = make_bill(recode(trace, coding("dense")), trace, reading_once(chip, trace), mapping)
            rows.append({
                "network": name,
                "chip": chip.name,
                "hardware": hardware,
                "code": own_coding(trace).name,
                "silent_share": trace.silent_share,
                "quiet_share": trace.quiet_share,
                "per_sentence_j": own.per_sentence,
                "dense_per_sentence_j": dense.per_sentence,
                "times_dense": dense.total / own.total,
                "movement_share": own.movement_share,
                "latency_per_sentence_s": own.latency / own.sequences,
                "area_m2": own.area,
                "tiles": mapping.tiles,
                **least,
            })  # fmt: skip
    return rows


def own_coding(trace: Trace, *, per_neuron: bool | None = None) -> Coding:
    """The code that the trace's network was made for.

    It follows from the widest dead zone, and from whether silent levels are per neuron.
    """
    connections = trace.connections.values()
    rows = any(len(c.silent) > 1 for c in connections) if per_neuron is None else per_neuron
    return masked(max(c.dead_zone for c in connections), per_neuron=rows)


def codings_of(trace: Trace) -> tuple[Coding, ...]:
    """The usual codes, and wider dead zones up to that of the trace's network."""
    zones = range(WIDEST_ZONE + 1, own_coding(trace).dead_zone + 1)
    return CODINGS + tuple(masked(k, per_neuron=rows) for k in zones for rows in (False, True))


def waterfall(codes: Sequence[dict[str, Any]], trace: Trace) -> list[dict[str, Any]]:
    """List the energy step by step, from plain TTFS to the network as it is.

    The steps are plain TTFS, mask, dead zone, silence per neuron if the network has it, and synapse units if the chip
    has them.

    Args:
        codes: the result of :func:`encodings`.
        trace: trace of the network.
    """
    zone, own = own_coding(trace, per_neuron=False).name, own_coding(trace).name
    steps = [("TTFS", "ttfs", "digital"), ("mask", "mttfs-k0", "digital"), ("dead zone", zone, "digital")]
    steps += [("silence per neuron", own, "digital")] if own != zone else []
    known = {(e["code"], e["hardware"]): e for e in codes}
    return [
        {"step": step, "total_j": known[code, kind]["total_j"], "trained": known[code, kind]["trained"]}
        for step, code, kind in [*steps, ("synapse units", own, "msu")]
        if (code, kind) in known
    ]


def tornado(side: Side, chip: Chip, hardware: Hardware, count: int = 10) -> list[dict[str, Any]]:
    """Find the constants that change a network's total energy (J) most when each alone changes by ± :data:`SWING`.

    They are sorted by the size of the change. Sizes (rows, columns, bits, areas) are left out, because they would
    change the mapping.
    """
    values = {
        key: quantity.si
        for key, quantity in chip.quantities()
        if si_factor(quantity.unit)[1] not in ("1", "bit", "m", "m2") or key == "noc.hops"
    }
    factors, swung = 1 + SWING * np.kron(np.eye(len(values)), [-1, 1]), chip
    for (key, value), row in zip(values.items(), factors, strict=True):
        swung = with_value(swung, key, value * row)
    totals = side.bill(swung, hardware).total
    both = np.broadcast_to(totals, factors.shape[1]).reshape(-1, 2).tolist()
    swings = [{"key": key, "low_j": low, "high_j": high} for key, (low, high) in zip(values, both, strict=True)]
    return sorted(swings, key=lambda swing: -abs(swing["high_j"] - swing["low_j"]))[:count]


def with_silence(activities: Sequence[Activity], share: float | NDArray[np.float64]) -> list[Activity]:
    """Scale the spikes of activities so that every population has this silent share, or each of several shares."""
    return [scaled(a, (1 - share) * a.windows / a.events if a.events else 0.0) for a in activities]


def break_even_hops(trace: Trace, chip: Chip, silences: Sequence[float], factors: Sequence[float]) -> list[list[float]]:
    """Ratio of the energy of masked spikes to that of dense words, both on digital arrays.

    Returns:
        Ratios as ``[factor of the hop energies][silent share]``.
    """
    mapping, moved = map_trace(trace, chip, "digital"), chip
    for key in ("noc.hop.energy", "noc.hop.bit", "noc.dense", "noc.wire"):
        moved = with_value(moved, key, dict(chip.quantities())[key].si * np.array(factors)[:, None])
    spikes = with_silence(recode(trace, own_coding(trace)), np.array(silences))
    joules = make_bill(spikes, trace, moved, mapping).total
    dense = make_bill(recode(trace, coding("dense")), trace, reading_once(moved, trace), mapping).total
    ratios: list[list[float]] = np.broadcast_to(joules / dense, (len(factors), len(silences))).tolist()
    return ratios


def break_even_lengths(trace: Trace, shape: Shape, chip: Chip, silences: Sequence[float], lengths: Sequence[int]
                       ) -> list[list[float]]:  # fmt: skip
    """The same ratio for sentences of several lengths, as ``[length][silent share]``."""
    return [break_even_hops(lay(trace, shape, length), chip, silences, [1.0])[0] for length in lengths]
