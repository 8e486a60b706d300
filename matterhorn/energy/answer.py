"""The answer of ``matterhorn energy``: one plain dictionary for the table, the JSON and the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..program.trace import Trace
from .activity import as_traced
from .billing import Bill
from .chip import Chip
from .library import with_value
from .mapping import Hardware, hardware_of
from .rivals import Comparison, Rival, Scores, Side, rivals, worst
from .shapes import PAPER_LENGTH
from .study import encodings, overflow, own_name, tornado, waterfall
from .uncertainty import uncertainty
from .words import NAMES, WHERE, in_words

ENERGY_FORMAT = 5
"""Of the document that ``matterhorn energy --json`` prints; 5: drivers of each outcome, a row of dense words."""

PAPER = {"ratio": 2.31, "rival": "Otters", "source": "arXiv 2601.22876; against whom is not said, most likely Otters"}
"""What the paper says rivals cost over its own network, in an accounting of its own."""

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
) -> dict[str, Any]:
    """Everything about one trace on one chip. ``n``: sequences in the trace; BERT-base figures are per sentence of
    ``length`` tokens. ``task``: of the rows that ran, if known; ``data``: where they are from, if they are not the
    task's own. ``scores``: on the model's task, where they are known."""
    side, comparison = Side.of(as_traced(trace), trace, chip), Comparison.of(trace, chip, length)
    hardware = "digital" if overflow(side.activities, chip) else hardware_of(chip)[-1]
    own, codes = side.bill(chip, hardware), encodings(side, chip)
    ours = comparison.own.bills(chip)
    base_codes = encodings(comparison.own, chip)
    base = min(ours.values(), key=lambda found: found.total)
    theirs = comparison.rival_bills(chip)
    rows = [_rival(rival, theirs[rival.name], base, scores) for rival in rivals()]
    nearest = min(rows, key=lambda row: row["times_ours"])
    matched = [row for row in rows if row["at_equal_accuracy"]]
    dense = _dense(comparison.dense, chip, base)
    return {
        "format": ENERGY_FORMAT,
        "model": model,
        "task": task,
        "data": data,
        "chip": chip.name,
        "hardware": hardware,
        "code": own_name(trace),
        "program": trace.program,
        "rows": trace.rows_hash,
        "n": trace.sequences,
        "tokens": trace.tokens,
        "silent_share": trace.silent_share,
        "quiet_share": trace.quiet_share,
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
        "encodings": codes,
        "weight_band_j": weight_band(side, chip),
        "bert_base_tokens": length,
        "bert_base_per_sentence_j": base.total,
        "bert_base_hardware": base.hardware,
        "bert_base_latency_s": base.latency,
        "bert_base_area_m2": base.area,
        "accuracy": scores.own if scores else None,
        "teacher_accuracy": scores.teacher if scores else None,
        "ratio_min": nearest["times_ours"],
        "ratio_min_rival": nearest["name"],
        "ratio_dense": dense["times_ours"],
        "dense": dense,
        "paper": PAPER,
        "ratio_min_at_equal_accuracy": min((row["times_ours"] for row in matched), default=None),
        **uncertainty(side, chip, comparison, hardware),
        "worst_chip": worst(trace, comparison, chip),
        "bert_base_encodings": base_codes,
        "waterfall": waterfall(base_codes, trace),
        "tornado": tornado(side, chip, hardware),
        "rivals": rows,
        "verdict": verdict(codes, own) + against_rivals(rows, dense, scores),
        "notes": NOTES | larger_capacitors(side, comparison.own, chip),
    }


def larger_capacitors(side: Side, base: Side, chip: Chip) -> dict[str, str]:
    """A note where a chip's capacitors do not hold the potentials of a network, or of it on the BERT-base shape."""
    if too_large := overflow(side.activities, chip):
        return {"capacitor": f"It is billed on digital arrays: {too_large}. Synapse units beside it have larger ones."}
    if too_large := overflow(base.activities, chip):
        larger = "it is billed with larger ones, their charge and their area, as other codes and rivals are"
        return {"capacitor": f"On the BERT-base shape {too_large}: {larger}."}
    return {}


