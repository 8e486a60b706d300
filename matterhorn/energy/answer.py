"""The answer of ``matterhorn energy``: one plain dictionary, from which the table, the JSON and the page are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..program.trace import Trace
from .activity import as_traced
from .billing import Bill
from .chip import Chip
from .library import with_value
from .mapping import Hardware, hardware_of
from .rivals import Comparison, Rival, Scores, Side, rivals, worst
from .shapes import PAPER_LENGTH, SHAPES
from .study import encodings, overflow, own_coding, tornado, waterfall
from .uncertainty import uncertainty
from .verdict import against_rivals, verdict

ENERGY_FORMAT = 7
"""Version of the document that ``matterhorn energy --json`` prints. In version 7, networks with only some of their
teacher's blocks have as large a share of BERT-base's, ``bert_base_blocks``.
"""

PAPER = {"ratio": 2.31, "rival": "Otters", "source": "arXiv 2601.22876; against whom is not said, most likely Otters"}
"""How much more rivals cost than the paper's own network, according to the paper and its own accounting."""

NOTES = {
    "levels": "Other codes are evaluated on the levels of this network, which was trained with its own dead zone; "
    "unless that is 0, its accuracy at them is unknown.",
    "reading": "The network's own code is billed by its counts as they are; other codes read silence as a whole level.",
    "width": "A student with more intermediate neurons than its teacher is billed for them, on the BERT-base shape "
    "too; so are other codes of the same network. Rivals have the usual number.",
    "last_block": "Where a head reads the first token only, the last block computes only that one; rivals are granted "
    "the same.",
    "operating_points": "Rivals are published operating points; a spike rate that is not published is deduced. Each is "
    "billed one packet per spike, on the array that is cheaper for it, and read once a window.",
    "equal_drop": "At equal drop: the rival loses at least as much against BERT-base as this network does against the "
    "best teacher of its backbone and task that is known; a weaker teacher would make the same loss look smaller.",
    "interval": "Intervals are 5 to 95 % of draws of all numbers but sizes between their bounds; where none are known, "
    "a factor of two each way is assumed.",
}


def energy_answer(
    trace: Trace,
    chip: Chip,
    *,
    model: str,
    task: str | None = None,
    data: str | None = None,
    length: int = PAPER_LENGTH,
    scores: Scores | None = None,
    teacher_blocks: int | None = None,
) -> dict[str, Any]:
    """Report everything that is known about one trace on one chip, as ``matterhorn energy --json`` prints it.

    The dictionary has the bill of the run, other codes, rivals and the dense network on the BERT-base shape,
    uncertainties and notes. Keys that end in ``_j``, ``_s``, ``_w`` and ``_m2`` are in J, s, W and m². ``n`` is the
    number of sequences in the trace.

    Args:
        trace: trace of a run.
        chip: the chip to bill on. Digital arrays are used if its synapse units cannot hold the network's potentials.
        model: name of the network in the report.
        task: task of the rows that ran, if known.
        data: source of the rows, if they are not the task's own.
        length: tokens per sentence in figures on the BERT-base shape.
        scores: accuracies on the model's task, if known.
        teacher_blocks: number of its teacher's blocks, if it has only some of them.
    """
    side = Side.of(as_traced(trace), trace, chip)
    comparison = Comparison.of(trace, chip, length, teacher_blocks)
    hardware = "digital" if overflow(side.activities, chip) else hardware_of(chip)[-1]
    own, codes = side.bill(chip, hardware), encodings(side, chip)
    base = min(comparison.own.bills(chip).values(), key=lambda found: found.total)
    base_codes = encodings(comparison.own, chip)
    theirs = comparison.rival_bills(chip)
    rows = [_rival(rival, theirs[rival.name], base, scores) for rival in rivals()]
    dense = _dense(comparison.dense, chip, base)
    return {
        "format": ENERGY_FORMAT,
        "model": model,
        "task": task,
        "data": data,
        "chip": chip.name,
        "hardware": hardware,
        **_ran(trace),
        **_billed(own, chip),
        "encodings": codes,
        "weight_band_j": weight_band(side, chip),
        **_at_base(base, comparison),
        "bert_base_encodings": base_codes,
        "accuracy": scores.own if scores else None,
        "teacher_accuracy": scores.teacher if scores else None,
        **_compared(rows, dense),
        **uncertainty(side, chip, comparison, hardware),
        "worst_chip": worst(trace, comparison, chip),
        "waterfall": waterfall(base_codes, trace),
        "tornado": tornado(side, chip, hardware),
        "verdict": verdict(codes, own) + against_rivals(rows, dense, scores),
        "notes": NOTES
        | fewer_blocks(trace, comparison)
        | larger_capacitors(side, comparison.own, chip)
        | larger_dies(
            {model: own.area, f"{model} on the BERT-base shape": base.area}
            | {row["name"]: row["area_m2"] for row in [*rows, dense]},
            chip,
        ),
    }


