"""Energy in the terminal, in engineering units. Alternatives are sorted by energy, the cheapest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..energy.chip import Chip
from ..energy.uncertainty import varies
from ..energy.words import ARRAYS, MEMORIES, NAMES, WHERE, category_name, in_words, number_name
from ..units import Quantity, engineering
from .tables import print_line, print_table


def print_energy(answer: dict[str, Any]) -> None:
    """Print the bill, the codes and the rivals."""
    _print_own(answer)
    for sentence in measured(answer):
        print_line(sentence)
    _print_doubts(answer)
    _print_odds(answer)
    n, total = answer["n"], answer["total_j"]
    rows = [
        (category_name(name), engineering(j / n), f"{j / total:.1%}") for name, j in answer["by_category"].items() if j
    ]
    rows.append(("total", engineering(answer["per_sentence_j"]), "100 %"))
    print_table("Bill", ("category", "a sentence", "share"), rows)
    _print_codes(answer)
    _print_rivals(answer)
    for sentence in (*answer["verdict"], *answer["notes"].values()):
        print_line(f"· {sentence}")


def _print_own(answer: dict[str, Any]) -> None:
    """Print what the network costs as it ran, and what counting accumulates alone would give."""
    n = answer["n"]
    print_line(
        (answer["model"], "bold"),
        " on ",
        (answer["chip"], "bold"),
        f" ({NAMES[answer['hardware']]}; {in_words(answer['code'])}): "
        f"{engineering(answer['per_sentence_j'])} a sentence, "
        f"{engineering(answer['per_token_j'])} a token, "
        f"{engineering(answer['per_synaptic_operation_j'])} a synaptic operation; "
        f"{engineering(answer['latency_s'] / n, 's')} a sentence, {engineering(answer['power_w'], 'W')}, "
        f"{answer['area_m2'] * 1e6:.3g} mm²; {n} sentences, {answer['silent_share']:.1%} silent, "
        f"{answer['quiet_share']:.1%} quiet",
    )
    print_line(
        f"Accumulates alone would read {engineering(answer['accumulate_only_j'] / n)} a sentence, "
        f"the customary fp32 addition for each {engineering(answer['customary_j'] / n)}."
    )


def _print_doubts(answer: dict[str, Any]) -> None:
    """Print what the bill depends on: where weights are stored, and the most important constants."""
    n, total = answer["n"], answer["total_j"]
    band = ", ".join(f"{MEMORIES[name]} {engineering(joules / n)}" for name, joules in answer["weight_band_j"].items())
    print_line(f"On digital arrays the weight memory decides: {band} a sentence.")
    swings = [
        f"{number_name(s['key'])} {s['low_j'] / total - 1:+.0%} … {s['high_j'] / total - 1:+.0%}"
        for s in answer["tornado"]
    ]
    print_line(f"The constants that matter most, each ±50 %: {'; '.join(swings[:4])}.")


def _print_odds(answer: dict[str, Any]) -> None:
    """Print rivals and dense words next to the network, with their uncertainty."""
    limits = {key: f"{low:.3g} … {high:.3g}" for key, (low, high) in answer["interval"].items() if key != "total_j"}
    low, high = (engineering(joules / answer["n"]) for joules in answer["interval"]["total_j"])
    drivers = {of: "; ".join(number_name(d["key"]) for d in found[:4]) for of, found in answer["drivers"].items()}
    print_line(
        f"Rivals cost at least {answer['ratio_min']:.2f}x ({answer['ratio_min_rival']}; {limits['ratio_min']}), "
        f"dense words {answer['ratio_dense']:.2f}x ({limits['ratio_dense']}): BERT-base, all on their cheapest arrays. "
        f"The paper says {answer['paper']['ratio']}x, most likely against {answer['paper']['rival']}."
    )
    print_line(
        f"Of {answer['draws']} draws of all numbers, ours wins {answer['wins']['spiking']:.1%} against rivals and "
        f"{answer['wins']['dense']:.1%} against dense words."
    )
    print_line(
        f"A sentence takes {low} … {high}, driven by {drivers['total_j']}. "
        f"The smallest ratio is driven by {drivers['ratio_min']}."
    )
    worst = answer["worst_chip"]
    print_line(
        f"On the worst of the chips that ship: {worst['ratio_min']:.2f}x ({worst['ratio_min_rival']}, "
        f"{worst['ratio_min_chip']}) and {worst['ratio_dense']:.2f}x ({worst['ratio_dense_chip']})."
    )


def _print_codes(answer: dict[str, Any]) -> None:
    base = {(e["code"], e["hardware"]): e["total_j"] for e in answer["bert_base_encodings"]}
    columns = ("code", "arrays", "silent", "quiet", "a sentence", "moves", "weights", "BERT-base", "score")
    rows = [
        (
            in_words(e["code"]), ARRAYS[e["hardware"]], f"{e['silent_share']:.1%}", f"{e['quiet_share']:.1%}",
            engineering(e["total_j"] / answer["n"]), f"{e['movement_share']:.0%}", f"{e['weight_share']:.0%}",
            engineering(base[e["code"], e["hardware"]]), _accuracy(answer, e),
        )
        for e in sorted(answer["encodings"], key=lambda e: e["total_j"])
    ]  # fmt: skip
    print_table(
        f"Same levels, other codes (BERT-base: {answer['bert_base_tokens']} tokens; score ?: not trained so)",
        columns,
        rows,
    )


def _accuracy(answer: dict[str, Any], code: dict[str, Any]) -> str:
    if not code["trained"]:
        return "?"
    return "–" if answer["accuracy"] is None else f"{100 * answer['accuracy']:.1f}"


def _print_rivals(answer: dict[str, Any]) -> None:
    ours = {
        "name": "this network", "hardware": answer["bert_base_hardware"], "total_j": answer["bert_base_per_sentence_j"],
        "times_ours": 1.0, "accuracy": answer["accuracy"], "at_equal_accuracy": None, "energy_delay_times_ours": 1.0,
        "latency_s": answer["bert_base_latency_s"], "area_m2": answer["bert_base_area_m2"],
    }  # fmt: skip
    rows = [ours, answer["dense"], *sorted(answer["rivals"], key=lambda r: r["total_j"])]
    title = f"BERT-base, {answer['bert_base_tokens']} tokens, same chip (accuracy of the dense network: not measured)"
    columns = (
        "network", "arrays", "energy", "times ours", "score", "at equal drop", "latency", "mm²",
        "energy x delay, equal area",
    )  # fmt: skip
    print_table(title, columns, map(_rival_row, rows))


def _rival_row(r: dict[str, Any]) -> tuple[str, ...]:
    return (
        r["name"], ARRAYS[r["hardware"]], engineering(r["total_j"]), f"{r['times_ours']:.2f}x",
        "–" if r["accuracy"] is None else f"{100 * r['accuracy']:.1f}",
        {None: "–", True: "yes", False: "no"}[r["at_equal_accuracy"]],
        *(("–", "–", "–") if r["latency_s"] is None else (
            engineering(r["latency_s"], "s"), f"{r['area_m2'] * 1e6:.0f}", f"{r['energy_delay_times_ours']:.2f}x",
        )),
    )  # fmt: skip


def measured(answer: dict[str, Any]) -> list[str]:
    """Describe the result of ``--measure`` in words."""
    found, sentences = answer.get("measured", {}), []
    for name in ("processor", "gpu") if found else ():
        if (own := found[name]) is None:
            sentences.append(f"The {name} of this machine was not measured: {found['absent'][name].rstrip('.')}.")
        else:
            sentences.append(
                f"Measured: the {name} of this machine takes {engineering(own['per_sentence_j'])} and "
                f"{engineering(own['seconds'], 's')} for a sentence of {found['tokens']} tokens of the dense network "
                f"in fp32, at {engineering(own['watts'], 'W')}; idle it draws {engineering(own['idle_w'], 'W')}."
            )
    return sentences


def print_foreign(answer: dict[str, Any]) -> None:
    """Print the bill of a network that did not run here."""
    total, other = answer["total_j"], answer["by_hardware_j"]
    print_line(
        (answer["model"], "bold"),
        " on ",
        (answer["chip"], "bold"),
        f" ({NAMES[answer['hardware']]}): {engineering(total)} and {engineering(answer['latency_s'], 's')} a sample, "
        f"{engineering(answer['power_w'], 'W')}, {answer['area_m2'] * 1e6:.3g} mm²",
    )
    print_line(", ".join(f"{WHERE[kind]}: {engineering(joules)}" for kind, joules in other.items()) + ".")
    for sentence in answer["notes"].values():
        print_line(f"· {sentence}")
    for title, key, called in (("Bill", "by_category", category_name), ("By layer", "by_connection", str)):
        lines = sorted(answer[key].items(), key=lambda item: -item[1])
        rows = [(called(name), engineering(joules), f"{joules / total:.1%}") for name, joules in lines if joules]
        print_table(title, ("part", "a sample", "share"), rows)


def print_comparison(rows: list[dict[str, Any]]) -> None:
    """Print networks × chips."""
    cells = [
        (
            r["network"], r["chip"], ARRAYS[r["hardware"]], f"{r['silent_share']:.1%}", f"{r['quiet_share']:.1%}",
            engineering(r["per_sentence_j"]), engineering(r["dense_per_sentence_j"]), f"{r['times_dense']:.2f}x",
            f"{r['ratio_min']:.2f}x {r['ratio_min_rival']}", f"{r['ratio_dense']:.2f}x",
        )
        for r in rows
    ]  # fmt: skip
    columns = (
        "network",
        "chip",
        "arrays",
        "silent",
        "quiet",
        "a sentence",
        "dense",
        "gain",
        "least rival",
        "least dense",
    )
    print_table("", columns, cells)


def print_chips(chips: Iterable[Chip]) -> None:
    """Print the names of chips with their descriptions."""
    print_table("", ("chip", "node", "what"), [(chip.name, chip.node.text, chip.title) for chip in chips])


def print_chip(chip: Chip) -> None:
    """Print every number with its unit and source."""
    print_line((chip.name, "bold"), f": {chip.title}")
    for line in chip.about.strip().splitlines():
        print_line(line)
    print_line(f"noc.route = {chip.noc.route}, noc.delivery = {chip.noc.delivery}, noc.train = {chip.noc.train}")
    rows = [
        (
            key, number.text, _range(key, number),
            number.source + (" (non-commercial)" if key in chip.non_commercial else ""),
        )
        for key, number in chip.quantities()
    ]  # fmt: skip
    print_table("", ("key", "value", "range", "source"), rows)


def _range(key: str, number: Quantity) -> str:
    """Format the bounds of a number if it is drawn, else nothing."""
    if not varies(key, number):
        return ""
    low, high = number.bounds
    return f"{low:g} … {high:g}" + (" (assumed)" if None in (number.low, number.high) else "")
