"""``matterhorn run``: classify texts with spikes."""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .app import Json, app, print_json

if TYPE_CHECKING:
    from ..engines.answer import Answer


@app.command()
def run(
    texts: Annotated[list[str] | None, typer.Argument(help="Sentences (a tab between the two of a pair).")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with one text a line.")] = None,
    model: Annotated[str, typer.Option(help="A shipped model's name or a folder.")] = "sst2",
    engine: Annotated[str, typer.Option(help="exact, events or stepped.")] = "exact",
    plot: Annotated[Path | None, typer.Option(help="Draw the first text's spikes into this picture.")] = None,
    json: Json = False,
) -> None:
    """Classify texts with a spiking network; with nothing given, the shipped model on the shipped sample."""
    from ..engines import get_engine
    from ..engines.answer import answer_text, load_tokenizer
    from ..models.checkpoint import load_classifier
    from ..zoo import find

    chosen, labels = _texts(texts, file)
    folder = find(model)
    network, tokenizer, runner = load_classifier(folder), load_tokenizer(folder), get_engine(engine)
    answers = [answer_text(network, tokenizer, text, runner) for text in chosen]
    if plot:
        from ..engines.answer import record_slots
        from ..report.raster import plot_raster

        plot_raster(network, record_slots(network, tokenizer, chosen[0], runner), chosen[0], plot)
    answer = _summary(model, engine, answers, labels, network.labels)
    print_json(answer) if json else _print(answer)


def _texts(texts: list[str] | None, file: Path | None) -> tuple[list[str], list[int] | None]:
    """Texts to run, and the sample's labels where it is the sample."""
    if texts:
        return texts, None
    if file is None:
        sample = resources.files("matterhorn").joinpath("samples", "sst2.tsv").read_text(encoding="utf-8")
        rows = list(csv.DictReader(sample.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
        return [row["sentence"] for row in rows], [int(row["label"]) for row in rows]
    if not file.is_file():
        raise InputError("no such file", file=file, cure="give a text file with one text a line")
    lines = [line.rstrip("\r") for line in file.read_text(encoding="utf-8").split("\n")]
    lines = lines[:-1] if lines[-1] == "" else lines
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise InputError("empty text", file=file, field=f"line {number}", cure="drop the line")
    if not lines:
        raise InputError("no texts", file=file, cure="give a file with one text a line")
    return lines, None


def _summary(
    model: str, engine: str, answers: list[Answer], labels: list[int] | None, names: list[str]
) -> dict[str, Any]:
    totals: dict[str, list[int]] = {}
    for answer in answers:
        for connection in answer.trace.connections.values():
            counts = totals.setdefault(connection.name, [0, 0])
            counts[0] += connection.windows
            counts[1] += connection.events
    windows, events = (sum(counts[i] for counts in totals.values()) for i in (0, 1))
    rows: list[dict[str, Any]] = [{k: v for k, v in vars(answer).items() if k != "trace"} for answer in answers]
    summary = {
        "model": model,
        "engine": engine,
        "n": len(answers),
        "silent_share": 1 - events / windows,
        "seconds": sum(answer.seconds for answer in answers),
        "connections": {name: 1 - e / w for name, (w, e) in totals.items()},
        "texts": rows,
    }
    if labels is not None:
        for row, label in zip(rows, labels, strict=True):
            row["expected"] = names[label]
        summary["correct"] = sum(row["label"] == row["expected"] for row in rows)
    return summary


def _print(summary: dict[str, Any]) -> None:
    from ..report.tables import percent, print_table

    columns = ["text", "label", "confidence", "tokens", "spikes", "silent", "ms"]
    rows: list[list[Any]] = []
    for row in summary["texts"]:
        wrong = "expected" in row and row["expected"] != row["label"]
        confidence = "" if row["confidence"] is None else percent(row["confidence"])
        label = row["label"] + (f" (expected {row['expected']})" if wrong else "")
        label = f"{row['score']:.3f}" if row["confidence"] is None else label
        silent, spent = percent(row["silent_share"]), f"{1000 * row['seconds']:.0f}"
        rows.append([row["text"], label, confidence, row["tokens"], row["events"], silent, spent])
    print_table(f"{summary['model']} on {summary['n']} texts, engine {summary['engine']}", columns, rows)
    blocks: dict[str, list[str]] = {}
    for name, share in summary["connections"].items():
        block = name.split(".")[1]
        blocks.setdefault(block, [block]).append(percent(share))
        roles = [n.split(".")[2] for n in summary["connections"] if n.split(".")[1] == block]
    print_table("silent share per connection", ["block", *roles], blocks.values())
    right = f", {summary['correct']} of {summary['n']} as labelled" if "correct" in summary else ""
    typer.echo(f"silent share {percent(summary['silent_share'])}{right}, {summary['seconds']:.2f} s")