def _ran(trace: Trace) -> dict[str, Any]:
    """What ran, and its silent and quiet share."""
    return {
        "code": own_coding(trace).name,
        "program": trace.program,
        "rows": trace.rows_hash,
        "n": trace.sequences,
        "tokens": trace.tokens,
        "silent_share": trace.silent_share,
        "quiet_share": trace.quiet_share,
    }


def _billed(own: Bill, chip: Chip) -> dict[str, Any]:
    """J, s, W and m² of the network as it ran, and the J that counting accumulates alone would give."""
    return {
        "total_j": own.total,
        "per_sentence_j": own.per_sentence,
        "per_token_j": own.total / own.tokens,
        "per_synaptic_operation_j": own.total / own.operations if own.operations else 0.0,
        "accumulate_only_j": own.operations * chip.logic.accumulate.si,
        "customary_j": own.operations * chip.logic.customary.si,
        "latency_s": own.latency,
        "power_w": own.power,
        "area_m2": own.area,
        "by_category": own.by_category,
        "by_connection": own.by_connection,
    }


def _at_base(base: Bill, comparison: Comparison) -> dict[str, Any]:
    """J, s and m² of the network on the BERT-base shape, for one sentence."""
    return {
        "bert_base_tokens": comparison.length,
        "bert_base_blocks": comparison.own.trace.shape.layers,
        "bert_base_per_sentence_j": base.total,
        "bert_base_hardware": base.hardware,
        "bert_base_latency_s": base.latency,
        "bert_base_area_m2": base.area,
    }


def _compared(rows: list[dict[str, Any]], dense: dict[str, Any]) -> dict[str, Any]:
    """Rivals and the dense network, how many times our energy they take, and what the paper says about that."""
    nearest = min(rows, key=lambda row: row["times_ours"])
    matched = [row for row in rows if row["at_equal_accuracy"]]
    return {
        "rivals": rows,
        "dense": dense,
        "ratio_min": nearest["times_ours"],
        "ratio_min_rival": nearest["name"],
        "ratio_dense": dense["times_ours"],
        "ratio_min_at_equal_accuracy": min((row["times_ours"] for row in matched), default=None),
        "paper": PAPER,
    }


def fewer_blocks(trace: Trace, comparison: Comparison) -> dict[str, str]:
    """Note that a network has only some of its teacher's blocks, and how many it is billed with."""
    if comparison.teacher_blocks is None:
        return {}
    own, base = trace.shape.layers, comparison.own.trace.shape.layers
    return {
        "blocks": f"It has {own} of its teacher's {comparison.teacher_blocks} blocks: on the BERT-base shape it and "
        f"its dense twin are billed with {base} of {SHAPES['bert-base'].layers}."
    }


