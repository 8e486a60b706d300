"""``matterhorn run``: classify texts with spikes."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from ..extras import need
from ..reading import read_text, whole
from .app import PICTURES, TRACES, BackendName, Json, ModelName, app, print_json
from .rows import MAX_LENGTH, Rows, tracked, with_rows

if TYPE_CHECKING:
    from ..program import Program, Trace
    from ..program.text import Text
    from ..runtime import Answer

FORMAT = 3
"""Version of the JSON document. Version 3 added all labels that hold, and scores by label."""


@app.command()
@with_rows
def run(
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts, or - to read them from standard input. A tab separates the two texts of a pair."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="File with one text per line.")] = None,
    *,
    rows: Rows,
    model: ModelName = "sst2",
    backend: BackendName = "events",
    trace: Annotated[Path | None, typer.Option(help="Write the trace to this file (.json.gz).")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the first text's spikes to this image file.")] = None,
    json: Json = False,
) -> None:
    """Classify texts with a spiking network. Without any texts, it classifies the shipped sample."""
    from ..program.files import load_classifier
    from ..program.samples import sample
    from ..runtime import Engine
    from ..storage import check_file
    from ..tasks.task import check_texts

    if plot:
        need("plot", "matplotlib")
        check_file(plot, "--plot", file, ends=PICTURES)
    if trace:
        check_file(trace, "--trace", file, ends=TRACES)
    _check(texts, file, rows)
    program, expected = load_classifier(model), None
    if rows.named:
        chosen, expected = _rows(program, rows)
    elif texts or file:
        given = _lines(file) if file else _piped() if texts == ["-"] else texts
        chosen = [_pair(text, number) for number, text in enumerate((given or [])[: rows.limit], 1)]
        for text in chosen:
            check_texts(1 if isinstance(text, str) else 2, program.task, program.texts, program.path)
    else:
        lines, expected = sample()
        if not {*expected} <= {*program.labels}:
            cure = "give a sentence, --file or --data"
            raise InputError("no texts, and the shipped sample is of another task", file=program.path, cure=cure)
        chosen = [_pair(line, number) for number, line in enumerate(lines[: rows.limit], 1)]
        expected = expected[: rows.limit]
    engine, longest = Engine(program, backend), (rows.max_length or MAX_LENGTH) if rows.named else rows.max_length
    program.batches(chosen, 1, max_length=longest)  # check all texts first, so that none fails halfway
    answered: list[dict[str, Any]] = []
    whole: Trace | None = None
    for text in tracked("run")(chosen):
        start = time.perf_counter()
        (answer,) = engine.classify([text], trace=True, max_length=longest)
        assert answer.trace is not None
        answered.append(_row(answer, answer.trace, time.perf_counter() - start))
        if whole:
            whole.merge(answer.trace)
        else:
            whole = answer.trace
    assert whole is not None
    if plot:
        _plot(program, engine, chosen[0], longest, plot)
    if trace:
        whole.save(trace)
    summary = _summary(model, backend, answered, whole, expected)
    print_json(summary) if json else _print(summary)


def _check(texts: list[str] | None, file: Path | None, rows: Rows) -> None:
    """Check that texts are given in only one way.

    Raises:
        InputError: texts are given in two ways, or options for rows without rows.
    """
    if texts and file:
        raise InputError("texts and a file", field="--file", cure="give one of them")
    if rows.named and (texts or file):
        raise InputError("texts and rows", field="--data, --task", cure="give one of them")
    if texts and "-" in texts and len(texts) > 1:
        cure = "give - alone, which reads texts from standard input"
        raise InputError("- beside other texts", field="texts", cure=cure)
    for name in ("text", "label", "split", "glue_dir"):
        if getattr(rows, name) and not rows.named:
            field, cure = f"--{name.replace('_', '-')}", "give --data or --task too, or leave it out"
            raise InputError("without rows", field=field, cure=cure)


def _rows(program: Program, rows: Rows) -> tuple[list[Text], list[str] | None]:
    """Return the texts of rows and, if they have labels, the names of these labels."""
    labelled = rows.data is None or rows.label is not None or rows.task is not None
    task = rows.task_for(program, labelled)
    examples = rows.examples(task, labelled)
    texts: list[Text] = [row[0] if len(row) == 1 else (row[0], row[1]) for row in examples.texts]
    known = labelled and task.kind == "single_label"
    return texts, [program.labels[int(number)] for number in examples.labels] if known else None


def _piped() -> list[str]:
    if sys.stdin is None:
        raise InputError("standard input is closed", field="texts", cure="pipe texts, one a line")
    with whole(Path("-"), "pipe text in UTF-8, one text a line"):
        return _texts(sys.stdin.buffer.read().decode("utf-8-sig"), Path("-"))


def _lines(file: Path) -> list[str]:
    return _texts(read_text(file, cure="give a text file with one text a line, or pipe it to: matterhorn run -"), file)


def _texts(text: str, file: Path) -> list[str]:
    lines = [line.rstrip("\r") for line in text.split("\n")]
    lines = lines[:-1] if lines[-1] == "" else lines
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise InputError("empty text", file=file, field=f"line {number}", cure="drop the line")
    if not lines:
        raise InputError("no texts", file=file, cure="give a file with one text a line")
    return lines


def _pair(text: str, number: int) -> Text:
    """Split a text at a tab into a pair, if it has one."""
    parts = [part.strip() for part in text.split("\t")]
    if len(parts) > 2:
        cure = "give one sentence, or two with a tab between"
        raise InputError(f"{len(parts)} columns", field=f"text {number}", cure=cure)
    return (parts[0], parts[1]) if len(parts) == 2 else parts[0]


def _plot(program: Program, engine: Any, text: Text, longest: int | None, path: Path) -> None:
    from ..report.raster import plot_raster
    from ..runtime import SlotRecorder

    recorder = SlotRecorder()
    trace = engine(**program.encode([text], max_length=longest), trace=True, watcher=recorder).trace
    plot_raster(program, recorder, trace, text if isinstance(text, str) else " | ".join(text), path)


def _summary(
    model: str, backend: str, rows: list[dict[str, Any]], whole: Trace, expected: list[str] | None
) -> dict[str, Any]:
    """Make the JSON document: all answers, and the silent and quiet share over all of them."""
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
        "labels": list(answer.labels),
        "confidence": answer.probabilities[answer.label] if answer.probabilities else None,
        "score": answer.score,
        "scores": answer.scores,
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
        label = (", ".join(row["labels"]) or "none") + (f" (expected {row['expected']})" if wrong else "")
        label = ", ".join(f"{own:.3f}" for own in row["scores"].values()) if row["confidence"] is None else label
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