def weight_band(side: Side, chip: Chip) -> dict[str, float]:
    """Total (J) of the own code on digital arrays with free, local, large on-chip and external weights."""
    read = chip.weights.read
    reads = {"none": 0.0, "local": read.si, "large_sram": chip.weights.large.si, "far": chip.weights.far.si}
    ordered = sorted(reads.items(), key=lambda item: item[1])
    names, values = zip(*ordered, strict=True)
    totals = side.bill(with_value(chip, "weights.read", np.array(values)), "digital").total
    return dict(zip(names, np.broadcast_to(totals, len(names)).tolist(), strict=True))


def listed(codes: Iterable[str]) -> str:
    """Codes in words, one after the other."""
    return "; ".join(map(in_words, codes))


def verdict(codes: list[dict[str, Any]], own: Bill) -> list[str]:
    """What the bills say in words, first of all where a dense network wins."""
    dense = {e["hardware"]: e["total_j"] for e in codes if e["code"] == "dense"}
    found = []
    for hardware, total in dense.items():
        losers = [e["code"] for e in codes if e["hardware"] == hardware and e["total_j"] > total]
        if losers:
            found.append(f"On {NAMES[hardware]} a dense 4-bit network costs less than {listed(losers)}.")
    if own.total > min(dense.values()):
        found.append("A dense 4-bit network costs less than this network.")
    best = min((e for e in codes if e["trained"]), key=lambda e: e["total_j"])
    found.append(
        f"Of the codes at which this network was trained, the cheapest is {in_words(best['code'])} on "
        f"{NAMES[best['hardware']]}."
    )
    cheaper = list(dict.fromkeys(e["code"] for e in codes if not e["trained"] and e["total_j"] < best["total_j"]))
    if cheaper:
        found.append(
            f"Less would be drawn by {listed(cheaper)}, at which it was not trained: accuracy there is unknown."
        )
    return found


def against_rivals(rows: list[dict[str, Any]], dense: dict[str, Any], scores: Scores | None) -> list[str]:
    """The smallest ratio first, then who is beaten at equal accuracy, and which network that ships does where this one
    does not."""
    least = min(rows, key=lambda row: row["times_ours"])
    found = (
        f"On the BERT-base shape the cheapest spiking rival, {least['name']}, costs {least['times_ours']:.2f} times "
        f"ours, a dense network at its cheapest ({WHERE[dense['hardware']]}) {dense['times_ours']:.2f} times."
    )
    if scores is None:
        return [found, "Accuracy of this network is not known here, so costs are compared at unequal accuracy."]
    known = {rival.name: drop for rival in rivals() if (drop := scores.drop(rival)) is not None}
    better = {name: drop for name, drop in known.items() if drop < scores.lost}
    loses = (
        f"This network loses {100 * scores.lost:.1f} points against the best teacher of its kind ({scores.teacher:.3f})"
    )
    if not better:
        return [found, f"{loses}, no more than any rival whose loss is known."] if known else [found]
    others = [name for name, lost in scores.shipped.items() if lost <= min(better.values())]
    pointer = f" Of the networks that ship these lose no more: {', '.join(others)}." if others else ""
    return [found, f"{loses}, more than {', '.join(better)}: there costs alone are compared.{pointer}"]


def _beside(joules: float, bill: Bill | None, base: Bill) -> dict[str, Any]:
    """J, and s and m² where there is a bill that has them, beside ours."""
    delay = bill.latency * bill.area if bill else None
    return {
        "total_j": joules,
        "times_ours": joules / base.total,
        "latency_s": bill.latency if bill else None,
        "area_m2": bill.area if bill else None,
        "energy_delay_times_ours": joules * delay / (base.total * base.latency * base.area) if delay else None,
    }


def _dense(side: Side, chip: Chip, base: Bill) -> dict[str, Any]:
    """The dense network at its cheapest. Of a macro only joules are known, and its accuracy was not measured."""
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
        "sources": {
            "steps": rival.steps.source, "spikes": rival.spikes.source, "weight_bits": rival.weight_bits.source,
        },
    }  # fmt: skip