def larger_capacitors(side: Side, base: Side, chip: Chip) -> dict[str, str]:
    """Note that a chip's capacitors cannot hold the potentials of a network, as it is or on the BERT-base shape."""
    if too_large := overflow(side.activities, chip):
        return {"capacitor": f"It is billed on digital arrays: {too_large}. Synapse units beside it have larger ones."}
    if too_large := overflow(base.activities, chip):
        larger = "it is billed with larger ones, their charge and their area, as other codes and rivals are"
        return {"capacitor": f"On the BERT-base shape {too_large}: {larger}."}
    return {}


def larger_dies(areas: Mapping[str, float | None], chip: Chip) -> dict[str, str]:
    """Note that networks (area by name, m²) exceed the largest die of a chip."""
    die = chip.mesh.area
    too_large = [f"{name} ({area * 1e6:,.0f} mm²)" for name, area in areas.items() if area and area > die.si]
    if not too_large:
        return {}
    named = ", ".join(too_large)
    return {"die": f"More than the largest die, {die.text}, is taken by {named}: links between dies are not billed."}


def weight_band(side: Side, chip: Chip) -> dict[str, float]:
    """Total energy (J) of the network's own code on digital arrays, for several costs of reading weights.

    Weights are free, local, in large on-chip memory, or in external memory.
    """
    read = chip.weights.read
    reads = {"none": 0.0, "local": read.si, "large_sram": chip.weights.large.si, "far": chip.weights.far.si}
    ordered = sorted(reads.items(), key=lambda item: item[1])
    names, values = zip(*ordered, strict=True)
    totals = side.bill(with_value(chip, "weights.read", np.array(values)), "digital").total
    return dict(zip(names, np.broadcast_to(totals, len(names)).tolist(), strict=True))


def _beside(joules: float, bill: Bill | None, base: Bill) -> dict[str, Any]:
    """J, s and m² of another network compared with ours; s and m² are None without a bill."""
    delay = bill.latency * bill.area if bill else None
    return {
        "total_j": joules,
        "times_ours": joules / base.total,
        "latency_s": bill.latency if bill else None,
        "area_m2": bill.area if bill else None,
        "energy_delay_times_ours": joules * delay / (base.total * base.latency * base.area) if delay else None,
    }


def _dense(side: Side, chip: Chip, base: Bill) -> dict[str, Any]:
    """The dense network on its cheapest hardware, which may be a compute-in-memory macro, of which only J are known.

    Its accuracy was not measured.
    """
    joules = side.dense_j(chip)
    where = min(joules, key=lambda kind: joules[kind])
    timed = {str(kind): bill for kind, bill in side.bills(chip).items()}.get(where)
    return {
        "name": "dense words",
        "hardware": where,
        **_beside(joules[where], timed, base),
        "by_hardware_j": joules,
        "accuracy": None,
        "at_equal_accuracy": None,
        "published_mj": None,
    }


def _rival(rival: Rival, bills: dict[Hardware, Bill], base: Bill, scores: Scores | None) -> dict[str, Any]:
    own = min(bills.values(), key=lambda found: found.total)
    return {
        "name": rival.name,
        "hardware": own.hardware,
        **_beside(own.total, own, base),
        "published_mj": rival.published_mj,
        "published_source": rival.published_block_mj.source if rival.published_block_mj else None,
        "by_hardware_j": {kind: found.total for kind, found in bills.items()},
        "accuracy": scores.of(rival) if scores else None,
        "at_equal_accuracy": scores is not None and scores.matched(rival),
        "movement_share": own.movement_share,
        "weight_share": own.share("weight_access"),
        "silent_share": rival.silent_share,
        "quiet_share": rival.silent_share,
        "layers": rival.layers,
        "steps": rival.steps.value,
        "spikes_per_window": rival.spikes.value,
        "spike_rate": rival.spikes.value / rival.steps.value,
        "weight_bits": rival.weight_bits.value,
        "kv_bits": rival.kv_bits.value,
        "sources": {
            "steps": rival.steps.source, "spikes": rival.spikes.source, "weight_bits": rival.weight_bits.source,
            "kv_bits": rival.kv_bits.source,
        },
    }  # fmt: skip
