"""``matterhorn run``: classify texts with spikes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .app import BackendName, Json, ModelName, app, print_json
from .extras import need
from .rows import tracked

if TYPE_CHECKING:
    from ..program import Program, Trace
    from ..runtime import Answer

FORMAT = 2
"""Of the JSON document."""


@app.command()
def run(
    texts: Annotated[list[str] | None, typer.Argument(help="Sentences (a tab between the two of a pair).")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with one text a line.")] = None,
    model: ModelName = "sst2",
    backend: BackendName = "events",
    plot: Annotated[Path | None, typer.Option(help="Draw the first text's spikes into this picture.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write the trace of all texts here (.json.gz).")] = None,
    json: Json = False,
) -> None:
    """Classify texts with a spiking network; with nothing given, the shipped model on the shipped sample."""
    from ..program.files import load_classifier
    from ..program.samples import sample
    from ..runtime import Engine

    if plot:
        need("plot", "matplotlib")
    expected: list[str] | None = None
    if texts or file:
        chosen = texts or _lines(file)  # type: ignore[arg-type]
    else:
        chosen, expected = sample()
    program = load_classifier(model)
    engine = Engine(program, backend)
    rows: list[dict[str, Any]] = []
    whole: Trace | None = None
    for number, text in enumerate(tracked("run")(chosen), 1):
        start = time.perf_counter()
        (answer,) = engine.classify([_pair(text, number)], trace=True)
        assert answer.trace is not None
        rows.append(_row(answer, answer.trace, time.perf_counter() - start))
        if whole:
            whole.merge(answer.trace)
        else:
            whole = answer.trace
    assert whole is not None
    if plot:
        _plot(program, engine, _pair(chosen[0], 1), plot)
    if trace:
        whole.save(trace)
    summary = _summary(model, backend, rows, whole, expected)
    print_json(summary) if json else _print(summary)


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        raise InputError("no such file", file=file, cure="give a text file with one text a line")
    lines = [line.rstrip("\r") for line in file.read_text(encoding="utf-8").split("\n")]
    lines = lines[:-1] if lines[-1] == "" else lines
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise InputError("empty text", file=file, field=f"line {number}", cure="drop the line")
    if not lines:
        raise InputError("no texts", file=file, cure="give a file with one text a line")
    return lines


def _pair(text: str, number: int) -> str | tuple[str, str]:
    """One text, or two with a tab between."""
    parts = [part.strip() for part in text.split("\t")]
    if len(parts) > 2:
        cure = "give one sentence, or two with a tab between"
        raise InputError(f"{len(parts)} columns", field=f"text {number}", cure=cure)
    return (parts[0], parts[1]) if len(parts) == 2 else parts[0]


def _plot(program: Program, engine: Any, text: str | tuple[str, str], path: Path) -> None:
    from ..report.raster import plot_raster
    from ..runtime import SlotRecorder

    recorder = SlotRecorder()
    engine(**program.encode([text]), watcher=recorder)
    plot_raster(program, recorder, text if isinstance(text, str) else " | ".join(text), path)


def _summary(
    model: str, backend: str, rows: list[dict[str, Any]], whole: Trace, expected: list[str] | None
) -> dict[str, Any]:
    """All answers, and the shares of silence of all together."""
    summary: dict[str, Any] = {
        "format": FORMAT,
        "model": model,
        "backend": backend,
        "n": len(rows),
        "silent_share": whole.silent_share,
        "quiet_share": whole.quiet_share,
        "seconds": sum(row["seconds"] for row in rows),
        "connections": {name: connection.silent_share for name, connection in whole.connections.items()},
        "texts": rows,
    }
    if expected is not None:
        for row, label in zip(rows, expected, strict=True):
            row["expected"] = label
        summary["correct"] = sum(row["label"] == row["expected"] for row in rows)
    return summary


def _row(answer: Answer, trace: Trace, seconds: float) -> dict[str, Any]:
    return {
        "text": answer.text,
        "label": answer.label,
        "confidence": answer.probabilities[answer.label] if answer.probabilities else None,
        "score": answer.score,
        "tokens": answer.tokens,
        "spikes": trace.spikes,
        "silent_share": trace.silent_share,
        "quiet_share": trace.quiet_share,
        "seconds": seconds,
    }


def _print(summary: dict[str, Any]) -> None:
    from ..report.tables import percent, print_table
    from ..topology import Site

    columns = ["text", "label", "confidence", "tokens", "spikes", "silent", "quiet", "ms"]
    rows: list[list[Any]] = []
    for row in summary["texts"]:
        wrong = "expected" in row and row["expected"] != row["label"]
        confidence = "" if row["confidence"] is None else percent(row["confidence"])
        label = row["label"] + (f" (expected {row['expected']})" if wrong else "")
        label = f"{row['score']:.3f}" if row["confidence"] is None else label
        figures = percent(row["silent_share"]), percent(row["quiet_share"]), f"{1000 * row['seconds']:.0f}"
        rows.append([row["text"], label, confidence, row["tokens"], row["spikes"], *figures])
    print_table(f"{summary['model']} on {summary['n']} texts, backend {summary['backend']}", columns, rows)
    blocks: dict[int, dict[str, str]] = {}
    for name, share in summary["connections"].items():
        site = Site.parse(name)
        blocks.setdefault(site.block, {})[site.part] = percent(share)
    lines = [[str(block), *shares.values()] for block, shares in blocks.items()]
    print_table("silent share per connection", ["block", *blocks[0]], lines)
    right = f", {summary['correct']} of {summary['n']} as labelled" if "correct" in summary else ""
    shares = f"silent share {percent(summary['silent_share'])}, quiet share {percent(summary['quiet_share'])}"
    typer.echo(f"{shares}{right}, {summary['seconds']:.2f} s")
