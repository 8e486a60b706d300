"""Summarize the bills of a network in words.

They tell where a dense network wins, which code is cheapest, and which rivals are beaten.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .billing import Bill
from .rivals import Scores, rivals
from .words import NAMES, WHERE, in_words


def listed(codes: Iterable[str]) -> str:
    """Codes in words, one after the other."""
    return "; ".join(map(in_words, codes))


def verdict(codes: list[dict[str, Any]], own: Bill) -> list[str]:
    """Summarize the bills in words, starting with where a dense network wins."""
    dense = {e["hardware"]: e["total_j"] for e in codes if e["code"] == "dense"}
    found = []
    for hardware, total in dense.items():
        losers = [e["code"] for e in codes if e["hardware"] == hardware and e["total_j"] > total]
        if losers:
            found.append(f"On {NAMES[hardware]} a dense network of the same bits costs less than {listed(losers)}.")
    if own.total > min(dense.values()):
        found.append("A dense network of the same bits costs less than this network.")
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
    """State the smallest ratio, then whether this network loses more than rivals, and which shipped networks do not."""
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
