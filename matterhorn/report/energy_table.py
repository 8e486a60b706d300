"""Energy in the terminal: engineering units, the cheapest first where there is a choice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from ..energy.answer import NAMES
from ..energy.chip import Chip
from ..quantity import engineering


def print_energy(answer: dict[str, Any]) -> None:
    """The bill, the codes and the rivals."""
    console = Console()
    console.print(
        f"[bold]{answer['model']}[/bold] on [bold]{answer['chip']}[/bold] "
        f"({NAMES[answer['hardware']]}, {answer['code']}): {engineering(answer['per_sentence_j'])} a sentence, "
        f"{engineering(answer['per_token_j'])} a token, "
        f"{engineering(answer['per_synaptic_operation_j'])} a synaptic operation; "
        f"{engineering(answer['latency_s'] / answer['n'], 's')} a sentence, {engineering(answer['power_w'], 'W')}, "
        f"{answer['area_m2'] * 1e6:.3g} mm²; {answer['n']} sentences, {answer['silent_share']:.1%} silent"
    )
    console.print(
        f"Accumulates alone would read {engineering(answer['accumulate_only_j'] / answer['n'])} a sentence, "
        f"the customary fp32 addition for each {engineering(answer['customary_j'] / answer['n'])}."
    )
    band = ", ".join(f"{name} {engineering(joules / answer['n'])}" for name, joules in answer["weight_band_j"].items())
    console.print(f"On digital arrays the weight memory decides: {band} a sentence.")
    swings = [
        f"{s['key']} {s['low_j'] / answer['total_j'] - 1:+.0%} … {s['high_j'] / answer['total_j'] - 1:+.0%}"
        for s in answer["tornado"][:4]
    ]
    console.print(f"The constants that matter most, each ±50 %: {', '.join(swings)}.")
    console.print(_categories(answer))
    console.print(_codes(answer))
    console.print(_rivals(answer))
    for sentence in (*answer["verdict"], *answer["notes"].values()):
        console.print(f"· {sentence}")


def _categories(answer: dict[str, Any]) -> Table:
    table = Table(title="Bill", title_justify="left")
    table.add_column("category")
    table.add_column("a sentence", justify="right")
    table.add_column("share", justify="right")
    for category, joules in answer["by_category"].items():
        if joules:
            table.add_row(category, engineering(joules / answer["n"]), f"{joules / answer['total_j']:.1%}")
    table.add_section()
    table.add_row("total", engineering(answer["per_sentence_j"]), "100 %")
    return table


def _codes(answer: dict[str, Any]) -> Table:
    base = {(e["code"], e["hardware"]): e["total_j"] for e in answer["bert_base_encodings"]}
    table = Table(title="Same levels, other codes", title_justify="left")
    for heading in ("code", "arrays", "silent", "a sentence", "movement", "weights",
                    f"BERT-base, {answer['bert_base_tokens']} tokens"):  # fmt: skip
        named = heading in ("code", "arrays")
        table.add_column(heading, justify="left" if named else "right", no_wrap=named)
    for e in sorted(answer["encodings"], key=lambda e: e["total_j"]):
        table.add_row(
            e["code"], e["hardware"], f"{e['silent_share']:.1%}", engineering(e["total_j"] / answer["n"]),
            f"{e['movement_share']:.0%}", f"{e['weight_share']:.0%}", engineering(base[e["code"], e["hardware"]]),
        )  # fmt: skip
    return table


def _rivals(answer: dict[str, Any]) -> Table:
    title = f"Rivals, BERT-base, {answer['bert_base_tokens']} tokens, same chip; ours: " + engineering(
        answer["bert_base_per_sentence_j"]
    )
    table = Table(title=title, title_justify="left")
    for heading in ("network", "arrays", "energy", "times ours", "best array", "published", "spikes"):
        named = heading in ("network", "arrays")
        table.add_column(heading, justify="left" if named else "right", no_wrap=named)
    for r in sorted(answer["rivals"], key=lambda r: r["total_j"]):
        published = f"{r['published_mj']:.3g} mJ" if r["published_mj"] is not None else "–"
        table.add_row(
            r["name"], r["hardware"], engineering(r["total_j"]), f"{r['times_ours']:.2f}x",
            engineering(min(r["by_hardware_j"].values())), published, f"{r['spikes_per_window']:.2f}",
        )  # fmt: skip
    return table


def print_comparison(rows: list[dict[str, Any]]) -> None:
    """Networks × chips."""
    table = Table()
    for heading in ("network", "chip", "arrays", "silent", "a sentence", "dense", "gain"):
        named = heading in ("network", "chip", "arrays")
        table.add_column(heading, justify="left" if named else "right", no_wrap=named)
    for r in rows:
        table.add_row(
            r["network"], r["chip"], r["hardware"], f"{r['silent_share']:.1%}", engineering(r["per_sentence_j"]),
            engineering(r["dense_per_sentence_j"]), f"{r['times_dense']:.2f}x",
        )  # fmt: skip
    Console().print(table)


def print_chips(chips: Iterable[Chip]) -> None:
    """Names and what they stand for."""
    table = Table()
    for heading in ("chip", "node", "what"):
        table.add_column(heading)
    for chip in chips:
        table.add_row(chip.name, chip.node.text, chip.title)
    Console().print(table)


def print_chip(chip: Chip) -> None:
    """Every number with unit and source."""
    console = Console()
    console.print(f"[bold]{chip.name}[/bold]: {chip.title}\n{chip.about.strip()}")
    noc = chip.noc
    console.print(f"noc.route = {noc.route}, noc.delivery = {noc.delivery}, noc.train = {noc.train}")
    table = Table()
    for heading in ("key", "value", "range", "source"):
        table.add_column(heading, overflow="fold")
    for key, quantity in chip.quantities():
        known = (quantity.low, quantity.high)
        span = " … ".join(f"{v:g}" for v in known if v is not None)
        mark = " (non-commercial)" if key in chip.non_commercial else ""
        table.add_row(key, quantity.text, span, quantity.source + mark)
    console.print(table)
