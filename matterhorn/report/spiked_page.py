"""The page that ``matterhorn spike`` writes: the network's accuracy, the causes of its loss, and its energy. It is one
HTML file without scripts.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from ..energy import Bill
from ..units import engineering
from .page_file import fill_frame

Row = Sequence[Any]


def spiked_page(answer: dict[str, Any], bill: Bill) -> str:
    """Return the page. ``answer`` is what ``matterhorn spike --json`` prints, and ``bill`` the bill of the rows."""
    diagnosis = answer["diagnosis"]
    verdict = f"{answer['metric']} {answer['value']:.3f} of {answer['teacher']:.3f}"
    is_score = answer["agreement"] is None
    alike = (
        f"its scores and the classifier's correlate by {answer['correlation']:.3f}"
        if is_score
        else f"agrees with the classifier on {answer['agreement']:.1%} of the rows"
    )
    cut = f", {answer['cut']} of them truncated" if answer.get("cut") else ""
    heading = (
        f'<p class="kicker">{_text(answer["task"])}, {answer["n"]} rows{cut}</p><h1>{_text(answer["model"])}</h1>'
        f'<p id="subtitle">As a spiking network it keeps {_text(verdict)} (95 %: {answer["low"]:.3f} to '
        f"{answer['high']:.3f}), and {alike}.</p>"
    )
    sections = [
        _cards(answer),
        _relax(diagnosis, "correlation" if is_score else "agreement"),
        _grid(diagnosis),
        _furthest(diagnosis) if is_score else _flips(diagnosis),
        _bill(bill, answer["chip"]),
    ]
    return fill_frame(f"{answer['model']} as a spiking network", heading, "\n".join(sections), {"answer": answer})


def _cards(answer: dict[str, Any]) -> str:
    figures = {
        f"{answer['value']:.3f}": f"{answer['metric']}; classifier {answer['teacher']:.3f}",
        f"{answer['silent_share']:.3f}": f"silent share; quiet share {answer['quiet_share']:.3f}",
        engineering(answer["joules"]): f"a sentence, on {answer['chip']}",
        "0 differences" if answer["verified"] else "differs": "between backends and the quantized network",
    }
    cards = "".join(f"<div><b>{_text(b)}</b><span>{_text(span)}</span></div>" for b, span in figures.items())
    return f'<section class="cards">{cards}</section>'


def _relax(diagnosis: dict[str, Any], likeness: str) -> str:
    rows = [
        (
            one["what"],
            _bar(one["cost"], diagnosis["relax"]),
            f"{one['divergence']:.3f}",
            f"{one[likeness]:.3f}",
            *(f"{one[share]:.3f}" if share in one else "" for share in ("silent_share", "quiet_share")),
        )
        for one in diagnosis["relax"]
    ]
    head = ("relaxed", "fall of the divergence", "divergence left", likeness, "silent share", "quiet share")
    return _section(
        "What to relax first",
        "Each line changes one thing in the trained network, without training again, on a sample of the rows.",
        _table(head, rows, raw=1),
    )


def _grid(diagnosis: dict[str, Any]) -> str:
    by_part = diagnosis["by_part"]
    parts, blocks = (list(dict.fromkeys(one[key] for one in by_part)) for key in ("part", "block"))
    costs = {(one["block"], one["part"]): one["cost"] for one in by_part}
    rows = [(part, *(f"{costs[block, part]:+.4f}" for block in blocks)) for part in parts]
    return _section(
        "Loss by block and connection",
        "By how much the divergence from the classifier falls if only this quantizer is switched off.",
        f'<div class="scroll">{_table(("", *(f"block {block}" for block in blocks)), rows)}</div>',
    )


def _flips(diagnosis: dict[str, Any]) -> str:
    about = f"{len(diagnosis['flipped'])} rows on which the network and the classifier disagree."
    table = _answers(diagnosis["flipped"])
    return _section("Rows that flipped", about, f"<details><summary>All of them</summary>{table}</details>")


def _furthest(diagnosis: dict[str, Any]) -> str:
    about = "The rows on which the two scores differ most, the largest difference first."
    return _section("Rows furthest apart", about, _answers(diagnosis["furthest"]))


def _answers(rows: list[dict[str, Any]]) -> str:
    cells = [
        (r["row"], " | ".join(r["texts"]), r["label"], _in_a_row(r["teacher"]), _in_a_row(r["spiking"])) for r in rows
    ]
    return _table(("row", "text", "label", "classifier", "spiking network"), cells)


def _in_a_row(answer: Any) -> Any:
    """Join several labels or scores with commas."""
    return ", ".join(map(str, answer)) if isinstance(answer, list) else answer


def _bill(bill: Bill, chip: str) -> str:
    lines = [(name, engineering(joules), f"{joules / bill.total:.1%}") for name, joules in bill.by_category.items()]
    about = f"A row costs {engineering(bill.per_sentence)} on {chip}; by category:"
    return _section("Energy", about, _table(("", "all rows", "share"), lines))


def _section(title: str, about: str, content: str) -> str:
    return f"<section><h2>{_text(title)}</h2><p>{_text(about)}</p>{content}</section>"


def _table(head: Row, rows: Sequence[Row], raw: int | None = None) -> str:
    """Format a table as HTML. Cells of column ``raw`` are HTML already."""
    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    cells = ("".join(f"<td>{one if i == raw else _text(one)}</td>" for i, one in enumerate(row)) for row in rows)
    return f"<table><tr>{top}</tr>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"


def _bar(cost: float, of: Sequence[dict[str, Any]]) -> str:
    widest = max(max(abs(one["cost"]) for one in of), 1e-9)
    color = "var(--accent)" if cost > 0 else "var(--soft)"
    width = 160 * abs(cost) / widest
    return f'<svg width="220" height="14"><rect width="{width:.0f}" height="12" fill="{color}"/></svg> {cost:+.4f}'


def _text(value: Any) -> str:
    return html.escape(str(value))
