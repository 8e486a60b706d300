"""``matterhorn spike``: your own classifier and rows, in one command."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from .app import Json, app, print_json, say, say_cut
from .rows import YAML, GlueDir, glue_folder, plain_when_piped, seek, tracked

HIDDEN = ("settings", "notes", "diagnosis")
"""Of an answer, what people are not shown in the table."""


@app.command()
def spike(
    model: Annotated[str, typer.Argument(help="A fine-tuned classifier: a folder, or a name on the hub.")],
    output: Annotated[Path, typer.Option(help="Folder for the spiking network, its figures and its page.")],
    train: Annotated[
        str | None, typer.Option(help="Rows to distill on, likewise; without any it is only calibrated.")
    ] = None,
    eval_rows: Annotated[
        str | None,
        typer.Option(
            "--eval",
            help="Rows to report on: a CSV, TSV, JSON, JSONL or Parquet file, or a set of datasets, NAME:SPLIT.",
        ),
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="Column of the text; twice for pairs (default: text).")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Column of the label; once for each output (default: label).")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="single_label, multi_label or regression, if unclear.")] = None,
    task: Annotated[
        str | None,
        typer.Option(help="A GLUE task, or a YAML of your own: columns, kind, and its splits train and dev as rows."),
    ] = None,
    glue_dir: GlueDir = None,
    minutes: Annotated[
        float, typer.Option(help="Of training; the schedule follows the clock. 0: only calibrated.")
    ] = 10.0,
    weights: Annotated[
        str | None,
        typer.Option(
            help="int1, ternary, int2 or int4 (default: int1; int4 if nothing is trained or texts are pairs)."
        ),
    ] = None,
    kv_bits: Annotated[
        int | None, typer.Option(help="Bits of stored keys and values (default: 1; 4 where weights are int4).")
    ] = None,
    dead_zone: Annotated[int, typer.Option(help="k: levels beside the silent one that are silent too.")] = 3,
    silent_share: Annotated[float, typer.Option(help="Share of neuron-windows to keep silent.")] = 0.90,
    quiet_share: Annotated[float | None, typer.Option(help="Share of synaptic operations to leave out.")] = None,
    blocks: Annotated[
        str | None,
        typer.Option(help="Numbers of the classifier's blocks that the network has, e.g. 0,1,4,5 (default: all)."),
    ] = None,
    chip: Annotated[str, typer.Option(help="What it is billed on; see 'matterhorn chips'.")] = "rram-22nm",
    max_length: Annotated[int, typer.Option(help="Rows are cut to this many tokens.")] = 128,
    seed: Annotated[int, typer.Option(help="Of rows held out, rows made, and training.")] = 1,
    verify_rows: Annotated[int, typer.Option(min=1, help="So many rows are verified.")] = 64,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell time, memory and what may be lost.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew, whatever an earlier run has done.")] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="OUTPUT may hold another result, which goes, and other files, which stay."),
    ] = False,
    json: Json = False,
) -> None:
    """Make a spiking network of a fine-tuned classifier: distilled, converted, verified, evaluated, billed.

    Killed, the same command goes on; finished, it gives its answer again. The folder's index.html says what was lost,
    and why.
    """
    from ..extras import need
    from .hub import notice_offline

    need("train", "torch", "transformers", "accelerate")
    plain_when_piped()
    if not Path(model).is_dir():
        notice_offline()
    seek(train, eval_rows, task=task, glue_dir=glue_dir)
    rows: dict[str, Any] = {"text": text, "label": label, "kind": kind, "task": task}
    if task and Path(task).suffix not in YAML and None in (train, eval_rows):
        rows["glue_dir"] = glue_folder(glue_dir)
    places: dict[str, Any] = {"output": output, "chip": chip, "overwrite": overwrite}
    settings: dict[str, Any] = {
        "minutes": minutes,
        "dead_zone": dead_zone,
        "silent_share": silent_share,
        "quiet_share": quiet_share,
        "max_length": max_length,
        "seed": seed,
    }
    if blocks is not None:
        settings["blocks"] = _numbers(blocks)
    settings |= {name: own for name, own in (("weights", weights), ("kv_bits", kv_bits)) if own is not None}
    if dry_run:
        from ..spiking import forecast, prepare

        plan, _ = prepare(model, train, eval_rows, **places, **rows, **settings)
        answer = forecast(plan, verify_rows)
    else:
        from ..spiking import spike as run

        more: dict[str, Any] = {"verify_rows": verify_rows, "restart": restart}
        done = run(model, train, eval_rows, progress=tracked, **places, **more, **rows, **settings)
        answer = done.answer
        if not done.is_new:
            say(f"{output}: this run has finished before, here is its answer; --restart begins anew", err=True)
    say_cut(answer.get("cut", 0), answer.get("n", 0), max_length)
    if json:
        return print_json(answer)
    _print(f"{model} → {output}", answer)
    if not dry_run:
        example = {2: r"$'a text\tand another'"}.get(done.program.texts or 1, "'a text'")
        say(f"{output / 'index.html'}: why it lost; matterhorn run --model {quote(str(output))} {example}")


def _numbers(text: str) -> list[int]:
    """Whole numbers between commas."""
    from ..errors import InputError

    try:
        return [int(one) for one in text.split(",")]
    except ValueError as error:
        raise InputError(f"{text!r}", field="blocks", cure="give numbers between commas, e.g. 0,1,4,5") from error


def _print(title: str, answer: dict[str, Any]) -> None:
    """An answer for people, with its notes."""
    from ..report.tables import print_facts
    from ..units import engineering

    facts = {name: value for name, value in answer.items() if name not in HIDDEN}
    if "joules" in facts:
        facts["joules"] = engineering(facts["joules"])
    print_facts(title, facts)
    for note in answer.get("notes", []):
        say(note)
